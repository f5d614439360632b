/** The default ids, credentials and address of a workspace. */
export const defaults = {
  workspaceId: "LocalDust1",
  apiKey: "sk-local-dust",
  adminApiKey: "sk-local-dust-admin",
  userToken: "local.user.token",
  adminToken: "local.admin.token",
  origin: "https://local-dust.test",
  storageOrigin: "https://storage.local-dust.test"
} as const

/** Authentication: the checks of every route before its handler, in the server's order. */
import * as Effect from "effect/Effect"
import { atLeast, type Auth, type LocalUser, type World } from "../state/state.ts"
import { type LocalRequest, refuse, type Refusal } from "./http.ts"
import type { Route } from "./route.ts"

export const anonymous: Auth = { kind: "anonymous", role: "none", user: undefined, key: undefined }

const BEARER = /^bearer ([A-Za-z0-9\-._~+/]+=*)$/i

const memberByEmail = (world: World, email: string | undefined): LocalUser | undefined => {
  if (email === undefined) return undefined
  for (const { user } of world.members.values()) {
    if (user.email === email.trim().toLowerCase()) return user
  }
  return undefined
}

export const findMember = memberByEmail

/** The caller for the request log, without any checks. */
export const describeCredential = (world: World, request: LocalRequest): string => {
  const header = request.headers["authorization"]
  if (header === undefined) return "none"
  const token = BEARER.exec(header)?.[1]
  if (token === undefined) return "malformed"
  const key = world.apiKeys.get(token)
  if (key !== undefined) return `key:${key.name}`
  const user = world.userTokens.get(token)
  if (user !== undefined) return `user:${user.user?.email ?? "nobody"}`
  return "unknown"
}

const publicGate = (world: World, request: LocalRequest): Effect.Effect<Auth, Refusal> => {
  const header = request.headers["authorization"]
  if (header === undefined || header === "") {
    return refuse(401, "not_authenticated", "The request does not have valid authentication credentials.")
  }
  const token = BEARER.exec(header)?.[1]
  const malformed = refuse(401, "malformed_authorization_header_error", "Malformed Authorization header")
  if (token === undefined) return malformed
  const user = world.userTokens.get(token)
  if (user !== undefined) {
    if (user.expiresAt !== undefined && world.now() >= user.expiresAt) {
      return refuse(401, "expired_oauth_token_error", "The access token expired.")
    }
    if (user.user === undefined) {
      return refuse(401, "user_not_found", "The user does not have an active session or is not authenticated.")
    }
    if (!user.member) {
      return refuse(401, "workspace_auth_error", "Only users of the workspace can access this route.")
    }
    return Effect.succeed({ kind: "user", role: user.role, user: user.user, key: undefined })
  }
  if (!token.startsWith("sk-")) return malformed
  const key = world.apiKeys.get(token)
  if (key === undefined || key.disabled) {
    return refuse(401, "invalid_api_key_error", "The API key provided is invalid or disabled.")
  }
  if (key.workspaceId !== world.workspaceId) {
    return refuse(401, "workspace_auth_error", "The API key is not valid for this workspace.")
  }
  return Effect.succeed({ kind: key.system ? "system" : "key", role: key.role, user: undefined, key })
}

const privateGate = (world: World, request: LocalRequest): Effect.Effect<Auth, Refusal> => {
  const token = BEARER.exec(request.headers["authorization"] ?? "")?.[1]
  const user = token === undefined ? undefined : world.userTokens.get(token)
  if (user === undefined) {
    return refuse(401, "not_authenticated", "The user does not have an active session or is not authenticated.")
  }
  if (user.expiresAt !== undefined && world.now() >= user.expiresAt) {
    return refuse(401, "expired_oauth_token_error", "The access token expired.")
  }
  if (user.user === undefined) return refuse(401, "user_not_found", "The user was not found.")
  if (!user.member) return refuse(401, "workspace_auth_error", "Only users of the workspace can access this route.")
  return Effect.succeed({ kind: "user", role: user.role, user: user.user, key: undefined })
}

const meets = (route: Route, auth: Auth): boolean => {
  if (auth.kind === "system") return route.auth !== "user"
  switch (route.auth) {
    case "user":
      return auth.user !== undefined
    case "key":
      return auth.kind === "key"
    case "admin":
    case "builder":
      return atLeast(auth.role, route.auth)
    case "system":
      return false
    default:
      return true
  }
}

const usualRefusals = {
  user: [401, "user_not_found", "The user was not found."],
  key: [403, "invalid_request_error", "This endpoint is only available with an API key."],
  admin: [403, "workspace_auth_error", "Only users that are `admins` for the current workspace can access this route."],
  builder: [
    403,
    "workspace_auth_error",
    "Only users that are `builders` for the current workspace can access this route."
  ],
  system: [403, "invalid_oauth_token_error", "Only system keys are allowed to use this endpoint."]
} as const

export const authenticate = (
  world: World,
  route: Route,
  workspaceId: string | undefined,
  request: LocalRequest
): Effect.Effect<Auth, Refusal> =>
  Effect.suspend((): Effect.Effect<Auth, Refusal> => {
    if (route.auth === "none") return Effect.succeed(anonymous)
    if (workspaceId !== undefined && workspaceId !== world.workspaceId) {
      return refuse(404, "workspace_not_found", "The workspace was not found.")
    }
    if (route.auth === "workspace") return Effect.succeed(anonymous)
    if (route.auth === "private") return privateGate(world, request)
    return Effect.flatMap(publicGate(world, request), (auth): Effect.Effect<Auth, Refusal> => {
      if (!world.quirks.credentialRules || meets(route, auth)) return Effect.succeed(auth)
      if (route.denied !== undefined) return refuse(route.denied.status, route.denied.type, route.denied.message)
      const [status, type, message] = usualRefusals[route.auth as keyof typeof usualRefusals]
      return refuse(status, type, message)
    })
  })

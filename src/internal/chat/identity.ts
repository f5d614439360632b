import type { Identity } from "../api/operation.ts"

/** The operation that errors of `Chat` name. */
export const identity = (method: string): Identity => ({
  module: "Chat",
  method,
  http: "POST",
  route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages",
  credential: "any",
  errors: {}
})

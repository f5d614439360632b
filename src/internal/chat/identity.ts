import type { Identity } from "../api/operation.ts"

/** What failures of `Chat` are named after. */
export const identity = (method: string): Identity => ({
  module: "Chat",
  method,
  http: "POST",
  route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages",
  credential: "any",
  errors: {}
})

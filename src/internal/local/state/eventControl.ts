/** The handle's functions for streams, blocked actions, tokens and client-side MCP servers. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { UserAnswer } from "../agent/steps.ts"
import { answerAction } from "../domains/conversations/blocked.ts"
import { anyServer, forget, type McpServer, mcpServers } from "../domains/mcp/servers.ts"
import { publish, publishJson, publishRaw, retained } from "../server/pubsub.ts"
import { DustTestOptionsError, shown } from "./check.ts"
import type { Control } from "./control.ts"
import { allConversations, findChannel, notFound } from "./find.ts"
import type { World } from "./state.ts"

/** Why an answer does not fit a blocked action, if it does not. */
const mismatch = (status: string, how: "approved" | "rejected" | UserAnswer | undefined): string | undefined => {
  if (status === "blocked_user_answer_required") {
    return typeof how === "string"
      ? `is a question: answer it with { selectedOptions: [0] }, not ${shown(how)}`
      : undefined
  }
  return typeof how === "object" || (how !== undefined && how !== "approved" && how !== "rejected")
    ? `is not a question: resolve it with "approved" or "rejected", not ${shown(how)}`
    : undefined
}

export const eventControl = (
  world: World
): Pick<
  Control,
  | "publish"
  | "publishRaw"
  | "expireHistory"
  | "retainedEvents"
  | "resolveAction"
  | "expireToken"
  | "mcpServers"
  | "sendMcp"
  | "expireMcpServer"
> => ({
  publish: (channelId, event) =>
    Effect.map(findChannel(world, channelId), (channel) => {
      publish(world, channel, { type: "unknown", ...event })
    }),
  publishRaw: (channelId, data) =>
    Effect.map(findChannel(world, channelId), (channel) => {
      publishRaw(world, channel, data)
    }),
  expireHistory: (channelId) =>
    Effect.map(findChannel(world, channelId), (channel) => {
      for (const event of channel.events) event.removed = true
    }),
  retainedEvents: (channelId) => Effect.map(findChannel(world, channelId), (channel) => retained(world, channel)),
  resolveAction: (actionId, how) =>
    Effect.suspend(() => {
      for (const conversation of allConversations(world)) {
        const action = conversation.blocked.get(actionId)
        if (action === undefined) continue
        const problem = mismatch(action.status, how)
        if (problem !== undefined) {
          return Effect.die(new DustTestOptionsError({ message: `Local Dust: the action ${actionId} ${problem}` }))
        }
        return answerAction(
          action,
          typeof how === "object"
            ? { _tag: "Answered", answer: how }
            : action.status === "blocked_validation_required" || how !== undefined
            ? { _tag: "Validated", approved: how !== "rejected" }
            : { _tag: "Resolved" }
        )
      }
      return notFound("blocked action", actionId)
    }),
  expireToken: (token) =>
    Effect.suspend(() => {
      const value = typeof token === "string" ? token : Redacted.value(token)
      const known = world.userTokens.get(value)
      if (known === undefined) return notFound("token", "<redacted>")
      world.userTokens.set(value, { ...known, expiresAt: world.now() })
      return Effect.void
    }),
  mcpServers: Effect.sync(() =>
    [...mcpServers(world).byKey.values()].map((server: McpServer) => ({
      serverId: server.serverId,
      name: server.name,
      expiresAt: server.expiresAt,
      results: server.results.map(({ message }) => message)
    }))
  ),
  sendMcp: (serverId, message) =>
    Effect.suspend(() => {
      const server = anyServer(world, serverId)
      if (server === undefined) return notFound("MCP server", serverId)
      publishJson(world, server.channel, "mcp", JSON.stringify(message))
      return Effect.void
    }),
  expireMcpServer: (serverId) =>
    Effect.suspend(() => {
      const server = anyServer(world, serverId)
      if (server === undefined) return notFound("MCP server", serverId)
      forget(world, server)
      return Effect.void
    })
})

/** Routes of the web application (`/api/w/…`) that accept a user's token. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, empty, json, refuse } from "../../server/http.ts"
import { closeChannel } from "../../server/pubsub.ts"
import { type Context, decode, type Handler, jsonBody, param, type Route, route } from "../../server/route.ts"
import type { World } from "../../state/state.ts"
import { findConversation, findMessage, success } from "./access.ts"
import {
  addMessage,
  type Conversation,
  conversations,
  type Fragment,
  latest,
  type Message,
  renderFragment,
  renderMessage,
  renderWithoutContent
} from "./models.ts"
import { pageOf } from "./read.ts"

const BASE = "/api/w/:workspaceId/assistant/conversations"
const ONE = `${BASE}/:conversationId`

/** The light representation, with citations and generated files instead of actions. */
const renderLight = (
  world: World,
  message: Message,
  fragments: ReadonlyArray<Fragment>,
  nested: boolean
): Record<string, unknown> => {
  const full = renderMessage(world, message)
  switch (message.type) {
    case "user_message":
      return nested ? { ...full, contentFragments: fragments.map(renderFragment) } : full
    case "agent_message": {
      const { actions: _, configuration: __, contents: ___, rawContents: ____, ...rest } = full
      return {
        ...rest,
        configuration: {
          sId: message.agent.sId,
          name: message.agent.name,
          pictureUrl: message.agent.pictureUrl,
          status: message.agent.status,
          canRead: true
        },
        citations: {},
        generatedFiles: message.actions.flatMap((action) => action.generatedFiles),
        activitySteps: message.actions.map((action) => ({
          type: "action",
          label: action.displayLabels?.done ?? action.toolName,
          id: `action-${action.id}`,
          actionId: action.sId,
          internalMCPServerName: action.internalMCPServerName,
          toolName: action.toolName,
          step: action.step
        }))
      }
    }
    case "content_fragment":
      return full
  }
}

/** The content fragments between a user message and the preceding message. */
const fragmentsBefore = (conversation: Conversation, rank: number): ReadonlyArray<Fragment> => {
  const found: Array<Fragment> = []
  for (let at = rank - 1; at >= 0; at--) {
    const message = latest(conversation.ranks[at] ?? [])
    if (message?.type !== "content_fragment") break
    found.unshift(message)
  }
  return found
}

const list: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const number = (name: string, fallback: number | undefined) => {
      const value = context.query.get(name)
      return value === null ? fallback : /^\d+$/.test(value) ? Number(value) : Number.NaN
    }
    const limit = number("limit", 10) ?? 10
    const lastValue = number("lastValue", undefined)
    if (
      Number.isNaN(limit) || limit > 2000 || Number.isNaN(lastValue ?? 0)
      || (context.query.get("orderColumn") ?? "rank") !== "rank"
    ) {
      return yield* refuse(400, "invalid_pagination_parameters", "Invalid pagination parameters")
    }
    const nested = context.query.get("newResponseFormat") === "1"
    const conversation = yield* findConversation(context)
    const page = pageOf(conversation, limit, lastValue)
    return json({
      messages: page.content.flat()
        .filter((message) => !nested || message.type !== "content_fragment")
        .map((message) => renderLight(world, message, fragmentsBefore(conversation, message.rank), nested)),
      hasMore: page.hasMore,
      lastValue: page.lastValue
    })
  })

const getMessage: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const conversation = yield* findConversation(context)
    const message = yield* findMessage(conversation, param(context, "messageId"))
    const rendered = context.query.get("viewType") === "light"
      ? renderLight(world, message, fragmentsBefore(conversation, message.rank), true)
      : renderMessage(world, message)
    return json({
      message: message.type === "agent_message"
        ? { ...rendered, subAgentCostCredits: message.subAgentCostCredits }
        : rendered
    })
  })

/** Deleting a message adds a version with visibility `deleted`. */
const markDeleted = (world: World, conversation: Conversation, message: Message): void => {
  addMessage(conversation, {
    ...message,
    id: world.numericId(),
    sId: world.sId(),
    created: world.now(),
    version: message.version + 1,
    visibility: "deleted",
    ...(message.type === "content_fragment" ? {} : { content: message.type === "user_message" ? "deleted" : null })
  } as Message)
}

/** Administrators may delete the messages of all users; an answer may be deleted by the author of its question only. */
const mayDelete = ({ auth }: Context, conversation: Conversation, message: Message): boolean => {
  const asked = message.type === "agent_message" ? conversation.bySId.get(message.parentMessageId ?? "") : message
  return (auth.role === "admin" && message.type === "user_message")
    || (asked?.type === "user_message" && asked.user !== null && asked.user.sId === auth.user?.sId)
}

/**
 * Source: `softDeleteUserMessageAndReplies` and `softDeleteAgentMessage` of `front/lib/api/assistant/conversation.ts`. The route
 * responds to their errors with 500.
 */
const deleteMessage: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const conversation = yield* findConversation(context)
    const message = yield* findMessage(conversation, param(context, "messageId"))
    if (message.visibility === "deleted") return success
    if (!mayDelete(context, conversation, message)) {
      return yield* refuse(500, "message_deletion_not_authorized", "You are not authorized to delete this message.")
    }
    const newest = latest(conversation.ranks[message.rank] ?? [])
    if (newest?.visibility === "deleted") return success
    if (newest !== message) return yield* refuse(500, "message_outdated", "The message has a newer version.")
    markDeleted(world, conversation, message)
    if (message.type === "user_message") {
      const versions = new Set(conversation.ranks[message.rank]?.map((version) => version.sId))
      for (const other of conversation.ranks.map(latest)) {
        if (other?.type === "agent_message" && other.parentMessageId !== null && versions.has(other.parentMessageId)) {
          markDeleted(world, conversation, other)
        }
      }
    }
    return success
  })

const getOne: Handler = (context) =>
  Effect.map(
    findConversation(context),
    (conversation) => json({ conversation: renderWithoutContent(context.world, conversation, context.auth) })
  )

const deleteConversation: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const conversation = yield* findConversation(context)
    const userId = auth.user?.sId ?? ""
    if (!conversation.participants.has(userId)) {
      return yield* refuse(403, "conversation_access_restricted", "You are not a participant of this conversation.")
    }
    const forced = context.query.get("forceDelete") === "true" && conversation.creator?.sId === userId
    conversation.participants.delete(userId)
    conversation.updated = world.now()
    if (forced || conversation.participants.size === 0) {
      conversation.visibility = "deleted"
      closeChannel(conversation.channel)
    }
    return world.quirks.emptyOkBodies ? empty(200) : json({ success: true })
  })

const patch: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const value = yield* jsonBody(context)
    const input = yield* decode(
      Schema.Union(
        Schema.Struct({ title: Schema.String }),
        Schema.Struct({ read: Schema.Boolean }),
        Schema.Struct({ spaceId: Schema.String }),
        Schema.Struct({ accessMode: Schema.Literal("participants_only", "workspace_members") }),
        Schema.Struct({ removeFromProject: Schema.Literal(true) })
      ),
      value,
      "request body"
    )
    const conversation = yield* findConversation(context)
    if ("title" in input) conversation.title = input.title
    else if ("read" in input) {
      if (auth.user === undefined) return yield* badRequest("A user is required.")
      if (input.read) conversation.readAt.set(auth.user.sId, Math.max(world.now(), conversation.updated))
      else conversation.readAt.delete(auth.user.sId)
    } else if ("spaceId" in input) conversation.spaceId = input.spaceId
    else if ("accessMode" in input) conversation.accessMode = input.accessMode
    else conversation.spaceId = null
    return json({ success: true })
  })

const listConversations: Handler = ({ auth, world }) =>
  Effect.sync(() =>
    json({
      conversations: Array.from(conversations(world).byId.values())
        .filter((one) => one.visibility !== "deleted" && auth.user !== undefined && one.participants.has(auth.user.sId))
        .sort((a, b) => b.updated - a.updated || b.id - a.id)
        .map((one) => renderWithoutContent(world, one, auth))
    })
  )

export const privateRoutes: ReadonlyArray<Route> = [
  route("GET", BASE, { auth: "private", handler: listConversations }),
  route("GET", ONE, { auth: "private", handler: getOne }),
  route("PATCH", ONE, { auth: "private", handler: patch }),
  route("GET", `${ONE}/messages`, { auth: "private", handler: list }),
  route("GET", `${ONE}/messages/:messageId`, { auth: "private", handler: getMessage })
]

/** The private routes that the SDK calls. */
export const privateAnswers = {
  "DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}": {
    auth: "private",
    handler: deleteConversation
  },
  "DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}": {
    auth: "private",
    handler: deleteMessage
  }
} satisfies Answers<typeof conversationsApi>

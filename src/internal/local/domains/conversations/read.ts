/** Creating, reading, listing and renaming conversations. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, bytes, json, type Refusal, refuse } from "../../server/http.ts"
import { publish } from "../../server/pubsub.ts"
import { body, type Handler, type Context, decode, jsonBody, param, route, type Route } from "../../server/route.ts"
import type { Agent } from "../agents.ts"
import { findConversation, ONE, success } from "./access.ts"
import { CreateInput } from "./bodies.ts"
import { addFragment, checkFragment, isInternal } from "./fragments.ts"
import {
  type AgentMessage,
  type Conversation,
  conversations,
  type Fragment,
  latest,
  makeConversation,
  type Message,
  renderConversation,
  renderFragment,
  renderUserMessage,
  renderWithoutContent
} from "./models.ts"
import { checkContext, checkCredits, checkTimezone, type Posted, postMessage, start, waitFor } from "./post.ts"

const visibleContent = (conversation: Conversation): ReadonlyArray<ReadonlyArray<Message>> =>
  conversation.ranks.map((versions) => versions.filter((message) => !isInternal(message)))

const create: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const input = yield* body(context, CreateInput)
    const fragments = [
      ...(input.contentFragments ?? []),
      ...(input.contentFragment === undefined ? [] : [input.contentFragment])
    ]
    if (input.message !== undefined) {
      yield* checkTimezone(context, input.message, "message.context.timezone")
      yield* checkContext(context, input.message, true)
      // Validated before the conversation is created, so that a refusal leaves none behind.
      yield* checkCredits(context)
    }
    if ((input.depth ?? 0) >= 4) return yield* badRequest("Conversation depth is too high.")
    for (const fragment of fragments) yield* checkFragment(context, fragment)
    if (
      input.spaceId !== undefined && world.lookups.space !== undefined &&
      world.lookups.space(input.spaceId) === undefined
    ) return yield* refuse(404, "space_not_found", "Space not found.")

    // As on the real server, a failure after this point leaves the conversation in place.
    const conversation = makeConversation(world, {
      title: input.title ?? null,
      visibility: input.visibility === "workspace" ? "unlisted" : input.visibility,
      depth: input.depth,
      spaceId: input.spaceId,
      creator: auth.user ?? null
    })
    let fragment: Fragment | undefined
    for (const one of fragments) fragment = addFragment(context, conversation, one)
    let posted: Posted | undefined
    if (input.message !== undefined) {
      posted = yield* postMessage(context, conversation, input.message, input.skipToolsValidation ?? false)
      yield* start(context, conversation, posted)
      if (input.blocking === true) yield* waitFor(context, posted.agentMessages)
    }
    return json({
      conversation: renderConversation(world, conversation, auth, visibleContent(conversation)),
      ...(posted === undefined ? {} : { message: renderUserMessage(world, posted.message) }),
      ...(fragment === undefined || isInternal(fragment) ? {} : { contentFragment: renderFragment(fragment) })
    })
  })

const integer = (value: string | undefined, name: string): Effect.Effect<number | undefined, Refusal> => {
  if (value === undefined) return Effect.succeed(undefined)
  const parsed = Number.parseInt(value, 10)
  return Number.isNaN(parsed)
    ? badRequest(`Invalid query parameters: Validation error: Expected number, received nan at "${name}"`)
    : Effect.succeed(parsed)
}

const get: Handler = (context) =>
  Effect.gen(function*() {
    const { auth, world } = context
    const limit = yield* integer(context.query.get("limit") ?? undefined, "limit")
    const lastValue = yield* integer(context.query.get("lastValue") ?? undefined, "lastValue")
    if (limit !== undefined && limit < 0) {
      return yield* badRequest(
        "Invalid query parameters: Validation error: Number must be greater than or equal to 0 at \"limit\""
      )
    }
    const conversation = yield* findConversation(context)
    if (limit === undefined) {
      return json({ conversation: renderConversation(world, conversation, auth, visibleContent(conversation)) })
    }
    const page = pageOf(conversation, limit, lastValue)
    return json({
      conversation: renderConversation(world, conversation, auth, page.content),
      hasMore: page.hasMore,
      lastValue: page.lastValue === null ? null : String(page.lastValue)
    })
  })

/** The newest messages below a rank, in their newest version, with the content fragments in that range. */
export const pageOf = (
  conversation: Conversation,
  limit: number,
  lastValue: number | undefined
): {
  readonly content: ReadonlyArray<ReadonlyArray<Message>>
  readonly hasMore: boolean
  readonly lastValue: number | null
} => {
  const end = Math.min(lastValue ?? Infinity, conversation.ranks.length)
  let counted = 0
  let first = end
  let last = -1
  for (let rank = end - 1; rank >= 0 && counted < limit; rank--) {
    const message = latest(conversation.ranks[rank] ?? [])
    if (message === undefined || message.type === "content_fragment") continue
    counted++
    first = rank
    last = Math.max(last, rank)
  }
  const older = conversation.ranks.slice(0, first).some((versions) => {
    const message = latest(versions)
    return message !== undefined && message.type !== "content_fragment"
  })
  if (counted === 0) return { content: [], hasMore: older, lastValue: null }
  return {
    content: conversation.ranks.slice(first, last + 1).map((versions) => {
      const message = latest(versions)
      return message === undefined || isInternal(message) ? [] : [message]
    }),
    hasMore: older,
    lastValue: first
  }
}

const markRead = (context: Context, conversation: Conversation, read: boolean): void => {
  const { user } = context.auth
  if (user === undefined) return
  if (read) conversation.readAt.set(user.sId, Math.max(context.world.now(), conversation.updated))
  else conversation.readAt.delete(user.sId)
}

const patch: Handler = (context) =>
  Effect.gen(function*() {
    const { world } = context
    const value = yield* jsonBody(context)
    const read = yield* Effect.option(decode(Schema.Struct({ read: Schema.Boolean }), value, "request body"))
    const title = Option.isSome(read)
      ? undefined
      : yield* decode(Schema.Struct({ title: Schema.String }), value, "request body")
    const conversation = yield* findConversation(context)
    if (Option.isSome(read)) markRead(context, conversation, read.value.read)
    else if (title !== undefined) {
      conversation.title = title.title
      markRead(context, conversation, true)
      publish(world, conversation.channel, { type: "conversation_title", created: world.now(), title: title.title })
    }
    return success
  })

const list: Handler = (context) =>
  Effect.sync(() => {
    const { auth, world } = context
    const mine = [...conversations(world).byId.values()].filter((conversation) =>
      conversation.visibility !== "deleted" && conversation.visibility !== "test" && conversation.spaceId === null
      && conversation.parent === undefined && auth.user !== undefined && conversation.participants.has(auth.user.sId)
    )
    mine.sort((a, b) => b.updated - a.updated || b.id - a.id)
    return json({
      conversations: mine.map((conversation) => ({
        ...renderWithoutContent(world, conversation, auth),
        visibility: "unlisted"
      }))
    })
  })

const consumption: Handler = (context) =>
  Effect.gen(function*() {
    const conversation = yield* findConversation(context)
    const finished = conversation.ranks.flat().filter((message): message is AgentMessage =>
      message.type === "agent_message" && message.costCredits !== null
    )
    const billedCredits = finished.reduce((sum, message) => sum + (message.costCredits ?? 0), 0)
    if (finished.length === 0) return json({ billedCredits, details: null })
    const byModel = new Map<string, { readonly providerId: string; readonly modelId: string; credits: number }>()
    const byAgent = new Map<string, { readonly agent: Agent; credits: number }>()
    for (const { agent, costCredits } of finished) {
      const key = `${agent.model.providerId}/${agent.model.modelId}`
      const model = byModel.get(key) ?? { ...agent.model, credits: 0 }
      model.credits += costCredits ?? 0
      byModel.set(key, model)
      const one = byAgent.get(agent.sId) ?? { agent, credits: 0 }
      one.credits += costCredits ?? 0
      byAgent.set(agent.sId, one)
    }
    const models = (
      all: Iterable<{ readonly providerId: string; readonly modelId: string; readonly credits: number }>
    ) =>
      Array.from(all, ({ credits, modelId, providerId }) => ({
        providerId,
        modelId,
        displayName: modelId,
        attributedCredits: credits
      }))
    return json({
      billedCredits,
      details: {
        agentWorkCredits: billedCredits,
        tools: [],
        skills: [],
        models: models(byModel.values()),
        agents: Array.from(byAgent.values(), ({ agent, credits }) => ({
          agentId: agent.sId,
          name: agent.name,
          pictureUrl: agent.pictureUrl,
          billedCredits: credits,
          agentWorkCredits: credits,
          tools: [],
          models: models([{ ...agent.model, credits }])
        }))
      }
    })
  })

const conversationFile: Handler = (context) =>
  Effect.gen(function*() {
    const path = param(context, "rel")
    const conversation = yield* findConversation(context)
    if (!path.startsWith("conversation/") || path.split("/").includes("..")) {
      return yield* badRequest("The path must be inside the conversation.")
    }
    const file = conversation.files.get(path)
    return file === undefined
      ? yield* refuse(404, "file_not_found", "File not found.")
      : bytes(file.bytes, { contentType: file.contentType })
  })

/** Handler of routes for Dust's system keys, which customers do not have. */
const internal: Handler = () => Effect.succeed(success)

/** Checks the conversation before the credential. */
const tools: Handler = (context) =>
  Effect.flatMap(findConversation(context), () =>
    context.auth.kind === "system"
      ? internal(context)
      : refuse(401, "not_authenticated", "Only system keys are allowed to use this endpoint."))

/** Routes for Dust's system keys. */
export const conversationRoutes: ReadonlyArray<Route> = [
  route("POST", `${ONE}/tools`, { auth: "any", handler: tools }),
  route("POST", "/api/v1/w/:workspaceId/assistant/generic_agents", { auth: "system", handler: internal })
]

export const conversationAnswers = {
  "POST /assistant/conversations": { auth: "any", handler: create },
  "GET /assistant/conversations": {
    auth: "user",
    denied: { status: 401, type: "user_not_found", message: "The user was not found." },
    handler: list
  },
  "GET /assistant/conversations/{conversationId}": { auth: "any", handler: get },
  "PATCH /assistant/conversations/{conversationId}": { auth: "any", handler: patch },
  "GET /assistant/conversations/{conversationId}/consumption": { auth: "any", handler: consumption },
  "GET /assistant/conversations/{conversationId}/files/{rel}": { auth: "any", handler: conversationFile }
} satisfies Answers<typeof conversationsApi>

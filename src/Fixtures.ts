/**
 * Values for tests that replace a service: replies, messages, conversations, events and errors, in one line each.
 *
 * Every builder returns a complete, valid value. Given members replace the defaults, and related members agree: the
 * `text` of a {@link reply} is also the content of its message. A member that does not fit its schema throws. Ids and
 * times are constant, so that results can be compared. No other module imports this one, so that it is in no bundle of
 * an application.
 *
 * To test against a workspace that keeps state, use `DustTest`.
 *
 * @example
 * ```ts
 * import { Chat } from "effect-dust/Chat"
 * import * as Fixtures from "effect-dust/Fixtures"
 * import { Effect, Layer, Stream } from "effect"
 *
 * const Answers = Layer.mock(Chat, {
 *   send: () => Effect.succeed(Fixtures.reply({ text: "42" })),
 *   stream: () => Stream.fromIterable(Fixtures.chatEvents({ text: "42" }))
 * })
 *
 * const Busy = Layer.mock(Chat, { send: () => Effect.fail(Fixtures.error.DustRateLimitError()) })
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as Agents from "./Agent.ts"
import type * as Run from "./AgentMessageEvent.ts"
import * as Events from "./ChatEvent.ts"
import * as Conversations from "./Conversation.ts"
import type * as Errors from "./DustAPIError.ts"
import { errors } from "./internal/fixtures/errors.ts"
import * as parts from "./internal/fixtures/parts.ts"
import { account, created, ids, question, tool } from "./internal/fixtures/parts.ts"
import { runEvents } from "./internal/fixtures/runEvents.ts"
import * as Messages from "./Message.ts"

/**
 * Members that replace the defaults. The builder sets the discriminator of a union.
 *
 * @category models
 * @since 0.2.0
 */
export type Overrides<A> = Partial<Omit<A, "_tag" | "type">>

/**
 * Makes an agent: `dust`, active.
 *
 * @category agents
 * @since 0.2.0
 */
export const agent: (overrides?: Overrides<Agents.Agent>) => Agents.Agent = parts.agent

/**
 * Makes a successful tool call.
 *
 * @category messages
 * @since 0.2.0
 */
export const agentAction: (overrides?: Overrides<Messages.AgentAction>) => Messages.AgentAction = parts.agentAction

/**
 * Makes a message sent with an API key: "Hello", to the agent `dust`.
 *
 * @category messages
 * @since 0.2.0
 */
export const userMessage = (overrides: Overrides<Messages.UserMessage> = {}): Messages.UserMessage =>
  Messages.UserMessage.make({
    type: "user_message",
    sId: ids.userMessageId,
    created,
    rank: 0,
    content: "Hello",
    mentions: [{ configurationId: ids.agentId }],
    context: Messages.UserMessageContext.make({ username: "effect-dust", timezone: "UTC", origin: "api" }),
    ...overrides
  })

/**
 * Makes a successful answer of the agent `dust` to {@link userMessage}: "Hello!".
 *
 * @category messages
 * @since 0.2.0
 */
export const agentMessage: (overrides?: Overrides<Messages.AgentMessage>) => Messages.AgentMessage = parts.agentMessage

/**
 * Makes a text attachment.
 *
 * @category messages
 * @since 0.2.0
 */
export const contentFragment = (overrides: Overrides<Messages.ContentFragment> = {}): Messages.ContentFragment =>
  Messages.ContentFragment.make({
    type: "content_fragment",
    sId: "content-fragment-1",
    created,
    rank: 0,
    title: "notes.txt",
    contentType: "text/plain",
    contentFragmentId: "fragment-1",
    contentFragmentVersion: "latest",
    contentFragmentType: "file",
    fileId: "file-1",
    ...overrides
  })

/**
 * Makes a message of an unknown kind.
 *
 * @category messages
 * @since 0.2.0
 */
export const unknownMessage = (overrides: Overrides<Messages.UnknownMessage> = {}): Messages.UnknownMessage => {
  const message = {
    sId: "unknown-message-1",
    kind: "of_the_future",
    visibility: "visible",
    version: 0,
    rank: 0,
    created,
    ...overrides
  }
  const { kind, ...known } = message
  return { ...message, type: "unknown", raw: overrides.raw ?? { ...known, type: kind } }
}

/**
 * Makes a conversation. Each of `messages` gets its own position, in this order; use `content` to set all versions of
 * each position. Defaults to {@link userMessage} and {@link agentMessage}.
 *
 * @category conversations
 * @since 0.2.0
 */
export const conversation = (
  { messages = [userMessage(), agentMessage()], ...overrides }: Overrides<Conversations.Conversation> & {
    readonly messages?: ReadonlyArray<Messages.Message> | undefined
  } = {}
): Conversations.Conversation =>
  Conversations.Conversation.make({
    sId: ids.conversationId,
    created,
    updated: created,
    title: "A conversation",
    visibility: "unlisted",
    content: messages.map((message) => [message]),
    ...overrides
  })

/**
 * Makes a result of `Conversations.createMessage`: {@link userMessage}, and {@link agentMessage} as its answer.
 *
 * @category conversations
 * @since 0.2.0
 */
export const messageCreated = (
  overrides: Partial<Conversations.MessageCreated> = {}
): Conversations.MessageCreated => {
  const message = overrides.message ?? userMessage()
  return { agentMessages: [agentMessage({ parentMessageId: message.sId })], ...overrides, message }
}

/**
 * Makes a result of `Conversations.create` with a first message. Its content is this message and its answers.
 *
 * @category conversations
 * @since 0.2.0
 */
export const conversationWithMessage = (
  overrides: Overrides<Conversations.ConversationWithMessage> = {}
): Conversations.ConversationWithMessage => {
  const { agentMessages, contentFragments = [], message = userMessage(), ...rest } = overrides
  const answers = agentMessages ?? [agentMessage({ parentMessageId: message.sId })]
  return {
    ...conversation({ messages: [...contentFragments, message, ...answers], ...rest }),
    message,
    agentMessages: answers,
    contentFragments
  }
}

/**
 * Makes a complete reply: "Hello!". `text`, `actions`, `chainOfThought` and `message` also appear in its
 * `agentMessage`, and vice versa if only `agentMessage` is given.
 *
 * @category events
 * @since 0.2.0
 */
export const reply = (overrides: Overrides<Events.Reply> = {}): Events.Reply => {
  const message = "message" in overrides ? overrides.message : userMessage()
  const answer = overrides.agentMessage ?? agentMessage({
    parentMessageId: message?.sId ?? ids.userMessageId,
    ...(overrides.text === undefined ? {} : { content: overrides.text }),
    ...(overrides.actions === undefined ? {} : { actions: overrides.actions }),
    ...(overrides.chainOfThought === undefined ? {} : { chainOfThought: overrides.chainOfThought })
  })
  return Events.Reply.make({
    text: answer.content ?? "",
    conversationId: ids.conversationId,
    actions: answer.actions,
    chainOfThought: answer.chainOfThought,
    citations: [],
    generatedFiles: answer.actions.flatMap(({ generatedFiles }) => generatedFiles),
    handedOverTo: null,
    ...overrides,
    message,
    agentMessage: answer
  })
}

const place = { conversationId: ids.conversationId, messageId: ids.messageId }

/**
 * Builders for every event of `Chat`, by `_tag`.
 *
 * @example
 * ```ts
 * import * as Fixtures from "effect-dust/Fixtures"
 *
 * const events = [
 *   Fixtures.chatEvent.ToolStarted({ action: Fixtures.agentAction({ toolName: "search" }) }),
 *   Fixtures.chatEvent.TextDelta({ text: "Found it." })
 * ]
 * ```
 *
 * @category events
 * @since 0.2.0
 */
export const chatEvent: {
  readonly [Tag in Events.ChatEvent["_tag"]]: (
    overrides?: Overrides<Extract<Events.ChatEvent, { readonly _tag: Tag }>>
  ) => Extract<Events.ChatEvent, { readonly _tag: Tag }>
} = {
  Started: (overrides) => Events.Started.make({ ...place, message: userMessage(), ...overrides }),
  TextDelta: (overrides) => Events.TextDelta.make({ text: "Hello!", ...overrides }),
  Reset: (overrides) => Events.Reset.make({ text: "", ...overrides }),
  Thinking: (overrides) => Events.Thinking.make({ text: "A greeting.", ...overrides }),
  ToolAnnounced: (overrides) => Events.ToolAnnounced.make({ toolName: "search", ...overrides }),
  ToolStarted: (overrides) => Events.ToolStarted.make({ action: agentAction({ status: "running" }), ...overrides }),
  ToolProgress: (overrides) =>
    Events.ToolProgress.make({
      action: agentAction({ status: "running" }),
      progress: 1,
      total: 2,
      label: "Searching",
      ...overrides
    }),
  ToolFinished: (overrides) => Events.ToolFinished.make({ action: agentAction(), ...overrides }),
  ApprovalNeeded: (overrides) =>
    Events.ApprovalNeeded.make({
      ...place,
      actionId: ids.actionId,
      tool: tool(),
      inputs: {},
      stake: "low",
      ...overrides
    }),
  QuestionAsked: (overrides) =>
    Events.QuestionAsked.make({ ...place, actionId: ids.actionId, question: question(), ...overrides }),
  AuthenticationNeeded: (overrides) =>
    Events.AuthenticationNeeded.make({
      ...place,
      actionId: ids.actionId,
      tool: tool(),
      account,
      file: null,
      ...overrides
    }),
  Other: (overrides) => Events.Other.make({ event: agentMessageEvent.agent_context_pruned(), ...overrides }),
  Done: (overrides) => Events.Done.make({ reply: reply(), ...overrides })
}

/**
 * Makes the events of a complete answer, as `Chat.stream` emits them: the tool calls of {@link reply}, then its text in
 * one piece.
 *
 * @category events
 * @since 0.2.0
 */
export const chatEvents = (overrides: Overrides<Events.Reply> = {}): ReadonlyArray<Events.ChatEvent> => {
  const whole = reply(overrides)
  const { agentMessage: { sId: messageId }, conversationId, message } = whole
  return [
    chatEvent.Started({ conversationId, messageId, message }),
    ...(whole.chainOfThought === null ? [] : [chatEvent.Thinking({ text: whole.chainOfThought })]),
    ...whole.actions.flatMap((action) => [
      chatEvent.ToolAnnounced({ toolName: action.toolName }),
      chatEvent.ToolStarted({ action: { ...action, status: "running", output: null } }),
      chatEvent.ToolFinished({ action })
    ]),
    ...(whole.text === "" ? [] : [chatEvent.TextDelta({ text: whole.text })]),
    chatEvent.Done({ reply: whole })
  ]
}

/**
 * Builders for every event of `Conversations.messageEvents`, by `type`.
 *
 * @category events
 * @since 0.2.0
 */
export const agentMessageEvent: {
  readonly [Type in Run.AgentMessageEvent["type"]]: (
    overrides?: Overrides<Extract<Run.AgentMessageEvent, { readonly type: Type }>>
  ) => Extract<Run.AgentMessageEvent, { readonly type: Type }>
} = runEvents

/**
 * Builders for every error of `DustAPIError`, by `_tag`, as `Conversations.get` or `createMessage` fails with it
 * (`DustAgentError`: `Chat.send`). The message follows from `module`, `method`, `status` and `type`.
 *
 * @example
 * ```ts
 * import { Agents } from "effect-dust/Agents"
 * import * as Fixtures from "effect-dust/Fixtures"
 * import { Duration, Effect, Layer } from "effect"
 *
 * const NoAgents = Layer.mock(Agents, {
 *   get: () => Effect.fail(Fixtures.error.DustNotFoundError({ module: "Agents", type: "agent_configuration_not_found" })),
 *   list: () => Effect.fail(Fixtures.error.DustRateLimitError({ retryAfter: Duration.seconds(5) }))
 * })
 * ```
 *
 * @category errors
 * @since 0.2.0
 */
export const error: {
  readonly [Tag in Errors.DustAPIError["_tag"]]: (
    overrides?: Partial<
      ConstructorParameters<Extract<(typeof Errors.DustAPIError)["members"][number], { readonly _tag: Tag }>>[0]
    >
  ) => Extract<Errors.DustAPIError, { readonly _tag: Tag }>
} = errors

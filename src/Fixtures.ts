/**
 * Values for tests that replace a service: replies, messages, conversations, events and errors, in one line each.
 *
 * Every builder returns a whole and valid value. What is given replaces the default, and what belongs together agrees: the
 * `text` of a {@link reply} is also the content of its message. A member that does not fit its schema throws. Ids and times
 * are always the same, so that results can be compared. Nothing else in this library imports this module: it is in no
 * bundle of an application.
 *
 * To test against a Dust that keeps conversations and answers requests, see `DustTest`.
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
 * What to have instead of the defaults. The discriminator of a union is fixed by the builder.
 *
 * @category models
 * @since 0.2.0
 */
export type Overrides<A> = Partial<Omit<A, "_tag" | "type">>

/**
 * An agent: `dust`, active.
 *
 * @category agents
 * @since 0.2.0
 */
export const agent: (overrides?: Overrides<Agents.Agent>) => Agents.Agent = parts.agent

/**
 * One use of a tool, which has succeeded.
 *
 * @category messages
 * @since 0.2.0
 */
export const agentAction: (overrides?: Overrides<Messages.AgentAction>) => Messages.AgentAction = parts.agentAction

/**
 * What a program wrote with an API key: "Hello", to the agent `dust`.
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
 * An answer of the agent `dust` to {@link userMessage}, which has succeeded: "Hello!".
 *
 * @category messages
 * @since 0.2.0
 */
export const agentMessage: (overrides?: Overrides<Messages.AgentMessage>) => Messages.AgentMessage = parts.agentMessage

/**
 * A text that was attached.
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
 * A message of a kind that this version does not know.
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
 * A conversation. Each of `messages` gets a position of its own, in this order; `content` says it position by position, with
 * all versions. Default: {@link userMessage} and {@link agentMessage}.
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
 * What `Conversations.createMessage` returns: {@link userMessage}, and {@link agentMessage} as its answer.
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
 * What `Conversations.create` returns for a conversation that begins with a message. Its content are this message and
 * its answers.
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
 * A whole answer: "Hello!". `text`, `actions`, `chainOfThought` and `message` are also in its `agentMessage`, and the other
 * way round where only `agentMessage` is given.
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
 * Every event of `Chat`, by its `_tag`.
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
 * The events of an answer from its start to its end, as `Chat.stream` emits them: {@link reply} with its text in one piece,
 * after the tools that it used.
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
 * Every event of `Conversations.messageEvents`, by its `type`.
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
 * Every error of `DustAPIError`, by its `_tag`, as the SDK makes it when `Conversations.get` or `createMessage` fails (for
 * `DustAgentError`, `Chat.send`). The message follows `module`, `method`, `status` and `type`.
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

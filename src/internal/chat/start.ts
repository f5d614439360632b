import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ModelSelection } from "../../Agent.ts"
import type { ContentFragmentInput, MessageContext } from "../../Conversation.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import type { DustAPIError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { AgentId, ConversationId, MessageId, SpaceId, WorkspaceId } from "../../Ids.ts"
import type { AgentMessage, UserMessage } from "../../Message.ts"
import { badInput, notFound } from "../request/errors.ts"
import { monotonic } from "../util/monotonic.ts"
import type { Abandoned } from "./abandoned.ts"
import type { Ref } from "./agentIds.ts"
import { type Attached, attach, newConversation } from "./conversationOf.ts"
import { isRefusal, restricted, restrictionOf } from "./createMessage.ts"
import { answering } from "./followRun.ts"
import { identity } from "./identity.ts"
import { messageBody } from "./messageBody.ts"
import { located } from "./place.ts"
import type { Ending, Run } from "./run.ts"
import { within } from "./sendOnce.ts"

export interface Context {
  readonly client: Client
  /** Identifies the layer. */
  readonly owner: object
  readonly conversations: Conversations
  readonly abandoned: Abandoned
  readonly attached: Attached
  readonly agentId: (method: string, agent: Ref) => Effect.Effect<AgentId, DustAPIError>
  readonly workspaceId: Effect.Effect<WorkspaceId>
}

/** A question and its conversation. */
export interface Question {
  readonly agent: Ref
  readonly message: string
  readonly conversationId?: ConversationId | undefined
  readonly title?: string | undefined
  readonly spaceId?: SpaceId | undefined
  readonly attachments?: ReadonlyArray<ContentFragmentInput> | undefined
  readonly context?: MessageContext | undefined
  readonly modelSelection?: ModelSelection | undefined
  readonly skipToolsValidation?: boolean | undefined
  readonly onInterrupt?: "cancel" | "leave" | undefined
  readonly onUnconfirmed?: "fail" | "resend" | undefined
}

const noAnswer = (method: string, agentId: AgentId | undefined) =>
  notFound(
    { module: "Chat", method },
    1,
    "agent_not_found",
    agentId === undefined
      ? "no agent answered this question"
      : `no agent answered: check that ${JSON.stringify(agentId)} is the id of an agent that this credential may use`,
    { agentId: agentId ?? null }
  )

/** The error for a message without a reply: the server may have refused the mention. */
export const unanswered = (method: string, agentId: AgentId, conversationId: ConversationId, message: UserMessage) => {
  const status = restrictionOf(message)
  return status === undefined
    ? noAnswer(method, agentId)
    : restricted(identity(method), conversationId, message, status)
}

/** Validates a question before a conversation is created for it. */
export const checked = (
  { client }: Pick<Context, "client">,
  method: string,
  question: Question
): Effect.Effect<void, DustAPIError> =>
  typeof question.message !== "string" || question.message.trim() === ""
    ? Effect.fail(badInput(identity(method), "message", "non-blank text"))
    : Effect.flatMap(client.caller, ({ hasUser }) =>
      Effect.asVoid(messageBody(identity(method), hasUser, { ...question, content: question.message, mentions: [] })))

/** Resolves the agent and the conversation of a question. */
const prepared = (
  context: Context,
  method: string,
  question: Question
): Effect.Effect<readonly [AgentId, ConversationId], DustAPIError> => {
  const { conversationId } = question
  const place = conversationId === undefined
    ? Effect.map(newConversation(context, question), ({ sId }) => sId)
    : Effect.as(attach(context, conversationId, question), conversationId)
  return Effect.flatMap(
    context.agentId(method, question.agent),
    (agentId) => Effect.map(place, (conversationId) => [agentId, conversationId] as const)
  )
}

/** The agent message that replies to a question, once there is one: the question may be queued. */
export const answerTo = (
  { conversations }: Context,
  method: string,
  agentId: AgentId | undefined,
  conversationId: ConversationId,
  messageId: MessageId
): Effect.Effect<AgentMessage, DustAPIError> =>
  answering({
    conversationId,
    messageId,
    readConversation: conversations.get(conversationId),
    events: conversations.events,
    notFound: noAnswer(method, agentId)
  }).pipe(Effect.flatMap((answers) =>
    answers[0] === undefined ? Effect.fail(noAnswer(method, agentId)) : Effect.succeed(answers[0])
  ))

/** Sends a question and finds the agent message that replies to it. */
export const start = (
  context: Context,
  method: string,
  question: Question,
  ending: Ending,
  onConversation?: (id: ConversationId | undefined) => void
): Effect.Effect<Run, DustAPIError> =>
  Effect.gen(function*() {
    yield* checked(context, method, question)
    const workspaceId = yield* context.workspaceId
    const { client } = context
    const begun = yield* monotonic
    const { timeouts: { total } } = yield* client.settings
    const [agentId, conversationId] = yield* client.withTotal({ module: "Chat", method })(
      prepared(context, method, question)
    )
    onConversation?.(conversationId)
    const place = { workspaceId, conversationId }
    let answer: AgentMessage | undefined
    const limit = Duration.toMillis(total)
    const left = begun + limit - (yield* monotonic)
    const message = yield* within(post(context, conversationId, agentId, question), left, limit).pipe(
      Effect.map(({ agentMessages, message }) => {
        answer = agentMessages[0]
        context.attached.clear(conversationId)
        // Set at once: an interruption may arrive at the last step.
        if (question.onInterrupt !== "leave") {
          ending.abandon = Effect.suspend(() =>
            context.abandoned.question(conversationId, message, answer === undefined ? [] : [answer])
          )
        }
        return message
      }),
      Effect.tapError((error) => {
        if (question.conversationId !== undefined || !isRefusal(error)) return Effect.void
        // Delete the conversation: no caller has seen it. An API key cannot delete it.
        return Effect.flatMap(client.caller, ({ hasUser }) => {
          if (!hasUser) return Effect.void
          onConversation?.(undefined)
          return context.abandoned.conversation(conversationId)
        })
      }),
      Effect.mapError((error) => located(error, place))
    )
    if (answer === undefined) {
      answer = yield* (
        message.visibility === "pending"
          ? answerTo(context, method, agentId, conversationId, message.sId)
          : Effect.fail(unanswered(method, agentId, conversationId, message))
      ).pipe(Effect.mapError((error) => {
        ending.over = true
        return located(error, { ...place, userMessageId: message.sId })
      }))
    }
    return {
      ...place,
      message,
      messageId: answer.sId,
      agent: { id: agentId, name: answer.configuration?.name ?? agentId },
      lastEventId: undefined,
      resumed: false
    }
  })

export const post = (
  { conversations }: Context,
  conversationId: ConversationId,
  agentId: AgentId,
  question: Question
) =>
  conversations.createMessage({
    conversationId,
    content: question.message,
    mentions: [{ configurationId: agentId }],
    context: question.context,
    modelSelection: question.modelSelection,
    skipToolsValidation: question.skipToolsValidation,
    // If interrupted while sending, find the message and cancel its run.
    onInterrupt: question.onInterrupt,
    onUnconfirmed: question.onUnconfirmed
  })

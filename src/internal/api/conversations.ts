/** The endpoints of `Conversations`. */
import * as Schema from "effect/Schema"
import {
  BlockedAction,
  Consumption,
  Conversation,
  ConversationSummary,
  Feedback,
  UserAnswer
} from "../../Conversation.ts"
import { AgentMessage, ContentFragment, UserMessage } from "../../Message.ts"
import { Content, FragmentBody, MentionsBody, MessageBody, Title } from "../chat/messageBody.ts"
import { list, nullable } from "../decode/schema.ts"
import { del, get, group, operationsOf, patch, post, using } from "./endpoint.ts"
import { refusedWith500 } from "./operation.ts"

const conversation: Schema.Schema<Conversation, typeof Conversation.Encoded> = Conversation
const summary: Schema.Schema<ConversationSummary, typeof ConversationSummary.Encoded> = ConversationSummary
const userMessage: Schema.Schema<UserMessage, typeof UserMessage.Encoded> = UserMessage
const agentMessage: Schema.Schema<AgentMessage, typeof AgentMessage.Encoded> = AgentMessage
const contentFragment: Schema.Schema<ContentFragment, typeof ContentFragment.Encoded> = ContentFragment
const feedback: Schema.Schema<Feedback, typeof Feedback.Encoded> = Feedback
const blockedAction: Schema.Schema<BlockedAction, typeof BlockedAction.Encoded> = BlockedAction
const consumption: Schema.Schema<Consumption, typeof Consumption.Encoded> = Consumption
const userAnswer: Schema.Schema<UserAnswer, typeof UserAnswer.Encoded> = UserAnswer

const Envelope = Schema.Struct({
  conversation,
  hasMore: nullable(Schema.Boolean),
  lastValue: nullable(Schema.Union(Schema.NumberFromString, Schema.Number))
})

/** The answer of every route that reads a conversation. Its JSON is not decoded yet. */
export const ConversationEnvelope = Envelope as Schema.Schema<typeof Envelope.Type, unknown>

const Sent = Schema.Struct({ message: userMessage, agentMessages: list(agentMessage) })

/** A whole conversation, or a page of its messages from the newest on. */
const read = get("/assistant/conversations/{conversationId}", {
  query: Schema.Struct({
    limit: Schema.optional(Schema.Number),
    lastValue: Schema.optional(Schema.Number)
  }),
  response: ConversationEnvelope
})

const mark = patch("/assistant/conversations/{conversationId}", {
  replay: "safe",
  body: Schema.Struct({ read: Schema.Boolean })
})

const events = get("/assistant/conversations/{conversationId}/messages/{messageId}/events")

const deletion = (gone: ReadonlyArray<string>) =>
  del("/api/w/{workspaceId}/assistant/conversations/{conversationId}", {
    credential: "user",
    query: Schema.Struct({ forceDelete: Schema.optional(Schema.Literal(true)) }),
    done: ({ type }) => type !== undefined && gone.includes(type)
  })

export const conversations = group("Conversations", {
  create: using({
    post: post("/assistant/conversations", {
      replay: "creation",
      body: Schema.Struct({
        title: Schema.optional(Schema.NullOr(Title)),
        visibility: Schema.optional(Schema.Literal("unlisted", "test")),
        spaceId: Schema.optional(Content),
        contentFragments: Schema.optional(Schema.Array(FragmentBody))
      }),
      response: ConversationEnvelope,
      pick: (answer) => answer.conversation
    })
  }),
  get: using({ read }),
  /**
   * Returns the conversations of the user that are not in a space, in one request. Retried automatically.
   *
   * Requires a user access token; fails with `DustUserRequiredError` before any request with an API key.
   *
   * Source: `GET /api/v1/w/{workspaceId}/assistant/conversations`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/index.ts` in dust-tt/dust.
   */
  list: get("/assistant/conversations", {
    credential: "user",
    response: Schema.Struct({ conversations: list(summary) }),
    pick: (answer) => answer.conversations
  }),
  /**
   * Sets the title (at most 512 characters) and marks the conversation as read for the caller. Accepts any credential. Retried
   * automatically.
   *
   * Source: `PATCH /api/v1/w/{workspaceId}/assistant/conversations/{conversationId}`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/index.ts` in dust-tt/dust.
   */
  updateTitle: patch("/assistant/conversations/{conversationId}", {
    replay: "safe",
    body: Schema.Struct({ title: Title })
  }),
  markRead: using({ mark }),
  markUnread: using({ mark }),
  delete: using({
    everywhere: deletion(["conversation_not_found"]),
    // A user that has left a conversation with other participants can no longer see it.
    leave: deletion(["conversation_not_found", "conversation_access_restricted"])
  }),
  createMessage: using({
    post: post("/assistant/conversations/{conversationId}/messages", {
      limits: "messages",
      body: MessageBody,
      response: Sent
    }),
    read
  }),
  findSent: using({ read }),
  editMessage: using({
    post: post("/assistant/conversations/{conversationId}/messages/{messageId}/edit", {
      body: Schema.Struct({
        content: Content,
        mentions: MentionsBody,
        skipToolsValidation: Schema.optional(Schema.Boolean)
      }),
      response: Sent
    })
  }),
  retryMessage: using({
    post: post("/assistant/conversations/{conversationId}/messages/{messageId}/retry", {
      query: Schema.Struct({
        blockedOnly: Schema.optional(Schema.Literal(true)).pipe(Schema.fromKey("blocked_only"))
      }),
      response: Schema.Struct({ message: agentMessage }),
      pick: (answer) => answer.message
    })
  }),
  /**
   * Cancels the runs of agent messages. Ignores unknown and finished messages. The end of a run arrives as an event. Accepts any
   * credential. Retried automatically.
   *
   * Source: `POST …/conversations/{conversationId}/cancel`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/cancel.ts` in dust-tt/dust.
   */
  cancel: post("/assistant/conversations/{conversationId}/cancel", {
    replay: "safe",
    body: Schema.Struct({
      /** Of agent messages. */
      messageIds: Schema.Array(Schema.String).pipe(
        Schema.filter((ids) => ids.length > 0 && ids.every((id) => id.trim() !== ""), {
          message: () => "a non-empty list of non-blank message ids"
        })
      )
    })
  }),
  listMessages: using({ read }),
  pageMessages: using({ read }),
  streamMessages: using({ read }),
  getMessage: using({ read }),
  /**
   * Deletes a message; a user message together with its answers. Retried automatically.
   *
   * Requires a user access token; fails with `DustUserRequiredError` before any request with an API key. Fails with
   * `DustForbiddenError` for a message of another user, and with `DustNotFoundError`.
   *
   * Source: `DELETE /api/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}`, a private route of
   * the web application
   */
  deleteMessage: del("/api/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}", {
    credential: "user",
    done: ({ type }) => type === "message_not_found"
  }),
  createContentFragment: using({
    post: post("/assistant/conversations/{conversationId}/content_fragments", {
      body: FragmentBody,
      response: Schema.Struct({ contentFragment }),
      pick: (answer) => answer.contentFragment
    })
  }),
  downloadFile: using({ read: get("/assistant/conversations/{conversationId}/files/{rel}") }),
  createFeedback: using({
    post: post("/assistant/conversations/{conversationId}/messages/{messageId}/feedbacks", {
      replay: "safe",
      errors: { not_authenticated: "DustUserRequiredError" },
      body: Schema.Struct({
        thumbDirection: Schema.Literal("up", "down"),
        feedbackContent: Schema.optional(Schema.NullOr(Schema.String)),
        isConversationShared: Schema.optional(Schema.Boolean)
      })
    })
  }),
  deleteFeedback: using({
    delete: del("/assistant/conversations/{conversationId}/messages/{messageId}/feedbacks", {
      errors: { not_authenticated: "DustUserRequiredError" },
      // Deleted already.
      done: ({ status, type }) => status === 400 && type === "invalid_request_error"
    })
  }),
  /**
   * Returns the user's feedback in a conversation. Requires a user access token; fails with `DustUserRequiredError` before any
   * request with an API key. Retried automatically.
   *
   * Source: `GET …/conversations/{conversationId}/feedbacks`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/feedbacks.ts` in dust-tt/dust.
   */
  listFeedback: get("/assistant/conversations/{conversationId}/feedbacks", {
    credential: "user",
    response: Schema.Struct({ feedbacks: list(feedback) }),
    pick: (answer) => answer.feedbacks
  }),
  /**
   * Returns the tool calls that wait for a person. Accepts any credential. Retried automatically.
   *
   * Source: `GET …/conversations/{conversationId}/actions/blocked`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/actions/blocked.ts` in dust-tt/dust.
   */
  blockedActions: get("/assistant/conversations/{conversationId}/actions/blocked", {
    response: Schema.Struct({ blockedActions: list(blockedAction) }),
    pick: (answer) => answer.blockedActions
  }),
  /**
   * Decides on a tool call that waits for approval. `always_approved` also applies to later calls of tools of low and medium
   * stake; it requires a user access token. Only the author of the message may decide, or anyone if it was sent with an API key.
   * Accepts any credential. Retried automatically.
   *
   * Fails with `DustBadRequestError` (`action_not_blocked`) if the action no longer waits, and with `DustServerError` if the caller
   * may not decide (not retried).
   *
   * Source: `POST …/messages/{messageId}/validate-action`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/validate-action.ts` in dust-tt/dust.
   */
  validateAction: post("/assistant/conversations/{conversationId}/messages/{messageId}/validate-action", {
    replay: "safe",
    done: ({ type }) => type === "action_not_blocked",
    final: refusedWith500,
    body: Schema.Struct({
      actionId: Content,
      approved: Schema.Literal("approved", "rejected", "always_approved")
    })
  }),
  /**
   * Answers the question of an agent with the indices of the selected options, or with text. Accepts any credential. Retried
   * automatically. Fails with `DustForbiddenError`, `DustNotFoundError`, and `DustBadRequestError` (`action_not_blocked`).
   *
   * Source: `POST …/messages/{messageId}/answer-question`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/messages/[mId]/answer-question.ts` in dust-tt/dust.
   */
  answerQuestion: post("/assistant/conversations/{conversationId}/messages/{messageId}/answer-question", {
    replay: "safe",
    done: ({ type }) => type === "action_not_blocked",
    body: Schema.Struct({
      actionId: Content,
      answer: userAnswer.pipe(
        Schema.filter(({ customResponse = "", selectedOptions }) =>
          selectedOptions.length > 0 || customResponse.trim() !== "" ||
          { path: ["selectedOptions"], message: "at least one option, unless customResponse is set" }
        )
      )
    })
  }),
  /**
   * Returns the credits that a conversation has used so far. Accepts any credential. Retried automatically. Fails with
   * `DustNotFoundError` on servers without this operation.
   *
   * Source: `GET …/conversations/{conversationId}/consumption`;
   * `front-api/routes/v1/w/[wId]/assistant/conversations/[cId]/consumption.ts` in dust-tt/dust.
   */
  consumption: get("/assistant/conversations/{conversationId}/consumption", { response: consumption }),
  events: using({ read: get("/assistant/conversations/{conversationId}/events") }),
  messageEvents: using({ events }),
  answer: using({ events }),
  answers: using({ read })
})

/** What errors name where there is no client yet. */
export const operations = operationsOf(conversations)

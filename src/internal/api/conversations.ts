/** The endpoints of conversations. */
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
import * as Operation from "./operation.ts"

const root = "/api/v1/w/{workspaceId}/assistant/conversations" as const
const one = `${root}/{conversationId}` as const
const message = `${one}/messages/{messageId}` as const

const Envelope = Schema.Struct({
  conversation: Conversation,
  hasMore: nullable(Schema.Boolean),
  lastValue: nullable(Schema.Union(Schema.NumberFromString, Schema.Number))
})

/** The answer of every route that reads a conversation. What comes from JSON is of no type yet. */
export const ConversationEnvelope = Envelope as Schema.Schema<typeof Envelope.Type, unknown>

export const createOperation = Operation.make({
  name: "Conversations.create",
  http: "POST",
  route: root,
  replay: "creation",
  body: Schema.Struct({
    title: Schema.optional(Schema.NullOr(Title)),
    visibility: Schema.optional(Schema.Literal("unlisted", "test")),
    spaceId: Schema.optional(Content),
    contentFragments: Schema.optional(Schema.Array(FragmentBody))
  }),
  response: ConversationEnvelope
})

export const getOperation = Operation.make({
  name: "Conversations.get",
  http: "GET",
  route: one,
  response: ConversationEnvelope
})

export const listOperation = Operation.make({
  name: "Conversations.list",
  http: "GET",
  route: root,
  credential: "user",
  response: Schema.Struct({ conversations: list(ConversationSummary) })
})

export const updateTitleOperation = Operation.unit({
  name: "Conversations.updateTitle",
  http: "PATCH",
  route: one,
  replay: "safe",
  body: Schema.Struct({ title: Title })
})

export const markOperation = Operation.unit({
  name: "Conversations.markRead",
  http: "PATCH",
  route: one,
  replay: "safe",
  body: Schema.Struct({ read: Schema.Boolean })
})

const deletion = (gone: ReadonlyArray<string>) =>
  Operation.unit({
    name: "Conversations.delete",
    http: "DELETE",
    route: "/api/w/{workspaceId}/assistant/conversations/{conversationId}",
    credential: "user",
    done: ({ type }) => type !== undefined && gone.includes(type)
  })

export const deleteOperation = deletion(["conversation_not_found"])

// After somebody has left a conversation in which others remain, it is one that they may not see.
export const leaveOperation = deletion(["conversation_not_found", "conversation_access_restricted"])

export const pageMessagesOperation = { ...getOperation, method: "pageMessages" }

export const createMessageOperation = Operation.make({
  name: "Conversations.createMessage",
  http: "POST",
  limits: "messages",
  route: `${one}/messages`,
  body: MessageBody,
  response: Schema.Struct({ message: UserMessage, agentMessages: list(AgentMessage) })
})

export const editMessageOperation = Operation.make({
  name: "Conversations.editMessage",
  http: "POST",
  route: `${message}/edit`,
  body: Schema.Struct({
    content: Content,
    mentions: MentionsBody,
    skipToolsValidation: Schema.optional(Schema.Boolean)
  }),
  response: Schema.Struct({ message: UserMessage, agentMessages: list(AgentMessage) })
})

export const retryMessageOperation = Operation.make({
  name: "Conversations.retryMessage",
  http: "POST",
  route: `${message}/retry`,
  response: Schema.Struct({ message: AgentMessage })
})

export const cancelOperation = Operation.unit({
  name: "Conversations.cancel",
  http: "POST",
  route: `${one}/cancel`,
  replay: "safe",
  body: Schema.Struct({
    messageIds: Schema.Array(Schema.String).pipe(
      Schema.filter((ids) => ids.length > 0 && ids.every((id) => id.trim() !== ""), {
        message: () => "at least one id of an agent message, none of them blank"
      })
    )
  })
})

export const deleteMessageOperation = Operation.unit({
  name: "Conversations.deleteMessage",
  http: "DELETE",
  route: "/api/w/{workspaceId}/assistant/conversations/{conversationId}/messages/{messageId}",
  credential: "user",
  done: ({ type }) => type === "message_not_found"
})

export const createContentFragmentOperation = Operation.make({
  name: "Conversations.createContentFragment",
  http: "POST",
  route: `${one}/content_fragments`,
  body: FragmentBody,
  response: Schema.Struct({ contentFragment: ContentFragment })
})

export const downloadFileOperation = Operation.unit({
  name: "Conversations.downloadFile",
  http: "GET",
  route: `${one}/files/{rel}`
})

export const createFeedbackOperation = Operation.unit({
  name: "Conversations.createFeedback",
  http: "POST",
  route: `${message}/feedbacks`,
  replay: "safe",
  errors: { not_authenticated: "DustUserRequiredError" },
  body: Schema.Struct({
    thumbDirection: Schema.Literal("up", "down"),
    feedbackContent: Schema.optional(Schema.NullOr(Schema.String)),
    isConversationShared: Schema.optional(Schema.Boolean)
  })
})

export const deleteFeedbackOperation = Operation.unit({
  name: "Conversations.deleteFeedback",
  http: "DELETE",
  route: `${message}/feedbacks`,
  errors: { not_authenticated: "DustUserRequiredError" },
  // There is none to delete.
  done: ({ status, type }) => status === 400 && type === "invalid_request_error"
})

export const listFeedbackOperation = Operation.make({
  name: "Conversations.listFeedback",
  http: "GET",
  route: `${one}/feedbacks`,
  credential: "user",
  response: Schema.Struct({ feedbacks: list(Feedback) })
})

export const blockedActionsOperation = Operation.make({
  name: "Conversations.blockedActions",
  http: "GET",
  route: `${one}/actions/blocked`,
  response: Schema.Struct({ blockedActions: list(BlockedAction) })
})

export const validateActionOperation = Operation.unit({
  name: "Conversations.validateAction",
  http: "POST",
  route: `${message}/validate-action`,
  replay: "safe",
  done: ({ type }) => type === "action_not_blocked",
  body: Schema.Struct({
    actionId: Content,
    approved: Schema.Literal("approved", "rejected", "always_approved")
  })
})

export const answerQuestionOperation = Operation.unit({
  name: "Conversations.answerQuestion",
  http: "POST",
  route: `${message}/answer-question`,
  replay: "safe",
  done: ({ type }) => type === "action_not_blocked",
  body: Schema.Struct({
    actionId: Content,
    answer: UserAnswer.pipe(
      Schema.filter(({ customResponse = "", selectedOptions }) =>
        selectedOptions.length > 0 || customResponse.trim() !== "" ||
        { path: ["selectedOptions"], message: "an option, or words in customResponse" }
      )
    )
  })
})

export const consumptionOperation = Operation.make({
  name: "Conversations.consumption",
  http: "GET",
  route: `${one}/consumption`,
  response: Consumption
})

export const eventsOperation = Operation.unit({ name: "Conversations.events", http: "GET", route: `${one}/events` })

export const messageEventsOperation = Operation.unit({
  name: "Conversations.messageEvents",
  http: "GET",
  route: `${message}/events`
})

export const answersOperation = { ...getOperation, method: "answers" }

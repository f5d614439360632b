/** Reads messages, with as little of the conversation as possible. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import {
  type Conversation,
  findMessage,
  messages as messagesOf,
  type MessagePage,
  type MessageRef,
  type PageOptions,
  type StreamMessagesOptions
} from "../../Conversation.ts"
import type { DustNotFoundError, RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { operations } from "../api/conversations.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, notFound } from "../request/errors.ts"
import { segment } from "../request/url.ts"
import { byCursor } from "../util/paging.ts"
import type { Known } from "./known.ts"

/**
 * A message is looked up on pages of these sizes, then in the whole conversation, which alone includes old versions.
 */
const pageSizes = [20, 100, 500]

export interface Reader {
  readonly get: (conversationId: ConversationId) => Effect.Effect<Conversation, RequestError>
  readonly page: (options: PageOptions) => Effect.Effect<MessagePage, RequestError>
  readonly stream: (options: StreamMessagesOptions) => Stream.Stream<Message, RequestError>
  readonly getMessage: (ref: MessageRef) => Effect.Effect<Message, RequestError>
  /** The newest part of a conversation that includes a message, or the whole conversation. */
  readonly since: (method: "getMessage" | "answers", ref: MessageRef) => Effect.Effect<Conversation, RequestError>
}

/** The methods that read all or part of a conversation. */
type Reading = "get" | "listMessages" | "pageMessages" | "streamMessages" | "getMessage" | "answers"

export const messageNotFound = (identity: Identity, messageId: MessageId): DustNotFoundError =>
  notFound(identity, 1, "message_not_found", `the conversation has no message ${JSON.stringify(messageId)}`, {
    type: "message_not_found",
    messageId
  })

interface Context {
  readonly client: Client
  readonly known: Known
}

/** The newest messages of a conversation, or those before a cursor; the whole conversation without a limit. */
const read = (
  { client, known }: Context,
  method: Reading,
  conversationId: ConversationId,
  query: { readonly limit?: number | undefined; readonly lastValue?: number | undefined } = {}
) =>
  Effect.tap(
    client.execute(operations[method].read, { path: { conversationId }, query }),
    (answer) =>
      Effect.sync(() => {
        if (query.lastValue === undefined) {
          known.learn(conversationId, messagesOf(answer.conversation, { deleted: true }))
        }
      })
  )

const pageOf = (
  context: Context,
  method: "pageMessages" | "streamMessages",
  { conversationId, deleted, lastValue, limit = 50 }: PageOptions
): Effect.Effect<MessagePage, RequestError> => {
  const operation = operations[method].read
  if (!Number.isInteger(limit) || limit < 1) {
    return Effect.fail(badInput(operation, "limit", "an integer of at least 1", String(limit)))
  }
  if (lastValue !== undefined && !Number.isInteger(lastValue)) {
    return Effect.fail(
      badInput(operation, "lastValue", "the integer lastValue of the previous page", String(lastValue))
    )
  }
  return Effect.map(
    read(context, method, conversationId, { limit, lastValue }),
    (response) => ({
      messages: messagesOf(response.conversation, { deleted }),
      hasMore: response.hasMore ?? false,
      lastValue: response.lastValue
    })
  )
}

const readSince = (
  context: Context,
  method: Parameters<Reader["since"]>[0],
  { conversationId, messageId }: MessageRef
): Effect.Effect<Conversation, RequestError> => {
  const from = (
    index: number,
    lastValue: number | undefined,
    newer: Conversation["content"]
  ): Effect.Effect<Conversation, RequestError> =>
    Effect.flatMap(read(context, method, conversationId, { limit: pageSizes[index], lastValue }), (answer) => {
      const content = [...answer.conversation.content, ...newer]
      const found = { ...answer.conversation, content }
      if (findMessage(answer.conversation, messageId) !== undefined) return Effect.succeed(found)
      return index + 1 < pageSizes.length && answer.hasMore === true && answer.lastValue !== null
        ? from(index + 1, answer.lastValue, content)
        : Effect.map(read(context, method, conversationId), ({ conversation }) => conversation)
    })
  return from(0, undefined, [])
}

export const makeReader = (client: Client, known: Known): Reader => {
  const context: Context = { client, known }
  return {
    get: (conversationId) => Effect.map(read(context, "get", conversationId), ({ conversation }) => conversation),
    page: (options) => pageOf(context, "pageMessages", options),
    stream: ({ conversationId, deleted, pageSize }) =>
      byCursor(operations.streamMessages.read, (cursor: number | undefined) =>
        Effect.map(
          pageOf(context, "streamMessages", { conversationId, limit: pageSize, lastValue: cursor, deleted }),
          ({ hasMore, lastValue, messages }) => ({
            items: messages.toReversed(),
            next: hasMore ? lastValue : null
          })
        )),
    getMessage: (ref) => {
      const identity = operations.getMessage.read
      return Effect.zipRight(
        segment(identity, "messageId", ref.messageId),
        Effect.flatMap(
          client.withTotal(identity, { onlyRequests: true })(readSince(context, "getMessage", ref)),
          (conversation) => {
            const found = findMessage(conversation, ref.messageId)
            return found === undefined ? Effect.fail(messageNotFound(identity, ref.messageId)) : Effect.succeed(found)
          }
        )
      )
    },
    since: (method, ref) => readSince(context, method, ref)
  }
}

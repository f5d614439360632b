/** Reading messages: no more of a conversation than it takes. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { type Conversation, findMessage, messages as messagesOf } from "../../Conversation.ts"
import type { MessagePage, MessageRef, PageOptions, StreamMessagesOptions } from "../../Conversations.ts"
import { DustNotFoundError, type RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { getOperation, pageMessagesOperation } from "../api/conversations.ts"
import type { Identity } from "../api/operation.ts"
import { badInput, common } from "../request/errors.ts"
import { segment } from "../request/url.ts"
import { byCursor } from "../util/paging.ts"
import type { Known } from "./known.ts"

/** Messages are looked for on pages of these sizes, and then in the whole conversation, which alone has old versions. */
const pageSizes = [20, 100, 500]

export interface Reader {
  readonly get: (conversationId: ConversationId) => Effect.Effect<Conversation, RequestError>
  readonly page: (options: PageOptions) => Effect.Effect<MessagePage, RequestError>
  readonly stream: (options: StreamMessagesOptions) => Stream.Stream<Message, RequestError>
  readonly getMessage: (ref: MessageRef) => Effect.Effect<Message, RequestError>
  /** The newest part of a conversation that has a message, or all of it. */
  readonly since: (method: string, ref: MessageRef) => Effect.Effect<Conversation, RequestError>
}

export const messageNotFound = (identity: Identity, messageId: MessageId): DustNotFoundError =>
  new DustNotFoundError({
    ...common(identity, 1),
    message: `${identity.module}.${identity.method}: the conversation has no message ${JSON.stringify(messageId)}`,
    type: "message_not_found",
    details: { type: "message_not_found", messageId }
  }, { disableValidation: true })

export const makeReader = (client: Client, known: Known): Reader => {
  const read = (
    method: string,
    conversationId: ConversationId,
    query: { readonly limit?: number | undefined; readonly lastValue?: number | undefined } = {}
  ) =>
    Effect.tap(
      client.execute({ ...getOperation, method }, { path: { conversationId }, query }),
      (answer) =>
        Effect.sync(() => {
          if (query.lastValue === undefined) {
            known.learn(conversationId, messagesOf(answer.conversation, { deleted: true }))
          }
        })
    )

  const page: Reader["page"] = ({ conversationId, deleted, lastValue, limit = 50 }) => {
    if (!Number.isInteger(limit) || limit < 1) {
      return Effect.fail(badInput(pageMessagesOperation, "limit", "an integer of at least 1", String(limit)))
    }
    if (lastValue !== undefined && !Number.isInteger(lastValue)) {
      return Effect.fail(
        badInput(pageMessagesOperation, "lastValue", "an integer, from the page before", String(lastValue))
      )
    }
    return Effect.map(
      read(pageMessagesOperation.method, conversationId, { limit, lastValue }),
      (response) => ({
        messages: messagesOf(response.conversation, { deleted }),
        hasMore: response.hasMore ?? false,
        lastValue: response.lastValue
      })
    )
  }

  const since: Reader["since"] = (method, { conversationId, messageId }) => {
    const from = (
      index: number,
      lastValue: number | undefined,
      newer: Conversation["content"]
    ): Effect.Effect<Conversation, RequestError> =>
      Effect.flatMap(read(method, conversationId, { limit: pageSizes[index], lastValue }), (answer) => {
        const content = [...answer.conversation.content, ...newer]
        const found = { ...answer.conversation, content }
        if (findMessage(answer.conversation, messageId) !== undefined) return Effect.succeed(found)
        return index + 1 < pageSizes.length && answer.hasMore === true && answer.lastValue !== null
          ? from(index + 1, answer.lastValue, content)
          : Effect.map(read(method, conversationId), ({ conversation }) => conversation)
      })
    return from(0, undefined, [])
  }

  return {
    get: (conversationId) => Effect.map(read("get", conversationId), ({ conversation }) => conversation),
    page,
    stream: ({ conversationId, deleted, pageSize }) =>
      byCursor({ ...getOperation, method: "streamMessages" }, (cursor: number | undefined) =>
        Effect.map(
          page({ conversationId, limit: pageSize, lastValue: cursor, deleted }),
          ({ hasMore, lastValue, messages }) => ({
            items: messages.toReversed(),
            next: hasMore ? lastValue : null
          })
        )),
    getMessage: (ref) => {
      const identity = { ...getOperation, method: "getMessage" }
      return Effect.zipRight(
        segment(identity, "messageId", ref.messageId),
        Effect.flatMap(since("getMessage", ref), (conversation) => {
          const found = findMessage(conversation, ref.messageId)
          return found === undefined ? Effect.fail(messageNotFound(identity, ref.messageId)) : Effect.succeed(found)
        })
      )
    },
    since
  }
}

/** Reads a conversation from its newest message back to a position, and tracks the server's clock. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { ConversationEnvelope, operations } from "../api/conversations.ts"
import { decodeJson } from "../decode/json.ts"
import { decode, responseTooLarge } from "../request/errors.ts"
import { monotonic } from "../util/monotonic.ts"
import { isNewer, type Newer, type Position } from "./sameMessage.ts"

/**
 * `created` and `Date` come from two machines of the server, and `Date` has a resolution of one second. They are only
 * compared within one response, never with the local clock.
 */
const tolerance = 3_000

interface Page {
  /** The newest version of each message, the oldest message first; deleted ones included. */
  readonly messages: ReadonlyArray<Message>
  /** The cursor of the preceding page. */
  readonly before: number | undefined
  /** When the server responded, by its own clock. */
  readonly serverTime: number | undefined
  /** The age of the data: the server time that the response reflects. */
  readonly asOf: number | undefined
  /** When the response arrived, by {@link monotonic}. */
  readonly arrived: number
}

export interface Look extends Newer {
  /** The response is older than the message, so it cannot contain it. */
  readonly stale: boolean
  /** When the message was sent, by the server's clock, if known. */
  readonly notBefore: number | undefined
  /** The server time that the data reflects, if known. */
  readonly asOf: number | undefined
}

export interface Bounds {
  /** The operation that the reads belong to. Defaults to `createMessage`. */
  readonly operation?: Read | undefined
  readonly conversationId: ConversationId
  /** `null` if unknown. */
  readonly position: Position | null
  /** When the message was sent: by {@link monotonic} of this process, by the server's clock, or unknown. */
  readonly sent:
    | { readonly _tag: "Here"; readonly at: number }
    | { readonly _tag: "Server"; readonly notBefore: number }
    | { readonly _tag: "Unknown" }
}

type Read = (typeof operations)["createMessage" | "findSent"]["read"]

export interface LookBack {
  /** The newest messages of a conversation: one is enough to find its position. */
  readonly newest: (conversationId: ConversationId) => Effect.Effect<ReadonlyArray<Message>, RequestError>
  /** Records the server's clock from the latest response. A response to a POST never comes from a cache. */
  readonly noteClock: Effect.Effect<void>
  /** Converts a time of {@link monotonic} to the server's clock, if known. */
  readonly serverTimeOf: (at: number) => Effect.Effect<number | undefined>
  /** The messages newer than a position. */
  readonly since: (bounds: Bounds) => Effect.Effect<Look, RequestError>
}

/** Most lookups end on the first page; a busy conversation is read in larger pages. */
const firstPage = 20
const nextPages = 100
/** Ranks and dates of messages have nearly the same order. */
const dateSlack = 60_000
/** Page limit when neither a position nor a date ends the search. */
const unboundedPages = 5

/** `Date` and `Age` of a response. A cached response carries the `Date` of the original one. */
const timesOf = (headers: Readonly<Record<string, string | undefined>>): Pick<Page, "serverTime" | "asOf"> => {
  const date = Date.parse(headers["date"] ?? "")
  const age = Number(headers["age"] ?? "0")
  return Number.isNaN(date)
    ? { serverTime: undefined, asOf: undefined }
    : { serverTime: date + (age > 0 ? age * 1_000 : 0), asOf: date }
}

/** Recent responses to compare with, which reveals a cache that sends no `Age`. */
const rememberedAnswers = 16

/**
 * Offset of the server's clock from {@link monotonic}, estimated from recent responses. A stale response makes the
 * estimate too small.
 */
class ServerClock {
  readonly #offsets: Array<number> = []

  note(offset: number): void {
    this.#offsets.push(offset)
    if (this.#offsets.length > rememberedAnswers) this.#offsets.shift()
  }

  timeOf(at: number): number | undefined {
    return this.#offsets.length === 0 ? undefined : at + Math.max(...this.#offsets)
  }

  /** The server's time when a response with this date arrived. */
  at(arrived: number, serverTime: number | undefined): number | undefined {
    if (serverTime === undefined) return undefined
    this.note(serverTime - arrived)
    return this.timeOf(arrived)
  }
}

interface Context {
  readonly client: Client
  readonly clock: ServerClock
}

const decodeConversation = (operation: Read, text: string, status: number) =>
  Either.mapLeft(
    decodeJson(ConversationEnvelope, text),
    ({ issues }) => decode(operation, 1, "cannot decode the conversation", issues, { status })
  )

/** The bytes of a response, up to the size limit of the client. */
const bounded = (client: Client, operation: Read, bytes: Stream.Stream<Uint8Array, RequestError>) => {
  const limit = client.config.maxResponseSize ?? Number.POSITIVE_INFINITY
  return Stream.mapAccumEffect(bytes, 0, (size, piece) => {
    const whole = size + piece.length
    return whole > limit ? Effect.fail(responseTooLarge(operation, 1, limit)) : Effect.succeed([whole, piece])
  })
}

/** Uses `open`, because the time of a response is in its headers. */
const readPage = (
  { client, clock }: Context,
  conversationId: ConversationId,
  query: { readonly limit: number; readonly lastValue?: number | undefined },
  operation: Read = operations.createMessage.read
): Effect.Effect<Page, RequestError> =>
  Effect.scoped(Effect.gen(function*() {
    const response = yield* client.open(operation, { path: { conversationId }, query })
    const arrived = yield* monotonic
    const times = timesOf(response.headers)
    const text = yield* bounded(client, operation, client.body(operation, response)).pipe(
      Stream.decodeText(),
      Stream.runFold("", (all, piece) => all + piece)
    )
    const answer = yield* decodeConversation(operation, text, response.status)
    return {
      messages: answer.conversation.content.flatMap((versions) => versions.slice(-1)),
      before: answer.hasMore === true && answer.lastValue !== null ? answer.lastValue : undefined,
      serverTime: clock.at(arrived, times.serverTime),
      asOf: times.asOf,
      arrived
    }
  }))

/** When the message was sent, by the server's clock, as far as a page shows. */
const sentAt = (sent: Bounds["sent"], page: Page): number | undefined => {
  switch (sent._tag) {
    case "Server":
      return sent.notBefore
    case "Here":
      return page.serverTime === undefined ? undefined : page.serverTime - (page.arrived - sent.at) - tolerance
    case "Unknown":
      return undefined
  }
}

const readSince = (
  context: Context,
  { conversationId, operation, position, sent }: Bounds
): Effect.Effect<Look, RequestError> =>
  Effect.gen(function*() {
    let page = yield* readPage(context, conversationId, { limit: firstPage }, operation)
    const notBefore = sentAt(sent, page)
    const { asOf } = page
    const look = { notBefore, asOf, stale: asOf !== undefined && notBefore !== undefined && asOf < notBefore }
    const messages: Array<Message> = []
    for (let count = 1;; count++) {
      const known = position === null
        ? -1
        : page.messages.findLastIndex((message) => isNewer(message, position) === false)
      messages.unshift(...page.messages.slice(known + 1))
      if (known >= 0) return { ...look, messages, bounded: true }
      const { before } = page
      if (before === undefined) {
        // Without ranks, the message at the position should have been on one of the pages.
        const bounded = position !== null && (position.messageId === null || position.rank !== null)
        return { ...look, messages, bounded }
      }
      const oldest = page.messages[0]
      if (
        (oldest !== undefined && notBefore !== undefined && oldest.created < notBefore - dateSlack) ||
        (position === null && count >= unboundedPages)
      ) return { ...look, messages, bounded: false }
      page = yield* readPage(context, conversationId, { limit: nextPages, lastValue: before }, operation)
      // A cursor that does not advance would loop for ever.
      if (page.before !== undefined && page.before >= before) return { ...look, messages, bounded: false }
    }
  })

const noteClock = ({ client, clock }: Context): Effect.Effect<void> =>
  Effect.gen(function*() {
    const now = Option.getOrUndefined(yield* client.serverTime)
    if (now !== undefined) clock.note(now - (yield* monotonic))
  })

export const makeLookBack = (client: Client): LookBack => {
  const context: Context = { client, clock: new ServerClock() }
  return {
    noteClock: noteClock(context),
    serverTimeOf: (at) =>
      Effect.zipRight(
        noteClock(context),
        Effect.sync(() => {
          const time = context.clock.timeOf(at)
          return time === undefined ? undefined : time - tolerance
        })
      ),
    newest: (conversationId) => Effect.map(readPage(context, conversationId, { limit: 1 }), (page) => page.messages),
    since: (bounds) => readSince(context, bounds)
  }
}

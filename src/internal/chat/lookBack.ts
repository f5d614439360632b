/** Reads a conversation from its newest message back to a position, with the time of the server that answered. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { DustDecodeError, type RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { ConversationEnvelope, operations } from "../api/conversations.ts"
import { decodeJson } from "../decode/json.ts"
import { common } from "../request/errors.ts"
import { monotonic } from "../util/monotonic.ts"
import { isNewer, type Newer, type Position } from "./sameMessage.ts"

/**
 * `created` and `Date` come from two machines of the server, and `Date` has whole seconds. The two are only compared within
 * one answer, never with the clock of this machine.
 */
const tolerance = 3_000

interface Page {
  /** The newest version of each message, the oldest message first; deleted ones included. */
  readonly messages: ReadonlyArray<Message>
  /** The cursor of the page before. */
  readonly before: number | undefined
  /** When the server answered, by its own clock. */
  readonly serverTime: number | undefined
  /** What the answer shows is as old as this. */
  readonly asOf: number | undefined
  /** When the answer arrived, by {@link monotonic}. */
  readonly arrived: number
}

export interface Look extends Newer {
  /** The answer is older than the message, so it cannot have it. */
  readonly stale: boolean
  /** When the message was sent, by the server's clock, as far as it is known. */
  readonly notBefore: number | undefined
  /** What it shows is as old as this, by the server's clock, as far as it is known. */
  readonly asOf: number | undefined
}

export interface Bounds {
  /** What the reads are a part of. Defaults to `createMessage`. */
  readonly operation?: Read | undefined
  readonly conversationId: ConversationId
  /** `null`: unknown. */
  readonly position: Position | null
  /** When the message was sent, by {@link monotonic} of this process; or by the server's clock; or unknown. */
  readonly sent:
    | { readonly _tag: "Here"; readonly at: number }
    | { readonly _tag: "Server"; readonly notBefore: number }
    | { readonly _tag: "Unknown" }
}

type Read = (typeof operations)["createMessage" | "findSent"]["read"]

export interface LookBack {
  /** The newest messages of a conversation: one is enough to know its position. */
  readonly newest: (conversationId: ConversationId) => Effect.Effect<ReadonlyArray<Message>, RequestError>
  /** Notes the server's clock of the answer that has just come: one to a POST is out of no cache. */
  readonly noteClock: Effect.Effect<void>
  /** When something that happened then, by {@link monotonic}, happened by the server's clock, as far as it is known. */
  readonly serverTimeOf: (at: number) => Effect.Effect<number | undefined>
  /** What is newer than a position. */
  readonly since: (bounds: Bounds) => Effect.Effect<Look, RequestError>
}

/** Most looks end on the first page; a busy conversation is read in larger steps. */
const firstPage = 20
const nextPages = 100
/** Ranks and dates of messages have nearly the same order. */
const dateSlack = 60_000
/** Where neither a position nor a date ends the search. */
const unboundedPages = 5

/** An answer of a cache is as old as it says: its `Date` is that of the server's answer, long ago. */
const timesOf = (headers: Readonly<Record<string, string | undefined>>): Pick<Page, "serverTime" | "asOf"> => {
  const date = Date.parse(headers["date"] ?? "")
  const age = Number(headers["age"] ?? "0")
  return Number.isNaN(date)
    ? { serverTime: undefined, asOf: undefined }
    : { serverTime: date + (age > 0 ? age * 1_000 : 0), asOf: date }
}

/** A cache that does not say how old its answers are is noticed by comparing them with the last ones. */
const rememberedAnswers = 16

/** How far the server's clock is ahead of {@link monotonic}, by the last answers. An old answer makes it too small. */
class ServerClock {
  readonly #offsets: Array<number> = []

  note(offset: number): void {
    this.#offsets.push(offset)
    if (this.#offsets.length > rememberedAnswers) this.#offsets.shift()
  }

  timeOf(at: number): number | undefined {
    return this.#offsets.length === 0 ? undefined : at + Math.max(...this.#offsets)
  }

  /** The server's time when an answer of this date arrived. */
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
    ({ issues }) =>
      new DustDecodeError({
        ...common(operation, 1),
        message: `${operation.module}.${operation.method}: cannot decode the conversation`,
        status,
        type: "unexpected_answer",
        details: { issues },
        issues
      }, { disableValidation: true })
  )

/** By `open`, because the time of an answer is in its headers. */
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
    const text = yield* client.body(operation, response).pipe(
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

/** When the message was sent, by the server's clock, as far as a page tells. */
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
        // Without ranks, the message of the position should have been among them.
        const bounded = position !== null && (position.messageId === null || position.rank !== null)
        return { ...look, messages, bounded }
      }
      const oldest = page.messages[0]
      if (
        (oldest !== undefined && notBefore !== undefined && oldest.created < notBefore - dateSlack) ||
        (position === null && count >= unboundedPages)
      ) return { ...look, messages, bounded: false }
      page = yield* readPage(context, conversationId, { limit: nextPages, lastValue: before }, operation)
      // A list that does not advance would never end.
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

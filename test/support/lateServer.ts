/**
 * A conversation on a server that answers late, reads from replicas that lag, caches, normalizes, and has a clock of its
 * own. It identifies the sender of each message by a field that the SDK does not compare.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Clock, Effect } from "effect"

export interface Stored {
  readonly sId: string
  readonly rank: number
  readonly owner: string
  readonly content: string
  readonly username: string
  readonly agentId: string | null
  /** By the clock of the test. */
  readonly at: number
}

/** The outcome of one POST. */
export interface Fate {
  /** When the handler stores the message, after the request; `null`: never. */
  readonly handled: number | null
  /** What the client gets. */
  readonly reply:
    | "ok"
    | "reset"
    | "refused"
    | "silence"
    | "cut"
    | "garbled"
    | 403
    | 408
    | 499
    | 500
    | 502
    | 503
    | 504
    | 520
    | 524
  /** When, after the request. */
  readonly after: number
}

export interface World {
  /** How far the server's clock is ahead. */
  readonly skew: number
  /** How old what a read shows may be. */
  readonly lag: number
  /** Answers to reads that a cache repeats, by the number of the read. */
  readonly cached: ReadonlyArray<number>
  /** Whether the cache sends the age of its answer. */
  readonly age: boolean
  readonly normalize: "none" | "trim" | "lines" | "nfc" | "blanks" | "all"
  readonly fates: ReadonlyArray<Fate>
}

const normalizers: Record<World["normalize"], (text: string) => string> = {
  none: (text) => text,
  trim: (text) => text.trim(),
  lines: (text) => text.replace(/\r\n/g, "\n"),
  nfc: (text) => text.normalize("NFC"),
  blanks: (text) => text.normalize("NFKC").replace(/[\u200b-\u200d\ufeff]/g, "").replace(/\s+/g, " "),
  all: (text) => text.replace(/\r\n/g, "\n").normalize("NFC").trim()
}

const json = (value: unknown, headers: Record<string, string>, status = 200) =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } })

export const lateServer = (world: World) => {
  const stored: Array<Stored> = []
  let sent = 0
  let reads = 0
  /** Messages by the POST that they came with, in the order of the POSTs. */
  const posts: Array<{ readonly owner: string; readonly at: number }> = []
  let cache: { readonly body: unknown; readonly at: number } | undefined

  const store = (owner: string, content: string, username: string, agentId: string | null, at: number): Stored => {
    const rank = stored.length * 2
    const message = {
      sId: `msg_${rank}`,
      rank,
      owner,
      content: normalizers[world.normalize](content),
      username,
      agentId,
      at
    }
    stored.push(message)
    return message
  }

  const user = (message: Stored) => ({
    type: "user_message",
    sId: message.sId,
    rank: message.rank,
    version: 0,
    visibility: "visible",
    created: message.at + world.skew,
    content: message.content,
    mentions: message.agentId === null ? [] : [{ configurationId: message.agentId }],
    context: { username: message.username, timezone: "UTC", origin: "api", fullName: message.owner }
  })

  const agent = (message: Stored) => ({
    type: "agent_message",
    sId: `${message.sId}_answer`,
    rank: message.rank + 1,
    version: 0,
    visibility: "visible",
    created: message.at + world.skew,
    status: "created",
    content: null,
    parentMessageId: message.sId
  })

  const date = (at: number) => ({ date: new Date(at + world.skew).toUTCString() })

  const page = (url: URL, now: number) => {
    const limit = Number(url.searchParams.get("limit") ?? "100000")
    const before = Number(url.searchParams.get("lastValue") ?? "Infinity")
    const all = stored.filter((message) => message.at <= now - world.lag)
      .flatMap((message) => message.agentId === null ? [user(message)] : [user(message), agent(message)])
      .filter((message) => message.rank < before)
    const content = all.slice(-limit)
    return {
      conversation: { sId: "cnv_1", created: 0, content: content.map((message) => [message]) },
      hasMore: content.length < all.length,
      lastValue: content[0] === undefined ? null : String(content[0].rank)
    }
  }

  const broken = (request: HttpClientRequest.HttpClientRequest, code: string) =>
    Effect.fail(
      new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error(code), { code }) })
      })
    )

  const answer = (
    request: HttpClientRequest.HttpClientRequest,
    fate: Fate,
    message: Stored | undefined,
    now: number
  ) => {
    switch (fate.reply) {
      case "silence":
        return Effect.never
      case "reset":
        return broken(request, "ECONNRESET")
      case "refused":
        return broken(request, "ECONNREFUSED")
      case "ok":
      case "cut":
      case "garbled": {
        if (message === undefined) return broken(request, "ECONNRESET")
        if (fate.reply !== "ok") return Effect.succeed(new Response("{\"message\":", { headers: date(now) }))
        return Effect.succeed(json({ message: user(message), agentMessages: [agent(message)] }, date(now)))
      }
      case 403:
        return Effect.succeed(json({ error: { type: "credits_exhausted", message: "No credits" } }, date(now), 403))
      default:
        return Effect.succeed(
          new Response(fate.reply === 499 ? "" : "<html>Bad gateway</html>", {
            status: fate.reply,
            headers: { "content-type": "text/html", ...date(now) }
          })
        )
    }
  }

  const post = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.gen(function*() {
      const fate = world.fates[sent++] ?? { handled: 0, reply: "ok", after: 0 }
      if (fate.reply === "refused") return yield* broken(request, "ECONNREFUSED")
      const body = JSON.parse(
        new TextDecoder().decode(request.body._tag === "Uint8Array" ? request.body.body : undefined)
      )
      const owner: string = body.context.fullName
      posts.push({ owner, at: yield* Clock.currentTimeNanos.pipe(Effect.map((nanos) => Number(nanos / 1_000_000n))) })
      let message: Stored | undefined
      const { handled } = fate
      const handler = handled === null || fate.reply === 403 ? Effect.void : Effect.flatMap(
        Effect.zipRight(Effect.sleep(handled), now),
        (at) =>
          Effect.sync(() => {
            message = store(owner, body.content, body.context.username, body.mentions[0]?.configurationId ?? null, at)
          })
      )
      // The handler continues without its client.
      yield* Effect.forkDaemon(handler)
      // An answer that has the message waits for it.
      const after = fate.reply === "ok" || fate.reply === "cut" || fate.reply === "garbled"
        ? Math.max(fate.after, (handled ?? 0) + 1)
        : fate.after
      yield* Effect.sleep(after)
      return yield* answer(request, fate, message, yield* now)
    })

  const read = (url: URL) =>
    Effect.map(now, (at) => {
      reads++
      if (world.cached.includes(reads) && cache !== undefined && url.searchParams.get("lastValue") === null) {
        const age: Record<string, string> = world.age ? { age: String(Math.floor((at - cache.at) / 1_000)) } : {}
        return json(cache.body, { ...date(cache.at), ...age })
      }
      const body = page(url, at)
      if (cache === undefined) cache = { body, at }
      return json(body, date(at))
    })

  const client = HttpClient.make((request, url) =>
    Effect.map(
      request.method === "POST"
        ? url.pathname.endsWith("/messages")
          ? post(request)
          : Effect.map(now, (at) => json({ conversation: { sId: "cnv_1", created: 0, content: [] } }, date(at)))
        : read(url),
      (response) => HttpClientResponse.fromWeb(request, response)
    )
  )

  return { client, stored, posts, store }
}

/** The time of the test, which no clock of a machine changes. */
const now = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))

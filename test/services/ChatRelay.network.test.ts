/** The relay behind proxies that hold back, compress and cut. Hours pass on a virtual clock. */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Clock, Effect, Fiber, Layer, ManagedRuntime, Option, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import { Conversations } from "effect-dust/Conversations"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"
import type { ReadableStream as WebStream } from "node:stream/web"
import * as Proxy from "../support/proxy.ts"
import { virtualClock } from "../support/virtual.ts"

const words = "One two three four five six. ".repeat(6)

const agents: DustTest.Options["agents"] = {
  slow: [
    DustTest.text(words, { pace: "2 seconds" }),
    DustTest.silence("12 minutes"),
    DustTest.text(words, { pace: "10 millis" }),
    DustTest.approval({
      name: "send",
      inputs: {},
      stake: "high",
      onResult: ({ approved }) => approved ? "Sent." : "No."
    })
  ]
}

/** A proxy on the clock of the test. */
interface Trouble {
  /** Resets a connection that has been quiet for so long. */
  readonly idle?: string
  /** Hands nothing on until the origin has ended the response. */
  readonly buffers?: boolean
  /** Takes out comments, as some that rewrite bodies do. */
  readonly strips?: boolean
}

const isComment = (bytes: Uint8Array) => new TextDecoder().decode(bytes) === ":\n\n"

const through = (trouble: Trouble) => (bytes: Stream.Stream<Uint8Array>): Stream.Stream<Uint8Array, "reset"> => {
  let out: Stream.Stream<Uint8Array, "reset"> = trouble.strips === true
    ? Stream.filter(bytes, (piece) => !isComment(piece))
    : bytes
  if (trouble.idle !== undefined) out = Stream.timeoutFail(out, (): "reset" => "reset", "55 seconds")
  return trouble.buffers === true ? Stream.fromIterableEffect(Stream.runCollect(out)) : out
}

interface Seen {
  readonly events: ReadonlyArray<ChatEvent>
  readonly connections: number
  readonly cancelled: boolean
  readonly questions: number
  readonly minutes: number
}

/** One answer of more than half an hour, relayed through a proxy; the approval is given 20 minutes after it was asked for. */
const relayed = (trouble: Trouble, options: ChatRelay.RelayOptions<DustAPIError>) =>
  Effect.gen(function*() {
    const chat = yield* Chat
    const conversations = yield* Conversations
    const dust = yield* DustTest.DustTest
    const runtime = yield* Effect.runtime<Chat>()
    const start = yield* Clock.currentTimeMillis
    const asked = yield* chat.start({ agent: "slow", message: "Go" })
    let connections = 0
    const open = (id: string | undefined, signal: AbortSignal) => {
      connections++
      const place = Option.getOrThrow(ChatRelay.placeOf(id ?? ""))
      const bytes = ChatRelay.toBytes(chat.resume({ ...place, onInterrupt: "leave" }), options).pipe(through(trouble))
      return Effect.runPromise(
        Effect.provide(
          Effect.map(
            Stream.toReadableStreamEffect(bytes),
            (body) => new Response(body, { headers: ChatRelay.headers })
          ),
          runtime
        ),
        { signal }
      )
    }
    const approving = yield* Effect.fork(
      Effect.gen(function*() {
        let at: { readonly actionId: string } | undefined
        while (at === undefined) {
          yield* Effect.sleep("1 minute")
          at = (yield* conversations.blockedActions(asked.conversationId))[0]
        }
        yield* Effect.sleep("20 minutes")
        yield* conversations.validateAction({ ...asked, actionId: at.actionId, approved: "approved" })
      })
    )
    const events = yield* Stream.runCollect(ChatRelay.subscribe(open, { id: ChatRelay.idOf(asked) }))
    yield* Fiber.join(approving)
    const message = yield* dust.message(asked.messageId)
    const seen: Seen = {
      events: Chunk.toReadonlyArray(events),
      connections,
      cancelled: message.cancelRequested,
      questions: (yield* dust.userMessages()).length,
      minutes: ((yield* Clock.currentTimeMillis) - start) / 60_000
    }
    return seen
  }).pipe(Effect.provide(DustTest.layer({ agents })), Effect.withClock(virtualClock()), Effect.runPromise)

const everything = ({ cancelled, events, minutes, questions }: Seen) => {
  assert.isAbove(minutes, 33)
  assert.isFalse(cancelled)
  assert.strictEqual(questions, 1)
  const ids = events.flatMap((event) => event.eventId === undefined ? [] : [`${event._tag} ${event.eventId}`])
  assert.deepStrictEqual(ids, [...new Set(ids)])
  const deltas = events.map((event) => event._tag === "TextDelta" ? event.text : "").join("")
  assert.strictEqual(deltas, `${words}${words}Sent.`)
  assert.lengthOf(events.filter(({ _tag }) => _tag === "Started"), 1)
  assert.lengthOf(events.filter(({ _tag }) => _tag === "ApprovalNeeded"), 1)
  const last = events.at(-1)
  assert.strictEqual(last?._tag, "Done")
  const shown = events.reduce(
    (text, event) => event._tag === "TextDelta" ? text + event.text : event._tag === "Reset" ? event.text : text,
    ""
  )
  assert.strictEqual(last?._tag === "Done" ? last.reply.text : undefined, shown)
}

describe("ChatRelay behind a proxy", () => {
  it(
    "that cuts idle connections after 55 seconds: keep-alive comments hold one connection for 30 minutes",
    async () => {
      const seen = await relayed({ idle: "55 seconds" }, {})
      everything(seen)
      assert.strictEqual(seen.connections, 1)
    }
  )

  it(
    "that also takes out comments: every cut is followed by a resume, without loss, repetition or a stopped agent",
    async () => {
      const seen = await relayed({ idle: "55 seconds", strips: true }, {})
      everything(seen)
      assert.isAbove(seen.connections, 20)
    }
  )

  it("that holds responses back until their end: maxDuration delivers the answer piece by piece", async () => {
    const seen = await relayed({ idle: "55 seconds", buffers: true }, { maxDuration: "20 seconds" })
    everything(seen)
    assert.isAbove(seen.connections, 60)
  })

  it("that compresses, drips and resets at random: the page of the routes loses nothing", async () => {
    const script = [DustTest.text(words.repeat(4), { pace: "1 millis" }), DustTest.text("Done.")]
    const runtime = ManagedRuntime.make(
      ChatRelay.layerShutdown().pipe(
        Layer.provideMerge(DustTest.layer({ agents: { helper: script }, credential: "userToken" }))
      )
    )
    const handler = ChatRoutes.toWebHandler(runtime, {
      agents: ["helper"],
      credential: () => Effect.succeed({ accessToken: DustTest.credentials.userToken })
    })
    const origin = Http.createServer((request, response) => {
      const body = request.method === "POST" ? Readable.toWeb(request) as unknown as ReadableStream : null
      const closed = new AbortController()
      response.on("close", () => closed.abort())
      const init: RequestInit & { readonly duplex: "half" } = {
        method: request.method ?? "GET",
        headers: request.headers as Record<string, string>,
        body,
        signal: closed.signal,
        duplex: "half"
      }
      void handler(new Request(`http://app.test${request.url}`, init)).then((answer) => {
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        if (answer.body === null) response.end()
        else Readable.fromWeb(answer.body as WebStream).on("error", () => response.destroy()).pipe(response)
      })
    })
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve))
    await Effect.gen(function*() {
      const proxy = yield* Proxy.make({
        origin: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
        rules: [
          // At least these, however fast the answer is.
          { path: /\/events\//, nth: [1, 2], trouble: Proxy.cutBytes(900) },
          Proxy.randomly({
            path: /\/events\//,
            seed: 7,
            rate: 0.5,
            troubles: [Proxy.cutBytes(2_000), Proxy.resetAfter, Proxy.Trouble.Buffer()]
          }),
          { path: /\/events\//, trouble: Proxy.Trouble.Compress({ encoding: "gzip" }) }
        ]
      })
      yield* Effect.promise(async () => {
        const chat = ChatRelayClient.make({ url: proxy.url })
        const { id } = await chat.ask({ message: "Go" })
        let text = ""
        let deltas = ""
        let lost = 0
        const onConnection = (state: string) => {
          if (state === "lost") lost++
        }
        for await (const event of chat.follow({ id, attempts: 50, onConnection })) {
          text = ChatRelayClient.textAfter(text, event)
          if (event._tag === "TextDelta") deltas += event.text
        }
        assert.strictEqual(deltas, `${words.repeat(4)}Done.`)
        assert.strictEqual(text, deltas)
        assert.isAtLeast(lost, 2)
        assert.isAbove(proxy.counts.troubles.Compress ?? 0, 0)
      })
    }).pipe(Effect.scoped, Effect.runPromise)
    await runtime.dispose()
    origin.closeAllConnections()
    origin.close()
  })
})

/**
 * A long answer and many streams: memory has to stay flat, nothing may be lost.
 *
 *     npx tsx --expose-gc test/bench/soak.ts [events] [streams]
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Chunk, Deferred, Effect, Exit, Layer, Redacted, Scope, Stream } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose_gc")
const collect: () => void = runInNewContext("gc")

/** Bytes of the heap that are in use. */
export const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}

const follow = (agent: string) =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const { sId: conversationId } = yield* conversations.create()
    const { agentMessages } = yield* conversations.createMessage({
      conversationId,
      content: "Go",
      mentions: [{ configurationId: agent }]
    })
    return conversations.messageEvents({ conversationId, messageId: agentMessages[0]!.sId })
  })

const perConnection = 50_000
const perPiece = 500

/** A server that keeps nothing: token after token up to `count`, so many of them on each connection. */
const endless = (count: number): HttpClient.HttpClient =>
  HttpClient.make((request, url) => {
    let next = Number(url.searchParams.get("lastEventId")?.split("-")[0] ?? 0)
    const last = Math.min(count, next + perConnection)
    const encoder = new TextEncoder()
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        let frames = ""
        for (let i = 0; i < perPiece && next < last; i++, next++) {
          frames += `data: {"eventId":"${
            next + 1
          }-0","data":{"type":"generation_tokens","created":1,"configurationId":"a","messageId":"m","text":"${next} ","classification":"tokens","step":0}}\n\n`
        }
        if (next === count) {
          frames += `data: {"eventId":"${
            count + 1
          }-0","data":{"type":"agent_generation_cancelled","messageId":"m"}}\n\n`
        }
        if (next === last) frames += "data: done\n\n"
        controller.enqueue(encoder.encode(frames))
        if (next === last) controller.close()
      }
    }, { highWaterMark: 0 })
    return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body)))
  })

export interface Soak {
  readonly events: number
  /** Bytes in use after each tenth of the events. */
  readonly heaps: ReadonlyArray<number>
  readonly milliseconds: number
}

/** One answer of so many tokens: every one of them once, in order. */
export const tokens = (count: number): Effect.Effect<Soak> =>
  Effect.gen(function*() {
    const conversations = yield* Conversations
    const events = conversations.messageEvents({ conversationId: "c", messageId: "m" })
    const heaps: Array<number> = []
    let next = 0
    const start = performance.now()
    yield* Stream.runForEachChunk(events, (chunk) =>
      Effect.sync(() => {
        for (const event of Chunk.toReadonlyArray(chunk)) {
          if (event.type !== "generation_tokens") continue
          if (event.text !== `${next} `) throw new Error(`token ${next} expected, ${event.text} found`)
          next++
          if (next % (count / 10) === 0) heaps.push(heap())
        }
      }))
    return { events: next, heaps, milliseconds: performance.now() - start }
  }).pipe(
    Effect.provide(Dust.layer({ workspaceId: "w", apiKey: Redacted.make("sk-soak"), baseUrl: "https://dust.test" })),
    Effect.provideService(HttpClient.HttpClient, endless(count)),
    Effect.orDie
  )

/** So many streams at the same time: bytes in use for each, client and server together. */
export const streams = (count: number): Effect.Effect<{ readonly bytesEach: number; readonly left: number }> =>
  Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const events = yield* follow("silent")
    const before = heap()
    const all = yield* Deferred.make<void>()
    let arrived = 0
    const scope = yield* Scope.make()
    yield* Effect.forEach(Array.from({ length: count }), () =>
      Effect.forkIn(
        Stream.runForEach(
          events,
          (event) =>
            event.type === "generation_tokens" && ++arrived === count ? Deferred.succeed(all, undefined) : Effect.void
        ),
        scope
      ), { discard: true })
    yield* Deferred.await(all)
    const bytesEach = (heap() - before) / count
    yield* Scope.close(scope, Exit.void)
    return { bytesEach, left: yield* dust.openStreams }
  }).pipe(
    Effect.provide(Layer.fresh(DustTest.layer({ agents: { silent: [DustTest.text("a"), DustTest.silence()] } }))),
    Effect.orDie
  )

if (process.argv[1]?.endsWith("soak.ts") === true) {
  const [events = 1_000_000, many = 10_000] = process.argv.slice(2).map(Number)
  await Effect.runPromise(Effect.gen(function*() {
    const long = yield* tokens(events)
    console.log(JSON.stringify({
      events: long.events,
      seconds: long.milliseconds / 1_000,
      heapMB: long.heaps.map((bytes) => Math.round(bytes / 1e5) / 10)
    }))
    const open = yield* streams(many)
    console.log(JSON.stringify({ streams: many, kilobytesEach: open.bytesEach / 1_000, leftOpen: open.left }))
  }))
}

/** Streams over a server of which nothing is known but its rules: what is cut, where, and in which order things come. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Stream } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as fc from "effect/FastCheck"
import * as Http from "../support/http.ts"
import { seed } from "../support/seed.ts"
import { virtualClock } from "../support/virtual.ts"

const timeless = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.suspend(() => Effect.withClock(effect, virtualClock())))

interface Server {
  /** The counters of each millisecond. */
  readonly history: ReadonlyArray<ReadonlyArray<number>>
  readonly page: number
  readonly doneFrame: boolean
  /** The order of events within one millisecond: as text, or another one for every connection. */
  readonly order: "text" | "any"
}

interface Broken {
  readonly at: number
  readonly orderly: boolean
}

const start = 1_750_000_000_000
const terminal = "agent_generation_cancelled"

/** Follows the only message of a server that breaks its connections off as planned. */
const followed = (server: Server, broken: (connection: number) => Broken | undefined) => {
  const events = server.history.flatMap((counters, ms) =>
    counters.toSorted((a, b) => a - b).map((counter) => ({ ms: start + ms, counter, id: `${start + ms}-${counter}` }))
  )
  events.push({ ms: start + server.history.length, counter: 0, id: `${start + server.history.length}-0` })
  let connections = 0
  const shuffled = (id: string) => fc.hash(`${connections} ${id}`)
  const body = (lastEventId: string | null): Uint8Array => {
    const [ms = 0, counter = 0] = (lastEventId ?? "0-0").split("-").map(Number)
    const page = events.filter((event) => event.ms > ms || (event.ms === ms && event.counter > counter))
      .slice(0, server.page)
      .sort((a, b) =>
        a.ms - b.ms || (server.order === "text" ? (a.id < b.id ? -1 : 1) : shuffled(a.id) - shuffled(b.id))
      )
    const frames = page.map(({ id }) => {
      const last = id === events.at(-1)!.id
      return `data: ${
        JSON.stringify({
          eventId: id,
          data: last ? { type: terminal } : { type: "generation_tokens", text: id, classification: "tokens" }
        })
      }\n\n`
    })
    return new TextEncoder().encode(
      `event: dust-handshake\ndata: {}\n\n${frames.join("")}${server.doneFrame ? "data: done\n\n" : ""}`
    )
  }
  const { layer } = Http.dust(({ url }) => {
    if (url.pathname.endsWith("/actions/blocked")) return Http.json({ blockedActions: [] })
    if (!url.pathname.endsWith("/events")) {
      const message = { sId: "m", type: "agent_message", status: "created", created: start, version: 0, rank: 1 }
      return Http.json({ conversation: { sId: "c", created: start, content: [[message]] } })
    }
    const bytes = body(url.searchParams.get("lastEventId"))
    const fault = broken(++connections)
    return new Response(
      new ReadableStream({
        start: (controller) => {
          const sent = bytes.subarray(0, fault?.at)
          if (sent.length > 0) controller.enqueue(sent)
          if (fault === undefined || fault.orderly) controller.close()
        },
        pull: (controller) => controller.error(new Error("cut"))
      }),
      { headers: { "content-type": "text/event-stream" } }
    )
  })
  return Effect.gen(function*() {
    const conversations = yield* Conversations
    const seen: Array<string> = []
    const end = yield* conversations.messageEvents({ conversationId: "c", messageId: "m", silence: "1 minute" }).pipe(
      Stream.runForEach((event) => Effect.sync(() => seen.push(event.eventId!))),
      Effect.either
    )
    return { seen, all: events.map(({ id }) => id), end, connections: () => connections }
  }).pipe(Effect.provide(layer))
}

const millisecond = (id: string) => Number(id.split("-")[0])

const servers = fc.record<Server>({
  history: fc.array(
    fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 999 })), {
      minLength: 1,
      maxLength: 9
    }),
    { minLength: 1, maxLength: 4 }
  ),
  page: fc.integer({ min: 2, max: 20 }),
  doneFrame: fc.boolean(),
  order: fc.constantFrom("text", "any")
})

const breaks = fc.option(fc.record<Broken>({ at: fc.integer({ min: 0, max: 1_000 }), orderly: fc.boolean() }), {
  nil: undefined,
  freq: 8
})

describe("Every event once, in order", () => {
  for (const orderly of [true, false]) {
    it(`two cuts in a row behind an event that arrived ahead of others of its millisecond, ${orderly ? "ended" : "cut"}`, () =>
      timeless(Effect.gen(function*() {
        // As text, 10 and 100 come ahead of 2.
        const { all, seen } = yield* followed(
          { history: [[7], [2, 10, 100]], page: 50, doneFrame: true, order: "text" },
          (connection) => connection < 3 ? { at: connection === 1 ? 370 : 250, orderly } : undefined
        )
        assert.deepStrictEqual(seen.map((id) => id.slice(-4)), ["00-7", "1-10", "-100", "01-2", "02-0"])
        assert.deepStrictEqual(seen.toSorted(), all.toSorted())
      })))
  }

  it(
    "whatever is out of order within a millisecond, and wherever up to two connections in a row are cut",
    () =>
      fc.assert(
        fc.asyncProperty(servers, fc.array(fc.tuple(breaks, breaks), { minLength: 1, maxLength: 5 }), (server, pairs) =>
          timeless(Effect.gen(function*() {
            const plan = pairs.flatMap((pair) => [...pair, undefined])
            const { all, end, seen } = yield* followed(server, (connection) =>
              plan[connection - 1])
            assert.isTrue(Either.isRight(end))
            assert.deepStrictEqual(seen.toSorted(), all.toSorted(), "each once")
            const times = seen.map(millisecond)
            assert.deepStrictEqual(
              times,
              times.toSorted((a, b) =>
                a - b
              ),
              "in order"
            )
          }))),
        { numRuns: 150, seed }
      ),
    120_000
  )

  it("however often connections are cut: nothing twice, nothing out of order, and an end", () =>
    fc.assert(
      fc.asyncProperty(
        servers,
        fc.array(breaks, { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        (server, plan, forEver) =>
          timeless(Effect.gen(function*() {
            const { connections, end, seen } = yield* followed(
              server,
              (connection) => plan[forEver ? (connection - 1) % plan.length : connection - 1]
            )
            assert.strictEqual(new Set(seen).size, seen.length, "nothing twice")
            const times = seen.map(millisecond)
            assert.deepStrictEqual(times, times.toSorted((a, b) => a - b), "in order")
            // A connection that is always cut before the first event never delivers the end.
            if (!forEver || plan.includes(undefined)) assert.isTrue(Either.isRight(end), "the end")
            else if (Either.isLeft(end)) assert.strictEqual(end.left._tag, "DustStreamError")
            assert.isBelow(connections(), 500)
          }))
      ),
      { numRuns: 60, seed }
    ), 120_000)
})

/** Everything that following a stream does, as a journal by the clock: a scripted server, a scripted conversation. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, type Clock, Duration, Effect, Random, Stream } from "effect"
import { DustNotFoundError, DustServerError, type RequestError, type StreamError } from "effect-dust/DustAPIError"
import { DustClient } from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { operations } from "../../src/internal/api/conversations.ts"
import { type Source, type Truth } from "../../src/internal/stream/follower.ts"
import * as Resumable from "../../src/internal/stream/resumable.ts"
import * as Http from "../support/http.ts"
import { virtualClock } from "../support/virtual.ts"

const begin = 1_750_000_000_000
const operation = operations.events.read

/** What a connection sends after how many milliseconds each, and how it ends; by default, it stays open. */
interface Connection {
  readonly chunks?: ReadonlyArray<readonly [after: number, text: string]>
  readonly end?: "close" | "cut"
  /** Milliseconds before its headers. */
  readonly opens?: number
  /** Instead of a stream. */
  readonly response?: () => Response
}

/** A read of the conversation: how long it takes, and what it finds. */
interface Read {
  readonly takes?: number
  readonly finds: "alive" | "waiting" | "ended" | RequestError | Error
  readonly events?: ReadonlyArray<string>
}

interface Script {
  /** The last one repeats. */
  readonly connections: ReadonlyArray<Connection>
  /** The last one repeats. Without one, the stream has no conversation. */
  readonly reads?: ReadonlyArray<Read>
  readonly lastEventId?: string
  readonly resumes?: boolean
  readonly silence?: number
  /** How long a server that stays away is tried. */
  readonly patience?: Duration.DurationInput
  /** When the process is suspended, and for how long; its timers do not count that time, and the journal does not. */
  readonly suspends?: readonly [at: number, millis: number]
  /** Milliseconds that the consumer takes for an event. */
  readonly consumes?: number
  /** How many events it takes. */
  readonly takes?: number
}

const framed = (...ids: ReadonlyArray<string>) =>
  ids.map((id) => `data: ${JSON.stringify({ eventId: id.split(" ")[0], data: id.split(" ")[1] ?? "" })}\n\n`).join("")
const at = (after: number, ...ids: ReadonlyArray<string>) => [after, framed(...ids)] as const
const done = [0, "data: done\n\n"] as const

/** Follows a script to its end. */
const journalOf = (script: Script): Promise<ReadonlyArray<string>> => {
  const timers = virtualClock(begin)
  const { suspends: [suspendedAt, suspendedFor] = [Infinity, 0] } = script
  const clock: Clock.Clock = {
    ...timers,
    unsafeCurrentTimeMillis: () => {
      const now = timers.unsafeCurrentTimeMillis()
      return now - begin >= suspendedAt ? now + suspendedFor : now
    }
  }
  const lines: Array<string> = []
  const note = (line: string) => lines.push(`${Math.round(timers.unsafeCurrentTimeMillis() - begin)} ${line}`)
  const bodyOf = ({ chunks = [], end }: Connection) =>
    Effect.gen(function*() {
      const encoder = new TextEncoder()
      let controller: ReadableStreamDefaultController<Uint8Array> | undefined
      const body = new ReadableStream<Uint8Array>({
        start: (given) => {
          controller = given
        },
        cancel: () => {
          controller = undefined
          note("closed")
        }
      })
      yield* Effect.forEach(chunks, ([after, text]) =>
        Effect.zipRight(
          after === 0 ? Effect.void : Effect.sleep(after),
          Effect.sync(() => controller?.enqueue(encoder.encode(text)))
        )).pipe(
          Effect.zipRight(Effect.sync(() => {
            if (end === "close") controller?.close()
            if (end === "cut") controller?.error(new Error("cut"))
          })),
          Effect.forkDaemon
        )
      return new Response(body, { headers: { "content-type": "text/event-stream" } })
    })
  const { layer } = Http.dust(({ nth, url }) => {
    note(`connect ${url.searchParams.get("lastEventId") ?? "from the start"}`)
    const connection = script.connections[Math.min(nth, script.connections.length) - 1] ?? {}
    return Effect.zipRight(
      connection.opens === undefined ? Effect.void : Effect.sleep(connection.opens),
      connection.response === undefined ? bodyOf(connection) : Effect.sync(connection.response)
    )
  }, { retry: RetryPolicy.make({ retries: 0, maxElapsed: script.patience ?? "10 seconds" }) })
  let read = 0
  const truth: Effect.Effect<Truth<string>, RequestError> = Effect.suspend(() => {
    const { reads = [] } = script
    const { events = [], finds, takes = 0 } = reads[Math.min(read++, reads.length - 1)] ?? { finds: "alive" }
    note("read")
    const found: Effect.Effect<Truth<string>, RequestError> = finds instanceof Error
      ? "module" in finds ? Effect.fail(finds) : Effect.die(finds)
      : finds === "ended"
      ? Effect.succeed({ _tag: "Ended", events: () => events })
      : Effect.succeed({ _tag: "Alive", waiting: finds === "waiting", events: () => events })
    return takes === 0 ? found : Effect.delay(found, takes)
  })
  const source: Source<string, typeof operation.route> = {
    operation,
    input: { path: { conversationId: "c" } },
    lastEventId: script.lastEventId,
    resumes: script.resumes ?? false,
    decode: (data, id) => data === "" ? `${id}` : `${id} ${String(data)}`,
    isUnknown: () => false,
    verdict: (_, data) => data === "end" ? "end" : data === "tool" ? "ask" : "go",
    truth: script.reads === undefined ? undefined : truth,
    silence: script.silence === undefined ? undefined : Duration.millis(script.silence)
  }
  const ended = (error: StreamError) => note(`failed ${JSON.stringify(error)}`)
  return Effect.gen(function*() {
    const client = yield* DustClient
    yield* Resumable.make(client, source).pipe(
      Stream.take(script.takes ?? 1_000),
      Stream.runForEach((event) => {
        note(event)
        return script.consumes === undefined ? Effect.void : Effect.sleep(script.consumes)
      }),
      Effect.matchCause({
        onSuccess: () => note("ended"),
        onFailure: (cause) => cause._tag === "Fail" ? ended(cause.error) : note(`died ${Cause.squash(cause)}`)
      })
    )
    return lines
  }).pipe(
    Effect.provide(layer),
    Effect.withRandom(Random.fixed([0.5])),
    Effect.withClock(clock),
    Effect.runPromise
  )
}

const page = (): Connection => ({ response: () => new Response("<html>", { status: 403 }) })
const away = (opens: number): Connection => ({ opens, response: () => Http.failure(503, "service_unavailable") })

const common = { module: "Conversations", method: "events", attempts: 1 }
const server = new DustServerError({
  ...common,
  request: undefined,
  message: "later",
  status: 503,
  type: "service_unavailable",
  details: {}
})
const gone = new DustNotFoundError({
  ...common,
  request: undefined,
  message: "gone",
  status: 404,
  type: "conversation_not_found",
  details: {}
})

/** A logged error. */
const failed = (tag: string, message: string, more: object): string =>
  JSON.stringify(
    {
      ...common,
      request: { method: "GET", route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/events" },
      ...more,
      message: `Conversations.events: ${message}`,
      _tag: tag
    },
    undefined,
    0
  )
const silent = (limit: string, lastEventId?: string) =>
  failed("DustStreamError", `no event for ${limit}, and the run is still in progress`, {
    details: { reason: "ended" },
    reason: "ended",
    lastEventId
  })

interface Row {
  readonly title: string
  readonly script: Script
  readonly journal: ReadonlyArray<string>
}
const first = "0 connect from the start"

const rows: ReadonlyArray<Row> = [
  {
    title: "after an announced end, the next page follows at once and behind the last event",
    script: { connections: [{ chunks: [at(0, "1-0", "2-0"), done], end: "close" }, { chunks: [at(5, "3-0 end")] }] },
    journal: [first, "0 1-0", "0 2-0", "0 connect 2-0", "5 closed", "5 3-0 end", "5 ended"]
  },
  {
    title: "after a cut, the next connection is spread, repeats the last millisecond, and nothing arrives twice",
    script: {
      connections: [{ chunks: [at(10, "1-0", "2-0", "3-0")], end: "cut" }, { chunks: [at(0, "3-0", "4-0 end")] }]
    },
    journal: [first, "10 1-0", "10 2-0", "10 3-0", "1610 connect 2-0", "1610 closed", "1610 4-0 end", "1610 ended"]
  },
  {
    title: "an end without a word is a cut, and a connection without a body brings nothing",
    script: {
      connections: [
        { chunks: [at(0, "1-0")], end: "close" },
        { response: () => new Response(null, { headers: { "content-type": "text/event-stream" } }) },
        { chunks: [at(0, "2-0 end")] }
      ]
    },
    journal: [
      first,
      "0 1-0",
      "1600 connect from the start",
      "1850 connect from the start",
      "1850 closed",
      "1850 2-0 end",
      "1850 ended"
    ]
  },
  {
    title: "a connection that is idle for its limit is replaced behind its last event",
    script: { connections: [{ chunks: [at(10, "1-0", "2-0")] }, { chunks: [at(0, "3-0 end")] }] },
    journal: [
      first,
      "10 1-0",
      "10 2-0",
      "90010 closed",
      "90010 connect 2-0",
      "90010 closed",
      "90010 3-0 end",
      "90010 ended"
    ]
  },
  {
    title: "a consumer that takes its time makes nothing idle, and nothing silent",
    script: {
      connections: [{ chunks: [at(10, "1-0"), at(200_000, "2-0 end")] }],
      consumes: 150_000,
      silence: 100_000
    },
    journal: [first, "10 1-0", "200010 closed", "200010 2-0 end", "350010 ended"]
  },
  {
    title: "a consumer that has enough closes the connection",
    script: { connections: [{ chunks: [at(10, "1-0", "2-0"), at(10, "3-0")] }], takes: 2 },
    journal: [first, "10 1-0", "10 2-0", "10 closed", "10 ended"]
  },
  {
    title:
      "if nothing arrives at first, the conversation is read once beside the connection, and again when it is idle",
    script: {
      connections: [{}],
      reads: [{ finds: "alive", events: ["missed"] }, { finds: "ended", events: ["over"] }]
    },
    journal: [first, "10000 read", "10000 missed", "100000 closed", "100000 read", "100000 over", "100000 ended"]
  },
  {
    title: "an end that the conversation knows of waits for events that arrive meanwhile",
    script: {
      connections: [{ chunks: [at(11_000, "1-0"), at(2_000, "2-0 end")] }],
      reads: [{ finds: "ended", takes: 2_000, events: ["over"] }]
    },
    journal: [first, "10000 read", "11000 1-0", "13000 closed", "13000 2-0 end", "13000 ended"]
  },
  {
    title: "a connection that ends while the conversation is read waits for that read, and does not read again",
    script: {
      connections: [{ chunks: [[12_000, "data: done\n\n"]], end: "close" }, { chunks: [at(0, "1-0 end")] }],
      reads: [{ finds: "alive", takes: 5_000, events: ["missed"] }]
    },
    journal: [
      first,
      "10000 read",
      "15000 missed",
      "15000 connect from the start",
      "15000 closed",
      "15000 1-0 end",
      "15000 ended"
    ]
  },
  {
    title: "while a person is waited for, the connection stays and the conversation is read less and less often",
    script: {
      connections: [{ chunks: [at(400_000, "1-0 end")] }],
      reads: [{ finds: "waiting", events: ["approve"] }, { finds: "waiting" }],
      silence: 60_000
    },
    journal: [first, "10000 read", "10000 approve", "190000 read", "400000 closed", "400000 1-0 end", "400000 ended"]
  },
  {
    title:
      "silence counts from the read that finds that nobody is waited for any more, and its quiet connection is replaced",
    script: {
      connections: [{}],
      reads: [{ finds: "waiting", events: ["approve"] }, { finds: "alive" }],
      silence: 60_000
    },
    journal: [
      first,
      "10000 read",
      "10000 approve",
      "190000 read",
      "190000 closed",
      "190000 read",
      "190000 connect from the start",
      "250000 read",
      "250000 closed",
      `250000 failed ${silent("1m")}`
    ]
  },
  {
    title: "a run that is silent for too long is read before it fails",
    script: { connections: [{ chunks: [at(10, "1-0")] }], reads: [{ finds: "alive" }], silence: 100_000 },
    journal: [
      first,
      "10 1-0",
      "90010 closed",
      "90010 connect 1-0",
      "100010 read",
      "100010 closed",
      `100010 failed ${silent("1m 40s", "1-0")}`
    ]
  },
  {
    title: "a stream without a conversation fails when it is silent for too long",
    script: { connections: [{ chunks: [at(10, "1-0")] }], silence: 30_000 },
    journal: [first, "10 1-0", "30010 closed", `30010 failed ${silent("30s", "1-0")}`]
  },
  {
    title: "connections that end empty make the conversation be read after each of them",
    script: {
      connections: [{ chunks: [at(10, "1-0"), done], end: "close" }, { chunks: [done], end: "close" }],
      reads: [{ finds: "alive" }],
      silence: 3_000
    },
    journal: [
      first,
      "10 1-0",
      "10 connect 1-0",
      "10 read",
      "260 connect 1-0",
      "260 read",
      "760 connect 1-0",
      "760 read",
      "1760 connect 1-0",
      "1760 read",
      "3760 connect 1-0",
      "3760 read",
      `3760 failed ${silent("3s", "1-0")}`
    ]
  },
  {
    title: "a run that is continued is read at once, and what it tells is held back for events in transit",
    script: {
      connections: [{ chunks: [at(50, "6-0"), at(200, "7-0 end")] }],
      reads: [{ finds: "alive", events: ["missed"] }],
      resumes: true,
      lastEventId: "5-0"
    },
    journal: ["0 connect 5-0", "0 read", "50 6-0", "100 missed", "250 closed", "250 7-0 end", "250 ended"]
  },
  ...([[0, 100], [400, 800], [7_000, 8_000]] as const).map(([opens, ends]): Row => ({
    title: `a run that has ended does so after its connection, which took ${opens} ms, had time for events`,
    script: { connections: [{ opens }], reads: [{ finds: "ended", events: ["over"] }], resumes: true },
    journal: [first, "0 read", `${ends} closed`, `${ends} over`, `${ends} ended`]
  })),
  {
    title: "a run that is continued without a connection ends as the conversation says",
    script: {
      connections: [away(20)],
      reads: [{ finds: "ended", events: ["over"] }],
      resumes: true,
      lastEventId: "5-0"
    },
    journal: ["0 connect 5-0", "0 read", "20 over", "20 ended"]
  },
  {
    title: "an event that may be the last one is held back until the conversation is read",
    script: {
      connections: [{ chunks: [at(10, "1-0 tool", "2-0")] }, { chunks: [at(10, "2-0 end")] }],
      reads: [{ finds: "alive", takes: 100, events: ["missed"] }]
    },
    journal: [
      first,
      "10 closed",
      "10 read",
      "110 1-0 tool",
      "110 missed",
      "110 connect from the start",
      "120 closed",
      "120 2-0 end",
      "120 ended"
    ]
  },
  {
    title: "an event that is the last one is followed by the end",
    script: {
      connections: [{ chunks: [at(10, "1-0 tool", "2-0")] }],
      reads: [{ finds: "ended", takes: 100, events: ["over"] }]
    },
    journal: [first, "10 closed", "10 read", "110 1-0 tool", "110 over", "110 ended"]
  },
  {
    title: "a server that stays away is given up after the time of the retry policy, with the place to continue from",
    script: {
      connections: [{ chunks: [at(10, "1-0"), done], end: "close" }, away(300)],
      reads: [{ finds: "alive", takes: 100 }]
    },
    journal: [
      first,
      "10 1-0",
      "10 connect 1-0",
      "310 read",
      "660 connect 1-0",
      "960 read",
      "1560 connect 1-0",
      "1860 read",
      "2960 connect 1-0",
      "3260 read",
      "5360 connect 1-0",
      "5660 read",
      "9760 connect 1-0",
      "10060 read",
      `10160 failed ${
        failed(
          "DustStreamError",
          "the stream could not be continued: Conversations.events: 503 service_unavailable: said the server",
          {
            status: 503,
            type: "service_unavailable",
            details: {
              reason: "ended",
              cause: "DustServerError",
              message: "Conversations.events: 503 service_unavailable: said the server"
            },
            reason: "ended",
            lastEventId: "1-0"
          }
        )
      }`
    ]
  },
  {
    title: "a page that stays instead of a stream without a conversation is that failure",
    script: { connections: [{ chunks: [at(10, "1-0"), done], end: "close" }, page()] },
    journal: [
      first,
      "10 1-0",
      "10 connect 1-0",
      "510 connect 1-0",
      "1510 connect 1-0",
      "3510 connect 1-0",
      "7510 connect 1-0",
      `7510 failed ${failed("DustForbiddenError", "403", { status: 403, details: "<html>" })}`
    ]
  },
  ...([[1_000, 90_010], [3_000, 180_010], [28_800_000, 90_010]] as const).map(([suspended, replaced]): Row => ({
    title: `a process that was suspended for ${
      suspended / 1_000
    } s replaces its connection, and does not count that as silence`,
    script: {
      connections: [{ chunks: [at(10, "1-0")] }, { chunks: [at(0, "2-0 end")] }],
      reads: [{ finds: "alive" }],
      silence: 600_000,
      suspends: [50_000, suspended]
    },
    journal: [
      first,
      "10 1-0",
      `${replaced} closed`,
      `${replaced} connect 1-0`,
      `${replaced} closed`,
      `${replaced} 2-0 end`,
      `${replaced} ended`
    ]
  })),
  ...([["reconnection", 2_000], ["read", 3_000]] as const).map(([work, suspendedAt]): Row => ({
    title: `a process that was suspended during a ${work} has not been away for that time`,
    script: {
      connections: [
        { chunks: [at(10, "1-0")], end: "cut" },
        { opens: 1_000, response: () => new Response("", { status: 503 }) },
        { chunks: [at(0, "2-0 end")] }
      ],
      reads: [{ finds: "alive", takes: 1_000 }],
      silence: 60_000,
      suspends: [suspendedAt, 28_800_000]
    },
    journal: [
      first,
      "10 1-0",
      "1610 connect from the start",
      "2610 read",
      "3860 connect from the start",
      "3860 closed",
      "3860 2-0 end",
      "3860 ended"
    ]
  })),
  {
    title: "a process that was suspended in a pause does not count that as silence",
    script: {
      connections: [{ chunks: [at(10, "1-0")], end: "cut" }, {}],
      reads: [{ finds: "alive" }],
      silence: 60_000,
      suspends: [1_000, 28_800_000]
    },
    journal: [
      first,
      "10 1-0",
      "1610 connect from the start",
      // The limit of the first connection shows that the process stood still.
      "60010 closed",
      "60010 read",
      "60010 connect from the start",
      "120010 read",
      "120010 closed",
      `120010 failed ${silent("1m", "1-0")}`
    ]
  },
  {
    title: "an event that is too large fails the stream behind the events before it",
    script: { connections: [{ chunks: [at(10, "1-0"), [0, `data: ${"x".repeat(67_108_864)}`]] }], reads: [] },
    journal: [
      first,
      "10 1-0",
      "10 closed",
      `10 failed ${
        failed("DustStreamError", "an event is longer than 67108864 characters", {
          details: { reason: "event_too_large" },
          reason: "event_too_large",
          lastEventId: "1-0"
        })
      }`
    ]
  },
  {
    title: "a conversation that cannot be read at the moment leaves the connection open",
    script: { connections: [{ chunks: [at(60_000, "1-0 end")] }], reads: [{ finds: server }] },
    journal: [first, "10000 read", "60000 closed", "60000 1-0 end", "60000 ended"]
  },
  {
    title: "a conversation that is gone ends the stream with that failure",
    script: { connections: [{}], reads: [{ finds: gone }] },
    journal: [first, "10000 read", "10000 closed", `10000 failed ${JSON.stringify(gone)}`]
  },
  {
    title: "a defect of reading the conversation is passed on",
    script: { connections: [{}], reads: [{ finds: new Error("mine") }] },
    journal: [first, "10000 read", "10000 closed", "10000 died Error: mine"]
  }
]

/** The members of a JSON text in any order. */
const sorted = (line: string) =>
  line.replace(
    /\{.*$/,
    (text) =>
      JSON.stringify(JSON.parse(text), (_, value) =>
        typeof value === "object" && value !== null
          ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
          : value)
  )

describe("Following a stream, by the clock", () => {
  it.each(rows.map((row) => [row.title, row] as const))(
    "%s",
    async (_, { journal, script }) => assert.deepStrictEqual((await journalOf(script)).map(sorted), journal.map(sorted))
  )
})

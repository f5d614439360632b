/** What a reader makes of the bytes of a connection: complete states, without a server. */
import { assert, describe, it } from "@effect/vitest"
import type * as Clock from "effect/Clock"
import type { Connection } from "../../src/internal/stream/connect.ts"
import { Cursor } from "../../src/internal/stream/cursor.ts"
import { type Decoding, EventReader } from "../../src/internal/stream/eventReader.ts"
import { Parser } from "../../src/internal/stream/sse.ts"

const decoding: Decoding<string> = {
  decode: (data, eventId) => {
    if (data === "defect") throw new Error("mine")
    return data === "elsewhere" ? undefined : `${eventId ?? "-"} ${JSON.stringify(data)}`
  },
  isUnknown: (event) => event.includes("?"),
  verdict: (event, data) => data === "end" ? "end" : event.includes("ask") ? "ask" : "go"
}

const framed = (eventId: string, data: unknown) => `data: ${JSON.stringify({ eventId, data })}\n\n`

/** The state of a reader behind chunks that arrive at 1,000, 2,000, …; a list of them arrives at once. */
const read = (chunks: ReadonlyArray<string | ReadonlyArray<string>>, limit = 1_000) => {
  let now = 0
  const cursor = new Cursor("0-0")
  const clock = { unsafeCurrentTimeMillis: () => now } as Clock.Clock
  const reader = new EventReader(decoding, cursor, clock)
  let waiting: ReadonlyArray<Uint8Array> = []
  const connection = {
    source: { take: () => waiting },
    parser: new Parser(limit),
    seen: 0,
    fresh: 0,
    orderly: false
  } as unknown as Connection
  for (const chunk of chunks) {
    now += 1_000
    waiting = (typeof chunk === "string" ? [chunk] : chunk).map((piece) => new TextEncoder().encode(piece))
    reader.read(connection)
  }
  const { defect, events, fresh, quietSince, silentSince, unknown, verdict } = reader
  const { orderly, seen } = connection
  return {
    events,
    verdict,
    fresh: [connection.fresh, fresh],
    seen,
    unknown,
    quietSince,
    silentSince,
    orderly,
    position: cursor.position,
    defect
  }
}
type State = ReturnType<typeof read>

const nothing: State = {
  events: [],
  verdict: "go",
  fresh: [0, 0],
  seen: 0,
  unknown: 0,
  quietSince: 0,
  silentSince: 0,
  orderly: false,
  position: "0-0",
  defect: undefined
}

const rows: ReadonlyArray<readonly [title: string, chunks: Parameters<typeof read>[0], expected: Partial<State>]> = [
  ["nothing arrives", [[]], {}],
  ["pieces that arrive together are read together", [[framed("1-0", 1), framed("2-0", 2)]], {
    events: ["1-0 1", "2-0 2"],
    fresh: [2, 2],
    seen: 2,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "2-0"
  }],
  ["of pieces that arrive together, none is read behind the end", [[framed("1-0", "end"), framed("2-0", 2)]], {
    events: ["1-0 \"end\""],
    verdict: "end",
    fresh: [1, 1],
    seen: 1,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "1-0"
  }],
  ["comments and blank lines are no progress", [": ping\n\n", "\n"], {}],
  ["the parts of an event are progress, and not an event", ["data: {", "\"x\":"], { quietSince: 2_000 }],
  ["named events belong to the server, except messages", [
    "event: dust-handshake\ndata: {\"eventId\":\"1-0\",\"data\":1}\n\n",
    "event: message\ndata: {\"eventId\":\"2-0\",\"data\":2}\n\n"
  ], { events: ["2-0 2"], fresh: [1, 1], seen: 1, quietSince: 2_000, silentSince: 2_000, position: "2-0" }],
  ["an announced end, and what follows it", [`data: done\n\n${framed("1-0", 1)}`], {
    events: ["1-0 1"],
    fresh: [1, 1],
    seen: 1,
    quietSince: 1_000,
    silentSince: 1_000,
    orderly: true,
    position: "1-0"
  }],
  ["an empty object is no event", ["data: {}\n\n"], {}],
  ["known events are progress, and no events", [framed("1-0", 1), "", framed("1-0", 1)], {
    events: ["1-0 1"],
    fresh: [1, 1],
    seen: 2,
    quietSince: 3_000,
    silentSince: 1_000,
    position: "1-0"
  }],
  [
    "an end marker makes the conversation be asked, and counts as no event",
    [framed("1-0", { type: "end-of-stream" })],
    {
      verdict: "ask",
      seen: 1,
      quietSince: 1_000,
      position: "1-0"
    }
  ],
  ["an end marker ends neither its chunk nor waits for the next one", [
    framed("1-0", { type: "end-of-stream" }) + framed("2-0", 2),
    framed("3-0", 3)
  ], {
    events: ["2-0 2"],
    verdict: "ask",
    fresh: [1, 1],
    seen: 2,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "2-0"
  }],
  ["nothing is read behind the end", [framed("1-0", "end") + framed("2-0", 2), framed("3-0", 3)], {
    events: ["1-0 \"end\""],
    verdict: "end",
    fresh: [1, 1],
    seen: 1,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "1-0"
  }],
  ["nothing is read behind an event that the conversation has to explain", [framed("1-0", "ask") + framed("2-0", 2)], {
    events: ["1-0 \"ask\""],
    verdict: "ask",
    fresh: [1, 1],
    seen: 1,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "1-0"
  }],
  ["unknown events are counted, and what was delivered elsewhere is new without being an event", [
    framed("1-0", "?") + framed("2-0", "elsewhere") + framed("3-0", "?")
  ], {
    events: ["1-0 \"?\"", "3-0 \"?\""],
    fresh: [3, 3],
    seen: 3,
    unknown: 2,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "3-0"
  }],
  ["what is not an envelope is data without an id", [
    "data: 42\n\ndata: null\n\ndata: [1]\n\ndata: {\"a\":1}\n\ndata: {\"eventId\":7,\"data\":1}\n\ndata: {\"data\":2}\n\ndata: {\n\n"
  ], {
    events: ["- 42", "- null", "- [1]", "- {\"a\":1}", "- 1", "- 2", "- \"{\""],
    fresh: [7, 7],
    seen: 7,
    quietSince: 1_000,
    silentSince: 1_000
  }],
  ["an id without data is an event, and an object without the type of a marker is none", [
    "data: {\"eventId\":\"1-0\"}\n\n" + framed("2-0", null) + framed("3-0", { type: "end" })
  ], {
    events: ["1-0 undefined", "2-0 null", "3-0 {\"type\":\"end\"}"],
    fresh: [3, 3],
    seen: 3,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "3-0"
  }],
  ["nothing is read behind an event that is too large", [
    framed("1-0", 1),
    `data: ${"x".repeat(1_000)}\n\n`,
    framed("2-0", 2)
  ], { events: ["1-0 1"], fresh: [1, 1], seen: 1, quietSince: 1_000, silentSince: 1_000, position: "1-0" }],
  ["a defect of the decoding is kept", [framed("1-0", 1) + framed("2-0", "defect")], {
    events: ["1-0 1"],
    fresh: [2, 2],
    seen: 2,
    quietSince: 1_000,
    silentSince: 1_000,
    position: "2-0",
    defect: new Error("mine")
  }]
]

describe("Event reader", () => {
  it.each(rows)("%s", (_, chunks, expected) => assert.deepEqual(read(chunks), { ...nothing, ...expected }))
})

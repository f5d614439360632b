/** How a stream is followed, as a table: no clock, no server, no events. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import {
  DustDecodeError,
  DustForbiddenError,
  DustNetworkError,
  DustNotFoundError,
  DustServerError
} from "effect-dust/DustAPIError"
import * as Machine from "../../src/internal/stream/machine.ts"

const fields = { module: "Conversations", method: "messageEvents", details: {}, attempts: 1, request: undefined }
const network = (type?: string) => new DustNetworkError({ ...fields, message: "cut", type, reachedServer: true })
const down = (retryAfter?: Duration.Duration) =>
  new DustServerError({ ...fields, message: "503", status: 503, type: "service_unavailable", retryAfter })
const page = new DustForbiddenError({ ...fields, message: "403 Just a moment…", status: 403 })
const login = new DustDecodeError({
  ...fields,
  message: "text/html",
  status: 200,
  type: "unexpected_answer",
  issues: []
})
const gone = new DustNotFoundError({ ...fields, message: "404", status: 404, type: "message_not_found" })
const forbidden = new DustForbiddenError({ ...fields, message: "403", status: 403, type: "workspace_auth_error" })

const run: Machine.Options = { canAsk: true, silence: 1_800_000, resumes: false }
const resumed: Machine.Options = { ...run, resumes: true }
const endless: Machine.Options = { canAsk: false, silence: Infinity, resumes: false }

const reading: Machine.State = { ...Machine.initial, phase: "reading", connections: 1, looked: true }

const closed = (more: Partial<Machine.Closed> = {}): Machine.Closed => ({
  _tag: "Closed",
  error: undefined,
  silent: false,
  orderly: false,
  seen: 0,
  fresh: 0,
  ahead: false,
  lasted: 100,
  silentFor: 0,
  ...more
})
const unreachable = (error: Machine.Unreachable["error"], took = 0): Machine.Signal => ({
  _tag: "Unreachable",
  error,
  took,
  patience: 120_000
})
const alive = (
  more: Partial<Extract<Machine.Signal, { _tag: "Answered" }>> = {}
): Machine.Signal => ({
  _tag: "Answered",
  ended: false,
  waiting: false,
  fresh: undefined,
  silentFor: 0,
  took: 0,
  ...more
})

/** The state and the action after several signals. */
const after = (options: Machine.Options, state: Machine.State, ...signals: ReadonlyArray<Machine.Signal>) =>
  signals.reduce<Machine.Step>(
    ([state], signal) => Machine.next(options, state, signal),
    [state, { _tag: "Read" }]
  )

const brief = ([state, action]: Machine.Step): string =>
  `${state.phase} ${
    action._tag === "Fail"
      ? `Fail ${action.failure._tag}`
      : action._tag === "BackOff"
      ? `BackOff ${Math.round(action.atLeast)}-${Math.round(action.atMost)} then ${state.afterPause}`
      : action._tag === "Connect"
      ? action.look ? "Connect+Look" : "Connect"
      : action._tag
  }`

const unread = (
  error: Machine.Unreachable["error"],
  more: { open?: boolean; silentFor?: number; took?: number } = {}
) => ({ _tag: "Unanswered", error, open: false, silentFor: 0, took: 0, ...more }) as const

interface Row {
  readonly title: string
  readonly options?: Machine.Options
  readonly state?: Machine.State
  readonly signals: ReadonlyArray<Machine.Signal>
  readonly expected: string
}

const rows = (table: ReadonlyArray<Row>) => {
  for (const { expected, options = run, signals, state = reading, title } of table) {
    it(title, () => assert.strictEqual(brief(after(options, state, ...signals)), expected))
  }
}

const start = Machine.initial
const known = closed({ seen: 3, ahead: false })
const spread = "backingOff BackOff 200-3000 then connect"

describe("Stream machine: beginning", () => {
  rows([
    {
      title: "a new run is connected to",
      state: start,
      signals: [{ _tag: "Started" }],
      expected: "connecting Connect"
    },
    {
      title: "a run that is continued is asked about beside its first connection",
      options: resumed,
      state: start,
      signals: [{ _tag: "Started" }],
      expected: "connecting Connect+Look"
    },
    {
      title: "a stream without a conversation has nothing to ask",
      options: { ...endless, resumes: true },
      state: start,
      signals: [{ _tag: "Started" }],
      expected: "connecting Connect"
    },
    { title: "an open connection is read", state: start, signals: [{ _tag: "Connected" }], expected: "reading Read" }
  ])
})

describe("Stream machine: pages and cuts", () => {
  const connections = (count: number, more: Partial<Machine.Closed>) =>
    Array.from({ length: count }, () => closed(more))
  rows([
    {
      title: "an orderly page is followed by the next one at once",
      signals: [closed({ orderly: true, seen: 50, fresh: 50, ahead: true })],
      expected: "connecting Connect"
    },
    {
      title: "an orderly page of known events that leads on is a step",
      signals: [closed({ orderly: true, seen: 50, ahead: true })],
      expected: "connecting Connect"
    },
    {
      title: "an orderly page of known events that leads on ends a row of cuts",
      signals: [
        closed({ seen: 1, fresh: 1 }),
        closed({ orderly: true, seen: 50, ahead: true }),
        closed({ seen: 1, fresh: 1 })
      ],
      expected: spread
    },
    {
      title: "an orderly empty page makes the conversation be asked",
      signals: [closed({ orderly: true })],
      expected: "asking Ask"
    },
    {
      title: "a cut of a connection that brought something comes back spread over seconds",
      signals: [closed({ seen: 1, fresh: 1, error: network() })],
      expected: spread
    },
    {
      title: "an end without done is a cut",
      signals: [closed({ seen: 1, fresh: 1 })],
      expected: spread
    },
    {
      title: "a second cut in a row comes back sooner: no deploy cuts twice",
      signals: [closed({ seen: 1, fresh: 1 }), closed({ seen: 1, fresh: 1 })],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a cut of a quiet connection is spread before the conversation is asked",
      signals: [closed({ lasted: 60_000, error: network() })],
      expected: "backingOff BackOff 200-3000 then ask"
    },
    {
      title: "a cut of a connection that was only just open long enough is one of a quiet connection",
      signals: [closed({ lasted: 10_000 })],
      expected: "backingOff BackOff 200-3000 then ask"
    },
    {
      title: "a cut of a connection that was not open long enough is a fruitless one",
      signals: [closed({ lasted: 9_999 })],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a cut after a second is one that a deploy may have made, so that the next one comes back sooner",
      signals: [closed({ lasted: 1_000 }), closed({ seen: 1, fresh: 1 })],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a cut within a second is none that a deploy has made",
      signals: [closed({ lasted: 999 }), closed({ seen: 1, fresh: 1 })],
      expected: spread
    },
    {
      title: "a cut of a connection that lasted is the first one of a row",
      state: { ...reading, cuts: 3 },
      signals: [closed({ seen: 1, fresh: 1, lasted: 20_000 })],
      expected: spread
    },
    {
      title: "a connection that the server closes in order ends a row of cuts",
      state: { ...reading, cuts: 3 },
      signals: [closed({ seen: 1, fresh: 1, orderly: true }), closed({ seen: 1, fresh: 1 })],
      expected: spread
    },
    {
      title: "a connection that was silent for too long is replaced at once",
      signals: [closed({ silent: true, fresh: 4, seen: 4, lasted: 100_000 })],
      expected: "connecting Connect"
    },
    {
      title: "one that brought only known events and fell silent is continued behind them",
      signals: [closed({ silent: true, seen: 1, ahead: true, lasted: 90_000 })],
      expected: "connecting Connect"
    },
    {
      title: "one that was silent from its beginning makes the conversation be asked",
      signals: [closed({ silent: true, lasted: 90_000 })],
      expected: "asking Ask"
    },
    {
      title: "1 fruitless connection is followed by a short pause",
      signals: connections(1, {}),
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "2 fruitless connections are followed by a longer one",
      signals: connections(2, {}),
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "3 fruitless connections make the conversation be asked",
      signals: connections(3, {}),
      expected: "asking Ask"
    },
    {
      title: "3 fruitless connections that brought known events skip them",
      signals: [known, known, closed({ seen: 3, ahead: true })],
      expected: "backingOff BackOff 800-1200 then connect"
    },
    {
      title: "skipping known events ends a series of failures",
      signals: [known, known, closed({ seen: 3, ahead: true }), closed()],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "without a conversation the pause grows to about 5 seconds",
      options: endless,
      signals: connections(9, {}),
      expected: "backingOff BackOff 4000-6000 then connect"
    },
    {
      title: "a connection that lasted is not a failure",
      options: endless,
      signals: [...connections(5, {}), closed({ lasted: 60_000, orderly: true })],
      expected: "connecting Connect"
    },
    {
      title: "new events end a series of failures",
      signals: [closed(), closed(), { _tag: "Received", verdict: "go", fresh: 1 }, closed()],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a closed HttpClient is final",
      signals: [closed({ error: network("UND_ERR_DESTROYED") })],
      expected: "failed Fail Refused"
    }
  ])
})

describe("Stream machine: events", () => {
  rows([
    {
      title: "the terminal event ends it",
      signals: [{ _tag: "Received", verdict: "end", fresh: 9 }],
      expected: "ended End"
    },
    {
      title: "a failed tool makes the conversation be asked",
      signals: [{ _tag: "Received", verdict: "ask", fresh: 1 }],
      expected: "asking Ask"
    },
    {
      title: "an end marker without a conversation to ask is followed by the next connection",
      options: endless,
      signals: [{ _tag: "Received", verdict: "ask", fresh: 1 }],
      expected: "connecting Connect"
    },
    {
      title: "an end marker that brings nothing new is followed by the next connection after a pause",
      options: endless,
      signals: [{ _tag: "Received", verdict: "ask", fresh: 0 }, { _tag: "Connected" }, {
        _tag: "Received",
        verdict: "ask",
        fresh: 0
      }],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "known events do not make up for connections that brought nothing new",
      options: endless,
      state: { ...reading, fruitless: 1 },
      signals: [{ _tag: "Received", verdict: "go", fresh: 0 }, closed({ seen: 1 })],
      expected: "backingOff BackOff 400-600 then connect"
    },
    { title: "an event over the limit fails it", signals: [{ _tag: "Oversized" }], expected: "failed Fail Oversized" }
  ])
})

describe("Stream machine: silence", () => {
  const silent = { silentFor: 1_800_000 }
  rows([
    { title: "a first look leaves the connection open", signals: [{ _tag: "Overdue" }], expected: "reading Look" },
    {
      title: "a run that goes on is read on",
      signals: [{ _tag: "Overdue" }, alive({ fresh: 0 })],
      expected: "reading Read"
    },
    {
      title: "a run that waits for a person is waited for",
      signals: [{ _tag: "Overdue" }, alive({ fresh: 0, waiting: true, ...silent })],
      expected: "waiting Read"
    },
    {
      title: "an end that the conversation knows of is the end",
      signals: [{ _tag: "Overdue" }, alive({ ended: true, fresh: 0 })],
      expected: "ended End"
    },
    {
      title: "an end that the conversation knows of waits for events that are still coming",
      signals: [{ _tag: "Overdue" }, alive({ ended: true, fresh: 2 })],
      expected: "reading Read"
    },
    {
      title: "a single event that is still coming is waited for",
      signals: [{ _tag: "Overdue" }, alive({ ended: true, fresh: 1 })],
      expected: "reading Read"
    },
    {
      title: "a run that brought no event for too long, and waits for nobody, is a failure",
      signals: [{ _tag: "Overdue" }, alive({ fresh: 0, ...silent })],
      expected: "failed Fail Silent"
    },
    {
      title: "silence that reconnections do not end makes the conversation be asked",
      signals: [closed({ orderly: true, fresh: 1, seen: 1, ...silent })],
      expected: "asking Ask"
    },
    {
      title: "silence while a person is waited for makes nobody ask",
      state: { ...reading, quiet: 1 },
      signals: [closed({ orderly: true, fresh: 1, seen: 1, ...silent })],
      expected: "connecting Connect"
    },
    {
      title: "silence of a stream without a conversation is followed by the next connection",
      options: { ...endless, silence: 1_000 },
      signals: [closed({ orderly: true, fresh: 1, seen: 1, ...silent })],
      expected: "connecting Connect"
    },
    {
      title: "and then fails",
      signals: [closed({ orderly: true, ...silent }), alive(silent)],
      expected: "failed Fail Silent"
    },
    {
      title: "a conversation that cannot be read at the moment costs nothing",
      signals: [{ _tag: "Overdue" }, unread(down(), { open: true, silentFor: 10_000 })],
      expected: "reading Read"
    },
    {
      title: "a conversation that is gone is a failure",
      signals: [{ _tag: "Overdue" }, unread(gone, { open: true, silentFor: 10_000 })],
      expected: "failed Fail Refused"
    },
    {
      title: "a conversation that cannot be read does not excuse a run that brought no event for too long",
      signals: [{ _tag: "Overdue" }, unread(down(), { open: true, ...silent })],
      expected: "failed Fail Silent"
    },
    {
      title: "a conversation that cannot be read after the connection ended is one more reason for a pause",
      signals: [closed({ orderly: true }), unread(down())],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "a page instead of the conversation leaves the connection open",
      signals: [{ _tag: "Overdue" }, unread(page, { open: true })],
      expected: "reading Read"
    },
    {
      title: "a page instead of the conversation, without a connection, is followed by one after a pause",
      signals: [closed({ orderly: true }), unread(page)],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "a page instead of the conversation is tolerated a few times",
      signals: Array.from({ length: Machine.obstacleLimit }, () => unread(page, { open: true })),
      expected: "reading Read"
    },
    {
      title: "a page instead of the conversation that stays is a failure",
      signals: Array.from({ length: Machine.obstacleLimit + 1 }, () => unread(page, { open: true })),
      expected: "failed Fail Refused"
    },
    {
      title: "a stream without a conversation fails",
      options: { ...endless, silence: 1_000 },
      signals: [{ _tag: "Overdue" }],
      expected: "failed Fail Silent"
    },
    {
      title: "a connection that is opened while a person is waited for is waited for, too",
      signals: [alive({ waiting: true }), { _tag: "Connected" }],
      expected: "waiting Read"
    }
  ])

  it("down: counts the time without a connection, pauses included, and nothing else", () => {
    const time = (...signals: ReadonlyArray<Machine.Signal>) => after(run, reading, ...signals)[0].down
    const away = unreachable(down(), 7)
    assert.strictEqual(time(away), 7)
    assert.strictEqual(time(unreachable(page, 7)), 7)
    assert.strictEqual(time(away, alive({ took: 5 })), 12)
    assert.strictEqual(time(away, unread(down(), { took: 5 })), 12)
    assert.strictEqual(time(alive({ took: 5 })), 0)
    assert.strictEqual(time(unread(down(), { took: 5 })), 0)
    assert.strictEqual(time({ _tag: "Waited", took: 1_500, planned: 250 }), 1_500)
    assert.strictEqual(time({ _tag: "Waited", took: 9_000, planned: 250 }), 2_250)
    assert.strictEqual(time(away, { _tag: "Connected" }), 0)
  })

  it("connections: each one counts", () => {
    assert.strictEqual(after(run, start, { _tag: "Connected" }, closed(), { _tag: "Connected" })[0].connections, 2)
  })

  it("looks: an event or a read of the conversation ends the first one, which happens at most once at a time", () => {
    const state = (signals: ReadonlyArray<Machine.Signal>, options = run) => {
      const [{ looked, looking }] = after(options, start, ...signals)
      return [looked, looking]
    }
    assert.deepStrictEqual(state([{ _tag: "Started" }]), [false, false])
    assert.deepStrictEqual(state([{ _tag: "Started" }], resumed), [true, true])
    assert.deepStrictEqual(state([{ _tag: "Overdue" }]), [true, true])
    assert.deepStrictEqual(state([{ _tag: "Overdue" }, alive({ fresh: 0 })]), [true, false])
    assert.deepStrictEqual(state([{ _tag: "Overdue" }, alive({ ended: true, fresh: 0 })]), [true, false])
    assert.deepStrictEqual(state([{ _tag: "Overdue" }, alive({ ended: true, fresh: 1 })]), [true, false])
    assert.deepStrictEqual(state([{ _tag: "Overdue" }, unread(down(), { open: true })]), [true, false])
    assert.deepStrictEqual(state([alive()]), [true, false])
    assert.deepStrictEqual(state([{ _tag: "Received", verdict: "go", fresh: 0 }]), [false, false])
    assert.deepStrictEqual(state([{ _tag: "Received", verdict: "go", fresh: 1 }]), [true, false])
  })

  const deadline = (state: Machine.State, quietSince: number, silentSince: number, options = run) =>
    Machine.deadline(options, state, { idle: 90_000, quietSince, silentSince })

  it("limits: the nearest one decides", () => {
    const first = { ...reading, looked: false }
    assert.deepStrictEqual(deadline(first, 5, 5), { at: 10_005, timer: "overdue" })
    assert.deepStrictEqual(deadline(reading, 5, 5), { at: 90_005, timer: "idle" })
    assert.deepStrictEqual(deadline(reading, 1_790_000, 0), { at: 1_800_000, timer: "overdue" })
    assert.deepStrictEqual(deadline(first, 5, 5, endless), { at: 90_005, timer: "idle" })
    // While the conversation is asked, and while a person is waited for, silence has no limit.
    assert.deepStrictEqual(deadline({ ...reading, looking: true }, 1_790_000, 0), { at: 1_880_000, timer: "idle" })
    assert.deepStrictEqual(deadline({ ...reading, quiet: 1 }, 0, 0), { at: 180_000, timer: "overdue" })
    assert.strictEqual(deadline({ ...reading, quiet: 1, looking: true }, 0, 0).at, Infinity)
  })

  it("limits: whether a run still waits for a person is asked less and less often, at least once an hour", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5, 6, 10].map((quiet) => deadline({ ...reading, quiet }, 0, 0).at),
      [180_000, 360_000, 720_000, 1_440_000, 2_880_000, 3_600_000, 3_600_000]
    )
    assert.strictEqual(
      Machine.deadline(run, { ...reading, quiet: 5 }, { idle: 7_200_000, quietSince: 0, silentSince: 0 }).at,
      7_200_000
    )
  })

  it("quiet: counts consecutive waiting responses; anything else resets it", () => {
    const [state] = after(run, reading, alive({ waiting: true }), alive({ waiting: true }))
    assert.strictEqual(state.quiet, 2)
    assert.strictEqual(after(run, state, ...Array.from({ length: 20 }, () => alive({ waiting: true })))[0].quiet, 10)
    assert.strictEqual(after(run, state, alive())[0].quiet, 0)
    assert.strictEqual(after(run, state, { _tag: "Received", verdict: "go", fresh: 1 })[0].quiet, 0)
  })
})

describe("Stream machine: no connection", () => {
  rows([
    { title: "the conversation has the last word", signals: [unreachable(down())], expected: "asking Ask" },
    {
      title: "a run that goes on is tried again",
      signals: [unreachable(down()), alive()],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "Retry-After is honoured",
      signals: [unreachable(down(Duration.seconds(30))), alive()],
      expected: "backingOff BackOff 30000-33000 then connect"
    },
    {
      title: "a Retry-After beyond the time that is left fails at once",
      signals: [unreachable(down(Duration.hours(1))), alive()],
      expected: "failed Fail Lost"
    },
    {
      title: "a server that stays away is given up after the time of the retry policy",
      signals: [
        ...Array.from({ length: 7 }, () => [
          unreachable(down(), 10_000),
          alive({ took: 5_000 }),
          { _tag: "Waited", took: 2_000, planned: 2_000 } as const
        ]).flat(),
        unreachable(down(), 10_000),
        alive({ took: 5_000 })
      ],
      expected: "failed Fail Lost"
    },
    {
      title: "time in which the process stood still in a pause does not count",
      signals: [
        unreachable(down()),
        alive(),
        { _tag: "Waited", took: 3_600_000, planned: 250 },
        unreachable(down()),
        alive()
      ],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "one that was never there is given up at once",
      state: start,
      signals: [unreachable(down()), alive()],
      expected: "failed Fail Lost"
    },
    {
      title: "a run that has ended meanwhile ends",
      signals: [unreachable(down()), alive({ ended: true })],
      expected: "ended End"
    },
    {
      title: "a credential that is refused is final",
      signals: [unreachable(forbidden)],
      expected: "failed Fail Refused"
    },
    {
      title: "a closed HttpClient is final, too",
      signals: [unreachable(network("UND_ERR_CLOSED"))],
      expected: "failed Fail Refused"
    }
  ])

  const obstacle = (error: Machine.Unreachable["error"], times: number) =>
    Array.from({ length: times }, () => [unreachable(error), alive()]).flat()
  for (
    const [name, error] of [["challenge page", page], ["login page", login], ["404 of the stream alone", gone]] as const
  ) {
    rows([
      {
        title: `a ${name} in mid-run is checked against the conversation`,
        signals: [unreachable(error)],
        expected: "asking Ask"
      },
      {
        title: `a ${name} in mid-run is tried again`,
        signals: obstacle(error, 1),
        expected: "backingOff BackOff 400-600 then connect"
      },
      {
        title: `a ${name} is tolerated a few times`,
        signals: obstacle(error, Machine.obstacleLimit),
        expected: "backingOff BackOff 3200-4800 then connect"
      },
      {
        title: `a ${name} that stays is a typed failure after a few`,
        signals: obstacle(error, Machine.obstacleLimit + 1),
        expected: "failed Fail Lost"
      }
    ])
  }
  rows([
    {
      title: "pages that come and go never add up",
      signals: [
        ...obstacle(page, 4),
        { _tag: "Connected" },
        { _tag: "Received", verdict: "go", fresh: 1 },
        ...obstacle(page, 1)
      ],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "a message that is not there is a failure at once",
      state: start,
      signals: [unreachable(gone)],
      expected: "failed Fail Refused"
    },
    {
      title: "a page instead of the first connection is tried again, too",
      state: start,
      signals: [unreachable(page)],
      expected: "backingOff BackOff 400-600 then connect"
    },
    {
      title: "a conversation that is gone as well is a failure",
      signals: [unreachable(gone), unread(gone)],
      expected: "failed Fail Refused"
    },
    {
      title: "a conversation that cannot be read, either, is tried again",
      signals: [unreachable(down()), unread(down())],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a page instead of the conversation is not a failure as long as the stream is tried again",
      signals: [unreachable(down()), unread(page)],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "the time of a conversation that cannot be read counts",
      signals: [unreachable(down(), 60_000), unread(down(), { took: 60_000 })],
      expected: "failed Fail Lost"
    },
    {
      title: "the time of reading counts only while there is no connection",
      signals: [
        unread(down(), { open: true, took: 60_000 }),
        alive({ took: 60_000 }),
        unreachable(down(), 60_000),
        alive()
      ],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "a connection makes up for the time before it",
      signals: [
        unreachable(down(), 100_000),
        { _tag: "Connected" },
        closed({ fresh: 1, seen: 1 }),
        unreachable(down(), 100_000),
        alive()
      ],
      expected: "backingOff BackOff 200-300 then connect"
    },
    {
      title: "once it is there again, the conversation is asked as before",
      signals: [
        unreachable(down()),
        alive(),
        { _tag: "Waited", took: 250, planned: 250 },
        { _tag: "Connected" },
        { _tag: "Overdue" },
        alive({ fresh: 0 })
      ],
      expected: "reading Read"
    },
    {
      title: "a page instead of the first connection that stays is that failure",
      state: start,
      signals: Array.from({ length: Machine.obstacleLimit + 1 }, () => unreachable(page)),
      expected: "failed Fail Refused"
    },
    {
      title: "a closed HttpClient that cannot read the conversation is final",
      signals: [unread(network("UND_ERR_DESTROYED"))],
      expected: "failed Fail Refused"
    }
  ])
})

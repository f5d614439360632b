/** Single decisions of the machine that follows a stream, with their exact limits. */
import { assert, describe, it } from "@effect/vitest"
import { DustDecodeError, DustNetworkError, DustNotFoundError, DustServerError } from "effect-dust/DustAPIError"
import * as Machine from "../../src/internal/stream/machine.ts"

const known = {
  module: "Conversations",
  method: "messageEvents",
  details: {},
  attempts: 1,
  request: undefined,
  message: ""
}
const away = new DustServerError({ ...known, status: 503, type: "service_unavailable" })

const run: Machine.Options = { canAsk: true, silence: 1_800_000, resumes: false }
const reading: Machine.State = { ...Machine.initial, phase: "reading", connections: 1, looked: true }

const closed = (more: Partial<Machine.Closed>): Machine.Closed => ({
  _tag: "Closed",
  error: undefined,
  silent: false,
  orderly: false,
  seen: 0,
  fresh: 0,
  ahead: false,
  lasted: 0,
  silentFor: 0,
  ...more
})

const alive: Machine.Signal = {
  _tag: "Answered",
  ended: false,
  waiting: false,
  fresh: undefined,
  silentFor: 0,
  took: 0
}

const actionAfter = (state: Machine.State, ...signals: ReadonlyArray<Machine.Signal>): Machine.Action =>
  signals.reduce<Machine.Step>(([state], signal) => Machine.next(run, state, signal), [state, { _tag: "Read" }])[1]

describe("Stream machine: single decisions", () => {
  it("an obstacle is a final response that is not from Dust", () => {
    const gone = (status: number, type?: string) => new DustNotFoundError({ ...known, status, type })
    const errors = [
      [new DustDecodeError({ ...known, status: 200, issues: [] }), true],
      [gone(400), true],
      [gone(404), true],
      [gone(404, "message_not_found"), false],
      [away, false],
      [new DustServerError({ ...known, status: 502 }), false],
      [new DustNetworkError({ ...known, type: "UND_ERR_DESTROYED", reachedServer: true }), false]
    ] as const
    for (const [error, expected] of errors) {
      assert.strictEqual(Machine.isObstacle(error), expected, JSON.stringify(error))
    }
  })

  it("a connection settles the events before its end if nothing can be in transit, or if known events repeat", () => {
    const connections = [
      [0, {}, false],
      [0, { orderly: true }, true],
      [0, { silent: true }, true],
      [0, { fresh: 1 }, false],
      [1, {}, false],
      [2, {}, true],
      [2, { fresh: 1 }, false]
    ] as const
    for (const [fruitless, more, expected] of connections) {
      const label = JSON.stringify([fruitless, more])
      assert.strictEqual(Machine.settles({ ...reading, fruitless }, closed(more)), expected, label)
    }
  })

  it("a pause is followed by its purpose, and counts as time without a connection", () => {
    const pausing: Machine.State = { ...reading, phase: "backingOff", down: 100 }
    const waited = { _tag: "Waited", took: 250, planned: 250 } as const
    assert.deepStrictEqual(Machine.next(run, pausing, waited), [
      { ...pausing, phase: "connecting", down: 350 },
      { _tag: "Connect", look: false }
    ])
    assert.deepStrictEqual(Machine.next(run, { ...pausing, afterPause: "ask" }, waited), [
      { ...pausing, afterPause: "ask", phase: "asking", down: 350 },
      { _tag: "Ask" }
    ])
  })

  it("a new event ends the wait for a person and every series of failures", () => {
    const state: Machine.State = { ...reading, phase: "waiting", fruitless: 2, obstacles: 3, quiet: 4, looked: false }
    assert.deepStrictEqual(Machine.next(run, state, { _tag: "Received", verdict: "go", fresh: 1 }), [
      { ...state, phase: "reading", fruitless: 0, obstacles: 0, quiet: 0, looked: true },
      { _tag: "Read" }
    ])
  })

  it("an end marker without new events counts as a fruitless connection, also if the conversation is asked", () => {
    const marker = (fresh: number): Machine.Signal => ({ _tag: "Received", verdict: "ask", fresh })
    assert.deepStrictEqual(actionAfter(reading, marker(1), alive), { _tag: "Connect", look: false })
    assert.deepStrictEqual(actionAfter(reading, marker(0), alive), { _tag: "BackOff", atLeast: 200, atMost: 300 })
    assert.deepStrictEqual(actionAfter({ ...reading, fruitless: 1 }, marker(0), alive), {
      _tag: "BackOff",
      atLeast: 400,
      atMost: 600
    })
  })

  it("a server that stays away is given up exactly when the time of the retry policy is over", () => {
    const lost = (took: number) =>
      actionAfter(reading, { _tag: "Unreachable", error: away, took, patience: 120_000 }, alive)
    assert.deepStrictEqual(lost(119_999), { _tag: "BackOff", atLeast: 200, atMost: 300 })
    assert.deepStrictEqual(lost(120_000), { _tag: "Fail", failure: { _tag: "Lost", error: away } })
  })

  it("a first look that falls on the idle limit is a look", () => {
    const facts = { idle: 10_000, quietSince: 5, silentSince: 5 }
    assert.deepStrictEqual(Machine.deadline(run, { ...reading, looked: false }, facts), {
      at: 10_005,
      timer: "overdue"
    })
  })
})

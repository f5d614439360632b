/** Which failures are retried, after which pause and with which settings, as tables. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Option, Redacted, Schedule, TestClock } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import * as DustConfig from "effect-dust/DustConfig"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import type { Identity, Replay } from "../../src/internal/api/operation.ts"
import * as errors from "../../src/internal/request/errors.ts"
import { delays, isUnhandled, mayRepeat, retrying, totalOf } from "../../src/internal/request/retry.ts"
import { type CallOptions, limitOf, merge, settingsOf, type Tally } from "../../src/internal/request/settings.ts"

const identity = (route = "/x"): Identity => ({
  module: "Probe",
  method: "write",
  http: "POST",
  route,
  credential: "any",
  errors: {}
})

const answer = (status: number, type?: string, headers: Record<string, string> = {}, route?: string) =>
  errors.fromResponse({
    identity: identity(route),
    hasUser: false,
    attempts: 1,
    status,
    headers,
    body: JSON.stringify({ error: { type } }),
    now: 0
  })
const network = (reachedServer: boolean, type?: string) => errors.network(identity(), 1, "cut", { type, reachedServer })
const late = (phase: "headers" | "body" | "idle" | "total") =>
  errors.timeout(identity(), 1, phase, Duration.seconds(1), "late")

describe("a failed attempt", () => {
  const policy = RetryPolicy.make()
  // Whether it is repeated: an operation that is safe, one that creates something, and one that must not run twice.
  const rows: ReadonlyArray<readonly [string, RequestError, boolean, boolean]> = [
    ["a rate limit", answer(429), true, true],
    ["a quota", answer(402), false, false],
    ["a busy conversation", answer(409, "x", {}, "/assistant/conversations"), true, true],
    ["another conflict", answer(409), false, false],
    ["a connection that reached the server", network(true), true, false],
    ["a connection that did not", network(false), true, true],
    ["a closed client", network(false, "UND_ERR_CLOSED"), false, false],
    ["a proxy that refuses", network(false, "proxy_refused"), false, false],
    ["an untrusted certificate", network(false, "SELF_SIGNED_CERT"), false, false],
    ["a limit of the headers", late("headers"), true, false],
    ["a limit of the body", late("body"), true, false],
    ["the total limit", late("total"), false, false],
    ["a 500", answer(500), true, false],
    ["a 501", answer(501), false, false],
    ["a 505", answer(505), false, false],
    ["a 503 of a proxy", answer(503), true, false],
    ["a 503 of the server, which did nothing", answer(503, "service_unavailable"), true, true],
    ["a 500 of the same type", answer(500, "service_unavailable"), true, false],
    ["a 425", answer(425), true, true],
    ["a refusal", answer(400), false, false],
    ["a missing resource", answer(404), false, false],
    ["an unexpected response", errors.decode(identity(), 1, "odd", []), false, false]
  ]
  it.each(rows)("%s: is repeated if it is safe: %s", (_, error, safe, once) => {
    const repeats = (replay: Replay, given = policy) => mayRepeat(error, { replay }, given)
    assert.deepStrictEqual([repeats("safe"), repeats("once"), repeats("creation")], [safe, once, once])
    const generous = RetryPolicy.make({ repeatCreations: true })
    assert.deepStrictEqual([repeats("once", generous), repeats("creation", generous)], [once, safe])
    assert.isFalse(mayRepeat(error, { replay: "safe", final: () => true }, policy))
    assert.strictEqual(mayRepeat(error, { replay: "safe", final: () => false }, policy), safe)
  })

  it("was not processed, by the status of its response", () => {
    assert.isTrue(isUnhandled({ status: 425 }))
    assert.isTrue(isUnhandled({ status: 503, type: "service_unavailable" }))
    assert.isFalse(isUnhandled({ status: 503 }))
    assert.isFalse(isUnhandled({ status: 500, type: "service_unavailable" }))
    assert.isFalse(isUnhandled({}))
  })
})

describe("the pause before the next attempt", () => {
  const policy = RetryPolicy.make({
    schedule: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(3)),
    maxRetryAfter: "30 seconds",
    maxElapsed: "60 seconds",
    rateLimitPauses: ["10 seconds", "20 seconds"]
  })
  /** The pauses after these errors, each of which passes before the next one; `undefined`: no further attempt. */
  const pauses = (given: RetryPolicy.RetryPolicy, all: ReadonlyArray<RequestError>) =>
    Effect.gen(function*() {
      const next = yield* delays(given)
      const out: Array<number | undefined> = []
      for (const error of all) {
        const delay = Option.getOrUndefined(yield* next(error))
        out.push(delay)
        if (delay !== undefined) yield* TestClock.adjust(delay)
      }
      return out
    })
  const wait = (seconds: number) => answer(503, undefined, { "retry-after": String(seconds) })

  it.effect("is that of the schedule, as often as it goes on", () =>
    Effect.map(
      pauses(policy, [answer(500), network(true), answer(500), answer(500)]),
      (all) => assert.deepStrictEqual(all, [1_000, 1_000, 1_000, undefined])
    ))

  it.effect("is what the server requests, if it is longer, up to a limit", () =>
    Effect.map(
      pauses(policy, [wait(7), wait(0), wait(30), wait(1)]),
      (all) => assert.deepStrictEqual(all, [7_000, 1_000, 30_000, undefined])
    ))

  it.effect("is none if the server requests more, without a step of the schedule", () =>
    Effect.map(
      pauses(policy, [wait(31), wait(30), wait(1), wait(1)]),
      (all) => assert.deepStrictEqual(all, [undefined, 30_000, 1_000, 1_000])
    ))

  it.effect("ends at the limit of the policy, and not before it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* pauses(policy, [wait(30), wait(30)]), [30_000, 30_000])
      assert.deepStrictEqual(yield* pauses(policy, [wait(30), wait(29), wait(2)]), [30_000, 29_000, undefined])
    }))

  it.effect("is one of the policy after a rate limit, up to a fifth longer; the last one repeats", () =>
    Effect.gen(function*() {
      const [first, second, third] = yield* pauses({ ...policy, maxElapsed: Duration.minutes(9) }, [
        answer(429),
        answer(429),
        answer(429)
      ])
      assert.isTrue(first! > 10_000 && first! <= 12_000)
      assert.isTrue(second! > 20_000 && second! <= 24_000)
      assert.isTrue(third! > 20_000 && third! <= 24_000)
      assert.notStrictEqual(second, third)
      const [asked] = yield* pauses(policy, [answer(429, undefined, { "retry-after": "2" })])
      assert.strictEqual(asked, 2_000)
      for (const rateLimitPauses of [[], undefined]) {
        assert.deepStrictEqual(yield* pauses({ ...policy, rateLimitPauses }, [answer(429)]), [1_000])
      }
    }))
})

describe("the attempts of a call", () => {
  it.effect("are repeated with the pauses of the policy, which counts from the first", () =>
    Effect.gen(function*() {
      const log: Array<unknown> = []
      let now = 100
      let attempts = 0
      const run = (failures: ReadonlyArray<RequestError>) => {
        attempts = 0
        return retrying(
          RetryPolicy.make({ schedule: Schedule.spaced("1 second"), maxElapsed: "3 seconds" }),
          Effect.suspend(() => {
            const error = failures[attempts++]
            return error === undefined ? Effect.succeed("done") : Effect.fail(error)
          }),
          {
            now: () => now,
            mayRepeat: (error) => error._tag === "DustServerError",
            onRepeat: (error, delay) => Effect.sync(() => log.push([error.status, delay])),
            sleep: (millis) =>
              Effect.sync(() => {
                now += millis + 500
              })
          }
        )
      }
      assert.strictEqual(yield* run([]), "done")
      assert.strictEqual(yield* run([answer(500), answer(503)]), "done")
      assert.deepStrictEqual(log, [[500, 1_000], [503, 1_000]])
      assert.strictEqual((yield* Effect.flip(run([answer(500), answer(400)]))).status, 400)
      assert.deepStrictEqual(log.splice(0), [[500, 1_000], [503, 1_000], [500, 1_000]])
      // After 3 seconds there is no time left for another second.
      assert.strictEqual((yield* Effect.flip(run([500, 501, 502, 503].map((status) => answer(status))))).status, 502)
      assert.deepStrictEqual(log, [[500, 1_000], [501, 1_000]])
    }))
})

describe("the settings of a call", () => {
  const config = Either.getOrThrow(DustConfig.check({
    workspaceId: "w",
    apiKey: Redacted.make("sk-x"),
    headers: { a: "1", b: "2" }
  }))
  const shown = (options: CallOptions, given: DustConfig.Service = config) =>
    Either.merge(Either.map(settingsOf(given, options), ({ headers, retry, timeouts }) => ({
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)])),
      retry: retry === RetryPolicy.standard ? "standard" : retry === RetryPolicy.none ? "none" : "other",
      timeouts: Object.fromEntries(Object.entries(timeouts).map(([name, limit]) => [name, Duration.toSeconds(limit)]))
    })))
  const standard = {
    headers: { a: "1", b: "2" },
    retry: "standard",
    timeouts: { headers: 60, body: 60, idle: 90, total: 240 }
  }

  it("are those of the client by default, and as they are", () => {
    assert.deepStrictEqual<unknown>(shown({}), standard)
    assert.strictEqual(Either.getOrThrow(settingsOf(config, {})), config as never)
  })

  const rows: ReadonlyArray<readonly [CallOptions, object]> = [
    [{ headers: { B: "3", c: "4" } }, { headers: { a: "1", b: "3", c: "4" } }],
    [{ retry: RetryPolicy.none }, { retry: "none", timeouts: { headers: 60, body: 60, idle: 90, total: 120 } }],
    [{ timeouts: {} }, {}],
    [{ timeouts: { headers: "5 seconds" } }, { timeouts: { headers: 5, body: 60, idle: 90, total: 185 } }],
    [{ timeouts: { body: "5 seconds" } }, { timeouts: { headers: 60, body: 5, idle: 90, total: 185 } }],
    [{ timeouts: { idle: "5 seconds" } }, { timeouts: { headers: 60, body: 60, idle: 5, total: 240 } }],
    [{ timeouts: { total: "5 seconds" } }, { timeouts: { headers: 60, body: 60, idle: 90, total: 5 } }],
    [{ timeouts: { total: "5 seconds" }, retry: RetryPolicy.none }, {
      retry: "none",
      timeouts: { headers: 60, body: 60, idle: 90, total: 5 }
    }]
  ]
  it.each(rows)("with %j", (options, expected) => {
    assert.deepStrictEqual<unknown>(shown(options), { ...standard, ...expected })
  })

  it("have a total limit that follows the others, unless it was chosen", () => {
    const short = { timeouts: { headers: "5 seconds" } } as const
    const totalWith = (more: Partial<DustConfig.Service>) => {
      const { timeouts } = Either.getOrThrow(settingsOf({ ...config, ...more }, short))
      return Duration.toSeconds(timeouts.total)
    }
    assert.strictEqual(totalWith({ chosenLimits: ["headers"] }), 185)
    assert.strictEqual(totalWith({ chosenLimits: ["headers", "total"] }), 240)
    // A configuration made by hand: a total limit that is the default one was not chosen.
    assert.strictEqual(totalWith({ chosenLimits: undefined }), 185)
    const total = Duration.seconds(7)
    assert.strictEqual(totalWith({ chosenLimits: undefined, timeouts: { ...config.timeouts, total } }), 7)
    assert.strictEqual(Duration.toSeconds(totalOf(RetryPolicy.none, Duration.seconds(2), Duration.seconds(3))), 5)
    assert.strictEqual(Duration.toSeconds(totalOf(RetryPolicy.standard, Duration.seconds(2), Duration.seconds(3))), 125)
  })

  const wrong: ReadonlyArray<readonly [CallOptions, string]> = [
    [{ timeouts: { headers: 0 } }, "timeouts.headers"],
    [{ timeouts: { body: 0 } }, "timeouts.body"],
    [{ timeouts: { idle: 0 } }, "timeouts.idle"],
    [{ timeouts: { total: 0 } }, "timeouts.total"],
    [{ headers: { "a b": "" } }, "headers.a b"]
  ]
  it.each(wrong)("cannot be %j", (options, field) => {
    assert.propertyVal(shown(options), "field", field)
  })

  it("nest: the inner ones override the outer ones, and undefined members override nothing", () => {
    const outer: CallOptions = {
      timeouts: { headers: 1, body: 2 },
      retry: RetryPolicy.none,
      headers: { a: "1", b: "2" }
    }
    assert.deepStrictEqual(merge(outer, {}), outer)
    assert.deepStrictEqual(merge({}, outer), outer)
    assert.deepStrictEqual(
      merge(outer, {
        timeouts: { headers: undefined, body: 3, idle: 4 },
        retry: RetryPolicy.standard,
        headers: { b: "3", c: "4" }
      }),
      {
        timeouts: { headers: 1, body: 3, idle: 4 },
        retry: RetryPolicy.standard,
        headers: { a: "1", b: "3", c: "4" }
      }
    )
  })

  it("end at the earliest of the limits around a call", () => {
    const limit = (end: number) => ({ end, reached: () => late("total") as never })
    const tally = (end: number | undefined, outer?: Tally): Tally => ({
      attempts: 0,
      outer,
      limit: end === undefined ? undefined : limit(end)
    })
    const ends = (...all: ReadonlyArray<number | undefined>) =>
      limitOf(all.reduce<Tally | undefined>((outer, end) => tally(end, outer), undefined))?.end
    assert.deepStrictEqual(
      [ends(), ends(undefined), ends(5), ends(undefined, 5), ends(5, undefined), ends(5, 7), ends(7, 5, 6)],
      [undefined, undefined, 5, 5, 5, 5, 5]
    )
    const inner = tally(5, tally(5))
    assert.strictEqual(limitOf(inner), inner.limit)
  })
})

/** The rate limit of a call: which place it asks for, how long it waits for it, and what a refusal is. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Redacted, Schedule, Schema } from "effect"
import { type CallOptions, operation, withCredential, withOptions } from "effect-dust/DustClient"
import type * as DustConfig from "effect-dust/DustConfig"
import type { Service as Governor, Ticket } from "effect-dust/Governor"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { clientOf, untilEnded } from "../support/bareClient.ts"
import { complete } from "../support/failures.ts"
import { failure, json, secretKey } from "../support/http.ts"

const ok = () => json({ ok: true })
const Ok = Schema.Struct({ ok: Schema.Boolean })
const write = operation({ name: "Probe.write", http: "POST", route: "/write", response: Ok })
const remove = operation({ name: "Probe.remove", http: "DELETE", route: "/remove", response: Ok })
const open = operation({ name: "Probe.open", http: "GET", route: "/open", credential: "none", response: Ok })

describe("the limit of a call", () => {
  const limited = (more: object) =>
    operation({ name: "Probe.limited", http: "POST", route: "/limited", response: Ok, ...more })

  /** Which place each call asks for. */
  const recording = (options: { readonly free?: boolean; readonly pause?: Duration.Duration } = {}) => {
    const log: Array<unknown> = []
    const shown = ({ key, limitClass }: Ticket) => `${limitClass} ${key}`
    const governor: Governor = {
      isFree: (ticket) => {
        log.push(["isFree", shown(ticket)])
        return options.free === true
      },
      admit: (ticket, { maxPause, onPaused }) =>
        Effect.suspend(() => {
          log.push(["admit", shown(ticket), Duration.toMillis(maxPause)])
          return options.pause === undefined ? Effect.void : Effect.fail(onPaused(options.pause))
        }),
      refused: (ticket, retryAfter) =>
        Effect.sync(() => log.push(["refused", shown(ticket), retryAfter && Duration.toMillis(retryAfter)]))
    }
    return { log, governor }
  }
  it.scoped("is that of its workspace, its credential or its route", () =>
    Effect.gen(function*() {
      const { governor, log } = recording({ free: true })
      const client = yield* clientOf(ok, {}, governor)
      yield* client.execute(limited({ limits: "uploads" }), {})
      yield* client.execute(limited({ limits: "upserts" }), {})
      yield* client.execute(limited({}), {})
      yield* client.execute(open, {})
      yield* client.open(write, { url: "https://storage.example/f" }, { origin: "storage" })
      assert.deepStrictEqual(log, [
        ["isFree", "uploads dust.example/ws1"],
        ["isFree", "upserts dust.example/ws1"],
        ["isFree", "requests dust.example/ws1 POST /limited"]
      ])
    }))

  it.scoped("of messages is that of one credential, however it is given", () =>
    Effect.gen(function*() {
      const { governor, log } = recording({ free: true })
      const client = yield* clientOf(ok, {}, governor)
      const send = client.execute(limited({ limits: "messages" }), {})
      const one = Effect.sync(() => Redacted.make("t1"))
      const two = Effect.sync(() => Redacted.make("t2"))
      const given = (accessToken: DustConfig.TokenEffect | Redacted.Redacted<string>) =>
        withCredential(send, { accessToken })
      yield* Effect.all([
        send,
        send,
        given(Redacted.make("t")),
        given(Redacted.make("t")),
        given(one),
        given(two),
        given(one)
      ])
      const keys = log.map((entry) => (entry as ReadonlyArray<string>)[1]!)
      assert.isTrue(keys.every((entry) => entry.startsWith("messages dust.example/ws1/")))
      assert.notInclude(keys.join(), secretKey)
      assert.strictEqual(keys[0], keys[1])
      assert.strictEqual(keys[2], keys[3])
      assert.strictEqual(keys[4], keys[6])
      assert.strictEqual(new Set(keys).size, 4)
    }))

  it.scoped("is asked before each attempt that is not free, and hears of rate limits alone", () =>
    Effect.gen(function*() {
      const { governor, log } = recording()
      let status = 429
      const client = yield* clientOf(() => failure(status, "x", "No", { "retry-after": "7" }), {}, governor)
      yield* Effect.flip(client.execute(limited({ limits: "uploads" }), {}))
      status = 500
      yield* Effect.flip(client.execute(limited({ limits: "uploads" }), {}))
      yield* Effect.flip(
        withOptions(client.execute(limited({ limits: "uploads" }), {}), { timeouts: { total: "5 seconds" } })
      )
      const ticket = "uploads dust.example/ws1"
      assert.deepStrictEqual(log, [
        ["isFree", ticket],
        ["admit", ticket, 60_000],
        ["refused", ticket, 7_000],
        ["isFree", ticket],
        ["admit", ticket, 60_000],
        ["isFree", ticket],
        ["admit", ticket, 5_000]
      ])
    }))

  /** A governor that lets a call wait, and counts the places that are taken. */
  const slow = (wait: Duration.DurationInput) => {
    const places = { taken: 0, most: 0 }
    const governor: Governor = {
      isFree: () => false,
      admit: () =>
        Effect.zipRight(
          Effect.sleep(wait),
          Effect.acquireRelease(
            Effect.sync(() => places.most = Math.max(places.most, ++places.taken)),
            () => Effect.sync(() => places.taken--)
          )
        ),
      refused: () => Effect.void
    }
    return { governor, places }
  }

  it.scoped("is waited for within a total limit of its own, or in addition to the default one", () =>
    Effect.gen(function*() {
      const { governor, places } = slow("50 seconds")
      const client = yield* clientOf(() => Effect.never, { timeouts: { headers: "1 hour" } }, governor)
      const after = (options: CallOptions) =>
        Effect.gen(function*() {
          const begun = yield* Clock.currentTimeMillis
          const call = withOptions(client.execute(write, {}), options)
          const ended = Effect.flatMap(Effect.flip(call), (error) =>
            Effect.map(Clock.currentTimeMillis, (now) => [now - begun, error.message, error.attempts]))
          return yield* untilEnded(ended, "10 seconds")
        })
      const late = (limit: string) => `Probe.write: not finished within ${limit}`
      assert.deepStrictEqual(yield* after({ timeouts: { total: "30 seconds" } }), [30_000, late("30s"), 0])
      assert.deepStrictEqual(yield* after({ timeouts: { total: "80 seconds" } }), [80_000, late("1m 20s"), 1])
      const short = { timeouts: { headers: "20 seconds", body: "1 second" } } as const
      assert.deepStrictEqual(yield* after(short), [70_000, "Probe.write: no response within 20s", 1])
      assert.deepStrictEqual(places, { taken: 0, most: 1 })
    }))

  it.scoped("is waited for before each attempt, beside the time of the retries", () =>
    Effect.gen(function*() {
      const { governor, places } = slow("50 seconds")
      const retry = RetryPolicy.make({ schedule: Schedule.spaced("1 second"), maxElapsed: "2500 millis" })
      const client = yield* clientOf(() => failure(500, "x"), { retry }, governor)
      const error = yield* untilEnded(Effect.flip(client.execute(remove, {})))
      assert.deepStrictEqual([error.status, error.attempts, places], [500, 3, { taken: 0, most: 1 }])
    }))

  it.scoped("that is closed for longer than the call waits is an error", () =>
    Effect.gen(function*() {
      const { governor } = recording({ pause: Duration.seconds(90) })
      const client = yield* clientOf(ok, {}, governor)
      const same = {
        _tag: "DustRateLimitError",
        module: "Probe",
        method: "limited",
        request: { method: "POST", route: "/limited" },
        type: "rate_limit_error",
        retryAfter: 90_000,
        attempts: 0
      }
      const failed = (more: object) => Effect.map(Effect.flip(client.execute(limited(more), {})), complete)
      assert.deepStrictEqual(yield* failed({ limits: "messages" }), {
        ...same,
        message: "Probe.limited: Dust's limit of messages is closed for 1m 30s, longer than the call waits",
        details: { limit: "messages" }
      })
      assert.deepStrictEqual(yield* failed({}), {
        ...same,
        message: "Probe.limited: The limit of /limited is closed for 1m 30s, longer than the call waits",
        details: { limit: "requests" }
      })
      assert.deepStrictEqual(client.sent(), [])
    }))
})

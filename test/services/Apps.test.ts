import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Either, Fiber, Stream, TestClock } from "effect"
import { values } from "effect-dust/App"
import * as Apps from "effect-dust/Apps"
import * as DustTest from "effect-dust/DustTest"

const inSpace = { spaceId: "vlt_global", appId: "shout" } as const

const options = {
  ...inSpace,
  specificationHash: "v7",
  config: { OUTPUT: { provider_id: "openai", model_id: "gpt-5" } },
  inputs: [{ word: "hello there" }, { word: "bye" }]
} as const

const word = (input: unknown): string =>
  typeof input === "object" && input !== null && "word" in input ? String(input.word) : ""

const shout: DustTest.AppSeed = {
  sId: "shout",
  name: "Shout",
  description: "Says it louder",
  specificationHash: "v7",
  run: (input) => word(input) === "bad" ? Effect.fail("not a word") : word(input).toUpperCase()
}

const local = (seed?: Partial<DustTest.AppSeed>, more?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ seed: { apps: [{ ...shout, ...seed }] }, ...more }))

const posted = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest({ method: "POST" }))

describe("Apps", () => {
  it.effect("lists the apps of a space", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const found = yield* apps.list("vlt_global")
      assert.deepStrictEqual(found.map((app) => [app.sId, app.name, app.description, app.space?.sId]), [
        ["shout", "Shout", "Says it louder", "vlt_global"]
      ])
      assert.deepStrictEqual(yield* apps.list("vlt_product"), [])
      const missing = yield* Effect.flip(apps.list("vlt_nowhere"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.type, "space_not_found")
    }).pipe(local()))

  it.effect("runs an app in one request and gives its values", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const run = yield* apps.run(options)
      assert.strictEqual(run.status.run, "succeeded")
      assert.deepStrictEqual(values(run), ["HELLO THERE", "BYE"])
      assert.deepStrictEqual(run.traces.map((trace) => [trace.blockType, trace.blockName]), [
        ["input", "INPUT"],
        ["chat", "OUTPUT"]
      ])
      assert.deepStrictEqual(run.status.blocks.map((block) => [block.name, block.successCount]), [
        ["INPUT", 2],
        ["OUTPUT", 2]
      ])
      assert.strictEqual(run.specificationHash, "v7")
      assert.strictEqual(run.runType, "deploy")
      const { body } = yield* posted
      assert.deepStrictEqual(body, {
        specification_hash: "v7",
        config: options.config,
        inputs: options.inputs,
        blocking: true
      })
    }).pipe(local()))

  it.effect("keeps the blocks that pass the filter", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const run = yield* apps.run({ ...options, blockFilter: ["INPUT"] })
      assert.deepStrictEqual(run.traces.map((trace) => trace.blockName), ["INPUT"])
      assert.deepStrictEqual(values(run), [...options.inputs])
      const { body } = yield* posted
      assert.propertyVal(body, "blocking", true)
      assert.deepPropertyVal(body, "block_filter", ["INPUT"])
    }).pipe(local()))

  it.effect("returns a run whose block failed", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const run = yield* apps.run({ ...options, inputs: [{ word: "good" }, { word: "bad" }] })
      assert.strictEqual(run.status.run, "errored")
      assert.isNull(run.results)
      assert.deepStrictEqual(values(run), [])
      assert.deepStrictEqual(run.traces[1]?.outputs.map(([one]) => one?.error), [null, "not a word"])
    }).pipe(local()))

  it.effect("Apps.run: a limit that is set is a ceiling for a blocking run, too", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const fiber = yield* Effect.fork(Effect.flip(apps.run(options)))
      yield* TestClock.adjust("8 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
    }).pipe(local({ duration: "9 minutes" }, { timeouts: { total: "8 seconds" } })))

  it.effect("Apps.run: waits ten minutes for a blocking run by default, and no longer", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const fiber = yield* Effect.fork(apps.run(options))
      yield* TestClock.adjust("9 minutes")
      const run = yield* Fiber.join(fiber)
      assert.strictEqual(run.status.run, "succeeded")

      const dust = yield* DustTest.DustTest
      yield* dust.fault(DustTest.faults.neverAnswer())
      const lost = yield* Effect.fork(Effect.flip(apps.run(options)))
      yield* TestClock.adjust("11 minutes")
      const error = yield* Fiber.join(lost)
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.strictEqual(error.attempts, 1)
    }).pipe(local({ duration: "9 minutes" })))

  it.effect("reports a server failure as such, not as a missing run", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      const { runId } = yield* apps.start(options)
      const run = { spaceId: options.spaceId, appId: options.appId, runId }
      yield* dust.fault({ method: "GET", times: 1, fault: DustTest.faults.status(500, { type: "run_error" }) })
      const reading = yield* Effect.fork(apps.getRun(run))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(reading)).runId, runId)
      assert.strictEqual(yield* dust.countRequests({ method: "GET" }), 2)
    }).pipe(local()))

  it.effect("starts a run, reads it, and waits for its end", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      const started = yield* apps.start(options)
      assert.strictEqual(started.status.run, "running")
      assert.deepStrictEqual(started.status.blocks, [])
      assert.isNull(started.results)
      const { body } = yield* posted
      assert.notProperty(body, "blocking")
      assert.notProperty(body, "stream")

      const fiber = yield* Effect.fork(apps.awaitRun({ ...inSpace, runId: started.runId }))
      yield* TestClock.adjust("29 seconds")
      assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
      yield* TestClock.adjust("2 seconds")
      const ended = yield* Fiber.join(fiber)
      assert.deepStrictEqual(values(ended), ["HELLO THERE", "BYE"])
      assert.strictEqual(yield* dust.countRequests({ method: "GET" }), 16)

      const again = yield* apps.getRun({ ...inSpace, runId: started.runId })
      assert.deepStrictEqual(again, ended)
    }).pipe(local({ duration: "29500 millis" })))

  it.effect("stops waiting after the limit", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const { runId } = yield* apps.start(options)
      const fiber = yield* Effect.fork(
        Effect.flip(apps.awaitRun({ ...inSpace, runId, pollInterval: "1 second", timeout: "5 seconds" }))
      )
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
      if (error._tag === "DustTimeoutError") assert.strictEqual(error.phase, "total")

      const patient = yield* Effect.fork(
        apps.awaitRun({ ...inSpace, runId, pollInterval: "1 hour", timeout: Duration.infinity })
      )
      yield* TestClock.adjust("3 hours")
      assert.strictEqual((yield* Fiber.join(patient)).status.run, "succeeded")
    }).pipe(local({ duration: "2 hours" })))

  it.effect("Apps.awaitRun: a total limit that was chosen bounds all of its requests, and its error counts them", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const { runId } = yield* apps.start(options)
      const fiber = yield* Effect.fork(Effect.flip(apps.awaitRun({ ...inSpace, runId })))
      yield* TestClock.adjust("7 seconds")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "total")
      assert.deepStrictEqual([error.method, error.attempts], ["awaitRun", 4])
    }).pipe(local({ duration: "2 hours" }, { timeouts: { total: "7 seconds" } })))

  it.effect("streams what happens", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(apps.stream(options)))
      assert.deepStrictEqual(events.map((event) => event.type), [
        "run_status",
        "block_execution",
        "block_status",
        "tokens",
        "tokens",
        "tokens",
        "block_execution",
        "block_status",
        "run_status",
        "final"
      ])
      const text = events.flatMap((event) =>
        event.type === "tokens" && event.inputIndex === 0 ? [event.tokens.text] : []
      )
      assert.strictEqual(text.join(""), "HELLO THERE")
      const [first] = events
      assert.strictEqual(first?.type, "run_status")
      if (first?.type === "run_status") {
        assert.strictEqual(first.status, "running")
        const run = yield* apps.getRun({ ...inSpace, runId: first.runId })
        assert.strictEqual(run.status.run, "succeeded")
      }
      const { body, headers } = yield* posted
      assert.propertyVal(body, "stream", true)
      assert.notProperty(body, "blocking")
      assert.strictEqual(headers["accept"], "text/event-stream")
    }).pipe(local()))

  it.effect("passes on every event, including unknown ones", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(apps.stream(options)))
      assert.deepStrictEqual(events.slice(0, 4), [
        {
          type: "reasoning_tokens",
          blockType: "chat",
          blockName: "MODEL",
          inputIndex: 0,
          map: { name: "LOOP", iteration: 2 },
          tokens: { text: "Hm" }
        },
        { type: "reasoning_item", blockType: "chat", blockName: "MODEL", inputIndex: 0, map: null, item: { id: 1 } },
        {
          type: "function_call",
          blockType: "chat",
          blockName: "MODEL",
          inputIndex: 0,
          map: null,
          functionCall: { name: "search" }
        },
        {
          type: "function_call_arguments_tokens",
          blockType: "chat",
          blockName: "MODEL",
          inputIndex: 0,
          map: null,
          tokens: { text: "{\"q\":" }
        }
      ])
      assert.deepStrictEqual(events.slice(4, 7), [
        { type: "unknown", kind: "weather", raw: { type: "weather", content: { sunny: true } } },
        { type: "unknown", kind: "run_status", raw: { type: "run_status", content: { status: "running" } } },
        { type: "unknown", kind: null, raw: 7 }
      ])
      assert.strictEqual(events.length, 8)
    }).pipe(local({
      events: [
        {
          type: "reasoning_tokens",
          content: {
            block_type: "chat",
            block_name: "MODEL",
            input_index: 0,
            map: { name: "LOOP", iteration: 2 },
            tokens: { text: "Hm" }
          }
        },
        {
          type: "reasoning_item",
          content: { block_type: "chat", block_name: "MODEL", input_index: 0, map: null, item: { id: 1 } }
        },
        {
          type: "function_call",
          content: { block_type: "chat", block_name: "MODEL", input_index: 0, function_call: { name: "search" } }
        },
        {
          type: "function_call_arguments_tokens",
          content: { block_type: "chat", block_name: "MODEL", input_index: 0, map: null, tokens: { text: "{\"q\":" } }
        },
        { type: "weather", content: { sunny: true } },
        { type: "run_status", content: { status: "running" } },
        7,
        { type: "final" },
        { type: "tokens", content: {} }
      ]
    })))

  it.effect("hands out an error event and what follows it, then fails with the same", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const seen: Array<string> = []
      const error = yield* apps.stream(options).pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(event.type))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, ["run_status", "error", "error", "run_status", "final"])
      assert.strictEqual(error._tag, "DustStreamError")
      if (error._tag === "DustStreamError") {
        assert.strictEqual(error.reason, "remote")
        assert.strictEqual(error.type, "run_error")
        assert.include(error.message, "no such model")
        assert.isFalse(error.isRetryable)
      }
    }).pipe(local({
      events: [
        { type: "run_status", content: { run_id: "r1", status: "running" } },
        { type: "error", content: { code: "run_error", message: "no such model" } },
        { type: "error", content: { code: "later_error", message: "and so on" } },
        { type: "run_status", content: { run_id: "r1", status: "errored" } },
        { type: "final" }
      ]
    })))

  it.effect("fails when the stream ends before the run", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      yield* dust.fault({ method: "POST", nth: 1, fault: DustTest.faults.end(150) })
      const ended = yield* Effect.flip(Stream.runDrain(apps.stream(options)))
      assert.strictEqual(ended._tag, "DustStreamError")
      if (ended._tag === "DustStreamError") assert.strictEqual(ended.reason, "truncated")

      yield* dust.clearFaults
      yield* dust.fault({ method: "POST", nth: 1, fault: DustTest.faults.cut(150) })
      const cut = yield* Effect.flip(Stream.runDrain(apps.stream(options)))
      assert.strictEqual(cut._tag, "DustNetworkError")
      // What may have run is not run again.
      assert.strictEqual(yield* dust.countRequests({ method: "POST" }), 2)
    }).pipe(local()))

  it.effect("is patient with a silent stream, closes it when stopped, and gives up after ten minutes", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      const slow = yield* Effect.fork(Stream.runCollect(apps.stream(options)))
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual(Chunk.size(yield* Fiber.join(slow)), 10)

      yield* Stream.runDrain(Stream.take(apps.stream(options), 1))
      assert.strictEqual(yield* dust.openStreams, 0)

      yield* dust.fault(DustTest.faults.delayBody("2 hours"))
      const silent = yield* Effect.fork(Effect.flip(Stream.runDrain(apps.stream(options))))
      yield* TestClock.adjust("11 minutes")
      const error = yield* Fiber.join(silent)
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.strictEqual(yield* dust.openStreams, 0)
    }).pipe(local({ duration: "9 minutes" })))

  it.effect("check: returns which versions are deployed", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const found = yield* apps.check({
        spaceId: "vlt_global",
        apps: [{ appId: "shout", appHash: "v7" }, { appId: "shout", appHash: "v6" }, { appId: "gone", appHash: "v1" }]
      })
      assert.deepStrictEqual(found, [
        { appId: "shout", appHash: "v7", deployed: true },
        { appId: "shout", appHash: "v6", deployed: false },
        { appId: "gone", appHash: "v1", deployed: false }
      ])
    }).pipe(local()))

  it.effect("maps what the server refuses", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const hash = yield* Effect.flip(apps.run({ ...options, specificationHash: "v0" }))
      assert.strictEqual(hash._tag, "DustBadRequestError")
      assert.strictEqual(hash.type, "run_error")
      const app = yield* Effect.flip(apps.start({ ...options, appId: "gone" }))
      assert.strictEqual(app._tag, "DustNotFoundError")
      const run = yield* Effect.flip(apps.getRun({ ...inSpace, runId: "gone" }))
      assert.strictEqual(run._tag, "DustNotFoundError")
      assert.strictEqual(run.status, 400)
    }).pipe(local()))

  it.effect("says not found when an app may not be read", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const error = yield* Effect.flip(apps.run(options))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.status, 403)
    }).pipe(local({ readable: false })))

  it.effect("refuses bad input before any request", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      const fieldOf = (
        effect: Effect.Effect<unknown, { readonly details: unknown; readonly attempts: number }, never>
      ) =>
        Effect.map(Effect.flip(effect), (error) => {
          assert.strictEqual(error.attempts, 0)
          return (error.details as { readonly field: string }).field
        })
      assert.deepStrictEqual(
        yield* Effect.all([
          fieldOf(apps.list(" ")),
          fieldOf(apps.run({ ...options, appId: ".." })),
          fieldOf(apps.start({ ...options, specificationHash: "" })),
          fieldOf(Stream.runDrain(apps.stream({ ...options, specificationHash: " " }))),
          fieldOf(apps.getRun({ ...inSpace, runId: "" })),
          fieldOf(apps.check({ spaceId: "vlt_global", apps: [{ appId: "", appHash: "v1" }] }))
        ]),
        ["spaceId", "appId", "specificationHash", "specificationHash", "runId", "apps.0.appId"]
      )
      assert.strictEqual(yield* dust.countRequests(), 0)
      const odd = yield* Effect.either(apps.getRun({ spaceId: "vlt_global", appId: "a/b?c", runId: "ü" }))
      assert.isTrue(Either.isLeft(odd))
      assert.include((yield* dust.lastRequest()).path, "/apps/a%2Fb%3Fc/runs/%C3%BC")
    }).pipe(local()))

  it.effect("repeats a check that the server failed, and never a run", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const dust = yield* DustTest.DustTest
      yield* dust.fault({ method: "POST", nth: 1, fault: DustTest.faults.status(502) })
      const fiber = yield* Effect.fork(apps.check({ spaceId: "vlt_global", apps: [] }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [])
      yield* dust.clearFaults
      yield* dust.clearRequests
      yield* dust.fault(DustTest.faults.resetAfter())
      const error = yield* Effect.flip(apps.run(options))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(yield* dust.countRequests(), 1)
    }).pipe(local()))

  it.effect("run, start and stream: the runs of a day used up are a quota error, which is not retried", () =>
    Effect.gen(function*() {
      const apps = yield* Apps.Apps
      const errors = [
        yield* Effect.flip(apps.run(options)),
        yield* Effect.flip(apps.start(options)),
        yield* Effect.flip(Stream.runDrain(apps.stream(options)))
      ]
      assert.deepStrictEqual(errors.map(({ _tag, isRetryable }) => [_tag, isRetryable]), [
        ["DustQuotaExceededError", false],
        ["DustQuotaExceededError", false],
        ["DustQuotaExceededError", false]
      ])
      const dust = yield* DustTest.DustTest
      assert.strictEqual(yield* dust.countRequests(), 3)
    }).pipe(Effect.provide(DustTest.layer({
      faults: [{
        path: "/spaces/{spaceId}/apps/{appId}/runs",
        fault: DustTest.faults.status(429, { type: "rate_limit_error", message: "10000 runs in 24 hours" })
      }]
    }))))
})

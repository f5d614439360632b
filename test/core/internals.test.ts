import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, TestClock } from "effect"
import { candidatesIn } from "../../src/internal/agent/findJson.ts"
import { csvRecords } from "../../src/internal/data/csvRecords.ts"
import { makeBudget } from "../../src/internal/util/slidingWindow.ts"

describe("the budget of requests", () => {
  it.effect("a waiter that gives up does not free a place that it never had", () =>
    Effect.gen(function*() {
      const slot = yield* makeBudget(2, 60_000)
      yield* slot
      yield* slot
      const waiting = yield* Effect.fork(slot)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.interrupt(waiting)
      let started = 0
      const more = yield* Effect.fork(Effect.forEach([1, 2], () => Effect.tap(slot, () => started++)))
      yield* TestClock.adjust("49 seconds")
      assert.strictEqual(started, 0)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(more)
      assert.strictEqual(started, 2)
    }))
})

describe("CSV", () => {
  it("takes time in proportion to its length, also in one long line of quoted values", () => {
    // The square of this much would take minutes, at the least.
    const values = 1_000_000
    const text = `${Array.from({ length: values }, () => "\"a\"\"b\"").join(",")}\n"x\ny"z`
    const [first, second] = csvRecords(text, { delimiter: ",", crOnly: false, from: 0, line: 1 })
    assert.strictEqual(Either.getOrThrow(first!).values.length, values)
    assert.strictEqual(Either.isLeft(second!) && second.left.line, 3)
  })
})

describe("the JSON in an answer", () => {
  const parts = {
    "openings": "{\"a\":[",
    "openings of strings": "{\"",
    "openings of comments": "{/*",
    "code fences": "```\n[1\n",
    "commas": "{\"a\":1,}, "
  }
  for (const [what, part] of Object.entries(parts)) {
    it(`is found in a time that grows with the length of the answer alone: ${what}`, () => {
      const before = performance.now()
      candidatesIn(part.repeat(100_000 / part.length), true)
      assert.isBelow(performance.now() - before, 20_000)
    })
  }
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, TestClock } from "effect"
import * as Fixtures from "effect-dust/Fixtures"
import { candidatesIn } from "../../src/internal/agent/findJson.ts"
import { beginning, isNewer, newestOf, type Position } from "../../src/internal/chat/sameMessage.ts"
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
      const before = process.cpuUsage()
      candidatesIn(part.repeat(100_000 / part.length), true)
      // Microseconds of the processor, not of the clock: the machine may be busy with other work.
      assert.isBelow(process.cpuUsage(before).user, 20_000_000)
    })
  }
})

describe("a position in a conversation", () => {
  const message = (sId: string, rank: number | null) => Fixtures.userMessage({ sId, rank })
  const at = (sId: string, rank: number | null): Position => ({ messageId: sId, rank })

  const rows: ReadonlyArray<readonly [string, Position, boolean | undefined]> = [
    ["itself", at("m", 5), false],
    ["itself, without ranks", at("m", null), false],
    ["the beginning", beginning, true],
    ["a lower rank", at("other", 4), true],
    ["the same rank", at("other", 5), false],
    ["a higher rank", at("other", 6), false],
    ["another message without a rank", at("other", null), undefined]
  ]
  it.each(rows)("a message after %s", (_, position, expected) => {
    assert.strictEqual(isNewer(message("m", 5), position), expected)
  })

  it("a message without a rank is after the beginning; otherwise its place in the list decides", () => {
    assert.isFalse(isNewer(message("m", null), at("m", null)))
    assert.isUndefined(isNewer(message("m", null), at("other", 4)))
    assert.isTrue(isNewer(message("m", null), beginning))
  })

  it("moves to the message with the highest rank, or to the last one without ranks, and never back", () => {
    assert.deepStrictEqual(newestOf(at("b", 2), [message("a", 1), message("c", 3), message("b", 2)]), at("c", 3))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("a", 1)]), at("b", 2))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("b", null)]), at("b", 2))
    assert.deepStrictEqual(newestOf(beginning, [message("a", null), message("b", null)]), at("b", null))
    assert.deepStrictEqual(newestOf(at("b", 2), [message("", 3)]), at("b", 2))
    assert.deepStrictEqual(newestOf(beginning, []), beginning)
  })
})

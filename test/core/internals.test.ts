import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import * as Fixtures from "effect-dust/Fixtures"
import { candidatesIn } from "../../src/internal/agent/findJson.ts"
import { beginning, isNewer, newestOf, type Position } from "../../src/internal/chat/sameMessage.ts"
import { Growing } from "../../src/internal/chat/text.ts"
import { storageTarget } from "../../src/internal/request/redirect.ts"
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

describe("text that only grows", () => {
  const events = {
    a: (text: string) => Fixtures.chatEvent.TextDelta({ text }),
    r: (text: string) => Fixtures.chatEvent.Reset({ text }),
    d: (text: string) => Fixtures.chatEvent.Done({ reply: Fixtures.reply({ text }) })
  }
  // Added, reset, done.
  type Step = readonly ["a" | "r" | "d", string]
  const rows: ReadonlyArray<readonly [string, ReadonlyArray<Step>, ReadonlyArray<string>]> = [
    ["is that of the events", [["a", "x"], ["a", "y"], ["d", "xy"]], ["x", "y"]],
    ["is the whole text at once without events", [["d", "xy"]], ["xy"]],
    ["is nothing for an empty text", [["d", ""]], []],
    ["has what the last text adds", [["a", "x"], ["d", "xyz"]], ["x", "yz"]],
    ["has what a new text adds, at its end", [["a", "x"], ["r", "xyz"], ["d", "xyz"]], ["x", "yz"]],
    ["has what a new text adds, with its next piece", [["a", "x"], ["r", "xy"], ["a", "z"], ["a", "!"]], [
      "x",
      "yz",
      "!"
    ]],
    [
      "waits for a new text that begins in the same way",
      [["a", "xyz"], ["r", "x"], ["a", "y"], ["a", "z"], ["a", "!"], ["d", "xyz!"]],
      ["xyz", "!"]
    ],
    [
      "is followed by a new text that differs, at its end",
      [["a", "xyz"], ["r", "abc"], ["a", "d"], ["a", "e"], ["d", "abcde"]],
      ["xyz", "\n\nabcde"]
    ],
    ["is not followed by the same text with other line ends", [["a", "x\r\ny "], ["d", "x\ny"]], ["x\r\ny "]],
    ["is not followed by a text that it ends with", [["a", "Hm. Yes"], ["d", "Yes"]], ["Hm. Yes"]],
    ["begins anew with a second reset", [["a", "x"], ["r", "abc"], ["a", "d"], ["r", "xy"], ["a", "z"]], ["x", "yz"]]
  ]
  it.each(rows)("%s", (_, steps, expected) => {
    const text = new Growing()
    const out: Array<string> = []
    for (const [kind, value] of steps) text.push(events[kind](value), out)
    assert.deepStrictEqual(out, expected)
  })
})

describe("the address of a file in the storage", () => {
  const targetOf = (base: string, location: string | undefined) =>
    storageTarget(new URL(base), `${base}/api`, location)?.href
  const dust = "https://dust.example"

  it("is one of Dust itself, or a public one with https", () => {
    const hosts = [
      "storage.example",
      "9.0.0.1",
      "11.0.0.1",
      "100.63.0.1",
      "100.128.0.1",
      "126.0.0.1",
      "128.0.0.1",
      "169.253.0.1",
      "172.15.0.1",
      "172.32.0.1",
      "192.167.0.1",
      "223.0.0.1",
      "[2001:db8::1]"
    ]
    for (const host of hosts) assert.strictEqual(targetOf(dust, `https://${host}/x`), `https://${host}/x`)
    assert.strictEqual(targetOf(dust, "/x"), `${dust}/x`)
  })

  it("is refused if it is missing, has a password or no https, or is a private one", () => {
    const refused = [
      undefined,
      "http://",
      "http://storage.example/x",
      "ftp://storage.example/x",
      "https://user@storage.example/x",
      "https://:password@storage.example/x",
      ...[
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.0.1",
        "192.168.0.1",
        "224.0.0.1",
        "[::1]",
        "[fc00::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[febf::1]",
        "localhost",
        "localhost.",
        "metadata.google.internal",
        "printer.local",
        "host.localdomain",
        "intranet"
      ].map((host) => `https://${host}/x`)
    ]
    assert.deepStrictEqual(refused.filter((location) => targetOf(dust, location) !== undefined), [])
  })

  it("is private and without https only beside a server of the same machine", () => {
    const rows: ReadonlyArray<readonly [string, string, boolean]> = [
      ["http://localhost:3000", "http://127.0.0.1:9000/x", true],
      ["http://localhost:3000", "https://10.0.0.1/x", true],
      ["http://localhost:3000", "http://storage.example/x", false],
      ["http://localhost:3000", "http://10.0.0.1/x", false],
      ["https://localhost:3000", "http://localhost:9000/x", false],
      ["http://10.0.0.1", "http://localhost:9000/x", false],
      ["http://dust.example", "http://localhost:9000/x", false]
    ]
    for (const [base, location, followed] of rows) {
      assert.strictEqual(targetOf(base, location) !== undefined, followed, `${base} → ${location}`)
    }
  })
})

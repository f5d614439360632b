import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, type Tracer } from "effect"
import { Chat } from "effect-dust/Chat"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import { fileURLToPath } from "node:url"
import {
  calledAt,
  captureCallSite,
  CurrentCallSite,
  failedIn,
  framesUnder,
  isDirect,
  located,
  locationOf,
  sameSite,
  withCallSites,
  withoutSpan
} from "../../src/internal/request/callSite.ts"
import { network } from "../../src/internal/request/errors.ts"

const lineOf = (error: DustAPIError | { readonly stack?: string }) =>
  Number(/callSite\.test\.ts:(\d+)/.exec(error.stack ?? "")?.[1])

describe("the stack of an error", () => {
  it.live("shows the line of the call that failed, not that of an earlier call", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const calls = [
        chat.send({ agent: "nobody", message: "First" }),
        chat.send({ agent: "nobody", message: "Second" }),
        chat.send({ agent: "nobody", message: "Third" })
      ]
      const [first = 0, second, third] = (yield* Effect.forEach(calls, Effect.flip)).map(lineOf)
      assert.isAbove(first, 0)
      assert.deepStrictEqual([second, third], [first + 1, first + 2])
    }).pipe(Effect.provide(DustTest.layer())))

  const own: ReadonlyArray<readonly [string | undefined, string, boolean]> = [
    ["file:///app/a%20b/sdk/internal/request/callSite.js", "at f (file:///app/a%20b/sdk/Chat.js:1:2)", true],
    ["file:///app/a%20b/sdk/internal/request/callSite.js", "at f (/app/a b/sdk/Chat.js:1:2)", true],
    ["file:///app/a%20b/sdk/internal/request/callSite.js", "at f (/app/main.js:1:2)", false],
    ["https://cdn.example/sdk/internal/request/callSite.js", "at f (https://cdn.example/sdk/Chat.js:1:2)", true],
    ["https://cdn.example/sdk/internal/request/callSite.js", "at f (https://app.example/sdk/main.js:1:2)", false],
    ["https://cdn.example/sdk.js", "at f (https://app.example/main.js:1:2)", false],
    ["callSite.js", "at f (/app/main.js:1:2)", false],
    [undefined, "at f (/app/main.js:1:2)", false]
  ]
  it.each(own)("in a module at %s: %s is a frame of the SDK: %s", (module, frame, expected) => {
    assert.strictEqual(framesUnder(module)(frame), expected)
  })
})

const here = new URL("../../src/Chat.ts", import.meta.url)
const own = `    at Chat.send (${fileURLToPath(here)}:1:2)`
const effect = "    at next (/app/node_modules/effect/dist/Effect.js:1:2)"
const site = (...frames: ReadonlyArray<string>) =>
  Object.assign(new Error(), { stack: ["Error", ...frames].join("\n") })
const main = site("    at main (/app/main.ts:7:8)")

/** An error of the SDK, constructed without frames. */
const failure = () => network({ module: "Probe", method: "read" }, 1, "cut", { type: undefined, reachedServer: true })

const spanKey = Symbol.for("effect/SpanAnnotation")
const spanOf = (error: object) => (error as { readonly [spanKey]?: unknown })[spanKey]

describe("the place of a call", () => {
  const rows: ReadonlyArray<readonly [string, ReadonlyArray<string>, string | undefined]> = [
    ["is the first frame", ["    at main (/app/main.ts:7:8)", "    at other (/app/other.ts:1:2)"], "/app/main.ts:7:8"],
    ["is the first frame that is none of the SDK's", [own, own, "    at main (/app/main.ts:7:8)"], "/app/main.ts:7:8"],
    ["may have no function", [own, "    at /app/main.ts:7:8"], "/app/main.ts:7:8"],
    ["may be in an async function", [own, "    at async /app/main.ts:7:8"], "/app/main.ts:7:8"],
    ["may be in parentheses", [own, "    at async f (file:///app (1)/main.ts:7:8) "], "file:///app (1)/main.ts:7:8"],
    ["is unknown if Effect made the call", [own, effect, "    at main (/app/main.ts:7:8)"], undefined],
    [
      "is unknown if Effect's platform made the call",
      ["    at x (C:\\app\\node_modules\\@effect\\platform\\x.js:1:2)"],
      undefined
    ],
    [
      "is not a line of the message",
      ["at main (/app/main.ts:1:1)", "    at main (/app/main.ts:7:8)"],
      "/app/main.ts:7:8"
    ],
    ["is unknown without frames", [], undefined],
    ["is unknown if all frames are the SDK's", [own], undefined]
  ]
  it.each(rows)("%s", (_, frames, expected) => {
    assert.strictEqual(locationOf(site(...frames)), expected)
  })

  it("is unknown without a call, or where an engine has no stacks", () => {
    assert.strictEqual(locationOf(undefined), undefined)
    assert.strictEqual(locationOf(Object.assign(new Error(), { stack: undefined })), undefined)
  })
})

describe("an error with a place", () => {
  it("has a stack of one frame, which can be changed", () => {
    const error = failure()
    assert.strictEqual(located(error, "Probe.read", main), error)
    const stack = "DustNetworkError: Probe.read: cut\n    at Probe.read (/app/main.ts:7:8)"
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(error, "stack"), {
      value: stack,
      configurable: true,
      enumerable: false,
      writable: true
    })
    // The first place counts.
    located(error, "Chat.send", site("    at other (/app/other.ts:1:2)"))
    assert.strictEqual(error.stack, stack)
  })

  it("has no frame if the place is unknown", () => {
    assert.notInclude(located(failure(), "Probe.read", undefined).stack, "\n    at ")
    assert.notInclude(located(failure(), "Probe.read", site(own)).stack, "\n    at ")
  })

  it("is shown with the span of its call, or with that of its caller if its stack shows the call", () => {
    const parent = { name: "parent" } as Tracer.Span
    const span = { name: "call", parent: Option.some(parent) } as unknown as Tracer.Span
    const root = { name: "call", parent: Option.none() } as unknown as Tracer.Span
    const of = (error: Error, span: Tracer.Span) => {
      failedIn(error, span)
      return spanOf(error)
    }
    assert.strictEqual(of(failure(), span), span)
    assert.strictEqual(of(located(failure(), "Probe.read", main), span), parent)
    assert.strictEqual(of(located(failure(), "Probe.read", main), root), undefined)
    const descriptor = { value: undefined, configurable: true, enumerable: false, writable: true }
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(failure(), spanKey), descriptor)
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(withoutSpan(new Error()), spanKey), descriptor)
  })

  it("gives its place and its span to a copy with another message", () => {
    const error = located(failure(), "Probe.read", main)
    const span = { name: "call", parent: Option.none() } as unknown as Tracer.Span
    const copy = new Error("other")
    assert.isTrue(sameSite(copy, error) === copy)
    assert.strictEqual(copy.stack, "Error: other\n    at Probe.read (/app/main.ts:7:8)")
    assert.isTrue(Object.hasOwn(copy, spanKey))
    const free = failure()
    failedIn(free, span)
    assert.strictEqual(spanOf(sameSite(new Error("other"), free)), span)
    assert.strictEqual(sameSite(new Error("other"), free).stack, "Error: other")
    const foreign = Object.assign(new Error("x"), { stack: undefined })
    const bare = sameSite(new Error("other"), foreign)
    assert.deepStrictEqual([bare.stack, Object.hasOwn(bare, spanKey)], ["Error: other", false])
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(bare, "stack"), {
      value: "Error: other",
      configurable: true,
      enumerable: false,
      writable: true
    })
  })
})

describe("a call on behalf of another", () => {
  it.effect("fails at the place of the outer one, unless the error is of the application", () =>
    Effect.gen(function*() {
      const at = calledAt(main)
      const [error, other] = [failure(), new Error("theirs")]
      const { stack } = other
      yield* Effect.flip(at(Effect.fail(error)))
      assert.include(error.stack, "    at Probe.read (/app/main.ts:7:8)")
      yield* Effect.flip(at(Effect.fail(other)))
      assert.strictEqual(other.stack, stack)
      assert.strictEqual(yield* at(CurrentCallSite), main)
      assert.strictEqual(yield* at(calledAt(site())(CurrentCallSite)), main)
      assert.strictEqual(yield* CurrentCallSite, undefined)
    }))

  it.effect("is recorded by the methods of a service, unless they record it themselves", () =>
    Effect.gen(function*() {
      const direct = isDirect(() => CurrentCallSite)
      const service = withCallSites({
        direct,
        value: 7,
        plain: (a: number, b: number) => [a, b, captureCallSite()] as const,
        effect: (text: string) => Effect.map(CurrentCallSite, (site) => [text, site] as const),
        nested: (): unknown => service.plain(1, 2)[2],
        broken: () => {
          throw new Error("broken")
        }
      })
      assert.strictEqual(service.direct, direct)
      assert.deepStrictEqual([service.value, yield* service.direct()], [7, undefined])
      const [text, site] = yield* service.effect("x")
      assert.strictEqual(text, "x")
      assert.match(String(site?.stack), /callSite\.test\.ts/)
      const limit = Error.stackTraceLimit
      const [a, b, plain] = service.plain(3, 4)
      assert.deepStrictEqual([a, b], [3, 4])
      assert.match(String(locationOf(plain)), /callSite\.test\.ts/)
      assert.strictEqual(locationOf(service.nested() as Error)?.includes("callSite.test.ts"), true)
      assert.throws(() => service.broken(), "broken")
      // Each call stands alone, also after one that threw.
      assert.notStrictEqual(captureCallSite(), captureCallSite())
      assert.strictEqual(Error.stackTraceLimit, limit)
    }))

  it("is captured with as few frames as lead to the caller", () => {
    const deep = (depth: number): Error => depth === 0 ? captureCallSite() : deep(depth - 1)
    assert.lengthOf(String(deep(20).stack).split("\n"), 7)
  })
})

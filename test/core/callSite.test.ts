import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import { framesUnder } from "../../src/internal/request/callSite.ts"

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

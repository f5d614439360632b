import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"

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
})

import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Layer, TestClock } from "effect"
import { jobProgress, Output } from "../../src/internal/cli/output.ts"

const plain = { bold: String, dim: String, red: String, green: String, yellow: String, cyan: String }

it.effect("the progress of a job: says until when it waits, also while requests complete that were on their way", () => {
  const shown: Array<string> = []
  const output = Layer.mock(Output, {
    progress: (text) =>
      Effect.sync(() => {
        shown.push(text.replace(/\d\d:\d\d:\d\d$/, "12:34:56"))
      }),
    notice: () => {},
    columns: () => 80,
    style: plain,
    noteStyle: plain,
    toTerminal: true,
    interactive: true
  })
  return Effect.gen(function*() {
    const progress = jobProgress("rows")
    yield* progress(0, undefined)
    yield* progress(5, 20)
    yield* progress(5, 20, DateTime.addDuration(yield* DateTime.now, "30 seconds"))
    yield* progress(6, 20)
    yield* TestClock.adjust("30 seconds")
    yield* progress(7, 20)
    assert.deepStrictEqual(shown, [
      "0 rows",
      "[█████···············] 5 of 20 rows",
      "[█████···············] 5 of 20 rows, waiting for Dust's limit until 12:34:56",
      "[██████··············] 6 of 20 rows, waiting for Dust's limit until 12:34:56",
      "[███████·············] 7 of 20 rows"
    ])
  }).pipe(Effect.provide(output))
})

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { tokens } from "../bench/soak.ts"

describe("memory", () => {
  // 10,000 streams at once: `npx tsx test/bench/soak.ts`.
  it.live("1,000,000 events: each of them once, in order, in memory that does not grow", () =>
    Effect.gen(function*() {
      const { events, heaps } = yield* tokens(1_000_000)
      assert.strictEqual(events, 1_000_000)
      assert.lengthOf(heaps, 10)
      // Kept, the events alone would be some 400 MB.
      assert.isBelow(heaps[9]! - heaps[1]!, 4_000_000)
    }), 120_000)
})

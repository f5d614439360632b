import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Counts, run } from "../support/application.ts"
import { calm, rough } from "../support/applicationPlans.ts"

const never = ({ defects, doubled, foreign, killed, lost, orphaned, sockets, wrong }: Counts) => ({
  defects,
  doubled,
  foreign,
  killed,
  lost,
  orphaned,
  sockets,
  wrong
})

const nothing = never({
  work: 0,
  failed: 0,
  requests: 0,
  troubled: 0,
  doubled: 0,
  lost: 0,
  wrong: 0,
  foreign: 0,
  killed: 0,
  orphaned: 0,
  defects: 0,
  sockets: 0
})

// A longer run, with more of everything: `npm run soak`.
describe("a whole application", () => {
  it.live("on a calm network: all of its work succeeds, and nothing is left", () =>
    Effect.gen(function*() {
      const counts = yield* run({ ...calm(1), report: console.log })
      assert.deepStrictEqual(never(counts), nothing)
      assert.strictEqual(counts.failed, 0)
      assert.isAbove(counts.work, 30)
    }))

  it.live(
    "under a misbehaving proxy: messages once, answers right, runs neither killed nor orphaned, no socket left",
    () =>
      Effect.gen(function*() {
        const counts = yield* run({ ...rough(1), report: console.log })
        console.log(JSON.stringify(counts))
        assert.deepStrictEqual(never(counts), nothing)
        assert.isAbove(counts.troubled, 10)
        // Under such a network work may fail, with a typed error; most of it does not.
        assert.isBelow(counts.failed, counts.work / 2)
      })
  )
})

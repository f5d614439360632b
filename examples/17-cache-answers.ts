/** Caches answers for an hour; equal concurrent questions are asked once. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cache, Data, Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import { done, dust, note, says, title } from "./support.ts"

/** Equal by value. Include everything else that changes the answer, such as the user. */
class Question extends Data.Class<{ readonly agent: string; readonly message: string }> {}

const program = Effect.gen(function*() {
  const chat = yield* Chat
  let asked = 0
  const answers = yield* Cache.make({
    capacity: 1_000,
    timeToLive: "1 hour",
    lookup: (question: Question) =>
      Effect.suspend(() => {
        asked++
        return Effect.map(chat.send(question), ({ text }) => text)
      })
  })
  const ask = (agent: string, message: string) => {
    const question = new Question({ agent, message })
    // Failures are not cached: the next call asks again.
    return Effect.tapError(answers.get(question), () => answers.invalidate(question))
  }

  yield* title("Three people ask the same question at once")
  const texts = yield* Effect.all([1, 2, 3].map(() => ask("quick", "Are you there?")), { concurrency: 3 })
  yield* says("agent", texts[0] ?? "")
  yield* done(`${texts.length} answers, asked ${asked} time`)

  yield* title("A fourth person asks later")
  yield* ask("quick", "Are you there?")
  const { hits, misses } = yield* answers.cacheStats
  yield* done(`still asked ${asked} time, ${hits} of ${hits + misses} from the cache`)

  yield* title("A failure")
  yield* Effect.ignore(ask("broken", "Are you there?"))
  yield* Effect.ignore(ask("broken", "Are you there?"))
  yield* note(`asked ${asked} times now: failures are not kept`)
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)

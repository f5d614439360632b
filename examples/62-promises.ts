/** Dust without Effect: promises with an abort signal, `for await`, and a `catch` that distinguishes failures. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import { isDustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"

const local = DustTest.layerServe({
  agents: {
    slow: [DustTest.text("One word after the other. ".repeat(50), { pace: "50 millis" })],
    broken: [DustTest.fail({ code: "model_error", message: "the model is overloaded" })]
  }
})

// One for the whole process. In your application: Dust.layerEnv instead of local.
const runtime = ManagedRuntime.make(local.pipe(Layer.provide(FetchHttpClient.layer)))

/** Returns a promise. Aborting the signal stops the agent. */
const ask = (agent: string, message: string, signal?: AbortSignal): Promise<string> =>
  runtime.runPromise(
    Effect.flatMap(Chat, (chat) => Effect.map(chat.send({ agent, message }), ({ text }) => text)),
    signal === undefined ? {} : { signal }
  )

/** Yields the text as it arrives. Leaving the loop stops the agent. */
const words = async function*(agent: string, message: string) {
  const text = Stream.unwrap(Effect.map(Chat, (chat) => chat.streamText({ agent, message })))
  yield* Stream.toAsyncIterableRuntime(text, await runtime.runtime())
}

console.log(await ask("echo", "Hello"))

for await (const word of words("slow", "Go")) {
  console.log(word)
  break
}

try {
  await ask("slow", "Go", AbortSignal.timeout(2_000))
} catch (error) {
  console.log(isDustAPIError(error) ? "a failure of Dust" : "stopped by the signal")
}

try {
  await ask("broken", "Go")
} catch (error) {
  if (!isDustAPIError(error)) throw error
  // A union that TypeScript narrows by its tag.
  if (error._tag === "DustAgentError") console.log(`${error.code}: ${error.message}`)
}

const dust = await runtime.runPromise(DustTest.DustTest)
await runtime.dispose()
const agents = await Effect.runPromise(dust.agentMessages())
console.log(`${agents.filter(({ cancelRequested }) => cancelRequested).length} agents were stopped`)

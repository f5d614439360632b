/** A process that starts a question with a key, and kills itself at a step of that. Bundled and run by `test/laws/keys.test.ts`. */
import { HttpClient, KeyValueStore } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer, Redacted } from "effect"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
import { writeFileSync } from "node:fs"

const { conversationId, directory, key, killAt, settle, url, workspaceId, apiKey } = JSON.parse(process.argv[2] ?? "{}")

const die = (): never => {
  process.kill(process.pid, "SIGKILL")
  // The signal may take a moment.
  for (;;);
}
let step = 0
const killed = () => step++ === killAt
const point = Effect.sync(() => {
  if (killed()) die()
})
const around = <A, E, R>(self: Effect.Effect<A, E, R>) => point.pipe(Effect.zipRight(self), Effect.zipLeft(point))

const store = Effect.map(KeyValueStore.KeyValueStore, (inner) => ({
  ...inner,
  get: (entry: string) => around(inner.get(entry)),
  set: (entry: string, value: string | Uint8Array) =>
    around(Effect.zipRight(
      Effect.sync(() => {
        // Cut off in the middle.
        if (killed()) {
          writeFileSync(
            `${directory}/${encodeURIComponent(entry)}`,
            value.slice(0, Math.floor(Math.random() * value.length))
          )
          die()
        }
      }),
      inner.set(entry, value)
    ))
}))

const Client = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    (client) =>
      HttpClient.transform(client, (execute) =>
        around(Effect.suspend(() =>
          killed()
            // On its way: the server may have it by then, or not.
            ? Effect.raceFirst(
              Effect.zipRight(Effect.either(execute), Effect.never),
              // @effect-diagnostics-next-line lazyPromiseInEffectSync:off
              Effect.zipRight(Effect.sleep(Math.random() * 15), Effect.sync(die))
            )
            : execute
        )))
  )
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const asked = yield* chat.start({
    agent: "echo",
    message: `Question ${key}`,
    conversationId,
    key,
    store: yield* store,
    settle
  })
  console.log(JSON.stringify({ ...asked, steps: step }))
})

program.pipe(
  Effect.provide(Dust.layer({ apiKey: Redacted.make(apiKey), workspaceId, baseUrl: url })),
  Effect.provide(Client),
  Effect.provide(Layer.provide(KeyValueStore.layerFileSystem(directory), NodeContext.layer)),
  Effect.runPromise
).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})

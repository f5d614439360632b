/** What an application does with the packed package, as text. */
import { integrations, publicModules } from "./modules.ts"

/** Streams an answer through the fetch client, which every runtime has, or that of Node. */
export const program = (http: "fetch" | "undici") => `
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Http from "${
  http === "fetch" ? "@effect/platform/FetchHttpClient" : "@effect/platform-node/NodeHttpClient"
}"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
export const ask = (baseUrl, apiKey) =>
  Effect.flatMap(Chat, (chat) => Stream.runCollect(chat.streamText({ agent: "echo", message: "One two three" }))).pipe(
    Effect.map((pieces) => [...pieces].join("")),
    Effect.provide(Dust.layer({ workspaceId: "LocalDust1", apiKey: Redacted.make(apiKey), baseUrl })),
    Effect.provide(Http.${http === "fetch" ? "layer" : "layerUndici"}),
    Effect.runPromise
  )
`

/** Loads every module, and does a little of everything in process. */
export const everything = `
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { approveAll } from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import { DataSources } from "effect-dust/DataSources"
import * as DustTest from "effect-dust/DustTest"
import * as File from "effect-dust/File"
import { Files } from "effect-dust/Files"
import { Search } from "effect-dust/Search"
${
  publicModules.filter((name) => integrations[name] === undefined).map((name) => `import "effect-dust/${name}"`).join(
    "\n"
  )
}
import "effect-dust"

const place = { spaceId: "vlt_global", dataSourceId: "dts_handbook" }
const agents = {
  mailer: { name: "Mailer", script: [DustTest.approval({ name: "send", inputs: {}, onResult: () => "One two three" })] }
}
export const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const files = yield* Files
  const file = yield* files.upload({ fileName: "notes.md", content: "# Notes" })
  const documents = [{ documentId: "a", text: "One" }, { documentId: "b", text: "Two" }]
  yield* Stream.runDrain(dataSources.syncDocuments({ ...place, documents, unchanged: "fingerprint" }))
  yield* dataSources.loadTable({ ...place, table: { name: "people" }, csv: "name,age\\nAda,36\\n" })
  yield* Effect.flatMap(Search, (search) => search.pageNodes({ query: "travel" }))
  const chat = yield* Chat
  const session = yield* chat.session({ agent: "mailer", onApproval: approveAll })
  return (yield* session.send({ message: "Write", attachments: [File.contentFragment(file)] })).text
})
console.log(await Effect.runPromise(Effect.provide(program, DustTest.layer({ agents }))))
`

/** The declarations of every module, checked together with those of the peers. */
export const typed = `${
  publicModules.filter((name) => integrations[name] === undefined).map((name) =>
    `export * as ${name} from "effect-dust/${name}"`
  ).join("\n")
}\n`

/** A chat served by the runtime's own server, asked by the client for pages. `serve` gives a port. */
export const serving = (serve: string) => `
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Http from "@effect/platform/FetchHttpClient"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as Dust from "effect-dust/Dust"
const [baseUrl, key] = process.argv.slice(-2)
const apiKey = Redacted.make(key)
const runtime = ManagedRuntime.make(ChatRelay.layerShutdown().pipe(
  Layer.provideMerge(Dust.layer({ workspaceId: "LocalDust1", apiKey, baseUrl })),
  Layer.provide(Http.layer)
))
const handler = ChatRoutes.toWebHandler(runtime, {
  path: "/chat",
  agents: ["echo"],
  credential: () => Effect.succeed({ apiKey })
})
${serve}
const chat = ChatRelayClient.make({ url: "http://127.0.0.1:" + port + "/chat" })
const { id } = await chat.ask({ message: "One two three" })
let text = ""
for await (const event of chat.follow({ id })) text = ChatRelayClient.textAfter(text, event)
await runtime.dispose()
console.log(text)
process.exit(0)
`

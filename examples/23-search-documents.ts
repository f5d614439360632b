/** Searches a folder semantically, prints the matching passages, and gives the best ones to an agent. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DataSource from "effect-dust/DataSource"
import { DataSources } from "effect-dust/DataSources"
import { agent, dust, failed, folder, note, says, title } from "./support.ts"

const question = "Which class may I book on trains?"

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const dataSources = yield* DataSources
  const location = yield* folder

  yield* title(question)
  const documents = yield* dataSources.search({ ...location, query: question, topK: 5 })
  const passages = DataSource.passages(documents)
  for (const { score, sourceUrl, text, title } of passages) {
    yield* says(title ?? "untitled", text)
    yield* note(`   score ${score?.toFixed(2) ?? "unknown"}, ${sourceUrl ?? "no source"}`)
  }
  const [best] = passages
  if (best === undefined) return yield* note("No results.")

  yield* title("Ask an agent about it")
  const reply = yield* chat.send({
    agent: yield* agent,
    message: question,
    attachments: [{ title: best.title ?? best.documentId, content: best.text, contentType: "text/plain" }]
  })
  yield* says("agent", reply.text)
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dust), NodeRuntime.runMain)

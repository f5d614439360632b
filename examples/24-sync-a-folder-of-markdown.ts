/** Keeps a folder of Dust in step with a directory of Markdown files, with a plan first and a progress bar. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import { DateTime, Effect, Stream } from "effect"
import { DataSources, type DocumentInput, type SyncEvent } from "effect-dust/DataSources"
import { done, dustAs, failed, folder, note, title, write } from "./support.ts"

/** Reads a file only when its turn has come: at most `concurrency` of them are in memory. */
const markdown = (directory: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = (yield* fs.readDirectory(directory, { recursive: true })).filter((name) => name.endsWith(".md"))
    const documents = Stream.mapEffect(Stream.fromIterable(names), (name) =>
      Effect.map(fs.readFileString(path.join(directory, name)), (text): DocumentInput => ({
        documentId: name,
        title: /^# (.+)$/m.exec(text)?.[1] ?? name,
        mimeType: "text/markdown",
        text
      })))
    return { documents, total: names.length }
  })

const bar = ({ progress }: SyncEvent) => {
  const { processed, total = 0 } = progress
  const full = total === 0 ? 20 : Math.round(20 * processed / total)
  return `[${"█".repeat(full)}${"·".repeat(20 - full)}] ${processed} of ${total}`
}

/** One line that is written over on a terminal; what went wrong stays. */
const report = (event: SyncEvent) => {
  const line = (text: string) => write(process.stdout.isTTY === true ? `\r\u001b[2K  ${text}` : `  ${text}\n`)
  switch (event._tag) {
    case "Listing":
      return line(`listing what is there: ${event.listed}`)
    case "Waiting":
      return line(`${bar(event)}, waiting for the rate limit until ${DateTime.formatIso(event.until)}`)
    case "Failed":
      return failed(`${event.documentId}: ${event.error.message}`)
    case "Done": {
      const { deleted, failed, skipped, upserted } = event.progress
      return Effect.zipRight(
        line(`${bar(event)}\n`),
        done(`${upserted} written, ${skipped} unchanged, ${deleted} deleted, ${failed} failed`)
      )
    }
    default:
      return line(bar(event))
  }
}

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const location = yield* folder
  // Yours exists already.
  const directory = yield* fs.makeTempDirectoryScoped()
  for (let i = 1; i <= 12; i++) {
    yield* fs.writeFileString(path.join(directory, `page-${i}.md`), `# Page ${i}\n\nThis is page ${i}.\n`)
  }
  const sync = Effect.gen(function*() {
    const { documents, total } = yield* markdown(directory)
    const options = {
      ...location,
      documents,
      total,
      unchanged: "fingerprint",
      // Only documents that a sync has written, never what others have put there.
      deleteStale: (existing: { readonly tags: ReadonlyArray<string> }) =>
        existing.tags.some((tag) => tag.startsWith("fingerprint:")),
      maxDeletions: "25%"
    } as const
    const plan = yield* dataSources.planSync(options)
    yield* note(
      `would write ${plan.upserts.length}, skip ${plan.skipped.length} and delete ${plan.deletions.length} documents`
    )
    yield* Stream.runForEach(dataSources.syncDocuments(options), report)
  })

  yield* title("The first night")
  yield* sync
  yield* title("One page has changed, one is gone")
  yield* fs.writeFileString(path.join(directory, "page-3.md"), "# Page 3\n\nThis page has changed.\n")
  yield* fs.remove(path.join(directory, "page-12.md"))
  yield* sync
  yield* title("The directory was not mounted")
  for (const name of yield* fs.readDirectory(directory)) yield* fs.remove(path.join(directory, name))
  yield* Effect.catchTag(sync, "DustBadRequestError", (error) => failed(error.message))
}).pipe(
  Effect.scoped,
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dustAs("adminApiKey")), Effect.provide(NodeContext.layer), NodeRuntime.runMain)

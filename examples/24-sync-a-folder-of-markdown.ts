/** Keeps a Dust folder in sync with a directory of Markdown files; prints a plan first, then a progress bar. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { DateTime, Effect, Stream } from "effect"
import { DataSources, type DocumentInput, type SyncEvent } from "effect-dust/DataSources"
import { bar, done, dustAs, failed, folder, note, progress, title } from "./support.ts"

const sync = (directory: string) =>
  Effect.gen(function*() {
    const dataSources = yield* DataSources
    const fs = yield* FileSystem.FileSystem
    const names = (yield* fs.readDirectory(directory, { recursive: true })).filter((name) => name.endsWith(".md"))
    const options = {
      ...(yield* folder),
      total: names.length,
      // Files are read lazily, one at a time.
      documents: Stream.mapEffect(Stream.fromIterable(names), (name) =>
        Effect.map(fs.readFileString(`${directory}/${name}`), (text): DocumentInput => ({
          documentId: name,
          title: /^# (.+)$/m.exec(text)?.[1] ?? name,
          mimeType: "text/markdown",
          text
        }))),
      unchanged: "fingerprint",
      // Deletes only documents written by a sync, never those of other writers.
      deleteStale: (existing: { readonly tags: ReadonlyArray<string> }) =>
        existing.tags.some((tag) =>
          tag.startsWith("fingerprint:")
        ),
      maxDeletions: "25%"
    } as const
    const { deletions, skipped, upserts } = yield* dataSources.planSync(options)
    yield* note(`would write ${upserts.length}, skip ${skipped.length} and delete ${deletions.length} documents`)
    yield* Stream.runForEach(dataSources.syncDocuments(options), report)
  })

const report = (event: SyncEvent) => {
  const { deleted, failed: errors, skipped, upserted } = event.progress
  switch (event._tag) {
    case "Listing":
      return progress(`listing what is there: ${event.listed}`)
    case "Waiting":
      return progress(`${bar(event.progress)}, waiting until ${DateTime.formatIso(event.until)}`)
    case "Failed":
      return failed(`${event.documentId}: ${event.error.message}`)
    case "Done":
      return done(`${upserted} written, ${skipped} unchanged, ${deleted} deleted, ${errors} failed`)
  }
  return progress(bar(event.progress))
}

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped() // Use your own directory.
  const page = (n: number, text: string) => fs.writeFileString(`${directory}/page-${n}.md`, `# Page ${n}\n\n${text}\n`)
  for (let n = 1; n <= 12; n++) yield* page(n, "As it was.")
  yield* title("The first night")
  yield* sync(directory)
  yield* title("One page has changed, one is gone")
  yield* page(3, "This page has changed.")
  yield* fs.remove(`${directory}/page-12.md`)
  yield* sync(directory)
  yield* title("The directory is not mounted")
  for (const name of yield* fs.readDirectory(directory)) yield* fs.remove(`${directory}/${name}`)
  yield* Effect.catchTag(sync(directory), "DustBadRequestError", (error) => failed(error.message))
}).pipe(Effect.scoped, Effect.catchTag("DustNotFoundError", (error) => failed(error.message)))

program.pipe(Effect.provide([dustAs("adminApiKey"), NodeContext.layer]), NodeRuntime.runMain)

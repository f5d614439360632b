/**
 * Syncs a folder with a source: writes new and changed documents, leaves unchanged ones alone, and deletes those that
 * the source no longer has. Run it again whenever the source has changed.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { DateTime, Effect, Stream } from "effect"
import { DataSources, type SyncEvent } from "effect-dust/DataSources"
import { done, dustAs, failed, folder, note, title } from "./support.ts"

// Yours come from a database, a directory or another API, as an Iterable or a Stream.
const source = (release: number) => [
  { documentId: "guides/install.md", title: "Install", text: "npm install effect-dust" },
  { documentId: "guides/start.md", title: "Start", text: `This is the guide of release ${release}.` },
  { documentId: "über uns.md", title: "About us", text: "We write guides." },
  { documentId: "broken.md", title: "x".repeat(600), text: "Its title is too long for Dust." },
  ...release === 1 ? [{ documentId: "guides/old.md", title: "Old", text: "Nobody needs this any more." }] : []
]

const report = (event: SyncEvent) => {
  switch (event._tag) {
    case "Upserted":
    case "Deleted":
      return done(`${event._tag.toLowerCase()} ${event.documentId}`)
    case "Skipped":
      return note(`${event.reason} ${event.documentId}`)
    case "Failed":
      return failed(`${event.documentId}: ${event.error.message}`)
    case "Listing":
      return note(`${event.listed} of ${event.existing ?? "?"} existing documents listed`)
    case "Waiting":
      return note(`waiting for the rate limit until ${DateTime.formatIso(event.until)}`)
    case "Done": {
      const { deleted, failed, skipped, upserted } = event.progress
      return note(`${upserted} written, ${skipped} skipped, ${deleted} deleted, ${failed} failed`)
    }
  }
}

const program = Effect.gen(function*() {
  const dataSources = yield* DataSources
  const location = yield* folder

  for (const release of [1, 2]) {
    yield* title(`Release ${release}`)
    yield* dataSources.syncDocuments({
      ...location,
      documents: source(release),
      unchanged: "fingerprint",
      // Deletes only documents written by a sync, never those of other writers.
      deleteStale: (existing) => existing.tags.some((tag) => tag.startsWith("fingerprint:")),
      concurrency: 4
    }).pipe(Stream.runForEach(report))
  }
}).pipe(
  Effect.catchTag("DustNotFoundError", (error) => failed(error.message))
)

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)

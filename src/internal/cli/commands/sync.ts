import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { DataSources, type SyncEvent } from "../../../DataSources.ts"
import type { SyncPlan } from "../../../DataSync.ts"
import { asJson } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { PartialFailure, UsageError } from "../failure.ts"
import { documentsIn } from "../folder.ts"
import { bar, jobProgress, json, oneLine, Output } from "../output.ts"
import { asProtection, dataSource, locate, readMaxDeletions, space } from "../place.ts"

const defaultExtensions = ["md", "mdx", "markdown", "txt", "html", "htm"]

/** Names of files may contain line ends and escape sequences. */
const flat = (text: string) => oneLine(text, Infinity)

/** Prints the events of a sync for people. */
const reporter = () => {
  const progress = jobProgress("documents")
  /** `unreadable`: the files that are not in the events, because they could not be read. */
  return (event: SyncEvent, unreadable: number) =>
    Effect.flatMap(Output, ({ note, noteStyle, progress: show }) => {
      const { deleted, failed, processed, skipped, total, upserted } = event.progress
      switch (event._tag) {
        case "Listing":
          return show(bar(event.listed, event.existing, "existing documents listed"))
        case "Waiting":
          return progress(processed, total, event.until)
        case "Failed":
          return note(`${noteStyle.red("✗")} ${flat(`${event.documentId}: ${event.error.message}`)}`)
        case "Done":
          return note(`${upserted} written, ${skipped} unchanged, ${deleted} deleted, ${failed + unreadable} failed`)
        default:
          return progress(processed, total)
      }
    })
}

const eventJson = (event: SyncEvent) =>
  json(event._tag === "Failed" ? { ...event, error: { _tag: event.error._tag, message: event.error.message } } : event)

const planJson = (plan: SyncPlan) =>
  json({ ...plan, refused: plan.refused.map(({ documentId, error }) => ({ documentId, message: error.message })) })

/** Prints what a sync would do. */
const showPlan = (plan: SyncPlan) =>
  Effect.gen(function*() {
    const { line, note, style } = yield* Output
    for (const { documentId, exists } of plan.upserts) {
      yield* line(exists ? style.yellow(`~ ${flat(documentId)}`) : style.green(`+ ${flat(documentId)}`))
    }
    for (const documentId of plan.deletions) yield* line(style.red(`- ${flat(documentId)}`))
    for (const { documentId, error } of plan.refused) yield* note(`✗ ${flat(`${documentId}: ${error.message}`)}`)
    yield* note(`Would write ${plan.upserts.length}, skip ${plan.skipped.length} and delete ${plan.deletions.length}.`)
  })

export const sync = Command.make(
  "sync",
  {
    folder: Args.text({ name: "folder" }).pipe(Args.withDescription("The local folder")),
    dataSource,
    space,
    extensions: Options.text("ext").pipe(
      Options.withAlias("e"),
      Options.repeated,
      Options.withDescription(
        `Sync files with this extension; repeatable; default: ${defaultExtensions.join(", ")}`
      )
    ),
    prefix: Options.text("prefix").pipe(
      Options.withDefault(""),
      Options.withDescription("A prefix for the document ids, so that several folders can share a data source")
    ),
    remove: Options.boolean("delete").pipe(
      Options.withDescription("Delete documents of earlier syncs whose file no longer exists")
    ),
    maxDeletions: Options.text("max-deletions").pipe(
      Options.withDefault("50%"),
      Options.withDescription(
        "The maximum number or share of deletions; beyond it, nothing is deleted and the command fails; default: 50%"
      )
    ),
    allowEmpty: Options.boolean("allow-empty").pipe(
      Options.withDescription("Accept a folder without such files; with --delete, it may delete documents")
    ),
    dryRun: Options.boolean("dry-run").pipe(Options.withDescription("Print the changes without making them")),
    json: asJson,
    local
  },
  (flags) =>
    Effect.gen(function*() {
      const limit = yield* readMaxDeletions(flags.maxDeletions)
      const { note, noteStyle } = yield* Output
      let unreadable = 0
      const extensions = flags.extensions.length === 0 ? defaultExtensions : flags.extensions
      const { documents, isGone, total } = yield* documentsIn({
        folder: flags.folder,
        extensions,
        prefix: flags.prefix,
        onUnreadable: (name, why) => {
          unreadable++
          return note(`${noteStyle.red("✗")} ${flat(`${name || flags.folder}: ${why}`)}`)
        }
      })
      if (total === 0 && unreadable === 0 && !flags.allowEmpty) {
        return yield* new UsageError({
          message: `${flags.folder}: no file with the extension ${extensions.join(", ")}; see --ext and --allow-empty`
        })
      }
      const files = total + unreadable
      const protection = asProtection(flags.folder, "no file could be read; nothing was deleted")
      const partial = (failed: number) =>
        failed === 0 ? Effect.void : new PartialFailure({
          message: flags.dryRun
            ? `${failed} of ${files} documents would fail`
            : `${failed} of ${files} documents failed; run the same command again to retry only those`
        })
      yield* Effect.gen(function*() {
        const dataSources = yield* DataSources
        const options = {
          ...(yield* locate(flags)),
          documents,
          total,
          unchanged: "fingerprint",
          deleteStale: flags.remove
            ? ({ documentId, tags }: { readonly documentId: string; readonly tags: ReadonlyArray<string> }) =>
              isGone(documentId) && tags.some((tag) => tag.startsWith("fingerprint:"))
            : false,
          allowEmpty: flags.allowEmpty,
          maxDeletions: limit
        } as const
        if (flags.dryRun) {
          const plan = yield* Effect.mapError(dataSources.planSync(options), protection)
          yield* flags.json ? planJson(plan) : showPlan(plan)
          if (plan.deletions.length > plan.allowedDeletions) {
            return yield* new PartialFailure({
              message:
                `${flags.folder}: would delete ${plan.deletions.length} documents; at most ${plan.allowedDeletions} ` +
                "are allowed. Check that the source is complete, or raise --max-deletions"
            })
          }
          return yield* partial(plan.refused.length + unreadable)
        }
        let failed = 0
        const report = reporter()
        yield* Stream.runForEach(Stream.mapError(dataSources.syncDocuments(options), protection), (event) => {
          failed = event.progress.failed
          return flags.json ? eventJson(event) : report(event, unreadable)
        })
        yield* partial(failed + unreadable)
      }).pipe(Effect.provide(connected(flags.local)))
    })
).pipe(Command.withDescription("Write the files of a folder as documents of a data source, skipping unchanged files"))

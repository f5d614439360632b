import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import process from "node:process"
import { DataSources, type LoadEvent } from "../../../DataSources.ts"
import { asJson } from "../asking.ts"
import { connected, local } from "../connect.ts"
import { unreadable as whyNot, UsageError } from "../failure.ts"
import { jobProgress, json, Output } from "../output.ts"
import { asProtection, dataSource, locate, readMaxDeletions, space } from "../place.ts"

const contentOf = (
  file: string
): Effect.Effect<Stream.Stream<Uint8Array, UsageError>, UsageError, FileSystem.FileSystem> => {
  const unreadable = (error: unknown) =>
    new UsageError({ message: `${file}: ${error instanceof Error ? error.message : String(error)}` })
  if (file === "-") {
    return Effect.succeed(NodeStream.fromReadable<UsageError, Uint8Array>(() => process.stdin, unreadable))
  }
  return Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const info = yield* Effect.mapError(
      fileSystem.stat(file),
      (error) => new UsageError({ message: `${file}: ${whyNot(error)}; use - for stdin` })
    )
    if (info.type === "Directory") {
      return yield* new UsageError({ message: `${file} is a folder; load its files one by one` })
    }
    return Stream.mapError(fileSystem.stream(file), unreadable)
  })
}

const summary = ({ columns, deleted, duplicates, rows, rowsInTable }: Extract<LoadEvent, { _tag: "Done" }>) =>
  Effect.gen(function*() {
    const { note } = yield* Output
    const renamed = Object.entries(columns).filter(([from, to]) => from !== to).map(([from, to]) =>
      `${from || "(empty)"} → ${to}`
    )
    if (renamed.length > 0) yield* note(`Columns: ${renamed.join(", ")}`)
    yield* note(
      [
        `${rows} rows written`,
        ...(deleted > 0 ? [`${deleted} deleted`] : []),
        ...(duplicates > 0 ? [`${duplicates} with a duplicate id`] : []),
        ...(rowsInTable === null ? [] : [`${rowsInTable} in the table`])
      ].join(", ")
    )
  })

/** Prints the events of a load for people. */
const reporter = () => {
  const progress = jobProgress("rows")
  return (event: LoadEvent) => {
    switch (event._tag) {
      case "Progress":
        return progress(event.rows, event.total)
      case "Waiting":
        return progress(event.rows, event.total, event.until)
      case "Done":
        return summary(event)
    }
  }
}

const optionalText = (name: string, description: string) =>
  Options.text(name).pipe(Options.optional, Options.withDescription(description))

export const load = Command.make(
  "load",
  {
    file: Args.text({ name: "file" }).pipe(Args.withDescription("A CSV with a header; - is stdin")),
    dataSource,
    space,
    table: Options.text("table").pipe(
      Options.withAlias("t"),
      Options.optional,
      Options.withDescription("The name of the table, created if missing; default: the name of the file")
    ),
    description: optionalText("description", "A description of the table for agents"),
    rowId: optionalText("row-id", "The column with the row ids; by default, ids are derived from the content"),
    delimiter: optionalText("delimiter", "The delimiter: , ; tab or |; detected by default"),
    encoding: Options.choice("encoding", ["utf-8", "utf-16le", "utf-16be", "latin1", "windows-1252"]).pipe(
      Options.optional,
      Options.withDescription("The encoding of the file; default: utf-8, or utf-16 with a byte order mark")
    ),
    replace: Options.boolean("replace").pipe(
      Options.withDescription("Delete rows that are not in the file, after writing the others")
    ),
    maxDeletions: optionalText(
      "max-deletions",
      "The maximum number or share of rows that --replace deletes; by default, at least half of them must remain"
    ),
    allowEmpty: Options.boolean("allow-empty").pipe(
      Options.withDescription("Accept a file without rows; with --replace, it deletes every row")
    ),
    json: asJson,
    local
  },
  (flags) =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      if (flags.file === "-" && Option.isNone(flags.table)) {
        return yield* new UsageError({ message: "--table is required with stdin" })
      }
      const maxDeletions = Option.getOrUndefined(yield* Effect.transposeMapOption(flags.maxDeletions, readMaxDeletions))
      const content = yield* contentOf(flags.file)
      const name = Option.getOrElse(flags.table, () => path.basename(flags.file).replace(/\.[^.]*$/, ""))
      yield* Effect.gen(function*() {
        const dataSources = yield* DataSources
        const delimiter = Option.getOrUndefined(flags.delimiter)
        const events = dataSources.loadTableStream({
          ...(yield* locate(flags)),
          table: { name, description: Option.getOrUndefined(flags.description) },
          csv: content,
          rowId: Option.getOrUndefined(flags.rowId),
          delimiter: delimiter === "tab" || delimiter === "\\t" ? "\t" : delimiter,
          encoding: Option.getOrUndefined(flags.encoding),
          replace: flags.replace,
          allowEmpty: flags.allowEmpty,
          maxDeletions
        }).pipe(
          Stream.mapError(asProtection(flags.file, "no rows; nothing was written"))
        )
        const report = reporter()
        yield* Stream.runForEach(events, (event) => flags.json ? json(event) : report(event))
      }).pipe(Effect.provide(connected(flags.local)))
    })
).pipe(Command.withDescription("Load a CSV into a table of a data source"))

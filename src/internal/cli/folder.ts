/** The documents in a folder. A file that cannot be read is reported and skipped, so that it does not end a sync. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { DocumentInput } from "../../DataSources.ts"
import { contentTypeOf } from "../../File.ts"
import { unreadable as whyNot, UsageError } from "./failure.ts"

export interface FolderOptions {
  readonly folder: string
  readonly extensions: ReadonlyArray<string>
  readonly prefix: string
  /** Called for each file or folder that cannot be read, by its path below the folder. */
  readonly onUnreadable: (name: string, why: string) => Effect.Effect<void>
}

export interface Folder {
  readonly total: number
  readonly documents: Stream.Stream<DocumentInput>
  /** Whether the document is one of this folder and these extensions whose file is not there, as far as could be read. */
  readonly isGone: (documentId: string) => boolean
}

const hidden = (name: string) => name.startsWith(".") || name === "node_modules"

/** Text in UTF-8, or in UTF-16 with a byte order mark; `None` for anything else. */
const textOf = (bytes: Uint8Array): Option.Option<string> => {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : "utf-8"
  const text = Option.liftThrowable(() => new TextDecoder(encoding, { fatal: true }).decode(bytes))()
  return Option.filter(text, (text) => !text.includes("\0"))
}

/** The paths of all files below a folder, with `/` between names. Links are followed, but never into a folder above. */
const walk = (folder: string, unreadable: (name: string, why: string) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const found: Array<string> = []
    const visit = (below: string, above: ReadonlyArray<string>): Effect.Effect<void> =>
      Effect.gen(function*() {
        const here = path.join(folder, below)
        const real = yield* fileSystem.realPath(here)
        if (above.includes(real)) return
        for (const name of (yield* fileSystem.readDirectory(here)).toSorted()) {
          if (hidden(name)) continue
          const file = below === "" ? name : `${below}/${name}`
          const info = yield* Effect.either(fileSystem.stat(path.join(folder, file)))
          if (info._tag === "Left") yield* unreadable(file, whyNot(info.left))
          else if (info.right.type === "Directory") yield* visit(file, [...above, real])
          else if (info.right.type === "File") found.push(file)
        }
      }).pipe(Effect.catchAll((error) => unreadable(below, whyNot(error))))
    yield* visit("", [])
    return found
  })

/** Lists the folder. Its files are read when the documents are pulled. */
export const documentsIn = (
  { extensions, folder, onUnreadable, prefix }: FolderOptions
): Effect.Effect<Folder, UsageError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* Effect.mapError(
      fileSystem.stat(folder),
      () => new UsageError({ message: `${folder}: no such folder` })
    )
    if (info.type !== "Directory") return yield* new UsageError({ message: `${folder} is not a folder` })
    const wanted = new Set(extensions.map((one) => one.replace(/^\./, "").toLowerCase()))
    const isWanted = (name: string) => wanted.has(path.extname(name).slice(1).toLowerCase())
    const unreadable: Array<string> = []
    const skip = (name: string, why: string) => {
      unreadable.push(name)
      return onUnreadable(name, why)
    }
    const names = (yield* walk(folder, (name, why) =>
      // A broken link that would not be synced either way is not reported.
      path.extname(name) === "" || isWanted(name) ? skip(name, why) : Effect.void)).filter(isWanted)
    const documentOf = (name: string): Effect.Effect<Option.Option<DocumentInput>> =>
      fileSystem.readFile(path.join(folder, name)).pipe(
        Effect.map(textOf),
        Effect.flatMap(Option.match({
          onNone: () => Effect.as(skip(name, "must be text in UTF-8 or UTF-16"), Option.none<DocumentInput>()),
          onSome: (text) => {
            const mimeType = contentTypeOf(name) ?? "text/plain"
            const heading = mimeType === "text/markdown" ? /^# (.+)$/m.exec(text)?.[1]?.trim() : undefined
            return Effect.succeedSome<DocumentInput>({
              documentId: `${prefix}${name}`,
              title: heading ?? name,
              mimeType,
              text
            })
          }
        })),
        Effect.catchAll((error) => Effect.as(skip(name, whyNot(error)), Option.none<DocumentInput>()))
      )
    return {
      total: names.length,
      documents: Stream.filterMap(Stream.mapEffect(Stream.fromIterable(names), documentOf), (document) => document),
      isGone: (documentId) =>
        documentId.startsWith(prefix) && isWanted(documentId) && !names.includes(documentId.slice(prefix.length)) &&
        !unreadable.some((name) =>
          documentId === `${prefix}${name}` || name === "" || documentId.startsWith(`${prefix}${name}/`)
        )
    }
  })

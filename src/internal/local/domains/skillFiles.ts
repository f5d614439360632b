/** Finds the skills in uploaded files: loose files, and ZIP archives. */
import * as Effect from "effect/Effect"
import { badRequest, decodeText, type Refusal } from "../server/http.ts"

/** A file of an upload or of an archive. */
export interface SkillEntry {
  readonly path: string
  readonly content: Uint8Array
}

export interface FoundSkill {
  readonly name: string
  readonly description: string
  readonly instructions: string
  /** The path of its `SKILL.md`. */
  readonly path: string
  /** The other files of its directory. */
  readonly attachments: ReadonlyArray<SkillEntry>
}

/** Source: `front/lib/api/skills/detection/zip/detect_skills.ts`. */
const maxFile = 5 * 1024 * 1024
const maxContents = 10 * 1024 * 1024

/** Inflates to the declared size. More than that is refused as it comes, however much there would be. */
const inflate = async (bytes: Uint8Array, size: number): Promise<Uint8Array> => {
  const pieces = new Blob([new Uint8Array(bytes)]).stream().pipeThrough(new DecompressionStream("deflate-raw"))
  const content = new Uint8Array(size)
  let length = 0
  // Leaving the loop cancels the stream.
  for await (const piece of pieces) {
    content.set(piece, length)
    length += piece.length
  }
  if (length < size) throw new RangeError("less than declared")
  return content
}

const stored = async (bytes: Uint8Array, size: number): Promise<Uint8Array> => {
  if (bytes.length !== size) throw new RangeError("not the declared size")
  return bytes
}

interface ArchivedFile {
  readonly path: string
  readonly size: number
  readonly content: () => Promise<Uint8Array>
}

const [endOfDirectory, directoryEntry, methodDeflate] = [0x06054b50, 0x02014b50, 8]

/** The files of a ZIP archive; `undefined` if it is none. Archives over 4 GiB and encrypted ones are not supported. */
const filesOf = (zip: Uint8Array): ReadonlyArray<ArchivedFile> | undefined => {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength)
  let end = zip.length - 22
  while (end >= 0 && view.getUint32(end, true) !== endOfDirectory) end--
  if (end < 0) return undefined
  const files: Array<ArchivedFile> = []
  let at = view.getUint32(end + 16, true)
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (at + 46 > end || view.getUint32(at, true) !== directoryEntry) return undefined
    const method = view.getUint16(at + 10, true)
    const packed = view.getUint32(at + 20, true)
    const nameLength = view.getUint16(at + 28, true)
    const header = view.getUint32(at + 42, true)
    const path = decodeText(zip.subarray(at + 46, at + 46 + nameLength))
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true)
    const bytes = zip.subarray(start, start + packed)
    if (!path.endsWith("/")) {
      const size = view.getUint32(at + 24, true)
      files.push({ path, size, content: () => (method === methodDeflate ? inflate : stored)(bytes, size) })
    }
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
  }
  return files
}

const megabytes = (size: number): number => Math.round(size / 1024 / 1024)

const unzip = (zip: Uint8Array): Effect.Effect<ReadonlyArray<SkillEntry>, Refusal> =>
  Effect.gen(function*() {
    const invalid = badRequest("Failed to open ZIP: Invalid or unsupported zip format.")
    const files = yield* Effect.try(() => filesOf(zip)).pipe(Effect.catchAll(() => invalid))
    if (files === undefined) return yield* invalid
    const size = files.reduce((sum, file) => sum + file.size, 0)
    if (size > maxContents) {
      return yield* badRequest(
        `Total decompressed size too large (${megabytes(size)} MB). Maximum allowed is ${megabytes(maxContents)} MB.`
      )
    }
    return yield* Effect.forEach(files, ({ content, path }) =>
      Effect.tryPromise(content).pipe(
        Effect.map((content): SkillEntry => ({ path, content })),
        Effect.catchAll(() => invalid)
      ))
  })

/** Parses a `SKILL.md`: YAML front matter with a name and a description, then the instructions. */
const parse = (text: string): Pick<FoundSkill, "name" | "description" | "instructions"> | undefined => {
  const front = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?([\s\S]*)$/.exec(text)
  const field = (name: string) =>
    new RegExp(`^${name}:\\s*(.+)$`, "m").exec(front?.[1] ?? "")?.[1]?.trim().replace(/^["']|["']$/g, "")
  const name = field("name")
  return front === null || name === undefined || name.length > 256
    ? undefined
    : { name, description: field("description") ?? "", instructions: (front[2] ?? "").trim() }
}

const find = (entries: ReadonlyArray<SkillEntry>): Effect.Effect<ReadonlyArray<FoundSkill>, Refusal> =>
  Effect.gen(function*() {
    const found: Array<FoundSkill> = []
    for (const { content, path } of entries) {
      if (!/(^|\/)SKILL\.md$/i.test(path)) continue
      const skill = parse(decodeText(content))
      if (skill === undefined) return yield* badRequest(`Invalid skill in ${path}: a name is required.`)
      const directory = path.slice(0, -"SKILL.md".length)
      found.push({
        ...skill,
        path,
        attachments: entries.filter((other) => other.path !== path && other.path.startsWith(directory))
          .map((other) => ({ ...other, path: other.path.slice(directory.length) }))
      })
    }
    return found
  })

/** The skills in the files, each archive for itself. */
export const findSkills = (uploaded: ReadonlyArray<File>): Effect.Effect<ReadonlyArray<FoundSkill>, Refusal> =>
  Effect.gen(function*() {
    const found: Array<FoundSkill> = []
    const loose: Array<SkillEntry> = []
    for (const file of uploaded) {
      if (file.size > maxFile) {
        return yield* badRequest(`File upload failed: ${file.name} exceeds ${megabytes(maxFile)} MB.`)
      }
      const content = new Uint8Array(yield* Effect.promise(() => file.arrayBuffer()))
      if (/\.zip$/i.test(file.name)) found.push(...yield* Effect.flatMap(unzip(content), find))
      else loose.push({ path: file.name, content })
    }
    return [...found, ...yield* find(loose)]
  })

/** Output of the command line: results to stdout, everything else to stderr. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"

/** Styles text on a terminal, and leaves it plain elsewhere. */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
  readonly cyan: (text: string) => string
}

export interface Service {
  /** Writes to stdout unchanged. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Writes a line to stdout. */
  readonly line: (text: string) => Effect.Effect<void>
  /** Writes a line to stderr. */
  readonly note: (text: string) => Effect.Effect<void>
  /** Shows one line on stderr that the next one replaces. Does nothing if stderr is not a terminal. */
  readonly progress: (text: string) => Effect.Effect<void>
  /** The same, for a moment in which the program cannot wait: in the middle of an answer, too. */
  readonly notice: (text: string) => void
  /** Removes the line of `progress` or `notice`. */
  readonly clearProgress: Effect.Effect<void>
  /** Ends an unfinished line on stdout. */
  readonly endLine: Effect.Effect<void>
  /** Style for stdout. */
  readonly style: Style
  /** Style for stderr. */
  readonly noteStyle: Style
  /** Whether stdout is a terminal. */
  readonly toTerminal: boolean
  /** Whether prompts are possible: stdin and stderr are terminals. */
  readonly interactive: boolean
  /** Width of the terminal in columns; 80 if unknown. */
  readonly columns: () => number
}

export class Output extends Context.Tag("effect-dust/cli/Output")<Output, Service>() {}

const styleOf = (enabled: boolean): Style => {
  const paint = (code: number) => (text: string) => enabled ? `\u001b[${code}m${text}\u001b[0m` : text
  return { bold: paint(1), dim: paint(90), red: paint(31), green: paint(32), yellow: paint(33), cyan: paint(36) }
}

/** Control characters except tabs and line ends. In untrusted text they could move the cursor or rename the window. */
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Removes terminal control characters from untrusted text. */
export const clean = (text: string): string => text.replaceAll("\r\n", "\n").replace(controls, "")

/** Characters that change the direction of text, and so could disguise it. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g

const characters = new Intl.Segmenter("en", { granularity: "grapheme" })

/** What takes two columns: Chinese, Japanese and Korean writing, and emoji. */
const wide =
  /[\p{Emoji_Presentation}\ufe0f\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u

const columnsOf = (character: string) => wide.test(character) ? 2 : 1

/** The columns that text takes in a terminal. */
const widthOf = (text: string): number => {
  let width = 0
  for (const { segment } of characters.segment(text)) width += columnsOf(segment)
  return width
}

/** The same, as one line of at most the given number of columns. */
export const oneLine = (text: string, columns: number): string => {
  const flat = clean(text).replace(directions, "").replace(/\s+/g, " ").trim()
  if (flat.length * 2 <= columns || widthOf(flat) <= columns) return flat
  let shown = ""
  let width = 1
  for (const { segment } of characters.segment(flat)) {
    width += columnsOf(segment)
    if (width > columns) break
    shown += segment
  }
  return `${shown}…`
}

const text = (name: string) => Config.string(name).pipe(Config.withDefault(""))

/** https://no-color.org: any value but the empty one. */
const coloursWanted = Effect.gen(function*() {
  if ((yield* text("NO_COLOR")) !== "") return () => false
  const force = yield* text("FORCE_COLOR")
  if (force !== "") return () => force !== "0" && force !== "false"
  const dumb = (yield* text("TERM")) === "dumb"
  return (stream: NodeJS.WriteStream) => stream.isTTY && !dumb
}).pipe(Effect.orDie)

const writeTo = (stream: NodeJS.WriteStream, content: string) =>
  Effect.async<void>((resume) => {
    // A closed reader emits an event on the stream, which ends the program.
    stream.write(content, () => resume(Effect.void))
  })

const make = Effect.map(coloursWanted, (colours): Service => {
  const { stderr, stdin, stdout } = process
  let inLine = false
  let inProgress = false
  const clearProgress = Effect.suspend(() => {
    if (!inProgress) return Effect.void
    inProgress = false
    return writeTo(stderr, "\r\u001b[2K")
  })
  const write = (content: string) =>
    Effect.suspend(() => {
      if (content === "") return Effect.void
      inLine = !content.endsWith("\n")
      return Effect.zipRight(clearProgress, writeTo(stdout, content))
    })
  const endLine = Effect.suspend(() => inLine && stdout.isTTY ? write("\n") : Effect.void)
  return {
    write,
    endLine,
    line: (content) => write(`${content}\n`),
    note: (content) => endLine.pipe(Effect.zipRight(clearProgress), Effect.zipRight(writeTo(stderr, `${content}\n`))),
    progress: (content) =>
      Effect.suspend(() => {
        if (!stderr.isTTY) return Effect.void
        const shown = oneLine(content, (stderr.columns || 80) - 1)
        return Effect.zipRight(
          endLine,
          Effect.suspend(() => {
            inProgress = shown !== ""
            return writeTo(stderr, `\r\u001b[2K${shown}`)
          })
        )
      }),
    notice: (content) => {
      if (!stderr.isTTY) return
      if (inLine && stdout.isTTY) {
        inLine = false
        stdout.write("\n")
      }
      inProgress = true
      stderr.write(`\r\u001b[2K${oneLine(content, (stderr.columns || 80) - 1)}`)
    },
    clearProgress,
    style: styleOf(colours(stdout)),
    noteStyle: styleOf(colours(stderr)),
    toTerminal: stdout.isTTY,
    interactive: stdin.isTTY && stderr.isTTY,
    columns: () => stdout.columns || 80
  }
})

export const layer: Layer.Layer<Output> = Layer.effect(Output, make)

/** One JSON value per line. */
export const json = (value: unknown): Effect.Effect<void, never, Output> =>
  Effect.flatMap(Output, (output) => output.line(JSON.stringify(value)))

/** Prints rows: aligned on a terminal, the last column cut to its width; separated by tabs elsewhere. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<void, never, Output> =>
  Effect.flatMap(Output, (output) => {
    if (!output.toTerminal) {
      return Effect.forEach(rows, (row) => output.line(row.map((cell) => oneLine(cell, Infinity)).join("\t")), {
        discard: true
      })
    }
    const widths = (rows[0] ?? []).map((_, column) =>
      Math.min(40, Math.max(...rows.map((row) => widthOf(oneLine(row[column] ?? "", 40)))))
    )
    return Effect.forEach(rows, (row) => {
      const cells = row.map((cell, column) => {
        const last = column === row.length - 1
        const before = widths.slice(0, column).reduce((sum, width) => sum + width + 2, 0)
        const shown = oneLine(cell, last ? Math.max(output.columns() - before, 10) : widths[column] ?? 40)
        const padded = last ? shown : shown + " ".repeat(Math.max((widths[column] ?? 0) - widthOf(shown), 0))
        return column === 0 ? output.style.bold(padded) : last && column > 0 ? output.style.dim(padded) : padded
      })
      return output.line(cells.join("  "))
    }, { discard: true })
  })

/** `[██████··············] 6 of 20` */
export const bar = (done: number, total: number | undefined, unit: string): string => {
  if (total === undefined || total === 0) return `${done} ${unit}`
  const full = Math.min(20, Math.round(20 * done / total))
  return `[${"█".repeat(full)}${"·".repeat(20 - full)}] ${done} of ${total} ${unit}`
}

/** `18:04:59` in the zone of the machine. */
const timeOfDay = (time: DateTime.DateTime): string =>
  DateTime.formatLocal(time, { locale: "en-GB", timeStyle: "medium" })

/** Shows how far a long job is, and until when it waits for a limit of Dust. */
export const jobProgress = (unit: string) => {
  let until: DateTime.Utc | undefined
  return (done: number, total: number | undefined, waitsUntil?: DateTime.Utc) =>
    Effect.gen(function*() {
      const { progress } = yield* Output
      until = waitsUntil ?? until
      // Requests that were already on their way complete during the wait.
      const wait = until !== undefined && DateTime.lessThan(yield* DateTime.now, until)
        ? `, waiting for Dust's limit until ${timeOfDay(until)}`
        : ""
      yield* progress(bar(done, total, unit) + wait)
    })
}

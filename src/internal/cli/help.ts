/** The output of `--help`: the commands, or the arguments and options of one command, a line each. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type * as Span from "@effect/cli/HelpDoc/Span"
import type { Style } from "./output.ts"

export interface Entry {
  /** The words of the command, such as `export agent`. */
  readonly path: ReadonlyArray<string>
  readonly doc: HelpDoc.HelpDoc
  readonly summary: string
}

// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g

const plain = (doc: HelpDoc.HelpDoc) => HelpDoc.toAnsiText(doc).replace(colour, "").replace(/\s+/g, " ").trim()

const parts = (doc: HelpDoc.HelpDoc): ReadonlyArray<HelpDoc.HelpDoc> =>
  doc._tag === "Sequence" ? [...parts(doc.left), ...parts(doc.right)] : doc._tag === "Empty" ? [] : [doc]

/** The generic text that the parser adds to every option of a type; the type name makes it redundant. */
const noise =
  /^(?:A user-defined piece of text\.|A true or false value\.|An integer\.|This (?:setting|option|argument) (?:is optional|may be repeated|must be repeated).*|One of the following: .*)$/

type Rows = ReadonlyArray<readonly [name: string, what: string]>

/** What the parser adds to an argument that may be left out. */
const optional = /^This (?:setting is optional|argument may be repeated zero)/

const rowsOf = (doc: HelpDoc.HelpDoc): Rows =>
  parts(doc).flatMap((part) =>
    part._tag === "DescriptionList"
      ? part.definitions.map(([span, what]: readonly [Span.Span, HelpDoc.HelpDoc]) => {
        const texts = parts(what).map(plain)
        const name = plain(HelpDoc.p(span)).replace(/^\((.*?)\)/, "$1")
        return [
          texts.some((text) => optional.test(text)) ? name.replace(/^<(.*)>/, "[$1]") : name,
          texts.filter((text) => !noise.test(text)).join(" ")
        ] as const
      })
      : []
  )

/** Wraps text to this width. */
const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length + 1 > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

const columnsOf = (rows: Rows, width: number, style: Style): string => {
  const left = Math.min(30, Math.max(0, ...rows.map(([name]) => name.length))) + 2
  return rows.map(([name, what]) => {
    const [first = "", ...more] = wrap(what, Math.max(width - left - 2, 24))
    const start = name.length + 2 > left
      ? `  ${style.bold(name)}\n${" ".repeat(left + 2)}${first}`
      : `  ${style.bold(name)}${" ".repeat(left - name.length)}${first}`
    return [start, ...more.map((line) => `${" ".repeat(left + 2)}${line}`)].join("\n")
  }).join("\n")
}

export const entryOf = <Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  ...path: ReadonlyArray<string>
): Entry => {
  const doc = Command.getHelp(command, { ...CliConfig.defaultConfig, showBuiltIns: false })
  const all = parts(doc)
  const described = all[all.findIndex((part) => part._tag === "Header" && plain(part) === "DESCRIPTION") + 1]
  return { path, doc, summary: described === undefined ? "" : plain(described) }
}

/** The rows between this header and the next one. */
const sectionOf = (doc: HelpDoc.HelpDoc, title: string): Rows => {
  const all = parts(doc)
  const from = all.findIndex((part) => part._tag === "Header" && plain(part) === title)
  if (from < 0) return []
  const to = all.findIndex((part, index) => index > from && part._tag === "Header")
  return all.slice(from + 1, to < 0 ? undefined : to).flatMap(rowsOf)
}

const builtIn: Rows = [["-h, --help", "Show this help"]]

/** The options of a command with their descriptions, such as `-o, --output text`. */
export const optionRows = ({ doc }: Entry): Rows => [...sectionOf(doc, "OPTIONS"), ...builtIn]

/** The names of an option, and what follows them: nothing, the type of its value, or its choices. */
export const namesOf = (row: string): { readonly names: ReadonlyArray<string>; readonly value: string } => {
  const [, names = "", value = ""] = /^((?:--?[\w-]+(?:, )?)+)\s*(.*)$/.exec(row) ?? []
  return { names: names.split(", ").map((name) => name.trim()), value }
}

/** The help of one command. */
export const helpOf = ({ doc, path, summary }: Entry, width: number, style: Style): string => {
  const args = sectionOf(doc, "ARGUMENTS")
  const options = sectionOf(doc, "OPTIONS")
  const usage = `effect-dust ${path.join(" ")}${options.length === 0 ? "" : " [options]"}${
    args.map(([name]) => ` ${name}`).join("")
  }`
  return [
    summary,
    `${style.bold("Usage:")} ${usage}`,
    ...(args.length === 0 ? [] : [`${style.bold("Arguments")}\n${columnsOf(args, width, style)}`]),
    `${style.bold("Options")}\n${columnsOf([...options, ...builtIn], width, style)}`
  ].join("\n\n")
}

/** The help of all commands, or of those that begin with these words. */
export const overview = (
  entries: ReadonlyArray<Entry>,
  path: ReadonlyArray<string>,
  width: number,
  style: Style
): string => {
  const shown = entries.filter((entry) => path.every((word, index) => entry.path[index] === word))
  const commands = columnsOf(shown.map(({ path, summary }) => [path.join(" "), summary]), width, style)
  const usage = `${style.bold("Usage:")} effect-dust ${[...path, "<command>"].join(" ")} [options]`
  if (path.length > 0) return `${usage}\n\n${style.bold("Commands")}\n${commands}`
  return `Dust's agents from the command line.

${usage}

${style.bold("Commands")}
${commands}

${style.bold("Options")}
${
    columnsOf(
      [
        ["-h, --help", "Show this help, or that of a command"],
        ["--version", "Print the version"],
        ["--completions SHELL", "Print a completion script for bash, zsh or fish"],
        ["--log-level LEVEL", "The log level: debug, info, warning (default), error, none"]
      ],
      width,
      style
    )
  }

${style.bold("Environment")}
${
    columnsOf(
      [
        ["DUST_WORKSPACE_ID", "The id of the workspace: the part of its address after /w/"],
        ["DUST_API_KEY", "An API key of the workspace, or"],
        ["DUST_ACCESS_TOKEN", "the access token of a user"],
        ["DUST_REGION", "The region: us (default) or eu"],
        ["NO_COLOR", "Turns colours off"]
      ],
      width,
      style
    )
  }

In a terminal, missing variables are prompted for. --local requires no account.

  effect-dust ask --local "What can you do?"
  git diff | effect-dust ask --agent @Reviewer "Review this change"`
}

/** The requested help, if any: for one command, for a group of commands, or for all. */
export const helpFor = (
  entries: ReadonlyArray<Entry>,
  args: ReadonlyArray<string>,
  width: number,
  style: Style
): string | undefined => {
  const end = args.indexOf("--")
  const before = end < 0 ? args : args.slice(0, end)
  const at = before.findIndex((word) => word.startsWith("-"))
  const words = at < 0 ? before : before.slice(0, at)
  const wanted = before.includes("--help") || before.includes("-h")
  const starts = (path: ReadonlyArray<string>) => (entry: Entry) =>
    path.every((word, index) => entry.path[index] === word)
  const exact = entries.find(({ path }) => path.every((word, index) => words[index] === word))
  if (exact !== undefined) return wanted ? helpOf(exact, width, style) : undefined
  const group = entries.some(starts(words)) ? words : []
  // Only the first words of a command group, or no arguments.
  return wanted || (before.length === group.length && entries.some(starts(before)))
    ? overview(entries, group, width, style)
    : undefined
}

/** Every option name, and whether it takes a value. */
const optionsOf = (entry: Entry): ReadonlyMap<string, boolean> =>
  new Map(
    optionRows(entry).flatMap(([row]) => {
      const { names, value } = namesOf(row)
      return names.map((name) => [name, value !== ""] as const)
    })
  )

/** Options of every command, and the values that they take. */
export const everywhere: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["--version", []],
  ["--completions", ["bash", "zsh", "fish", "sh"]],
  ["--log-level", ["debug", "info", "warning", "error", "none", "all", "trace", "fatal"]]
])

/** The number of letters to insert, delete, replace or swap with their neighbour. */
const distance = (a: string, b: string): number => {
  let before: Array<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] ?? 0) + 1)
      }
      row.push(least)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}

/** `; did you mean X?` if a name is near. */
const suggestion = (word: string, names: Iterable<string>): string => {
  const bare = word.replace(/^-+/, "")
  const [nearest] = [...names]
    .map((name) => ({ name, off: distance(bare.toLowerCase(), name.replace(/^-+/, "")) }))
    .filter(({ name, off }) => name.length > 2 && off <= Math.max(1, Math.floor(bare.length / 3)))
    .sort((a, b) => a.off - b.off)
  return nearest === undefined ? "" : `; did you mean ${nearest.name}?`
}

/** Returns the problem with the command's name, or with what stands in its place. */
const wrongCommand = (entries: ReadonlyArray<Entry>, args: ReadonlyArray<string>): string | undefined => {
  const at = args.findIndex((_, index) =>
    !entries.some(({ path }) => args.slice(0, index + 1).every((word, index) => path[index] === word))
  )
  const word = args[at]
  if (word === undefined) return undefined
  const names = entries.filter(({ path }) => args.slice(0, at).every((one, index) => path[index] === one))
    .flatMap(({ path }) => path[at] ?? [])
  if (!word.startsWith("-")) {
    const known = [...new Set(names)]
    return `unknown command ${[...args.slice(0, at), word].join(" ")}${
      suggestion(word, known) || `; there are: ${known.join(", ")}`
    }`
  }
  const [name = ""] = word.split("=")
  return name === "--help" || name === "-h"
    ? undefined
    : `unknown option ${name}${suggestion(name, ["--help", ...everywhere.keys()])}`
}

/**
 * Moves the options of every command to the front. The parser accepts them only there, and takes them for words of the
 * message behind a command. Also turns `help ask` into `ask --help`.
 */
export const normalized = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (args[0] === "help") return [...args.slice(1), "--help"]
  const front: Array<string> = []
  const rest: Array<string> = []
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? ""
    if (word === "--") return [...front, ...rest, ...args.slice(index)]
    const values = everywhere.get(word.split("=", 1)[0] ?? "")
    if (values === undefined) rest.push(word)
    else if (values.length === 0 || word.includes("=")) front.push(word)
    else front.push(word, ...args.slice(++index, index + 1))
  }
  return [...front, ...rest]
}

/** The number of leading words that are options of every command, and the problem with one of them. */
const leading = (args: ReadonlyArray<string>): { readonly count: number; readonly wrong?: string } => {
  let count = 0
  for (;;) {
    const [name = "", given] = (args[count] ?? "").split(/=(.*)/s)
    const values = everywhere.get(name)
    if (values === undefined) return { count }
    if (values.length > 0) {
      const value = given ?? args[++count]
      if (value === undefined || !values.includes(value.toLowerCase())) {
        return { count, wrong: `${name} must be followed by one of: ${values.slice(0, 5).join(", ")}` }
      }
    }
    count++
  }
}

/**
 * Returns the problem with the command or its options, if any. The parser treats unknown options and those without a value as words of
 * a variadic argument; this check prevents sending a misspelt option to an agent.
 */
export const wrongWord = (entries: ReadonlyArray<Entry>, all: ReadonlyArray<string>): string | undefined => {
  const { count, wrong } = leading(all)
  if (wrong !== undefined) return wrong
  const args = all.slice(count)
  const entry = entries.find(({ path }) => path.every((word, index) => args[index] === word))
  if (entry === undefined) return wrongCommand(entries, args)
  const options = optionsOf(entry)
  for (let index = entry.path.length; index < args.length; index++) {
    const [name = "", value] = (args[index] ?? "").split(/=(.*)/s)
    if (name === "--") return undefined
    if (!/^--?[a-z]/i.test(name)) continue
    const takesValue = options.get(name)
    if (takesValue === undefined) {
      const near = suggestion(name, options.keys())
      return `unknown option ${name}${near || "; put -- before arguments that begin with a dash"}`
    }
    if (!takesValue || value !== undefined) continue
    index++
    if (index >= args.length || options.has(args[index] ?? "")) return `${name} must be followed by its value`
  }
  return undefined
}

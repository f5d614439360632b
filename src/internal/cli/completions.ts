/** Completion scripts for bash, zsh and fish: commands, options, choices, and files where a file is expected. */
import { type Entry, everywhere, namesOf, optionRows } from "./help.ts"

export type Shell = "bash" | "zsh" | "fish"

/** What may follow an option, or stand in place of an argument. */
type Value = "none" | "text" | "file" | "folder" | ReadonlyArray<string>

interface Option {
  readonly names: ReadonlyArray<string>
  readonly what: string
  readonly value: Value
}

interface Node {
  /** The words of the command; empty for `effect-dust` itself. */
  readonly path: ReadonlyArray<string>
  readonly commands: ReadonlyArray<readonly [name: string, what: string]>
  readonly options: ReadonlyArray<Option>
  readonly argument: Value
}

const fileOptions = new Set(["--file", "--output", "--agents", "--seed"])

const fileArguments: Readonly<Record<string, Value>> = { sync: "folder", load: "file" }

const valueOf = (names: ReadonlyArray<string>, value: string): Value =>
  value === ""
    ? "none"
    : value.includes(" | ")
    ? value.split(" | ")
    : names.some((name) => fileOptions.has(name))
    ? "file"
    : "text"

const common: ReadonlyArray<Option> = [
  { names: ["--log-level"], what: "The log level", value: everywhere.get("--log-level") ?? [] }
]

const nodesOf = (
  entries: ReadonlyArray<Entry>,
  groupEntries: ReadonlyArray<Entry>,
  choices: Readonly<Record<string, ReadonlyArray<string>>>
) => {
  const groups = new Set(entries.flatMap(({ path }) => path.length > 1 ? [path[0] ?? ""] : []))
  const below = (path: ReadonlyArray<string>): Node["commands"] => {
    const named = new Map<string, string>()
    for (const entry of entries) {
      const name = entry.path[path.length]
      if (name === undefined || !path.every((word, index) => entry.path[index] === word) || named.has(name)) continue
      const own = entry.path.length === path.length + 1
      const shown = own ? entry : groupEntries.find((group) => group.path.join(" ") === [...path, name].join(" "))
      named.set(name, shown?.summary ?? "")
    }
    return [...named]
  }
  return [
    {
      path: [],
      commands: below([]),
      options: [
        { names: ["-h", "--help"], what: "Show help", value: "none" },
        { names: ["--version"], what: "Print the version", value: "none" },
        { names: ["--completions"], what: "Print a completion script", value: ["bash", "zsh", "fish"] },
        ...common
      ],
      argument: "none"
    },
    ...[...groups].map((group): Node => ({ path: [group], commands: below([group]), options: [], argument: "none" })),
    ...entries.map((entry): Node => {
      const name = entry.path.join(" ")
      return {
        path: entry.path,
        commands: [],
        options: [
          ...optionRows(entry).map(([row, what]) => {
            const { names, value } = namesOf(row)
            return { names, what, value: valueOf(names, value) }
          }),
          ...common
        ],
        argument: choices[name] ?? fileArguments[name] ?? "none"
      }
    })
  ] satisfies ReadonlyArray<Node>
}

const single = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

const pathOf = ({ path }: Node) => path.join(" ")

const named = (nodes: ReadonlyArray<Node>) => nodes.filter(({ path }) => path.length > 0)

/** What each shell calls to complete files or folders. */
const isPath = (value: Value) => value === "file" || value === "folder"

const bash = (nodes: ReadonlyArray<Node>): string => {
  const flag = (value: Value) => value === "folder" ? "-d" : "-f"
  const afterOption = nodes.flatMap((node) =>
    node.options.filter(({ value }) => value !== "none").map(({ names, value }) => {
      const patterns = names.map((name) => `"${pathOf(node)} ${name}"`).join("|")
      return `    ${patterns}) ${
        isPath(value) ? `files=${flag(value)}` : `words=${single(typeof value === "string" ? "" : value.join(" "))}`
      };;`
    })
  )
  const otherwise = nodes.map((node) => {
    const words = [
      ...node.commands.map(([name]) => name),
      ...node.options.flatMap(({ names }) => names.filter((name) => name.startsWith("--"))),
      ...(typeof node.argument === "string" ? [] : node.argument)
    ]
    return `      "${pathOf(node)}") words=${single(words.join(" "))}${
      isPath(node.argument) ? `; [[ $cur == -* ]] || files=${flag(node.argument)}` : ""
    };;`
  })
  return `_effect_dust() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word words= files= index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case "$command $word" in
      ${named(nodes).map((node) => `"${node.path.length === 1 ? " " : ""}${pathOf(node)}"`).join("|")})
        command="\${command:+$command }$word";;
    esac
  done
  COMPREPLY=()
  case "$command $prev" in
${afterOption.join("\n")}
    *) case "$command" in
${otherwise.join("\n")}
    esac;;
  esac
  local IFS=$'\\n'
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen $files -- "$cur"))
  else
    COMPREPLY=($(compgen -W "\${words// /$IFS}" -- "$cur"))
  fi
}
complete -F _effect_dust effect-dust`
}

const zsh = (nodes: ReadonlyArray<Node>): string => {
  const escaped = (text: string) => text.replace(/[[\]:\\]/g, "\\$&")
  const action = (value: Value) =>
    value === "none"
      ? ""
      : value === "file"
      ? ":file:_files"
      : value === "folder"
      ? ":folder:_files -/"
      : value === "text"
      ? ":value: "
      : `:value:(${value.join(" ")})`
  const specs = (node: Node) =>
    node.options.flatMap(({ names, value, what }) =>
      names.map((name) => single(`*${name}[${escaped(what)}]${action(value)}`))
    )
  const functionOf = (node: Node) => ["_effect-dust", ...node.path].join("-")
  return `#compdef effect-dust

${
    nodes.map((node) =>
      node.commands.length === 0
        ? `${functionOf(node)}() {
  _arguments -s -S ${
          [...specs(node), ...(node.argument === "none" ? [] : [single(`*${action(node.argument)}`)])].join(" \\\n    ")
        }
}`
        : `${functionOf(node)}() {
  local curcontext="$curcontext" state line
  local -a commands=(${node.commands.map(([name, what]) => `\n    ${single(`${name}:${escaped(what)}`)}`).join("")}
  )
  _arguments -C ${[...specs(node), "'1: :->command'", "'*:: :->rest'"].join(" \\\n    ")}
  case $state in
    command) _describe command commands;;
    rest) (( $+functions[${functionOf(node)}-$words[1]] )) && ${functionOf(node)}-$words[1];;
  esac
}`
    ).join("\n\n")
  }

if [ "$funcstack[1]" = "_effect-dust" ]; then _effect-dust "$@"; else compdef _effect-dust effect-dust; fi`
}

const fish = (nodes: ReadonlyArray<Node>): string => {
  const lines = nodes.flatMap((node) => {
    const start = `complete -c effect-dust -n ${single(`test (__effect_dust_command) = "${pathOf(node)}"`)}`
    return [
      ...node.commands.map(([name, what]) => `${start} -a ${name} -d ${single(what)}`),
      ...(typeof node.argument !== "string"
        ? [`${start} -a ${single(node.argument.join(" "))}`]
        : isPath(node.argument)
        ? [`${start} -F`]
        : []),
      ...node.options.map(({ names, value, what }) => {
        const flags = names.map((name) => name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)
        const after = value === "none"
          ? ""
          : isPath(value)
          ? " -r -F"
          : typeof value === "string"
          ? " -x"
          : ` -x -a ${single(value.join(" "))}`
        return `${start} ${flags.join(" ")}${after} -d ${single(what)}`
      })
    ]
  })
  return `function __effect_dust_command
  set -l command
  for word in (commandline -opc)[2..]
    switch "$command $word"
      case ${named(nodes).map((node) => single(`${node.path.length === 1 ? " " : ""}${pathOf(node)}`)).join(" ")}
        set command (string trim -- "$command $word")
    end
  end
  echo "$command"
end
complete -c effect-dust -f
${lines.join("\n")}`
}

const scripts = { bash, zsh, fish }

/**
 * The script for a shell. `groups`: the commands that only have subcommands. `choices`: the values of a command's argument, by
 * the words of the command.
 */
export const completions = (
  shell: Shell,
  entries: ReadonlyArray<Entry>,
  groups: ReadonlyArray<Entry>,
  choices: Readonly<Record<string, ReadonlyArray<string>>>
): string => scripts[shell](nodesOf(entries, groups, choices))

/** The shell that `--completions` names. The values are checked before. */
export const shellIn = (args: ReadonlyArray<string>): Shell | undefined => {
  const end = args.indexOf("--")
  const before = end < 0 ? args : args.slice(0, end)
  const at = before.findIndex((word) => /^--completions(?:=|$)/.test(word))
  if (at < 0) return undefined
  const [, given] = (before[at] ?? "").split("=")
  const shell = (given ?? before[at + 1] ?? "").toLowerCase()
  return shell === "zsh" || shell === "fish" ? shell : "bash"
}

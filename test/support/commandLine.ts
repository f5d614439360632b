/** The installed command line: built into one file, and run as a separate process. */
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { buildCommandLine } from "../tools/build.ts"

/** Agents of every test of the command line. */
export const agents = {
  mailer: {
    name: "Mailer",
    script: [
      DustTest.approval({
        name: "send_email",
        inputs: { to: "ada@example.com" },
        stake: "high",
        onResult: ({ approved }) => approved ? "It is sent." : "I did not send it."
      })
    ]
  },
  researcher: {
    name: "Researcher",
    script: [
      DustTest.think("Notion has it."),
      DustTest.text("Let me look. "),
      DustTest.tool({ name: "search", inputs: { query: "roadmap" }, output: "Q4" }),
      DustTest.text("Three things.")
    ]
  },
  slow: { name: "Slow", script: [DustTest.text("One word after the other. ".repeat(400), { pace: "20 millis" })] }
} satisfies DustTest.Options["agents"]

export interface Ended {
  /** The exit code; null if a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandLine {
  /** The built file. */
  readonly file: string
  /** A directory for the test's own files, which is also the home directory. */
  readonly directory: string
  readonly remove: () => void
}

/** Builds the command line outside of any directory with packages, so that the file must contain all that it needs. */
export const commandLine = async (directory: string): Promise<CommandLine> => {
  mkdirSync(directory, { recursive: true })
  const folder = mkdtempSync(`${directory}/effect dust `)
  await buildCommandLine(folder)
  return {
    file: `${folder}/internal/bin.js`,
    directory: folder,
    remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 20 })
  }
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The content of stdin, which then ends. Default: none, as from /dev/null. */
  readonly stdin?: string | Uint8Array | undefined
}

/** Only what a process needs: no credential, proxy or locale of the machine. */
const environment = (line: CommandLine, options: RunOptions) => ({
  // @effect-diagnostics-next-line processEnv:off
  PATH: process.env["PATH"] ?? "",
  HOME: line.directory,
  XDG_CONFIG_HOME: `${line.directory}/config`,
  TERM: "xterm",
  ...options.env
})

/** The variables of a Local Dust on a port. */
export const variables = (dust: DustTest.Service, credential: "apiKey" | "userToken" | "adminApiKey" = "apiKey") => ({
  DUST_BASE_URL: dust.url,
  DUST_WORKSPACE_ID: dust.workspaceId,
  [credential === "userToken" ? "DUST_ACCESS_TOKEN" : "DUST_API_KEY"]: Redacted.value(dust[credential])
})

export interface Running {
  readonly child: ChildProcess
  /** The output of both streams without escape sequences and returns, once it matches or the process has ended. */
  readonly says: (enough: RegExp) => Effect.Effect<string>
  /** What is said later than this matches a new search only. */
  readonly forget: () => void
  readonly type: (text: string) => void
  readonly ended: Effect.Effect<Ended>
}

// oxlint-disable-next-line no-control-regex
const escapes = /\u001b\[[0-9;?]*[a-zA-Z]/g

/** What a terminal shows, without its escape sequences. */
export const plain = (text: string): string => text.replace(escapes, "").replaceAll("\r", "")

const running = (child: ChildProcess): Running => {
  const said = { stdout: "", stderr: "", both: "" }
  const waiting = new Set<() => void>()
  let closed: number | null | undefined
  const more = (stream: "stdout" | "stderr") => (piece: string) => {
    said[stream] += piece
    said.both += piece
    for (const look of waiting) look()
  }
  // A piece may end within a character.
  child.stdout?.setEncoding("utf8").on("data", more("stdout"))
  child.stderr?.setEncoding("utf8").on("data", more("stderr"))
  // It may end before it has read everything.
  child.stdin?.on("error", () => {})
  child.on("close", (code) => {
    closed = code
    for (const look of waiting) look()
  })
  const until = <A>(found: () => A | undefined) =>
    Effect.async<A>((resume) => {
      const look = () => {
        const value = found()
        if (value === undefined) return
        waiting.delete(look)
        resume(Effect.succeed(value))
      }
      waiting.add(look)
      look()
      return Effect.sync(() => void waiting.delete(look))
    })
  return {
    child,
    says: (enough) => until(() => closed !== undefined || enough.test(plain(said.both)) ? plain(said.both) : undefined),
    forget: () => {
      said.both = ""
    },
    type: (text) => void child.stdin?.write(text),
    ended: until(() => closed === undefined ? undefined : { code: closed, stdout: said.stdout, stderr: said.stderr })
  }
}

/** Starts it with pipes; killed with the scope. */
export const start = (line: CommandLine, args: ReadonlyArray<string>, options: RunOptions = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [line.file, ...args], {
        cwd: line.directory,
        env: environment(line, options),
        stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
      })
      child.stdin?.end(options.stdin)
      return running(child)
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** Runs it to its end. */
export const run = (line: CommandLine, args: ReadonlyArray<string>, options: RunOptions = {}): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(line, args, options), ({ ended }) => ended))

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** Starts it in a pseudo terminal of 100 columns; input is sent as keystrokes. */
export const startInTerminal = (line: CommandLine, args: ReadonlyArray<string>, options: RunOptions = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const command = [process.execPath, line.file, ...args].map(quoted).join(" ")
      // `script` (util-linux) makes the terminal and hands over the exit code.
      return running(
        spawn("script", ["-qefc", `stty cols 100 rows 30; exec ${command}`, "/dev/null"], {
          cwd: line.directory,
          env: environment(line, options),
          stdio: "pipe"
        })
      )
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  )

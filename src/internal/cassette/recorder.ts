/** A recording from its beginning to its end, in memory and in a file. */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { recording, type Session } from "./record.ts"
import { type Redaction, Redactor } from "./redact.ts"
import { type Exchange, exchangeLine, format, headLine, type Tape, type TapeHead } from "./tape.ts"

/**
 * How a recording is made.
 *
 * @category models
 * @since 0.2.0
 */
export interface RecordOptions extends Redaction {
  /** The largest body that is written, in bytes; a larger one is left out, with its size. Defaults to 4 MiB. */
  readonly maxBodyBytes?: number | undefined
}

/** A client whose exchanges are noted, and what has been noted. @category models @since 0.2.0 */
export interface Recorder {
  readonly client: HttpClient.HttpClient
  /** The exchanges that have ended so far, and those that are open as they are now. */
  readonly tape: Effect.Effect<Tape>
}

const defaultLimit = 4 * 1024 * 1024

/** `onEnded` and `onLearned`: an exchange is there; earlier ones may read otherwise now. */
const makeSession = (
  options: RecordOptions,
  startedAt: number,
  on: { readonly ended: (exchange: Exchange) => void; readonly learned: () => void }
): { readonly session: Session; readonly tape: () => Tape } => {
  const redactor = new Redactor(options)
  const raw: Array<Exchange> = []
  const session: Session = {
    redactor,
    limit: options.maxBodyBytes ?? defaultLimit,
    startedAt,
    count: 0,
    origin: undefined,
    open: new Set(),
    learned: on.learned,
    ended: (exchange) => {
      raw.push(exchange)
      on.ended(exchange)
    }
  }
  const head = (): TapeHead => {
    const workspaceId = raw.map(({ request }) => /\/w\/([^/]+)/.exec(request.path)?.[1]).find((id) => id !== undefined)
    return {
      cassette: 1,
      recordedAt: new Date(startedAt).toISOString(),
      origin: session.origin ?? "",
      ...(workspaceId === undefined ? {} : { workspaceId }),
      content: options.content ?? "keep"
    }
  }
  // Redacted when it is asked for: what was learned late holds for what was said early.
  const redacted = () =>
    [...raw, ...[...session.open].map(({ now }) => now())].map((exchange) => redactor.exchange(exchange))
  const tape = () => {
    // The first time teaches the secrets that fields of bodies hold.
    redacted()
    return { ...head(), exchanges: redacted().sort((a, b) => a.number - b.number) }
  }
  return { session, tape }
}

export const recorder = (
  client: HttpClient.HttpClient,
  options: RecordOptions
): Effect.Effect<Recorder> =>
  Effect.map(Clock.currentTimeMillis, (startedAt) => {
    const { session, tape } = makeSession(options, startedAt, { ended: () => undefined, learned: () => undefined })
    return { client: recording(client, session), tape: Effect.sync(tape) }
  })

/**
 * The same into a file: a line as soon as an exchange has ended, and the whole file in order when the scope closes, or
 * when a secret was learned that may be in the lines before.
 */
export const fileRecorder = (
  client: HttpClient.HttpClient,
  path: string,
  options: RecordOptions
): Effect.Effect<Recorder, never, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const lines = yield* Queue.unbounded<Exchange | "learned">()
    const { session, tape } = makeSession(options, yield* Clock.currentTimeMillis, {
      ended: (exchange) => lines.unsafeOffer(exchange),
      learned: () => lines.unsafeOffer("learned")
    })
    const write = (text: string, flag: "w" | "a") => Effect.orDie(files.writeFileString(path, text, { flag }))
    const writeAll = Effect.suspend(() => write(format(tape()), "w"))
    const folder = path.replace(/[/\\][^/\\]*$/, "")
    if (folder !== path && folder !== "") yield* Effect.orDie(files.makeDirectory(folder, { recursive: true }))
    yield* write("", "w")
    let begun = false
    const one = (next: Exchange | "learned") =>
      Effect.suspend(() => {
        if (next === "learned") return begun ? writeAll : Effect.void
        const head = begun ? "" : headLine(tape())
        begun = true
        return write(head + exchangeLine(session.redactor.exchange(next)), "a")
      })
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        for (const { end } of session.open) end()
        return writeAll
      })
    )
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(lines), one)))
    return { client: recording(client, session), tape: Effect.sync(tape) }
  })

/** Manages a recording, in memory or in a file. */
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
 * Options of a recording.
 *
 * @category models
 * @since 0.2.0
 */
export interface RecordOptions extends Redaction {
  /** The maximum recorded body in bytes; of a larger one, only the size is recorded. Defaults to 4 MiB. */
  readonly maxBodyBytes?: number | undefined
}

/** A recorded client, and its recording so far. @category models @since 0.2.0 */
export interface Recorder {
  readonly client: HttpClient.HttpClient
  /** The finished exchanges, and the current state of those in progress. */
  readonly tape: Effect.Effect<Tape>
}

const defaultLimit = 4 * 1024 * 1024

/** `onEnded` runs when an exchange ends; `onLearned` when a new secret may change the redaction of earlier ones. */
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
  // Redacted on read, so that a secret learned later is removed from earlier exchanges too.
  const redacted = () =>
    [...raw, ...[...session.open].map(({ now }) => now())].map((exchange) => redactor.exchange(exchange))
  const tape = () => {
    // The first pass learns the secrets in body fields.
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
 * Records to a file: appends a line when an exchange ends, and rewrites the file in order when the scope closes, or
 * when a newly learned secret may occur in earlier lines.
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

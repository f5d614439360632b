/**
 * Cassettes: exchanges of an application with Dust, recorded once and replayed in tests.
 *
 * - {@link layerRecord} writes every exchange of an `HttpClient` to a file of JSON lines, without credentials.
 * - {@link layerReplay} responds from that file. A request that is not in it is a defect that names the nearest one.
 * - {@link drift} sends the recorded requests to Local Dust and reports where the responses differ, to verify Local Dust against a
 *   real workspace.
 *
 * For tests only: import it from its own path.
 *
 * @example
 * ```ts
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import { assert, it } from "@effect/vitest"
 * import * as Cassette from "effect-dust/Cassette"
 * import { Chat } from "effect-dust/Chat"
 * import * as Dust from "effect-dust/Dust"
 * import { Effect, Layer, Redacted } from "effect"
 *
 * const Replayed = Dust.layer({ workspaceId: "AbCdEfGhIj", apiKey: Redacted.make("sk-replayed") }).pipe(
 *   Layer.provide(Cassette.layerReplay({ path: "test/tapes/greeting.jsonl" })),
 *   Layer.provide(NodeContext.layer)
 * )
 *
 * it.effect("greets", () =>
 *   Effect.gen(function*() {
 *     const chat = yield* Chat
 *     const reply = yield* chat.send({ agent: "dust", message: "Hello" })
 *     assert.include(reply.text, "Hello")
 *   }).pipe(Effect.provide(Replayed)))
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as DustTest from "./DustTest.ts"
import { compareTape, type Difference, type DriftReport, formatReport } from "./internal/cassette/drift.ts"
import { toFetch as clientToFetch } from "./internal/cassette/fetch.ts"
import { CassetteMissError, Deck } from "./internal/cassette/match.ts"
import { fileRecorder, type Recorder as Recording, recorder, type RecordOptions } from "./internal/cassette/recorder.ts"
import { type Redaction, Redactor } from "./internal/cassette/redact.ts"
import { replaying } from "./internal/cassette/replay.ts"
import {
  CassetteReadError,
  type EventFrame,
  type Exchange,
  type FormPart,
  format as formatTape,
  parse as parseTape,
  type RecordedBody,
  type RecordedFailure,
  type RecordedRequest,
  type RecordedResponse,
  type Tape,
  type TapeHead
} from "./internal/cassette/tape.ts"

export { CassetteMissError, CassetteReadError }
export type {
  Difference,
  DriftReport,
  EventFrame,
  Exchange,
  FormPart,
  RecordedBody,
  RecordedFailure,
  RecordedRequest,
  RecordedResponse,
  Recording,
  RecordOptions,
  Redaction,
  Tape,
  TapeHead
}

/**
 * A recording in progress.
 *
 * @category tags
 * @since 0.2.0
 */
export class Recorder extends Context.Tag("effect-dust/Cassette/Recorder")<Recorder, {
  /** The exchanges that have ended so far. */
  readonly tape: Effect.Effect<Tape>
}>() {}

/**
 * A replay in progress.
 *
 * @category tags
 * @since 0.2.0
 */
export class Player extends Context.Tag("effect-dust/Cassette/Player")<Player, {
  readonly tape: Tape
  /** The exchanges that have not been replayed yet. */
  readonly unplayed: Effect.Effect<ReadonlyArray<Exchange>>
}>() {}

/**
 * Options of a replay.
 *
 * @category models
 * @since 0.2.0
 */
export interface ReplayOptions extends Pick<Redaction, "secrets" | "redact"> {
  /**
   * Fields of queries and bodies that may differ from the recording. Defaults to `["timezone"]`, which depends on the machine.
   */
  readonly ignore?: ReadonlyArray<string> | undefined
  /**
   * Each exchange is replayed once, in the order of the recording. Selects the requests whose last response is repeated after that:
   * `"reads"` (GET), `"all"` or `"none"`. Defaults to `"reads"`.
   */
  readonly repeats?: "reads" | "all" | "none" | undefined
  /** `"recorded"` takes the time that the recording took. Defaults to `"instant"`. */
  readonly pace?: "instant" | "recorded" | undefined
}

/**
 * Records the exchanges of a client in memory. Responses are unchanged, except that compressed bodies are decompressed.
 *
 * @category constructors
 * @since 0.2.0
 */
export const record: (client: HttpClient.HttpClient, options?: RecordOptions) => Effect.Effect<Recording> = (
  client,
  options
) => recorder(client, options ?? {})

/**
 * Makes a client that responds from a tape. Requests match by method, path, query and body, regardless of their origin and workspace.
 * A request that is not on the tape is a defect, {@link CassetteMissError}, so that retries and fallbacks cannot hide it. Recorded
 * failures are replayed as failures.
 *
 * @category constructors
 * @since 0.2.0
 */
export const replay = (
  tape: Tape,
  options?: ReplayOptions
): { readonly client: HttpClient.HttpClient; readonly unplayed: Effect.Effect<ReadonlyArray<Exchange>> } => {
  const deck = new Deck(tape.exchanges, {
    ignore: options?.ignore ?? ["timezone"],
    repeats: options?.repeats ?? "reads"
  })
  const redactor = new Redactor({ content: tape.content, secrets: options?.secrets, redact: options?.redact })
  return {
    client: replaying({ deck, redactor, pace: options?.pace ?? "instant" }),
    unplayed: Effect.sync(() => deck.unplayed)
  }
}

/**
 * Reads the text of a tape. Fails with {@link CassetteReadError}, which names the line.
 *
 * @category tapes
 * @since 0.2.0
 */
export const parse: (text: string) => Effect.Effect<Tape, CassetteReadError> = parseTape

/**
 * The text of a tape: a line of JSON about the recording, then one for each exchange.
 *
 * @category tapes
 * @since 0.2.0
 */
export const format: (tape: Tape) => string = formatTape

/**
 * Reads a tape from a file. Fails with {@link CassetteReadError} if the file is missing or cannot be read.
 *
 * @category tapes
 * @since 0.2.0
 */
export const load = (path: string): Effect.Effect<Tape, CassetteReadError, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    files.readFileString(path).pipe(
      Effect.mapError((error) =>
        new CassetteReadError({ message: `The tape ${path} cannot be read: ${error.message}`, line: undefined })
      ),
      Effect.flatMap((text) =>
        Effect.mapError(parse(text), ({ line, message }) =>
          new CassetteReadError({ message: `${path}: ${message}`, line }))
      )
    ))

/**
 * Records the exchanges of the provided client to a file, which is replaced. Each exchange is a line, written when it ends; the lines
 * are sorted when the layer is closed.
 *
 * Credentials, cookies, signed addresses, fields such as `access_token` or `secret`, and every value that occurred in one
 * of them are replaced by `<redacted>` everywhere. `content: "mask"` also hides the text of people and agents.
 *
 * @example
 * ```ts
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
 * import * as Cassette from "effect-dust/Cassette"
 * import * as Dust from "effect-dust/Dust"
 * import { Layer } from "effect"
 *
 * const Recorded = Dust.layerEnv.pipe(
 *   Layer.provide(Cassette.layerRecord({ path: "test/tapes/greeting.jsonl", content: "mask" })),
 *   Layer.provide(NodeHttpClient.layerUndici),
 *   Layer.provide(NodeContext.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerRecord = (
  options: RecordOptions & { readonly path: string }
): Layer.Layer<HttpClient.HttpClient | Recorder, never, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Layer.scopedContext(
    Effect.flatMap(
      HttpClient.HttpClient,
      (client) =>
        Effect.map(
          fileRecorder(client, options.path, options),
          (made) => Context.make(HttpClient.HttpClient, made.client).pipe(Context.add(Recorder, { tape: made.tape }))
        )
    )
  )

/**
 * Responds from a file that {@link layerRecord} wrote; see {@link replay}.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerReplay = (
  options: ReplayOptions & { readonly path: string }
): Layer.Layer<HttpClient.HttpClient | Player, CassetteReadError, FileSystem.FileSystem> =>
  Layer.effectContext(
    Effect.map(load(options.path), (tape) => {
      const { client, unplayed } = replay(tape, options)
      return Context.make(HttpClient.HttpClient, client).pipe(Context.add(Player, { tape, unplayed }))
    })
  )

/**
 * Options of a comparison with Local Dust.
 *
 * @category models
 * @since 0.2.0
 */
export interface DriftOptions {
  /**
   * Agents, seed and quirks of Local Dust. Agents that the recorded messages mention exist and repeat the message. The workspace has the
   * id of the recording.
   */
  readonly workspace?: DustTest.Options | undefined
  /** The credentials at Local Dust that replace the API key and the user of the recording. */
  readonly credentials?: {
    readonly apiKey?: "apiKey" | "adminApiKey" | undefined
    readonly accessToken?: "userToken" | "adminToken" | undefined
  } | undefined
  /** Fields that are not compared, by their beginning, such as `body.conversation.owner`. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /** How long an event stream of Local Dust may be silent, in real time, before it is compared. Defaults to 1 second. */
  readonly silence?: Duration.DurationInput | undefined
}

const mentioned = (tape: Tape): ReadonlyArray<string> => {
  const found = new Set<string>()
  const search = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(search)
    if (typeof value !== "object" || value === null) return
    for (const [key, one] of Object.entries(value)) {
      if (key === "configurationId" && typeof one === "string") found.add(one)
      search(one)
    }
  }
  for (const { request: { body } } of tape.exchanges) if (body !== undefined && "json" in body) search(body.json)
  return [...found]
}

/**
 * Sends each recorded request to a new Local Dust and compares the responses with the recording: the status, the shape of the body
 * field by field, and the kinds and fields of streamed events. Does not compare texts, or fields that are `null` or empty on one side.
 * Ids of the recording are replaced by those of Local Dust. Runs on the real clock.
 *
 * @example
 * ```ts
 * import * as Cassette from "effect-dust/Cassette"
 * import { Console, Effect } from "effect"
 *
 * const compare = Cassette.load("test/tapes/greeting.jsonl").pipe(
 *   Effect.flatMap((tape) => Cassette.drift(tape)),
 *   Effect.flatMap((report) => Console.log(Cassette.formatDrift(report)))
 * )
 * ```
 *
 * @category drift
 * @since 0.2.0
 */
export const drift = (tape: Tape, options?: DriftOptions): Effect.Effect<DriftReport> =>
  Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const client = yield* HttpClient.HttpClient
    return yield* compareTape(tape, {
      ignore: options?.ignore ?? [],
      local: {
        client,
        url: dust.url,
        tokens: {
          apiKey: Redacted.value(dust[options?.credentials?.apiKey ?? "apiKey"]),
          accessToken: Redacted.value(dust[options?.credentials?.accessToken ?? "userToken"])
        },
        silence: options?.silence ?? "1 second"
      }
    })
  }).pipe(
    Effect.provide(DustTest.layerHttpClient({
      workspaceId: tape.workspaceId,
      ...options?.workspace,
      agents: {
        ...Object.fromEntries(mentioned(tape).filter((id) => id !== "dust").map((id) => [id, {}])),
        ...options?.workspace?.agents
      }
    })),
    Effect.withClock(Clock.make())
  )

/**
 * Formats a report as text: differences by route, each with its exchanges.
 *
 * @category drift
 * @since 0.2.0
 */
export const formatDrift: (report: DriftReport) => string = formatReport

/**
 * Turns a client into a `fetch` function, to record and replay programs that do not use Effect. Follows redirects like `fetch`, and
 * closes the request when its signal is aborted.
 *
 * @category conversions
 * @since 0.2.0
 */
export const toFetch: (client: HttpClient.HttpClient) => Effect.Effect<typeof globalThis.fetch> = clientToFetch

/** What the steps of the request path share: the client they belong to, and the call that they carry. */
import * as Headers from "@effect/platform/Headers"
import type * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { RequestError, TimeoutPhase } from "../../DustAPIError.ts"
import type * as DustConfig from "../../DustConfig.ts"
import type { LimitClass, Service as Governor } from "../../Governor.ts"
import type { Final, Identity, Input, Operation, Replay } from "../api/operation.ts"
import type { CallSite } from "./callSite.ts"
import type { Caller, Callers } from "./credential.ts"
import type { Watch } from "./deadlines.ts"
import type { Settings, Tally } from "./settings.ts"

export interface Context {
  readonly config: DustConfig.Service
  readonly base: URL
  /** Answers with the connection open until the scope closes. */
  readonly execute: (
    request: Parameters<HttpClient.HttpClient["execute"]>[0]
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, Scope.Scope>
  /** Sends no credential and follows no redirect. */
  readonly transport: HttpClient.HttpClient
  readonly callers: Callers
  /** Event streams that the server has moved, by the templates of their routes: not every one is. */
  readonly moved: Set<string>
  readonly serverClock: ServerClock
  readonly governor: Governor | undefined
}

export interface OpenOptions {
  readonly accept?: string | undefined
  readonly redirects?: "follow" | "return" | undefined
  readonly origin?: Origin | undefined
}

/** Runs an operation. */
export type Execute = <Route extends string, Body, A>(
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>
) => Effect.Effect<A, RequestError>

/** Opens an operation, up to the headers of its answer. */
export type Open = <Route extends string, Body, A>(
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  options?: OpenOptions
) => Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError, Scope.Scope>

/** How far the server's clock is ahead of the monotonic one, in milliseconds; unknown before its first answer with a date. */
export interface ServerClock {
  offset: number | undefined
}

/** Where a call goes: to Dust with a credential, or to its storage without. */
export type Origin = "dust" | "storage"

/** One call, ready to be sent. */
export interface Call {
  readonly identity: Identity
  readonly replay: Replay
  readonly final: Final | undefined
  readonly limits: LimitClass | undefined
  readonly settings: Settings
  readonly caller: Caller
  readonly origin: Origin
  readonly url: string
  readonly body: HttpBody.HttpBody
  readonly headers: Readonly<Record<string, string>>
  readonly redirects: "follow" | "return"
  readonly acceptsEvents: boolean
  /** What an error must not say, besides the credential and the headers. */
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly site: CallSite | undefined
  readonly tally: Tally | undefined
  /** The total limit is one that somebody has chosen. */
  readonly hasOwnTotal: boolean
}

/** The course of one call: what has happened so far, and the wait that is under way. */
export class Trip {
  readonly call: Call
  /** When the call began, by {@link now}. */
  readonly begun: number
  readonly #now: () => number
  #attempts = 0
  #headers: Headers.Headers = Headers.empty
  #uncertain = false
  #failure: RequestError | undefined
  #watch: Watch<TimeoutPhase> | undefined

  constructor(call: Call, now: () => number) {
    this.call = call
    this.#now = now
    this.begun = now()
  }

  get attempts(): number {
    return this.#attempts
  }

  /** An attempt that failed may have been carried out all the same. */
  get uncertain(): boolean {
    return this.#uncertain
  }

  /** Those of the last answer: some clients parse them each time. */
  get headers(): Headers.Headers {
    return this.#headers
  }

  /** Why the last attempt that was repeated had failed. */
  get failure(): RequestError | undefined {
    return this.#failure
  }

  /** Milliseconds of a clock that nobody sets. */
  now(): number {
    return this.#now()
  }

  /** A wait begins; the one before it is over. */
  watchedBy(watch: Watch<TimeoutPhase>): void {
    this.#watch = watch
  }

  answered({ headers }: HttpClientResponse.HttpClientResponse): void {
    this.#headers = headers
  }

  attempting(): void {
    this.#attempts++
    for (let tally = this.call.tally; tally !== undefined; tally = tally.outer) tally.attempts++
  }

  repeating(failure: RequestError, uncertain: boolean): void {
    this.#failure = failure
    this.#uncertain ||= uncertain
  }

  /** The next phase of the wait begins. */
  entering(phase: TimeoutPhase, limit: Duration.Duration): void {
    this.#watch?.enter(phase, limit)
  }

  /** What comes now has a limit of its own. */
  leaving(): void {
    this.#watch?.leave()
  }
}

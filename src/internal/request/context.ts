/** Shared by the steps of the request path: their client, and the call in progress. */
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
  /** Returns the response with its connection open until the scope closes. */
  readonly execute: (
    request: Parameters<HttpClient.HttpClient["execute"]>[0]
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, Scope.Scope>
  /** Sends no credential and follows no redirect. */
  readonly transport: HttpClient.HttpClient
  readonly callers: Callers
  /** Event streams that the server has moved, by route template: not all of them are. */
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

/** Opens an operation, up to the headers of its response. */
export type Open = <Route extends string, Body, A>(
  operation: Operation<Route, Body, A>,
  input: Input<Route, Body>,
  options?: OpenOptions
) => Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError, Scope.Scope>

/**
 * The offset of the server's clock from the monotonic one, in milliseconds; unknown before the first response with a
 * date.
 */
export interface ServerClock {
  offset: number | undefined
}

/** The destination of a call: Dust with a credential, or its storage without. */
export type Origin = "dust" | "storage"

/** A call, ready to be sent. */
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
  /** Texts to remove from errors, in addition to the credential and the headers. */
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly site: CallSite | undefined
  readonly tally: Tally | undefined
  /** Whether the total limit was set explicitly. */
  readonly hasOwnTotal: boolean
}

/** The progress of one call: its attempts so far, and the current wait. */
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
  /** Waiting for an access token: no request is in flight. */
  waitsForToken = false

  constructor(call: Call, now: () => number) {
    this.call = call
    this.#now = now
    this.begun = now()
  }

  get attempts(): number {
    return this.#attempts
  }

  /** Whether a failed attempt may nevertheless have been processed. */
  get uncertain(): boolean {
    return this.#uncertain
  }

  /** The headers of the last response: some clients parse them on each access. */
  get headers(): Headers.Headers {
    return this.#headers
  }

  /** The failure that led to the last retry. */
  get failure(): RequestError | undefined {
    return this.#failure
  }

  /** Milliseconds of a monotonic clock. */
  now(): number {
    return this.#now()
  }

  /** Starts a wait, which replaces the previous one. */
  watchedBy(watch: Watch<TimeoutPhase>): void {
    this.#watch = watch
  }

  answered({ headers }: HttpClientResponse.HttpClientResponse): void {
    this.#headers = headers
  }

  attempting(): void {
    this.waitsForToken = false
    this.#attempts++
    for (let tally = this.call.tally; tally !== undefined; tally = tally.outer) tally.attempts++
  }

  repeating(failure: RequestError, uncertain: boolean): void {
    this.#failure = failure
    this.#uncertain ||= uncertain
  }

  /** Enters the next phase of the wait. */
  entering(phase: TimeoutPhase, limit: Duration.Duration): void {
    this.#watch?.enter(phase, limit)
  }

  /** Leaves the phase: the next step has its own limit. */
  leaving(): void {
    this.#watch?.leave()
  }
}

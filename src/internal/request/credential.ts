/** The credential of a call: its own, or that of the layer. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { type Credential, type TokenEffect, TokenExchange } from "../../DustConfig.ts"
import * as Checks from "../input/validate.ts"
import { inRefresh } from "../telemetry/token.ts"

/** A credential set for a single call; without a workspace, that of the layer applies. */
export interface CallCredential {
  readonly apiKey?: Redacted.Redacted<string> | undefined
  readonly accessToken?: Redacted.Redacted<string> | TokenEffect | undefined
  readonly workspaceId?: string | undefined
}

/** The credential of the current call. `None`: that of the layer. */
export class CurrentCredential extends Context.Reference<CurrentCredential>()(
  "effect-dust/DustClient/CurrentCredential",
  { defaultValue: (): CallCredential | undefined => undefined }
) {}

export interface Tokens {
  /** The token, if it is available without waiting. */
  readonly ready: () => Redacted.Redacted<string> | undefined
  readonly current: Effect.Effect<Redacted.Redacted<string>, unknown>
  /** Renews the given token, unless it was already renewed. `false`: it cannot be renewed. */
  readonly renew: (stale: Redacted.Redacted<string>) => Effect.Effect<boolean, unknown>
  /** Makes the next request obtain a new token, unless this one is outdated anyway. */
  readonly forget: (stale: string) => void
}

/** The caller of a request: a cache key, equal only for the same credential and workspace. */
export class Caller implements Equal.Equal {
  readonly workspaceId: string
  readonly credential: Credential
  readonly tokens: Tokens

  constructor(workspaceId: string, credential: Credential, tokens: Tokens) {
    this.workspaceId = workspaceId
    this.credential = credential
    this.tokens = tokens
  }

  get hasUser(): boolean {
    return this.credential._tag === "AccessToken"
  }

  [Hash.symbol](): number {
    return Hash.string(this.workspaceId)
  }

  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof Caller && that.workspaceId === this.workspaceId &&
      Equal.equals(secretOf(that.credential), secretOf(this.credential))
  }
}

/** Represents an unusable credential: equal only to itself. */
export class UnusableCaller implements Equal.Equal {
  readonly workspaceId = ""
  readonly hasUser: boolean

  constructor(given: CallCredential | undefined) {
    this.hasUser = given?.accessToken !== undefined
  }

  [Hash.symbol](): number {
    return Hash.random(this)
  }

  [Equal.symbol](that: Equal.Equal): boolean {
    return that === this
  }
}

const secretOf = (credential: Credential) => credential._tag === "ApiKey" ? credential.apiKey : credential.accessToken

export interface Callers {
  readonly own: Caller
  readonly of: (given: CallCredential | undefined) => Either.Either<Caller, Checks.Unusable>
}

/** Runs work that outlives the call that first needs it. */
type Background = <A, E>(self: Effect.Effect<A, E, TokenExchange>) => Fiber.RuntimeFiber<A, E>

export const makeCallers = (
  own: { readonly workspaceId: string; readonly credential: Credential },
  exchange: Context.Tag.Service<TokenExchange>,
  scope: Scope.Scope,
  runtime: Runtime.Runtime<never>
): Callers => {
  const background: Background = (self) =>
    Runtime.runFork(runtime)(Effect.provideService(self, TokenExchange, exchange), { scope })
  const renewable = new WeakMap<TokenEffect, Tokens>()
  const tokensOf = (credential: Credential): Tokens => {
    const source = secretOf(credential)
    if (!Effect.isEffect(source)) return fixedToken(source)
    const known = renewable.get(source)
    if (known !== undefined) return known
    const made = renewableToken(source, background)
    renewable.set(source, made)
    return made
  }
  const layers = new Caller(own.workspaceId, own.credential, tokensOf(own.credential))
  const checked = new WeakMap<CallCredential, Either.Either<Caller, Checks.Unusable>>()
  return {
    own: layers,
    of: (given) => {
      if (given === undefined) return Either.right(layers)
      const known = checked.get(given)
      if (known !== undefined) return known
      const caller = Either.gen(function*() {
        const credential = yield* Checks.credential(given)
        const workspaceId = given.workspaceId === undefined
          ? own.workspaceId
          : yield* Checks.workspaceId(given.workspaceId)
        return new Caller(workspaceId, credential, tokensOf(credential))
      })
      checked.set(given, caller)
      return caller
    }
  }
}

const fixedToken = (source: Redacted.Redacted<string>): Tokens => ({
  ready: () => Either.isRight(sendable(source)) ? source : undefined,
  current: Effect.suspend(() => Effect.as(sendable(source), source)),
  renew: () => Effect.succeed(false),
  forget: () => undefined
})

/**
 * A token source that takes longer than this has failed: the next call asks it again. Allows time for a person to sign
 * in.
 */
const longest = "5 minutes"

/**
 * A token that is obtained once for all waiting calls, by a fiber of the layer: an interrupted caller only stops
 * waiting, so a single-use refresh token is not lost with it.
 */
const renewableToken = (source: TokenEffect, background: Background): Tokens => {
  let cached: Redacted.Redacted<string> | undefined
  let obtaining: Fiber.RuntimeFiber<Redacted.Redacted<string>, unknown> | undefined

  const obtain = Effect.flatMap(source, (token) =>
    Effect.map(sendable(token), (text) => {
      // A copy: the application may wipe its own once it has a newer one.
      cached = Redacted.make(text)
      return cached
    }))

  const start = (asker: Fiber.RuntimeFiber<unknown, unknown>) => {
    const fiber = background(inRefresh(
      asker,
      Effect.timeoutFail(Effect.disconnect(obtain), {
        duration: longest,
        onTimeout: () => ({ _tag: "TokenTimeout" as const })
      })
    ))
    obtaining = fiber
    fiber.addObserver(() => {
      if (obtaining === fiber) obtaining = undefined
    })
    return fiber
  }

  const current = Effect.withFiberRuntime<Redacted.Redacted<string>, unknown>((asker) => {
    if (cached !== undefined) return Effect.succeed(cached)
    return Effect.flatMap(
      Fiber.await(obtaining ?? start(asker)),
      // Any failure, including a defect or an interruption, means that the token could not be obtained.
      Exit.match({ onSuccess: Effect.succeed, onFailure: (cause) => Effect.fail(Cause.squash(cause)) })
    )
  })

  return {
    ready: () => cached,
    current,
    renew: (stale) =>
      Effect.suspend(() => {
        if (cached === stale) cached = undefined
        return Effect.as(current, true)
      }),
    forget: (stale) => {
      if (cached !== undefined && Redacted.value(cached) === stale) cached = undefined
    }
  }
}

/** The token as a header value; a wiped token has none. */
const sendable = (token: unknown): Either.Either<string, { readonly _tag: "MalformedToken" }> => {
  const text = Option.getOrUndefined(Checks.revealed(token))
  return typeof text === "string" && text.length <= Checks.longestCredential && /^[\x21-\x7e]+$/.test(text.trim())
    ? Either.right(text.trim())
    : Either.left({ _tag: "MalformedToken" })
}

/** The call site of an operation in the program: the first stack frame above the SDK's own. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"
import { isDustAPIError } from "../../DustAPIError.ts"

/** The stack at the call. Its text is computed on first access. */
export type CallSite = Error

/** The call site of the method whose Effect or Stream is running, for requests made after the call. */
export class CurrentCallSite extends Context.Reference<CurrentCallSite>()("effect-dust/internal/CurrentCallSite", {
  defaultValue: (): CallSite | undefined => undefined
}) {}

/** The SDK's frames between a call and the place that captures it, plus one. Each further frame adds the same cost. */
const frames = 6

/** The call site of the method that is currently being called: nested calls made before it returns inherit it. */
let calling: CallSite | undefined

const capture = (frames: number): CallSite => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames
  const site = new Error()
  Error.stackTraceLimit = limit
  return site
}

export const captureCallSite = (): CallSite => calling ?? capture(frames)

/**
 * Whether a frame is in the SDK's directory, given the URL of this module. Frames contain a URL or a path. Where a module
 * has no URL (workerd, a CommonJS bundle), the SDK's frames cannot be identified.
 */
export const framesUnder = (module: string | undefined): (frame: string) => boolean => {
  if (module === undefined || !URL.canParse("../../", module)) return () => false
  const { href, pathname, protocol } = new URL("../../", module)
  const path = protocol === "file:" ? decodeURIComponent(pathname) : href
  return (frame) => frame.includes(href) || frame.includes(path)
}

const isOwn = framesUnder(import.meta.url)

const isEffect = (frame: string): boolean => /node_modules[\\/](?:effect|@effect)[\\/]/.test(frame)

/** `file:line:column` of the call, if the program's own code made it. */
export const locationOf = (site: CallSite | undefined): string | undefined => {
  for (const frame of (site?.stack ?? "").split("\n")) {
    if (!/^\s+at /.test(frame) || isOwn(frame)) continue
    return isEffect(frame) ? undefined : /\((.*)\)\s*$/.exec(frame)?.[1] ?? frame.replace(/^\s+at (?:async )?/, "")
  }
  return undefined
}

const isLocated = (error: Error): boolean => error.stack?.includes("\n    at ") === true

/** Gives an error a stack that shows the call and none of the SDK's frames. */
export const located = <E extends Error>(error: E, name: string, site: CallSite | undefined): E => {
  const at = isLocated(error) ? undefined : locationOf(site)
  if (at !== undefined) {
    Object.defineProperty(error, "stack", {
      value: `${error.name}: ${error.message}\n    at ${name} (${at})`,
      configurable: true,
      writable: true
    })
  }
  return error
}

/**
 * Where Effect keeps the span in which an error occurred: `Cause.pretty` prints it and its parents below the stack. An
 * error that has none receives the one in which it fails, in a proxy that `structuredClone` refuses.
 */
const spanKey = Symbol.for("effect/SpanAnnotation")

/** Prepares an error for {@link failedIn}. */
export const withoutSpan = <E extends Error>(error: E): E => setSpan(error, undefined)

const setSpan = <E extends Error>(error: E, span: unknown): E =>
  Object.defineProperty(error, spanKey, { value: span, configurable: true, writable: true })

/**
 * Sets the span of a failed call. If the stack of the error shows the call, its span would show it again: that of the
 * caller follows.
 */
export const failedIn = (error: Error, span: Tracer.Span): void => {
  setSpan(error, isLocated(error) ? Option.getOrUndefined(span.parent) : span)
}

/** Copies the place of an error to another one. */
export const sameSite = <E extends Error>(copy: E, error: Error): E => {
  const frames = error.stack?.indexOf("\n    at ") ?? -1
  const value = `${copy.name}: ${copy.message}${frames < 0 ? "" : error.stack?.slice(frames)}`
  Object.defineProperty(copy, "stack", { value, configurable: true, writable: true })
  return Predicate.hasProperty(error, spanKey) ? setSpan(copy, error[spanKey]) : copy
}

/** Calls a method of the SDK on behalf of its caller. */
const calledFrom = <A>(site: CallSite, call: () => A): A => {
  const outer = calling
  calling = outer ?? site
  try {
    return call()
  } finally {
    calling = outer
  }
}

/** Methods that make one request when called, and record the call site themselves. */
const direct = new WeakSet<object>()

/** Marks a method that records its own call site, so that {@link withCallSites} leaves it unchanged. */
export const isDirect = <F extends object>(method: F): F => {
  direct.add(method)
  return method
}

/** Runs an effect on behalf of the call that made it, unless an outer call of the SDK runs it. */
export const calledAt = (site: CallSite) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime<A, E, R>((fiber) =>
    Context.get(fiber.currentContext, CurrentCallSite) === undefined
      ? Effect.mapError(Effect.provideService(self, CurrentCallSite, site), (error) => {
        if (isDustAPIError(error)) located(error, `${error.module}.${error.method}`, site)
        return error
      })
      : self
  )

/**
 * A service whose methods record their call site for requests made later. If one is called inside another method of the
 * SDK, the outer call counts.
 */
export const withCallSites = <S extends object>(service: S): S => {
  const wrapped: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(service)) {
    wrapped[name] = typeof member !== "function" || direct.has(member)
      ? member
      : (...args: ReadonlyArray<unknown>): unknown => {
        const site = calling ?? capture(3)
        const result: unknown = calledFrom(site, () => member(...args))
        return Effect.isEffect(result) ? calledAt(site)(result) : result
      }
  }
  // The same members with the same types.
  return wrapped as S
}

/** The call site of an operation in the program: the first stack frame above the SDK's own. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

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

// The SDK's directory, as a URL and as a path: frames contain either.
// Where a module has no URL (workerd, a CommonJS bundle), the SDK's frames cannot be identified.
const root = URL.canParse("../../", import.meta.url) ? new URL("../../", import.meta.url).href : undefined
const rootPath = root?.startsWith("file://") === true ? decodeURIComponent(new URL(root).pathname) : root

const isOwn = (frame: string): boolean =>
  root !== undefined && rootPath !== undefined && (frame.includes(root) || frame.includes(rootPath))

const isEffect = (frame: string): boolean => /node_modules[\\/](?:effect|@effect)[\\/]/.test(frame)

/** `file:line:column` of the call, if the program's own code made it. */
export const locationOf = (site: CallSite | undefined): string | undefined => {
  for (const frame of (site?.stack ?? "").split("\n")) {
    if (!/^\s+at /.test(frame) || isOwn(frame)) continue
    return isEffect(frame) ? undefined : /\((.*)\)\s*$/.exec(frame)?.[1] ?? frame.replace(/^\s+at (?:async )?/, "")
  }
  return undefined
}

/** Gives an error a stack that shows the call and none of the SDK's frames. */
export const located = <E extends Error>(error: E, name: string, site: CallSite | undefined): E => {
  const at = error.stack?.includes("\n    at ") === true ? undefined : locationOf(site)
  if (at !== undefined) {
    Object.defineProperty(error, "stack", {
      value: `${error.name}: ${error.message}\n    at ${name} (${at})`,
      configurable: true,
      writable: true
    })
  }
  return error
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
        return Effect.isEffect(result)
          ? Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) =>
            Context.get(fiber.currentContext, CurrentCallSite) === undefined
              ? Effect.provideService(result, CurrentCallSite, site)
              : result
          )
          : result
      }
  }
  // The same members with the same types.
  return wrapped as S
}

/** Where in the program a call was made: the first frame above the SDK's own. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** The stack at the call. Its text is made when it is looked at. */
export type CallSite = Error

/** The site of the method whose Effect or Stream is running, where its requests are made later than the call. */
export class CurrentCallSite extends Context.Reference<CurrentCallSite>()("effect-dust/internal/CurrentCallSite", {
  defaultValue: (): CallSite | undefined => undefined
}) {}

/** Those of the SDK that lie between a call and the place that captures it, and one more. Each costs as much again. */
const frames = 6

/** The site of the method that is being called just now: what it calls before it returns is called from there. */
let calling: CallSite | undefined

const capture = (frames: number): CallSite => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames
  const site = new Error()
  Error.stackTraceLimit = limit
  return site
}

export const captureCallSite = (): CallSite => calling ?? capture(frames)

// The folder of the SDK, as a URL and as a path: frames have either.
// Where a module has no address (workerd, a CommonJS bundle), no frame can be told to be the SDK's.
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

/** An error that shows its call and nothing of the SDK. */
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

/** Methods that make one request, where they are called: it notes that place by itself. */
const direct = new WeakSet<object>()

/** Marks a method that {@link withCallSites} has nothing to add to. */
export const isDirect = <F extends object>(method: F): F => {
  direct.add(method)
  return method
}

/**
 * A service whose methods note where they are called, for requests that they make later than that. Called inside another
 * method of the SDK, the outer call is the caller's.
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

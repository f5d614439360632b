/** One program against a scripted server, in no time, with all that can be seen of it. */
import { Effect, Either, Layer, Logger, LogLevel, Tracer } from "effect"
import { type DustAPIError, isDustAPIError } from "effect-dust/DustAPIError"
import { whole } from "./errors.ts"
import * as Http from "./http.ts"
import { virtualClock } from "./virtual.ts"

/** When a scene begins. */
export const start = 1_750_000_000_000

const folder = "/api/v1/w/ws1/assistant/conversations"
export const conversationRoute = "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}"

type Services = Layer.Layer.Success<ReturnType<typeof Http.dust>["layer"]>

export interface Scene<A> {
  /** `time method path`: the time since the start, the path below that of all conversations. */
  readonly requests: ReadonlyArray<string>
  /** Method and body of the requests that have one. */
  readonly bodies: ReadonlyArray<readonly [string, unknown]>
  /** Every line of log, at any level, with its annotations. */
  readonly logs: ReadonlyArray<readonly [string, Readonly<Record<string, unknown>>]>
  /** Every span, with its attributes at its end. */
  readonly spans: ReadonlyArray<{ readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }>
  readonly value: A | undefined
  readonly error: Record<string, unknown> | undefined
  /** The time of the end, since the start. */
  readonly took: number
}

/** Runs a program over a server of which `answer` gives the responses; `now` is the time since the start. */
export const scene = <A, E>(
  answer: (request: Http.Recorded & { readonly path: string; readonly now: number }) => Http.Answer,
  self: Effect.Effect<A, DustAPIError | E, Services>,
  options: Parameters<typeof Http.dust>[1] & { readonly user?: boolean } = {}
): Effect.Effect<Scene<A>> => {
  const { user, ...rest } = options
  const pathOf = ({ url }: Http.Recorded) => `${url.pathname.replace(folder, "")}${url.search}`
  const handler = (request: Http.Recorded) => answer({ ...request, path: pathOf(request), now: request.at - start })
  const { apiKey: _, ...shared } = rest
  const { layer, requests } = user === true ? Http.dustUser(handler, shared) : Http.dust(handler, rest)
  const logs: Array<readonly [string, Readonly<Record<string, unknown>>]> = []
  const logger = Logger.make(({ annotations, message }) => {
    logs.push([[message].flat().join(" "), Object.fromEntries(annotations)])
  })
  const spans: Array<Tracer.Span> = []
  return Effect.gen(function*() {
    const clock = virtualClock(start)
    const native = yield* Effect.tracer
    const tracer = Tracer.make({
      span: (...args) => {
        const span = native.span(...args)
        spans.push(span)
        return span
      },
      context: (f, fiber) => native.context(f, fiber)
    })
    const end = yield* Effect.either(self).pipe(
      Effect.provide(Layer.provideMerge(layer, Logger.replace(Logger.defaultLogger, logger))),
      Logger.withMinimumLogLevel(LogLevel.Debug),
      Effect.withTracer(tracer),
      Effect.withClock(clock)
    )
    return {
      requests: requests.map((request) => `${request.at - start} ${request.method} ${pathOf(request)}`),
      bodies: requests.flatMap(({ body, method }) =>
        body === undefined ? [] : [[method, JSON.parse(body) as unknown] as const]
      ),
      logs,
      spans: spans.map(({ attributes, name }) => ({ name, attributes: Object.fromEntries(attributes) })),
      value: Either.getOrUndefined(end),
      error: Either.isRight(end)
        ? undefined
        : isDustAPIError(end.left)
        ? whole(end.left)
        : { other: end.left },
      took: clock.unsafeCurrentTimeMillis() - start
    }
  })
}

/** The headers with which a server dates a response that it gives at this time since the start. */
export const dated = (now: number, more: Readonly<Record<string, string>> = {}): ResponseInit => ({
  headers: { date: new Date(start + now).toUTCString(), ...more }
})

/** A message "Hello" of the SDK to the agent `helper`, on the wire. */
export const userJson = (sId: string, rank: number | undefined, change: object = {}) => ({
  type: "user_message",
  sId,
  rank,
  version: 0,
  visibility: "visible",
  created: start,
  content: "Hello",
  mentions: [{ configurationId: "helper" }],
  context: { username: "effect-dust", timezone: "UTC", origin: "api" },
  ...change
})

/** A reply to it that is being written. */
export const agentJson = (sId: string, parentMessageId: string, change: object = {}) => ({
  type: "agent_message",
  sId,
  rank: 12,
  version: 0,
  visibility: "visible",
  created: start,
  status: "created",
  content: null,
  parentMessageId,
  ...change
})

/** A page of the conversation `c`: messages, or lists of their versions. */
export const pageJson = (messages: ReadonlyArray<object>, more: object = {}) => ({
  conversation: { sId: "c", created: 0, content: messages.map((message) => [message].flat()) },
  hasMore: false,
  lastValue: null,
  ...more
})

/** A connection with these events, which stays open, or ends in order. */
export const sse = (events: ReadonlyArray<readonly [string, object]>, open = false) => {
  const text = events.map(([eventId, data]) => `data: ${JSON.stringify({ eventId, data })}\n\n`).join("")
  const bytes = new TextEncoder().encode(`event: dust-handshake\ndata: {}\n\n${text}${open ? "" : "data: done\n\n"}`)
  return new Response(
    new ReadableStream({
      start: (controller) => {
        controller.enqueue(bytes)
        if (!open) controller.close()
      }
    }),
    { headers: { "content-type": "text/event-stream" } }
  )
}

/** Whether a request connects to a stream of events. */
export const isStream = (path: string) => /\/events(?:\?|$)/.test(path)

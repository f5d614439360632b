/** Opens one connection of an event stream. */
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { DustDecodeError, RequestError } from "../../DustAPIError.ts"
import type { Input, Operation, Service as Client } from "../../DustClient.ts"
import type { Identity } from "../api/operation.ts"
import { decode } from "../request/errors.ts"
import { type ByteSource, Compressed, sourceOf } from "./connection.ts"
import { eventLimit, Parser } from "./sse.ts"

export interface Connection {
  readonly scope: Scope.CloseableScope
  readonly source: ByteSource
  readonly parser: Parser
  readonly since: number
  readonly idle: number
  /** Events received on this connection, and the new ones among them. */
  seen: number
  fresh: number
  /** The server announced the close, after delivering everything. */
  orderly: boolean
}

/**
 * Opens a connection that continues after an event, under a span. `interruptible`: even in an uninterruptible region.
 */
export const connect = <Route extends string>(
  client: Client,
  operation: Operation<Route, undefined, void>,
  input: Input<Route, undefined>,
  options: {
    readonly lastEventId: string | undefined
    readonly interruptible: boolean
    readonly span: Tracer.Span
    readonly now: () => number
  }
): Effect.Effect<Connection, RequestError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) => {
      const query = { ...input.query, lastEventId: options.lastEventId }
      const opened = client.open(operation, { ...input, query }, { accept: "text/event-stream" }).pipe(
        Effect.flatMap((response) => eventStreamOf(operation, response)),
        Effect.flatMap((source) =>
          Effect.map(client.settings, ({ timeouts: { idle } }): Connection => ({
            scope,
            source,
            parser: new Parser(eventLimit),
            since: options.now(),
            idle: Duration.toMillis(idle),
            seen: 0,
            fresh: 0,
            orderly: false
          }))
        ),
        // One change of the context for both.
        Effect.mapInputContext((context: Context.Context<never>) =>
          context.pipe(Context.add(Scope.Scope, scope), Context.add(Tracer.ParentSpan, options.span))
        )
      )
      return Effect.onError(
        restore(options.interruptible ? Effect.interruptible(opened) : opened),
        (cause) => Scope.close(scope, Exit.failCause(cause))
      )
    })
  )

/** The body of an event stream response; fails for any other response. */
const eventStreamOf = (
  operation: Identity,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<ByteSource, DustDecodeError, Scope.Scope> => {
  const contentType = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase()
  const unexpected = (received: string) => {
    const issues = [{ path: "", message: "text/event-stream" }]
    return Effect.fail(
      decode(operation, 1, `expected text/event-stream but received ${received}`, issues, { status: response.status })
    )
  }
  if (response.status === 204 || response.status === 205) return unexpected(`an empty response (${response.status})`)
  if (contentType !== undefined && contentType !== "text/event-stream") return unexpected(contentType)
  return Effect.flatMap(sourceOf(response), (source) =>
    source instanceof Compressed
      ? unexpected(`content-encoding ${response.headers["content-encoding"]}, which cannot be decompressed here`)
      : Effect.succeed(source))
}

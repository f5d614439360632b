/** The span and the metrics of one event stream, over all of its connections. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Tracer from "effect/Tracer"
import type { Service as Client } from "../../DustClient.ts"
import * as Telemetry from "../../Telemetry.ts"
import type { Identity } from "../api/operation.ts"
import type { Phase } from "../stream/machine.ts"
import { debug } from "./log.ts"
import { move, record, type Tags, tagsOf } from "./record.ts"
import { addEvent } from "./span.ts"

const { attributes, events } = Telemetry

/** What ids the span of a stream has. */
const ids = { conversationId: attributes.conversationId, messageId: attributes.messageId } as const

type Path = Readonly<Record<string, unknown>> | undefined

export class StreamTelemetry {
  readonly span: Tracer.Span
  readonly #clock: Clock.Clock
  readonly #tags: Tags
  readonly #operation: string
  readonly #path: Path
  #open = false
  /** Events that the consumer has been given. */
  delivered = 0
  /** All events have been given. */
  over = false

  constructor(span: Tracer.Span, clock: Clock.Clock, tags: Tags, path: Path) {
    this.span = span
    this.#clock = clock
    this.#tags = tags
    this.#operation = span.name
    this.#path = path
  }

  /** A connection is about to be made. */
  connecting(): void {
    if (this.#open) return
    this.#open = true
    move("openStreams", { operation: this.#operation }, 1, this.#tags)
  }

  /** Events that this version does not know. */
  unknown(count: number): void {
    record("unknownEvents", { operation: this.#operation }, count, this.#tags)
  }

  /** A connection has ended, and the stream has not. */
  reconnecting(reason: "page" | "silence" | "failure", lasted: number): Effect.Effect<void> {
    record("reconnects", { operation: this.#operation, reason }, 1, this.#tags)
    this.#event(events.reconnect, { [attributes.reason]: reason })
    return debug("Event stream reconnects", () => ({ ...this.#place, reason, lasted: `${lasted}ms` }))
  }

  /** The state of the run is unknown to the stream. */
  get looking(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#event(events.look)
      return debug("Event stream reads the conversation", () => this.#place)
    })
  }

  /** `phase`: that of the stream when it was closed. A failure of its consumer does not count. */
  end(exit: Exit.Exit<unknown, unknown>, phase: Phase, connections: number): void {
    if (this.#open) move("openStreams", { operation: this.#operation }, -1, this.#tags)
    this.span.attribute(attributes.streamConnections, connections)
    this.span.attribute(attributes.streamEvents, this.delivered)
    const own = phase === "ended" ? Exit.void : phase === "failed" ? exit : Exit.interrupt(FiberId.none)
    this.span.end(this.#clock.unsafeCurrentTimeNanos(), own)
  }

  #event(name: string, more?: Record<string, unknown>): void {
    addEvent(this.span, name, this.#clock.unsafeCurrentTimeNanos(), more)
  }

  get #place() {
    const { conversationId, messageId } = this.#path ?? {}
    return {
      operation: this.#operation,
      conversationId: typeof conversationId === "string" ? conversationId : undefined,
      messageId: typeof messageId === "string" ? messageId : undefined
    }
  }
}

export const streamTelemetry = (
  { config }: Client,
  operation: Identity,
  path: Path
): Effect.Effect<StreamTelemetry> =>
  Effect.withFiberRuntime((fiber) =>
    Effect.clockWith((clock) =>
      Effect.map(
        Effect.makeSpan(`${operation.module}.${operation.method}`, {
          kind: "client",
          captureStackTrace: false,
          attributes: {
            [attributes.workspaceId]: config.workspaceId,
            [attributes.route]: operation.route,
            ...Object.fromEntries(
              Object.entries(ids).flatMap(([name, key]) =>
                typeof path?.[name] === "string" ? [[key, path[name]] as const] : []
              )
            )
          }
        }),
        (span) => new StreamTelemetry(span, clock, tagsOf(fiber), path)
      )
    )
  )

/** Turns the bytes of a connection into new events, in order, each exactly once. */
import type * as Clock from "effect/Clock"
import type { Connection } from "./connect.ts"
import type { Cursor } from "./cursor.ts"
import { TooLarge } from "./sse.ts"

export interface Decoding<Event> {
  /** Decodes an event from the server's JSON; `undefined` if it was already delivered in another way. */
  readonly decode: (data: unknown, eventId: string | undefined) => Event | undefined
  readonly isUnknown: (event: Event) => boolean
  /**
   * - `end`: nothing follows this event
   * - `ask`: the stream may be over; the conversation decides
   * - `go`: more events follow
   */
  readonly verdict: (event: Event, data: unknown) => "end" | "ask" | "go"
}

export class EventReader<Event> {
  /** Events not yet emitted, the number of new ones, and the verdict on the last one. */
  events: Array<Event> = []
  unknown = 0
  verdict: "go" | "end" | "ask" = "go"
  /** New events of all connections. */
  fresh = 0
  /** When the connection last made progress, and when the last event arrived. */
  quietSince = 0
  silentSince = 0
  defect: unknown
  readonly #decoding: Decoding<Event>
  readonly #cursor: Cursor
  readonly #clock: Clock.Clock

  constructor(decoding: Decoding<Event>, cursor: Cursor, clock: Clock.Clock) {
    this.#decoding = decoding
    this.#cursor = cursor
    this.#clock = clock
  }

  /** Reads the available bytes of a connection. A defect is stored: this runs in the transport's callbacks. */
  read(connection: Connection): void {
    try {
      for (const piece of connection.source.take()) {
        if (this.verdict !== "go") return
        this.#parse(connection, piece)
      }
    } catch (defect) {
      this.defect = defect
    }
  }

  /** Parses all complete events, up to one after which the stream may end. */
  #parse(connection: Connection, bytes: Uint8Array): void {
    const frames = connection.parser.push(bytes)
    if (frames instanceof TooLarge) return
    // Comments and blank lines do not count as progress; parts of a long event do.
    if (frames.length === 0 && connection.parser.insideEvent) this.quietSince = this.#clock.unsafeCurrentTimeMillis()
    for (const frame of frames) {
      // Named events are the server's own; the first one of each connection is a handshake.
      if (frame.event !== undefined && frame.event !== "message") continue
      if (frame.data === "done") {
        connection.orderly = true
        continue
      }
      const envelope = parseEnvelope(frame.data)
      if (envelope === undefined) continue
      connection.seen++
      this.quietSince = this.#clock.unsafeCurrentTimeMillis()
      if (envelope.eventId !== undefined && !this.#cursor.accept(envelope.eventId)) continue
      if (isEndMarker(envelope.data)) {
        this.verdict = "ask"
        continue
      }
      connection.fresh++
      this.fresh++
      this.silentSince = this.quietSince
      const event = this.#decoding.decode(envelope.data, envelope.eventId)
      if (event === undefined) continue
      if (this.#decoding.isUnknown(event)) this.unknown++
      this.events.push(event)
      const verdict = this.#decoding.verdict(event, envelope.data)
      if (verdict === "go") continue
      this.verdict = verdict
      return
    }
  }
}

interface Envelope {
  readonly eventId: string | undefined
  readonly data: unknown
}

/**
 * `undefined` for an event without data, such as the empty object of a handshake. Text that is not JSON is passed on as
 * text.
 */
const parseEnvelope = (text: string): Envelope | undefined => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { eventId: undefined, data: text }
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return { eventId: undefined, data: json }
  const { data, eventId } = json as { readonly data?: unknown; readonly eventId?: unknown }
  if (data === undefined && eventId === undefined) {
    return Object.keys(json).length === 0 ? undefined : { eventId: undefined, data: json }
  }
  return { eventId: typeof eventId === "string" ? eventId : undefined, data }
}

const isEndMarker = (data: unknown): boolean =>
  typeof data === "object" && data !== null && "type" in data && data.type === "end-of-stream"

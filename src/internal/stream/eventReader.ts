/** From the bytes of a connection to new events, in order, each once. */
import type * as Clock from "effect/Clock"
import type { Connection } from "./connect.ts"
import type { Cursor } from "./cursor.ts"
import { TooLarge } from "./sse.ts"

export interface Decoding<Event> {
  /** An event from the JSON the server sent; `undefined` for one that has already been delivered in another way. */
  readonly decode: (data: unknown, eventId: string | undefined) => Event | undefined
  readonly isUnknown: (event: Event) => boolean
  /**
   * - `end`: nothing comes after this event
   * - `ask`: the stream may be over, the conversation has to say
   * - `go`: more will come
   */
  readonly verdict: (event: Event, data: unknown) => "end" | "ask" | "go"
}

export class EventReader<Event> {
  /** Events that were read and not handed out, how many of them are unknown, and what the last one means. */
  events: Array<Event> = []
  unknown = 0
  verdict: "go" | "end" | "ask" = "go"
  /** New events, of all connections. */
  fresh = 0
  /** Since when the connection has made no progress, and since when no event has arrived. */
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

  /** Takes what a connection has brought. A defect is kept: this runs in the transport's own callbacks. */
  read(connection: Connection): void {
    const pieces = connection.source.take()
    if (pieces.length === 0) return
    try {
      for (const piece of pieces) {
        if (this.verdict !== "go" || !this.#parse(connection, piece)) return
      }
    } catch (defect) {
      this.defect = defect
    }
  }

  /** Everything that the next bytes complete, up to an event after which nothing can be taken for granted. */
  #parse(connection: Connection, bytes: Uint8Array): boolean {
    const frames = connection.parser.push(bytes)
    if (frames instanceof TooLarge) return false
    // Comments and blank lines are no progress; the parts of a long event are.
    if (frames.length === 0 && connection.parser.insideEvent) this.quietSince = this.#clock.unsafeCurrentTimeMillis()
    for (const frame of frames) {
      // Named events are the server's own; the first one of every connection is a handshake.
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
      return false
    }
    return true
  }
}

interface Envelope {
  readonly eventId: string | undefined
  readonly data: unknown
}

/** `undefined` for what carries nothing: the empty object of a handshake. Text that is not JSON is passed on as text. */
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

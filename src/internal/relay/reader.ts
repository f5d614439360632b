/** The state that a page keeps between connections. Without Effect, since the browser client does not depend on it. */
import type { Frame } from "../stream/sse.ts"

export interface Relayed {
  readonly _tag: string
  readonly messageId?: string | undefined
  readonly actionId?: string | undefined
}

/** Deduplicates the events of all connections. */
export class Reader<A extends Relayed> {
  /** Whether the last event has been read. */
  over = false
  #new = false
  #heard = false
  #since = 0
  #fruitless = 0
  readonly #decode: (data: string) => A
  #started: string | undefined
  readonly #blocked = new Set<string>()

  /** @param id the last event that was read */
  constructor(public id: string | undefined, decode: (data: string) => A) {
    this.#decode = decode
  }

  /** Returns the new events; a resumed stream repeats its start and the open requests. */
  read(frames: ReadonlyArray<Frame>): ReadonlyArray<A> {
    const out: Array<A> = []
    if (frames.length > 0) this.#heard = true
    for (const { data, id } of frames) {
      const event = this.#decode(data)
      if (event._tag === "RelayedError" || event._tag === "Done") this.over = true
      // Its position may be before the one that this page has reached.
      const repeated = event._tag === "Started" && this.#started === event.messageId
      if (id !== undefined && !repeated) this.id = id
      if (event._tag === "Started") {
        if (repeated) continue
        this.#started = event.messageId
      } else if (event.actionId !== undefined) {
        if (this.#blocked.has(event.actionId)) continue
        this.#blocked.add(event.actionId)
      }
      out.push(event)
      if (this.over) break
    }
    if (out.length > 0) this.#new = true
    return out
  }

  /** Called when a connection begins. */
  connecting(now: number): void {
    this.#new = false
    this.#heard = false
    this.#since = now
  }

  /**
   * The number of consecutive useless connections, after one has ended. A connection is useful if it had a new event,
   * or if the server responded and kept it open for a while: an agent may work for long, and a proxy may cut idle
   * connections.
   */
  fruitless(now: number): number {
    const useful = this.#new || (this.#heard && now - this.#since >= settled)
    this.#fruitless = useful ? 0 : this.#fruitless + 1
    return this.#fruitless
  }
}

const settled = 5000

/** The pause before the next connection, in milliseconds: longer after each useless one, with jitter. */
export const pauseAfter = (fruitless: number): number =>
  Math.min(500 * 2 ** Math.max(0, fruitless - 1), 10_000) * (0.8 + 0.4 * Math.random())

/** Statuses that are worth a reconnect. */
export const isTransientStatus = (status: number): boolean => status === 408 || status === 429 || status >= 500

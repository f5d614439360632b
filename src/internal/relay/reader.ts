/** What a page remembers from one connection to the next. Without Effect: the client for pages has nothing else. */
import type { Frame } from "../stream/sse.ts"

export interface Relayed {
  readonly _tag: string
  readonly messageId?: string | undefined
  readonly actionId?: string | undefined
}

/** Takes the events of all connections, and returns each once. */
export class Reader<A extends Relayed> {
  /** The last event has been read. */
  over = false
  readonly #decode: (data: string) => A
  #started: string | undefined
  readonly #blocked = new Set<string>()

  /** @param id the last event that was read */
  constructor(public id: string | undefined, decode: (data: string) => A) {
    this.#decode = decode
  }

  /** The new events: a resumed stream repeats its start and what is still open. */
  read(frames: ReadonlyArray<Frame>): ReadonlyArray<A> {
    const out: Array<A> = []
    for (const { data, id } of frames) {
      const event = this.#decode(data)
      if (id !== undefined) this.id = id
      if (event._tag === "RelayedError" || event._tag === "Done") this.over = true
      if (event._tag === "Started") {
        if (this.#started === event.messageId) continue
        this.#started = event.messageId
      } else if (event.actionId !== undefined) {
        if (this.#blocked.has(event.actionId)) continue
        this.#blocked.add(event.actionId)
      }
      out.push(event)
      if (this.over) break
    }
    return out
  }
}

/** Statuses after which another connection may do better. */
export const isTransientStatus = (status: number): boolean => status === 408 || status === 429 || status >= 500

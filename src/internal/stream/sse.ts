/** One event of an event stream. */
export interface Frame {
  /** `undefined` for unnamed events, which carry the data. */
  readonly event: string | undefined
  readonly data: string
  /** Present only if the event has one: Dust sends none, the relay does. */
  readonly id?: string
}

/** The maximum length of one event in characters. */
export const eventLimit = 64 * 1024 * 1024

const colon = 58
const byteOrderMark = 0xfeff

/**
 * Decodes chunks that end with a whole character, as those of Dust do. A decoder per stream is only made for others: it
 * holds memory outside of the heap and decodes short texts more slowly.
 */
const whole = new TextDecoder("utf-8", { ignoreBOM: true })

/** The parser received an event larger than its limit. */
export class TooLarge {
  constructor(readonly limit: number) {}
}

/**
 * Parses `text/event-stream` chunk by chunk, as the HTML standard specifies: lines end with CR, LF or CRLF (also across
 * chunks), a leading byte order mark is skipped, comments are ignored, several `data` lines are joined, and an event
 * without a closing blank line at the end of the stream is discarded. `retry` is skipped.
 *
 * Runs in time linear in the size of an event, however small the chunks are.
 */
export class Parser {
  #decoder: TextDecoder | undefined
  /** Some text has arrived. */
  #begun = false
  readonly #limit: number
  /** The chunks of the unfinished line. */
  #parts: Array<string> = []
  #data: Array<string> = []
  #event: string | undefined = undefined
  #id: string | undefined = undefined
  #size = 0
  #lastWasCR = false
  #tooLarge = false

  /** @param limit the maximum length of one event in characters */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Returns the events that the next chunk completes, including those before an oversized one. */
  push(bytes: Uint8Array): Array<Frame> | TooLarge {
    const frames: Array<Frame> = []
    if (!this.#tooLarge) this.#read(bytes, frames)
    return this.#tooLarge && frames.length === 0 ? new TooLarge(this.#limit) : frames
  }

  /** Whether an event was too large; nothing is read after it. */
  get tooLarge(): boolean {
    return this.#tooLarge
  }

  /** Whether part of an event has arrived. Comments and blank lines do not count. */
  get insideEvent(): boolean {
    return this.#data.length > 0 || (this.#parts.length > 0 && this.#parts[0]!.charCodeAt(0) !== colon)
  }

  #decode(bytes: Uint8Array): string {
    const last = bytes[bytes.length - 1]
    if (last === undefined) return ""
    let text: string
    if (last < 128 && this.#decoder === undefined) {
      text = whole.decode(bytes)
    } else {
      this.#decoder ??= new TextDecoder("utf-8", { ignoreBOM: true })
      text = this.#decoder.decode(bytes, { stream: true })
    }
    if (this.#begun || text === "") return text
    this.#begun = true
    return text.charCodeAt(0) === byteOrderMark ? text.slice(1) : text
  }

  #read(bytes: Uint8Array, frames: Array<Frame>): void {
    const text = this.#decode(bytes)
    const length = text.length
    if (length === 0) return
    let start = 0
    if (this.#lastWasCR && text.charCodeAt(0) === 10) start = 1
    this.#lastWasCR = false
    // Searched again only after it was passed, so that text without carriage returns is not searched once per line.
    let nextLF = text.indexOf("\n", start)
    let nextCR = text.indexOf("\r", start)
    while (nextLF !== -1 || nextCR !== -1) {
      let end: number
      let next: number
      if (nextCR !== -1 && (nextLF === -1 || nextCR < nextLF)) {
        end = nextCR
        if (nextCR + 1 === length) this.#lastWasCR = true
        next = nextLF === nextCR + 1 ? nextCR + 2 : nextCR + 1
      } else {
        end = nextLF
        next = nextLF + 1
      }
      let line: string
      if (this.#parts.length === 0) {
        line = text.slice(start, end)
      } else {
        this.#parts.push(text.slice(start, end))
        line = this.#parts.join("")
        this.#parts = []
      }
      this.#size += end - start
      if (this.#size > this.#limit) {
        this.#tooLarge = true
        return
      }
      this.#line(line, frames)
      start = next
      if (nextLF !== -1 && nextLF < start) nextLF = text.indexOf("\n", start)
      if (nextCR !== -1 && nextCR < start) nextCR = text.indexOf("\r", start)
    }
    if (start < length) {
      this.#parts.push(start === 0 ? text : text.slice(start))
      this.#size += length - start
      if (this.#size > this.#limit) this.#tooLarge = true
    }
  }

  #line(line: string, frames: Array<Frame>): void {
    if (line === "") {
      if (this.#data.length > 0) {
        const data = this.#data.length === 1 ? this.#data[0]! : this.#data.join("\n")
        frames.push(
          this.#id === undefined ? { event: this.#event, data } : { event: this.#event, data, id: this.#id }
        )
        this.#data = []
      }
      this.#event = undefined
      this.#id = undefined
      this.#size = 0
      return
    }
    if (line.startsWith("data:")) {
      this.#data.push(line.charCodeAt(5) === 32 ? line.slice(6) : line.slice(5))
      return
    }
    const at = line.indexOf(":")
    const field = at === -1 ? line : line.slice(0, at)
    if (field === "event") {
      const value = at === -1 ? "" : line.slice(line.charCodeAt(at + 1) === 32 ? at + 2 : at + 1)
      this.#event = value === "" ? undefined : value
    } else if (field === "id") {
      this.#id = at === -1 ? "" : line.slice(line.charCodeAt(at + 1) === 32 ? at + 2 : at + 1)
    } else if (field === "data") {
      this.#data.push("")
    }
  }
}

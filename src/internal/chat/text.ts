import * as Chunk from "effect/Chunk"
import type * as Stream from "effect/Stream"
import type { ChatEvent } from "../../ChatEvent.ts"
import { mapChunks } from "../stream/pulled.ts"

/** What reads the same: other line ends, other forms of the same characters and white space at the end are no other text. */
const reading = (text: string): string => text.replace(/\r\n?/g, "\n").normalize("NFC").trimEnd()

/** Text that can only grow, out of text that may be replaced. */
export class Growing {
  /** What has been given out, and what it should be by now. */
  #shown = ""
  #wanted = ""
  #together = true
  /** What should be is longer than what was given out, and does not begin with it: more of it changes nothing. */
  #apart = false

  push(event: ChatEvent, out: Array<string>): void {
    switch (event._tag) {
      case "TextDelta":
        this.#wanted += event.text
        if (this.#together) {
          this.#shown = this.#wanted
          out.push(event.text)
        } else if (!this.#apart) {
          this.#show(out)
        }
        return
      case "Reset":
        this.#wanted = event.text
        this.#together = false
        this.#apart = false
        return
      case "Done":
        this.#wanted = event.reply.text
        if (!this.#show(out) && !reading(this.#shown).endsWith(reading(this.#wanted))) {
          out.push(`\n\n${this.#wanted}`)
          this.#shown = this.#wanted
        }
    }
  }

  /** Gives out what is missing, if that leads from what was given out to what should be. */
  #show(out: Array<string>): boolean {
    if (this.#wanted.startsWith(this.#shown)) {
      if (this.#wanted.length > this.#shown.length) out.push(this.#wanted.slice(this.#shown.length))
      this.#shown = this.#wanted
      this.#together = true
      return true
    }
    this.#apart = this.#wanted.length >= this.#shown.length
    return false
  }
}

export const textOf = <E, R>(events: Stream.Stream<ChatEvent, E, R>): Stream.Stream<string, E, R> =>
  mapChunks(events, () => {
    const text = new Growing()
    return (chunk) => {
      const out: Array<string> = []
      for (const event of chunk) text.push(event, out)
      return Chunk.unsafeFromArray(out)
    }
  })

import * as Chunk from "effect/Chunk"
import type * as Stream from "effect/Stream"
import type { ChatEvent } from "../../ChatEvent.ts"
import { mapChunks } from "../stream/pulled.ts"

/** Normalizes a text for comparison: differences in line ends, Unicode form and trailing white space do not count. */
const reading = (text: string): string => text.replace(/\r\n?/g, "\n").normalize("NFC").trimEnd()

/** Append-only text, derived from text that may be replaced. */
export class Growing {
  /** The emitted text, and the target text. */
  #shown = ""
  #wanted = ""
  #together = true
  /** The target is longer than the emitted text but does not start with it: appending cannot help. */
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

  /** Emits the missing suffix if the emitted text is a prefix of the target. */
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

interface Position {
  readonly id: string
  readonly ms: number
  readonly counter: number
}

const parse = (id: string): Position | undefined => {
  const dash = id.indexOf("-")
  if (dash <= 0) return undefined
  const ms = numberIn(id, 0, dash)
  const counter = numberIn(id, dash + 1, id.length)
  return Number.isFinite(ms) && Number.isFinite(counter) ? { id, ms, counter } : undefined
}

/** `Number(text.slice(start, end))`, without the slice if the text is a few digits. */
const numberIn = (text: string, start: number, end: number): number => {
  let number = 0
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9 || end - start > 15) return Number(text.slice(start, end))
    number = number * 10 + digit
  }
  return number
}

const after = (a: Position, b: Position): boolean => a.ms > b.ms || (a.ms === b.ms && a.counter > b.counter)

/** The later of two ids; the second if they cannot be compared. */
export const later = (a: string | undefined, b: string | undefined): string | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  const one = parse(a)
  const other = parse(b)
  return one !== undefined && other !== undefined && after(one, other) ? a : b
}

/** Ids are evicted in batches of at least this size, but never those of a millisecond that may still continue. */
const generation = 256
const most = 4096

/**
 * Tracks the position of a stream and deduplicates its events in bounded memory.
 *
 * Ids are `<milliseconds>-<counter>` and compared as that pair. The server sorts them as text, so the events of one
 * millisecond arrive out of order, and again after a reconnection.
 */
export class Cursor {
  #last: Position | undefined
  /** The newest position in a millisecond before the last one. */
  #before: Position | undefined
  #opaque: string | undefined
  #latest: Position | undefined
  #recent = new Set<string>()
  #older = new Set<string>()
  #recentMax: Position | undefined
  #olderMax: Position | undefined
  /** Everything up to here has been delivered and evicted. */
  #horizon: Position | undefined
  readonly #start: string | undefined

  constructor(start: string | undefined) {
    this.#start = start
  }

  /** Records an event; `false` if it is a duplicate. */
  accept(id: string): boolean {
    const position = parse(id)
    const seen = position ?? { id, ms: NaN, counter: NaN }
    if (this.#latest === undefined || !after(this.#latest, seen)) this.#latest = seen
    // An event newer than all others cannot be a duplicate.
    const newest = position !== undefined && (this.#last === undefined || after(position, this.#last))
    if (!newest && (this.#recent.has(id) || this.#older.has(id))) return false
    const size = this.#recent.size
    if (
      size >= most ||
      (size >= generation && (position === undefined || this.#last === undefined || position.ms > this.#last.ms))
    ) {
      if (this.#olderMax !== undefined) this.#horizon = this.#olderMax
      this.#older = this.#recent
      this.#olderMax = this.#recentMax
      this.#recent = new Set()
      this.#recentMax = undefined
    }
    if (position === undefined) {
      this.#opaque = id
    } else {
      if (this.#horizon !== undefined && !after(position, this.#horizon)) return false
      this.#opaque = undefined
      const last = this.#last
      if (last === undefined || after(position, last)) {
        if (last !== undefined && position.ms > last.ms) this.#before = last
        this.#last = position
      } else if (position.ms < last.ms && (this.#before === undefined || after(position, this.#before))) {
        this.#before = position
      }
      if (this.#recentMax === undefined || after(position, this.#recentMax)) this.#recentMax = position
    }
    this.#recent.add(id)
    return true
  }

  /** Starts a connection after one with new events: from here on, `latest` refers to it and those after it. */
  connected(): void {
    this.#latest = undefined
  }

  /** The latest id, new or known, since {@link connected}. */
  get latest(): string | undefined {
    return this.#latest?.id
  }

  /** The id to continue from. */
  get position(): string | undefined {
    return this.#opaque ?? this.#last?.id ?? this.#start
  }

  /**
   * The id to continue from after a broken connection: one millisecond earlier, because earlier ids of the last
   * millisecond may not have arrived. Those that did are deduplicated.
   */
  get safePosition(): string | undefined {
    return this.#opaque ?? this.#before?.id ?? this.#start
  }
}

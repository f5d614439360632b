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

/** `Number(text.slice(start, end))`, without the slice for what consists of a few digits. */
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

/** The later one of two ids; the second, where they cannot be compared. */
export const later = (a: string | undefined, b: string | undefined): string | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  const one = parse(a)
  const other = parse(b)
  return one !== undefined && other !== undefined && after(one, other) ? a : b
}

/** Ids are forgotten in lots of this size or more, but never those of a millisecond that may not be over. */
const generation = 256
const most = 4096

/**
 * Where a stream is, and what it has already delivered, in bounded memory.
 *
 * Ids are `<milliseconds>-<counter>` and compared as that pair: the server sorts them as text, so that within one
 * millisecond they arrive out of order, and again after a reconnection.
 */
export class Cursor {
  #last: Position | undefined
  /** The newest position of an earlier millisecond than the last one. */
  #before: Position | undefined
  #opaque: string | undefined
  #latest: Position | undefined
  #recent = new Set<string>()
  #older = new Set<string>()
  #recentMax: Position | undefined
  #olderMax: Position | undefined
  /** Everything up to here has been delivered and forgotten. */
  #horizon: Position | undefined
  readonly #start: string | undefined

  constructor(start: string | undefined) {
    this.#start = start
  }

  /** Takes note of an event; `false` when it was there before. */
  accept(id: string): boolean {
    const position = parse(id)
    const seen = position ?? { id, ms: NaN, counter: NaN }
    if (this.#latest === undefined || !after(this.#latest, seen)) this.#latest = seen
    // What is newer than everything so far cannot have been there.
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
      if (this.#last === undefined || position.ms > this.#last.ms) {
        this.#before = this.#last
        this.#last = position
      } else if (position.ms === this.#last.ms) {
        if (position.counter > this.#last.counter) this.#last = position
      } else if (this.#before === undefined || after(position, this.#before)) {
        this.#before = position
      }
      if (this.#recentMax === undefined || after(position, this.#recentMax)) this.#recentMax = position
    }
    this.#recent.add(id)
    return true
  }

  /** Begins a connection: from here on `latest` is about this one. */
  connected(): void {
    this.#latest = undefined
  }

  /** The latest of the ids that the current connection has brought, new or known. */
  get latest(): string | undefined {
    return this.#latest?.id
  }

  /** The id to continue from. */
  get position(): string | undefined {
    return this.#opaque ?? this.#last?.id ?? this.#start
  }

  /**
   * The id to continue from after a connection that broke off: one millisecond back, because of those that belong to the
   * last one an earlier might not have arrived. What did arrive is recognised.
   */
  get safePosition(): string | undefined {
    return this.#opaque ?? (this.#last === undefined ? this.#start : this.#before?.id ?? this.#start)
  }
}

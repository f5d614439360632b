/** Letters without a decomposition in Unicode. */
const latin: Readonly<Record<string, string>> = {
  "\u00df": "ss",
  "\u00e6": "ae",
  "\u0153": "oe",
  "\u00f8": "o",
  "\u0142": "l",
  "\u0111": "d",
  "\u00f0": "d",
  "\u00fe": "th",
  "\u0131": "i"
}

/**
 * Converts a name to a column name of Dust: `a`-`z`, `0`-`9` and `_`. Splits camelCase words and drops accents; a name
 * in a script without Latin letters becomes empty.
 */
export const columnName = (name: string): string =>
  name.normalize("NFKD").replace(/\p{M}/gu, "")
    .replace(/([\p{Ll}0-9])(\p{Lu})/gu, "$1_$2").replace(/(\p{Lu}+)(\p{Lu}\p{Ll})/gu, "$1_$2")
    .toLowerCase().replace(/[^a-z0-9_]/g, (letter) => latin[letter] ?? " ")
    .replace(/ +/g, "_").replace(/^_+|_+$/g, "")

/** The columns of one load: each source name maps to the same column in every row, and no two names share one. */
export class ColumnNames {
  readonly #columns = new Map<string, string>()
  readonly #taken = new Set<string>()

  /** The column for a source name. */
  of(name: string): string {
    const known = this.#columns.get(name)
    if (known !== undefined) return known
    const column = this.add(/^[a-z0-9_]+$/.test(name) ? name : columnName(name))
    this.#columns.set(name, column)
    return column
  }

  /** A free name: the given one, otherwise with a number. */
  add(wanted: string): string {
    const stem = wanted === "" ? `column_${this.#taken.size + 1}` : wanted
    let column = stem
    for (let n = 2; this.#taken.has(column); n++) column = `${stem}_${n}`
    this.#taken.add(column)
    return column
  }

  /** The column for each source name. */
  get entries(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#columns)
  }
}

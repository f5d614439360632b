/** Maps recorded ids and URLs to those of Local Dust. */
import type { Answer } from "./answer.ts"

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isIdentity = (field: string): boolean =>
  /(?:^|[a-z_])(?:id|sId|Id|Ids|_id|_ids|ids|cursor|lastValue|sessionId)$/.test(field)

const isAddress = (value: string): boolean => /^https?:\/\//.test(value) && URL.canParse(value)

export class Identities {
  readonly #ids = new Map<string, string>()
  readonly #addresses = new Map<string, string>()

  /** The id at Local Dust. */
  of(recorded: string): string {
    return this.#ids.get(recorded) ?? recorded
  }

  /** The URL at Local Dust for a recorded URL, by its path. */
  addressOf(path: string): string | undefined {
    return this.#addresses.get(path)
  }

  /** The same JSON with the ids of Local Dust. */
  in(value: unknown): unknown {
    if (typeof value === "string") return this.of(value)
    if (Array.isArray(value)) return value.map((one) => this.in(one))
    return isRecord(value)
      ? Object.fromEntries(Object.entries(value).map(([key, one]) => [this.of(key), this.in(one)]))
      : value
  }

  learn(recorded: Answer, local: Answer): void {
    const [one, two] = [recorded.body, local.body]
    if (one?._tag === "json" && two?._tag === "json") this.#pair(one.value, two.value, "")
    if (one?._tag === "events" && two?._tag === "events") {
      for (const [kind, events] of one.kinds) this.#pair(events, two.kinds.get(kind), "")
    }
    if (recorded.location !== undefined && local.location !== undefined) {
      this.#address(recorded.location, local.location)
    }
  }

  #address(recorded: string, local: string): void {
    if (isAddress(recorded) && isAddress(local)) this.#addresses.set(new URL(recorded).pathname, local)
  }

  #pair(recorded: unknown, local: unknown, field: string): void {
    if (typeof recorded === "string" && typeof local === "string") {
      if (isAddress(recorded)) this.#address(recorded, local)
      else if (recorded !== local && isIdentity(field) && !this.#ids.has(recorded)) this.#ids.set(recorded, local)
    } else if (Array.isArray(recorded) && Array.isArray(local)) {
      for (const [index, one] of recorded.entries()) this.#pair(one, local[index], field)
    } else if (isRecord(recorded) && isRecord(local)) {
      for (const [key, one] of Object.entries(recorded)) this.#pair(one, local[key], key)
    }
  }
}

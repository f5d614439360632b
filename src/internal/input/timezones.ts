import * as Either from "effect/Either"
import { isAcceptedTimezone } from "./timezoneNames.ts"

/** Zones that are newer than the server's list, or spelled as their country now wishes: an accepted one with the same time. */
const aliases: Readonly<Record<string, string>> = {
  "Europe/Kyiv": "Europe/Kiev",
  "America/Nuuk": "America/Godthab",
  "America/Ciudad_Juarez": "America/Denver",
  "America/Coyhaique": "America/Punta_Arenas",
  "Asia/Qostanay": "Asia/Almaty",
  "Pacific/Kanton": "Pacific/Enderbury"
}

const offset = /^(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?$/i

/** The name of a zone in the spelling that this runtime considers canonical. */
const canonical = (name: string): string | undefined => {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone
  } catch {
    return undefined
  }
}

const expected = "an IANA timezone that Dust knows, such as Europe/Paris or UTC"

/** The name that the server accepts for a time zone, if it has one. */
export const accepted = (name: unknown): Either.Either<string, string> => {
  if (typeof name !== "string") return Either.left(expected)
  if (isAcceptedTimezone(name)) return Either.right(name)
  const alias = aliases[name]
  if (alias !== undefined && isAcceptedTimezone(alias)) return Either.right(alias)
  const parts = offset.exec(name.trim())
  if (parts !== null) {
    const hours = Number(parts[2])
    const minutes = Number(parts[3] ?? "0")
    // Etc/GMT counts westwards.
    const zone = hours === 0 ? "Etc/UTC" : `Etc/GMT${parts[1] === "+" ? "-" : "+"}${hours}`
    if (minutes === 0 && isAcceptedTimezone(zone)) return Either.right(zone)
  } else {
    const other = canonical(name)
    if (other !== undefined && isAcceptedTimezone(other)) return Either.right(other)
    const otherAlias = other === undefined ? undefined : aliases[other]
    if (otherAlias !== undefined && isAcceptedTimezone(otherAlias)) return Either.right(otherAlias)
  }
  return Either.left(expected)
}

let zone: string | undefined

/** The zone of this machine, or UTC where the server knows no name for it. Found out once: asking takes a while. */
export const system = (): string => {
  zone ??= Either.getOrElse(accepted(Intl.DateTimeFormat().resolvedOptions().timeZone), () => "UTC")
  return zone
}

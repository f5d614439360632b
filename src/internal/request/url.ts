import * as Either from "effect/Either"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity, Query } from "../api/operation.ts"
import { badInput } from "./errors.ts"

const placeholder = /\{([A-Za-z]+)\}/g

// A lone surrogate has no UTF-8 form: encodeURIComponent throws on it.
const isWellFormed = (text: string): boolean =>
  !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)

/** One path segment: encoded so that it cannot end the segment, climb out of it, or start a query. */
export const segment = (
  identity: Identity,
  field: string,
  value: unknown
): Either.Either<string, DustBadRequestError> => {
  if (typeof value !== "string") return Either.left(badInput(identity, field, "a string", typeof value))
  if (value.trim() === "") return Either.left(badInput(identity, field, "a non-empty id", "a blank one"))
  if (value === "." || value === "..") return Either.left(badInput(identity, field, "an id other than . and .."))
  if (!isWellFormed(value)) return Either.left(badInput(identity, field, "well-formed Unicode"))
  return Either.right(encodeURIComponent(value))
}

/** A path value of several segments (`rel` of conversation files): every one is checked, the slashes stay. */
export const segments = (
  identity: Identity,
  field: string,
  value: string
): Either.Either<string, DustBadRequestError> =>
  Either.mapBoth(Either.all(value.split("/").map((part) => segment(identity, field, part))), {
    onLeft: () => badInput(identity, field, "names with slashes between them, none of them blank, . or .."),
    onRight: (parts) => parts.join("/")
  })

export const fillRoute = (
  identity: Identity,
  workspaceId: string,
  path: Readonly<Record<string, string>>
): Either.Either<string, DustBadRequestError> => {
  let failure: DustBadRequestError | undefined
  const filled = identity.route.replace(placeholder, (_, name: string) => {
    if (name === "workspaceId") return encodeURIComponent(workspaceId)
    const value = path[name]
    const encoded = name === "rel" && typeof value === "string"
      ? segments(identity, name, value)
      : segment(identity, name, value)
    if (Either.isRight(encoded)) return encoded.right
    failure ??= encoded.left
    return ""
  })
  return failure === undefined ? Either.right(filled) : Either.left(failure)
}

export const queryString = (query: Query | undefined): string => {
  if (query === undefined) return ""
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null) continue
    if (typeof value === "object") {
      for (const one of value) params.append(name, one)
    } else {
      params.append(name, String(value))
    }
  }
  const text = params.toString()
  return text === "" ? "" : `?${text}`
}

import * as Either from "effect/Either"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity, Query } from "../api/operation.ts"
import { badInput } from "./errors.ts"

const placeholder = /\{([A-Za-z]+)\}/

/** Needs no encoding: true of nearly every id. */
const unreserved = /^[\w-]+$/

// A lone surrogate has no UTF-8 form: encodeURIComponent throws on it.
const isWellFormed = (text: string): boolean =>
  !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)

/** Encodes one path segment, so that it cannot end the segment, leave it, or start a query. */
export const segment = (
  identity: Identity,
  field: string,
  value: unknown
): Either.Either<string, DustBadRequestError> => {
  if (typeof value !== "string") return Either.left(badInput(identity, field, "a string", typeof value))
  if (unreserved.test(value)) return Either.right(value)
  if (value.trim() === "") return Either.left(badInput(identity, field, "a non-blank id"))
  if (value === "." || value === "..") {
    return Either.left(badInput(identity, field, "an id other than \".\" and \"..\""))
  }
  if (!isWellFormed(value)) return Either.left(badInput(identity, field, "well-formed Unicode"))
  return Either.right(encodeURIComponent(value))
}

/**
 * Encodes a path value of several segments (`rel` of conversation files): each one is checked, the slashes are kept.
 */
export const segments = (
  identity: Identity,
  field: string,
  value: string
): Either.Either<string, DustBadRequestError> =>
  Either.mapBoth(Either.all(value.split("/").map((part) => segment(identity, field, part))), {
    onLeft: () => badInput(identity, field, "a relative path without blank, \".\" or \"..\" segments"),
    onRight: (parts) => parts.join("/")
  })

/**
 * Templates split at their placeholders: text at even positions, names at odd ones. A program declares a fixed number
 * of them.
 */
const cut = new Map<string, ReadonlyArray<string>>()

const partsOf = (route: string): ReadonlyArray<string> => {
  const known = cut.get(route)
  if (known !== undefined) return known
  const parts = route.split(placeholder)
  cut.set(route, parts)
  return parts
}

export const fillRoute = (
  identity: Identity,
  workspaceId: string,
  path: Readonly<Record<string, string>>
): Either.Either<string, DustBadRequestError> => {
  const parts = partsOf(identity.route)
  let filled = parts[0]!
  for (let i = 1; i < parts.length; i += 2) {
    const name = parts[i]!
    const value = path[name]
    if (name === "workspaceId") {
      filled += encodeURIComponent(workspaceId)
    } else {
      const encoded = name === "rel" && typeof value === "string"
        ? segments(identity, name, value)
        : segment(identity, name, value)
      if (Either.isLeft(encoded)) return encoded
      filled += encoded.right
    }
    filled += parts[i + 1]!
  }
  return Either.right(filled)
}

export const queryString = (query: Query | undefined): string => {
  if (query === undefined) return ""
  let params: URLSearchParams | undefined
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null) continue
    params ??= new URLSearchParams()
    if (typeof value === "object") {
      for (const one of value) params.append(name, one)
    } else {
      params.append(name, String(value))
    }
  }
  const text = params?.toString() ?? ""
  return text === "" ? "" : `?${text}`
}

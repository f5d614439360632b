import * as Either from "effect/Either"
import type { DocumentInput, Section } from "../../DataSource.ts"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import { operations, UpsertBody, type WireSection } from "../api/dataSources.ts"
import { epochMillis } from "../input/dates.ts"
import { encodeBody } from "../input/encode.ts"
import { badInput } from "../request/errors.ts"
import { segment } from "../request/url.ts"
import { hash53 } from "../util/hash.ts"

const identity = operations.upsertDocument.full

type Checked<A> = Either.Either<A, DustBadRequestError>

const maxDepth = 256

const wireSection = (section: Section, depth = 0): Checked<WireSection> =>
  depth > maxDepth
    ? Either.left(badInput(identity, "section", `nested at most ${maxDepth} levels deep`))
    : Either.map(
      Either.all((section.sections ?? []).map((inner) => wireSection(inner, depth + 1))),
      (sections) => ({ prefix: section.prefix ?? null, content: section.content ?? null, sections })
    )

/** The body of an upsert, without the fields that only one of the modes sends. */
export const documentBody = (input: DocumentInput) =>
  Either.gen(function*() {
    const timestamp = yield* epochMillis(identity, "timestamp", input.timestamp)
    const text = input.text ?? undefined
    if ((text === undefined) === (input.section === undefined)) {
      return yield* Either.left(badInput(identity, "text", "set, unless section is set instead"))
    }
    return {
      text,
      section: input.section === undefined ? undefined : yield* wireSection(input.section),
      title: input.title ?? undefined,
      mimeType: input.mimeType ?? undefined,
      sourceUrl: input.sourceUrl ?? undefined,
      tags: input.tags ?? undefined,
      timestamp
    }
  })

/** Runs every check that needs no request, so that an invalid document does not count against the rate limit. */
export const checkedDocument = (input: DocumentInput): Checked<unknown> =>
  Either.flatMap(
    segment(identity, "documentId", input.documentId),
    () => Either.flatMap(documentBody(input), encodeBody(identity, UpsertBody))
  )

const fingerprintPrefix = "fingerprint:"

export const isFingerprint = (tag: string): boolean => tag.startsWith(fingerprintPrefix)

const normalText = (text: string): string => text.replace(/\r\n?/g, "\n").normalize("NFC")

const normalUrl = (url: string): string => URL.canParse(url) ? new URL(url).href : url

/** Normalizes differences that Dust ignores: the order of tags, line ends, Unicode form, … */
const canonical = (documentId: string, body: Either.Either.Right<ReturnType<typeof documentBody>>): string => {
  const title = body.title === undefined ? undefined : normalText(body.title).trim()
  const impliedTitle = title === undefined || title === "" ? documentId : title
  return JSON.stringify({
    ...body,
    text: body.text === undefined ? undefined : normalText(body.text),
    title: title === "" ? undefined : title,
    sourceUrl: body.sourceUrl === undefined ? undefined : normalUrl(body.sourceUrl),
    // Dust adds a tag with the title, or otherwise the id, to the given tags.
    tags: [...new Set(body.tags?.map(normalText))].filter((tag) => tag !== `title:${impliedTitle}`).sort()
  })
}

/** Replaces a fingerprint left over from an earlier read by that of the current content. */
export const withFingerprint = (input: DocumentInput): Checked<DocumentInput> => {
  const own = input.tags?.filter((tag) => !isFingerprint(tag))
  return Either.map(documentBody({ ...input, tags: own }), (body) => ({
    ...input,
    tags: [...(own ?? []), `${fingerprintPrefix}${hash53(canonical(input.documentId, body))}`]
  }))
}

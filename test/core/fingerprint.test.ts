import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import type { DocumentInput } from "effect-dust/DataSource"
import { checkedDocument, withFingerprint } from "../../src/internal/data/document.ts"
import { plain, refusedBy } from "../support/jobs.ts"

describe("the fingerprint of a document", () => {
  const of = (input: DocumentInput) =>
    Either.getOrThrow(withFingerprint(input)).tags?.filter((tag) => tag.startsWith("fingerprint:"))
  const base = {
    documentId: "a",
    text: "\u00e9\nx",
    title: "T",
    tags: ["u", "t"],
    sourceUrl: "https://example.com/"
  }

  it("stays the same from version to version: another one would send every document again", () => {
    assert.deepStrictEqual(of(base), ["fingerprint:0ecdb87610ef76"])
  })

  const same: ReadonlyArray<readonly [string, Partial<typeof base>]> = [
    ["line ends of CRLF", { text: "\u00e9\r\nx" }],
    ["line ends of CR", { text: "\u00e9\rx" }],
    ["another Unicode form", { text: "e\u0301\nx" }],
    ["spaces around the title", { title: " T " }],
    ["another order of the tags, one of them twice", { tags: ["t", "u", "t"] }],
    ["the tag that Dust adds for the title", { tags: ["u", "t", "title:T"] }],
    ["an earlier fingerprint", { tags: ["u", "t", "fingerprint:0"] }],
    ["another spelling of the address", { sourceUrl: "HTTPS://example.com" }]
  ]
  it.each(same)("is not changed by %s", (_, change) => {
    assert.deepStrictEqual(of({ ...base, ...change }), of(base))
  })

  it("of a document without a title ignores a blank one, and the tag that Dust adds for the id", () => {
    const untitled = of({ documentId: "a", text: "x" })
    assert.deepStrictEqual(of({ documentId: "a", text: "x", title: " ", tags: ["title:a"] }), untitled)
    assert.notDeepEqual(of({ documentId: "a", text: "x", tags: ["title:b"] }), untitled)
  })

  const others: ReadonlyArray<readonly [string, DocumentInput]> = [
    ["its text", { ...base, text: "y" }],
    ["its title", { ...base, title: "t" }],
    ["its type", { ...base, mimeType: "text/plain" }],
    ["its address", { ...base, sourceUrl: "https://example.com/b" }],
    ["an address that is none", { ...base, sourceUrl: "no address" }],
    ["another one that is none", { ...base, sourceUrl: "none" }],
    ["a tag", { ...base, tags: ["u", "t", "v"] }],
    ["its time", { ...base, timestamp: 1_750_000_000_000 }],
    ["sections", { documentId: "a", section: { content: "x" } }],
    ["the content of a section", { documentId: "a", section: { content: "y" } }],
    ["the prefix of a section", { documentId: "a", section: { prefix: "x" } }]
  ]
  it("is changed by everything else, but not by the id", () => {
    const fingerprints = [base, ...others.map(([, input]) => input)].flatMap(of)
    assert.lengthOf(new Set(fingerprints), others.length + 1)
    assert.deepStrictEqual(of({ ...base, documentId: "b" }), of(base))
  })

  it("comes last among the tags, in place of earlier ones, and changes nothing else", () => {
    const [tag] = of({ documentId: "a", text: "x" }) ?? []
    assert.deepStrictEqual(Either.getOrThrow(withFingerprint({ documentId: "a", text: "x" })), {
      documentId: "a",
      text: "x",
      tags: [tag ?? ""]
    })
    const tags = ["fingerprint:1", "t", "fingerprint:2", "s"]
    const { tags: given, ...rest } = Either.getOrThrow(withFingerprint({ ...base, tags }))
    const [last] = of({ ...base, tags: ["s", "t"] }) ?? []
    const { tags: _, ...others } = base
    assert.deepStrictEqual(rest, others)
    assert.deepStrictEqual(given, ["t", "s", last ?? ""])
  })
})

describe("a document", () => {
  const refused = refusedBy("DataSources", "upsertDocument", {
    method: "POST",
    route: "/api/v1/w/{workspaceId}/spaces/{spaceId}/data_sources/{dataSourceId}/documents/{documentId}"
  })
  const base = { documentId: "a", text: "x" }
  const time = "a valid Date, DateTime or number of epoch milliseconds"

  const rows: ReadonlyArray<readonly [object, string, string, string?]> = [
    [{ documentId: "" }, "documentId", "a non-blank id"],
    [{ title: "t".repeat(513) }, "title", "at most 512 characters long"],
    [{ timestamp: Number.NaN }, "timestamp", time],
    [{ sourceUrl: "x" }, "sourceUrl", "an http or https URL without // in its path"]
  ]
  for (const [more, field, expected, got] of rows) {
    it(`is refused before any request if ${field} is invalid`, () => {
      const result = checkedDocument({ ...base, ...more })
      assert.deepStrictEqual(Either.isLeft(result) && plain(result.left), refused(field, expected, got))
    })
  }

  it("with a title of 512 characters is valid", () => {
    assert.isTrue(Either.isRight(checkedDocument({ ...base, title: "t".repeat(512) })))
  })
})

/** What is removed from the text of an error. */
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { contentIn, contentOf, withoutContent, withoutSecrets } from "../../src/internal/request/scrub.ts"

describe("a secret in the text of an error", () => {
  const secret = "a\"b/c\\d\té+~"
  const rows: ReadonlyArray<readonly [string, string]> = [
    [secret, "<redacted>"],
    [`x ${secret} y ${secret}`, "x <redacted> y <redacted>"],
    [JSON.stringify(secret), "\"<redacted>\""],
    [JSON.stringify(secret).replaceAll("/", "\\/"), "\"<redacted>\""],
    ["a\\u0022b\\u002fc\\u005Cd\\u0009\\u00e9\\u002B~", "<redacted>"],
    ["a\\u0022b\\u002Fc\\u005cd\\u0009\\u00E9\\u002b~", "<redacted>"],
    [encodeURIComponent(secret), "<redacted>"],
    [`${encodeURIComponent(secret)} ${encodeURIComponent(secret)}`, "<redacted> <redacted>"],
    [secret.slice(1), secret.slice(1)]
  ]
  it.each(rows)("%j is %j", (text, expected) => {
    assert.strictEqual(withoutSecrets(text, [undefined, Redacted.make(secret)]), expected)
  })

  it("is every one of them that has six characters, or more", () => {
    const secrets = ["abcdef", "12345", "x.y(z)"].map((text) => Redacted.make(text))
    assert.strictEqual(withoutSecrets("abcdef 12345 x.y(z) xzy(z)", secrets), "<redacted> 12345 <redacted> xzy(z)")
    assert.strictEqual(withoutSecrets("\\abcdef \\u0061bcdef", secrets), "\\<redacted> <redacted>")
    assert.strictEqual(withoutSecrets("abcdef", []), "abcdef")
  })
})

describe("what a person wrote, in the text of an error", () => {
  it("is a text of twelve characters, or more, in some members of a body", () => {
    const long = (name: string) => `a long text of ${name}`
    const body = {
      content: long("content"),
      text: ` ${long("text")} `,
      query: "twelve chars",
      message: { content: "eleven char", feedbackContent: long("feedback") },
      items: [{ customResponse: long("response") }, [{ answer: long("answer") }], null, 7],
      message2: long("message"),
      answer: [long("one"), long("two")],
      title: long("title")
    }
    assert.deepStrictEqual(contentOf(JSON.stringify({ ...body, nested: { message: long("inner") } })), [
      long("content"),
      long("text"),
      "twelve chars",
      long("feedback"),
      long("response"),
      long("answer"),
      long("one"),
      long("two"),
      long("inner")
    ])
    assert.deepStrictEqual(contentOf(JSON.stringify(long("all"))), [])
    assert.deepStrictEqual(contentOf("null"), [])
    assert.deepStrictEqual(contentOf("{\"content\":"), [])
    assert.deepStrictEqual([contentIn(" eleven char "), contentIn(" twelve chars ")], [[], ["twelve chars"]])
  })

  const long = "a \"private\" matter that\nnobody else should read"
  const once = JSON.stringify(long).slice(1, -1)
  const twice = JSON.stringify(once).slice(1, -1)
  const rows: ReadonlyArray<readonly [string, string]> = [
    [long, "<redacted>"],
    [`x${long}y${long}z`, "x<redacted>y<redacted>z"],
    [`x${once}y`, "x<redacted>y"],
    [`x${twice}y`, "x<redacted>y"],
    [`x${JSON.stringify(twice).slice(1, -1)}y`, `x${JSON.stringify(twice).slice(1, -1)}y`],
    [`${long.slice(0, 24)}…`, "<redacted>…"],
    [`${long.slice(0, 30)}?${long.slice(31)}`, `<redacted>?${long.slice(31)}`],
    [long.slice(0, 23), long.slice(0, 23)],
    [long.slice(1), long.slice(1)]
  ]
  it.each(rows)("%j is %j", (text, expected) => {
    assert.strictEqual(withoutContent(text, [long]), expected)
  })

  it("is every text", () => {
    assert.strictEqual(withoutContent("one and two", ["one", "two"]), "<redacted> and <redacted>")
    assert.strictEqual(withoutContent("one and two", []), "one and two")
  })
})

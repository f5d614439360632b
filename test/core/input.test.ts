/** What callers may give, as tables: what is sent of it, or what is said of it before any request. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Either, Option, ParseResult, Redacted, Schema } from "effect"
import { readFileSync } from "node:fs"
import type { Identity } from "../../src/internal/api/operation.ts"
import { epochMillis } from "../../src/internal/input/dates.ts"
import { encodeBody, issuesOf, problemOf } from "../../src/internal/input/encode.ts"
import { commaSeparated, integer, onlyTrue } from "../../src/internal/input/query.ts"
import { type SearchOptions, searchQuery } from "../../src/internal/input/searchQuery.ts"
import { isAcceptedTimezone } from "../../src/internal/input/timezoneNames.ts"
import { accepted, system } from "../../src/internal/input/timezones.ts"
import * as Checks from "../../src/internal/input/validate.ts"
import { complete } from "../support/failures.ts"

const identity: Identity = { module: "Probe", method: "read", http: "GET", route: "/x", credential: "any", errors: {} }

const invalid = (field: string, expected: string, got?: string) => ({
  _tag: "DustBadRequestError",
  module: "Probe",
  method: "read",
  request: { method: "GET", route: "/x" },
  message: `Probe.read: ${field} must be ${expected}${got === undefined ? "" : `, got ${got}`}`,
  type: "invalid_input",
  details: { field, expected },
  attempts: 0
})

/** The value, or the requirement that it does not meet. */
const either = <A, E>(result: Either.Either<A, E>): unknown => Either.merge(result)

describe("headers of a call", () => {
  const checked = (headers: Record<string, unknown>) =>
    Either.map(
      Checks.headers(headers as Record<string, string>),
      (all) => Object.entries(all).map(([name, value]) => [name, Redacted.value(value)])
    )

  it("have names in lower case and secret values", () => {
    const all = checked({ "X-A": "1", "x!#$%&'*+.^_`|~9-": "\t ~\xff", b: Redacted.make("2"), c: "" })
    assert.deepStrictEqual(either(all), [["x-a", "1"], ["x!#$%&'*+.^_`|~9-", "\t ~\xff"], ["b", "2"], ["c", ""]])
    assert.deepStrictEqual(either(checked({})), [])
  })

  const text = "Latin-1 text without line breaks; encode anything else first"
  const wiped = Redacted.make("x")
  Redacted.unsafeWipe(wiped)
  const rows: ReadonlyArray<readonly [string, unknown, string]> = [
    ["", "1", "a valid header name"],
    ["a b", "1", "a valid header name"],
    ["a:", "1", "a valid header name"],
    ["Authorization", "1", "omitted: the SDK sets it from apiKey or accessToken"],
    ["a", "b\nc", text],
    ["a", "\x7f", text],
    ["a", "\u0100", text],
    ["a", 7, text],
    ["a", Redacted.make("b\r"), text],
    ["a", Redacted.make(7), text],
    ["a", wiped, text]
  ]
  it.each(rows)("named %j with the value %j must be %s", (name, value, expected) => {
    assert.deepStrictEqual(either(checked({ ok: "1", [name]: value })), { field: `headers.${name}`, expected })
  })
})

describe("a duration", () => {
  it("is longer than zero", () => {
    const checked = (value: unknown) =>
      either(Either.map(Checks.duration("t", value as Duration.DurationInput), Duration.toMillis))
    const wrong = { field: "t", expected: "a duration longer than zero, such as \"30 seconds\"" }
    assert.deepStrictEqual(["1 second", 1, Duration.minutes(2)].map(checked), [1_000, 1, 120_000])
    assert.deepStrictEqual(
      [0, -1, "0 seconds", "soon", undefined, null].map(checked),
      Array.from({ length: 6 }, () => wrong)
    )
    assert.deepStrictEqual(checked(Duration.infinity), Infinity)
  })
})

describe("a credential", () => {
  const secret = (text: unknown) => Redacted.make(text) as Redacted.Redacted<string>
  const wiped = secret("sk-x")
  Redacted.unsafeWipe(wiped)
  const token = Effect.succeed(secret("t"))
  const charset = "a credential of letters, digits and - . _ ~ + / without quotes or spaces"
  const unwiped = "a Redacted value (`Redacted.make`) that has not been wiped"
  const key = "an API key (sk-…), got something else; pass a user's access token as TOKEN"
  const longest = "a".repeat(8_189)

  type Given = Parameters<typeof Checks.credential<typeof token>>[0]
  const rows: ReadonlyArray<readonly [string, Given, unknown]> = [
    ["an API key", { apiKey: secret(" sk-aZ9._~+/-x== ") }, { _tag: "ApiKey", apiKey: "sk-aZ9._~+/-x==" }],
    ["the longest API key", { apiKey: secret(`sk-${longest}`) }, { _tag: "ApiKey", apiKey: `sk-${longest}` }],
    ["an API key that is too long", { apiKey: secret(`sk-${longest}a`) }, {
      field: "apiKey",
      expected: "a credential of at most 8192 characters"
    }],
    ["an API key of another kind", { apiKey: secret("token") }, { field: "apiKey", expected: key }],
    ["an API key with spaces", { apiKey: secret("sk-a b") }, { field: "apiKey", expected: charset }],
    ["an API key in quotes", { apiKey: secret("\"sk-a\"") }, { field: "apiKey", expected: charset }],
    ["an API key of nothing but its end", { apiKey: secret("==") }, { field: "apiKey", expected: charset }],
    ["a blank API key", { apiKey: secret(" ") }, {
      field: "apiKey",
      expected: "set, got a blank value",
      missing: true
    }],
    ["a missing API key", { apiKey: secret(undefined) }, { field: "apiKey", expected: "set", missing: true }],
    ["an API key of null", { apiKey: secret(null) }, { field: "apiKey", expected: "set", missing: true }],
    ["an API key of numbers", { apiKey: secret(7) }, { field: "apiKey", expected: "text, got a value of type number" }],
    ["a wiped API key", { apiKey: wiped }, { field: "apiKey", expected: unwiped }],
    ["an API key in plain text", { apiKey: "sk-x" as never }, { field: "apiKey", expected: unwiped }],
    ["a token", { accessToken: secret("a.b.c") }, { _tag: "AccessToken", accessToken: "a.b.c" }],
    ["a token that is an Effect", { accessToken: token }, { _tag: "AccessToken", accessToken: token }],
    ["an API key in the place of a token", { accessToken: secret("sk-x") }, {
      field: "accessToken",
      expected: "a user's access token, got an API key (sk-…); pass it as KEY"
    }],
    ["a wiped token", { accessToken: wiped }, { field: "accessToken", expected: unwiped }],
    ["a blank token", { accessToken: secret("") }, {
      field: "accessToken",
      expected: "set, got a blank value",
      missing: true
    }],
    ["both", { apiKey: secret("sk-x"), accessToken: token }, {
      field: "apiKey",
      expected: "omitted, because TOKEN is set"
    }],
    ["none", {}, { field: "apiKey", expected: "set, unless TOKEN is set", missing: true }]
  ]
  const nameOf = (field: string) => ({ apiKey: "KEY", accessToken: "TOKEN" })[field] ?? field
  it.each(rows)("%s", (_, given, expected) => {
    const shown = Either.map(Checks.credential(given, nameOf), (found) =>
      Object.fromEntries(
        Object.entries(found).map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
      ))
    assert.deepStrictEqual(either(shown), expected)
  })

  it("has fields with plain names by default", () => {
    assert.propertyVal(either(Checks.credential({})), "expected", "set, unless accessToken is set")
    assert.propertyVal(
      either(Checks.workspaceId("sk-x")),
      "expected",
      "the id of a workspace, got an API key (sk-…); pass it as apiKey"
    )
  })

  it("is revealed unless it was wiped, or is none", () => {
    assert.deepStrictEqual(Checks.revealed(secret("x")), Option.some("x"))
    assert.deepStrictEqual([wiped, "x"].map((one) => Option.isNone(Checks.revealed(one))), [true, true])
  })
})

describe("the id of a workspace", () => {
  const letters = "the id of a workspace, which has only letters, digits, - and _"
  const rows: ReadonlyArray<readonly [unknown, unknown]> = [
    [" aZ9_- ", "aZ9_-"],
    [undefined, { field: "workspaceId", expected: "set", missing: true }],
    ["", { field: "workspaceId", expected: "set, got a blank value", missing: true }],
    [7, { field: "workspaceId", expected: "text, got a value of type number" }],
    ["a/b", { field: "workspaceId", expected: letters }],
    ["a b", { field: "workspaceId", expected: letters }],
    ["sk-x", { field: "workspaceId", expected: "the id of a workspace, got an API key (sk-…); pass it as KEY" }]
  ]
  it.each(rows)("%j is %j", (given, expected) => {
    assert.deepStrictEqual(either(Checks.workspaceId(given, () => "KEY")), expected)
  })
})

describe("a moment", () => {
  const what = "a valid Date, DateTime or number of epoch milliseconds"
  const seconds =
    "epoch milliseconds of at least 10000000000 (26 April 1970), because Dust reads smaller numbers as seconds"
  const rows: ReadonlyArray<readonly [unknown, unknown]> = [
    [undefined, undefined],
    [1e10, 1e10],
    [1e10 + 0.9, 1e10],
    [8.64e15, 8.64e15],
    [new Date(1.7e12), 1.7e12],
    [DateTime.unsafeMake(1.7e12), 1.7e12],
    [1e10 - 1, invalid("since", seconds, "9999999999")],
    [-1, invalid("since", seconds, "-1")],
    [8.64e15 + 1, invalid("since", what)],
    [Number.NaN, invalid("since", what)],
    [-Infinity, invalid("since", what)],
    [new Date("x"), invalid("since", what)]
  ]
  it.each(rows)("%s is sent as %j", (given, expected) => {
    assert.deepStrictEqual(either(Either.mapLeft(epochMillis(identity, "since", given as number), complete)), expected)
  })
})

describe("members of a query", () => {
  const encoded = (schema: Schema.Schema.AnyNoContext, value: unknown): unknown =>
    Either.match(Schema.encodeUnknownEither(schema as Schema.Schema<unknown>)(value), {
      onLeft: ({ issue }) => ParseResult.ArrayFormatter.formatIssueSync(issue).map(({ message }) => message),
      onRight: (value) => value
    })

  it("a boolean: only true is sent", () => {
    const one = Schema.Struct({ a: onlyTrue })
    assert.deepStrictEqual([true, false, undefined].map((a) => encoded(one, { a })), [{ a: true }, {}, {}])
    assert.deepStrictEqual(encoded(one, {}), {})
    assert.deepStrictEqual(Schema.decodeUnknownSync(one)({ a: true }), { a: true })
    assert.deepStrictEqual(Schema.decodeUnknownSync(one)({}), {})
  })

  it("a list: is one text, of one value at least", () => {
    const list = commaSeparated(Schema.Literal("a", "b"), "one of a and b, at least")
    assert.deepStrictEqual(encoded(list, ["a"]), "a")
    assert.deepStrictEqual(encoded(list, ["b", "a"]), "b,a")
    assert.deepStrictEqual([[], ["c"], "a"].map((value) => encoded(list, value)), [
      ["one of a and b, at least"],
      ["one of a and b, at least"],
      ["one of a and b, at least"]
    ])
  })

  it("a number: is whole and within its bounds", () => {
    const within = integer(1, 3)
    assert.deepStrictEqual([1, 2, 3].map((value) => encoded(within, value)), [1, 2, 3])
    const text = ["a whole number from 1 to 3"]
    assert.deepStrictEqual([0, 4, 1.5, Number.NaN].map((value) => encoded(within, value)), [text, text, text, text])
    assert.deepStrictEqual([0, Number.MAX_SAFE_INTEGER].map((value) => encoded(integer(0), value)), [
      0,
      Number.MAX_SAFE_INTEGER
    ])
    assert.deepStrictEqual(encoded(integer(5), 4), ["a whole number, 5 or more"])
    assert.deepStrictEqual(encoded(integer(5), 2 ** 53), ["a whole number, 5 or more"])
  })
})

describe("a semantic search", () => {
  const sent = (options: SearchOptions) => Effect.merge(Effect.mapError(searchQuery(identity, options), complete))
  const nothing = {
    full_text: undefined,
    target_document_tokens: undefined,
    timestamp_gt: undefined,
    timestamp_lt: undefined,
    tags_in: undefined,
    tags_not: undefined,
    parents_in: undefined,
    parents_not: undefined
  }
  const whole = "a whole number, at least 1"
  const list = "a non-empty list; omit it for no filter"
  const rows: ReadonlyArray<readonly [SearchOptions, unknown]> = [
    [{ query: " q " }, { ...nothing, query: " q ", top_k: 10 }],
    [{ query: "q", fullText: false, topK: 1 }, { ...nothing, query: "q", top_k: 1 }],
    [
      {
        query: "q",
        topK: 3,
        fullText: true,
        targetDocumentTokens: 1,
        timestampGt: 1e12,
        timestampLt: new Date(2e12),
        tagsIn: ["a"],
        tagsNot: [],
        parentsIn: ["c", "d"],
        parentsNot: ["e"]
      },
      {
        query: "q",
        top_k: 3,
        full_text: true,
        target_document_tokens: 1,
        timestamp_gt: 1e12,
        timestamp_lt: 2e12,
        tags_in: ["a"],
        tags_not: [],
        parents_in: ["c", "d"],
        parents_not: ["e"]
      }
    ],
    [{ query: " " }, invalid("query", "non-blank text")],
    [{ query: "q", topK: 0 }, invalid("topK", whole)],
    [{ query: "q", topK: 1.5 }, invalid("topK", whole)],
    [{ query: "q", targetDocumentTokens: 0 }, invalid("targetDocumentTokens", whole)],
    [{ query: "q", tagsIn: [] }, invalid("tagsIn", list)],
    [{ query: "q", parentsIn: [] }, invalid("parentsIn", list)],
    [
      { query: "q", timestampGt: Number.NaN },
      invalid("timestampGt", "a valid Date, DateTime or number of epoch milliseconds")
    ],
    [
      { query: "q", timestampLt: Number.NaN },
      invalid("timestampLt", "a valid Date, DateTime or number of epoch milliseconds")
    ]
  ]
  it.effect.each(rows)(
    "%j asks for %j",
    ([options, expected]) => Effect.map(sent(options), (query) => assert.deepStrictEqual<unknown>(query, expected))
  )
})

describe("a body", () => {
  const Body = Schema.Struct({
    name: Schema.String,
    size: Schema.optional(Schema.Union(Schema.Number, Schema.Literal("all"), Schema.Null)),
    items: Schema.optional(Schema.Array(Schema.Struct({ at: Schema.Date })))
  })
  const encode = (schema: Schema.Schema.AnyNoContext, value: unknown) =>
    either(Either.mapLeft(encodeBody(identity, schema as Schema.Schema<unknown>)(value), complete))

  it("is sent as its schema encodes it, without other members", () => {
    assert.deepStrictEqual(encode(Body, { name: "a", items: [{ at: new Date(0), b: 1 }], c: 1 }), {
      name: "a",
      items: [{ at: "1970-01-01T00:00:00.000Z" }]
    })
  })

  const rows: ReadonlyArray<readonly [unknown, string, string]> = [
    [
      undefined,
      "body",
      "{ readonly name: string; readonly size?: number | \"all\" | null | undefined; readonly items?: " +
      "ReadonlyArray<{ readonly at: Date }> | undefined }"
    ],
    [{}, "name", "is missing"],
    [{ name: 7 }, "name", "string"],
    [{ name: "a", size: "none" }, "size", "number, or \"all\""],
    [{ name: "a", items: [{ at: new Date(0) }, { at: "now" }] }, "items.1.at", "DateFromSelf"]
  ]
  it.each(rows)("%j: %s must be %s", (value, field, expected) => {
    const error = encode(Body, value) as { readonly details: unknown }
    assert.deepStrictEqual(error.details, { field, expected })
  })

  const issueOf = (schema: Schema.Schema.AnyNoContext, value: unknown) =>
    Either.match(ParseResult.decodeUnknownEither(schema as Schema.Schema<unknown>)(value, { errors: "all" }), {
      onLeft: (issue) => issue,
      onRight: () => assert.fail("it fits")
    })

  it("has up to ten issues, each of them once, and never the values", () => {
    const numbers = Schema.Array(Schema.Number)
    const eleven = issuesOf(issueOf(numbers, Array.from({ length: 11 }, () => "secret")))
    assert.deepStrictEqual(eleven, Array.from({ length: 10 }, (_, i) => ({ path: String(i), message: "number" })))
    const twice = Schema.Union(
      Schema.Struct({ a: Schema.Number }),
      Schema.Struct({ a: Schema.Number, b: Schema.Number })
    )
    assert.deepStrictEqual(issuesOf(issueOf(twice, { a: "secret\nlines", b: 1 })), [{ path: "a", message: "number" }])
    const wordy = Schema.String.pipe(Schema.filter(() => "x".repeat(201)))
    assert.deepStrictEqual(issuesOf(issueOf(wordy, "secret")), [{ path: "", message: "x".repeat(200) }])
  })

  it("is described by its first issue, and the alternatives at the same place", () => {
    const union = Schema.Union(Schema.Number, Schema.Boolean, Schema.Null, Schema.Undefined)
    assert.deepStrictEqual(problemOf(issueOf(union, "x")), { path: "", expected: "number, or boolean" })
    const two = Schema.Struct({ a: Schema.Number, b: Schema.Boolean })
    assert.deepStrictEqual(problemOf(issueOf(two, { a: "x", b: "x" })), { path: "a", expected: "number" })
    const none = new ParseResult.Composite(Schema.Number.ast, 1, [] as never)
    assert.deepStrictEqual(problemOf(none), { path: "", expected: "a valid value" })
  })
})

describe("a time zone", () => {
  const expected = "an IANA timezone that Dust knows, such as Europe/Paris or UTC"
  const rows: ReadonlyArray<readonly [unknown, string | undefined]> = [
    ["Europe/Paris", "Europe/Paris"],
    ["UTC", "UTC"],
    ["US/Pacific", "US/Pacific"],
    ["europe/paris", "Europe/Paris"],
    ["Europe/Kyiv", "Europe/Kiev"],
    ["America/Nuuk", "America/Godthab"],
    ["America/Ciudad_Juarez", "America/Denver"],
    ["America/Coyhaique", "America/Punta_Arenas"],
    ["Asia/Qostanay", "Asia/Almaty"],
    ["Pacific/Kanton", "Pacific/Enderbury"],
    ["pacific/kanton", "Pacific/Enderbury"],
    ["UTC+2", "Etc/GMT-2"],
    [" gmt-03:00 ", "Etc/GMT+3"],
    ["+0200", "Etc/GMT-2"],
    ["-12", "Etc/GMT+12"],
    ["UTC+0", "Etc/UTC"],
    ["UTC-00:00", "Etc/UTC"],
    ["UTC+2:30", undefined],
    ["UTC+0:30", undefined],
    ["UTC+15", undefined],
    ["Nowhere/Else", undefined],
    ["", undefined],
    [7, undefined]
  ]
  it.each(rows)("%j is %s", (name, found) => {
    assert.deepStrictEqual(either(accepted(name)), found ?? expected)
  })

  it("is any that the official client has in its list, which is that of the server", () => {
    const list = new URL("../../node_modules/@dust-tt/client/src/timezone_names.ts", import.meta.url)
    const names = [...readFileSync(list, "utf8").matchAll(/^ {2}"([^"]+)",?$/gm)].map((match) => match[1]!)
    assert.isAbove(names.length, 500)
    assert.deepStrictEqual(names.filter((name) => !isAcceptedTimezone(name)), [])
  })

  it("of this machine is one that Dust knows, and stays", () => {
    assert.isTrue(isAcceptedTimezone(system()))
    assert.strictEqual(system(), system())
  })
})

/** What a failed response becomes, as a table: status, headers and body, and the complete error. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Option } from "effect"
import type { Identity } from "../../src/internal/api/operation.ts"
import { isTokenExpired } from "../../src/internal/request/classify.ts"
import { fromResponse } from "../../src/internal/request/errors.ts"
import { requestId } from "../../src/internal/request/requestId.ts"
import { retryAfter } from "../../src/internal/request/retryAfter.ts"
import { table } from "../fixtures/errors.ts"
import { complete } from "../support/failures.ts"

const identity: Identity = {
  module: "Probe",
  method: "read",
  http: "GET",
  route: "/probe/{id}",
  credential: "any",
  errors: { odd: "DustConflictError" }
}

interface Given {
  readonly hasUser?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

const errorOf = (status: number, body: string, { hasUser = false, headers = {} }: Given = {}) =>
  complete(fromResponse({ identity, hasUser, attempts: 2, status, headers, body, now: 1_000 }))

const same = { module: "Probe", method: "read", request: { method: "GET", route: "/probe/{id}" }, attempts: 2 }

/** The text of an error: its tag, and its message without the name of the operation. */
const wordsOf = ({ _tag, message }: Record<string, unknown>) => {
  assert.isTrue(String(message).startsWith("Probe.read: "))
  return `${_tag} ${String(message).slice("Probe.read: ".length)}`
}

const error = (type: string | undefined, message?: string, more: object = {}) =>
  JSON.stringify({ error: { type, message, ...more } })

describe("a failed response", () => {
  it("becomes an error with everything that it says", () => {
    const headers = { "x-request-id": "r7", "retry-after": "3" }
    const more = { redirect: null, connectors_error: { code: "x" } }
    assert.deepStrictEqual(errorOf(503, error("service_unavailable", "Later", more), { headers }), {
      ...same,
      _tag: "DustServerError",
      message: "Probe.read: 503 service_unavailable: Later [r7]",
      status: 503,
      type: "service_unavailable",
      details: { type: "service_unavailable", message: "Later", ...more },
      requestId: "r7",
      retryAfter: 3_000
    })
  })

  it("becomes an error without the members that it lacks", () => {
    const bare = { ...same, _tag: "DustServerError", message: "Probe.read: 500", status: 500 }
    assert.deepStrictEqual(errorOf(500, ""), { ...bare, details: "" })
    assert.deepStrictEqual(errorOf(500, "{}"), { ...bare, details: {} })
    assert.deepStrictEqual(errorOf(500, "{\"error\":{\"message\":\" \"}}"), { ...bare, details: { message: " " } })
    assert.deepStrictEqual(errorOf(500, "{\"error\":{\"type\":7,\"message\":8}}"), {
      ...bare,
      details: { type: 7, message: 8 }
    })
  })

  const key = "; check the API key or access token"
  const rows: ReadonlyArray<readonly [number, string, string, Given?]> = [
    // By status alone.
    [400, "", "DustBadRequestError 400"],
    [401, "", `DustUnauthorizedError 401${key}`],
    [402, "", "DustQuotaExceededError 402"],
    [403, "", "DustForbiddenError 403"],
    [404, "", "DustNotFoundError 404: no such route; check `baseUrl` (DUST_BASE_URL)"],
    [407, "", "DustBadRequestError 407: a proxy on the way to Dust requires authentication; check HTTP_PROXY"],
    [408, "", "DustServerError 408"],
    [409, "", "DustConflictError 409"],
    [410, "", "DustNotFoundError 410"],
    [413, "", "DustContentTooLargeError 413"],
    [418, "", "DustBadRequestError 418"],
    [425, "", "DustServerError 425"],
    [429, "", "DustRateLimitError 429"],
    [499, "", "DustBadRequestError 499"],
    [500, "", "DustServerError 500"],
    [599, "", "DustServerError 599"],

    // By type.
    [400, error("other", "No"), "DustBadRequestError 400 other: No"],
    [404, error("other", "No"), "DustNotFoundError 404 other: No"],
    [400, error("x_not_found", "No"), "DustNotFoundError 400 x_not_found: No"],
    [409, error("x_not_found", "No"), "DustConflictError 409 x_not_found: No"],
    [400, error("not_found_x", "No"), "DustBadRequestError 400 not_found_x: No"],
    ...["run_error", "app_error", "data_source_error", "connectors_error"].flatMap((key) =>
      [
        [400, error(key, "No", { [key]: { type: "x_not_found" } }), `DustNotFoundError 400 ${key}: No`],
        [400, error(key, "No", { [key]: { code: "x_not_found" } }), `DustNotFoundError 400 ${key}: No`],
        [400, error(key, "No", { [key]: { code: "no", type: "x_not_found" } }), `DustBadRequestError 400 ${key}: No`]
      ] as const
    ),
    [409, error("run_error", "No", { run_error: { code: "x_not_found" } }), "DustConflictError 409 run_error: No"],
    [400, error("content_too_large"), "DustContentTooLargeError 400 content_too_large"],
    [400, error("file_too_large"), "DustContentTooLargeError 400 file_too_large"],
    [500, error("message_deletion_not_authorized"), "DustForbiddenError 500 message_deletion_not_authorized"],
    [500, error("message_outdated"), "DustConflictError 500 message_outdated"],
    [429, error("rate_limit_error"), "DustRateLimitError 429 rate_limit_error"],
    [403, error("rate_limit_error", "Slow"), "DustRateLimitError 403 rate_limit_error: Slow"],
    [403, error("rate_limit_error", "Cap"), "DustQuotaExceededError 403 rate_limit_error: Cap"],
    [400, error("no_seat", "No"), "DustQuotaExceededError 400 no_seat: No"],
    // Of this operation, unless the server fails.
    [400, error("odd"), "DustConflictError 400 odd"],
    [499, error("odd"), "DustConflictError 499 odd"],
    [500, error("odd"), "DustServerError 500 odd"],
    [400, error("toString"), "DustBadRequestError 400 toString"],

    // With advice, without a full stop before it.
    [401, error("invalid_api_key_error", "No."), `DustUnauthorizedError 401 invalid_api_key_error: No${key}`],
    [
      401,
      error("workspace_auth_error", "No:"),
      "DustUnauthorizedError 401 workspace_auth_error: No; the credential does not belong to this workspace; check " +
      "both the credential and the workspace id"
    ],
    [
      401,
      error("webhook_source_auth_error"),
      "DustUnauthorizedError 401 webhook_source_auth_error; check the URL of the webhook"
    ],
    [401, error("some_permission", "No."), "DustForbiddenError 401 some_permission: No."],
    [
      401,
      error("invalid_request_error", "No"),
      "DustUserRequiredError 401 invalid_request_error: No; use a user's access token, because an API key does not " +
      "identify a user"
    ],
    [
      401,
      error("user_not_found"),
      "DustUserRequiredError 401 user_not_found; use a user's access token, because an API key does not identify a user"
    ],
    [
      401,
      error("user_authentication_required"),
      "DustUserRequiredError 401 user_authentication_required; use a user's access token, because an API key does not " +
      "identify a user"
    ],
    [401, error("user_not_found"), `DustUnauthorizedError 401 user_not_found${key}`, { hasUser: true }],
    [
      404,
      error("workspace_not_found", "No"),
      "DustNotFoundError 404 workspace_not_found: No; check the workspace id and its region"
    ],
    [
      400,
      error("agent_inaccessible", "No"),
      "DustBadRequestError 400 agent_inaccessible: No; Agents.list returns the available agents"
    ],
    [
      400,
      error("workspace_in_different_region", "No", { redirect: { region: "eu", url: "https://eu.dust.tt" } }),
      "DustNotFoundError 400 workspace_in_different_region: No; the workspace is in the region eu " +
      "(https://eu.dust.tt); set `region` (DUST_REGION) or `baseUrl` (DUST_BASE_URL) accordingly"
    ],
    [
      403,
      error("other", undefined, { redirect: { region: "eu" } }),
      "DustForbiddenError 403 other; the workspace is in the region eu; set `region` (DUST_REGION) or `baseUrl` " +
      "(DUST_BASE_URL) accordingly"
    ],
    [403, error("other", undefined, { redirect: { url: "https://x" } }), "DustForbiddenError 403 other"],

    // With the server's text.
    [404, "404 Not Found", "DustNotFoundError 404: Not Found: no such route; check `baseUrl` (DUST_BASE_URL)"],
    [500, "{\"error\":\"A reason\"}", "DustServerError 500: A reason"],
    [500, "{\"message\":\"At the top\",\"type\":\"t\"}", "DustServerError 500 t: At the top"],
    [500, "\ufeff{\"error\":\"A reason\"}", "DustServerError 500: A reason"],
    [500, "A\ufeff\nreason", "DustServerError 500: A reason"],
    [500, error("t", " two\r\n lines "), "DustServerError 500 t: two lines"],
    [500, error("t", "x".repeat(300)), `DustServerError 500 t: ${"x".repeat(300)}`],
    [500, error("t", "x".repeat(301)), `DustServerError 500 t: ${"x".repeat(300)}…`],
    [500, "y".repeat(161), `DustServerError 500: ${"y".repeat(160)}`],
    [500, `${" ".repeat(8_191)}yz`, "DustServerError 500: y"],
    [502, "<style>a{}</style><h1>Bad</h1><SCRIPT>x\n</SCRIPT>way", "DustServerError 502: Bad way"],
    [502, "a<script>x</script>b", "DustServerError 502: a b"],
    [502, "a<redacted>b<!--c-->d<style>e</script>", "DustServerError 502: a<redacted>b d e"],
    [500, "x", "DustServerError 500: x [ray]", { headers: { "cf-ray": "ray" } }]
  ]
  it.each(rows.map(([status, body, expected, given]) => ({ status, body, expected, given })))(
    "$status $body is a $expected",
    ({ body, expected, given, status }) => assert.strictEqual(wordsOf(errorOf(status, body, given)), expected)
  )

  it("is the variant of its status and type", () => {
    const tags = table.map(({ extra, message, status, type, user: hasUser = false }) =>
      errorOf(status, type === undefined ? "" : error(type, message, extra), { hasUser })["_tag"]
    )
    assert.deepStrictEqual(tags, table.map(({ tag }) => tag))
  })

  const details: ReadonlyArray<readonly [string, string, unknown]> = [
    ["a text that is not too long", JSON.stringify({ error: "x".repeat(2_048) }), "x".repeat(2_048)],
    ["the beginning of a long text", JSON.stringify({ error: "x".repeat(2_049) }), `${"x".repeat(2_048)}…`],
    ["a page that is not too long", "x".repeat(2_048), "x".repeat(2_048)],
    ["the beginning of a long page", "x".repeat(2_049), `${"x".repeat(2_048)}…`],
    ["32 elements", JSON.stringify(Array.from({ length: 33 }, () => 1)), Array.from({ length: 32 }, () => 1)],
    [
      "32 members",
      JSON.stringify(Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, i]))),
      Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, i]))
    ],
    ["6 levels of objects", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":1},\"h\":1,\"i\":null}}}}}}", {
      a: { b: { c: { d: { e: { f: "…", h: 1, i: null } } } } }
    }],
    ["6 levels of arrays", "[[[[[[[1],2]]]]]]", [[[[[["…", 2]]]]]]]
  ]
  it.each(details)("keeps %s in its details", (_, body, expected) => {
    assert.deepStrictEqual(errorOf(500, body)["details"], expected)
  })
})

describe("an expired token", () => {
  it("is one that a 401 calls expired or invalid", () => {
    const is = (status: number | undefined, type: string | undefined) => isTokenExpired({ status, type })
    assert.deepStrictEqual(
      [
        is(401, "expired_oauth_token_error"),
        is(401, "invalid_oauth_token_error"),
        is(401, "invalid_api_key_error"),
        is(401, undefined),
        is(403, "expired_oauth_token_error"),
        is(undefined, "expired_oauth_token_error")
      ],
      [true, true, false, false, false, false]
    )
  })
})

describe("the id of a request", () => {
  it("is in one of five headers, the first that has a value", () => {
    const names = ["x-request-id", "request-id", "x-dust-request-id", "x-cloud-trace-context", "cf-ray"]
    const all = Object.fromEntries(names.map((name) => [name, `id of ${name}`]))
    for (const name of names) {
      assert.strictEqual(requestId(all), `id of ${name}`)
      all[name] = ""
    }
    assert.strictEqual(requestId(all), undefined)
    assert.strictEqual(requestId({}), undefined)
    assert.strictEqual(requestId({ "cf-ray": "x".repeat(129) }), "x".repeat(128))
  })
})

describe("the wait that a response requests", () => {
  const at = "Thu, 01 Jan 1970 00:01:30 GMT"
  // The clock of this machine is at 00:00:01.
  const rows: ReadonlyArray<readonly [string | undefined, Readonly<Record<string, string>>, number | undefined]> = [
    [undefined, {}, undefined],
    ["", {}, undefined],
    ["7", {}, 7_000],
    ["0", {}, 0],
    ["1.5", {}, 1_500],
    ["7, 9", {}, 9_000],
    ["9,7", {}, 9_000],
    ["7, soon, 9", {}, 7_000],
    ["7 9", {}, undefined],
    [at, {}, 89_000],
    [`5, ${at}`, {}, 89_000],
    [at, { date: "Thu, 01 Jan 1970 00:01:00 GMT" }, 30_000],
    [at, { date: "Thu, 01 Jan 1970 00:01:00 GMT", age: "10" }, 20_000],
    [at, { date: "Thu, 01 Jan 1970 00:01:00 GMT", age: "-10" }, 30_000],
    [at, { date: "Thu, 01 Jan 1970 00:01:00 GMT", age: "x" }, 30_000],
    [at, { date: "Thu, 01 Jan 1970 00:02:00 GMT" }, 0],
    [at, { date: "some day" }, 89_000],
    ["Thursday, 01-Jan-70 00:01:30 GMT", {}, 89_000],
    ["Thu Jan  1 00:01:30 1970", {}, 89_000],
    ["1970-01-01T00:01:30Z", {}, undefined],
    ["99999999999", {}, 1e13]
  ]
  it.each(rows)("%j beside %j is %s milliseconds", (value, others, expected) => {
    const headers = value === undefined ? others : { ...others, "retry-after": value }
    assert.strictEqual(Option.getOrUndefined(Option.map(retryAfter(headers, 1_000), Duration.toMillis)), expected)
  })

  it("is known for every day and every month", () => {
    for (let day = 0; day < 360; day += 10) {
      const text = new Date(day * 86_400_000).toUTCString()
      assert.deepStrictEqual([text, retryAfter({ "retry-after": text }, 0)._tag], [text, "Some"])
    }
  })
})

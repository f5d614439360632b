import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Schema, TestClock } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as Errors from "effect-dust/DustAPIError"
import { DustClient, operation } from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { inspect } from "node:util"
import { table } from "../fixtures/errors.ts"
import { type Answer, dust, dustUser, failure, json } from "../support/http.ts"

const probe = operation({
  name: "Probe.read",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/probe/{probeId}",
  response: Schema.Struct({ ok: Schema.Boolean })
})

/** The error that an answer becomes. */
const errorOf = (answer: () => Answer, user = false) => {
  const { layer } = (user ? dustUser : dust)(answer, { retry: RetryPolicy.none })
  return DustClient.pipe(
    Effect.flatMap((client) => Effect.flip(client.execute(probe, { path: { probeId: "p1" } }))),
    Effect.provide(layer)
  )
}

const html = (text: string) => new Response(text, { status: 502, headers: { "content-type": "text/html" } })

describe("the variant of an answer", () => {
  it.effect.each(table)("$status $type $message (user: $user) is a $tag", (row) =>
    Effect.gen(function*() {
      const error = yield* errorOf(
        () =>
          row.type === undefined
            ? new Response("<html><body>Oops</body></html>", { status: row.status })
            : failure(row.status, row.type, row.message, { "x-request-id": "req-7" }, row.extra),
        row.user
      )
      assert.strictEqual(error._tag, row.tag)
      assert.strictEqual(error.status, row.status)
      assert.strictEqual(error.type, row.type)
      assert.strictEqual(error.attempts, 1)
      assert.deepStrictEqual([error.module, error.method], ["Probe", "read"])
      // The templated route, never the filled one.
      assert.deepStrictEqual(error.request, { method: "GET", route: "/api/v1/w/{workspaceId}/probe/{probeId}" })
      assert.match(error.message, new RegExp(`^Probe\\.read: ${row.status}`))
      if (row.type !== undefined) {
        assert.include(error.message, row.type)
        assert.include(error.message, row.message ?? "said the server")
        assert.strictEqual(error.requestId, "req-7")
        assert.deepStrictEqual(error.details, {
          type: row.type,
          message: row.message ?? "said the server",
          ...row.extra
        })
      }
    }))

  // With an API key such a call makes no request: a user's token exists, but is not usable.
  it.effect("a token that a route for users does not take is a credential problem", () => {
    const { layer } = dustUser(() => failure(401, "not_authenticated"))
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const error = yield* Effect.flip(conversations.deleteMessage({ conversationId: "c", messageId: "m" }))
      assert.strictEqual(error._tag, "DustUnauthorizedError")
      assert.include(error.message, "check the API key or access token")
    }).pipe(Effect.provide(layer))
  })

  const nested: ReadonlyArray<readonly [string, object]> = [
    ["data_source_error", { code: "document_not_found" }],
    ["run_error", { code: "run_not_found" }],
    ["app_error", { code: "app_not_found" }],
    ["connectors_error", { code: "connector_not_found" }],
    ["app_error", { type: "app_not_found", message: "x" }],
    ["data_source_error", { code: 7, type: "document_not_found" }]
  ]

  it.effect.each(nested)("a 400 whose %s says %o is not found", ([key, within]) =>
    Effect.gen(function*() {
      const error = yield* errorOf(() => failure(400, key, "No", {}, { [key]: within }))
      assert.deepStrictEqual([error._tag, error.type], ["DustNotFoundError", key])
      const other = yield* errorOf(() => failure(400, key, "No", {}, { [key]: { code: "not_found_out" } }))
      assert.strictEqual(other._tag, "DustBadRequestError")
      const elsewhere = yield* errorOf(() => failure(400, key, "No", {}, { another_error: within }))
      assert.strictEqual(elsewhere._tag, "DustBadRequestError")
    }))

  it.effect("the id of a request is the first that says something", () =>
    Effect.gen(function*() {
      const of = (headers: Record<string, string>) =>
        Effect.map(errorOf(() => failure(400, "x", "No", headers)), ({ message, requestId }) => {
          assert.strictEqual(message.includes("["), requestId !== undefined)
          return requestId
        })
      assert.strictEqual(yield* of({ "x-request-id": "", "cf-ray": "ray" }), "ray")
      assert.strictEqual(yield* of({ "x-request-id": "a", "request-id": "b" }), "a")
      assert.strictEqual(yield* of({ "request-id": "" }), undefined)
      assert.strictEqual(yield* of({ "x-cloud-trace-context": "t".repeat(200) }), "t".repeat(128))
    }))

  it.effect("status before schema: a 500 whose body fits is an error", () =>
    Effect.map(errorOf(() => json({ ok: true }, { status: 500 })), (error) => {
      assert.strictEqual(error._tag, "DustServerError")
      assert.deepStrictEqual(error.details, { ok: true })
    }))

  const bodies: ReadonlyArray<readonly [string, string, unknown]> = [
    ["plain text", "404 Not Found", "404 Not Found"],
    ["nothing", "", ""],
    ["a string in error", "{\"error\":\"nope\"}", "nope"],
    ["error null", "{\"error\":null}", null],
    ["JSON null", "null", null],
    ["an array", "[1]", [1]],
    ["numbers where text belongs", "{\"error\":{\"type\":1,\"message\":2}}", { type: 1, message: 2 }],
    ["broken JSON", "{\"error\":{", "{\"error\":{"]
  ]

  it.effect.each(["constructor", "toString", "__proto__", "hasOwnProperty"])(
    "a type named %s is a type like any other",
    (type) =>
      Effect.map(errorOf(() => failure(404, type)), (error) => {
        assert.strictEqual(error._tag, "DustNotFoundError")
        assert.strictEqual(error.type, type)
      })
  )

  it.effect("a page that is hostile to regular expressions is searched in its beginning only", () =>
    Effect.gen(function*() {
      for (const piece of ["<style", "<", "<script>", " <!"]) {
        const error = yield* errorOf(() => html(`${piece.repeat(250_000 / piece.length)}></style></script>Late`))
        assert.strictEqual(error._tag, "DustServerError")
        assert.notInclude(error.message, "Late", piece)
      }
      const blank = " ".repeat(4_000)
      const error = yield* errorOf(() => html(`${blank}<p>Early</p>${blank}${blank}<p>Late</p>`))
      assert.include(error.message, "Early")
      assert.notInclude(error.message, "Late")
    }))

  it.effect.each(bodies)(
    "survives a body of %s",
    ([, body, details]) =>
      Effect.map(errorOf(() => new Response(body, { status: 404 })), (error) => {
        assert.strictEqual(error._tag, "DustNotFoundError")
        assert.strictEqual(error.type, undefined)
        assert.deepStrictEqual(error.details, details)
        assert.match(error.message, /^Probe\.read: 404/)
      })
  )
})

describe("what the message says", () => {
  it.effect("names the region that the workspace lives in", () =>
    Effect.gen(function*() {
      const error = yield* errorOf(() =>
        failure(404, "workspace_in_different_region", "Elsewhere", {}, {
          redirect: { region: "europe-west1", url: "https://eu.dust.tt" }
        })
      )
      assert.strictEqual(error._tag, "DustNotFoundError")
      for (const word of ["europe-west1", "https://eu.dust.tt", "`region`", "`baseUrl`"]) {
        assert.include(error.message, word)
      }
    }))

  const advice: ReadonlyArray<readonly [number, string | undefined, RegExp]> = [
    [401, "invalid_api_key_error", /check the API key/],
    [401, "workspace_auth_error", /does not belong to this workspace/],
    [401, "user_authentication_required", /user's access token/],
    [404, "workspace_not_found", /workspace id.*region/],
    [404, undefined, /`baseUrl`/]
  ]

  it.effect.each(advice)("%d %s tells what to do", ([status, type, says]) =>
    Effect.map(
      errorOf(() => type === undefined ? new Response("404 Not Found", { status }) : failure(status, type)),
      (error) => assert.match(error.message, says)
    ))

  const ask = operation({
    name: "Probe.ask",
    http: "POST",
    route: "/api/v1/w/{workspaceId}/probe",
    body: Schema.Struct({ question: Schema.Struct({ content: Schema.String, title: Schema.String }) }),
    response: Schema.Struct({ ok: Schema.Boolean })
  })
  const long = "a private matter that nobody else should read"
  const marked = "a \"private\" matter\n that nobody should read"
  const quoted: ReadonlyArray<readonly [sent: string, said: string, kept: string]> = [
    ["eleven char", "no eleven char here", "no eleven char here"],
    ["twelve chars", "no twelve chars here", "no <redacted> here"],
    ["  twelve chars ", "no twelve chars here", "no <redacted> here"],
    [long, `no ${long} here, nor ${long}`, "no <redacted> here, nor <redacted>"],
    // The whole run is recognized by its first 24 characters, one character less is not.
    [long, `no ${long.slice(0, 24)}… here`, "no <redacted>… here"],
    [long, `no ${long.slice(0, 40)}… here`, "no <redacted>… here"],
    [long, `no ${long.slice(0, 23)}… here`, `no ${long.slice(0, 23)}… here`],
    [marked, `no ${marked} here`, "no <redacted> here"],
    [marked, `no ${JSON.stringify(marked)} here`, "no \"<redacted>\" here"]
  ]
  it.effect.each(quoted)("leaves out what a person wrote: %j in %j", ([content, said, kept]) => {
    const { layer } = dust(() => failure(400, "invalid_request_error", said), { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const client = yield* DustClient
      const error = yield* Effect.flip(client.execute(ask, { body: { question: { content, title: "no here" } } }))
      assert.propertyVal(error.details, "message", kept)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is one line of bounded length, whatever the server says", () =>
    Effect.gen(function*() {
      const page = `<html><head><style>${"x{}".repeat(1000)}</style></head><body>\n<h1>Bad\nGateway</h1>${
        "<p>padding</p>\n".repeat(80_000)
      }</body></html>`
      assert.isAbove(page.length, 1_000_000)
      const big = yield* errorOf(() => html(page))
      assert.strictEqual(big._tag, "DustServerError")
      assert.isBelow(big.message.length, 600)
      assert.notInclude(big.message, "\n")
      assert.include(big.message, "Bad Gateway")
      assert.notInclude(big.message, "<")
      assert.isBelow(String(big.details).length, 2100)
      const lines = yield* errorOf(() =>
        failure(400, "invalid_request_error", `first\nsecond\r\n\tthird ${"y".repeat(5000)}`)
      )
      assert.isBelow(lines.message.length, 600)
      assert.match(lines.message, /first second third y+…$/)
    }))
})

describe("Retry-After", () => {
  const rows: ReadonlyArray<readonly [string, number | undefined]> = [
    ["7", 7000],
    ["0", 0],
    [" 1.5 ", 1500],
    ["-3", undefined],
    ["soon", undefined],
    ["", undefined],
    ["in 5", undefined],
    ["120;", undefined],
    ["0x10", undefined],
    ["1e3", undefined],
    ["9".repeat(400), 1e13],
    ["2099-01-01", undefined],
    ["Thu, 01 Jan 1970 00:01:30 GMT", 20_000],
    ["Thursday, 01-Jan-70 00:01:30 GMT", 20_000],
    ["Thu Jan  1 00:01:30 1970", 20_000],
    ["Thu, 01 Jan 1970 00:00:30 GMT", 0]
  ]

  it.effect.each(rows)("%j is %s milliseconds", ([value, expected]) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(70_000)
      const error = yield* errorOf(() => failure(429, "rate_limit_error", "Slow down", { "retry-after": value }))
      assert.strictEqual(error._tag, "DustRateLimitError")
      assert.strictEqual(error.retryAfter === undefined ? undefined : Duration.toMillis(error.retryAfter), expected)
    }))
})

const common = {
  module: "Probe",
  method: "read",
  message: "Probe.read: it failed",
  status: 418,
  type: "odd",
  details: { type: "odd", list: [1, null], message: "x" },
  request: { method: "GET", route: "/r/{id}" },
  requestId: "req",
  retryAfter: Duration.millis(1234),
  attempts: 2
}

const variants: ReadonlyArray<readonly [Errors.DustAPIError, boolean]> = [
  [new Errors.DustBadRequestError(common), false],
  [new Errors.DustUnauthorizedError(common), false],
  [new Errors.DustUserRequiredError(common), false],
  [new Errors.DustForbiddenError(common), false],
  [new Errors.DustNotFoundError(common), false],
  [new Errors.DustConflictError(common), false],
  [
    new Errors.DustConflictError({
      ...common,
      request: { method: "POST", route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages" }
    }),
    true
  ],
  [new Errors.DustContentTooLargeError(common), false],
  [new Errors.DustRateLimitError(common), true],
  [new Errors.DustQuotaExceededError(common), false],
  [new Errors.DustServerError(common), true],
  [new Errors.DustTimeoutError({ ...common, phase: "idle", limit: Duration.seconds(90) }), true],
  [new Errors.DustNetworkError({ ...common, reachedServer: true }), true],
  [new Errors.DustDecodeError({ ...common, issues: [{ path: "a.b", message: "string" }] }), false],
  [new Errors.DustStreamError({ ...common, reason: "ended", lastEventId: "1-0" }), true],
  [new Errors.DustStreamError({ ...common, reason: "event_too_large" }), false],
  [
    new Errors.DustAgentError({
      ...common,
      code: "multi_actions_error",
      category: "retryable_model_error",
      agentId: "dust",
      conversationId: "c",
      messageId: "m"
    }),
    false
  ],
  [
    new Errors.DustAgentError({
      ...common,
      code: "x",
      category: "credits_exhausted",
      agentId: null
    }),
    false
  ],
  // What came after the question was stored is none to send again.
  [new Errors.DustServerError({ ...common, conversationId: "c", userMessageId: "u" }), false],
  [
    new Errors.DustConflictError({
      ...common,
      request: { method: "POST", route: "/assistant/conversations" },
      messageId: "m"
    }),
    false
  ],
  [new Errors.DustRateLimitError({ ...common, conversationId: "c", messageId: "m" }), false],
  [new Errors.DustTimeoutError({ ...common, phase: "idle", limit: Duration.seconds(90), messageId: "m" }), false],
  [new Errors.DustNetworkError({ ...common, reachedServer: true, messageId: "m" }), false],
  [
    new Errors.DustStreamError({
      ...common,
      reason: "ended",
      workspaceId: "w",
      conversationId: "c",
      userMessageId: "u",
      messageId: "m",
      lastEventId: "1-0",
      waitingFor: {
        _tag: "ApprovalNeeded",
        eventId: "1-0",
        conversationId: "c",
        messageId: "m",
        actionId: "a",
        tool: {
          toolName: "send_email",
          mcpServerName: "mail",
          mcpServerDisplayName: null,
          mcpServerId: null,
          agentName: null,
          icon: null
        },
        inputs: { to: "ada@example.com" },
        stake: "high"
      }
    }),
    false
  ],
  [
    new Errors.DustUnconfirmedError({
      ...common,
      reason: "not_found",
      conversationId: "c",
      author: "ada",
      origin: "api",
      agentId: "dust",
      position: { rank: 3, messageId: "m" },
      notBefore: 1_700_000_000_000,
      fingerprint: "0123456789abcdef"
    }),
    false
  ],
  [
    new Errors.DustUnconfirmedError({
      ...common,
      reason: "ambiguous",
      conversationId: "c",
      author: "ada",
      origin: "api",
      agentId: null,
      position: null,
      notBefore: null,
      fingerprint: "0123456789abcdef"
    }),
    false
  ]
]

describe("every variant", () => {
  it("is there", () => {
    assert.deepStrictEqual(
      [...new Set(variants.map(([error]) => error._tag))].sort(),
      Errors.DustAPIError.members.map((member) => member._tag).sort()
    )
  })

  it.effect.each(variants.map(([error, retryable]) => ({ tag: error._tag, error, retryable })))(
    "$tag goes through JSON and back",
    ({ error, retryable }) =>
      Effect.gen(function*() {
        const encoded = yield* Schema.encode(Errors.DustAPIError)(error)
        const text = JSON.stringify(encoded)
        const back = yield* Schema.decodeUnknown(Errors.DustAPIError)(JSON.parse(text))
        assert.strictEqual(back._tag, error._tag)
        assert.strictEqual(back.message, error.message)
        assert.instanceOf(back, Error)
        assert.deepStrictEqual(yield* Schema.encode(Errors.DustAPIError)(back), encoded)
        assert.deepStrictEqual(back.waitingFor, error.waitingFor)
        assert.isTrue(Errors.isDustAPIError(error) && Errors.isDustAPIError(back))
        assert.strictEqual(error.isRetryable, retryable)
        assert.strictEqual(Errors.isRetryable(back), retryable)
      })
  )

  it.effect("an error that was made by the request path goes through JSON and back", () =>
    Effect.gen(function*() {
      const answers: ReadonlyArray<() => Answer> = [
        () => failure(429, "rate_limit_error", "Slow down", { "retry-after": "7", "x-request-id": "r" }),
        () => html("<html></html>"),
        () => json({ ok: "no" }),
        () => new Response("")
      ]
      for (const answer of answers) {
        const error = yield* errorOf(answer)
        const encoded = yield* Schema.encode(Errors.DustAPIError)(error)
        const back = yield* Schema.decodeUnknown(Errors.DustAPIError)(JSON.parse(JSON.stringify(encoded)))
        assert.deepStrictEqual([back._tag, back.message, back.details], [error._tag, error.message, error.details])
      }
    }))

  it.effect("is caught by its tag, and shown by Cause with its message", () =>
    Effect.gen(function*() {
      const failing = Effect.fail<Errors.DustAPIError>(new Errors.DustNotFoundError(common))
      assert.strictEqual(
        yield* Effect.catchTag(failing, "DustNotFoundError", (error) => Effect.succeed(error.type)),
        "odd"
      )
      const exit = yield* Effect.exit(failing)
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "it failed")
      assert.include(inspect(new Errors.DustNotFoundError(common)), "it failed")
    }))

  it("DustAgentError: says whether the same question may get an answer from a retry of the message", () => {
    const transient = (category: string | null) =>
      new Errors.DustAgentError({ ...common, code: "x", category, agentId: null }).isTransient
    assert.deepStrictEqual(
      ["retryable_model_error", "provider_internal_error", "stream_error", "credits_exhausted", null].map(transient),
      [true, true, true, false, false]
    )
  })

  it("guards refuse anything else", () => {
    for (const other of [null, undefined, "DustServerError", { _tag: "DustServerError" }, new Error("x"), 1]) {
      assert.isFalse(Errors.isDustAPIError(other))
      assert.isFalse(Errors.isRetryable(other))
    }
  })
})

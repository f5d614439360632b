/** Every error that the SDK constructs, complete: what a caller sees of it. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import type { DustAPIError, RequestError } from "effect-dust/DustAPIError"
import type { Identity } from "../../src/internal/api/operation.ts"
import * as errors from "../../src/internal/request/errors.ts"
import { failureOf } from "../../src/internal/request/network.ts"
import { complete } from "../support/failures.ts"

const identity: Identity = {
  module: "Probe",
  method: "write",
  http: "POST",
  route: "/probe/{id}",
  credential: "any",
  errors: {}
}
const named = { module: "Probe", method: "write" }
const request = { method: "POST", route: "/probe/{id}" }
const second = Duration.seconds(1)
const origin = "https://dust.example"

const cause: RequestError = errors.fromResponse({
  identity,
  hasUser: false,
  attempts: 3,
  status: 503,
  headers: { "retry-after": "2", "x-request-id": "r" },
  body: "{\"error\":{\"type\":\"down\",\"message\":\"No\"}}",
  now: 0
})
const answered = { status: 404, requestId: "r" }
const sent = {
  reason: "ambiguous",
  conversationId: "c" as never,
  author: "ada",
  origin: "api",
  agentId: null,
  position: null,
  notBefore: 7,
  fingerprint: "f"
} as const

/** What is expected in addition to the operation, its request and one attempt. */
const rows: ReadonlyArray<readonly [string, DustAPIError, Record<string, unknown>]> = [
  ["a limit", errors.timeout(identity, 2, "idle", second, "nothing within 1s"), {
    _tag: "DustTimeoutError",
    message: "nothing within 1s",
    type: "timeout",
    details: { phase: "idle", limit: "1s" },
    attempts: 2,
    phase: "idle",
    limit: 1_000
  }],
  ["a limit, with details", errors.timeout(identity, 2, "headers", second, "late", { more: 1 }, "token_timeout"), {
    _tag: "DustTimeoutError",
    message: "late",
    type: "token_timeout",
    details: { phase: "headers", limit: "1s", more: 1 },
    attempts: 2,
    phase: "headers",
    limit: 1_000
  }],
  ["a broken connection", errors.network(identity, 2, "cut", { type: "ECONNRESET", reachedServer: true }), {
    _tag: "DustNetworkError",
    message: "cut",
    type: "ECONNRESET",
    details: { code: "ECONNRESET" },
    attempts: 2,
    reachedServer: true
  }],
  [
    "a broken connection, with details",
    errors.network(identity, 2, "cut", { type: "x", reachedServer: false, retryAfter: second, details: { a: 1 } }),
    {
      _tag: "DustNetworkError",
      message: "cut",
      type: "x",
      details: { a: 1 },
      attempts: 2,
      reachedServer: false,
      retryAfter: 1_000
    }
  ],
  ["no connection", errors.transport(identity, 2, failureOf({ code: "ECONNREFUSED" }), origin), {
    _tag: "DustNetworkError",
    message: "nothing is listening at https://dust.example; check `baseUrl` (DUST_BASE_URL) and the network",
    type: "ECONNREFUSED",
    details: { code: "ECONNREFUSED" },
    attempts: 2,
    reachedServer: false
  }],
  ["a connection that failed late", errors.transport(identity, 2, failureOf({ code: "ECONNRESET" }), origin), {
    _tag: "DustNetworkError",
    message: "the connection to https://dust.example failed (ECONNRESET)",
    type: "ECONNRESET",
    details: { code: "ECONNRESET" },
    attempts: 2,
    reachedServer: true
  }],
  ["an unexpected response", errors.decode(identity, 2, "odd", [{ path: "a", message: "text" }], { status: 200 }), {
    _tag: "DustDecodeError",
    message: "odd",
    status: 200,
    type: "unexpected_answer",
    details: { issues: [{ path: "a", message: "text" }] },
    attempts: 2,
    issues: [{ path: "a", message: "text" }]
  }],
  ["an unexpected response of its own type", errors.decode(identity, 2, "odd", [], { type: "own" }), {
    _tag: "DustDecodeError",
    message: "odd",
    type: "own",
    details: { issues: [] },
    attempts: 2,
    issues: []
  }],
  ["a list without an end", errors.notAdvancing(identity, 2, "the cursor stays"), {
    _tag: "DustDecodeError",
    message: "the list does not advance: the cursor stays",
    type: "list_not_advancing",
    details: { issues: [{ path: "", message: "another page" }] },
    attempts: 2,
    issues: [{ path: "", message: "another page" }]
  }],
  ["too much content", errors.tooLarge(identity, 2, "big", "too much"), {
    _tag: "DustContentTooLargeError",
    message: "too much",
    type: "big",
    details: { reason: "too much" },
    attempts: 2
  }],
  ["a long response", errors.responseTooLarge(identity, 2, 10), {
    _tag: "DustContentTooLargeError",
    message: "the response has more than 10 bytes; raise `maxResponseSize`, or request less",
    type: "response_too_large",
    details: { limit: 10 },
    attempts: 2
  }],
  ["content over a limit of the caller", errors.overLimit(identity, "big", "at most 10 bytes"), {
    _tag: "DustContentTooLargeError",
    message: "at most 10 bytes",
    type: "big",
    details: { expected: "at most 10 bytes" },
    attempts: 0
  }],
  [
    "a refused address",
    errors.refusedAddress(identity, 2, { message: "no", type: "redirect_refused", origin, status: 302 }),
    {
      _tag: "DustBadRequestError",
      message: "no",
      status: 302,
      type: "redirect_refused",
      details: { origin },
      attempts: 2
    }
  ],
  ["no token", errors.tokenUnavailable(identity, 2, "Expired"), {
    _tag: "DustUnauthorizedError",
    message: "the access token could not be obtained (Expired)",
    type: "token_unavailable",
    details: { reason: "Expired" },
    attempts: 2
  }],
  ["no token, with advice", errors.tokenUnavailable(identity, 2, "Expired", "; sign in"), {
    _tag: "DustUnauthorizedError",
    message: "the access token could not be obtained (Expired); sign in",
    type: "token_unavailable",
    details: { reason: "Expired", advice: "; sign in" },
    attempts: 2
  }],
  ["work that failed on the server", errors.serverFailure(identity, 2, "failed", "it failed", { a: 1 }, second), {
    _tag: "DustServerError",
    message: "it failed",
    type: "failed",
    details: { a: 1 },
    attempts: 2,
    retryAfter: 1_000
  }],
  ["something missing", errors.notFound(identity, 2, "gone", "it is gone", { a: 1 }, answered), {
    _tag: "DustNotFoundError",
    message: "it is gone",
    type: "gone",
    details: { a: 1 },
    attempts: 2,
    ...answered
  }],
  ["something missing without a response", errors.notFound(identity, 2, undefined, "it is gone", {}), {
    _tag: "DustNotFoundError",
    message: "it is gone",
    details: {},
    attempts: 2
  }],
  ["a conflict", errors.conflict(identity, 2, "busy", "it is busy", { a: 1 }, answered), {
    _tag: "DustConflictError",
    message: "it is busy",
    type: "busy",
    details: { a: 1 },
    attempts: 2,
    ...answered
  }],
  ["a conflict without a response", errors.conflict(identity, 2, "busy", "it is busy", {}), {
    _tag: "DustConflictError",
    message: "it is busy",
    type: "busy",
    details: {},
    attempts: 2
  }],
  ["something that may not be used", errors.forbidden(identity, 2, "no", "it may not", { a: 1 }), {
    _tag: "DustForbiddenError",
    message: "it may not",
    type: "no",
    details: { a: 1 },
    attempts: 2
  }],
  [
    "a failed agent",
    errors.agentFailed(identity, {
      code: "model",
      message: "no answer",
      details: { a: 1 },
      category: "stream_error",
      agentId: "dust"
    }),
    {
      _tag: "DustAgentError",
      message: "no answer",
      type: "model",
      details: { a: 1 },
      attempts: 1,
      code: "model",
      category: "stream_error",
      agentId: "dust"
    }
  ],
  [
    "an unconfirmed message",
    errors.unconfirmedMessage(identity, "who knows", { a: 1 }, sent, { ...answered, attempts: 4 }),
    {
      _tag: "DustUnconfirmedError",
      message: "who knows",
      type: "message_unconfirmed",
      details: { a: 1 },
      attempts: 4,
      ...answered,
      ...sent
    }
  ],
  ["an unconfirmed message without a response", errors.unconfirmedMessage(identity, "who knows", {}, sent), {
    _tag: "DustUnconfirmedError",
    message: "who knows",
    type: "message_unconfirmed",
    details: {},
    attempts: 0,
    ...sent
  }],
  ["a limit of requests", errors.rateLimited(identity, 2, "slow", { details: { a: 1 }, retryAfter: second }), {
    _tag: "DustRateLimitError",
    message: "slow",
    type: "rate_limit_error",
    details: { a: 1 },
    attempts: 2,
    retryAfter: 1_000
  }],
  ["a stream without an end", errors.streamError(identity, "ended", "no end"), {
    _tag: "DustStreamError",
    message: "no end",
    details: { reason: "ended" },
    attempts: 1,
    reason: "ended"
  }],
  ["a stream that a failure ended", errors.streamError(identity, "ended", "no end", { cause, lastEventId: "1-0" }), {
    _tag: "DustStreamError",
    message: "no end",
    status: 503,
    type: "down",
    details: { reason: "ended", cause: "DustServerError", message: "Probe.write: 503 down: No [r]" },
    attempts: 3,
    requestId: "r",
    retryAfter: 2_000,
    reason: "ended",
    lastEventId: "1-0"
  }],
  [
    "a stream of its own type",
    errors.streamError(identity, "remote", "no end", { cause, type: "own", details: { a: 1 } }),
    {
      _tag: "DustStreamError",
      message: "no end",
      status: 503,
      type: "own",
      details: { a: 1 },
      attempts: 3,
      requestId: "r",
      retryAfter: 2_000,
      reason: "remote"
    }
  ],
  ["an invalid field", errors.badInput(identity, "topK", "a whole number", "7.5"), {
    _tag: "DustBadRequestError",
    message: "topK must be a whole number, got 7.5",
    type: "invalid_input",
    details: { field: "topK", expected: "a whole number" },
    attempts: 0
  }],
  ["invalid input", errors.badRequest(identity, 1, "ambiguous", "which one", { a: 1 }), {
    _tag: "DustBadRequestError",
    message: "which one",
    type: "ambiguous",
    details: { a: 1 },
    attempts: 1
  }],
  ["an API key in the place of a token", errors.wrongCredential({ ...identity, credential: "user" }), {
    _tag: "DustUserRequiredError",
    message:
      "requires a user's access token (`accessToken`, DUST_ACCESS_TOKEN); the credential of this call is an API key",
    type: "user_required",
    details: { required: "user" },
    attempts: 0
  }],
  ["a token in the place of an API key", errors.wrongCredential({ ...identity, credential: "key" }), {
    _tag: "DustUserRequiredError",
    message: "requires an API key; the credential of this call is a user's access token",
    type: "key_required",
    details: { required: "key" },
    attempts: 0
  }],
  ["a field that only users may set", errors.wrongCredential(identity, "visibility"), {
    _tag: "DustUserRequiredError",
    message:
      "visibility requires a user's access token (`accessToken`, DUST_ACCESS_TOKEN); the credential of this call " +
      "is an API key",
    type: "user_required",
    details: { required: "user", field: "visibility" },
    attempts: 0
  }]
]

describe("an error that the SDK constructs", () => {
  it.each(rows)("%s: is complete", (_, error, { message, ...expected }) => {
    assert.deepStrictEqual(complete(error), { ...named, request, message: `Probe.write: ${message}`, ...expected })
  })

  it("has no request without a route, as the input was rejected before it had one", () => {
    for (const part of [named, { ...named, http: "GET" as const }, { ...named, route: "/x" }]) {
      assert.deepStrictEqual(complete(errors.badInput(part, "a", "text")), {
        ...named,
        _tag: "DustBadRequestError",
        message: "Probe.write: a must be text",
        type: "invalid_input",
        details: { field: "a", expected: "text" },
        attempts: 0
      })
    }
  })

  it("costs no stack trace, and leaves those of the application as they are", () => {
    const limit = Error.stackTraceLimit
    assert.isAbove(limit, 0)
    assert.strictEqual(errors.notAdvancing(identity, 1, "x").stack?.split("\n").length, 1)
    assert.strictEqual(Error.stackTraceLimit, limit)
  })

  it("is made of whatever a server sends, without validation", () => {
    const error = errors.timeout(identity, 1, "new phase" as "idle", second, "late")
    assert.strictEqual(error.phase as string, "new phase")
    for (const [, { _tag }] of rows) {
      const odd = errors.network(identity, _tag as never, "odd", { type: undefined, reachedServer: true })
      assert.strictEqual<unknown>(odd.attempts, _tag)
    }
  })
})

describe("the requirement of a field", () => {
  const requirements: ReadonlyArray<readonly [string, string | undefined, string]> = [
    ["is missing", undefined, "is missing"],
    ["is missing", "7", "is missing"],
    ["string", undefined, "must be a string"],
    ["number", "text", "must be a number, got text"],
    ["boolean | undefined", undefined, "must be a boolean | undefined"],
    ["strings", undefined, "must be strings"],
    ["a string", undefined, "must be a string"],
    ["ReadonlyArray<string>", undefined, "must be an array"],
    ["{ readonly a: string }", undefined, "must be an object"],
    ["{}", undefined, "must be {}"]
  ]
  it.each(requirements)("%j, got %j: %s", (expected, got, text) => {
    assert.strictEqual(errors.requirement(expected, got), text)
  })
})

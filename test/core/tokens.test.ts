/** What a call does without a token, and how a refresh token is exchanged: complete requests, tokens and errors. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Schema } from "effect"
import { DustServerError } from "effect-dust/DustAPIError"
import { operation, withCredential } from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import { tokenUnavailable } from "../../src/internal/request/errors.ts"
import { clientOf, untilEnded } from "../support/bareClient.ts"
import { complete } from "../support/failures.ts"
import { type Answer, failure, json, type Recorded, transport } from "../support/http.ts"

const Ok = Schema.Struct({ ok: Schema.Boolean })
const route = "/probe"
const read = operation({ name: "Probe.read", http: "GET", route, response: Ok })

const same = { module: "Probe", method: "read", request: { method: "GET", route } }

describe("a token that cannot be obtained", () => {
  const unavailable = (reason: string, more: object = {}) => ({
    ...same,
    _tag: "DustUnauthorizedError",
    message: `Probe.read: the access token could not be obtained (${reason})`,
    type: "token_unavailable",
    details: { reason },
    attempts: 0,
    ...more
  })
  const named = { module: "Theirs", method: "token" }
  const server = (more: object) =>
    new DustServerError({ ...named, message: "down", details: {}, attempts: 1, request: undefined, ...more })
  const rows: ReadonlyArray<readonly [string, unknown, object]> = [
    ["a text", "secret", unavailable("string")],
    ["nothing", undefined, unavailable("undefined")],
    ["null", null, unavailable("object")],
    ["an error", new TypeError("secret"), unavailable("TypeError")],
    ["a tagged value", { _tag: "Odd", secret: 1 }, unavailable("Odd")],
    ["a value without a tag", { secret: 1 }, unavailable("object")],
    [
      "an error of the SDK that says what to do",
      tokenUnavailable(named, 1, "invalid_grant", "; sign in again"),
      unavailable("invalid_grant", {
        message: "Probe.read: the access token could not be obtained (invalid_grant); sign in again",
        details: { reason: "invalid_grant", advice: "; sign in again" }
      })
    ],
    ["an error of the SDK that says why", tokenUnavailable(named, 1, "no_such_token"), unavailable("no_such_token")],
    ["an error of the SDK that was sent", server({ type: "x", messageId: "m" }), unavailable("x")],
    ["an error of the SDK without a type", server({ messageId: "m" }), unavailable("DustServerError")],
    ["a server that is down", server({ type: "token_endpoint", retryAfter: Duration.seconds(7) }), {
      ...same,
      _tag: "DustNetworkError",
      message: "Probe.read: the access token could not be renewed: down",
      type: "token_endpoint",
      details: { reason: "DustServerError" },
      attempts: 0,
      reachedServer: false,
      retryAfter: 7_000
    }],
    ["a server that is down, without a type", server({}), {
      ...same,
      _tag: "DustNetworkError",
      message: "Probe.read: the access token could not be renewed: down",
      type: "token_unavailable",
      details: { reason: "DustServerError" },
      attempts: 0,
      reachedServer: false
    }]
  ]
  it.scoped.each(rows)(
    "because of %s: is a complete error without the secret",
    ([, cause, expected]) =>
      Effect.gen(function*() {
        const client = yield* clientOf(() => json({ ok: true }))
        const call = withCredential(client.execute(read, {}), { accessToken: Effect.fail(cause) })
        assert.deepStrictEqual(complete(yield* Effect.flip(call)), expected)
        assert.lengthOf(client.requests, 0)
      })
  )

  it.scoped("anew is the error of the attempt, and one that is renewed is used at once", () =>
    Effect.gen(function*() {
      let made = 0
      const client = yield* clientOf(({ headers }) =>
        headers["authorization"] === "Bearer t2" ? json({ ok: true }) : failure(401, "expired_oauth_token_error")
      )
      const tokens = (last: number) =>
        Effect.suspend(() => ++made <= last ? Effect.succeed(Redacted.make(`t${made}`)) : Effect.fail({ _tag: "Gone" }))
      assert.deepStrictEqual(yield* withCredential(client.execute(read, {}), { accessToken: tokens(2) }), { ok: true })
      made = 0
      const error = yield* Effect.flip(withCredential(client.execute(read, {}), { accessToken: tokens(1) }))
      assert.deepStrictEqual(complete(error), unavailable("Gone", { attempts: 1 }))
      const fixed = withCredential(client.execute(read, {}), { accessToken: Redacted.make("t1") })
      assert.strictEqual((yield* Effect.flip(fixed)).type, "expired_oauth_token_error")
    }))
})

describe("the exchange of a refresh token", () => {
  const secret = "refresh-secret"
  const token = Effect.flatMap(DustConfig.TokenExchange, ({ refresh }) => refresh(Redacted.make(secret)))

  /** What the exchange gives for a response: its tokens, or its complete error. */
  const exchanged = (answer: (request: Recorded) => Answer) =>
    Effect.gen(function*() {
      let result: unknown
      const client = yield* clientOf(
        (request) => request.url.pathname.endsWith("/authenticate") ? answer(request) : json({ ok: true })
      )
      const accessToken: DustConfig.TokenEffect = token.pipe(
        Effect.tapBoth({
          onFailure: (error) => Effect.sync(() => result = complete(error)),
          onSuccess: ({ accessToken, refreshToken }) =>
            Effect.sync(() => result = [accessToken, refreshToken].map((one) => one && Redacted.value(one)))
        }),
        Effect.map(({ accessToken }) => accessToken)
      )
      yield* untilEnded(Effect.exit(withCredential(client.execute(read, {}), { accessToken })))
      return [result, client.requests[0]] as const
    }).pipe(Effect.scoped)

  it.effect("is one request of a form, without a credential", () =>
    Effect.gen(function*() {
      const [tokens, request] = yield* exchanged(() => json({ access_token: "a", refresh_token: "r" }))
      assert.deepStrictEqual(tokens, ["a", "r"])
      const form = "grant_type=refresh_token&refresh_token=refresh-secret"
      assert.deepStrictEqual(request && { ...request.headers }, {
        accept: "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": String(form.length)
      })
      assert.deepStrictEqual([request?.method, request?.url.href, request?.body], [
        "POST",
        "https://dust.example/api/v1/auth/authenticate",
        form
      ])
    }))

  const identity = {
    module: "DustConfig",
    method: "refreshToken",
    request: { method: "POST", route: "/api/v1/auth/authenticate" },
    attempts: 1
  }
  const refused = (reason: string, advice: string) => ({
    ...identity,
    _tag: "DustUnauthorizedError",
    message: `DustConfig.refreshToken: the access token could not be obtained (${reason})${advice}`,
    type: "token_unavailable",
    details: { reason, advice }
  })
  const signIn = "; sign in again"
  const elsewhere = "; check `baseUrl` (DUST_BASE_URL) and the proxies on the way"
  const failing = (status: number, retryAfter?: number) => ({
    ...identity,
    _tag: "DustServerError",
    message: `DustConfig.refreshToken: the token endpoint responded with ${status}`,
    type: "token_endpoint",
    details: { status },
    ...(retryAfter === undefined ? {} : { retryAfter })
  })
  const noToken = (status: number) => refused(`the token endpoint responded with ${status} and no token`, elsewhere)
  const rows: ReadonlyArray<readonly [string, (request: Recorded) => Answer, unknown]> = [
    ["without a next token", () => json({ access_token: "a" }), ["a", undefined]],
    ["with an empty next token", () => json({ access_token: "a", refresh_token: "" }), ["a", undefined]],
    ["with a byte order mark", () => new Response("\ufeff{\"access_token\":\"a\"}"), ["a", undefined]],
    ["with the last status of success", () => json({ access_token: "a" }, { status: 299 }), ["a", undefined]],
    ["with a token and a redirect", () => json({ access_token: "a" }, { status: 300 }), noToken(300)],
    ["with an empty token", () => json({ access_token: "" }), noToken(200)],
    ["with a number", () => json({ access_token: 7 }), noToken(200)],
    ["with a page", () => new Response("<html>"), noToken(200)],
    ["with a redirect and an error", () => json({ error: "x" }, { status: 399 }), noToken(399)],
    ["with a refusal of a proxy", () => new Response("no", { status: 403 }), noToken(403)],
    ["with a refusal", () => json({ error: "invalid_grant" }, { status: 400 }), refused("invalid_grant", signIn)],
    ["with a refusal of no name", () => json({ error: { a: 1 } }, { status: 400 }), refused("status 400", signIn)],
    [
      "with a refusal that quotes the token",
      () => json({ error: `bad ${secret} ${"x".repeat(99)}` }, { status: 400 }),
      refused(`bad <redacted> ${"x".repeat(49)}`, signIn)
    ],
    [
      "with a rate limit",
      () => new Response("", { status: 429, headers: { "retry-after": "7" } }),
      failing(429, 7_000)
    ],
    ["with a failure", () => new Response("", { status: 500 }), failing(500)],
    ["with a token and a failure", () => json({ access_token: "a" }, { status: 503 }), failing(503)],
    ["with nothing", (request) => transport(request, "ECONNREFUSED"), {
      ...identity,
      _tag: "DustNetworkError",
      message:
        "DustConfig.refreshToken: nothing is listening at https://dust.example; check `baseUrl` (DUST_BASE_URL) and " +
        "the network",
      type: "ECONNREFUSED",
      details: { code: "ECONNREFUSED" },
      reachedServer: false
    }],
    ["with silence", () => Effect.never, {
      ...identity,
      _tag: "DustTimeoutError",
      message: "DustConfig.refreshToken: no response within 1m",
      type: "timeout",
      details: { phase: "headers", limit: "1m" },
      phase: "headers",
      limit: 60_000
    }]
  ]
  it.effect.each(rows)(
    "that is answered %s",
    ([, answer, expected]) => Effect.map(exchanged(answer), ([result]) => assert.deepStrictEqual(result, expected))
  )

  it.effect("reads no more than a pair of tokens needs", () =>
    Effect.gen(function*() {
      let pulled = 0
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          pulled++
          controller.enqueue(new Uint8Array(16 * 1024).fill(32))
        }
      })
      const [result] = yield* exchanged(() => new Response(endless))
      assert.deepStrictEqual(result, noToken(200))
      assert.isAtMost(pulled, 8)
    }))
})

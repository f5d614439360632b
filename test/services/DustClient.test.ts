import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import {
  Duration,
  Effect,
  Either,
  Fiber,
  Layer,
  Metric,
  Option,
  Redacted,
  Schedule,
  Schema,
  Stream,
  TestClock,
  Tracer
} from "effect"
import { Agents } from "effect-dust/Agents"
import { Conversations, type Service as ConversationsService } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import { DustForbiddenError, DustServerError, type RequestError } from "effect-dust/DustAPIError"
import * as DustClientModule from "effect-dust/DustClient"
import { DustClient, operation } from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import * as Telemetry from "effect-dust/Telemetry"
import {
  defaults,
  dust,
  dustUser,
  failure,
  json,
  type Recorded,
  recorder,
  secretKey,
  transport
} from "../support/http.ts"

const Ok = Schema.Struct({ ok: Schema.Boolean })
const ok = () => json({ ok: true })

const read = operation({
  name: "Probe.read",
  http: "GET",
  route: "/api/v1/w/{workspaceId}/probe/{probeId}",
  response: Ok
})
const write = operation({ name: "Probe.write", http: "POST", route: "/api/v1/w/{workspaceId}/probe", response: Ok })
const put = operation({
  name: "Probe.put",
  http: "POST",
  route: "/api/v1/w/{workspaceId}/probe",
  replay: "safe",
  body: Schema.Struct({ count: Schema.Int.pipe(Schema.positive()) }),
  response: Ok
})

const doRead = Effect.flatMap(DustClient, (client) => client.execute(read, { path: { probeId: "p1" } }))
const doWrite = Effect.flatMap(DustClient, (client) => client.execute(write, {}))

/** A call under TestClock, with as much time as it wants. */
const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, time: Duration.DurationInput = "1 hour") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

const failing = <A, R>(self: Effect.Effect<A, RequestError, R>) => Effect.flip(self)

describe("done already", () => {
  const ref = { conversationId: "c", messageId: "m", actionId: "a", approved: "rejected" } as const
  const gone = () => failure(400, "action_not_blocked")
  const cases: ReadonlyArray<readonly [string, () => Response, boolean]> = [
    ["may have been carried out: a success", () => failure(502, undefined), true],
    ["was not carried out (a rate limit): somebody else was quicker", () => failure(429, "rate_limit_error"), false],
    [
      "was not carried out (an old token): somebody else was quicker",
      () => failure(401, "expired_oauth_token_error"),
      false
    ]
  ]
  it.effect.each(cases)("after an attempt that %s", ([, first, success]) => {
    const { layer, requests } = dustUser(({ nth }) => nth === 1 ? first() : gone(), {
      accessToken: Effect.sync(() => Redacted.make("a.token"))
    })
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const fiber = yield* Effect.fork(Effect.either(conversations.validateAction(ref)))
      yield* TestClock.adjust("20 seconds")
      const answer = yield* Fiber.join(fiber)
      assert.lengthOf(requests, 2)
      assert.strictEqual(Either.isRight(answer), success)
      if (Either.isLeft(answer)) assert.strictEqual(answer.left.type, "action_not_blocked")
    }).pipe(Effect.provide(layer))
  })
})

describe("done already: deleting what no longer exists", () => {
  const ref = { conversationId: "c", messageId: "m" }
  const cases: ReadonlyArray<
    readonly [string, number, string, (_: ConversationsService) => Effect.Effect<void, RequestError>, boolean]
  > = [
    ["a verdict", 400, "invalid_request_error", (_) => _.deleteFeedback(ref), true],
    ["a conversation that was left", 403, "conversation_access_restricted", (_) => _.delete(ref), true],
    [
      "a conversation that was left, in so many words",
      403,
      "conversation_access_restricted",
      (_) => _.delete({ ...ref, force: false }),
      true
    ],
    [
      "a conversation of another user",
      403,
      "conversation_access_restricted",
      (_) => _.delete({ ...ref, force: true }),
      false
    ]
  ]
  it.effect.each(cases)("%s", ([, status, type, call, success]) => {
    const { layer, requests } = dustUser(({ nth }) => nth === 1 ? failure(502, undefined) : failure(status, type))
    return Effect.gen(function*() {
      const answer = yield* inTime(Effect.either(Effect.flatMap(Conversations, call)))
      assert.deepStrictEqual([Either.isRight(answer), requests.length], [success, 2])
    }).pipe(Effect.provide(layer))
  })
})

describe("Typed, or it did not happen", () => {
  const post = operation({
    name: "Probe.post",
    http: "POST",
    route: "/api/v1/w/{workspaceId}/probe",
    body: Schema.Struct({ value: Schema.Unknown }),
    response: Ok
  })
  const circular: Record<string, unknown> = {}
  circular["self"] = circular

  it.effect.each([
    ["a bigint", 1n],
    ["a circle", circular],
    ["something that does not want to be JSON", {
      toJSON: () => {
        throw new Error("no")
      }
    }]
  ])("a body with %s is refused before any request", ([, value]) => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      const client = yield* DustClient
      const error = yield* Effect.flip(client.execute(post, { body: { value } }))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.strictEqual(error.attempts, 0)
      assert.deepPropertyVal(error.details, "field", "body")
      assert.lengthOf(requests, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a wiped or invalid token is reported as an unavailable credential", () => {
    const wiped = Redacted.make("wiped.token")
    Redacted.unsafeWipe(wiped)
    return Effect.gen(function*() {
      for (const token of [wiped, "text" as unknown as Redacted.Redacted<string>]) {
        const { layer, requests } = dustUser(ok, { accessToken: Effect.succeed(token) })
        const error = yield* Effect.flip(Effect.provide(doRead, layer))
        assert.strictEqual(error._tag, "DustUnauthorizedError")
        assert.strictEqual(error.type, "token_unavailable")
        assert.lengthOf(requests, 0)
      }
    })
  })
})

describe("a request", () => {
  it.effect("has the credential, the agent, the address with its prefix, the extra headers", () => {
    const { layer, requests } = dust(ok, {
      baseUrl: "https://proxy.example/dust/",
      headers: { "X-Team": "core", "x-secret": Redacted.make("s3cret") }
    })
    return Effect.gen(function*() {
      yield* doRead
      const [request] = requests
      assert.strictEqual(request?.url.href, "https://proxy.example/dust/api/v1/w/ws1/probe/p1")
      assert.strictEqual(request?.method, "GET")
      assert.strictEqual(request?.body, undefined)
      assert.strictEqual(request?.headers["authorization"], `Bearer ${secretKey}`)
      assert.match(request?.headers["user-agent"] ?? "", /^effect-dust\/\d/)
      assert.strictEqual(request?.headers["accept"], "application/json")
      assert.deepStrictEqual([request?.headers["x-team"], request?.headers["x-secret"]], ["core", "s3cret"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("carries no tracing headers, to Dust or to storage", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      const { anonymous } = yield* DustClient
      yield* doRead
      yield* Effect.scoped(anonymous.get("https://storage.example/signed"))
      assert.deepStrictEqual(
        requests.flatMap(({ headers }) => Object.keys(headers)).filter((name) => /trace|b3/.test(name)),
        []
      )
      assert.lengthOf(requests, 2)
    }).pipe(Effect.withSpan("caller"), Effect.provide(layer))
  })

  it.effect("sends {} where there is nothing to send, and the body as JSON where there is", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      yield* doWrite
      const client = yield* DustClient
      yield* client.execute(put, { body: { count: 3 } })
      assert.deepStrictEqual(requests.map((request) => request.body), ["{}", "{\"count\":3}"])
      const types = requests.map(({ request }) => request.body._tag === "Uint8Array" ? request.body.contentType : "")
      assert.deepStrictEqual(types, ["application/json", "application/json"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuses a body that does not fit, by its field, before anything is sent", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      const client = yield* DustClient
      const error = yield* Effect.flip(client.execute(put, { body: { count: 0 } }))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.deepInclude(error, { attempts: 0, type: "invalid_input" })
      assert.match(error.message, /^Probe\.put: count must be /)
      assert.lengthOf(requests, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("omits undefined query parameters and repeats lists", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      const client = yield* DustClient
      yield* client.execute(read, {
        path: { probeId: "a/b" },
        query: { q: "x&y=z#?", n: 3, b: false, nothing: null, missing: undefined, many: ["1", "2"] }
      })
      assert.strictEqual(requests[0]?.url.pathname, "/api/v1/w/ws1/probe/a%2Fb")
      assert.deepStrictEqual([...(requests[0]?.url.searchParams ?? [])], [
        ["q", "x&y=z#?"],
        ["n", "3"],
        ["b", "false"],
        ["many", "1"],
        ["many", "2"]
      ])
      assert.strictEqual(requests[0]?.url.hash, "")
    }).pipe(Effect.provide(layer))
  })

  it.effect("Input cannot steer the URL: an address from the server is used on the Dust origin only", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      const client = yield* DustClient
      for (const url of ["https://evil.example/a", "//evil.example/a", "http://[", "ftp://dust.example/a"]) {
        const error = yield* Effect.flip(client.execute(read, { path: { probeId: "p" }, url }))
        assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "address_refused"])
      }
      assert.lengthOf(requests, 0)
      yield* client.execute(read, { path: { probeId: "p" }, url: "http://dust.example/signed?x=1" })
      assert.strictEqual(requests[0]?.url.href, "https://dust.example/signed?x=1")
    }).pipe(Effect.provide(layer))
  })
})

describe("Retries are polite", () => {
  const statuses: ReadonlyArray<
    readonly [status: number, type: string | undefined, safe: boolean, once: boolean]
  > = [
    [400, "invalid_request_error", false, false],
    [401, "invalid_api_key_error", false, false],
    [403, "workspace_auth_error", false, false],
    [403, "credits_exhausted", false, false],
    [404, "conversation_not_found", false, false],
    [409, "invalid_request_error", false, false],
    [413, "content_too_large", false, false],
    [422, "unprocessable_entity", false, false],
    [501, undefined, false, false],
    [505, undefined, false, false],
    [408, undefined, true, false],
    [425, undefined, true, true],
    [500, "internal_server_error", true, false],
    [502, undefined, true, false],
    [503, undefined, true, false],
    [504, undefined, true, false],
    [503, "service_unavailable", true, true],
    [429, undefined, true, true],
    [429, "rate_limit_error", true, true],
    [403, "rate_limit_error", true, true]
  ]

  for (const [replay, run] of [["safe", doRead], ["once", doWrite]] as const) {
    it.effect.each(statuses)(`Retries are polite: %d %s (${replay})`, ([status, type, safe, once]) => {
      const { layer, requests } = dust(({ nth }) =>
        nth > 1 ? ok() : type === undefined ? new Response("oops", { status }) : failure(status, type)
      )
      return Effect.gen(function*() {
        const result = yield* inTime(Effect.either(run))
        const repeated = replay === "safe" ? safe : once
        assert.strictEqual(requests.length, repeated ? 2 : 1)
        assert.strictEqual(Either.isRight(result), repeated)
      }).pipe(Effect.provide(layer))
    })
  }

  const failures: ReadonlyArray<readonly [code: string | undefined, safe: boolean, once: boolean]> = [
    ["ECONNREFUSED", true, true],
    ["ENOTFOUND", true, true],
    ["EAI_AGAIN", true, true],
    ["EHOSTUNREACH", true, true],
    ["ENETUNREACH", true, true],
    ["ENETDOWN", true, true],
    ["EHOSTDOWN", true, true],
    ["EADDRNOTAVAIL", true, true],
    ["UND_ERR_CONNECT_TIMEOUT", true, true],
    ["ConnectionRefused", true, true],
    ["ERR_SSL_WRONG_VERSION_NUMBER", true, true],
    // A certificate does not change between two attempts.
    ["ERR_TLS_CERT_ALTNAME_INVALID", false, false],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", false, false],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", false, false],
    ["CERT_HAS_EXPIRED", false, false],
    ["ECONNRESET", true, false],
    ["UND_ERR_SOCKET", true, false],
    ["EPIPE", true, false],
    [undefined, true, false]
  ]

  for (const [replay, run] of [["safe", doRead], ["once", doWrite]] as const) {
    it.effect.each(failures)(
      `Retries are polite: a connection that fails with %s (${replay})`,
      ([code, safe, once]) => {
        const { layer, requests } = dust((request) => request.nth > 1 ? ok() : transport(request, code))
        return Effect.gen(function*() {
          const result = yield* inTime(Effect.either(run))
          const repeated = replay === "safe" ? safe : once
          assert.strictEqual(requests.length, repeated ? 2 : 1)
          if (Either.isLeft(result)) {
            assert.strictEqual(result.left._tag, "DustNetworkError")
            assert.propertyVal(result.left, "reachedServer", safe)
          }
        }).pipe(Effect.provide(layer))
      }
    )
  }

  it.effect("retries a 409 of a busy conversation", () => {
    const busy = operation({
      name: "Probe.busy",
      http: "POST",
      route: "/api/v1/w/{workspaceId}/assistant/conversations/{conversationId}/messages",
      response: Ok
    })
    const { layer, requests } = dust(({ nth }) => nth > 1 ? ok() : failure(409, "invalid_request_error", "compaction"))
    return Effect.gen(function*() {
      const client = yield* DustClient
      yield* inTime(client.execute(busy, { path: { conversationId: "c" } }))
      assert.lengthOf(requests, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: four more attempts, further and further apart, with jitter", () => {
    const { layer, requests } = dust(() => failure(500, "internal_server_error"))
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead))
      assert.strictEqual(error.attempts, 5)
      assert.lengthOf(requests, 5)
      const pauses = requests.slice(1).map((request, index) => request.at - (requests[index]?.at ?? 0))
      for (const [index, base] of [500, 1000, 2000, 4000].entries()) {
        assert.isAtLeast(pauses[index] ?? 0, base * 0.8)
        assert.isAtMost(pauses[index] ?? 0, base * 1.2)
      }
      assert.notDeepEqual(pauses, [500, 1000, 2000, 4000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: Retry-After in seconds is waited for", () => {
    const { layer, requests } = dust(({ nth }) =>
      nth > 1 ? ok() : failure(429, "rate_limit_error", "Slow down", { "retry-after": "30" })
    )
    return Effect.gen(function*() {
      yield* inTime(doRead)
      assert.strictEqual((requests[1]?.at ?? 0) - (requests[0]?.at ?? 0), 30_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: Retry-After as a date is waited for, by the clock of Effect", () => {
    const { layer, requests } = dust(({ nth }) =>
      nth > 1 ? ok() : failure(503, "service_unavailable", "Soon", { "retry-after": "Thu, 01 Jan 1970 00:02:00 GMT" })
    )
    return Effect.gen(function*() {
      yield* TestClock.setTime(100_000)
      yield* inTime(doWrite)
      assert.deepStrictEqual(requests.map(({ at }) => at), [100_000, 120_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: a Retry-After over the cap fails at once, with its value", () => {
    const { layer, requests } = dust(() => failure(429, "rate_limit_error", "Slow down", { "retry-after": "61" }))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(doRead)
      assert.strictEqual(error._tag, "DustRateLimitError")
      assert.strictEqual(error.retryAfter === undefined ? 0 : Duration.toSeconds(error.retryAfter), 61)
      assert.lengthOf(requests, 1)
      yield* inTime(
        failing(doRead).pipe(DustClientModule.withOptions({ retry: RetryPolicy.make({ maxRetryAfter: 61_000 }) }))
      )
      assert.isAbove(requests.length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: never later than maxElapsed", () => {
    const { layer, requests } = dust(() => failure(503, "service_unavailable", "Soon", { "retry-after": "10" }), {
      retry: RetryPolicy.make({ retries: 100, maxElapsed: "35 seconds" })
    })
    return Effect.gen(function*() {
      yield* inTime(failing(doRead))
      assert.deepStrictEqual(requests.map(({ at }) => at), [0, 10_000, 20_000, 30_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a policy can be a schedule of one's own that looks at the error", () => {
    const { layer, requests } = dust(
      ({ nth }) => nth < 3 ? failure(500, "internal_server_error") : new Response("", { status: 502 }),
      {
        retry: RetryPolicy.make({
          schedule: Schedule.spaced("3 seconds").pipe(
            Schedule.whileInput((error: RequestError) => error.status === 500)
          )
        })
      }
    )
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead))
      assert.strictEqual(error.status, 502)
      assert.deepStrictEqual(requests.map(({ at }) => at), [0, 3000, 6000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("presets: none, standard, patient", () =>
    Effect.gen(function*() {
      const counts: Array<number> = []
      for (const retry of [RetryPolicy.none, RetryPolicy.standard, RetryPolicy.patient]) {
        const { layer, requests } = dust(() => failure(500, "internal_server_error"), { retry })
        yield* inTime(failing(doRead)).pipe(Effect.provide(layer))
        counts.push(requests.length)
      }
      assert.deepStrictEqual(counts, [1, 5, 13])
      assert.deepStrictEqual(
        [RetryPolicy.none, RetryPolicy.standard, RetryPolicy.patient].map(({ maxElapsed, maxRetryAfter }) => [
          Duration.toSeconds(maxElapsed),
          Duration.toSeconds(maxRetryAfter)
        ]),
        [[0, 60], [120, 60], [900, 300]]
      )
    }))

  const pauses: ReadonlyArray<readonly [string, RetryPolicy.RetryPolicy, ReadonlyArray<number>]> = [
    ["a policy", RetryPolicy.make({ base: "20 seconds" }), [20, 30, 30]],
    ["a longest pause", RetryPolicy.make({ base: "1 second", maxDelay: "3 seconds" }), [1, 2, 3, 3]],
    ["no further attempt", RetryPolicy.make({ retries: 0 }), []],
    ["patient", RetryPolicy.patient, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120]]
  ]

  it.effect.each(pauses)("Retries are polite: the pauses of %s", ([, retry, expected]) => {
    const { layer, requests } = dust(() => failure(500, "internal_server_error"), { retry })
    return Effect.gen(function*() {
      yield* inTime(failing(doRead))
      for (const [index, base] of expected.entries()) {
        const pause = requests[index + 1]!.at - requests[index]!.at
        assert.isAtLeast(pause, base * 800, `${index}`)
        assert.isAtMost(pause, base * 1200, `${index}`)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("Retries are polite: an attempt that starts exactly at the end of maxElapsed is made", () => {
    const { layer, requests } = dust(() => failure(503, "service_unavailable", "Soon", { "retry-after": "40" }))
    return Effect.gen(function*() {
      yield* inTime(failing(doRead))
      assert.deepStrictEqual(requests.map(({ at }) => at), [0, 40_000, 80_000, 120_000])
    }).pipe(Effect.provide(layer))
  })
})

describe("Nothing hangs: every wait before an answer", () => {
  it.effect("of the server that a redirect leads to", () => {
    const { layer } = dust(
      ({ nth }) => nth === 1 ? new Response(null, { status: 307, headers: { location: "/elsewhere" } }) : Effect.never,
      {
        retry: RetryPolicy.none,
        timeouts: { headers: "2 seconds" }
      }
    )
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead), "2 seconds")
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "headers")
    }).pipe(Effect.provide(layer))
  })

  it.effect("of a token that is renewed", () => {
    let asked = 0
    const { layer } = dustUser(() => failure(401, "expired_oauth_token_error"), {
      accessToken: Effect.suspend(() => ++asked === 1 ? Effect.succeed(Redacted.make("t1")) : Effect.never),
      retry: RetryPolicy.none,
      timeouts: { headers: "2 seconds" }
    })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead), "2 seconds")
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "headers")
    }).pipe(Effect.provide(layer))
  })

  it.effect("of an endless error body", () => {
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (++pulled === 2_000) controller.close()
        else controller.enqueue(new Uint8Array(16 * 1024).fill(120))
      }
    })
    const { layer } = dust(() => new Response(endless, { status: 500 }), { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      assert.strictEqual((yield* failing(doRead))._tag, "DustServerError")
      assert.isBelow(pulled, 100)
    }).pipe(Effect.provide(layer))
  })
})

describe("options of one call", () => {
  it.effect("replace the retry policy, and end with the call", () => {
    const { layer, requests } = dust(() => failure(500, "internal_server_error"))
    return Effect.gen(function*() {
      yield* failing(doRead).pipe(DustClientModule.withOptions({ retry: RetryPolicy.none }))
      assert.lengthOf(requests, 1)
      yield* inTime(failing(doRead))
      assert.lengthOf(requests, 6)
    }).pipe(Effect.provide(layer))
  })

  it.effect("of the outer scope apply where the inner ones set nothing", () => {
    const { layer, requests } = dust(({ nth }) => nth === 1 ? new Response("oops", { status: 500 }) : Effect.never)
    return Effect.gen(function*() {
      const inside = (options: DustClientModule.CallOptions) =>
        failing(doRead).pipe(DustClientModule.withOptions(options))
      const once = inside({ timeouts: { body: "1 second" } }).pipe(
        DustClientModule.withOptions({ retry: RetryPolicy.none })
      )
      assert.strictEqual((yield* inTime(once))._tag, "DustServerError")
      assert.lengthOf(requests, 1)
      const short = inside({ timeouts: { headers: undefined }, retry: RetryPolicy.none }).pipe(
        DustClientModule.withOptions({ timeouts: { headers: "2 seconds" } })
      )
      const error = yield* inTime(short, "2 seconds")
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "headers")
    }).pipe(Effect.provide(layer))
  })

  it.effect("add headers, the inner ones over the outer and the configured ones", () => {
    const { layer, requests } = dust(ok, { headers: { "x-a": "layer", "x-b": "layer", "x-c": "layer" } })
    return Effect.gen(function*() {
      yield* doRead.pipe(
        DustClientModule.withOptions({ headers: { "X-C": Redacted.make("inner") } }),
        DustClientModule.withOptions({ headers: { "x-b": "outer", "x-c": "outer" } })
      )
      const { headers } = requests[0]!
      assert.deepStrictEqual([headers["x-a"], headers["x-b"], headers["x-c"]], ["layer", "outer", "inner"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("replace each limit, and leave the others", () => {
    const { layer } = dust(() => Effect.never, { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const short = yield* inTime(
        failing(doRead).pipe(
          DustClientModule.withOptions({ timeouts: { headers: "2 seconds", total: undefined } }),
          DustClientModule.withOptions({ timeouts: { headers: "9 seconds", total: "10 seconds" } })
        ),
        "2 seconds"
      )
      assert.isTrue(short._tag === "DustTimeoutError" && short.phase === "headers")
      const total = yield* inTime(
        failing(doRead).pipe(
          DustClientModule.withOptions({ timeouts: { headers: "1 minute" } }),
          DustClientModule.withOptions({ timeouts: { total: "10 seconds" } })
        ),
        "10 seconds"
      )
      assert.isTrue(total._tag === "DustTimeoutError" && total.phase === "total")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a policy of its own has the time it may take, unless a total limit was chosen", () => {
    const { layer, requests } = dust(() => failure(500, "internal_server_error"))
    const chosen = dust(() => failure(500, "internal_server_error"), { timeouts: { total: "10 seconds" } })
    const patiently = inTime(failing(doRead).pipe(DustClientModule.withOptions({ retry: RetryPolicy.patient })))
    return Effect.gen(function*() {
      const error = yield* Effect.provide(patiently, layer)
      assert.deepStrictEqual([error._tag, requests.length > 10], ["DustServerError", true])
      const cut = yield* Effect.provide(patiently, chosen.layer)
      assert.isTrue(cut._tag === "DustTimeoutError" && cut.phase === "total" && Duration.toSeconds(cut.limit) === 10)
    })
  })

  it.effect("and its last attempt has all the time of an attempt", () => {
    const { layer } = dust(({ nth }) =>
      nth === 1
        ? failure(503, "service_unavailable", "Soon", { "retry-after": "10" })
        : Effect.as(Effect.sleep("59 seconds"), new Response(new ReadableStream()))
    )
    return Effect.gen(function*() {
      const retry = RetryPolicy.make({ retries: 1, maxElapsed: "10 seconds" })
      const error = yield* inTime(failing(doRead).pipe(DustClientModule.withOptions({ retry })))
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "body" && error.attempts === 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("limits hold for operations, too, that are given more time by themselves", () => {
    const slow = operation({
      name: "Probe.slow",
      http: "POST",
      route: "/api/v1/w/{workspaceId}/slow",
      response: Ok,
      timeouts: { headers: "10 minutes" }
    })
    const { layer } = dust(() => Effect.never)
    return Effect.gen(function*() {
      const client = yield* DustClient
      for (const phase of ["headers", "total"] as const) {
        const error = yield* inTime(
          failing(client.execute(slow, {})).pipe(DustClientModule.withOptions({ timeouts: { [phase]: "2 seconds" } })),
          "3 seconds"
        )
        assert.isTrue(error._tag === "DustTimeoutError" && error.phase === phase)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("that are invalid fail the call before its request", () => {
    const { layer, requests } = dust(ok)
    return Effect.gen(function*() {
      for (
        const [options, field] of [
          [{ headers: { "x-a": "日本" } }, "headers.x-a"],
          [{ headers: { "x-a": Redacted.make("a\r\nb: c") } }, "headers.x-a"],
          [{ headers: { authorization: "Bearer x" } }, "headers.authorization"],
          [{ timeouts: { headers: "soon" as Duration.DurationInput } }, "timeouts.headers"],
          [{ timeouts: { total: 0 } }, "timeouts.total"]
        ] as const
      ) {
        const error = yield* Effect.flip(DustClientModule.withOptions(options)(doRead))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.include(error.message, `${field} must be `)
        assert.notInclude(error.message, "a\r\nb")
      }
      assert.lengthOf(requests, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("for a stream: headers, limits and retries are those given", () => {
    const { layer, requests } = dust(({ nth }) =>
      nth === 1
        ? failure(500, "internal_server_error")
        : new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("a")) }))
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const download = conversations.downloadFile({ conversationId: "c", path: "a.txt" })
      const none = yield* Effect.flip(
        Stream.runDrain(download.pipe(DustClientModule.withStreamOptions({ retry: RetryPolicy.none })))
      )
      assert.strictEqual(none._tag, "DustServerError")
      assert.lengthOf(requests, 1)
      const silent = yield* inTime(
        Effect.flip(
          Stream.runDrain(
            download.pipe(
              DustClientModule.withStreamOptions({ timeouts: { idle: "5 seconds" }, headers: { "x-a": "inner" } }),
              DustClientModule.withStreamOptions({
                timeouts: { idle: "1 hour" },
                headers: { "x-a": "outer", "x-b": "b" }
              })
            )
          )
        ),
        "5 seconds"
      )
      assert.isTrue(silent._tag === "DustTimeoutError" && silent.phase === "idle")
      assert.deepStrictEqual([requests[1]?.headers["x-a"], requests[1]?.headers["x-b"]], ["inner", "b"])
    }).pipe(Effect.provide(layer))
  })
})

describe("Nothing hangs", () => {
  const slowBody = () =>
    new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("{\"ok\"")) }))

  it.effect("Nothing hangs: no headers", () => {
    const { layer, requests } = dust(() => Effect.never, { timeouts: { headers: "7 seconds" } })
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(failing(doWrite))
      yield* TestClock.adjust("6999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      if (error._tag !== "DustTimeoutError") return assert.fail(error._tag)
      assert.deepStrictEqual([error.phase, Duration.toSeconds(error.limit), error.attempts], ["headers", 7, 1])
      assert.strictEqual(error.message, "Probe.write: no response within 7s")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: a body without an end", () => {
    const { layer } = dust(slowBody, { timeouts: { body: "3 seconds" } })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doWrite), "3 seconds")
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "body")
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: an error body without an end is still the error of its status", () => {
    const { layer } = dust(() => new Response(slowBody().body, { status: 404 }), { timeouts: { body: "3 seconds" } })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead), "3 seconds")
      assert.strictEqual(error._tag, "DustNotFoundError")
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: all attempts together, also during a pause", () => {
    const { layer, requests } = dust(() => failure(429, "rate_limit_error", "Slow down", { "retry-after": "50" }), {
      timeouts: { total: "70 seconds" },
      retry: RetryPolicy.make({ maxElapsed: "10 minutes" })
    })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead), "70 seconds")
      if (error._tag !== "DustTimeoutError") return assert.fail(error._tag)
      assert.deepStrictEqual([error.phase, error.attempts], ["total", 2])
      assert.match(error.message, /not finished within 1m 10s; the last failure: 429 rate_limit_error: Slow down/)
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(requests, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: slow reads are tried again, slow writes are not", () => {
    const { layer, requests } = dust(() => Effect.never)
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead))
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.deepStrictEqual(requests.map(({ method }) => method), ["GET", "GET"])
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "headers")
      yield* inTime(failing(doWrite))
      assert.deepStrictEqual(requests.map(({ method }) => method), ["GET", "GET", "POST"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: a token that never comes", () => {
    const { layer, requests } = dustUser(ok, {
      accessToken: Effect.never,
      timeouts: { headers: "4 seconds" },
      retry: RetryPolicy.none
    })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doRead), "4 seconds")
      assert.isTrue(error._tag === "DustTimeoutError" && error.attempts === 0)
      assert.lengthOf(requests, 0)
    }).pipe(Effect.provide(layer))
  })
})

describe("a token that is an Effect", () => {
  /** Tokens t1, t2, …; the server takes the newest that is allowed. */
  const rotating = (options: { readonly valid: () => string }) => {
    let made = 0
    const token = Effect.map(Effect.sleep("100 millis"), () => Redacted.make(`t${++made}`))
    const server = (request: Recorded) =>
      request.headers["authorization"] === `Bearer ${options.valid()}`
        ? ok()
        : failure(401, "expired_oauth_token_error", "expired")
    return { token, server, made: () => made }
  }

  it.effect.each(["expired_oauth_token_error", "invalid_oauth_token_error"])("is run again after %s", (type) => {
    let made = 0
    const { layer, requests } = dustUser(({ nth }) => nth === 1 ? failure(401, type) : ok(), {
      accessToken: Effect.sync(() => Redacted.make(`t${++made}`))
    })
    return Effect.gen(function*() {
      yield* inTime(doRead, "1 second")
      assert.deepStrictEqual(requests.map(({ headers }) => headers["authorization"]), ["Bearer t1", "Bearer t2"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is run once for many callers, and once more for all of them when it expires", () => {
    let valid = "t1"
    const { made, server, token } = rotating({ valid: () => valid })
    const { layer, requests } = dustUser(server, { accessToken: token })
    return Effect.gen(function*() {
      const many = Effect.all(Array.from({ length: 50 }, () => doRead), { concurrency: "unbounded" })
      yield* inTime(many, "1 second")
      assert.strictEqual(made(), 1)
      assert.lengthOf(requests, 50)
      valid = "t2"
      yield* inTime(many, "1 second")
      assert.strictEqual(made(), 2)
      assert.lengthOf(requests, 150)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not renewed again for a caller that learns late that it had expired", () => {
    const { made, server, token } = rotating({ valid: () => "t2" })
    const { layer, requests } = dustUser(
      (request) =>
        request.url.pathname.endsWith("/late") && request.headers["authorization"] === "Bearer t1"
          ? Effect.as(Effect.sleep("10 seconds"), server(request))
          : server(request),
      { accessToken: token }
    )
    return Effect.gen(function*() {
      const client = yield* DustClient
      yield* inTime(
        Effect.all([doRead, client.execute(read, { path: { probeId: "late" } })], { concurrency: "unbounded" }),
        "20 seconds"
      )
      assert.strictEqual(made(), 2)
      assert.lengthOf(requests, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is renewed once per call: a second refusal is the error", () => {
    const { made, server, token } = rotating({ valid: () => "never" })
    const { layer, requests } = dustUser(server, { accessToken: token })
    return Effect.gen(function*() {
      const error = yield* inTime(failing(doWrite), "1 second")
      assert.deepStrictEqual([error._tag, error.type, error.attempts], [
        "DustUnauthorizedError",
        "expired_oauth_token_error",
        2
      ])
      assert.strictEqual(made(), 2)
      assert.lengthOf(requests, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not renewed for other refusals, and a fixed token never is", () =>
    Effect.gen(function*() {
      for (const type of ["workspace_auth_error", "invalid_request_error"]) {
        const { layer, requests } = dustUser(() => failure(401, type), {
          accessToken: Effect.succeed(Redacted.make("t"))
        })
        yield* failing(doRead).pipe(Effect.provide(layer))
        assert.lengthOf(requests, 1)
      }
      const { layer, requests } = dustUser(() => failure(401, "expired_oauth_token_error"))
      yield* failing(doRead).pipe(Effect.provide(layer))
      assert.lengthOf(requests, 1)
    }))

  it.effect("that fails, dies or is not a valid header is an error without its secret, and no request", () =>
    Effect.gen(function*() {
      for (
        const accessToken of [
          Effect.fail({ _tag: "VaultClosed", secret: "hunter2" }),
          Effect.fail({ message: "hunter2" }),
          Effect.die(new Error("hunter2")),
          Effect.interrupt,
          Effect.succeed(Redacted.make("hunter2\r\nx: y")),
          Effect.succeed(Redacted.make(""))
        ]
      ) {
        const { layer, requests } = dustUser(ok, { accessToken })
        const error = yield* failing(doRead).pipe(Effect.provide(layer))
        assert.deepStrictEqual([error._tag, error.type, error.attempts], [
          "DustUnauthorizedError",
          "token_unavailable",
          0
        ])
        assert.notInclude(JSON.stringify(error), "hunter2")
        assert.lengthOf(requests, 0)
      }
    }))

  const said = {
    module: "Vault",
    method: "read",
    message: "the vault is down",
    type: undefined,
    details: {},
    attempts: 3
  }
  it.effect("that fails with an error of the SDK is an error that says why, and is repeated if that one can be", () =>
    Effect.gen(function*() {
      const down = { ...said, request: undefined, status: 503, retryAfter: Duration.seconds(9) }
      const refused = { ...said, request: undefined, status: 403 }
      const errorOf = (accessToken: Effect.Effect<never, RequestError>) =>
        failing(doRead).pipe(Effect.provide(dustUser(ok, { accessToken, retry: RetryPolicy.none }).layer))
      const passing = yield* errorOf(Effect.fail(new DustServerError(down)))
      assert.deepStrictEqual(
        [passing._tag, passing.type, passing.isRetryable, passing.details],
        ["DustNetworkError", "token_unavailable", true, { reason: "DustServerError" }]
      )
      assert.propertyVal(passing, "reachedServer", false)
      assert.deepStrictEqual(passing.retryAfter, Duration.seconds(9))
      assert.include(passing.message, "the access token could not be renewed: the vault is down")
      const typed = yield* errorOf(Effect.fail(new DustServerError({ ...down, type: "vault_down" })))
      assert.strictEqual(typed.type, "vault_down")
      const final = yield* errorOf(Effect.fail(new DustForbiddenError(refused)))
      assert.deepStrictEqual(
        [final._tag, final.type, final.isRetryable, final.details],
        ["DustUnauthorizedError", "token_unavailable", false, { reason: "DustForbiddenError" }]
      )
      const named = yield* errorOf(Effect.fail(new DustForbiddenError({ ...refused, type: "vault_closed" })))
      assert.include(named.message, "could not be obtained (vault_closed)")
    }))

  it.effect("that failed is asked again by the next call", () => {
    let tries = 0
    const accessToken = Effect.suspend(() => ++tries === 1 ? Effect.fail("closed") : Effect.succeed(Redacted.make("t")))
    const { layer } = dustUser(ok, { accessToken })
    return Effect.gen(function*() {
      yield* failing(doRead)
      assert.deepStrictEqual(yield* doRead, { ok: true })
      assert.strictEqual(tries, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("fails once for all waiting callers", () => {
    let tries = 0
    const accessToken = Effect.zipRight(Effect.sleep("10 seconds"), Effect.suspend(() => Effect.fail(`no ${++tries}`)))
    const { layer } = dustUser(ok, { accessToken })
    return Effect.gen(function*() {
      const many = Effect.all(Array.from({ length: 50 }, () => failing(doRead)), { concurrency: "unbounded" })
      const errors = yield* inTime(many, "10 seconds")
      assert.isTrue(errors.every(({ type }) => type === "token_unavailable"))
      assert.strictEqual(tries, 1)
      yield* inTime(many, "10 seconds")
      assert.strictEqual(tries, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that cannot be sent is asked for again by the next call", () => {
    let tries = 0
    const { layer } = dustUser(ok, { accessToken: Effect.sync(() => Redacted.make(++tries === 1 ? "" : "t")) })
    return Effect.gen(function*() {
      assert.strictEqual((yield* failing(doRead)).type, "token_unavailable")
      assert.deepStrictEqual(yield* doRead, { ok: true })
    }).pipe(Effect.provide(layer))
  })

  it.effect("may be wiped by the application at any time, and may have been read from a file", () => {
    const token = Redacted.make("secret.token\n")
    const { layer, requests } = dustUser(
      ({ nth }) => {
        if (nth === 1) {
          Redacted.unsafeWipe(token)
          return new Response("you sent secret.token", { status: 400 })
        }
        return ok()
      },
      { accessToken: Effect.succeed(token) }
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* failing(doRead)).details, "you sent <redacted>")
      assert.deepStrictEqual(yield* doRead, { ok: true })
      assert.strictEqual(requests[1]?.headers["authorization"], "Bearer secret.token")
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not lost to the others when the caller that asked for it goes away", () => {
    const { made, server, token } = rotating({ valid: () => "t1" })
    const { layer } = dustUser(server, { accessToken: token })
    return Effect.gen(function*() {
      const first = yield* Effect.fork(doRead)
      yield* TestClock.adjust("50 millis")
      const second = yield* Effect.fork(doRead)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* Fiber.join(second), { ok: true })
      assert.strictEqual(made(), 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is renewed for streams and downloads, too", () => {
    let valid = "t1"
    const { made, server, token } = rotating({ valid: () => valid })
    const { layer } = dustUser(server, { accessToken: token })
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const download = Stream.runDrain(conversations.downloadFile({ conversationId: "c", path: "a" }))
      yield* inTime(download, "1 second")
      valid = "t2"
      yield* inTime(download, "1 second")
      assert.strictEqual(made(), 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("works against a server whose tokens expire", () =>
    Effect.gen(function*() {
      const dustTest = yield* DustTest.DustTest
      const conversations = yield* Conversations
      yield* conversations.create()
      yield* dustTest.expireToken("first.token")
      yield* conversations.create()
      const seen = yield* dustTest.requests({ method: "POST" })
      assert.deepStrictEqual(seen.map(({ status }) => status), [200, 401, 200])
    }).pipe(Effect.provide(DustTest.layer({
      credentials: {
        userTokens: [{ value: "first.token", user: { email: "a@b.c" } }, {
          value: "second.token",
          user: { email: "a@b.c" }
        }]
      },
      credential: {
        accessToken: Effect.map(
          Effect.sync(() => ++handedOut),
          (nth) => Redacted.make(nth === 1 ? "first.token" : "second.token")
        )
      }
    }))))
  let handedOut = 0
})

describe("an answer that is none", () => {
  const answers: ReadonlyArray<readonly [string, () => Response, string, RegExp]> = [
    [
      "a page of HTML with 200",
      () => new Response("<html>Welcome</html>", { headers: { "content-type": "text/html; charset=utf-8" } }),
      "DustDecodeError",
      /expected JSON but received text\/html; check that `baseUrl`/
    ],
    [
      "an empty 200",
      () => new Response(null),
      "DustDecodeError",
      /expected JSON but received a body without a content type/
    ],
    ["JSON of another shape", () => json({ ok: "secret-value" }), "DustDecodeError", /ok must be a boolean/],
    ["JSON null", () => json(null), "DustDecodeError", /the body must be /],
    ["a 502 of HTML", () => new Response("<html>Bad</html>", { status: 502 }), "DustServerError", /502/],
    ["a 304", () => new Response(null, { status: 304 }), "DustBadRequestError", /304/]
  ]

  it.effect.each(answers)("%s", ([, answer, tag, says]) => {
    const { layer, requests } = dust(answer, { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const error = yield* failing(doRead)
      assert.strictEqual(error._tag, tag)
      assert.match(error.message, says)
      assert.notInclude(JSON.stringify(error), "secret-value")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect.each(["Encode", "InvalidUrl"] as const)("a request that the HttpClient cannot send (%s)", (reason) => {
    const { layer, requests } = dust(({ request }) =>
      Effect.fail(new HttpClientError.RequestError({ request, reason }))
    )
    return Effect.gen(function*() {
      const error = yield* failing(doRead)
      assert.deepStrictEqual([error._tag, error.isRetryable], ["DustBadRequestError", false])
      assert.include(error.message, `request must be a request that can be sent (${reason})`)
      assert.propertyVal(error.details, "field", "request")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a body that breaks off, read as a value or as bytes, is one that the server may have processed", () => {
    const { layer } = dust(() =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull: (controller) => {
            controller.enqueue(new TextEncoder().encode("{\"ok\":"))
            controller.error(Object.assign(new Error("reset"), { code: "ECONNRESET" }))
          }
        }),
        { headers: { "content-type": "application/json" } }
      ), { retry: RetryPolicy.none })
    return Effect.gen(function*() {
      const client = yield* DustClient
      const bytes = Effect.scoped(Effect.flatMap(
        client.open(read, { path: { probeId: "p1" } }),
        (response) => Stream.runDrain(client.body(read, response))
      ))
      for (const call of [doRead, bytes]) {
        const error = yield* failing(Effect.asVoid(call))
        assert.deepStrictEqual([error._tag, error.type, error.attempts], ["DustNetworkError", "ECONNRESET", 1])
        assert.propertyVal(error, "reachedServer", true)
        assert.strictEqual(error.message, "Probe.read: the connection closed before the end of the response")
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("an unexpected web page is not a success", () => {
    const { layer } = dustUser(() => new Response("<html>Log in</html>", { headers: { "content-type": "text/html" } }))
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const agents = yield* Agents
      for (
        const call of [
          conversations.markRead("c"),
          conversations.delete({ conversationId: "c" }),
          conversations.validateAction({ conversationId: "c", messageId: "m", actionId: "a", approved: "rejected" }),
          agents.exportYaml("a")
        ]
      ) {
        const error = yield* Effect.flip(Effect.asVoid(call))
        assert.strictEqual(error._tag, "DustDecodeError")
        assert.include(error.message, "DUST_BASE_URL")
        assert.notInclude(JSON.stringify(error), "Log in")
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("a client that fails on status codes by itself still yields the typed error", () => {
    const { client } = recorder(() => failure(404, "conversation_not_found", "No such"))
    return Effect.gen(function*() {
      const error = yield* failing(doRead)
      assert.deepStrictEqual([error._tag, error.type], ["DustNotFoundError", "conversation_not_found"])
    }).pipe(Effect.provide(
      Dust.layer(defaults).pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.filterStatusOk(client))),
        Layer.orDie
      )
    ))
  })
})

describe("redirects", () => {
  const moved = (location: string | undefined, status = 307) =>
    new Response(null, { status, headers: location === undefined ? {} : { location } })

  it.effect("on the same origin are followed with the credential, the body and the method", () => {
    const { layer, requests } = dust(({ nth }) => nth === 1 ? moved("/elsewhere?x=1", 308) : ok())
    return Effect.gen(function*() {
      const client = yield* DustClient
      yield* client.execute(put, { body: { count: 3 } })
      assert.strictEqual(requests[1]?.url.href, "https://dust.example/elsewhere?x=1")
      assert.deepStrictEqual([requests[1]?.method, requests[1]?.body], ["POST", "{\"count\":3}"])
      assert.strictEqual(requests[1]?.headers["authorization"], `Bearer ${secretKey}`)
    }).pipe(Effect.provide(layer))
  })

  it.effect.each([301, 302, 303])("Send once: a POST that was handled is not sent again after a %d", (status) => {
    const { layer, requests } = dust(({ nth }) => nth === 1 ? moved("/elsewhere", status) : ok())
    return Effect.gen(function*() {
      const client = yield* DustClient
      const error = yield* Effect.flip(client.execute(put, { body: { count: 3 } }))
      assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "redirect_refused"])
      assert.include(error.message, `after a ${status}, a POST would be repeated with another method`)
      assert.notInclude(error.message, "credential")
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("down to http on the same host are followed with https", () => {
    const { layer, requests } = dust(({ nth }) => nth === 1 ? moved("http://dust.example/api/x") : ok())
    return Effect.gen(function*() {
      yield* doRead
      assert.strictEqual(requests[1]?.url.href, "https://dust.example/api/x")
    }).pipe(Effect.provide(layer))
  })

  const elsewhere: ReadonlyArray<readonly [string | undefined]> = [
    ["https://evil.example/a"],
    ["//evil.example/a"],
    ["https://dust.example:8443/a"],
    ["https://dust.example.evil.example/a"],
    ["https://dust.example@evil.example/a"],
    ["ftp://dust.example/a"],
    ["javascript:alert(1)"],
    ["http://["],
    [undefined]
  ]

  it.effect.each(elsewhere)("Secrets stay: a redirect to %s is an error, and nothing is sent there", ([location]) => {
    const { layer, requests } = dust(() => moved(location, 302))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(doRead)
      assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "redirect_refused"])
      const said = location === undefined
        ? "redirected to nowhere"
        : "the credential is for https://dust.example only; check `baseUrl`"
      assert.include(error.message, said)
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing hangs: a redirect in a circle ends", () => {
    const { layer, requests } = dust(() => moved("/round"))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(doRead)
      assert.deepStrictEqual([error._tag, error.type], ["DustBadRequestError", "redirect_refused"])
      assert.include(error.message, "it was already redirected 5 times")
      assert.lengthOf(requests, 6)
    }).pipe(Effect.provide(layer))
  })

  it.effect("five of them in a row are followed", () => {
    const { layer, requests } = dust(({ nth }) => nth > 5 ? ok() : moved(`/round/${nth}`))
    return Effect.gen(function*() {
      yield* doRead
      assert.deepStrictEqual(
        requests.slice(1).map(({ url }) => url.pathname),
        [1, 2, 3, 4, 5].map((nth) => `/round/${nth}`)
      )
    }).pipe(Effect.provide(layer))
  })
})

describe("the raw client", () => {
  it.effect("adds credential, headers and address to relative URLs", () => {
    const { layer, requests } = dust(() => new Response("raw", { status: 418 }), {
      baseUrl: "https://dust.example/prefix",
      headers: { "x-team": "core" }
    })
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      const response = yield* http.get("/api/v1/w/{workspaceId}/models?x=1")
      // Neither retries nor errors.
      assert.deepStrictEqual([response.status, yield* response.text], [418, "raw"])
      assert.strictEqual(requests[0]?.url.href, "https://dust.example/prefix/api/v1/w/ws1/models?x=1")
      assert.strictEqual(requests[0]?.headers["authorization"], `Bearer ${secretKey}`)
      assert.strictEqual(requests[0]?.headers["x-team"], "core")
      yield* http.execute(HttpClientRequest.get("https://dust.example/abs"))
      assert.strictEqual(requests[1]?.headers["authorization"], `Bearer ${secretKey}`)
      yield* http.get("/own", { headers: { "x-team": "own" } }).pipe(
        DustClientModule.withOptions({ headers: { "x-team": "call", "x-more": "call" } })
      )
      assert.deepStrictEqual([requests[2]?.headers["x-team"], requests[2]?.headers["x-more"]], ["own", "call"])
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("Secrets stay: other origins get neither credential nor headers", () => {
    const { layer, requests } = dust(() => new Response(""), { headers: { "x-team": "core" } })
    return Effect.gen(function*() {
      const { anonymous, http } = yield* DustClient
      for (
        const url of [
          "https://evil.example/a",
          "http://dust.example/a",
          "https://dust.example:8443/a",
          "//evil.example/a",
          "https://evil.example/{workspaceId}"
        ]
      ) {
        yield* http.get(url)
      }
      yield* anonymous.get("https://storage.example/signed")
      for (const { headers, url } of requests) {
        if (url.origin === "https://dust.example") continue
        assert.deepStrictEqual([headers["authorization"], headers["x-team"]], [undefined, undefined], url.href)
      }
      assert.isFalse(
        requests.some(({ headers, url }) => url.origin !== "https://dust.example" && "authorization" in headers)
      )
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("Secrets stay: other origins get neither, also when redirects are followed by choice", () => {
    const { layer, requests } = dust(
      ({ url }) =>
        url.pathname === "/start"
          ? new Response(null, { status: 302, headers: { location: "/next" } })
          : url.host === "dust.example"
          ? new Response(null, { status: 302, headers: { location: "https://evil.example/steal" } })
          : new Response("stolen"),
      { headers: { "x-team": "core" } }
    )
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      yield* HttpClient.followRedirects(http).get("/start")
      assert.deepStrictEqual(
        requests.map(({ headers, url }) => [url.href, headers["authorization"], headers["x-team"]]),
        [
          ["https://dust.example/start", `Bearer ${secretKey}`, "core"],
          ["https://dust.example/next", `Bearer ${secretKey}`, "core"],
          ["https://evil.example/steal", undefined, undefined]
        ]
      )
      // A credential that the caller sends to another host is not ours.
      yield* http.get("https://other.example/", { headers: { authorization: "Basic x" } })
      assert.strictEqual(requests[3]?.headers["authorization"], "Basic x")
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("Secrets stay: neither a token renewed during the call nor a secret added for the call", () => {
    let made = 0
    let probes = 0
    const { layer, requests } = dustUser(
      ({ url }) =>
        url.pathname === "/start"
          ? Effect.as(
            Effect.sleep("5 seconds"),
            new Response(null, { status: 307, headers: { location: "https://evil.example/steal" } })
          )
          : url.host === "evil.example"
          ? new Response("stolen")
          : url.pathname.includes("/probe") && probes++ % 2 === 0
          ? failure(401, "expired_oauth_token_error")
          : ok(),
      { accessToken: Effect.sync(() => Redacted.make(`token.${++made}`)) }
    )
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      const leaving = yield* Effect.fork(
        HttpClient.followRedirects(http).get("/start").pipe(
          DustClientModule.withOptions({ headers: { "x-call": "secret" } })
        )
      )
      yield* TestClock.adjust("1 second")
      for (let i = 0; i < 10; i++) {
        yield* doRead
        yield* http.get("/other")
      }
      assert.strictEqual(made, 11)
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(leaving)
      const { headers, url } = requests.at(-1)!
      assert.strictEqual(url.href, "https://evil.example/steal")
      assert.deepStrictEqual([headers["authorization"], headers["x-call"]], [undefined, undefined])
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("after a 401 the next request has a fresh token, and only if the old one was the newest", () => {
    let made = 0
    const { layer, requests } = dustUser(
      ({ url }) =>
        url.pathname === "/late"
          ? Effect.as(Effect.sleep("5 seconds"), failure(401, "expired_oauth_token_error"))
          : url.pathname === "/old"
          ? failure(401, "expired_oauth_token_error")
          : ok(),
      { accessToken: Effect.sync(() => Redacted.make(`token.${++made}`)) }
    )
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      const late = yield* Effect.fork(http.get("/late"))
      yield* TestClock.adjust("1 second")
      const refused = yield* http.get("/old")
      // Its body is still there to be read.
      assert.include(yield* refused.text, "expired_oauth_token_error")
      yield* http.get("/new")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(late)
      yield* http.get("/new")
      assert.deepStrictEqual(
        requests.map(({ headers, url }) => `${url.pathname} ${headers["authorization"]}`),
        ["/late Bearer token.1", "/old Bearer token.1", "/new Bearer token.2", "/new Bearer token.2"]
      )
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("options of the call that cannot be used are an error, and no request", () => {
    const { layer, requests } = dust(() => new Response(""))
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      for (const options of [{ headers: { "x-bad": "a\nb" } }, { timeouts: { total: "never" as "1 second" } }]) {
        const error = yield* Effect.flip(http.get("/api/x").pipe(DustClientModule.withOptions(options)))
        assert.strictEqual(error._tag, "RequestError")
        assert.match(error.message, /headers\.x-bad must be Latin-1|timeouts\.total must be a duration/)
      }
      assert.lengthOf(requests, 0)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("a token that cannot be sent is an error of the call", () => {
    const { layer, requests } = dustUser(() => new Response(""), { accessToken: Effect.succeed(Redacted.make("a\nb")) })
    return Effect.gen(function*() {
      const { http } = yield* DustClient
      const error = yield* Effect.flip(http.get("/api/x"))
      assert.strictEqual(error._tag, "DustUnauthorizedError")
      assert.lengthOf(requests, 0)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})

/** A tracer that keeps its spans. */
const recordingTracer = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: `span-${spans.length}`,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links: [...links],
        sampled: true,
        kind,
        end: () => undefined,
        attribute: (key, value) => void attributes.set(key, value),
        event: () => undefined,
        addLinks: () => undefined
      }
      spans.push(span)
      return span
    },
    context: (f) => f()
  })
  return { spans, layer: Layer.setTracer(tracer) }
}

describe("telemetry", () => {
  it.effect("one span per operation, named after it, over all its attempts", () => {
    const { layer, requests } = dust(({ nth }) =>
      nth < 3
        ? failure(500, "internal_server_error")
        : failure(404, "conversation_not_found", "x", { "x-request-id": "r9" })
    )
    const { layer: tracing, spans } = recordingTracer()
    return Effect.gen(function*() {
      yield* inTime(failing(doRead).pipe(Effect.withSpan("mine")))
      assert.lengthOf(requests, 3)
      assert.deepStrictEqual(spans.map(({ kind, name }) => [name, kind]), [["mine", "internal"], [
        "Probe.read",
        "client"
      ]])
      assert.strictEqual(Option.getOrUndefined(spans[1]!.parent)?.spanId, spans[0]?.spanId)
      const { "code.stacktrace": calledAt, ...attributes } = Object.fromEntries(spans[1]!.attributes)
      assert.match(String(calledAt), /DustClient\.test\.ts:\d+:\d+$/)
      assert.deepStrictEqual(attributes, {
        [Telemetry.attributes.workspaceId]: "ws1",
        [Telemetry.attributes.method]: "GET",
        [Telemetry.attributes.route]: "/api/v1/w/{workspaceId}/probe/{probeId}",
        [Telemetry.attributes.serverAddress]: "dust.example",
        [Telemetry.attributes.attempts]: 3,
        [Telemetry.attributes.errorType]: "DustNotFoundError",
        [Telemetry.attributes.errorCode]: "conversation_not_found",
        [Telemetry.attributes.status]: 404,
        [Telemetry.attributes.requestId]: "r9"
      })
    }).pipe(Effect.provide(Layer.mergeAll(layer, tracing)))
  })

  it.effect("counts calls by outcome and repeated attempts by reason", () => {
    const tagged = (metric: typeof Telemetry.requests, tags: Record<string, string>) =>
      Object.entries(tags).reduce((all, [key, value]) => Metric.tagged(all, key, value), metric)
    const count = (metric: typeof Telemetry.requests, tags: Record<string, string>) =>
      Effect.map(Metric.value(tagged(metric, tags)), ({ count }) => Number(count))
    const counted = operation({ name: "Probe.counted", http: "GET", route: "/c", response: Ok })
    const call = Effect.flatMap(DustClient, (client) => client.execute(counted, {}))
    const { layer } = dust((request) =>
      request.nth === 1
        ? transport(request, "ECONNRESET")
        : request.nth === 2
        ? ok()
        : request.nth === 3
        ? failure(404, "x")
        : Effect.never
    )
    return Effect.gen(function*() {
      yield* inTime(call)
      yield* failing(call)
      yield* inTime(failing(call.pipe(DustClientModule.withOptions({ timeouts: { total: "1 second" } }))))
      const fiber = yield* Effect.fork(call)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      const outcomes: Array<number> = []
      for (const outcome of ["success", "DustNotFoundError", "DustTimeoutError", "interrupted"]) {
        outcomes.push(yield* count(Telemetry.requests, { operation: "Probe.counted", outcome }))
      }
      assert.deepStrictEqual(outcomes, [1, 1, 1, 1])
      assert.strictEqual(
        yield* count(Telemetry.retries, { operation: "Probe.counted", reason: "DustNetworkError" }),
        1
      )
    }).pipe(Effect.provide(layer))
  })
})

describe("the server's time", () => {
  it.effect("is that of the last response with a date, moved on by the clock", () => {
    const dates = ["Thu, 01 Jan 1970 01:00:00 GMT", undefined, "soon", "Thu, 01 Jan 1970 02:00:00 GMT"]
    const { layer } = dust(({ nth }) => {
      const date = dates[nth - 1]
      return json({ ok: true }, date === undefined ? {} : { headers: { date } })
    })
    return Effect.gen(function*() {
      const { serverTime } = yield* DustClient
      const times = [yield* serverTime]
      for (const _ of dates) {
        yield* doRead
        yield* TestClock.adjust("1 second")
        times.push(yield* serverTime)
      }
      assert.deepStrictEqual(times.map(Option.getOrUndefined), [undefined, 3_601_000, 3_602_000, 3_603_000, 7_201_000])
    }).pipe(Effect.provide(layer))
  })
})

describe("several at once", () => {
  it.scoped("two workspaces in one process are two layers", () =>
    Effect.gen(function*() {
      const workspace = (workspaceId: string, key: string) =>
        Layer.fresh(DustTest.layer({
          workspaceId,
          credentials: { apiKeys: [{ value: key, workspaceId }] },
          credential: { apiKey: Redacted.make(key) }
        }))
      const use = Effect.gen(function*() {
        const conversations = yield* Conversations
        const server = yield* DustTest.DustTest
        const { sId } = yield* conversations.create()
        const { credential, path } = yield* server.lastRequest()
        return { sId, path, credential, count: (yield* server.conversations).length, conversations }
      })
      const built = (id: string, key: string) =>
        Effect.flatMap(Layer.build(workspace(id, key)), (context) => Effect.provide(use, context))
      const one = yield* built("one", "sk-one")
      const two = yield* built("two", "sk-two")
      assert.deepStrictEqual([one.count, two.count], [1, 1])
      assert.match(one.path, /\/w\/one\//)
      assert.match(two.path, /\/w\/two\//)
      // Each keeps to its own layer after both exist.
      assert.strictEqual((yield* one.conversations.get(one.sId)).sId, one.sId)
      assert.strictEqual((yield* two.conversations.get(two.sId)).sId, two.sId)
    }))

  it.effect("five hundred requests at once each get their own answer", () => {
    const Echo = Schema.Struct({ id: Schema.String })
    const echo = operation({ name: "Probe.echo", http: "GET", route: "/e/{id}", response: Echo })
    const { layer } = dust(({ url }) =>
      Effect.as(Effect.sleep("10 millis"), json({ id: decodeURIComponent(url.pathname.slice(3)) }))
    )
    return Effect.gen(function*() {
      const client = yield* DustClient
      const ids = Array.from({ length: 500 }, (_, i) => `id ${i}`)
      const answers = yield* inTime(
        Effect.forEach(ids, (id) => client.execute(echo, { path: { id } }), { concurrency: "unbounded" })
      )
      assert.deepStrictEqual(answers.map(({ id }) => id), ids)
    }).pipe(Effect.provide(layer))
  })
})

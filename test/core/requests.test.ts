/** Complete requests: what each kind of call sends, and what it fails with before it sends anything. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, FiberRef, Option, Redacted, Schema, type Scope, Stream, TestClock } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import { type CallCredential, CurrentOptions, operation, withCredential, withOptions } from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import { requestInitOf } from "../../src/internal/request/transport.ts"
import { version } from "../../src/internal/version.ts"
import { type Client, clientOf, untilEnded } from "../support/bareClient.ts"
import { complete } from "../support/failures.ts"
import { json, secretKey, transport } from "../support/http.ts"

const ok = () => json({ ok: true })
const Ok = Schema.Struct({ ok: Schema.Boolean })
const read = operation({ name: "Probe.read", http: "GET", route: "/api/v1/w/{workspaceId}/read/{id}", response: Ok })
const write = operation({ name: "Probe.write", http: "POST", route: "/write", response: Ok })
const store = operation({
  name: "Probe.store",
  http: "PATCH",
  route: "/store",
  body: Schema.Struct({ n: Schema.NumberFromString, big: Schema.optional(Schema.BigIntFromSelf) }),
  response: Ok
})
const remove = operation({ name: "Probe.remove", http: "DELETE", route: "/remove", response: Ok })
const open = operation({ name: "Probe.open", http: "GET", route: "/open", credential: "none", response: Ok })
const forUsers = operation({ name: "Probe.users", http: "GET", route: "/users", credential: "user", response: Ok })
const forKeys = operation({ name: "Probe.keys", http: "GET", route: "/keys", credential: "key", response: Ok })
const events = operation({ name: "Probe.events", http: "GET", route: "/api/v1/w/{workspaceId}/events", response: Ok })

const agent = { "user-agent": `effect-dust/${version}` }
const usual = { accept: "application/json", ...agent, authorization: `Bearer ${secretKey}` }
const bodyHeaders = (text: string, type = "application/json") => ({
  "content-type": type,
  "content-length": String(text.length)
})
const storage = { origin: "storage" } as const
const stream = { accept: "text/event-stream" }
const image = HttpBody.uint8Array(new Uint8Array([65, 66]), "image/png")

describe("a request", () => {
  interface Row {
    readonly title: string
    readonly call: (client: Client) => Effect.Effect<unknown, RequestError, Scope.Scope>
    readonly options?: Parameters<typeof clientOf>[1]
    readonly expected: {
      readonly method?: string
      readonly url: string
      readonly headers?: object
      readonly body?: string
    }
  }
  const rows: ReadonlyArray<Row> = [
    {
      title: "that reads",
      call: (client) => client.execute(read, { path: { id: "a b" }, query: { q: "x", none: undefined } }),
      expected: { url: "/api/v1/w/ws1/read/a%20b?q=x" }
    },
    {
      title: "behind a prefix",
      call: (client) => client.execute(read, { path: { id: "a" } }),
      options: { baseUrl: "https://dust.example/prefix/" },
      expected: { url: "/prefix/api/v1/w/ws1/read/a" }
    },
    {
      title: "that writes nothing",
      call: (client) => client.execute(write, {}),
      expected: { method: "POST", url: "/write", headers: { ...usual, ...bodyHeaders("{}") }, body: "{}" }
    },
    {
      title: "that writes a body",
      call: (client) => client.execute(store, { body: { n: 7 } }),
      expected: {
        method: "PATCH",
        url: "/store",
        headers: { ...usual, ...bodyHeaders("{\"n\":\"7\"}") },
        body: "{\"n\":\"7\"}"
      }
    },
    {
      title: "that writes bytes",
      call: (client) => client.execute(write, { rawBody: image }),
      expected: { method: "POST", url: "/write", headers: { ...usual, ...bodyHeaders("AB", "image/png") }, body: "AB" }
    },
    {
      title: "that deletes",
      call: (client) => client.execute(remove, {}),
      expected: { method: "DELETE", url: "/remove" }
    },
    {
      title: "without a credential",
      call: (client) => client.execute(open, {}),
      expected: { url: "/open", headers: { accept: "application/json", ...agent } }
    },
    {
      title: "without a credential, of a user",
      call: (client) => withCredential(client.execute(open, {}), { accessToken: Redacted.make("t") }),
      expected: { url: "/open", headers: { accept: "application/json", ...agent } }
    },
    {
      title: "for API keys alone",
      call: (client) => client.execute(forKeys, {}),
      expected: { url: "/keys" }
    },
    {
      title: "with the headers of the client, of the options and of the call, the latter over the former",
      call: (client) =>
        withOptions(client.execute(write, { headers: { c: "3", "User-Agent": "mine" } }), {
          headers: { b: "2", c: "2" }
        }),
      options: { headers: { a: "1", b: "1", c: "1", accept: "text/plain" } },
      expected: {
        method: "POST",
        url: "/write",
        headers: {
          accept: "text/plain",
          "user-agent": "mine",
          a: "1",
          b: "2",
          c: "3",
          authorization: usual.authorization,
          ...bodyHeaders("{}")
        },
        body: "{}"
      }
    },
    {
      title: "for a stream",
      call: (client) => client.open(events, {}, stream),
      expected: { url: "/api/v1/w/ws1/events", headers: { ...usual, ...stream } }
    },
    {
      title: "to the storage, with the headers of the call alone",
      call: (client) => client.open(events, { url: "https://storage.example/f?s=1", headers: { range: "0" } }, storage),
      options: { headers: { a: "1" } },
      expected: { url: "https://storage.example/f?s=1", headers: { accept: "application/json", range: "0" } }
    },
    {
      title: "to an address that the server gave",
      call: (client) => client.execute(read, { url: "/next?p=2", path: { id: "a" } }),
      expected: { url: "/next?p=2" }
    },
    {
      title: "with another credential, in another workspace",
      call: (client) =>
        withCredential(client.execute(forUsers, {}), { accessToken: Redacted.make("t"), workspaceId: "ws2" }),
      expected: { url: "/users", headers: { ...usual, authorization: "Bearer t" } }
    },
    {
      title: "in another workspace",
      call: (client) =>
        withCredential(client.execute(read, { path: { id: "a" } }), {
          apiKey: Redacted.make("sk-other"),
          workspaceId: "ws2"
        }),
      expected: { url: "/api/v1/w/ws2/read/a", headers: { ...usual, authorization: "Bearer sk-other" } }
    }
  ]
  it.scoped.each(rows)("$title", ({ call, expected, options }) =>
    Effect.gen(function*() {
      const client = yield* clientOf(ok, options)
      yield* call(client)
      assert.deepStrictEqual(client.sent(), [{
        method: expected.method ?? "GET",
        url: new URL(expected.url, "https://dust.example").href,
        headers: expected.headers ?? usual,
        body: expected.body
      }])
    }))

  it.scoped("for a stream that the server has moved goes to its new place from then on, other requests do not", () =>
    Effect.gen(function*() {
      const moved = "https://dust.example/api/sse/v1/w/ws1/events"
      const client = yield* clientOf(({ url }) =>
        url.href.includes("/sse/") || url.href.includes("/read/")
          ? json({ ok: true })
          : new Response(null, { status: 308, headers: { location: moved } })
      )
      const urls = () => client.sent().map((request) => "url" in request && request.url)
      yield* client.open(events, {}, stream)
      yield* client.open(events, {}, stream)
      yield* client.open(events, {})
      yield* client.open(read, { path: { id: "a" } }, stream)
      const old = "https://dust.example/api/v1/w/ws1/events"
      assert.deepStrictEqual(urls(), [old, moved, moved, old, moved, "https://dust.example/api/v1/w/ws1/read/a"])
    }))

  it.scoped("whose redirect is wanted returns it", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(() => new Response(null, { status: 302, headers: { location: "/x" } }))
      const answer = yield* client.open(events, {}, { redirects: "return" })
      assert.deepStrictEqual([answer.status, answer.headers["location"], client.sent().length], [302, "/x", 1])
    }))
})

describe("a request that cannot be sent", () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  const Any = operation({ name: "Probe.any", http: "POST", route: "/any", body: Schema.Unknown, response: Ok })
  const wiped = Redacted.make("sk-x")
  Redacted.unsafeWipe(wiped)
  const same = { module: "Probe", attempts: 0 }
  const invalid = (method: string, http: string, route: string, field: string, expected: string) => ({
    ...same,
    _tag: "DustBadRequestError",
    method,
    request: { method: http, route },
    message: `Probe.${method}: ${field} must be ${expected}`,
    type: "invalid_input",
    details: { field, expected }
  })
  const writing = (field: string, expected: string) => invalid("write", "POST", "/write", field, expected)
  const given = (credential: object) => (client: Client) =>
    withCredential(client.execute(write, {}), credential as CallCredential)
  const rows: ReadonlyArray<
    readonly [string, (client: Client) => Effect.Effect<unknown, RequestError, Scope.Scope>, object]
  > = [
    [
      "options",
      (client) => withOptions(client.execute(write, {}), { timeouts: { body: 0 } }),
      writing("timeouts.body", "a duration longer than zero, such as \"30 seconds\"")
    ],
    [
      "a credential",
      given({ apiKey: wiped }),
      writing("credential.apiKey", "a Redacted value (`Redacted.make`) that has not been wiped")
    ],
    [
      "a workspace",
      given({ apiKey: Redacted.make("sk-x"), workspaceId: "a/b" }),
      writing("credential.workspaceId", "the id of a workspace, which has only letters, digits, - and _")
    ],
    [
      "a header",
      (client) => client.execute(write, { headers: { "a b": "" } }),
      writing("headers.a b", "a valid header name")
    ],
    [
      "a path",
      (client) => client.execute(read, { path: { id: ".." } }),
      invalid("read", "GET", read.route, "id", "an id other than \".\" and \"..\"")
    ],
    [
      "a path beside an address",
      (client) => client.execute(read, { url: "/next", path: { id: "" } }),
      invalid("read", "GET", read.route, "id", "a non-blank id")
    ],
    [
      "a body",
      (client) => client.execute(store, { body: {} as never }),
      { ...invalid("store", "PATCH", "/store", "n", "is missing"), message: "Probe.store: n is missing" }
    ],
    [
      "a body that is no JSON",
      (client) => client.execute(store, { body: { n: 1, big: 1n } }),
      invalid("store", "PATCH", "/store", "body", "JSON-serializable")
    ],
    [
      "a body in a circle",
      (client) => client.execute(Any, { body: circular }),
      invalid("any", "POST", "/any", "body", "JSON-serializable")
    ],
    ["an address elsewhere", (client) => client.execute(write, { url: "https://other.example/x" }), {
      ...same,
      _tag: "DustBadRequestError",
      method: "write",
      request: { method: "POST", route: "/write" },
      message: "Probe.write: refusing to send to https://other.example: the server returned an address outside " +
        "https://dust.example; check `baseUrl` (DUST_BASE_URL)",
      type: "address_refused",
      details: { origin: "https://other.example" }
    }],
    ["an address that is no storage", (client) => client.open(events, { url: "https://10.0.0.1/x" }, storage), {
      module: "Probe",
      attempts: 1,
      _tag: "DustBadRequestError",
      method: "events",
      request: { method: "GET", route: events.route },
      message:
        "Probe.events: redirected to https://10.0.0.1, which is not followed: it is neither the Dust origin nor a " +
        "public https address",
      type: "redirect_refused",
      details: { origin: "https://10.0.0.1" }
    }],
    ["a key for a user's operation", (client) => client.execute(forUsers, {}), {
      ...same,
      _tag: "DustUserRequiredError",
      method: "users",
      request: { method: "GET", route: "/users" },
      message:
        "Probe.users: requires a user's access token (`accessToken`, DUST_ACCESS_TOKEN); the credential of this " +
        "call is an API key",
      type: "user_required",
      details: { required: "user" }
    }],
    [
      "a token for a key's operation",
      (client) => withCredential(client.execute(forKeys, {}), { accessToken: Redacted.make("t") }),
      {
        ...same,
        _tag: "DustUserRequiredError",
        method: "keys",
        request: { method: "GET", route: "/keys" },
        message: "Probe.keys: requires an API key; the credential of this call is a user's access token",
        type: "key_required",
        details: { required: "key" }
      }
    ]
  ]
  it.scoped.each(rows)(
    "for %s: fails with the complete error, and nothing is sent",
    ([, call, expected]) =>
      Effect.gen(function*() {
        const client = yield* clientOf(ok)
        assert.deepStrictEqual(complete(yield* Effect.flip(call(client))), expected)
        assert.deepStrictEqual(client.sent(), [])
      })
  )
})

describe("the raw client", () => {
  const get = (client: Client, url: string) => client.http.execute(HttpClientRequest.get(url))
  const credentials = { authorization: usual.authorization, a: "1" }

  const urls: ReadonlyArray<readonly [string, string, boolean]> = [
    ["/x?y=1", "https://dust.example/p/x?y=1", true],
    ["x", "https://dust.example/p/x", true],
    ["/w/{workspaceId}/a/{workspaceId}", "https://dust.example/p/w/ws1/a/ws1", true],
    ["https://dust.example/y", "https://dust.example/y", true],
    ["https://dust.example/{workspaceId}", "https://dust.example/ws1", true],
    ["https://other.example/y", "https://other.example/y", false]
  ]
  it.scoped.each(urls)("sends %s to %s, with the credential: %s", ([url, expected, own]) =>
    Effect.gen(function*() {
      const client = yield* clientOf(ok, { baseUrl: "https://dust.example/p", headers: { a: "1" } })
      yield* get(client, url)
      assert.deepStrictEqual(client.sent(), [
        { method: "GET", url: expected, headers: own ? credentials : {}, body: undefined }
      ])
    }))

  it.scoped("keeps the headers of the request, except its credential", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(ok, { headers: { a: "1", b: "2" } })
      const request = HttpClientRequest.post("/x", { headers: { a: "mine", authorization: "mine" }, body: image })
      yield* client.http.execute(request)
      assert.deepStrictEqual(client.sent(), [{
        method: "POST",
        url: "https://dust.example/x",
        headers: { ...bodyHeaders("AB", "image/png"), a: "mine", b: "2", authorization: usual.authorization },
        body: "AB"
      }])
    }))

  it.scoped("that follows redirects sends nothing of Dust's to another origin, and the rest of the request", () =>
    Effect.gen(function*() {
      const location = "https://other.example/y?s=1#f"
      const client = yield* clientOf(
        ({ nth }) => nth === 1 ? new Response(null, { status: 307, headers: { location } }) : json({}),
        { headers: { a: "1" } }
      )
      const following = HttpClient.followRedirects(client.http, 3)
      const request = HttpClientRequest.put("/x", {
        headers: { b: "2" },
        body: image,
        urlParams: { q: "3" },
        hash: "h"
      })
      yield* following.execute(request)
      const sent = { method: "PUT", body: "AB", headers: { ...bodyHeaders("AB", "image/png"), b: "2" } }
      assert.deepStrictEqual(client.sent(), [
        { ...sent, url: "https://dust.example/x?q=3#h", headers: { ...sent.headers, ...credentials } },
        { ...sent, url: location }
      ])
    }))

  it.scoped("forgets a token after a 401, and after nothing else", () =>
    Effect.gen(function*() {
      let made = 0
      const accessToken = Effect.sync(() => Redacted.make(`t${++made}`))
      let status = 200
      const client = yield* clientOf(() => new Response("", { status }))
      const ask = withCredential(get(client, "/x"), { accessToken })
      for (status of [200, 403, 401, 200]) yield* ask
      assert.deepStrictEqual(
        client.sent().map((request) =>
          "headers" in request && (request.headers as { authorization: string }).authorization
        ),
        ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2"]
      )
    }))

  it.scoped("fails without a token, or with options or a credential that cannot be used", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(ok)
      const failing = (accessToken: DustConfig.TokenEffect) =>
        Effect.flip(withCredential(get(client, "/x"), { accessToken }))
      for (const [reason, cause] of [["Odd", { _tag: "Odd" }], ["string", "secret"], ["object", null]] as const) {
        const error = yield* failing(Effect.fail(cause))
        assert.deepStrictEqual("module" in error && complete(error), {
          _tag: "DustUnauthorizedError",
          module: "DustClient",
          method: "http",
          message: `DustClient.http: the access token could not be obtained (${reason})`,
          type: "token_unavailable",
          details: { reason },
          attempts: 0
        })
      }
      const wrong = yield* Effect.flip(withOptions(get(client, "/x"), { timeouts: { body: 0 } }))
      assert.deepInclude(wrong, {
        _tag: "RequestError",
        reason: "Encode",
        description: "timeouts.body must be a duration longer than zero, such as \"30 seconds\""
      })
      const none = yield* Effect.flip(withCredential(get(client, "/x"), {} as CallCredential))
      assert.deepInclude(none, {
        _tag: "RequestError",
        reason: "Encode",
        description: "apiKey must be set, unless accessToken is set"
      })
      assert.deepStrictEqual(client.sent(), [])
    }))
})

describe("the options of `fetch`", () => {
  const own = { redirect: "manual", cache: "no-store" }

  it("are those of the application, except how redirects and caches are used", () => {
    const of = (context: Context.Context<never>) =>
      Context.unsafeGet(requestInitOf(context), FetchHttpClient.RequestInit)
    assert.deepStrictEqual<unknown>(of(Context.empty()), own)
    const given = Context.make(FetchHttpClient.RequestInit, { keepalive: true, redirect: "follow" })
    assert.deepStrictEqual<unknown>(of(given as Context.Context<never>), { ...own, keepalive: true })
  })

  it.scoped("are the same for every request, which has no span of the platform", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const client = yield* clientOf(({ request }) =>
        Effect.gen(function*() {
          const isQuiet = yield* FiberRef.get(HttpClient.currentTracerDisabledWhen)
          seen.push([Option.getOrNull(yield* Effect.serviceOption(FetchHttpClient.RequestInit)), isQuiet(request)])
          return json({ ok: true, access_token: "t" })
        })
      )
      const accessToken = Effect.map(
        Effect.flatMap(DustConfig.TokenExchange, ({ refresh }) => refresh(Redacted.make("r"))),
        (tokens) => tokens.accessToken
      )
      yield* client.execute(write, {})
      yield* client.open(events, {})
      yield* client.http.execute(HttpClientRequest.get("/x"))
      yield* client.anonymous.execute(HttpClientRequest.get("https://storage.example/x"))
      yield* withCredential(client.execute(write, {}), { accessToken })
      assert.deepStrictEqual(seen, Array.from({ length: 6 }, () => [own, true]))
    }))
})

describe("the client of a call", () => {
  it.scoped("says whose call it is, with which settings, and what time the server has", () =>
    Effect.gen(function*() {
      const client = yield* clientOf(() => json({ ok: true }, { headers: { date: new Date(5_000).toUTCString() } }))
      assert.isTrue(Option.isNone(yield* client.serverTime))
      yield* TestClock.adjust(1_000)
      yield* client.execute(write, {})
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(yield* client.serverTime, Option.some(7_000))
      const { workspaceId } = yield* client.caller
      assert.strictEqual(workspaceId, "ws1")
      const unusable = yield* withCredential(client.caller, { accessToken: Redacted.make("") })
      assert.deepInclude({ ...unusable }, { workspaceId: "", hasUser: true })
      const short = { timeouts: { body: "1 second" } } as const
      const bodyOf = (self: typeof client.settings) =>
        Effect.map(self, ({ timeouts }) => Duration.toMillis(timeouts.body))
      assert.deepStrictEqual(
        [
          yield* bodyOf(client.settings),
          yield* bodyOf(withOptions(client.settings, short)),
          yield* bodyOf(withOptions(client.settings, { timeouts: { body: 0 } }))
        ],
        [60_000, 1_000, 60_000]
      )
      assert.deepStrictEqual(yield* CurrentOptions, {})
    }))

  it.scoped("reads the time of Dust alone, and none where there is no date", () =>
    Effect.gen(function*() {
      const date = new Date(5_000).toUTCString()
      let headers: Record<string, string> = { date }
      const client = yield* clientOf(() => json({ ok: true }, { headers }))
      yield* client.open(events, { url: "https://storage.example/f" }, storage)
      assert.isTrue(Option.isNone(yield* client.serverTime))
      headers = { date: "some day" }
      yield* client.execute(write, {})
      headers = {}
      yield* client.execute(write, {})
      assert.isTrue(Option.isNone(yield* client.serverTime))
    }))

  it.scoped("streams a body, which fails if it breaks, is silent or cannot be read", () =>
    Effect.gen(function*() {
      const same = { module: "Probe", method: "events", request: { method: "GET", route: events.route }, attempts: 1 }
      const bodyOf = (answer: Response) =>
        Effect.gen(function*() {
          const client = yield* clientOf(() => answer)
          const response = yield* client.open(events, {})
          const text = Stream.runFold(
            Stream.decodeText(client.body(events, response)),
            "",
            (text, piece) => text + piece
          )
          return yield* Effect.merge(Effect.mapError(text, complete))
        }).pipe(Effect.scoped)
      assert.strictEqual(yield* bodyOf(new Response("a body")), "a body")
      assert.strictEqual(yield* bodyOf(new Response(null)), "")
      const broken = new ReadableStream({
        pull: (controller) => controller.error(Object.assign(new Error("reset"), { code: "ECONNRESET" }))
      })
      const closed = {
        ...same,
        _tag: "DustNetworkError",
        message: "Probe.events: the connection closed before the end of the response",
        reachedServer: true
      }
      assert.deepStrictEqual<unknown>(yield* bodyOf(new Response(broken)), {
        ...closed,
        type: "ECONNRESET",
        details: { code: "ECONNRESET" }
      })
      assert.deepStrictEqual<unknown>(
        yield* bodyOf(new Response(new Uint8Array([0x8b, 2, 0x80]), { headers: { "content-encoding": "br" } })),
        {
          ...same,
          _tag: "DustDecodeError",
          message:
            "Probe.events: the response has the content-encoding br, which was not requested and cannot be decoded " +
            "here; check for a proxy",
          type: "unreadable_encoding",
          details: { issues: [{ path: "", message: "no compression" }] },
          issues: [{ path: "", message: "no compression" }]
        }
      )
      assert.deepStrictEqual<unknown>(yield* untilEnded(bodyOf(new Response(new ReadableStream())), "30 seconds"), {
        ...same,
        _tag: "DustTimeoutError",
        message: "Probe.events: received nothing within 1m 30s",
        type: "timeout",
        details: { phase: "idle", limit: "1m 30s" },
        phase: "idle",
        limit: 90_000
      })
    }))

  it.scoped("fails with what the connection says, of Dust or of its storage", () =>
    Effect.gen(function*() {
      const client = yield* clientOf((request) => transport(request, "ECONNREFUSED"))
      const same = {
        _tag: "DustNetworkError",
        module: "Probe",
        type: "ECONNREFUSED",
        details: { code: "ECONNREFUSED" },
        attempts: 1,
        reachedServer: false
      }
      const where = (origin: string) =>
        `nothing is listening at ${origin}; check \`baseUrl\` (DUST_BASE_URL) and the network`
      assert.deepStrictEqual(complete(yield* Effect.flip(client.execute(write, {}))), {
        ...same,
        method: "write",
        request: { method: "POST", route: "/write" },
        message: `Probe.write: ${where("https://dust.example")}`
      })
      const download = client.open(events, { url: "https://storage.example/f" }, storage)
      assert.deepStrictEqual(complete(yield* Effect.flip(download)), {
        ...same,
        method: "events",
        request: { method: "GET", route: events.route },
        message: `Probe.events: ${where("https://storage.example")}`
      })
    }))
})

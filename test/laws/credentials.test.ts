/** Laws 7 and 11: the credential of a call, and tokens that are renewed. */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Equal, Exit, Fiber, Layer, Redacted, Scope, Stream, TestClock } from "effect"
import { Agents } from "effect-dust/Agents"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import * as DustTest from "effect-dust/DustTest"
import { gzipSync } from "node:zlib"
import { dust, dustUser, failure, json, recorder } from "../support/http.ts"

const agents = () => json({ agentConfigurations: [] })
const list = Effect.flatMap(Agents, (agents) => agents.list())
const user = (name: string) => ({ accessToken: Redacted.make(`token.of.${name}`) })

describe("Law 11: a credential per call", () => {
  it.effect("withCredential: calls inside carry it, and those beside do not", () => {
    const { layer, requests } = dust(agents)
    return Effect.gen(function*() {
      yield* list
      yield* list.pipe(DustClient.withCredential({ ...user("ada"), workspaceId: "hers" }))
      yield* DustClient.withCredential(list, user("bob"))
      yield* list
      assert.deepStrictEqual(
        requests.map(({ headers, url }) => [url.pathname.split("/")[4], headers["authorization"]]),
        [
          ["ws1", "Bearer sk-verysecretkey"],
          ["hers", "Bearer token.of.ada"],
          ["ws1", "Bearer token.of.bob"],
          ["ws1", "Bearer sk-verysecretkey"]
        ]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("withCredential: a hundred users at once never meet", () => {
    const { layer } = dust(({ headers, request }) =>
      Effect.succeed(json({
        agentConfigurations: [{ sId: headers["authorization"]?.slice("Bearer ".length), name: request.method }]
      }))
    )
    return Effect.gen(function*() {
      const answers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, i) => `user${i}`),
        (name) => Effect.map(DustClient.withCredential(list, user(name)), (found) => [name, found[0]?.sId]),
        { concurrency: "unbounded" }
      )
      for (const [name, seen] of answers) assert.strictEqual(seen, `token.of.${name}`)
    }).pipe(Effect.provide(layer))
  })

  it.effect("withCredential: forked work keeps it after the call is over", () => {
    const { layer, requests } = dust(agents)
    return Effect.gen(function*() {
      yield* Effect.delay(list, "1 hour").pipe(Effect.forkDaemon, DustClient.withCredential(user("ada")))
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(requests.map(({ headers }) => headers["authorization"]), ["Bearer token.of.ada"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("withStreamCredential: every request of a chat stream carries it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const control = yield* DustTest.DustTest
      yield* chat.stream({ agent: "echo", message: "hello" }).pipe(
        DustClient.withStreamCredential({ accessToken: control.userToken }),
        Stream.runDrain
      )
      const seen = yield* control.requests()
      assert.isAbove(seen.length, 2)
      for (const { status } of seen) assert.isBelow(status ?? 0, 400)
      // Local Dust refuses the credential of the layer.
    }).pipe(Effect.provide(DustTest.layer({ credential: { apiKey: Redacted.make("sk-unknown") } }))))

  it.effect("withCredential: what needs a user asks for the user of the call, not of the layer", () => {
    const { layer, requests } = dust(agents)
    return Effect.gen(function*() {
      const favorites = Effect.flatMap(Agents, (agents) => agents.list({ view: "favorites" }))
      assert.strictEqual((yield* Effect.flip(favorites))._tag, "DustUserRequiredError")
      yield* favorites.pipe(DustClient.withCredential(user("ada")))
      assert.lengthOf(requests, 1)
    }).pipe(Effect.provide(layer))
  })

  const unusable: ReadonlyArray<readonly [string, object, string]> = [
    ["two credentials", { apiKey: Redacted.make("sk-a"), accessToken: Redacted.make("a.b") }, "credential.apiKey"],
    ["no credential", {}, "credential.apiKey"],
    ["a token as key", { apiKey: Redacted.make("a.b.c") }, "credential.apiKey"],
    ["a key as token", { accessToken: Redacted.make("sk-a") }, "credential.accessToken"],
    ["a workspace with a slash", { accessToken: Redacted.make("a.b"), workspaceId: "a/b" }, "credential.workspaceId"]
  ]

  it.effect.each(unusable)("withCredential: refuses %s before any request", ([, credential, field]) => {
    const { layer, requests } = dust(agents)
    return Effect.gen(function*() {
      const error = yield* Effect.flip(
        DustClient.withCredential(list, credential as DustClient.CallCredential)
      )
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.deepInclude(error.details, { field })
      assert.lengthOf(requests, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("caller: equal for equal credentials and workspaces only", () => {
    const { layer } = dust(agents)
    return Effect.gen(function*() {
      const { caller } = yield* DustClient.DustClient
      const own = yield* caller
      const ada = yield* DustClient.withCredential(caller, user("ada"))
      assert.isTrue(Equal.equals(ada, yield* DustClient.withCredential(caller, user("ada"))))
      assert.isFalse(Equal.equals(ada, yield* DustClient.withCredential(caller, user("bob"))))
      assert.isFalse(Equal.equals(ada, yield* DustClient.withCredential(caller, { ...user("ada"), workspaceId: "x" })))
      assert.deepStrictEqual([own.hasUser, ada.hasUser], [false, true])
    }).pipe(Effect.provide(layer))
  })
})

describe("Law 7: tokens that renew", () => {
  it.effect("a renewal survives the interruption of the call that began it", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      let renewals = 0
      const { layer, requests } = dustUser(agents, {
        accessToken: Effect.suspend(() => {
          renewals++
          return Effect.as(Deferred.await(release), Redacted.make("fresh.token"))
        })
      })
      yield* Effect.gen(function*() {
        const first = yield* Effect.fork(list)
        yield* Effect.yieldNow()
        const second = yield* Effect.fork(list)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(first)
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(second)
        assert.strictEqual(renewals, 1)
        assert.deepStrictEqual(requests.map(({ headers }) => headers["authorization"]), ["Bearer fresh.token"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("a token that never comes fails its calls, and is asked for again after five minutes", () => {
    let asked = 0
    const { layer } = dustUser(agents, {
      accessToken: Effect.suspend(() => ++asked === 1 ? Effect.never : Effect.succeed(Redacted.make("second.token")))
    })
    const call = Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(list))
      yield* TestClock.adjust("6 minutes")
      return yield* Fiber.join(fiber)
    })
    return Effect.gen(function*() {
      const first = yield* call
      assert.isTrue(
        Exit.isFailure(first) && first.cause._tag === "Fail" && first.cause.error._tag === "DustTimeoutError"
      )
      assert.isTrue(Exit.isSuccess(yield* call))
      assert.strictEqual(asked, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a renewal ends with the layer", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const { layer } = dustUser(agents, {
        accessToken: Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      })
      const context = yield* Layer.buildWithScope(layer, scope)
      const call = yield* Effect.fork(Effect.flip(Effect.provide(list, context)))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
      assert.strictEqual((yield* Fiber.join(call))._tag, "DustUnauthorizedError")
    }))

  interface TokenServer {
    readonly forms: Array<string>
    readonly layer: (accessToken: DustConfig.TokenEffect) => Layer.Layer<Dust.Services>
  }

  /** A token endpoint whose refresh tokens can be used once, in front of a Dust that takes the newest access token. */
  const tokenServer = (): TokenServer => {
    const forms: Array<string> = []
    let valid = ""
    const { layer: http } = recorder(({ body, headers, url }) => {
      if (url.pathname === "/api/v1/auth/authenticate") {
        forms.push(body ?? "")
        const used = new URLSearchParams(body).get("refresh_token")
        if (used !== `refresh${forms.length}`) return json({ error: "invalid_grant" }, { status: 400 })
        valid = `access.${forms.length}`
        return json({ access_token: valid, refresh_token: `refresh${forms.length + 1}` })
      }
      return headers["authorization"] === `Bearer ${valid}` ? agents() : failure(401, "expired_oauth_token_error")
    })
    return {
      forms,
      layer: (accessToken) =>
        Dust.layer({ workspaceId: "ws1", baseUrl: "https://dust.example", accessToken }).pipe(
          Layer.provide(http),
          Layer.orDie
        )
    }
  }

  it.effect("refreshToken: renews once for all callers, and hands the rotated token out before it is used", () =>
    Effect.gen(function*() {
      const server = tokenServer()
      const rotated: Array<string> = []
      const accessToken = DustConfig.refreshToken({
        refreshToken: Redacted.make("refresh1"),
        onRotated: (token) => Effect.sync(() => rotated.push(Redacted.value(token)))
      })
      yield* Effect.gen(function*() {
        yield* Effect.all(Array.from({ length: 20 }, () => list), { concurrency: "unbounded" })
        assert.deepStrictEqual(rotated, ["refresh2"])
        assert.deepStrictEqual(server.forms, ["grant_type=refresh_token&refresh_token=refresh1"])
      }).pipe(Effect.provide(server.layer(accessToken)))
    }))

  it.effect("refreshToken: hands the same token out again after onRotated has failed", () =>
    Effect.gen(function*() {
      const server = tokenServer()
      const rotated: Array<string> = []
      const accessToken = DustConfig.refreshToken({
        refreshToken: Redacted.make("refresh1"),
        onRotated: (token) =>
          Effect.suspend(() =>
            rotated.push(Redacted.value(token)) === 1 ? Effect.fail("the disk is full") : Effect.void
          )
      })
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(list))._tag, "DustUnauthorizedError")
        yield* list
        assert.deepStrictEqual(rotated, ["refresh2", "refresh2"])
        assert.lengthOf(server.forms, 1)
      }).pipe(Effect.provide(server.layer(accessToken)))
    }))

  const exchanged = JSON.stringify({ access_token: "access.1" })
  const exchanges: ReadonlyArray<readonly [string, () => Response]> = [
    ["compressed", () => new Response(gzipSync(exchanged).slice(), { headers: { "content-encoding": "gzip" } })],
    ["with a byte order mark", () => new Response(`\ufeff${exchanged}`)]
  ]

  it.effect.each(exchanges)("refreshToken: reads an answer %s", ([, answer]) => {
    const { layer: http, requests } = recorder(({ url }) =>
      url.pathname === "/api/v1/auth/authenticate" ? answer() : agents()
    )
    const accessToken = DustConfig.refreshToken({
      refreshToken: Redacted.make("refresh1"),
      onRotated: () => Effect.void
    })
    return Effect.gen(function*() {
      yield* list
      assert.strictEqual(requests.at(-1)?.headers["authorization"], "Bearer access.1")
    }).pipe(Effect.provide(Layer.provide(
      Dust.layer({ workspaceId: "ws1", baseUrl: "https://dust.example", accessToken }),
      http
    )))
  })

  const refusals: ReadonlyArray<readonly [string, () => Response, string]> = [
    ["a refused token", () => json({ error: "invalid_grant" }, { status: 400 }), "(invalid_grant); sign in again"],
    [
      "a login page",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      "responded with 200 and no token); check `baseUrl`"
    ],
    [
      "a challenge page",
      () => new Response("<html>", { status: 403, headers: { "content-type": "text/html" } }),
      "responded with 403 and no token); check `baseUrl`"
    ]
  ]

  it.effect.each(refusals)("refreshToken: %s is named, with what to do", ([, answer, expected]) => {
    const { layer: http } = recorder(answer)
    const accessToken = DustConfig.refreshToken({
      refreshToken: Redacted.make("refresh1"),
      onRotated: () => Effect.void
    })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(list)
      assert.strictEqual(error.type, "token_unavailable")
      assert.include(error.message, expected)
    }).pipe(Effect.provide(Layer.provide(
      Dust.layer({ workspaceId: "ws1", baseUrl: "https://dust.example", accessToken }),
      http
    )))
  })

  it.effect("refreshToken: works per call, once for each user", () =>
    Effect.gen(function*() {
      const server = tokenServer()
      const accessToken = DustConfig.refreshToken({
        refreshToken: Redacted.make("refresh1"),
        onRotated: () => Effect.void
      })
      yield* Effect.all([list, list].map(DustClient.withCredential({ accessToken }))).pipe(
        Effect.provide(server.layer(Effect.die("the token of the layer is not asked for")))
      )
      assert.lengthOf(server.forms, 1)
    }))

  it.effect("a token that no header can carry is refused before any request, also a renewed one", () =>
    Effect.gen(function*() {
      const long = Redacted.make("a".repeat(200_000))
      const { layer: http, requests } = recorder(() => agents())
      const layer = (accessToken: DustConfig.TokenEffect) =>
        Dust.layer({ workspaceId: "ws1", baseUrl: "https://dust.example", accessToken }).pipe(Layer.provide(http))
      const fixed = yield* Effect.flip(DustClient.withCredential(list, { accessToken: long })).pipe(
        Effect.provide(layer(Effect.never))
      )
      assert.deepInclude({ ...fixed }, { _tag: "DustBadRequestError", attempts: 0 })
      const renewed = yield* Effect.flip(list).pipe(Effect.provide(layer(Effect.succeed(long))))
      assert.strictEqual(renewed._tag, "DustUnauthorizedError")
      assert.lengthOf(requests, 0)
    }))

  it.effect("refreshToken: a refused token is typed, and no error shows it", () =>
    Effect.gen(function*() {
      const server = tokenServer()
      const accessToken = DustConfig.refreshToken({
        refreshToken: Redacted.make("refresh-stolen"),
        onRotated: () => Effect.void
      })
      const error = yield* Effect.flip(list).pipe(Effect.provide(server.layer(accessToken)))
      assert.strictEqual(error._tag, "DustUnauthorizedError")
      assert.notInclude(JSON.stringify(error) + error.message + error.stack, "refresh-stolen")
    }))

  it.effect("transformClient: every request passes through it", () =>
    Effect.gen(function*() {
      const { layer: http, requests } = recorder(agents)
      const layer = Dust.layer({
        workspaceId: "ws1",
        baseUrl: "https://dust.example",
        apiKey: Redacted.make("sk-a"),
        transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-tenant", "blue"))
      }).pipe(Layer.provide(http))
      yield* Effect.provide(list, layer)
      assert.strictEqual(requests[0]?.headers["x-tenant"], "blue")
    }))
})

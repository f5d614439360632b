import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import * as DustTest from "effect-dust/DustTest"
import { Workspace } from "effect-dust/Workspace"
import { createHash } from "node:crypto"
import { call, send } from "../support/local.ts"

const verifier = "a-verifier-of-more-than-forty-three-characters"
const challenge = createHash("sha256").update(verifier).digest("base64url")

const authorize = (more: Record<string, string> = {}) => {
  const query = new URLSearchParams({
    response_type: "code",
    redirect_uri: "http://app.test/callback",
    code_challenge: challenge,
    code_challenge_method: "S256",
    state: "mine",
    ...more
  })
  return Effect.map(
    send("GET", `/api/v1/auth/authorize?${query}`, { absolute: true, token: null }),
    ({ headers, status }) => ({ status, callback: new URL(headers["location"] ?? "none:") })
  )
}

const exchange = (form: Record<string, string>) =>
  call("POST", "/api/v1/auth/authenticate", {
    absolute: true,
    token: null,
    raw: new URLSearchParams(form).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" }
  })

const withCode = (code: string | null, code_verifier = verifier) =>
  exchange({ grant_type: "authorization_code", code: code ?? "", code_verifier })

const me = (accessToken: Redacted.Redacted | DustConfig.TokenEffect) =>
  Effect.flatMap(Workspace, (workspace) => workspace.me()).pipe(DustClient.withCredential({ accessToken }))

/** The SDK, and its low-level client, over one workspace. */
const local = (options?: DustTest.Options) =>
  Dust.layer({
    workspaceId: DustTest.credentials.workspaceId,
    accessToken: Redacted.make("nobody"),
    baseUrl: "https://local-dust.test"
  }).pipe(Layer.orDie, Layer.provideMerge(DustTest.layerHttpClient(options)))

describe("DustTest: sign-in", () => {
  it.effect("authorization code with PKCE: returns tokens of the user; the state is wrapped in Dust's", () =>
    Effect.gen(function*() {
      const { callback, status } = yield* authorize()
      assert.strictEqual(status, 302)
      assert.strictEqual(callback.origin + callback.pathname, "http://app.test/callback")
      const state = JSON.parse(callback.searchParams.get("state") ?? "")
      assert.deepStrictEqual(state, { provider: "workos", client_state: "mine" })
      const { json } = yield* withCode(callback.searchParams.get("code"))
      assert.strictEqual((yield* me(Redacted.make(json.access_token))).email, json.user.email)
    }).pipe(Effect.provide(local())))

  it.effect("a code is valid once, and only with its verifier", () =>
    Effect.gen(function*() {
      const first = (yield* authorize()).callback.searchParams.get("code")
      assert.strictEqual((yield* withCode(first, "another verifier")).json.error, "invalid_grant")
      assert.strictEqual((yield* withCode(first)).json.error, "invalid_grant")
      const second = (yield* authorize()).callback.searchParams.get("code")
      assert.strictEqual((yield* withCode(second)).status, 200)
      assert.strictEqual((yield* withCode(second)).status, 400)
      assert.strictEqual((yield* authorize({ code_challenge_method: "plain" })).status, 400)
    }).pipe(Effect.provide(local())))

  it.effect("login_hint: another user signs in; an unknown one is denied", () =>
    Effect.gen(function*() {
      const grace = (yield* authorize({ login_hint: "grace@example.com" })).callback.searchParams.get("code")
      const { json } = yield* withCode(grace)
      assert.strictEqual((yield* me(Redacted.make(json.access_token))).email, "grace@example.com")
      const { callback } = yield* authorize({ login_hint: "nobody@example.com" })
      assert.strictEqual(callback.searchParams.get("error"), "access_denied")
    }).pipe(Effect.provide(local({
      credentials: { userTokens: [{ value: "t", user: { email: "grace@example.com" } }] }
    }))))

  it.effect("DustConfig.refreshToken: renews the tokens of a sign-in, and each refresh token is valid once", () =>
    Effect.gen(function*() {
      const { json } = yield* withCode((yield* authorize()).callback.searchParams.get("code"))
      const rotated: Array<string> = []
      const accessToken = DustConfig.refreshToken({
        refreshToken: Redacted.make(json.refresh_token),
        onRotated: (token) => Effect.sync(() => rotated.push(Redacted.value(token)))
      })
      assert.strictEqual((yield* me(accessToken)).email, json.user.email)
      assert.lengthOf(rotated, 1)
      const again = yield* exchange({ grant_type: "refresh_token", refresh_token: json.refresh_token })
      assert.deepInclude(again.json, { error: "invalid_grant" })
    }).pipe(Effect.provide(local())))
})

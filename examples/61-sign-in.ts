/** Signs a user in with an authorization code and PKCE. For dust.tt, ask Dust to register your `redirect_uri` at WorkOS. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Effect, Layer, Redacted, Schema } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustClient from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import * as DustTest from "effect-dust/DustTest"
import { createHash, randomBytes } from "node:crypto"
import { done, note, says } from "./support.ts"

const redirectUri = "http://localhost:3000/callback"

/** The URL to redirect the browser to, and the values that the session keeps until it returns. */
const begin = (baseUrl: string) => {
  const verifier = randomBytes(32).toString("base64url")
  const state = randomBytes(16).toString("base64url")
  const code_challenge = createHash("sha256").update(verifier).digest("base64url")
  const fixed = { response_type: "code", redirect_uri: redirectUri, code_challenge_method: "S256" }
  const query = new URLSearchParams({ ...fixed, code_challenge, state })
  return { url: `${baseUrl}/api/v1/auth/authorize?${query}`, verifier, state }
}

const Secret = Schema.Redacted(Schema.String)
const Tokens = Schema.Struct({ access_token: Secret, refresh_token: Secret })
/** Dust wraps the state in its own. */
const State = Schema.parseJson(Schema.Struct({ client_state: Schema.String }))

/** The browser has returned to `redirect_uri`: exchanges the code for tokens. */
const finish = (baseUrl: string, begun: ReturnType<typeof begin>, callback: URL) =>
  Effect.gen(function*() {
    const { client_state } = yield* Schema.decodeUnknown(State)(callback.searchParams.get("state"))
    if (client_state !== begun.state) return yield* Effect.fail("another browser began this sign-in" as const)
    const code = callback.searchParams.get("code") ?? ""
    const request = HttpClientRequest.post(`${baseUrl}/api/v1/auth/authenticate`).pipe(
      HttpClientRequest.bodyUrlParams({ grant_type: "authorization_code", code, code_verifier: begun.verifier })
    )
    const response = yield* Effect.flatMap(HttpClient.execute(request), HttpClientResponse.filterStatusOk)
    return yield* HttpClientResponse.schemaBodyJson(Tokens)(response)
  })

const program = Effect.gen(function*() {
  const { url: baseUrl } = yield* DustTest.DustTest
  const begun = begin(baseUrl)
  // A browser would follow the redirect. Local Dust signs its user in without a prompt.
  const { headers } = yield* Effect.promise(() => fetch(begun.url, { redirect: "manual" }))
  const tokens = yield* finish(baseUrl, begun, new URL(headers.get("location") ?? ""))
  yield* done("signed in")

  // Refresh tokens can be used once: store each new one before using it.
  const accessToken = DustConfig.refreshToken({
    refreshToken: tokens.refresh_token,
    onRotated: (token) => note(`a new refresh token, for the session: ${Redacted.value(token).slice(0, 14)}…`)
  })
  const chat = yield* Chat
  const reply = yield* chat.send({ agent: "echo", message: "Who am I?" }).pipe(
    DustClient.withCredential({ accessToken })
  )
  yield* says(reply.message?.user?.fullName ?? "", reply.text)
})

const local = DustTest.layerServe({ credential: { accessToken: Redacted.make("nobody") } })

program.pipe(Effect.provide(local.pipe(Layer.provideMerge(NodeHttpClient.layerUndici))), NodeRuntime.runMain)

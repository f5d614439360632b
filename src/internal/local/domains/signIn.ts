/**
 * User sign-in: authorization code with PKCE, and single-use refresh tokens. The real server passes both on to WorkOS,
 * where the person signs in. Here the user given by `login_hint` (an email), or the first user, is signed in at once.
 */
import * as Effect from "effect/Effect"
import { decodeText, json, type LocalResponse, redirect } from "../server/http.ts"
import { type Handler, route, type Route } from "../server/route.ts"
import { defaults } from "../state/defaults.ts"
import { slice, type World } from "../state/state.ts"

interface Grant {
  readonly email: string
  /** Only authorization codes have a challenge. */
  readonly challenge: string | undefined
  readonly redirectUri: string | undefined
}

const grants = slice("signIn", () => ({ codes: new Map<string, Grant>(), refreshTokens: new Map<string, Grant>() }))

/** An access token of the user. */
const tokenOf = (world: World, email: string) => {
  for (const token of world.userTokens.values()) if (token.user?.email === email) return token
  return undefined
}

/** A WorkOS error, which has no Dust envelope. */
const failed = (error: string, description: string): LocalResponse =>
  json({ error, error_description: description }, { status: 400 })

const authorize: Handler = ({ query, world }) =>
  Effect.sync(() => {
    const email = query.get("login_hint") ?? world.userTokens.get(defaults.userToken)?.user?.email ?? ""
    const redirectUri = query.get("redirect_uri") ?? ""
    if (!URL.canParse(redirectUri)) return failed("invalid_request", "redirect_uri must be a URL.")
    const challenge = query.get("code_challenge") ?? ""
    if (query.get("response_type") !== "code" || query.get("code_challenge_method") !== "S256" || challenge === "") {
      return failed("invalid_request", "response_type must be code, with an S256 code_challenge.")
    }
    const back = new URL(redirectUri)
    if (tokenOf(world, email) === undefined) {
      back.searchParams.set("error", "access_denied")
      return redirect(back.toString(), 302)
    }
    const code = `code_${world.sId()}`
    grants(world).codes.set(code, { email, challenge, redirectUri })
    back.searchParams.set("code", code)
    // Dust wraps the state of its clients in its own.
    back.searchParams.set(
      "state",
      JSON.stringify({ provider: "workos", client_state: query.get("state") ?? undefined })
    )
    return redirect(back.toString(), 302)
  })

const issue = (world: World, email: string): LocalResponse => {
  const known = tokenOf(world, email)
  if (known === undefined) return failed("invalid_grant", "The user is gone.")
  const accessToken = `local.access.${world.sId()}`
  const refreshToken = `local.refresh.${world.sId()}`
  world.userTokens.set(accessToken, { ...known, value: accessToken, expiresAt: undefined })
  grants(world).refreshTokens.set(refreshToken, { email, challenge: undefined, redirectUri: undefined })
  return json({
    access_token: accessToken,
    refresh_token: refreshToken,
    user: { id: known.user?.sId, email, first_name: known.user?.firstName, last_name: known.user?.lastName }
  })
}

const challengeOf = async (verifier: string): Promise<string> => {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))
  return btoa(String.fromCharCode(...new Uint8Array(digest)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

const authenticate: Handler = ({ request, world }) =>
  Effect.gen(function*() {
    const form = new URLSearchParams(decodeText(request.body))
    const { codes, refreshTokens } = grants(world)
    switch (form.get("grant_type")) {
      case "authorization_code": {
        const code = form.get("code") ?? ""
        const grant = codes.get(code)
        codes.delete(code)
        const challenge = yield* Effect.promise(() => challengeOf(form.get("code_verifier") ?? ""))
        return grant === undefined || grant.challenge !== challenge
          ? failed("invalid_grant", "The code is not valid, or is not for this verifier.")
          : issue(world, grant.email)
      }
      case "refresh_token": {
        const token = form.get("refresh_token") ?? ""
        const grant = refreshTokens.get(token)
        refreshTokens.delete(token)
        return grant === undefined
          ? failed("invalid_grant", "The refresh token is not valid, or was used.")
          : issue(world, grant.email)
      }
      default:
        return failed("unsupported_grant_type", "grant_type must be authorization_code or refresh_token.")
    }
  })

export const signInRoutes: ReadonlyArray<Route> = [
  route("GET", "/api/v1/auth/authorize", { auth: "none", handler: authorize }),
  route("POST", "/api/v1/auth/authenticate", { auth: "none", handler: authenticate })
]

/** The addresses that a call may be sent to: the Dust origin with the credential, its storage without. */
import type { RequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import type { Call, Context } from "./context.ts"
import * as errors from "./errors.ts"

const redirectStatus: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const maxRedirects = { dust: 5, storage: 3 }

/** Browsers hide a redirect that is not followed: its status is 0, and it has no address. */
export const isHiddenRedirect = (status: number): boolean => status === 0

export const isRedirect = (status: number): boolean => redirectStatus.has(status) || isHiddenRedirect(status)

const prefixOf = (base: URL): string => base.pathname.replace(/\/+$/, "")

/** The address to which Dust moves an event stream, below the path prefix of `baseUrl`. */
export const movedStream = (base: URL, url: string): string => {
  const moved = new URL(url)
  const prefix = prefixOf(base)
  moved.pathname = prefix + moved.pathname.slice(prefix.length).replace(/^\/api\/v1\//, "/api/sse/v1/")
  return moved.href
}

/** The address that a response refers to. An empty one would be that of the response itself. */
const addressOf = (from: string, location: string | undefined): URL | undefined =>
  location === undefined || location === "" || !URL.canParse(location, from) ? undefined : new URL(location, from)

/** An address of the Dust origin, never downgraded from https to http. */
export const dustTarget = (base: URL, from: string, location: string | undefined): URL | undefined => {
  const target = addressOf(from, location)
  if (target === undefined) return undefined
  // Behind its TLS proxy, the server may refer to itself with http.
  if (base.protocol === "https:" && target.protocol === "http:") target.protocol = "https:"
  return target.origin === base.origin ? target : undefined
}

const isLoopback = (host: string): boolean => /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(host)

/** Private addresses, which no outside server may direct the SDK to. */
const isPrivate = (name: string): boolean => {
  // A name may end in a dot.
  const host = name.replace(/\.$/, "")
  const octets = /^(\d+)\.(\d+)\.\d+\.\d+$/.exec(host)
  if (octets !== null) {
    const [a, b] = [Number(octets[1]), Number(octets[2])]
    return a === 0 || a === 10 || a === 127 || (a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) ||
      (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || a >= 224
  }
  return isLoopback(host) || /^\[(::|fc|fd|fe[89ab])/i.test(host) || /\.(internal|local|localdomain)$/i.test(host) ||
    (!host.includes(".") && !host.startsWith("["))
}

/**
 * Permitted storage addresses: at least as secure as Dust itself, not private, and without a user name and password.
 */
export const storageTarget = (base: URL, from: string, location: string | undefined): URL | undefined => {
  const target = addressOf(from, location)
  if (target === undefined) return undefined
  if (target.username !== "" || target.password !== "") return undefined
  if (target.origin === base.origin) return target
  const local = isPrivate(base.hostname)
  if (isPrivate(target.hostname) && !local) return undefined
  if (target.protocol === "https:") return target
  return target.protocol === "http:" && base.protocol === "http:" && isLoopback(base.hostname) &&
      isLoopback(target.hostname)
    ? target
    : undefined
}

const notStorage = "it is neither the Dust origin nor a public https address"

const originOf = (address: string | undefined, from: string): string =>
  address !== undefined && URL.canParse(address, from) ? new URL(address, from).origin : "nowhere"

/** The error for a server-provided address that requests are not sent to. */
export const foreignAddress = (
  context: Context,
  identity: Identity,
  address: string,
  to: Call["origin"]
): RequestError => {
  const origin = originOf(address, context.config.baseUrl)
  if (to === "storage") {
    return errors.refusedAddress(identity, 1, {
      message: `redirected to ${origin}, which is not followed: ${notStorage}`,
      type: "redirect_refused",
      origin
    })
  }
  return errors.refusedAddress(identity, 0, {
    message: `refusing to send to ${origin}: the server returned an address outside ${context.base.origin}; check ` +
      "`baseUrl` (DUST_BASE_URL)",
    type: "address_refused",
    origin
  })
}

/** The next address of a redirected call, or the error if the redirect is not followed. */
export const nextAddress = (
  context: Context,
  call: Call,
  answer: { readonly url: string; readonly status: number; readonly location: string | undefined },
  course: { readonly attempts: number; readonly redirects: number }
): { readonly url: string } | { readonly refused: RequestError } => {
  const { base } = context
  const { location, status, url } = answer
  const isStream = call.acceptsEvents && call.origin === "dust"
  const moved = isStream ? movedStream(base, url) : url
  const target = call.origin === "storage"
    ? storageTarget(base, url, location)
    : isHiddenRedirect(status)
    ? moved === url ? undefined : new URL(moved)
    : dustTarget(base, url, location)
  const safe = call.identity.http === "GET" || status === 307 || status === 308
  if (target === undefined || !safe || course.redirects >= maxRedirects[call.origin]) {
    return { refused: refusedRedirect(context, call, answer, course, target !== undefined, safe) }
  }
  if (moved === url) return { url: target.href }
  // The server is unaware of a path prefix that a gateway adds.
  const unprefixed = new URL(moved).pathname.slice(prefixOf(base).length)
  if (target.href !== moved && target.pathname !== unprefixed) return { url: target.href }
  context.moved.add(call.identity.route)
  return { url: moved }
}

const refusedRedirect = (
  { base }: Context,
  call: Call,
  { location, status, url }: { readonly url: string; readonly status: number; readonly location: string | undefined },
  course: { readonly attempts: number; readonly redirects: number },
  allowed: boolean,
  safe: boolean
): RequestError => {
  const origin = originOf(location, url)
  const reason = isHiddenRedirect(status)
    ? "the platform hides the address (browsers do)"
    : location === undefined
    ? "it has no valid Location header"
    : !allowed
    ? call.origin === "storage"
      ? notStorage
      : `the credential is for ${base.origin} only`
    : safe
    ? `it was already redirected ${maxRedirects[call.origin]} times`
    : `after a ${status}, a ${call.identity.http} would be repeated with another method`
  const advice = call.origin === "storage" ? "" : "; check `baseUrl` (DUST_BASE_URL)"
  return errors.refusedAddress(call.identity, course.attempts, {
    message: `${status}: redirected to ${origin}, which is not followed: ${reason}${advice}`,
    status,
    type: "redirect_refused",
    origin
  })
}

/** Classifies a transport failure: whether the request was sent, and how to fix the cause. */
import * as Predicate from "effect/Predicate"

const stringAt = (value: unknown, key: string): string | undefined =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" ? value[key] : undefined

const causes = (cause: unknown): ReadonlyArray<unknown> => {
  const out: Array<unknown> = []
  let current = cause
  for (let depth = 0; depth < 6 && current !== undefined && current !== null; depth++) {
    out.push(current)
    if (Predicate.hasProperty(current, "errors") && Array.isArray(current.errors)) out.push(...current.errors)
    current = Predicate.hasProperty(current, "cause") ? current.cause : undefined
  }
  return out
}

export interface Failure {
  /** The system's code (`ECONNREFUSED`), wherever the HttpClient put it. */
  readonly code: string | undefined
  /** The request was provably not sent. */
  readonly neverSent: boolean
  /** The status with which a proxy refused to open a tunnel. */
  readonly proxyStatus: number | undefined
  /** The host that could not be resolved, or the address that refused the connection: the server's or a proxy's. */
  readonly peer: { readonly host: string; readonly port: number | undefined } | undefined
}

/** Codes of connection failures, whichever system call reports them. */
const connectCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "EHOSTDOWN",
  "EADDRNOTAVAIL",
  // No descriptor or buffer for another connection.
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  // The session of HTTP/2 takes no more requests.
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket"
])

/** A closed client cannot send anything again. */
export const isClosedClient = (code: string | undefined): boolean =>
  code === "UND_ERR_DESTROYED" || code === "UND_ERR_CLOSED"

/** Node reports an interrupted handshake as a plain reset; only the text distinguishes it. */
const handshake = /before secure TLS connection was established|\(Connect\)/
/** The server of HTTP/2 has not processed the request: RFC 9113, section 8.7. */
const refusedStream = /NGHTTP2_REFUSED_STREAM/
const tunnel = /Proxy response \((\d{3})\)/

const isUntrusted = (code: string): boolean =>
  code.includes("SELF_SIGNED") || code.startsWith("UNABLE_TO_") || code === "CERT_UNTRUSTED"

/** A certificate that is refused. It would be refused again. */
const isCertificate = (code: string): boolean =>
  code.startsWith("CERT_") || code === "ERR_TLS_CERT_ALTNAME_INVALID" || isUntrusted(code)

const isTls = (code: string): boolean =>
  code.startsWith("ERR_TLS_") || code.startsWith("ERR_SSL_") || code === "EPROTO" || isCertificate(code)

const isBeforeSending = (one: unknown): boolean => {
  const code = stringAt(one, "code")
  const message = stringAt(one, "message") ?? ""
  return (code !== undefined && (connectCodes.has(code) || isTls(code) || isClosedClient(code))) ||
    stringAt(one, "syscall") === "connect" || stringAt(one, "syscall") === "getaddrinfo" ||
    handshake.test(message) || refusedStream.test(message) || tunnel.test(message)
}

const peerOf = (all: ReadonlyArray<unknown>): Failure["peer"] => {
  for (const one of all) {
    const host = stringAt(one, "hostname") ?? stringAt(one, "address")
    if (host === undefined) continue
    return { host, port: Predicate.hasProperty(one, "port") ? Number(one.port) : undefined }
  }
  return undefined
}

export const failureOf = (cause: unknown): Failure => {
  const all = causes(cause)
  const code = all.map((one) => stringAt(one, "code")).find((code) => code !== undefined)
  const refused = all.map((one) => tunnel.exec(stringAt(one, "message") ?? "")).find((match) => match !== null)
  return {
    code,
    // Several errors are those of the addresses of one host: none of them may have connected.
    neverSent: all.some((one) =>
      Predicate.hasProperty(one, "errors") && Array.isArray(one.errors)
        ? one.errors.length > 0 && one.errors.every(isBeforeSending)
        : isBeforeSending(one) && !all.some((other) =>
          Predicate.hasProperty(other, "errors") && Array.isArray(other.errors) && other.errors.includes(one)
        )
    ),
    proxyStatus: refused?.[1] === undefined ? undefined : Number(refused[1]),
    peer: peerOf(all)
  }
}

/** The type of the error. */
export const networkType = ({ code, proxyStatus }: Failure): string | undefined =>
  proxyStatus === undefined
    ? code
    : proxyStatus === 407
    ? "proxy_authentication_required"
    : proxyStatus < 500
    ? "proxy_refused"
    : "proxy_unavailable"

/** Whether the next attempt would fail in the same way, until a setting changes. */
export const recurs = (type: string | undefined): boolean =>
  type === "proxy_authentication_required" || type === "proxy_refused" || (type !== undefined && isCertificate(type))

/** Where the connection was going, if that is not the server but a proxy. */
const proxyOf = ({ peer }: Failure, origin: string): string | undefined => {
  if (peer === undefined) return undefined
  const { hostname, port, protocol } = new URL(origin)
  if (peer.port === undefined) return peer.host === hostname.replace(/^\[|\]$/g, "") ? undefined : peer.host
  const own = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port)
  return peer.port === own ? undefined : `${peer.host.includes(":") ? `[${peer.host}]` : peer.host}:${peer.port}`
}

const certificateAdvice = (code: string, origin: string): string =>
  code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID"
    ? `the certificate of ${origin} is not valid at this time (${code}); check the clock of this machine`
    : code === "ERR_TLS_CERT_ALTNAME_INVALID"
    ? `the certificate of ${origin} is for another host (${code}); check \`baseUrl\` (DUST_BASE_URL) and the proxy`
    : `the certificate of ${origin} is not trusted (${code}); check whether a proxy or your company issued it, and set ` +
      "NODE_EXTRA_CA_CERTS to the file of its CA certificate (PEM)"

export const networkAdvice = (failure: Failure, origin: string): string => {
  const { code, proxyStatus } = failure
  if (proxyStatus === 407) {
    return `the proxy on the way to ${origin} requires authentication (407); check the user and password in the address of ` +
      "the proxy, http://user:password@host:port (HTTPS_PROXY)"
  }
  if (proxyStatus !== undefined && proxyStatus >= 500) {
    return `the proxy on the way to ${origin} cannot connect to it (${proxyStatus}); check the network of the proxy`
  }
  if (proxyStatus !== undefined) {
    return `the proxy on the way to ${origin} refused the connection (${proxyStatus}); check that it allows this host`
  }
  const proxy = proxyOf(failure, origin)
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return proxy === undefined
        ? `nothing is listening at ${origin}; check \`baseUrl\` (DUST_BASE_URL) and the network`
        : `nothing is listening at ${proxy}, the proxy on the way to ${origin}; check the address of the proxy (HTTPS_PROXY)`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return proxy === undefined
        ? `the host of ${origin} cannot be resolved; check \`baseUrl\` (DUST_BASE_URL) and the network`
        : `${proxy}, the proxy on the way to ${origin}, cannot be resolved; check the address of the proxy (HTTPS_PROXY)`
    case "UND_ERR_CONNECT_TIMEOUT":
      return `no connection to ${origin} in time; check the network, and whether it requires a proxy (HTTPS_PROXY)`
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return "the HttpClient is closed: the scope of its layer has ended; provide it outside of everything that uses it"
    case undefined:
      return `the connection to ${origin} failed`
    default:
      return isCertificate(code)
        ? certificateAdvice(code, origin)
        : /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code)
        ? `${origin} does not speak TLS (${code}); check whether \`baseUrl\` (DUST_BASE_URL) must begin with http://`
        : `the connection to ${origin} failed (${code})`
  }
}

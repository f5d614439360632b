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
  /** The host that could not be resolved, or the address and port that refused: the server's or a proxy's. */
  readonly peer: string | undefined
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

const untrusted = /SELF_SIGNED|^UNABLE_TO_/
const tls = /^(?:CERT_|ERR_TLS_|ERR_SSL_|EPROTO$)/
/** What would fail again until a setting is changed: a proxy's refusal, or a certificate. */
const recurring = /^(?:proxy_[ar]|CERT_)|ALTNAME_INVALID/

const isBeforeSending = (one: unknown): boolean => {
  const code = stringAt(one, "code")
  const message = stringAt(one, "message") ?? ""
  return (code !== undefined &&
    (connectCodes.has(code) || untrusted.test(code) || tls.test(code) || isClosedClient(code))) ||
    stringAt(one, "syscall") === "connect" || stringAt(one, "syscall") === "getaddrinfo" ||
    handshake.test(message) || refusedStream.test(message) || tunnel.test(message)
}

const peerOf = (all: ReadonlyArray<unknown>): string | undefined => {
  for (const one of all) {
    const host = stringAt(one, "hostname")
    if (host !== undefined) return host
    const address = stringAt(one, "address")
    if (address !== undefined && Predicate.hasProperty(one, "port")) return `${address}:${one.port}`
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

/** Whether the next attempt would fail in the same way. */
export const recurs = (type = ""): boolean => recurring.test(type) || untrusted.test(type)

/** Where the connection was going, if that is not the server but a proxy. */
const proxyOf = ({ peer }: Failure, origin: string): string | undefined => {
  const { hostname, port, protocol } = new URL(origin)
  return peer === hostname || peer?.endsWith(`:${port || (protocol === "https:" ? 443 : 80)}`) === true
    ? undefined
    : peer
}

export const networkAdvice = (failure: Failure, origin: string): string => {
  const { code, proxyStatus } = failure
  const way = `the proxy on the way to ${origin}`
  if (proxyStatus !== undefined) {
    return `${way} ${
      proxyStatus === 407
        ? "requires authentication (407); check the user and password in HTTPS_PROXY"
        : proxyStatus < 500
        ? `refused the connection (${proxyStatus}); check that it allows this host`
        : `cannot connect (${proxyStatus})`
    }`
  }
  const proxy = proxyOf(failure, origin)
  const remedy = proxy === undefined
    ? "; check `baseUrl` (DUST_BASE_URL) and the network"
    : `: ${way}; check HTTPS_PROXY`
  const failed = `the connection to ${origin} failed`
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return `nothing is listening at ${proxy ?? origin}${remedy}`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the host of ${proxy ?? origin} cannot be resolved${remedy}`
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return "the HttpClient is closed: the scope of its layer has ended; provide it outside of everything that uses it"
    case undefined:
      return failed
    default:
      return untrusted.test(code)
        ? `the certificate of ${origin} is not trusted (${code}); check whether a proxy or your company issued it, and set ` +
          "NODE_EXTRA_CA_CERTS to the file of its CA certificate (PEM)"
        : `${failed} (${code})`
  }
}

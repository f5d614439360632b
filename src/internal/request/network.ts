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

const isTls = (code: string): boolean =>
  code.startsWith("CERT_") || code.startsWith("ERR_TLS_") || code.startsWith("ERR_SSL_") || code === "EPROTO" ||
  code.includes("SELF_SIGNED") || code.startsWith("UNABLE_TO_") || code.startsWith("DEPTH_ZERO_")

const isBeforeSending = (one: unknown): boolean => {
  const code = stringAt(one, "code")
  const message = stringAt(one, "message") ?? ""
  return (code !== undefined && (connectCodes.has(code) || isTls(code) || isClosedClient(code))) ||
    stringAt(one, "syscall") === "connect" || stringAt(one, "syscall") === "getaddrinfo" ||
    handshake.test(message) || refusedStream.test(message) || tunnel.test(message)
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
    proxyStatus: refused?.[1] === undefined ? undefined : Number(refused[1])
  }
}

export const networkAdvice = ({ code, proxyStatus }: Failure, origin: string): string => {
  if (proxyStatus === 407) return `the proxy on the way to ${origin} requires authentication (407)`
  if (proxyStatus !== undefined) return `the proxy on the way to ${origin} refused the connection (${proxyStatus})`
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return `nothing is listening at ${origin}; check \`baseUrl\` (DUST_BASE_URL) and the network`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the host of ${origin} cannot be resolved; check \`baseUrl\` (DUST_BASE_URL) and the network`
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return "the HttpClient is closed: the scope of its layer has ended; provide it outside of everything that uses it"
    default:
      return code === undefined
        ? `the connection to ${origin} failed`
        : `the connection to ${origin} failed (${code})`
  }
}

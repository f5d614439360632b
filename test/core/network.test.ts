/** What a failure of the connection means, as a table: whether the request was sent, its type, and the advice. */
import { assert, describe, it } from "@effect/vitest"
import { failureOf, isClosedClient, networkAdvice, networkType, recurs } from "../../src/internal/request/network.ts"

const origin = "https://dust.example"
const proxy = "the proxy on the way to https://dust.example"
const elsewhere = `: ${proxy}; check HTTPS_PROXY`
const here = "; check `baseUrl` (DUST_BASE_URL) and the network"
const failed = "the connection to https://dust.example failed"

interface Row {
  readonly title: string
  readonly cause: unknown
  readonly expected: readonly [type: string | undefined, neverSent: boolean, advice: string]
}

const tunnel = (status: number) => new Error("no", { cause: new Error(`Proxy response (${status}) !== 200`) })

const rows: ReadonlyArray<Row> = [
  { title: "nothing", cause: undefined, expected: [undefined, false, failed] },
  { title: "null", cause: null, expected: [undefined, false, failed] },
  { title: "a text", cause: "no", expected: [undefined, false, failed] },
  { title: "a number in the place of a code", cause: { code: 7 }, expected: [undefined, false, failed] },
  {
    title: "a refusal",
    cause: { code: "ECONNREFUSED" },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a refusal at Bun",
    cause: { code: "ConnectionRefused" },
    expected: ["ConnectionRefused", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a refusal by the server",
    cause: { code: "ECONNREFUSED", address: "10.0.0.1", port: 443 },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a refusal by a proxy",
    cause: { cause: { code: "ECONNREFUSED", address: "10.0.0.1", port: 3128 } },
    expected: ["ECONNREFUSED", true, `nothing is listening at 10.0.0.1:3128${elsewhere}`]
  },
  {
    title: "an address without a port",
    cause: { code: "ECONNREFUSED", address: "10.0.0.1" },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a host that is not known",
    cause: { code: "ENOTFOUND", hostname: "dust.example" },
    expected: ["ENOTFOUND", true, `the host of ${origin} cannot be resolved${here}`]
  },
  {
    title: "a name server that does not answer",
    cause: { code: "EAI_AGAIN" },
    expected: ["EAI_AGAIN", true, `the host of ${origin} cannot be resolved${here}`]
  },
  {
    title: "a proxy that is not known",
    cause: { cause: { code: "ENOTFOUND", hostname: "proxy.example" } },
    expected: ["ENOTFOUND", true, `the host of proxy.example cannot be resolved${elsewhere}`]
  },
  ...["DESTROYED", "CLOSED"].map((end): Row => ({
    title: `a client that is ${end}`,
    cause: { code: `UND_ERR_${end}` },
    expected: [
      `UND_ERR_${end}`,
      true,
      "the HttpClient is closed: the scope of its layer has ended; provide it outside of everything that uses it"
    ]
  })),
  ...[
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENETDOWN",
    "EHOSTDOWN",
    "EADDRNOTAVAIL",
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ERR_HTTP2_GOAWAY_SESSION",
    "ERR_HTTP2_INVALID_SESSION",
    "UND_ERR_CONNECT_TIMEOUT",
    "FailedToOpenSocket",
    "CERT_HAS_EXPIRED",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "EPROTO"
  ].map((code): Row => ({ title: code, cause: { code }, expected: [code, true, `${failed} (${code})`] })),
  ...["ECONNRESET", "ETIMEDOUT", "UND_ERR_SOCKET", "EPROTONOSUPPORT", "XCERT_X"].map((code): Row => ({
    title: code,
    cause: { code },
    expected: [code, false, `${failed} (${code})`]
  })),
  ...["DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"].map((code): Row => ({
    title: code,
    cause: { code },
    expected: [
      code,
      true,
      `the certificate of ${origin} is not trusted (${code}); check whether a proxy or your company issued it, and set ` +
      "NODE_EXTRA_CA_CERTS to the file of its CA certificate (PEM)"
    ]
  })),
  {
    title: "a reset while connecting",
    cause: { code: "ECONNRESET", syscall: "connect" },
    expected: ["ECONNRESET", true, `${failed} (ECONNRESET)`]
  },
  {
    title: "a lookup that fails",
    cause: { code: "EOTHER", syscall: "getaddrinfo" },
    expected: ["EOTHER", true, `${failed} (EOTHER)`]
  },
  {
    title: "a reset while reading",
    cause: { code: "ECONNRESET", syscall: "read", message: "read ECONNRESET" },
    expected: ["ECONNRESET", false, `${failed} (ECONNRESET)`]
  },
  {
    title: "an interrupted handshake",
    cause: {
      code: "ECONNRESET",
      message: "Client network socket disconnected before secure TLS connection was established"
    },
    expected: ["ECONNRESET", true, `${failed} (ECONNRESET)`]
  },
  {
    title: "a stream of HTTP/2 that the server refused",
    cause: { code: "ERR_HTTP2_STREAM_ERROR", message: "Stream closed with error code NGHTTP2_REFUSED_STREAM" },
    expected: ["ERR_HTTP2_STREAM_ERROR", true, `${failed} (ERR_HTTP2_STREAM_ERROR)`]
  },
  {
    title: "a proxy that asks for a password",
    cause: tunnel(407),
    expected: [
      "proxy_authentication_required",
      true,
      `${proxy} requires authentication (407); check the user and password in HTTPS_PROXY`
    ]
  },
  {
    title: "a proxy that refuses",
    cause: tunnel(403),
    expected: ["proxy_refused", true, `${proxy} refused the connection (403); check that it allows this host`]
  },
  {
    title: "a proxy that refuses with the last status of its kind",
    cause: tunnel(499),
    expected: ["proxy_refused", true, `${proxy} refused the connection (499); check that it allows this host`]
  },
  {
    title: "a proxy that fails",
    cause: tunnel(500),
    expected: ["proxy_unavailable", true, `${proxy} cannot connect (500)`]
  },

  // Where the code is.
  {
    title: "the outermost code",
    cause: { code: "EOUTER", cause: { code: "EINNER" } },
    expected: ["EOUTER", false, `${failed} (EOUTER)`]
  },
  {
    title: "a code that is five causes deep",
    cause: { cause: { cause: { cause: { cause: { cause: { code: "ECONNREFUSED" } } } } } },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a code that is six causes deep",
    cause: { cause: { cause: { cause: { cause: { cause: { cause: { code: "ECONNREFUSED" } } } } } } },
    expected: [undefined, false, failed]
  },
  { title: "a cause of null", cause: { cause: null }, expected: [undefined, false, failed] },

  // Several addresses of one host.
  {
    title: "several addresses, none of which connects",
    cause: { errors: [{ code: "ECONNREFUSED" }, { code: "EOTHER", syscall: "connect" }] },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "several addresses, one of which may have connected",
    cause: { errors: [{ code: "ECONNREFUSED" }, { code: "ECONNRESET" }] },
    expected: ["ECONNREFUSED", false, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "the only address, which does not connect",
    cause: { errors: [{ code: "ECONNREFUSED" }] },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  { title: "no address", cause: { errors: [] }, expected: [undefined, false, failed] },
  {
    title: "errors that are no list",
    cause: { code: "ECONNREFUSED", errors: 7 },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  },
  {
    title: "a connection that failed before several addresses were tried",
    cause: { code: "ECONNREFUSED", cause: { errors: [{ code: "ECONNRESET" }] } },
    expected: ["ECONNREFUSED", true, `nothing is listening at ${origin}${here}`]
  }
]

describe("a failure of the connection", () => {
  it.each(rows.map((row) => [row.title, row] as const))("%s", (_, { cause, expected }) => {
    const failure = failureOf(cause)
    assert.deepStrictEqual([networkType(failure), failure.neverSent, networkAdvice(failure, origin)], expected)
  })

  it("has the host or the address to which the connection was going", () => {
    const peer = (cause: unknown) => failureOf(cause).peer
    assert.strictEqual(peer({ hostname: "a", address: "b", port: 1 }), "a")
    assert.strictEqual(peer({ address: "b", port: 1, cause: { hostname: "a" } }), "b:1")
    assert.strictEqual(peer({ address: "b", cause: { errors: [{ address: "c", port: 2 }] } }), "c:2")
    assert.strictEqual(peer({ hostname: 7 }), undefined)
  })

  it("is that of a proxy if it went to another port than that of the server", () => {
    const said = (port: number, to: string) =>
      networkAdvice(failureOf({ code: "ECONNREFUSED", address: "10.0.0.1", port }), to).startsWith(
        "nothing is listening at 10.0.0.1:"
      )
    const ports: ReadonlyArray<readonly [number, string, boolean]> = [
      [443, "https://dust.example", false],
      [80, "https://dust.example", true],
      [80, "http://dust.example", false],
      [443, "http://dust.example", true],
      [3000, "http://dust.example:3000", false],
      [80, "http://dust.example:3000", true]
    ]
    for (const [port, to, expected] of ports) assert.strictEqual(said(port, to), expected, `${port} ${to}`)
  })

  it("recurs if only a setting can change it", () => {
    const types = [
      "proxy_authentication_required",
      "proxy_refused",
      "CERT_HAS_EXPIRED",
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "UNABLE_TO_GET_ISSUER_CERT"
    ]
    assert.deepStrictEqual([...types, "proxy_unavailable", "ECONNREFUSED", "ECONNRESET", ""].filter(recurs), types)
    assert.isFalse(recurs())
  })

  it("is that of a closed client by two codes", () => {
    assert.deepStrictEqual(
      ["UND_ERR_DESTROYED", "UND_ERR_CLOSED", "UND_ERR_SOCKET", undefined].map(isClosedClient),
      [true, true, false, false]
    )
  })
})

/** Which addresses a call is sent to: routes, queries, redirects and moved streams, and the errors of the others. */
import * as HttpBody from "@effect/platform/HttpBody"
import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import type { Identity } from "../../src/internal/api/operation.ts"
import type { Call, Context } from "../../src/internal/request/context.ts"
import {
  dustTarget,
  foreignAddress,
  isRedirect,
  movedStream,
  nextAddress,
  storageTarget
} from "../../src/internal/request/redirect.ts"
import { fillRoute, queryString, segment, segments } from "../../src/internal/request/url.ts"
import { complete } from "../support/failures.ts"

const identity = (http: Identity["http"] = "GET", route = "/api/v1/w/{workspaceId}/probe/{id}"): Identity => ({
  module: "Probe",
  method: "read",
  http,
  route,
  credential: "any",
  errors: {}
})

const words = <A>(result: Either.Either<A, { readonly message: string }>): A | string =>
  Either.getOrElse(result, ({ message }) => message)

describe("the path of a call", () => {
  const route = "/w/{workspaceId}/a/{id}/b/{rel}/end"
  const paths: ReadonlyArray<readonly [Record<string, unknown>, string]> = [
    [{ id: "x_-9Z", rel: "c" }, "/w/ws%201/a/x_-9Z/b/c/end"],
    [{ id: "a/b?c#d%", rel: "e f/g/h" }, "/w/ws%201/a/a%2Fb%3Fc%23d%25/b/e%20f/g/h/end"],
    [{ id: "\u{1f642}.", rel: "..a" }, "/w/ws%201/a/%F0%9F%99%82./b/..a/end"],
    [{ id: " ", rel: "c" }, "Probe.read: id must be a non-blank id"],
    [{ id: "", rel: "c" }, "Probe.read: id must be a non-blank id"],
    [{ id: ".", rel: "c" }, "Probe.read: id must be an id other than \".\" and \"..\""],
    [{ id: "..", rel: "c" }, "Probe.read: id must be an id other than \".\" and \"..\""],
    [{ id: "\ud800", rel: "c" }, "Probe.read: id must be well-formed Unicode"],
    [{ id: "\udc00", rel: "c" }, "Probe.read: id must be well-formed Unicode"],
    [{ rel: "c" }, "Probe.read: id must be a string, got undefined"],
    [{ id: 7, rel: "c" }, "Probe.read: id must be a string, got number"],
    [{ id: "x", rel: 7 }, "Probe.read: rel must be a string, got number"],
    ...["", "a//b", "a/../b", "./a", "a/ "].map((rel) =>
      [
        { id: "x", rel },
        "Probe.read: rel must be a relative path without blank, \".\" or \"..\" segments"
      ] as const
    )
  ]
  it.each(paths)("of %j is %s", (path, expected) => {
    // Twice: a route is split once.
    for (const _ of [1, 2]) {
      assert.strictEqual(words(fillRoute(identity("GET", route), "ws 1", path as Record<string, string>)), expected)
    }
  })

  it("has no parts without placeholders", () => {
    assert.strictEqual(words(fillRoute(identity("GET", "/plain"), "w", {})), "/plain")
    assert.strictEqual(words(segment(identity(), "id", "a b")), "a%20b")
    assert.strictEqual(words(segments(identity(), "rel", "a/b c")), "a/b%20c")
  })

  const queries: ReadonlyArray<readonly [Parameters<typeof queryString>[0], string]> = [
    [undefined, ""],
    [{}, ""],
    [{ a: undefined, b: null }, ""],
    [{ a: [] }, ""],
    [{ a: "x y", b: 7, c: true, d: false, e: "" }, "?a=x+y&b=7&c=true&d=false&e="],
    [{ a: undefined, b: ["x", "y&z"], c: null, d: 0 }, "?b=x&b=y%26z&d=0"]
  ]
  it.each(queries)("is followed by the query: %j is %j", (query, expected) => {
    assert.strictEqual(queryString(query), expected)
  })
})

describe("an address of Dust", () => {
  const base = "https://dust.example/prefix"
  const targets: ReadonlyArray<readonly [string, string | undefined, string | undefined]> = [
    [base, undefined, undefined],
    [base, "http://", undefined],
    [base, "/b?c=d", "https://dust.example/b?c=d"],
    [base, "b", "https://dust.example/a/b"],
    [base, "http://dust.example/b", "https://dust.example/b"],
    [base, "https://dust.example:444/b", undefined],
    [base, "https://other.example/b", undefined],
    [base, "http://other.example/b", undefined],
    [base, "ftp://dust.example/b", undefined],
    ["http://dust.example", "https://dust.example/b", undefined],
    ["http://dust.example", "http://dust.example/b", "http://dust.example/b"]
  ]
  it.each(targets)("for %s: %s is followed to %s", (from, location, expected) => {
    assert.strictEqual(dustTarget(new URL(from), `${new URL(from).origin}/a/x`, location)?.href, expected)
  })

  const streams: ReadonlyArray<readonly [string, string, string]> = [
    ["https://d.example", "https://d.example/api/v1/w/x?y=z", "https://d.example/api/sse/v1/w/x?y=z"],
    ["https://d.example/p/", "https://d.example/p/api/v1/w/x", "https://d.example/p/api/sse/v1/w/x"],
    ["https://d.example/p", "https://d.example/p/other/api/v1/w", "https://d.example/p/other/api/v1/w"],
    ["https://d.example", "https://d.example/api/sse/v1/w/x", "https://d.example/api/sse/v1/w/x"]
  ]
  it.each(streams)("for %s: the stream at %s moves to %s", (from, url, expected) => {
    assert.strictEqual(movedStream(new URL(from), url), expected)
  })

  it("comes with one of five statuses, or with the one of browsers", () => {
    const all = Array.from({ length: 600 }, (_, status) => status)
    assert.deepStrictEqual(all.filter(isRedirect), [0, 301, 302, 303, 307, 308])
  })
})

describe("an address of the storage", () => {
  const rows: ReadonlyArray<readonly [string, string, boolean]> = [
    // The origin of Dust itself needs no https.
    ["http://dust.example", "/x", true],
    ["https://dust.example", "https://u@dust.example/x", false],
    ["https://dust.example", "https://:p@dust.example/x", false],
    ["https://dust.example", "https://100.1.0.1/x", true],
    ["https://dust.example", "https://169.1.0.1/x", true],
    ["https://dust.example", "https://172.1.0.1/x", true],
    ["https://dust.example", "https://192.1.0.1/x", true],
    ["https://dust.example", "https://1.168.0.1/x", true],
    ["https://dust.example", "https://1.254.0.1/x", true],
    ["https://dust.example", "https://1.16.0.1/x", true],
    ["https://dust.example", "https://1.64.0.1/x", true],
    ["https://dust.example", "https://255.1.0.1/x", false],
    ["https://dust.example", "https://172.20.0.1/x", false],
    ["https://dust.example", "https://100.100.0.1/x", false],
    ["https://dust.example", "https://app.localhost/x", false],
    ["https://dust.example", "https://printer.local./x", false],
    ["https://dust.example", "https://[fd12::1]/x", false],
    ["https://dust.example", "https://[fe90::1]/x", false],
    ["https://dust.example", "https://[2001:db8::1]/x", true],
    // Beside a server of a private network, the storage may be there, too.
    ["https://10.0.0.1", "https://10.0.0.2/x", true],
    ["https://10.0.0.1", "http://10.0.0.2/x", false],
    ["http://127.0.0.1:3000", "http://localhost:9000/x", true],
    ["http://127.0.0.1:3000", "ftp://localhost:9000/x", false],
    ["http://[::1]:3000", "http://127.0.0.1:9000/x", true],
    ["http://app.localhost", "http://127.0.0.1:9000/x", true],
    ["http://127.0.0.1.example", "http://localhost:9000/x", false]
  ]
  it.each(rows)("beside %s: %s is followed: %s", (base, location, followed) => {
    assert.strictEqual(storageTarget(new URL(base), `${base}/y`, location) !== undefined, followed)
  })
})

const contextOf = (baseUrl: string): Context =>
  ({ base: new URL(baseUrl), config: { baseUrl }, moved: new Set<string>() }) as Partial<Context> as Context

const callOf = (more: Partial<Call> = {}): Call =>
  ({
    identity: identity(),
    origin: "dust",
    acceptsEvents: false,
    body: HttpBody.empty,
    ...more
  }) as Partial<Call> as Call

const same = {
  _tag: "DustBadRequestError",
  module: "Probe",
  method: "read",
  request: { method: "GET", route: "/api/v1/w/{workspaceId}/probe/{id}" }
}

describe("an address that a response contains", () => {
  const context = contextOf("https://dust.example/p")
  const rows: ReadonlyArray<readonly [string, "dust" | "storage", object]> = [
    ["https://other.example/x", "dust", {
      message: "Probe.read: refusing to send to https://other.example: the server returned an address outside " +
        "https://dust.example; check `baseUrl` (DUST_BASE_URL)",
      type: "address_refused",
      details: { origin: "https://other.example" },
      attempts: 0
    }],
    ["/x", "storage", {
      message:
        "Probe.read: redirected to https://dust.example, which is not followed: it is neither the Dust origin nor " +
        "a public https address",
      type: "redirect_refused",
      details: { origin: "https://dust.example" },
      attempts: 1
    }],
    ["http://", "storage", {
      message: "Probe.read: redirected to nowhere, which is not followed: it is neither the Dust origin nor a public " +
        "https address",
      type: "redirect_refused",
      details: { origin: "nowhere" },
      attempts: 1
    }]
  ]
  it.each(rows)("%s of the %s is refused", (address, to, expected) => {
    assert.deepStrictEqual(complete(foreignAddress(context, identity(), address, to)), { ...same, ...expected })
  })
})

describe("a redirect", () => {
  const url = "https://dust.example/p/api/v1/w/ws/x"
  const stream = { acceptsEvents: true }
  const post = { identity: identity("POST") }
  const storage = { origin: "storage" } as const

  interface Row {
    readonly title: string
    readonly call?: Partial<Call>
    readonly status?: number
    readonly location?: string
    readonly redirects?: number
    /** The next address, or the reason of the refusal. */
    readonly expected: string
    readonly origin?: string
    readonly moved?: true
  }
  const here = "https://dust.example"
  const advice = "; check `baseUrl` (DUST_BASE_URL)"
  const notStorage = "it is neither the Dust origin nor a public https address"
  const rows: ReadonlyArray<Row> = [
    { title: "within Dust", location: "/y", expected: `${here}/y` },
    { title: "within Dust, of a POST with 307", call: post, status: 307, location: "/y", expected: `${here}/y` },
    { title: "within Dust, of a POST with 308", call: post, status: 308, location: "/y", expected: `${here}/y` },
    {
      title: "within Dust, of a POST with 302",
      call: post,
      location: "/y",
      origin: here,
      expected: `after a 302, a POST would be repeated with another method${advice}`
    },
    {
      title: "without an address",
      origin: "nowhere",
      expected: `it has no valid Location header${advice}`
    },
    {
      title: "hidden by the platform",
      status: 0,
      origin: "nowhere",
      expected: `the platform hides the address (browsers do)${advice}`
    },
    {
      title: "to another origin",
      location: "https://other.example/y",
      origin: "https://other.example",
      expected: `the credential is for ${here} only${advice}`
    },
    { title: "the fifth", location: "/y", redirects: 4, expected: `${here}/y` },
    {
      title: "the sixth",
      location: "/y",
      redirects: 5,
      origin: here,
      expected: `it was already redirected 5 times${advice}`
    },
    { title: "to the storage", call: storage, location: "https://s.example/y", expected: "https://s.example/y" },
    { title: "in the storage, the third", call: storage, location: "/y", redirects: 2, expected: `${here}/y` },
    {
      title: "in the storage, the fourth",
      call: storage,
      location: "/y",
      redirects: 3,
      origin: here,
      expected: "it was already redirected 3 times"
    },
    {
      title: "from the storage to a private address",
      call: storage,
      location: "https://10.0.0.1/y",
      origin: "https://10.0.0.1",
      expected: notStorage
    },
    {
      title: "of a stream to its new place",
      call: stream,
      status: 308,
      location: "/p/api/sse/v1/w/ws/x",
      expected: `${here}/p/api/sse/v1/w/ws/x`,
      moved: true
    },
    {
      title: "of a stream to its new place, by a server that does not know its prefix",
      call: stream,
      status: 308,
      location: "/api/sse/v1/w/ws/x",
      expected: `${here}/p/api/sse/v1/w/ws/x`,
      moved: true
    },
    {
      title: "of a stream, hidden by the platform",
      call: stream,
      status: 0,
      expected: `${here}/p/api/sse/v1/w/ws/x`,
      moved: true
    },
    { title: "of a stream to another place", call: stream, location: "/y", expected: `${here}/y` },
    {
      title: "of a download of events in the storage",
      call: { ...stream, ...storage },
      location: "/p/api/sse/v1/w/ws/x",
      expected: `${here}/p/api/sse/v1/w/ws/x`
    }
  ]
  it.each(rows.map((row) => [row.title, row] as const))(
    "%s",
    (_, { call, expected, location, moved, origin, redirects = 0, status = 302 }) => {
      const context = contextOf("https://dust.example/p")
      const full = callOf(call)
      const next = nextAddress(context, full, { url, status, location }, { attempts: 2, redirects })
      if (origin === undefined) {
        assert.deepStrictEqual(next, { url: expected })
      } else {
        assert.deepStrictEqual("refused" in next && complete(next.refused), {
          ...same,
          request: { ...same.request, method: full.identity.http },
          message: `Probe.read: ${status}: redirected to ${origin}, which is not followed: ${expected}`,
          status,
          type: "redirect_refused",
          details: { origin },
          attempts: 2
        })
      }
      assert.deepStrictEqual([...context.moved], moved === true ? [identity().route] : [])
    }
  )
})

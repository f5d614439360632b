import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Http from "node:http"
import { serve } from "./http.ts"
import * as Proxy from "./proxy.ts"

/** An origin: `/json`, `/slow` (handled after 100 ms), `/events` (three events, 20 ms apart), `/location`. */
const origin = Effect.gen(function*() {
  const handled: Array<string> = []
  const server = yield* serve((request, response) => {
    const { url = "" } = request
    if (url === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream" })
      let sent = 0
      const timer = setInterval(() => {
        response.write(`data: ${++sent}\n\n`)
        if (sent === 3) {
          clearInterval(timer)
          response.end()
        }
      }, 20)
      response.on("close", () => clearInterval(timer))
      return
    }
    request.resume()
    setTimeout(() => {
      handled.push(`${request.method} ${url}`)
      response.writeHead(200, { "content-type": "application/json", date: "Thu, 01 Jan 2026 00:00:00 GMT" })
      response.end(JSON.stringify({ url: `http://${request.headers.host}${url}`, handled: handled.length }))
    }, url === "/slow" ? 100 : 0)
  })
  return { ...server, handled }
})

const withProxy = (options: Omit<Proxy.Options, "origin">) =>
  Effect.gen(function*() {
    const { handled, url } = yield* origin
    return { handled, proxy: yield* Proxy.make({ origin: url, ...options }) }
  })

interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
  /** When each piece came, after the first. */
  readonly pieces: ReadonlyArray<string>
  readonly error: string | undefined
}

/** One request on a connection of its own, without any decoding. */
const ask = (proxy: Proxy.Proxy, path: string, method = "GET"): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const fail = (error: Error & { readonly code?: string }) =>
      resume(
        Effect.succeed({ status: 0, headers: {}, body: Buffer.of(), pieces: [], error: error.code ?? error.message })
      )
    const request = Http.request(`${proxy.url}${path}`, { method, agent: false }, (response) => {
      // A reset is reported to the request, too, and there without what had arrived.
      request.off("error", fail).on("error", () => undefined)
      const pieces: Array<Buffer> = []
      const done = (error?: Error & { readonly code?: string }) =>
        resume(Effect.succeed({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(pieces),
          pieces: pieces.map(String),
          error: error?.code
        }))
      response.on("data", (piece: Buffer) => pieces.push(piece))
      response.on("end", () => done())
      response.on("error", done)
    })
    request.on("error", fail)
    request.end()
    return Effect.sync(() => request.destroy())
  })

describe("the misbehaving proxy", () => {
  it.scopedLive("without rules: forwards responses unchanged except for its own address", () =>
    Effect.gen(function*() {
      const { handled, proxy } = yield* withProxy({})
      const { body, status } = yield* ask(proxy, "/json", "POST")
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(JSON.parse(String(body)), { url: `${proxy.url}/json`, handled: 1 })
      assert.deepStrictEqual(handled, ["POST /json"])
      assert.strictEqual(String((yield* ask(proxy, "/events")).body), "data: 1\n\ndata: 2\n\ndata: 3\n\n")
    }))

  it.scopedLive("resetBefore, resetAfter: only the second one reaches the origin", () =>
    Effect.gen(function*() {
      const { handled, proxy } = yield* withProxy({
        rules: [{ nth: 1, trouble: Proxy.resetBefore }, { nth: 2, trouble: Proxy.resetAfter }]
      })
      assert.strictEqual((yield* ask(proxy, "/json")).error, "ECONNRESET")
      assert.deepStrictEqual(handled, [])
      assert.strictEqual((yield* ask(proxy, "/json")).error, "ECONNRESET")
      assert.deepStrictEqual(handled, ["GET /json"])
      assert.deepStrictEqual(proxy.counts.troubles, { Reset: 2 })
    }))

  it.scopedLive("gateway: answers with a page while the origin goes on", () =>
    Effect.gen(function*() {
      const { handled, proxy } = yield* withProxy({ rules: [{ trouble: Proxy.gateway(524, { origin: 20 }) }] })
      const { body, headers, status } = yield* ask(proxy, "/slow", "POST")
      assert.strictEqual(status, 524)
      assert.include(headers["content-type"], "text/html")
      assert.include(String(body), "524")
      assert.deepStrictEqual(handled, [])
      yield* proxy.settled
      assert.deepStrictEqual(handled, ["POST /slow"])
    }))

  it.scopedLive("challenge, halfOpen: the origin gets nothing", () =>
    Effect.gen(function*() {
      const { handled, proxy } = yield* withProxy({
        rules: [{ path: /json/, trouble: Proxy.challenge() }, { path: /slow/, trouble: Proxy.halfOpen() }]
      })
      assert.strictEqual((yield* ask(proxy, "/json")).status, 403)
      assert.isTrue((yield* Effect.timeoutOption(ask(proxy, "/slow"), "50 millis"))._tag === "None")
      assert.deepStrictEqual(handled, [])
    }))

  it.scopedLive("cutBytes, cutEvents: cut where they say", () =>
    Effect.gen(function*() {
      const { proxy } = yield* withProxy({
        rules: [{ path: /events/, trouble: Proxy.cutEvents(2) }, { path: /json/, trouble: Proxy.cutBytes(7) }]
      })
      const events = yield* ask(proxy, "/events")
      assert.deepStrictEqual([String(events.body), events.error], ["data: 1\n\ndata: 2\n\n", "ECONNRESET"])
      assert.strictEqual(String((yield* ask(proxy, "/json")).body), `{"url":`)
    }))

  for (const encoding of ["gzip", "br", "deflate"] as const) {
    it.scopedLive(`compress: ${encoding}, event by event`, () =>
      Effect.gen(function*() {
        const { proxy } = yield* withProxy({ rules: [{ trouble: Proxy.compress(encoding) }] })
        const response = yield* Effect.promise(() => fetch(`${proxy.url}/events`))
        assert.strictEqual(response.headers.get("content-encoding"), encoding)
        const raw = yield* ask(proxy, "/events")
        assert.isAtLeast(raw.pieces.length, 3)
        assert.strictEqual(yield* Effect.promise(() => response.text()), "data: 1\n\ndata: 2\n\ndata: 3\n\n")
      }))
  }

  it.scopedLive("cache: gives the first answer again, with an Age and an old Date", () =>
    Effect.gen(function*() {
      const { handled, proxy } = yield* withProxy({ rules: [{ method: "GET", trouble: Proxy.cache(600) }] })
      const first = yield* ask(proxy, "/json")
      const again = yield* ask(proxy, "/json")
      assert.deepStrictEqual(String(again.body), String(first.body))
      assert.isUndefined(first.headers.age)
      assert.isAtLeast(Number(again.headers.age), 600)
      assert.isAbove(Date.now() - Date.parse(again.headers.date ?? ""), 590_000)
      yield* ask(proxy, "/json", "POST")
      assert.deepStrictEqual(handled, ["GET /json", "POST /json"])
    }))

  it.scopedLive("skewDate, drip, buffer, slowClose: the same body, otherwise sent", () =>
    Effect.gen(function*() {
      const { proxy } = yield* withProxy({
        rules: [
          { path: /json/, trouble: Proxy.skewDate(-60) },
          { path: /json/, trouble: Proxy.drip(5, 1) },
          { path: /json/, trouble: Proxy.slowClose(50) },
          { path: /events/, trouble: Proxy.buffer }
        ]
      })
      const { body, headers, pieces } = yield* ask(proxy, "/json")
      assert.strictEqual(headers.date, "Wed, 31 Dec 2025 23:59:00 GMT")
      assert.strictEqual(JSON.parse(String(body)).handled, 1)
      assert.isAbove(pieces.length, 1)
      assert.deepStrictEqual((yield* ask(proxy, "/events")).pieces, ["data: 1\n\ndata: 2\n\ndata: 3\n\n"])
      assert.deepStrictEqual(proxy.counts.troubles, { SkewDate: 1, Drip: 1, SlowClose: 1, Buffer: 1 })
    }))

  it.scopedLive("comments, idleCut: between events, and instead of waiting for them", () =>
    Effect.gen(function*() {
      const { proxy } = yield* withProxy({
        rules: [{ nth: 1, trouble: Proxy.comments(5) }, { nth: 2, trouble: Proxy.idleCut(5) }]
      })
      const body = String((yield* ask(proxy, "/events")).body)
      assert.include(body, ": ping\n\n")
      assert.strictEqual(body.replaceAll(": ping\n\n", ""), "data: 1\n\ndata: 2\n\ndata: 3\n\n")
      const cut = yield* ask(proxy, "/events")
      assert.strictEqual(cut.error, "ECONNRESET")
    }))

  it.scopedLive("connections: resets those beyond the limit", () =>
    Effect.gen(function*() {
      const { proxy } = yield* withProxy({ connections: 2 })
      const all = yield* Effect.all([1, 2, 3].map(() => ask(proxy, "/slow")), { concurrency: "unbounded" })
      assert.deepStrictEqual(all.map(({ status }) => status).toSorted(), [0, 200, 200])
      assert.strictEqual(proxy.counts.refused, 1)
    }))

  it.scopedLive("randomly: the same seed decides the same", () =>
    Effect.gen(function*() {
      const outcomes = (seed: number) =>
        Effect.gen(function*() {
          const { proxy } = yield* withProxy({
            rules: [
              Proxy.randomly({ seed, rate: 0.5, troubles: [Proxy.challenge(), Proxy.gateway(502), Proxy.gateway(520)] })
            ]
          })
          return yield* Effect.forEach(
            Array.from({ length: 20 }),
            () => Effect.map(ask(proxy, "/json"), (one) => one.status)
          )
        })
      const first = yield* outcomes(1)
      assert.deepStrictEqual(yield* outcomes(1), first)
      assert.notDeepEqual(yield* outcomes(2), first)
      assert.includeMembers(first, [200, 403, 502, 520])
    }))

  it.live("leaves no connection behind, whatever was open", () =>
    Effect.gen(function*() {
      const proxy = yield* Effect.scoped(Effect.gen(function*() {
        const { proxy } = yield* withProxy({
          rules: [
            { path: /json/, trouble: Proxy.halfOpen({ forwarded: true }) },
            { path: /slow/, trouble: Proxy.gateway(502, { after: 60_000, origin: 60_000 }) },
            { path: /events/, trouble: Proxy.delay({ response: 60_000 }) }
          ]
        })
        yield* Effect.forEach(["/json", "/slow", "/events"], (path) => Effect.fork(ask(proxy, path)))
        yield* Effect.repeat(Effect.sleep("5 millis"), {
          until: () => proxy.counts.forwarded === 2 && proxy.sockets() === 3
        })
        return proxy
      }))
      assert.deepStrictEqual([proxy.sockets(), proxy.upstream()], [0, 0])
    }))
})

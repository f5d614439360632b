import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { type Clock, type Duration, Effect, Fiber, Layer, Redacted, Stream, TestClock } from "effect"
import * as Dust from "effect-dust/Dust"
import { DustClient } from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import {
  ask,
  bytesToText,
  call,
  connect,
  get,
  messageEvents,
  open,
  path,
  post,
  send,
  token,
  types
} from "../support/local.ts"

const local = (options?: DustTest.Options) => Effect.provide(DustTest.layerHttpClient(options))
const settle = TestClock.adjust(0)
const { faults } = DustTest

const exists = get("/exists")
const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i} `).join("")

describe("faults", () => {
  it.effect("status: has Dust's envelope and headers; the handler does not run", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const response = yield* post("/assistant/conversations", {})
      assert.deepStrictEqual([response.status, response.type, response.json.error.message], [
        429,
        "rate_limit_error",
        "Slow down"
      ])
      assert.strictEqual(response.headers["retry-after"], "7")
      assert.lengthOf(yield* dust.conversations, 0)
      assert.strictEqual((yield* dust.lastRequest()).fault, "Respond")
      assert.strictEqual((yield* post("/assistant/conversations", {})).status, 200)
    }).pipe(local({
      faults: [{
        method: "POST",
        nth: 1,
        fault: faults.status(429, { type: "rate_limit_error", message: "Slow down", headers: { "retry-after": "7" } })
      }]
    })))

  it.effect("HTML, plain text, redirects to another origin", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const html = yield* exists
      assert.deepStrictEqual([html.status, html.headers["content-type"]], [502, "text/html"])
      assert.include(html.text, "<html>")
      const text = yield* exists
      assert.deepStrictEqual([text.status, text.text], [503, "upstream connect error"])
      const moved = yield* exists
      assert.deepStrictEqual([moved.status, moved.headers["location"]], [302, "https://evil.test/steal"])
      // The request after the redirect is logged, credential included, and matches no route.
      assert.strictEqual((yield* call("GET", "https://evil.test/api/v1/w/LocalDust1/exists")).status, 404)
      const last = yield* dust.lastRequest()
      assert.deepStrictEqual([last.origin, last.credential, last.route], [
        "https://evil.test",
        "key:Local Dust",
        undefined
      ])
    }).pipe(local({
      faults: [
        { nth: 1, fault: faults.html() },
        { nth: 2, fault: faults.status(503, { body: "upstream connect error", contentType: "text/plain" }) },
        { nth: 3, fault: faults.redirect("https://evil.test/steal", 302) }
      ]
    })))

  it.effect("connections refused, or cut before the headers, as undici reports it", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const failure = Effect.flip(post("/assistant/conversations", {}))
      for (const [code, outcomes] of [["ECONNREFUSED", 0], ["ECONNRESET", 0], ["ECONNRESET", 1]] as const) {
        const error = yield* failure
        assert.deepStrictEqual([error._tag, error.reason], ["RequestError", "Transport"])
        assert.strictEqual((error.cause as NodeJS.ErrnoException).code, code)
        // Only the last one reached the handler.
        assert.lengthOf(yield* dust.conversations, outcomes)
      }
      assert.deepStrictEqual((yield* dust.requests()).map(({ fault, outcome }) => [fault, outcome]), [
        ["Refuse", "reset"],
        ["Reset", "reset"],
        ["Reset", "reset"]
      ])
    }).pipe(local({
      faults: [
        { nth: 1, fault: faults.refuse() },
        { nth: 2, fault: faults.resetBefore() },
        { nth: 3, fault: faults.resetAfter() }
      ]
    })))

  it.effect("delays before the headers and before the body", () =>
    Effect.gen(function*() {
      const headers = yield* Effect.fork(send("GET", "/exists"))
      yield* TestClock.adjust("9 seconds")
      assert.isTrue((yield* Fiber.poll(headers))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(headers)).status, 200)
      const response = yield* send("GET", "/exists")
      assert.strictEqual(response.status, 200)
      const body = yield* Effect.fork(response.json)
      yield* TestClock.adjust("9 seconds")
      assert.isTrue((yield* Fiber.poll(body))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(body), { exists: true })
    }).pipe(local({
      faults: [{ nth: 1, fault: faults.delayHeaders("10 seconds") }, { nth: 2, fault: faults.delayBody("10 seconds") }]
    })))

  it.effect("never: no response, with and without the handler", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      for (const made of [0, 1]) {
        const fiber = yield* Effect.fork(post("/assistant/conversations", {}))
        yield* TestClock.adjust("10 hours")
        assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
        assert.lengthOf(yield* dust.openConnections, 1)
        yield* Fiber.interrupt(fiber)
        assert.lengthOf(yield* dust.openConnections, 0)
        assert.strictEqual((yield* dust.lastRequest()).outcome, "aborted")
        assert.lengthOf(yield* dust.conversations, made)
      }
    }).pipe(local({
      faults: [{ nth: 1, fault: faults.neverAnswer() }, { nth: 2, fault: faults.neverAnswer({ handlerRuns: true }) }]
    })))

  it.effect("bodies: cut, malformed or with another shape", () =>
    Effect.gen(function*() {
      const cut = yield* send("GET", "/exists")
      assert.strictEqual(cut.status, 200)
      const error = yield* Effect.flip(cut.json)
      assert.strictEqual(error.reason, "Decode")
      assert.strictEqual((error.cause as Error).message, "terminated")
      const broken = yield* send("GET", "/exists")
      assert.strictEqual(yield* broken.text, "{\"exists\":true")
      assert.deepStrictEqual((yield* exists).json, { exists: true, more: 1 })
      assert.strictEqual((yield* exists).text, "{\"exists\":null}")
    }).pipe(local({
      faults: [
        { nth: 1, fault: faults.cut(5) },
        { nth: 2, fault: faults.malformedJson() },
        { nth: 3, fault: faults.transformJson((json) => ({ ...json as object, more: 1 })) },
        { nth: 4, fault: faults.transformText((text) => text.replace("true", "null")) }
      ]
    })))

  it.effect("event streams: events or text malformed or with another shape", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("hello")
      yield* dust.waitForRun(ids.messageId)
      const broken = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(types(broken), ["dust-handshake", "?", "?", "?", "done"])
      assert.isTrue(broken.slice(1, -1).every(({ data }) => data.startsWith("{\"eventId\"") && !data.endsWith("}}")))
      const wrong = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(wrong.slice(1, -1).map(({ json }) => json), [{ odd: true }, { odd: true }, { odd: true }])
      assert.deepStrictEqual(wrong.slice(1, -1).map(({ id }) => id !== undefined), [true, true, true])
      const csv = yield* post(
        "/analytics/consumption/export",
        { startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-20T00:00:00Z" },
        { token: token.adminKey }
      )
      assert.strictEqual(csv.text, "completedAt,c")
    }).pipe(local({
      faults: [
        { path: /events/, nth: 1, fault: faults.malformedJson() },
        {
          path: /events/,
          nth: 2,
          fault: faults.transformJson((json) => ({ ...json as object, data: { odd: true } }))
        },
        { path: "/analytics/consumption/export", fault: faults.transformText((text) => text.slice(0, 13)) }
      ]
    })))

  it.effect("event streams: cut or ended at byte n", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask(words(5))
      yield* dust.waitForRun(ids.messageId)
      const pieces: Array<Uint8Array> = []
      const response = yield* open(messageEvents(ids))
      const error = yield* Effect.flip(
        Stream.runForEach(response.stream, (piece) => Effect.sync(() => pieces.push(piece)))
      )
      assert.strictEqual(error.reason, "Decode")
      assert.strictEqual(pieces.reduce((sum, piece) => sum + piece.length, 0), 100)
      assert.strictEqual((yield* dust.lastRequest()).outcome, "reset")
      const ended = yield* bytesToText(yield* open(messageEvents(ids)))
      assert.strictEqual(ended.length, 200)
    }).pipe(local({
      faults: [
        { path: "/assistant/conversations/:conversationId/messages/:messageId/events", nth: 1, fault: faults.cut(100) },
        { path: /\/events$/, nth: 2, fault: faults.end(200) }
      ]
    })))

  it.effect("event streams: frames sent twice, or in swapped pairs", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask(words(3))
      yield* dust.waitForRun(ids.messageId)
      const doubled = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(doubled.flatMap(({ json }) => json?.text ?? []), [
        "w0 ",
        "w0 ",
        "w1 ",
        "w1 ",
        "w2 ",
        "w2 "
      ])
      assert.deepStrictEqual(types(doubled).filter((type) => type === "done" || type === "dust-handshake"), [
        "dust-handshake",
        "done"
      ])
      const swapped = yield* connect(messageEvents(ids))
      assert.deepStrictEqual(types(swapped), [
        "dust-handshake",
        "generation_tokens",
        "generation_tokens",
        "agent_message_success",
        "generation_tokens",
        "end-of-stream",
        "done"
      ])
      assert.deepStrictEqual(swapped.flatMap(({ json }) => json?.text ?? []), ["w1 ", "w0 ", "w2 "])
    }).pipe(local({
      faults: [
        { path: /events/, nth: 1, fault: faults.doubleFrames() },
        { path: /events/, nth: 2, fault: faults.reorderFrames() }
      ]
    })))

  it.effect("drip: sends the body in small pieces", () =>
    Effect.gen(function*() {
      const response = yield* send("GET", "/exists")
      const sizes: Array<number> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(response.stream, (piece) => Effect.sync(() => sizes.push(piece.length)))
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(sizes, [4, 4])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(sizes, [4, 4, 4, 3])
    }).pipe(local({ faults: [{ fault: faults.drip(4, "1 second") }] })))

  it.effect("drip: does not sleep without a pause", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let sleeps = 0
      const counting: Clock.Clock = Object.assign(Object.create(clock), {
        sleep: (duration: Duration.Duration) => Effect.zipRight(Effect.sync(() => sleeps++), clock.sleep(duration))
      })
      const drip = Effect.gen(function*() {
        const response = yield* send("GET", "/exists")
        return yield* Stream.runCount(response.stream)
      }).pipe(local({ faults: [{ fault: faults.drip(1) }] }))
      assert.isAbove(yield* Effect.withClock(drip, counting), 10)
      assert.strictEqual(sleeps, 0)
    }))

  it.effect("rules: method, template, path, predicate, several, times, added at run time", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const failing = { fault: faults.status(500) }
      const statuses = (count: number) =>
        Effect.forEach(Array.from({ length: count }), () => Effect.map(exists, ({ status }) => status))
      yield* dust.fault({ ...failing, path: "/exists", nth: [1, 3] })
      assert.deepStrictEqual(yield* statuses(4), [500, 200, 500, 200])
      yield* dust.clearFaults
      yield* dust.fault({ ...failing, path: "/api/v1/w/:workspaceId/exists", times: 2 })
      assert.deepStrictEqual(yield* statuses(3), [500, 500, 200])
      yield* dust.clearFaults
      yield* dust.fault({
        ...failing,
        path: DustTest.path(path("/exists")),
        method: "get",
        when: ({ query }) => query.has("x")
      })
      assert.deepStrictEqual([(yield* exists).status, (yield* get("/exists?x=1")).status], [200, 500])
      yield* dust.clearFaults
      yield* dust.fault(faults.html(504))
      assert.deepStrictEqual(yield* statuses(2), [504, 504])
      yield* dust.clearFaults
      yield* dust.fault({ ...failing, path: "/skills" })
      assert.deepStrictEqual(yield* statuses(1), [200])
    }).pipe(local()))

  it.effect("rules: a probability is decided by the seed", () =>
    Effect.gen(function*() {
      const sample = (randomSeed: number) =>
        Effect.forEach(Array.from({ length: 40 }), () => Effect.map(exists, ({ status }) => status)).pipe(
          local({ randomSeed, faults: [{ probability: 0.5, fault: faults.status(500) }] })
        )
      const first = yield* sample(1)
      assert.deepStrictEqual(yield* sample(1), first)
      assert.notDeepEqual(yield* sample(2), first)
      const failed = first.filter((status) => status === 500).length
      assert.isTrue(failed > 8 && failed < 32)
    }))

  it.effect("rules: do not hit the redirect of a stream, unless requested", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("hi")
      yield* dust.fault({
        path: "/assistant/conversations/:conversationId/messages/:messageId/events",
        fault: faults.status(500)
      })
      assert.strictEqual((yield* send("GET", messageEvents(ids))).status, 307)
      assert.strictEqual((yield* open(messageEvents(ids))).status, 500)
    }).pipe(local()))
})

describe("inspection of a workspace", () => {
  it.effect("requests: logged with credentials redacted", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* post("/assistant/conversations?a=1&b=2&b=3", { title: "x" }, { headers: { "x-extra": "y" } })
      yield* get("/exists", { token: token.user })
      const [first, second] = yield* dust.requests()
      assert.deepInclude(first, {
        index: 1,
        method: "POST",
        path: path("/assistant/conversations"),
        route: "/api/v1/w/:workspaceId/assistant/conversations",
        query: { a: "1", b: ["2", "3"] },
        body: { title: "x" },
        status: 200,
        outcome: "complete",
        credential: "key:Local Dust",
        at: 0,
        closedAt: 0
      })
      assert.deepInclude(first!.headers, { authorization: "<redacted>", "x-extra": "y" })
      assert.strictEqual(second!.credential, "user:ada@local-dust.test")
      assert.notInclude(JSON.stringify(yield* dust.requests()), token.key)
      assert.strictEqual(yield* dust.countRequests({ method: "post" }), 1)
      assert.strictEqual(yield* dust.countRequests({ path: "/exists", status: 200 }), 1)
      assert.strictEqual(
        yield* dust.countRequests({ path: /conversations/, where: ({ body }) => body === undefined }),
        0
      )
      yield* dust.clearRequests
      assert.strictEqual((yield* Effect.flip(dust.lastRequest()))._tag, "DustTestNotFoundError")
    }).pipe(local()))

  it.effect("requests: only the newest large bodies are kept", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const raw = JSON.stringify("x".repeat(48 * 1024 * 1024))
      for (let i = 0; i < 4; i++) yield* call("POST", "/members/validate", { raw })
      yield* exists
      assert.deepStrictEqual((yield* dust.requests()).map(({ index }) => index), [3, 4, 5])
      yield* dust.clearRequests
      yield* call("POST", "/members/validate", { raw })
      yield* exists
      assert.deepStrictEqual((yield* dust.requests()).map(({ index }) => index), [6, 7])
    }).pipe(local()))

  it.effect("waitForRequest: waits for the next request", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const waiting = yield* Effect.fork(dust.waitForRequest({ path: "/assistant/conversations", status: 200 }))
      const byPredicate = yield* Effect.fork(dust.waitForRequest(({ method }) => method === "POST"))
      yield* get("/exists")
      assert.isTrue((yield* Fiber.poll(waiting))._tag === "None")
      yield* post("/assistant/conversations", { title: "x" })
      assert.deepStrictEqual((yield* Fiber.join(waiting)).body, { title: "x" })
      assert.strictEqual((yield* Fiber.join(byPredicate)).index, 2)
    }).pipe(local()))

  it.effect("open streams, and the time at which they closed", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "endless")
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(connect(messageEvents(ids))))
      yield* settle
      assert.strictEqual(yield* dust.openStreams, 3)
      yield* TestClock.adjust("7 seconds")
      yield* Fiber.interruptAll(fibers)
      yield* dust.allClosed
      assert.deepStrictEqual(
        (yield* dust.requests({ path: /events/ })).map(({ closedAt, outcome }) => [outcome, closedAt]),
        [["aborted", 7000], ["aborted", 7000], ["aborted", 7000]]
      )
    }).pipe(local({ agents: { endless: [DustTest.silence()] } })))

  it.effect("a stream that was opened and never read stays open until it is aborted", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "endless")
      yield* Effect.scoped(Effect.gen(function*() {
        const client = HttpClient.withScope(yield* HttpClient.HttpClient)
        yield* client.execute(HttpClientRequest.get(
          `https://local-dust.test${path(messageEvents(ids)).replace("/api/", "/api/sse/")}`,
          { headers: { authorization: `Bearer ${token.key}` } }
        ))
        assert.strictEqual(yield* dust.openStreams, 1)
      }))
      assert.strictEqual(yield* dust.openStreams, 0)
      assert.strictEqual((yield* dust.lastRequest()).outcome, "aborted")
    }).pipe(local({ agents: { endless: [DustTest.silence()] } })))

  it.effect("Stream.take leaves no connection open", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const ids = yield* ask("go", "endless")
      const response = yield* open(messageEvents(ids))
      yield* Stream.runDrain(Stream.take(response.stream, 1))
      assert.strictEqual(yield* dust.openStreams, 0)
    }).pipe(local({ agents: { endless: [DustTest.silence()] } })))

  it.effect("seeded conversations, states, and events put on a stream", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const seeded = yield* dust.conversation("conv1")
      assert.deepStrictEqual(seeded.messages.map(({ content, role, status }) => [role, content, status]), [
        ["user", "Hello", undefined],
        ["agent", "Hi", "succeeded"],
        ["agent", "oops", "failed"]
      ])
      assert.strictEqual(
        (yield* get("/assistant/conversations/conv1")).json.conversation.content[0][0].context.timezone,
        "Europe/Kyiv"
      )
      yield* dust.addMessage("conv1", { role: "user", content: "More" })
      assert.lengthOf(yield* dust.userMessages("conv1"), 2)
      assert.strictEqual((yield* Effect.flip(dust.conversation("nope"))).message, "Local Dust has no conversation nope")
      const ids = yield* ask("go", "endless")
      const fiber = yield* Effect.fork(connect(messageEvents(ids)))
      yield* settle
      yield* dust.publish(ids.messageId, { type: "odd", n: 1 })
      yield* dust.publishRaw(ids.messageId, "[1,")
      yield* dust.expireHistory(ids.messageId)
      assert.strictEqual(yield* dust.retainedEvents(ids.messageId), 0)
      yield* post(`/assistant/conversations/${ids.conversationId}/cancel`, { messageIds: [ids.messageId] })
      assert.deepStrictEqual((yield* Fiber.join(fiber)).map(({ data, json }) => json?.type ?? data), [
        "{}",
        "odd",
        "[1,",
        "agent_generation_cancelled",
        "done"
      ])
    }).pipe(local({
      agents: { endless: [DustTest.silence()] },
      seed: {
        conversations: [{
          sId: "conv1",
          messages: [
            { role: "user", content: "Hello", timezone: "Europe/Kyiv" },
            { role: "agent", content: "Hi" },
            { role: "agent", content: "oops", status: "failed" }
          ]
        }]
      }
    })))

  it.effect("the same calls give the same ids; another seed gives others", () =>
    Effect.gen(function*() {
      const once = (randomSeed?: number) =>
        Effect.map(ask("hi"), ({ messageId }) => messageId).pipe(local({ randomSeed }))
      assert.strictEqual(yield* once(), yield* once())
      assert.notStrictEqual(yield* once(), yield* once(7))
      assert.match(yield* once(), /^[A-Za-z0-9]{10}$/)
    }))
})

describe("layer", () => {
  const seen = Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const { http } = yield* DustClient
    const response = yield* http.get("/api/v1/w/{workspaceId}/exists").pipe(Effect.scoped)
    return { status: response.status, request: yield* dust.lastRequest() }
  })

  it.effect("provides the SDK over the workspace, with the chosen credential", () =>
    Effect.gen(function*() {
      const as = (options: DustTest.ClientOptions) =>
        Effect.map(seen, ({ request }) => request.credential).pipe(Effect.provide(DustTest.layer(options)))
      assert.strictEqual(yield* as({}), "key:Local Dust")
      assert.strictEqual(yield* as({ credential: "adminApiKey" }), "key:Local Dust admin")
      assert.strictEqual(yield* as({ credential: "userToken" }), "user:ada@local-dust.test")
      assert.strictEqual(yield* as({ credential: "adminToken" }), "user:grace@local-dust.test")
      assert.strictEqual(yield* as({ credential: { apiKey: Redacted.make("sk-unknown") } }), "unknown")
    }))

  it.effect("passes options of the SDK through", () =>
    Effect.gen(function*() {
      const { request } = yield* seen.pipe(
        Effect.provide(DustTest.layer({ headers: { "x-team": "blue" }, workspaceId: "Other" }))
      )
      assert.strictEqual(request.headers["x-team"], "blue")
      assert.strictEqual(request.params["workspaceId"], "Other")
    }))

  it.live("serves the same on a port", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      assert.match(dust.url, /^http:\/\/127\.0\.0\.1:\d+$/)
      assert.strictEqual((yield* seen).request.status, 200)
    }).pipe(Effect.provide(DustTest.layerServe().pipe(Layer.provide(NodeHttpClient.layerUndici)))))

  it.effect("Dust.layer over layerHttpClient is equivalent", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* seen).request.status, 200)
    }).pipe(Effect.provide(
      Dust.layer({
        workspaceId: DustTest.credentials.workspaceId,
        apiKey: DustTest.credentials.apiKey,
        baseUrl: "https://local-dust.test"
      }).pipe(Layer.provideMerge(DustTest.layerHttpClient()))
    )))
})

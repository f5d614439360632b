import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import * as net from "node:net"
import { type Json, message, parseFrames, types } from "../support/local.ts"

const { faults } = DustTest

interface CallOptions {
  readonly method?: string
  readonly body?: unknown
  readonly redirect?: RequestRedirect
  readonly signal?: AbortSignal
}

const request = (server: DustTest.Service, suffix: string, options: CallOptions = {}) =>
  fetch(`${server.url}/api/v1/w/${server.workspaceId}${suffix}`, {
    method: options.method ?? (options.body === undefined ? "GET" : "POST"),
    headers: {
      authorization: `Bearer ${Redacted.value(server.apiKey)}`,
      ...(options.body === undefined ? {} : { "content-type": "application/json" })
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    ...(options.redirect === undefined ? {} : { redirect: options.redirect }),
    ...(options.signal === undefined ? {} : { signal: options.signal })
  })

const ask = (server: DustTest.Service, agent: string) =>
  Effect.promise(async () => {
    const json: Json =
      await (await request(server, "/assistant/conversations", { body: { message: message("hello world", agent) } }))
        .json()
    const conversationId = json.conversation.sId
    const messageId = json.conversation.content[1][0].sId
    return {
      conversationId,
      messageId,
      events: `/assistant/conversations/${conversationId}/messages/${messageId}/events`
    }
  })

const failureOf = (promise: () => Promise<unknown>) =>
  Effect.flip(Effect.tryPromise({ try: promise, catch: (cause) => cause as Error & { cause?: NodeJS.ErrnoException } }))

/** A raw HTTP exchange. */
const exchange = (server: DustTest.Service, suffix: string) =>
  Effect.async<string>((resume) => {
    const url = new URL(server.url)
    const socket = net.connect(Number(url.port), url.hostname)
    let received = ""
    socket.setEncoding("latin1")
    socket.on("data", (text) => received += String(text))
    socket.on("close", () => resume(Effect.succeed(received)))
    socket.on("error", () => undefined)
    socket.write(
      `GET /api/v1/w/${server.workspaceId}${suffix} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n`
        + `Authorization: Bearer ${Redacted.value(server.apiKey)}\r\n\r\n`
    )
  })

describe("on the wire", () => {
  it.scopedLive("fetch follows the redirect, keeps its credential and reads the whole stream", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const ids = yield* ask(server, "echo")
      yield* server.waitForRun(ids.messageId)
      const response = yield* Effect.promise(() => request(server, ids.events))
      assert.isTrue(response.redirected)
      assert.strictEqual(response.headers.get("content-encoding"), "none")
      const frames = parseFrames(yield* Effect.promise(() => response.text()))
      assert.deepStrictEqual(types(frames), [
        "dust-handshake",
        "generation_tokens",
        "generation_tokens",
        "agent_message_success",
        "end-of-stream",
        "done"
      ])
      yield* server.allClosed
      assert.deepStrictEqual(
        (yield* server.requests({ path: /events/ })).map(({ outcome, status }) => [status, outcome]),
        [
          [307, "complete"],
          [200, "complete"]
        ]
      )
    }))

  it.scopedLive("responses have a status line, headers and a length; an unknown route is a plain-text 404", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const text = yield* exchange(server, "/nope")
      assert.match(text, /^HTTP\/1\.1 404 Not Found\r\n/)
      assert.match(text, /content-type: text\/plain/i)
      assert.isTrue(text.endsWith("\r\n\r\n404 Not Found"))
      assert.match(yield* exchange(server, "/exists"), /content-length: 15\r\n[^]*\r\n\r\n\{"exists":true\}$/i)
    }))

  for (const host of ["127.0.0.1", "localhost", "0.0.0.0"]) {
    it.scopedLive(`files go up and come down by any name of the machine: listening on ${host}`, () =>
      Effect.gen(function*() {
        const server = yield* DustTest.serve({ host })
        for (const name of host === "localhost" ? [host] : ["127.0.0.1", "localhost"]) {
          const url = server.url.replace(new URL(server.url).hostname, name)
          const by = { ...server, url }
          const announced: Json = yield* Effect.promise(async () =>
            (await request(by, "/files", {
              body: { contentType: "text/plain", fileName: "a.txt", fileSize: 1, useCase: "conversation" }
            })).json()
          )
          assert.strictEqual(new URL(announced.file.uploadUrl).origin, url)
          const body = new FormData()
          body.append("file", new Blob(["a"], { type: "text/plain" }))
          const authorization = `Bearer ${Redacted.value(server.apiKey)}`
          const sent = yield* Effect.promise(() =>
            fetch(announced.file.uploadUrl, { method: "POST", headers: { authorization }, body })
          )
          assert.strictEqual(sent.status, 200)
          const stored = yield* Effect.promise(() => request(by, `/files/${announced.file.sId}`))
          assert.strictEqual(yield* Effect.promise(() => stored.text()), "a")
        }
      }))
  }

  it.scopedLive("events are written as they happen", () =>
    Effect.gen(function*() {
      const approval = () => DustTest.approval({ name: "deploy" })
      const server = yield* DustTest.serve({
        agents: { slow: [DustTest.text("one"), approval(), DustTest.text("two"), approval(), DustTest.text("three")] }
      })
      const ids = yield* ask(server, "slow")
      const response = yield* Effect.promise(() => request(server, ids.events))
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      let received = ""
      const arrival = (text: string) =>
        Effect.promise(async () => {
          for (let end = false; !end && !received.includes(text);) {
            const { done, value } = await reader.read()
            end = done
            received += value ?? ""
          }
          assert.include(received, text)
        })
      // Each event has arrived while the agent waits: only reading it lets the agent continue.
      for (const word of ["one", "two"]) {
        yield* arrival(`"text":"${word}"`)
        yield* arrival("tool_approve_execution")
        received = ""
        yield* server.resolveAction((yield* server.conversation(ids.conversationId)).blockedActionIds[0]!)
      }
      yield* arrival("agent_message_success")
    }))

  it.scopedLive("a disconnected client closes its stream; the agent continues", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({ agents: { endless: [DustTest.silence()] } })
      const ids = yield* ask(server, "endless")
      const controller = new AbortController()
      yield* Effect.promise(() => request(server, ids.events, { signal: controller.signal }))
      yield* server.waitForRequest({ path: /sse/, status: 200 })
      assert.strictEqual(yield* server.openStreams, 1)
      controller.abort()
      yield* server.allClosed
      assert.strictEqual((yield* server.lastRequest()).outcome, "aborted")
      assert.strictEqual((yield* server.message(ids.messageId)).run, "running")
    }))

  it.scopedLive("resets cut the socket: before and after the handler, and within a body", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({
        faults: [
          { method: "POST", nth: 1, fault: faults.resetBefore() },
          { method: "POST", nth: 2, fault: faults.resetAfter() },
          { path: "/exists", nth: 1, fault: faults.cut(4) },
          { path: "/exists", nth: 2, fault: faults.end(4) }
        ]
      })
      for (const made of [0, 1]) {
        const error = yield* failureOf(() => request(server, "/assistant/conversations", { body: {} }))
        assert.strictEqual(error.message, "fetch failed")
        assert.strictEqual(error.cause?.code, "ECONNRESET")
        assert.lengthOf(yield* server.conversations, made)
      }
      const cut = yield* Effect.promise(() => request(server, "/exists"))
      assert.strictEqual(cut.status, 200)
      assert.strictEqual((yield* failureOf(() => cut.text())).message, "terminated")
      const ended = yield* Effect.promise(() => request(server, "/exists"))
      assert.strictEqual(yield* Effect.promise(() => ended.text()), "{\"ex")
    }))

  it.scopedLive("an event stream that is cut in the middle terminates the client's body", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({
        faults: [{ path: /events/, when: ({ route }) => route !== undefined, fault: faults.cut(60) }]
      })
      const ids = yield* ask(server, "echo")
      const response = yield* Effect.promise(() => request(server, ids.events))
      assert.strictEqual((yield* failureOf(() => response.text())).message, "terminated")
    }))

  it.scopedLive("a client that disconnects while it waits interrupts the wait", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({ faults: [{ fault: faults.neverAnswer() }] })
      const controller = new AbortController()
      const failed = failureOf(() => request(server, "/exists", { signal: controller.signal }))
      yield* Effect.fork(
        Effect.zipRight(server.waitForRequest({ path: "/exists" }), Effect.sync(() => controller.abort()))
      )
      assert.strictEqual((yield* failed).name, "AbortError")
      yield* server.allClosed
      assert.strictEqual((yield* server.lastRequest()).outcome, "aborted")
    }))

  it.scopedLive("the port is free again when the scope closes, with streams still open", () =>
    Effect.gen(function*() {
      const url = yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* DustTest.serve({ agents: { endless: [DustTest.silence()] } })
        const ids = yield* ask(server, "endless")
        const response = yield* Effect.promise(() => request(server, ids.events))
        yield* Effect.fork(Effect.ignore(Effect.tryPromise(() => response.text())))
        yield* server.waitForRequest({ path: /sse/, status: 200 })
        return server.url
      }))
      const code = yield* Effect.async<string | undefined>((resume) => {
        const socket = net.connect(Number(new URL(url).port), "127.0.0.1")
        socket.on("connect", () => resume(Effect.succeed("connected")))
        socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code)))
      })
      assert.strictEqual(code, "ECONNREFUSED")
      const again = yield* DustTest.serve({ port: Number(new URL(url).port) })
      assert.strictEqual(again.url, url)
    }))

  it.scopedLive("a scripted header may contain any characters", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      for (const location of ["/é☕", "/é"]) {
        yield* server.clearFaults
        yield* server.fault({ fault: faults.redirect(location) })
        const response = yield* Effect.promise(() => request(server, "/exists", { redirect: "manual" }))
        assert.strictEqual(response.status, 307)
        const sent = response.headers.get("location") ?? ""
        assert.include([location, Buffer.from(location, "utf8").toString("latin1")], sent)
      }
    }))

  it.scopedLive("a port in use is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const error = yield* Effect.flip(DustTest.serve({ port: Number(new URL(server.url).port) }))
      assert.deepStrictEqual([error._tag, error.code], ["DustTestServeError", "EADDRINUSE"])
    }))

  it.scoped("request bodies: one above the limit is refused with 413, with and without content-length", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({ limits: { requestSize: 1000 } })
      const send = (body: BodyInit, extra: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${server.url}/api/v1/w/${server.workspaceId}/assistant/conversations`, {
            method: "POST",
            headers: { authorization: `Bearer ${Redacted.value(server.apiKey)}`, "content-type": "application/json" },
            body,
            ...extra
          })
          const json: Json = await response.json()
          return [response.status, json.error?.type]
        })
      const large = JSON.stringify({ title: "x".repeat(500_000) })
      assert.deepStrictEqual(yield* send(large, {}), [413, "content_too_large"])
      const streamed = new Blob([large]).stream()
      assert.deepStrictEqual(yield* send(streamed, { duplex: "half" }), [413, "content_too_large"])
      assert.deepStrictEqual(yield* send(JSON.stringify({ title: "x" }), {}), [200, undefined])
      assert.deepStrictEqual((yield* server.requests()).map(({ status }) => status), [413, 413, 200])
    }))
})

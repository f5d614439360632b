import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Option, Redacted, Stream, TestClock } from "effect"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as fc from "effect/FastCheck"
import { seed } from "../support/seed.ts"

const decoder = new TextDecoder()
/** What `undefined` becomes in JSON. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const place = { conversationId: "c", messageId: "m" }
const started: ChatEvent = { _tag: "Started", ...place }
const delta = (n: number): ChatEvent => ({ _tag: "TextDelta", eventId: `${n}-0`, text: `wörd ${n}\n\ndata: ☃ ` })
const odd: ChatEvent = {
  _tag: "Other",
  eventId: "3-0",
  event: { type: "unknown", eventId: "3-0", kind: "new", raw: { type: "new", deep: [1, null] } }
}
const approval: ChatEvent = {
  _tag: "ApprovalNeeded",
  ...place,
  eventId: "4-0",
  actionId: "a",
  tool: {
    toolName: "send",
    mcpServerName: "mail",
    mcpServerDisplayName: null,
    mcpServerId: null,
    agentName: null,
    icon: null
  },
  inputs: { to: "ada" },
  stake: "high"
}

const helper = {
  agents: {
    helper: [
      DustTest.text("One two three four. ".repeat(15)),
      DustTest.tool({ name: "search", inputs: {}, output: "x" }),
      DustTest.text("Five.")
    ]
  }
}
const question = Stream.unwrap(
  Effect.map(Chat, (chat) => chat.stream({ agent: "helper", message: "Go", onInterrupt: "leave" }))
)
const collected = <E, R>(stream: Stream.Stream<ChatEvent, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const bytesOf = <E>(events: ReadonlyArray<ChatEvent>, end: Stream.Stream<never, E> = Stream.empty) =>
  Effect.map(
    Stream.runCollect(ChatRelay.toBytes(Stream.concat(Stream.fromIterable(events), end))),
    (all) => Buffer.concat(Chunk.toReadonlyArray(all))
  )

describe("ChatRelay", () => {
  it.effect("every event comes back as it was, wherever the bytes are cut, unknown and blocked ones included", () =>
    Effect.gen(function*() {
      const answer = yield* collected(question)
      const events = [started, delta(1), delta(2), odd, approval, ...answer.slice(1)]
      const bytes = yield* bytesOf(events)
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (cuts) => {
            const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
            const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
            const back = await Effect.runPromise(collected(ChatRelay.fromBytes(Stream.fromIterable(pieces))))
            assert.deepStrictEqual(plain(back), plain(events))
          }),
          { numRuns: 40, seed }
        )
      )
    }).pipe(Effect.provide(DustTest.layer(helper))))

  it.effect("during a tool of five minutes a comment is sent every 15 seconds, and none more", () =>
    Effect.gen(function*() {
      let comments = 0
      const relay = yield* Effect.fork(
        ChatRelay.toBytes(
          Stream.concat(Stream.make(started), Stream.fromEffect(Effect.as(Effect.sleep("302 seconds"), delta(1))))
        ).pipe(Stream.runForEach((bytes) =>
          Effect.sync(() => {
            if (decoder.decode(bytes) === ":\n\n") comments++
          })
        ))
      )
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(comments, 21)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(relay)
      assert.strictEqual(comments, 21)
    }))

  it.effect("a failure is the last event, with tag, message and ids, and nothing of the application's own", () =>
    Effect.gen(function*() {
      const own = yield* bytesOf([started], Stream.fail({ _tag: "DbError", message: "password=hunter2" }))
      assert.notInclude(decoder.decode(own), "hunter2")
      const error = yield* Effect.flip(collected(ChatRelay.fromBytes(Stream.make<[Uint8Array]>(own))))
      assert.deepInclude(plain(error), {
        _tag: "RelayedError",
        error: "DbError",
        message: "The answer failed."
      })

      const seen: Array<string> = []
      const failed = yield* ChatRelay.fromBytes(
        ChatRelay.toBytes(Stream.unwrap(Effect.map(Chat, (chat) => chat.stream({ agent: "broken", message: "Go" }))))
      ).pipe(Stream.runForEach((event) => Effect.sync(() => seen.push(event._tag))), Effect.flip)
      assert.strictEqual(seen[0], "Started")
      if (failed._tag !== "RelayedError") return assert.fail(failed._tag)
      assert.strictEqual(failed.error, "DustAgentError")
      assert.strictEqual(failed.code, "model_error")
      assert.isString(failed.conversationId)
      assert.isString(failed.messageId)
    }).pipe(Effect.provide(DustTest.layer({
      agents: { broken: [DustTest.text("I"), DustTest.fail({ code: "model_error", message: "overloaded" })] }
    }))))

  it.effect("placeOf: decodes the place of an id, and refuses other text", () =>
    Effect.sync(() => {
      for (const lastEventId of [undefined, "1700-3"]) {
        const one = { conversationId: "c/~%", messageId: "m d", lastEventId }
        assert.match(ChatRelay.idOf(one), /^[\w.%~-]+$/)
        // The tilde is what separates.
        assert.deepStrictEqual(ChatRelay.placeOf(ChatRelay.idOf(one)), Option.some(one))
      }
      for (const id of ["", "c", "~m", "c~", "c~m~", "c~m~1~2", "%~m"]) {
        assert.isTrue(Option.isNone(ChatRelay.placeOf(id)), id)
      }
    }))

  it.effect("a page whose connection is cut anywhere goes on by id: no event is lost, none comes twice", () =>
    Effect.gen(function*() {
      const runtime = yield* Effect.runtime<Chat>()
      const chat = yield* Chat
      let asked = 0
      let cut = 2500
      const open = (id: string | undefined, signal: AbortSignal) => {
        const at = Option.flatMap(Option.fromNullable(id), ChatRelay.placeOf)
        if (Option.isNone(at)) asked++
        const events = Option.match(at, {
          onNone: () => chat.stream({ agent: "helper", message: "Go", onInterrupt: "leave" }),
          onSome: (place) => chat.resume({ ...place, onInterrupt: "leave" })
        })
        let left = cut += 150
        const bytes = ChatRelay.toBytes(events).pipe(
          Stream.mapConcat((piece) => [...piece]),
          Stream.takeWhile(() => left-- > 0),
          Stream.grouped(7),
          Stream.map((piece) => Uint8Array.from(piece))
        )
        signal.throwIfAborted()
        return Effect.runPromise(
          Effect.map(
            Effect.provide(Stream.toReadableStreamEffect(bytes), runtime),
            (body) => new Response(body, { headers: ChatRelay.headers })
          )
        )
      }
      const done = yield* Deferred.make<void>()
      const events = yield* Effect.fork(
        Effect.ensuring(collected(ChatRelay.subscribe(open, { attempts: 100 })), Deferred.succeed(done, undefined))
      )
      while (!(yield* Deferred.isDone(done))) {
        yield* TestClock.adjust("10 seconds")
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
      }
      const all = yield* Fiber.join(events)
      assert.strictEqual(asked, 1)
      // Cut at least twice.
      assert.isAtLeast(cut, 2500 + 3 * 150)
      const ids = all.flatMap((event) => event.eventId === undefined ? [] : [`${event._tag} ${event.eventId}`])
      assert.deepStrictEqual(ids, [...new Set(ids)])
      assert.lengthOf(all.filter((event) => event._tag === "Started"), 1)
      const text = all.reduce(
        (text, event) => event._tag === "TextDelta" ? text + event.text : event._tag === "Reset" ? event.text : text,
        ""
      )
      const last = all.at(-1)
      assert.strictEqual(last?._tag === "Done" ? last.reply.text : undefined, text)
      const deltas = all.map((event) => event._tag === "TextDelta" ? event.text : "").join("")
      assert.strictEqual(deltas, `${"One two three four. ".repeat(15)}Five.`)
    }).pipe(Effect.provide(DustTest.layer(helper))))

  it.effect("a question whose connection breaks before its first event is not asked again", () =>
    Effect.gen(function*() {
      let asked = 0
      const error = yield* Effect.flip(collected(ChatRelay.subscribe(() => {
        asked++
        return Promise.reject(new Error("reset"))
      })))
      assert.deepInclude(plain(error), { _tag: "RelayConnectionError", reason: "network" })
      assert.strictEqual(asked, 1)
    }))

  it.effect("a response cannot be kept back or changed; a page that leaves interrupts the stream", () =>
    Effect.gen(function*() {
      const stopped = yield* Deferred.make<void>()
      const response = yield* ChatRelay.toWebResponse(
        Stream.concat(Stream.make(started), Stream.never).pipe(Stream.ensuring(Deferred.succeed(stopped, undefined)))
      )
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream; charset=utf-8")
      assert.strictEqual(response.headers.get("cache-control"), "no-store, no-transform")
      assert.strictEqual(response.headers.get("x-accel-buffering"), "no")
      const reader = response.body!.getReader()
      let read = ""
      while (!read.includes("Started")) {
        read += decoder.decode((yield* Effect.promise(() => reader.read())).value)
      }
      yield* Effect.promise(() => reader.cancel())
      yield* Deferred.await(stopped)
      const other = yield* ChatRelay.toHttpServerResponse(Stream.make(started))
      assert.deepInclude({ ...other.headers }, ChatRelay.headers)
    }))

  it.effect("a response keeps the credential of the request that made it", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const chat = yield* Chat
      const events = chat.stream({ agent: "helper", message: "Go" })
      const asUser = DustClient.withCredential({ accessToken: dust.userToken })
      const web = yield* asUser(ChatRelay.toWebResponse(events))
      assert.include(yield* Effect.promise(() => web.text()), "\"Done\"")
      const other = HttpServerResponse.toWeb(yield* asUser(ChatRelay.toHttpServerResponse(events)))
      assert.include(yield* Effect.promise(() => other.text()), "\"Done\"")
      const without = yield* ChatRelay.toWebResponse(events)
      assert.include(yield* Effect.promise(() => without.text()), "DustUnauthorizedError")
    }).pipe(Effect.provide(DustTest.layer({ ...helper, credential: { accessToken: Redacted.make("nobody") } }))))
})

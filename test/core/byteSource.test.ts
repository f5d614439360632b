/** The bytes of a response as they arrive: whichever body it has, and however it ends. */
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Option, Scope, Stream } from "effect"
import * as zlib from "node:zlib"
import { ByteSource, Compressed, directSource, isEmptyBody, sourceOf } from "../../src/internal/stream/connection.ts"

const request = HttpClientRequest.get("https://dust.example")
const bytes = (text: string) => new TextEncoder().encode(text)
const textOf = (pieces: ReadonlyArray<Uint8Array>) => pieces.map((piece) => new TextDecoder().decode(piece)).join("")

/** A Node stream that notes what is done with it. */
const node = (state: { readableEnded?: boolean; destroyed?: boolean; errored?: unknown } = {}) => {
  const calls: Array<string> = []
  const listeners = new Map<string, (value?: unknown) => void>()
  return {
    calls,
    emit: (event: string, value?: unknown) => listeners.get(event)?.(value),
    readable: {
      ...state,
      on: (event: string, listener: () => void) => {
        calls.push(`on ${event}`)
        listeners.set(event, listener)
      },
      off: (event: string, listener: () => void) => {
        calls.push(`off ${event}`)
        if (listeners.get(event) === listener) listeners.delete(event)
      },
      pause: () => calls.push("pause"),
      resume: () => calls.push("resume"),
      read: () => null,
      destroy: () => {}
    }
  }
}

/** A response as the platform makes them: its body is `source`, and its stream is inherited. */
const responseOf = (source: unknown, stream: Stream.Stream<Uint8Array, unknown> = Stream.empty, coding?: string) =>
  Object.assign(
    Object.create({ stream, headers: coding === undefined ? {} : { "content-encoding": coding } }),
    { source }
  ) as HttpClientResponse.HttpClientResponse

const web = (pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void, cancel = () => {}) =>
  new ReadableStream<Uint8Array>({ pull, cancel }, { highWaterMark: 0 })

const opened = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.flatMap(
    sourceOf(response),
    (source) => source instanceof Compressed ? Effect.die(source) : Effect.succeed(source)
  )

/** Waits for the next arrival, or for the end. */
const arrival = (source: ByteSource) =>
  Effect.async<string>((resume) => {
    source.onArrival = () => resume(Effect.sync(() => textOf(source.take())))
    source.demand()
  })

describe("Bytes of a response: which body is read", () => {
  const names = ["on", "off", "pause", "resume", "read", "destroy"] as const
  const fallback = Stream.make(bytes("x"))
  const bodies: ReadonlyArray<readonly [string, HttpClientResponse.HttpClientResponse, string]> = [
    ["a web response", HttpClientResponse.fromWeb(request, new Response("x")), "WebSource"],
    ["a web response that is being read", responseOf({ body: { getReader: () => {}, locked: true } }), "PulledSource"],
    ["a web response whose body has no reader", responseOf({ body: { locked: false } }), "PulledSource"],
    [
      "a web response whose body does not say whether it is read",
      responseOf({ body: { getReader: () => {} } }),
      "PulledSource"
    ],
    ["a response of undici", responseOf({ body: node().readable }), "NodeSource"],
    ["a response of Node", responseOf(node().readable), "NodeSource"],
    ["a response without a body", responseOf({}), "PulledSource"],
    ["a response without a source", responseOf(undefined), "PulledSource"],
    [
      "a response whose stream was replaced",
      Object.assign(responseOf(node().readable), { stream: fallback }),
      "PulledSource"
    ],
    ["a response that inherits its source", Object.create(responseOf(node().readable)), "PulledSource"],
    ["a compressed response", responseOf(node().readable, fallback, "gzip"), "PulledSource"],
    [
      "a web response that names a coding it has decoded",
      responseOf({ body: web(() => {}) }, fallback, "br"),
      "WebSource"
    ],
    ["a response with a coding that is none", responseOf(node().readable, fallback, "identity"), "NodeSource"],
    ["a response with an unknown coding", responseOf(node().readable, fallback, "br"), "Compressed"],
    ...names.map((name) =>
      [`a body that cannot ${name}`, responseOf({ ...node().readable, [name]: undefined }), "PulledSource"] as const
    )
  ]
  it.scoped.each(bodies)(
    "%s",
    ([, response, expected]) =>
      Effect.map(sourceOf(response), (source) => assert.strictEqual(source.constructor.name, expected))
  )

  it("without an Effect, a body is read only if the transport shows it", () => {
    const { readable } = node()
    assert.deepStrictEqual(
      [responseOf({ body: web(() => {}) }), responseOf(readable), responseOf({})].map((response) =>
        directSource(response)?.constructor.name
      ),
      ["WebSource", "NodeSource", undefined]
    )
  })

  it("a compression that cannot be undone has a tag", () => assert.strictEqual(new Compressed()._tag, "Compressed"))

  it("an empty body is a reason of the platform", () => {
    const reasons = [{ reason: "EmptyBody" }, { reason: "Decode" }, {}, "EmptyBody", undefined]
    assert.deepStrictEqual(reasons.map(isEmptyBody), [true, false, false, false, false])
  })
})

describe("Bytes of a response: a Node stream", () => {
  const sourceOfNode = (state: Parameters<typeof node>[0] = {}) => {
    const stream = node(state)
    const source = directSource(responseOf(stream.readable))
    assert.isDefined(source)
    return { ...stream, source }
  }

  it("is paused at 64 KiB that are not taken yet, and resumed when they are", () => {
    const { calls, emit, source } = sourceOfNode()
    assert.deepStrictEqual(calls.splice(0), ["on end", "on error", "on close", "on data"])
    emit("data", new Uint8Array(65_535))
    assert.deepStrictEqual(calls, [])
    emit("data", new Uint8Array(1))
    emit("data", new Uint8Array(1))
    assert.deepStrictEqual(calls, ["pause"])
    assert.deepStrictEqual(source.take().map(({ length }) => length), [65_535, 1, 1])
    assert.deepStrictEqual(calls, ["pause", "resume"])
    assert.deepStrictEqual(source.take(), [])
    // Everything begins again.
    emit("data", new Uint8Array(65_535))
    assert.lengthOf(source.take(), 1)
    assert.deepStrictEqual(calls, ["pause", "resume"])
    emit("data", new Uint8Array(65_536))
    source.take()
    assert.deepStrictEqual(calls, ["pause", "resume", "pause", "resume"])
  })

  it("reports every arrival and its end, until it is closed; then only its errors are caught", () => {
    const { calls, emit, source } = sourceOfNode()
    let arrivals = 0
    source.onArrival = () => arrivals++
    source.demand()
    emit("data", bytes("a"))
    emit("end")
    emit("close")
    assert.strictEqual(arrivals, 2)
    calls.length = 0
    source.close()
    assert.deepStrictEqual(calls, ["off data", "off end", "off close"])
    emit("data", bytes("b"))
    emit("error", new Error("late"))
    assert.strictEqual(arrivals, 2)
    assert.strictEqual(textOf(source.take()), "a")
    const closed = sourceOfNode()
    closed.source.onArrival = () => arrivals++
    closed.source.close()
    closed.emit("error", new Error("late"))
    assert.strictEqual(arrivals, 2)
  })

  const cut = new Error("closed before the end")
  const reset = new Error("reset")
  const shown = (end: Option.Option<unknown> | undefined) =>
    end === undefined ? "open" : Option.match(end, { onNone: () => "end", onSome: String })
  type Ended = readonly [
    string,
    Parameters<typeof node>[0],
    ReadonlyArray<readonly [string, unknown?]>,
    Option.Option<unknown> | undefined
  ]
  const ends: ReadonlyArray<Ended> = [
    ["open", {}, [], undefined],
    ["at its end", {}, [["end"]], Option.none()],
    ["at its end, and closed", {}, [["end"], ["close"]], Option.none()],
    ["at its end, whatever breaks then", {}, [["end"], ["error", reset]], Option.none()],
    ["broken", {}, [["error", reset]], Option.some(reset)],
    ["broken, and closed", {}, [["error", reset], ["close"]], Option.some(reset)],
    ["closed", {}, [["close"]], Option.some(cut)],
    ["at its end from the beginning", { readableEnded: true, destroyed: true }, [], Option.none()],
    ["broken from the beginning", { destroyed: true, errored: reset }, [], Option.some(reset)]
  ]
  it.each(ends)("is %s", (_, state, events, expected) => {
    const { emit, source } = sourceOfNode(state)
    for (const [event, value] of events) emit(event, value)
    assert.deepEqual(shown(source.end), shown(expected))
  })
})

describe("Bytes of a response: a web stream", () => {
  it.effect("is read once per demand, up to its end, and cancelled with the scope", () =>
    Effect.gen(function*() {
      let reads = 0
      let cancelled = 0
      const body = web((controller) => {
        reads++
        if (reads > 2) controller.close()
        else controller.enqueue(bytes(`${reads}`))
      }, () => cancelled++)
      const scope = yield* Scope.make()
      const source = yield* Scope.extend(opened(responseOf({ body })), scope)
      assert.strictEqual(reads, 0)
      source.demand()
      source.demand()
      assert.strictEqual(yield* arrival(source), "1")
      assert.strictEqual(reads, 1)
      assert.isUndefined(source.end)
      assert.strictEqual(yield* arrival(source), "2")
      assert.strictEqual(yield* arrival(source), "")
      assert.isTrue(source.end !== undefined && Option.isNone(source.end))
      source.demand()
      assert.strictEqual(reads, 3)
      const other = web(() => {}, () => cancelled++)
      yield* Scope.extend(opened(responseOf({ body: other })), scope)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(cancelled, 1)
    }))

  it.effect("breaks with the failure of the transport, and closing it then fails nothing", () =>
    Effect.gen(function*() {
      const reset = new Error("reset")
      const scope = yield* Scope.make()
      const source = yield* Scope.extend(
        opened(responseOf({ body: web((controller) => controller.error(reset)) })),
        scope
      )
      yield* arrival(source)
      assert.deepStrictEqual(source.end, Option.some(reset))
      let arrivals = 0
      source.onArrival = () => arrivals++
      yield* Scope.close(scope, Exit.void)
      source.demand()
      // A read in progress ends with its stream, which is not reported.
      const reading = yield* Scope.make()
      const pending = yield* Scope.extend(opened(responseOf({ body: web(() => {}) })), reading)
      pending.onArrival = () => arrivals++
      pending.demand()
      yield* Scope.close(reading, Exit.void)
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(arrivals, 0)
    }))
})

describe("Bytes of a response: any other stream", () => {
  const all = (stream: Stream.Stream<Uint8Array, unknown>, coding?: string) =>
    Effect.scoped(Effect.gen(function*() {
      const source = yield* opened(responseOf({}, stream, coding))
      const pieces: Array<string> = []
      while (source.end === undefined) pieces.push(yield* arrival(source))
      return [pieces.join(""), Option.getOrElse(source.end, () => "end")]
    }))
  const reset = new Error("reset")
  const gzipped = new Uint8Array(zlib.gzipSync("compressed"))

  it.effect("is pulled up to its end, its failure or its defect, and decompressed", () =>
    Effect.gen(function*() {
      const chunks = Stream.fromPull(Effect.sync(() => {
        const left = [Chunk.of(bytes("a")), Chunk.empty(), Chunk.make(bytes("b"), bytes("c"))]
        return Effect.suspend(() => {
          const next = left.shift()
          return next === undefined ? Effect.fail(Option.none()) : Effect.succeed(next)
        })
      }))
      assert.deepStrictEqual(yield* all(chunks), ["abc", "end"])
      assert.deepStrictEqual(yield* all(Stream.concat(chunks, Stream.fail(reset))), ["abc", reset])
      assert.deepStrictEqual(yield* all(Stream.concat(chunks, Stream.die(reset))), ["abc", reset])
      assert.deepStrictEqual(yield* all(Stream.make(gzipped), "gzip"), ["compressed", "end"])
      const damaged = gzipped.map((byte, index) => index < 10 ? byte : 255)
      assert.deepEqual(yield* all(Stream.make(damaged), "gzip"), ["", new Compressed()])
    }))

  it.effect("is pulled once per demand, and interrupted with the scope, also where nothing can be interrupted", () =>
    Effect.gen(function*() {
      let pulls = 0
      let interrupted = 0
      const stream = Stream.repeatEffect(Effect.suspend(() => {
        pulls++
        return pulls < 3
          ? Effect.succeed(bytes(`${pulls}`))
          : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      }))
      const scope = yield* Scope.make()
      const source = yield* Effect.uninterruptible(Scope.extend(opened(responseOf({}, stream)), scope))
      const soon = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* soon
      assert.strictEqual(pulls, 0)
      source.demand()
      source.demand()
      yield* soon
      assert.strictEqual(textOf(source.take()), "1")
      assert.strictEqual(yield* arrival(source), "2")
      yield* soon
      assert.strictEqual(pulls, 2)
      source.demand()
      yield* soon
      assert.strictEqual(pulls, 3)
      let arrivals = 0
      source.onArrival = () => arrivals++
      yield* Scope.close(scope, Exit.void)
      yield* soon
      assert.deepStrictEqual([interrupted, arrivals], [1, 0])
    }))

  it("an empty body of the platform ends it", () =>
    assert.isTrue(isEmptyBody(
      new HttpClientError.ResponseError({
        request,
        response: HttpClientResponse.fromWeb(request, new Response()),
        reason: "EmptyBody"
      })
    )))
})

/** Helpers without Dust, as tables. */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Random, Scope, Stream, TestClock } from "effect"
import { ClientResponse } from "../../src/internal/util/clientResponse.ts"
import { hash53 } from "../../src/internal/util/hash.ts"
import { concat, joined } from "../../src/internal/util/joined.ts"
import { inFlight, Lanes, occupied, turn } from "../../src/internal/util/lanes.ts"
import { monotonic, timeOfDay } from "../../src/internal/util/monotonic.ts"
import * as Multipart from "../../src/internal/util/multipart.ts"
import { byCursor, byOffset } from "../../src/internal/util/paging.ts"
import { memory } from "../../src/internal/util/placeStore.ts"
import { Recent } from "../../src/internal/util/recentSet.ts"
import { inSlices } from "../../src/internal/util/slices.ts"
import { makeBudget } from "../../src/internal/util/slidingWindow.ts"
import { SlowStart } from "../../src/internal/util/slowStart.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const textOf = (body: Uint8Array) => new TextDecoder().decode(body)
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("bodies", () => {
  it("pieces are joined in order; a single one is not copied", () => {
    const one = bytes("one")
    assert.strictEqual(joined([one], 3), one)
    assert.strictEqual(concat(new Set([one])), one)
    assert.strictEqual(textOf(joined([one, bytes(""), bytes("two")], 6)), "onetwo")
    assert.strictEqual(textOf(concat([one, bytes("two"), bytes("3")])), "onetwo3")
    assert.deepStrictEqual(concat([]), new Uint8Array(0))
  })

  it("a hash is 14 hexadecimal digits of 53 bits", () => {
    // The values that are published with cyrb53, without the bits beyond 53.
    const known = { a: "1c2ba782c97901", b: "1eda5bc254d2bf", revenge: "0e64cc3b748385", revenue: "1d85148d13f93a" }
    for (const [text, hash] of Object.entries(known)) assert.strictEqual(hash53(text), hash)
  })

  const part = { name: "fi\"le", fileName: "a\r\nb.txt", contentType: "text/plain", size: 3 }
  const whole = [
    "--b",
    "Content-Disposition: form-data; name=\"fi%22le\"; filename=\"a%0D%0Ab.txt\"",
    "Content-Type: text/plain",
    "",
    "abc",
    "--b--",
    ""
  ].join("\r\n")

  it.effect("one part is framed in the same way in memory and as a stream", () =>
    Effect.gen(function*() {
      const body = Multipart.ofBytes(part, bytes("abc"), "b")
      assert.deepStrictEqual(body._tag === "Uint8Array" && [textOf(body.body), body.contentType, body.contentLength], [
        whole,
        "multipart/form-data; boundary=b",
        whole.length
      ])
      const streamed = Multipart.ofStream(part, Stream.make(bytes("a"), bytes("bc")), "b")
      assert.strictEqual(streamed._tag, "Stream")
      if (streamed._tag !== "Stream") return
      const pieces = yield* Stream.runCollect(streamed.stream)
      assert.deepStrictEqual([textOf(concat(pieces)), streamed.contentType, streamed.contentLength], [
        whole,
        "multipart/form-data; boundary=b",
        whole.length
      ])
    }))

  it("several parts are texts and files", () => {
    const body = Multipart.ofFields([
      { name: "na\"me", value: "ü" },
      { name: "files", fileName: "x.bin", contentType: "application/x", content: bytes("abc") }
    ], "b")
    assert.deepStrictEqual(body._tag === "Uint8Array" && [textOf(body.body), body.contentType], [
      [
        "--b",
        "Content-Disposition: form-data; name=\"na%22me\"",
        "",
        "ü",
        "--b",
        "Content-Disposition: form-data; name=\"files\"; filename=\"x.bin\"",
        "Content-Type: application/x",
        "",
        "abc",
        "--b--",
        ""
      ].join("\r\n"),
      "multipart/form-data; boundary=b"
    ])
  })

  it.effect("a boundary has 128 random bits", () =>
    Effect.gen(function*() {
      const boundary = (value: number) => Effect.withRandom(Multipart.boundary, Random.fixed([value]))
      assert.strictEqual(yield* boundary(0), `effect-dust-${"0".repeat(32)}`)
      assert.strictEqual(yield* boundary(1), `effect-dust-${"00000001".repeat(4)}`)
      assert.strictEqual(yield* boundary(0xffff_ffff), `effect-dust-${"f".repeat(32)}`)
      assert.match(yield* Multipart.boundary, /^effect-dust-[\da-f]{32}$/)
    }))
})

describe("an answer that is made here", () => {
  const request = HttpClientRequest.get("https://dust.example/x")
  const answer = (text: string, more: object = {}) => {
    let streamed = 0
    const response = new ClientResponse(request, {
      status: 201,
      headers: { "content-type": "application/x-www-form-urlencoded" } as never,
      stream: () => {
        streamed++
        return Stream.make(bytes(text.slice(0, 1)), bytes(text.slice(1)))
      },
      ...more
    })
    return { response, streamed: () => streamed }
  }

  it.effect("has its body as text, JSON, parameters, bytes and form, read once", () =>
    Effect.gen(function*() {
      const { response, streamed } = answer("7")
      assert.strictEqual(yield* response.text, "7")
      assert.strictEqual(yield* response.json, 7)
      assert.strictEqual(textOf(new Uint8Array(yield* response.arrayBuffer)), "7")
      assert.deepStrictEqual(yield* response.urlParamsBody, [["7", ""]] as never)
      assert.deepStrictEqual([...(yield* response.formData).entries()], [["7", ""]])
      assert.strictEqual(streamed(), 1)
      assert.isNull(yield* answer("").response.json)
      const known = answer("stream", { bytes: bytes("known") })
      assert.strictEqual(yield* known.response.text, "known")
      assert.strictEqual(known.streamed(), 0)
    }))

  it.effect("fails with an error of the platform", () =>
    Effect.gen(function*() {
      const { response } = answer("{")
      const error = yield* Effect.flip(response.json)
      assert.deepStrictEqual([
        error._tag,
        error.reason,
        error.request,
        error.response,
        error.cause instanceof SyntaxError
      ], [
        "ResponseError",
        "Decode",
        request,
        response,
        true
      ])
      const form = new ClientResponse(request, {
        status: 200,
        headers: { "content-type": "text/plain" } as never,
        bytes: bytes("x"),
        stream: () => Stream.empty
      })
      assert.strictEqual((yield* Effect.flip(form.formData)).reason, "Decode")
      const cut = new ClientResponse(request, {
        status: 200,
        headers: {} as never,
        stream: (failure) => Stream.fail(failure("cut"))
      })
      assert.deepInclude(yield* Effect.flip(cut.text), { reason: "Decode", cause: "cut" })
    }))

  it("shows its status, headers, cookies and address", () => {
    const { response } = answer("x")
    assert.deepStrictEqual(
      [response.status, Object.keys(response.cookies.cookies), Option.isNone(response.remoteAddress)],
      [201, [], true]
    )
    assert.deepStrictEqual(
      answer("x", { remoteAddress: Option.some("::1") }).response.remoteAddress,
      Option.some("::1")
    )
    assert.deepInclude(plain(response.toJSON()), { _id: "@effect/platform/HttpClientResponse", status: 201 })
    assert.deepInclude((plain(response.toJSON()) as { readonly request: object }).request, {
      url: "https://dust.example/x"
    })
  })
})

describe("lists over many pages", () => {
  const operation = { module: "Tables", method: "rows" }
  const error = (attempts: number, what: string) => ({
    ...operation,
    attempts,
    type: "list_not_advancing",
    details: { issues: [{ path: "", message: "another page" }] },
    issues: [{ path: "", message: "another page" }],
    message: `Tables.rows: the list does not advance: ${what}`,
    _tag: "DustDecodeError"
  })
  const read = <A, E>(list: Stream.Stream<A, E>) => {
    const items: Array<A> = []
    return Effect.map(
      Effect.either(Stream.runForEach(list, (item) => Effect.sync(() => items.push(item)))),
      (ended) => [items, ended._tag === "Left" ? plain(ended.left) : "end"]
    )
  }

  interface Page {
    readonly items: ReadonlyArray<number>
    readonly received?: number
    readonly total?: number | null
  }
  type Listed = readonly [
    title: string,
    pages: ReadonlyArray<Page>,
    items: ReadonlyArray<number>,
    offsets: ReadonlyArray<number>,
    ended?: unknown
  ]
  const repeated = (offset: number) => error(2, `the page at offset ${offset} repeats the previous page`)
  const byOffsets: ReadonlyArray<Listed> = [
    ["an empty list", [{ items: [] }], [], [0]],
    ["an empty page before the total", [{ items: [1], total: 9 }, { items: [], total: 9 }], [1], [0, 1]],
    ["a page shorter than asked for, without a total", [{ items: [1] }], [1], [0]],
    ["whole pages without a total", [{ items: [1, 2], total: null }, { items: [3, 4] }, { items: [5] }], [
      1,
      2,
      3,
      4,
      5
    ], [0, 2, 4]],
    ["short pages up to the total", [{ items: [1], total: 3 }, { items: [2, 3], total: 3 }], [1, 2, 3], [0, 1]],
    [
      "pages of which some items are left out",
      [{ items: [], received: 2 }, { items: [3], received: 2, total: 4 }],
      [3],
      [0, 2]
    ],
    ["a server that ignores the offset", [{ items: [1, 2] }, { items: [1, 2] }], [1, 2], [0, 2], repeated(2)],
    ["pages that begin alike", [{ items: [1, 2] }, { items: [1, 3] }, { items: [2, 3] }, { items: [9] }], [
      1,
      2,
      1,
      3,
      2,
      3,
      9
    ], [0, 2, 4, 6]]
  ]
  it.effect.each(byOffsets)("by offset: %s", ([, pages, items, offsets, ended = "end"]) =>
    Effect.gen(function*() {
      const asked: Array<readonly [limit: number, offset: number]> = []
      const list = byOffset(operation, {
        pageSize: 2,
        fetch: ({ limit, offset }) => Effect.sync(() => pages[asked.push([limit, offset]) - 1] ?? { items: [] })
      })
      assert.deepStrictEqual(yield* read(list), [items, ended])
      assert.deepStrictEqual(asked, offsets.map((offset) => [2, offset]))
    }))

  it.effect("by cursor: until the last page; a repeated cursor is an error", () =>
    Effect.gen(function*() {
      const list = (pages: ReadonlyArray<readonly [item: number, next: string | null | undefined]>) => {
        const asked: Array<string | undefined> = []
        return Effect.map(
          read(byCursor(operation, (cursor: string | undefined) =>
            Effect.sync(() => {
              const [item, next] = pages[asked.push(cursor) - 1] ?? [0, null]
              return { items: [item], next }
            }))),
          (found) => [...found, asked]
        )
      }
      assert.deepStrictEqual(yield* list([[1, "a"], [2, "b"], [3, null]]), [[1, 2, 3], "end", [undefined, "a", "b"]])
      assert.deepStrictEqual(yield* list([[1, undefined]]), [[1], "end", [undefined]])
      assert.deepStrictEqual(yield* list([[1, "a"], [2, "b"], [3, "a"]]), [
        [1, 2],
        error(3, "a cursor is repeated"),
        [undefined, "a", "b"]
      ])
    }))
})

describe("limits", () => {
  const limits = [{ limit: 2, window: 1_000 }, { limit: 3, window: 10_000 }]

  it.effect("places in windows: the milliseconds until the next one, by the strictest limit, and by a pause", () =>
    Effect.gen(function*() {
      const { pause, pauseLeft, take } = memory<{ limit: number; window: number }>(({ window }) => window)
      const at = (millis: number, key = "a") => Effect.zipRight(TestClock.setTime(millis), take(key, limits))
      assert.deepStrictEqual(
        [
          yield* at(0),
          yield* at(400),
          yield* at(500),
          yield* at(999),
          yield* at(1_000),
          yield* at(1_000),
          yield* at(9_999)
        ],
        [0, 0, 500, 1, 0, 9_000, 1]
      )
      assert.strictEqual(yield* at(9_999, "b"), 0)
      assert.strictEqual(yield* at(10_000), 0)
      assert.strictEqual(yield* pauseLeft("a"), 0)
      yield* pause("c", 300)
      yield* pause("c", 200)
      assert.deepStrictEqual([yield* pauseLeft("c"), yield* at(10_100, "c"), yield* pauseLeft("c")], [300, 200, 200])
      assert.strictEqual(yield* at(10_300, "c"), 0)
      assert.strictEqual(yield* pauseLeft("c"), 0)
      assert.strictEqual(yield* take("unlimited", []), 0)
    }))

  it.effect("places in windows: thousands of starts and of keys are forgotten once they do not count", () =>
    Effect.gen(function*() {
      const { pauseLeft, pause, take } = memory<{ limit: number; window: number }>(({ window }) => window)
      const many = [{ limit: 1_500, window: 1_000 }]
      for (let second = 0; second < 3; second++) {
        yield* TestClock.setTime(second * 1_000)
        for (let i = 0; i < 1_500; i++) assert.strictEqual(yield* take("a", many), 0)
        assert.strictEqual(yield* take("a", many), 1_000)
      }
      yield* pause("paused", 60_000)
      for (let i = 0; i < 1_200; i++) yield* take(`${i}`, many)
      yield* TestClock.adjust("10 seconds")
      for (let i = 0; i < 1_200; i++) yield* take(`again ${i}`, many)
      // Those that count stay, however many there are.
      const one = [{ limit: 1, window: 60_000 }]
      for (let i = 0; i < 1_200; i++) assert.strictEqual(yield* take(`one ${i}`, one), 0)
      assert.strictEqual(yield* take("one 0", one), 60_000)
      assert.strictEqual(yield* pauseLeft("paused"), 50_000)
    }))

  it.effect("a budget: at most so many starts in a window; waiting calls learn how long they wait", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_000)
      const waits: Array<number> = []
      const slot = yield* makeBudget(2, 1_000, (until) => Effect.sync(() => waits.push(until)))
      const starts: Array<number> = []
      const start = Effect.zipRight(slot, Effect.map(TestClock.currentTimeMillis, (now) => starts.push(now)))
      const fiber = yield* Effect.fork(Effect.forEach([1, 2, 3, 4, 5], () => start))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(starts, [5_000, 5_000])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(starts, [5_000, 5_000, 6_000, 6_000, 7_000])
      assert.deepStrictEqual(waits, [6_000, 7_000])
    }))

  it.effect("a moment of the monotonic clock as a time of day, which is never in the past", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_000)
      assert.strictEqual(yield* monotonic, 5_000)
      assert.deepStrictEqual([yield* timeOfDay(7_000), yield* timeOfDay(3_000)], [7_000, 5_000])
    }))

  it.effect("after a refusal: one call, twice as many with each answer up to 16, then one more per row, up to 64", () =>
    Effect.gen(function*() {
      const slow = new SlowStart()
      assert.isFalse(slow.isOver(0))
      slow.refused(0, 1_000)
      slow.refused(500, 200)
      assert.strictEqual(yield* Effect.scoped(slow.turn), 1_000)
      yield* TestClock.setTime(1_000)
      assert.isFalse(slow.isOver(1_000))
      /** How many calls get their turn at once. */
      const round = Effect.gen(function*() {
        const scopes: Array<Scope.CloseableScope> = []
        for (;;) {
          const scope = yield* Scope.make()
          const fiber = yield* Effect.fork(Scope.extend(slow.turn, scope))
          yield* Effect.yieldNow()
          yield* Effect.yieldNow()
          if (fiber.unsafePoll() === null) {
            yield* Fiber.interrupt(fiber)
            break
          }
          scopes.push(scope)
        }
        for (const scope of scopes) yield* Scope.close(scope, Exit.void)
        return scopes.length
      })
      const rounds: Array<number> = []
      for (let i = 0; i < 8; i++) rounds.push(yield* round)
      assert.deepStrictEqual(rounds, [1, 2, 4, 8, 16, 16, 17, 18])
      // A refusal begins again, and remembers half of what went well.
      slow.refused(1_000, 0)
      assert.isFalse(slow.isOver(121_000))
      assert.isTrue(slow.isOver(121_001))
      const failed = yield* Scope.make()
      assert.strictEqual(yield* Scope.extend(slow.turn, failed), 0)
      yield* Scope.close(failed, Exit.fail("x"))
      assert.strictEqual(yield* round, 1)
    }))

  it.effect("after a refusal: a call without an answer for a second makes room", () =>
    Effect.gen(function*() {
      const slow = new SlowStart()
      slow.refused(0, 0)
      assert.strictEqual(yield* slow.turn, 0)
      const next = yield* Effect.fork(slow.turn)
      yield* TestClock.adjust("999 millis")
      assert.isNull(next.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(next), 0)
    }).pipe(Effect.scoped))

  it.effect("lanes: by name, with the calls in each; unused ones go beyond a thousand", () =>
    Effect.gen(function*() {
      const lanes = new Lanes()
      const lane = lanes.of("a", 1)
      assert.strictEqual(lanes.of("a", 5), lane)
      assert.strictEqual(lanes.get("a"), lane)
      const { calls, slowStart, until } = lane
      assert.deepStrictEqual({ calls, slowStart, until }, { calls: 0, slowStart: undefined, until: 0 })
      const scope = yield* Scope.make()
      yield* Scope.extend(Effect.zipRight(occupied(lane), inFlight(lane)), scope)
      const second = yield* Effect.fork(Effect.scoped(inFlight(lane)))
      yield* Effect.yieldNow()
      assert.deepStrictEqual([lane.calls, second.unsafePoll()], [1, null])
      for (let i = 0; i < 1_100; i++) lanes.of(`${i}`, undefined)
      assert.deepStrictEqual([lanes.get("a"), lanes.get("0"), lanes.get("998")?.calls, lanes.get("1099")?.calls], [
        lane,
        undefined,
        undefined,
        0
      ])
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(second)
      assert.strictEqual(lane.calls, 0)
      yield* Effect.scoped(inFlight(lanes.of("free", undefined)))
    }))

  it.effect("lanes: a turn is needed from a refusal until it is forgotten", () =>
    Effect.scoped(Effect.gen(function*() {
      const lane = new Lanes().of("a", undefined)
      assert.strictEqual(yield* turn(lane), 0)
      const slow = lane.slowStart = new SlowStart()
      slow.refused(0, 2_000)
      assert.strictEqual(yield* turn(lane), 2_000)
      assert.strictEqual(lane.slowStart, slow)
      yield* TestClock.adjust("123 seconds")
      assert.strictEqual(yield* turn(lane), 0)
      assert.isUndefined(lane.slowStart)
    })))
})

describe("memory and time", () => {
  it("the ids that were noted last are known, up to a number", () => {
    const recent = new Recent(2)
    for (const id of ["a", "b", "a", "c"]) recent.add(id)
    assert.deepStrictEqual(["a", "b", "c"].map((id) => recent.has(id)), [false, true, true])
  })

  it.live("long work is done in slices, in order, up to its first failure", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      let breaths = 0
      const breathing = setInterval(() => breaths++, 0)
      yield* inSlices(Array.from({ length: 64 }, (_, i) => i), (i) => {
        seen.push(i)
        // Longer than a slice.
        if (i % 16 === 0) { for (const end = performance.now() + 13; performance.now() < end;); }
        return undefined
      })
      clearInterval(breathing)
      assert.deepStrictEqual(seen, Array.from({ length: 64 }, (_, i) => i))
      assert.isAtLeast(breaths, 1)
      const visited: Array<number> = []
      const failure = yield* Effect.flip(inSlices([1, 2, 3], (i) => {
        visited.push(i)
        return i === 2 ? "two" : undefined
      }))
      assert.deepStrictEqual([failure, visited], ["two", [1, 2]])
    }))
})

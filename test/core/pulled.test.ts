/** Streams that are read by one effect, and the streams of others. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Option, Stream } from "effect"
import * as Pulled from "../../src/internal/stream/pulled.ts"

/** A stream of chunks, and how it was closed. */
const scripted = (chunks: ReadonlyArray<ReadonlyArray<number> | "fail" | "wait">) => {
  const closed: Array<string> = []
  let opened = 0
  const stream = Pulled.make(Effect.sync(() => {
    opened++
    let next = 0
    const pull: Pulled.Pull<number, string> = Effect.suspend(() => {
      const chunk = chunks[next++]
      if (chunk === "fail") return Effect.fail("mine")
      if (chunk === "wait") return Effect.never
      return Effect.succeed(chunk === undefined ? undefined : Chunk.fromIterable(chunk))
    })
    const close = (exit: Exit.Exit<unknown, unknown>) =>
      Effect.sync(() =>
        void closed.push(
          Exit.isSuccess(exit) ? "done" : Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "failed"
        )
      )
    return { pull, close }
  }))
  return { stream, closed, opened: () => opened }
}

/** All that a pull gives. */
const all = <A, E>(pull: Pulled.Pull<A, E>): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.flatMap(
    pull,
    (chunk) => chunk === undefined ? Effect.succeed([]) : Effect.map(all(pull), (rest) => [...chunk, ...rest])
  )

describe("Pulled streams", () => {
  it.effect("are streams, which close with their exit", () =>
    Effect.gen(function*() {
      const fine = scripted([[1, 2], [], [3]])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(fine.stream)), [1, 2, 3])
      assert.deepStrictEqual(fine.closed, ["done"])
      yield* Stream.runDrain(Stream.take(fine.stream, 1))
      assert.deepStrictEqual([fine.closed.length, fine.opened()], [2, 2])
      const failing = scripted([[1], "fail"])
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(failing.stream)), "mine")
      assert.deepStrictEqual(failing.closed, ["failed"])
    }))

  it.effect("are opened without a layer in between; those of others are read alike, and closed", () =>
    Effect.gen(function*() {
      const own = scripted([[1], [2]])
      const opened = yield* Pulled.open(own.stream)
      assert.deepStrictEqual(yield* all(opened.pull), [1, 2])
      assert.deepStrictEqual(own.closed, [])
      yield* opened.close(Exit.void)
      assert.deepStrictEqual(own.closed, ["done"])
      let released = 0
      const other = Stream.make(1, 2).pipe(
        Stream.ensuring(Effect.sync(() => released++)),
        Stream.rechunk(1)
      )
      const foreign = yield* Pulled.open(other)
      assert.deepStrictEqual(yield* all(foreign.pull), [1, 2])
      yield* foreign.close(Exit.void)
      assert.strictEqual(released, 1)
      const failing = yield* Pulled.open(Stream.fail("mine"))
      assert.strictEqual(yield* Effect.flip(failing.pull), "mine")
    }))

  it.effect("are mapped by chunks, with a new map for each run", () =>
    Effect.gen(function*() {
      const { closed, stream } = scripted([[1, 2], [3]])
      let made = 0
      const mapped = Pulled.mapChunks(stream, () => {
        const run = ++made
        return Chunk.map((n) => `${run}:${n}`)
      })
      for (const run of [1, 2]) {
        assert.deepStrictEqual([...(yield* Stream.runCollect(mapped))], [`${run}:1`, `${run}:2`, `${run}:3`])
      }
      assert.deepStrictEqual(closed, ["done", "done"])
    }))

  it.effect("have a last element, and close however they end", () =>
    Effect.gen(function*() {
      const fine = scripted([[1, 2], []])
      assert.deepStrictEqual(yield* Pulled.runLast(fine.stream), Option.some(2))
      const empty = scripted([])
      assert.isTrue(Option.isNone(yield* Pulled.runLast(empty.stream)))
      const failing = scripted([[1], "fail"])
      assert.strictEqual(yield* Effect.flip(Pulled.runLast(failing.stream)), "mine")
      const waiting = scripted([[1], "wait"])
      const fiber = yield* Effect.fork(Pulled.runLast(waiting.stream))
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual([fine, empty, failing, waiting].map(({ closed }) => closed), [
        ["done"],
        ["done"],
        ["failed"],
        ["interrupted"]
      ])
    }))
})

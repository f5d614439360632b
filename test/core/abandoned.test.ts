/** What is left to do when a caller is interrupted: the requests that it takes, what the operator sees, and its limits. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Logger, LogLevel, Metric } from "effect"
import * as Fixtures from "effect-dust/Fixtures"
import * as Telemetry from "effect-dust/Telemetry"
import { type Abandoned, makeAbandoned, type Requests } from "../../src/internal/chat/abandoned.ts"
import type { Posted } from "../../src/internal/chat/sameMessage.ts"
import { start } from "../support/scene.ts"
import { virtualClock } from "../support/virtual.ts"

const no = Fixtures.error.DustNotFoundError({ message: "it is gone" })

type Fakes = {
  readonly [K in keyof Requests]?: Effect.Effect<Effect.Effect.Success<ReturnType<Requests[K]>>, typeof no>
}

/** Everything that `use` causes, with the time since it: requests, looks, and lines of log. */
const left = (
  use: (abandoned: Abandoned, note: (what: string) => Effect.Effect<void>) => Effect.Effect<void>,
  fakes: Fakes = {},
  wait = 600_000
) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const note = (what: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => void seen.push(`${now - start} ${what}`))
    const logger = Logger.make(({ annotations, date, message }) => {
      seen.push(`${date.getTime() - start} log: ${[message].flat().join(" ")}`)
      seen.push(JSON.stringify(Object.fromEntries(annotations)))
    })
    const counts = Effect.forEach(["cancelled", "failed"], (outcome) =>
      Effect.map(Metric.value(Metric.tagged(Telemetry.cancellations, "outcome", outcome)), ({ count }) => count))
    const before = yield* counts
    yield* Effect.scoped(Effect.gen(function*() {
      const abandoned = yield* makeAbandoned({
        cancel: ({ conversationId, messageIds }) =>
          Effect.zipRight(note(`cancel ${conversationId} ${messageIds.join()}`), fakes.cancel ?? Effect.void),
        deleteMessage: ({ conversationId, messageId }) =>
          Effect.zipRight(note(`delete ${conversationId} ${messageId}`), fakes.deleteMessage ?? Effect.void),
        deleteConversation: (id) =>
          Effect.zipRight(note(`delete ${id}`), fakes.deleteConversation ?? Effect.void),
        allMessages: (id) => Effect.zipRight(note(`read ${id}`), fakes.allMessages ?? Effect.succeed([]))
      })
      yield* use(abandoned, note)
      // Each method returns at once.
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
      yield* Effect.sleep(wait)
    })).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug),
      Effect.withClock(virtualClock(start))
    )
    const after = yield* counts
    return { seen, counts: after.map((count, index) => count - before[index]!) }
  })

const question = Fixtures.userMessage({ sId: "u" })
const queued = { ...question, visibility: "pending" as const }
const reply = (sId: string, status: "created" | "failed" = "created", parentMessageId = "u") =>
  Fixtures.agentMessage({ sId, status, parentMessageId })
const found = (...agentMessages: Posted["agentMessages"]): Posted => ({ message: question, agentMessages })

const stopped = (ids: string) => [
  "0 log: Run cancelled because its consumer stopped",
  `{"conversationId":"c","messageIds":"${ids}"}`
]
const annotated = (ids: string) => JSON.stringify({ conversationId: "c", messageIds: ids })

describe("after an interruption", () => {
  const rows: ReadonlyArray<
    readonly [
      string,
      (abandoned: Abandoned) => Effect.Effect<void>,
      Fakes,
      ReadonlyArray<string>,
      readonly [cancelled: number, failed: number]
    ]
  > = [
    ["runs are cancelled together", (one) => one.runs("c", ["a", "b"]), {}, ["0 cancel c a,b", ...stopped("a, b")], [
      1,
      0
    ]],
    ["no run is cancelled", (one) => one.runs("c", []), {}, [], [0, 0]],
    ["a run cannot be cancelled", (one) => one.runs("c", ["a", "b"]), { cancel: Effect.fail(no) }, [
      "0 cancel c a,b",
      "0 log: An abandoned run could not be cancelled (conversation c, message a, b): it is gone",
      annotated("a, b")
    ], [0, 1]],
    ["a cancellation does not end", (one) => one.runs("c", ["a"]), { cancel: Effect.never }, [
      "0 cancel c a",
      "30000 log: An abandoned run could not be cancelled (conversation c, message a): not finished within 30 seconds",
      annotated("a")
    ], [0, 1]],
    ["a conversation is deleted", (one) => one.conversation("c"), {}, ["0 delete c"], [0, 0]],
    ["a conversation cannot be deleted", (one) => one.conversation("c"), { deleteConversation: Effect.fail(no) }, [
      "0 delete c",
      "0 log: An empty conversation could not be deleted (conversation c): it is gone",
      annotated("")
    ], [0, 0]],
    ["the deletion of a conversation does not end", (one) => one.conversation("c"), {
      deleteConversation: Effect.never
    }, [
      "0 delete c",
      "30000 log: An empty conversation could not be deleted (conversation c): not finished within 30 seconds",
      annotated("")
    ], [0, 0]],
    [
      "the deletion of a question does not end",
      (one) => one.question("c", queued, []),
      { deleteMessage: Effect.never },
      [
        "0 delete c u",
        "30000 log: An abandoned message could not be deleted (conversation c, message u): not finished within 30 seconds",
        annotated("u")
      ],
      [0, 1]
    ],
    [
      "the replies of a question are cancelled, as far as they are running",
      (one) => one.question("c", question, [reply("a"), reply("b", "failed"), reply("d")]),
      {},
      ["0 cancel c a,d", ...stopped("a, d")],
      [1, 0]
    ],
    [
      "a question in the queue that has a reply by now is not deleted",
      (one) => one.question("c", queued, [reply("a")]),
      {},
      ["0 cancel c a", ...stopped("a")],
      [1, 0]
    ],
    ["replies that have ended are left", (one) => one.question("c", question, [reply("a", "failed")]), {}, [], [0, 0]],
    ["a question without replies is left", (one) => one.question("c", question, []), {}, [], [0, 0]],
    ["a question in the queue is deleted", (one) => one.question("c", queued, []), {}, ["0 delete c u", "0 read c"], [
      1,
      0
    ]],
    [
      "a question that leaves the queue meanwhile is deleted, and its replies are cancelled",
      (one) => one.question("c", queued, []),
      {
        allMessages: Effect.succeed([
          question,
          reply("a"),
          reply("b", "failed"),
          reply("d", "created", "other"),
          reply("e")
        ])
      },
      ["0 delete c u", "0 read c", "0 cancel c a,e"],
      [1, 0]
    ],
    [
      "a question that cannot be deleted has replies, which are cancelled",
      (one) => one.question("c", queued, []),
      { deleteMessage: Effect.fail(no), allMessages: Effect.succeed([reply("a")]) },
      [
        "0 delete c u",
        "0 read c",
        "0 cancel c a",
        "0 log: An abandoned message could not be deleted (conversation c, message u): it is gone",
        annotated("u")
      ],
      [0, 1]
    ]
  ]
  it.effect.each(rows)("%s", ([, use, fakes, expected, counts]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual<unknown>(yield* left(use, fakes), { seen: expected, counts })
    }))

  /** Looks until something is found; the number of the look decides. */
  const search = (look: (nth: number) => Effect.Effect<ReadonlyArray<Posted>, typeof no>, wait?: number) =>
    left(
      (abandoned, note) => {
        let nth = 0
        return abandoned.find(
          "c",
          Effect.suspend(() => Effect.zipRight(note("look"), look(++nth))),
          (posted) => Effect.runSync(note(`found ${posted.message.sId}`).pipe(Effect.withClock(virtualClock(start))))
        )
      },
      {},
      wait
    )
  const looks = (...times: ReadonlyArray<number>) => times.map((time) => `${time} look`)
  const all = [0, 200, 1_000, 3_000, 7_000, 15_000, 25_000, 40_000, 55_000, 65_000]
  const unchecked = (time: number) => [
    `${time} log: Could not check whether an interrupted message was stored (conversation c): its run may continue`,
    "{\"conversationId\":\"c\"}"
  ]

  const searches: ReadonlyArray<
    readonly [string, Parameters<typeof search>, ReadonlyArray<string>, readonly [number, number]]
  > = [
    ["is looked for over a minute", [() => Effect.succeed([])], looks(...all), [0, 0]],
    ["may be unreadable", [() => Effect.fail(no)], [...looks(...all), ...unchecked(65_000)], [0, 0]],
    ["may be unreadable but once", [(nth) => nth === 2 ? Effect.succeed([]) : Effect.fail(no)], looks(...all), [0, 0]],
    ["may not be readable in time", [(nth) => nth < 10 ? Effect.never : Effect.fail(no)], [
      ...looks(0, 30_200, 61_000, 93_000, 127_000, 165_000, 205_000, 250_000, 295_000, 335_000),
      ...unchecked(335_000)
    ], [0, 0]],
    ["is found with its replies, which are cancelled", [(nth) => Effect.succeed(nth < 3 ? [] : [found(reply("a"))])], [
      ...looks(0, 200, 1_000),
      "0 found u",
      "1000 cancel c a",
      "1000 log: Run cancelled because its consumer stopped",
      annotated("a")
    ], [1, 0]],
    ["is found, and its replies are awaited", [(nth) => Effect.succeed([nth < 2 ? found() : found(reply("a"))])], [
      ...looks(0, 200),
      "0 found u",
      "200 cancel c a",
      "200 log: Run cancelled because its consumer stopped",
      annotated("a")
    ], [1, 0]],
    ["is found in the queue", [() => Effect.succeed([{ message: queued, agentMessages: [] }])], [
      ...looks(0),
      "0 found u",
      "0 delete c u",
      "0 read c"
    ], [1, 0]],
    ["is one of several", [
      () => Effect.succeed([found(reply("a")), { message: { ...question, sId: "v" }, agentMessages: [] }])
    ], [
      ...looks(0),
      "0 log: The run of an interrupted message was not cancelled (conversation c, message u, v): several messages match it",
      annotated("u, v")
    ], [0, 1]],
    ["is looked for once more when the layer closes", [() => Effect.succeed([]), 500], looks(0, 200, 500), [0, 0]],
    ["is unreadable when the layer closes", [() => Effect.fail(no), 500], [...looks(0, 200, 500), ...unchecked(500)], [
      0,
      0
    ]]
  ]
  it.effect.each(searches)("a message that was being sent %s", ([, args, expected, counts]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual<unknown>(yield* search(...args), { seen: expected, counts })
    }))
})

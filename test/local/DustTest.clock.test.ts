import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Console,
  Duration,
  Effect,
  Fiber,
  Layer,
  Logger,
  Option,
  Redacted,
  Stream,
  TestClock,
  TestContext
} from "effect"
import { Agents } from "effect-dust/Agents"
import type * as Approvals from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"
import { Files } from "effect-dust/Files"
import * as Governor from "effect-dust/Governor"

const { faults } = DustTest

const realTime = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

/** The lines reported while the effect is stuck on a clock of its own, until shortly after one that matches. */
const reportsOf = <A, E>(stuck: Effect.Effect<A, E>, expected: RegExp) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => lines.push(String(message))))
    const fiber = yield* Effect.fork(Effect.exit(Effect.provide(stuck, logger)))
    // A busy machine may report a standstill before the one that is meant.
    for (let i = 0; i < 300 && !lines.some((line) => expected.test(line)); i++) yield* realTime(50)
    yield* realTime(600)
    yield* Fiber.interrupt(fiber)
    return lines
  }).pipe(Effect.provide(TestContext.TestContext))

const send = (agent: string, onApproval?: Approvals.ApprovalHandler<never, never>) =>
  Effect.flatMap(Chat, (chat) => chat.send({ agent, message: "Hello", onApproval }))

const upload = Effect.flatMap(
  Files,
  (files) => files.upload({ fileName: "a.txt", contentType: "text/plain", content: "a" })
)

const list = Effect.flatMap(Agents, (agents) => agents.list())

const withFault = (fault: DustTest.Fault) =>
  Effect.provide(DustTest.layer({ faults: [{ path: "/assistant/agent_configurations", fault }] }))

const events = "/assistant/conversations/:conversationId/messages/:messageId/events"

/** What waits, what the report says of it, and the time that it proposes. */
const waits: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>, RegExp, RegExp]> = [
  [
    "a pause of the governor",
    Effect.zipRight(send("echo"), send("echo")).pipe(
      Effect.provide(
        DustTest.layer().pipe(
          Layer.provide(Governor.layer({ limits: { messages: [{ limit: 1, window: "1 minute" }] } }))
        )
      )
    ),
    /Conversations\.createMessage after dust\.governor\.wait \(1m 1s to go\)/,
    /"61 seconds"/
  ],
  [
    "the renewal of a token",
    send("echo").pipe(
      Effect.provide(DustTest.layer({
        credential: { accessToken: Effect.as(Effect.sleep("1 minute"), Redacted.make("x")) }
      }))
    ),
    /Conversations\.create > DustConfig\.refresh \(1m, /,
    /"5 minutes"/
  ],
  [
    "an upload that is refused and tried again",
    Effect.zipRight(upload, upload).pipe(Effect.provide(DustTest.layer({ limits: { uploadsPerMinute: 1 } }))),
    /Files\.upload after dust\.request\.retry .*POST \S+\/files, was answered 429/,
    /"\d+ seconds"/
  ],
  [
    "a retry after 429",
    list.pipe(withFault(faults.status(429))),
    /Agents\.list after dust\.request\.retry/,
    /"\d+ seconds"/
  ],
  [
    "a retry after 500",
    list.pipe(withFault(faults.status(500))),
    /the last request, GET \S+, was answered 500/,
    /"\d+ \w+"/
  ],
  [
    "a retry after a cut",
    list.pipe(withFault(faults.resetBefore())),
    /the last request, GET \S+, was cut/,
    /"\d+ \w+"/
  ],
  [
    "an answer that never comes",
    list.pipe(withFault(faults.neverAnswer())),
    /GET \S+ \(not answered yet\)/,
    /"1 minute"/
  ],
  [
    "a stream that connects again",
    send("silent").pipe(
      Effect.provide(DustTest.layer({
        agents: { silent: [DustTest.silence("2 hours")] },
        faults: [{ path: events, fault: faults.status(503) }]
      }))
    ),
    /silent is silent \(2h to go\); .*Conversations\.messageEvents connect after dust\.request\.retry/,
    /"2 hours"/
  ],
  [
    "an approval that takes its time",
    send("mailer", () => Effect.as(Effect.sleep("2 hours"), "approved")).pipe(
      Effect.provide(DustTest.layer({ agents: { mailer: [DustTest.approval({ name: "send_email" })] } }))
    ),
    /mailer waits for an answer to \S*send_email .*dust\.run\.waiting \(2h to go\)/,
    /"2 hours"/
  ],
  [
    "an agent that writes slowly",
    send("slow").pipe(
      Effect.provide(DustTest.layer({ agents: { slow: [DustTest.text("a b", { pace: "1 second" })] } }))
    ),
    /slow writes \(1s to go\); GET \S+\/events \(answered 200, still open\)/,
    /"1 second"/
  ],
  [
    "an effect of the test",
    Effect.zipRight(list, Effect.sleep("90 minutes")).pipe(Effect.provide(DustTest.layer())),
    /an effect without a span \(1h 30m to go\)/,
    /"90 minutes"/
  ]
]

const sleeps = Effect.flatMap(TestClock.testClock(), (clock) => Effect.map(clock.sleeps, Chunk.size))

describe("DustTest and TestClock", () => {
  // At the same time, since each takes more than a second of real time.
  it.live("an unmoved TestClock: reports once what waits, for how long, and a valid time to move it by", () =>
    Effect.gen(function*() {
      const reports = yield* Effect.forEach(waits, ([, stuck, who]) => reportsOf(stuck, who), {
        concurrency: "unbounded"
      })
      waits.forEach(([name, , who, time], index) => {
        const lines = reports[index] ?? []
        const [line = "", ...more] = lines.filter((line) => who.test(line))
        assert.match(
          line,
          /^Local Dust: nothing has happened for a second of real time, and \d+ waits on the TestClock/,
          `${name}: ${lines.join("; ")}`
        )
        assert.deepStrictEqual(more, [], name)
        const remedy = /TestClock\.adjust\(("[^"]+")\)\), or run the test on the live clock \(it\.live\)/
        const proposed = remedy.exec(line)?.[1] ?? ""
        assert.match(proposed, time, name)
        assert.isTrue(Option.isSome(Duration.decodeUnknown(JSON.parse(proposed))), proposed)
      })
    }))

  it.effect("an unmoved TestClock: reports on the console if there is no logger", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const current = yield* Console.consoleWith(Effect.succeed)
      const console: Console.Console = {
        ...current,
        warn: (line: unknown) => Effect.sync(() => void lines.push(line))
      }
      const fiber = yield* Effect.fork(
        Effect.flatMap(Chat, (chat) => chat.send({ agent: "slow", message: "Hello" })).pipe(
          Effect.provide(DustTest.layer({ agents: { slow: [DustTest.silence()] } })),
          Effect.withConsole(console)
        )
      )
      while (lines.length === 0) yield* realTime(50)
      yield* Fiber.interrupt(fiber)
      assert.match(String(lines[0]), /^Local Dust: nothing has happened/)
    }))

  it.effect("TestClock: interrupted sleeps are removed, so that a long wait is cheap", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const dust = yield* DustTest.DustTest
      const before = yield* sleeps
      const waiting = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(Effect.sleep("1 hour")))
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(waiting)
      yield* realTime(20)
      assert.strictEqual(yield* sleeps, before)
      const fiber = yield* Effect.fork(
        chat.stream({ agent: "careful", message: "Go" }).pipe(Stream.runCollect)
      )
      yield* dust.waitForRequest({ path: /\/events$/, outcome: "open", status: 200 })
      yield* TestClock.adjust("24 hours")
      const [action] = (yield* dust.conversations).flatMap(({ blockedActionIds }) => blockedActionIds)
      yield* dust.resolveAction(action!)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
    }).pipe(Effect.provide(DustTest.layer({ agents: { careful: [DustTest.approval({ name: "send" })] } }))))
})

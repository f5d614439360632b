/**
 * CPU per relayed event, against the same events unrelayed: `npx tsx test/bench/relay.ts`. One line of JSON per figure.
 *
 * The answer is streamed by `Chat` from Local Dust in the same process, one event a chunk, which is how agents send. What Local
 * Dust costs is in every figure; `relay` is the difference that the relay makes.
 */
import { Effect, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as DustTest from "effect-dust/DustTest"
import * as UiMessageStream from "effect-dust/UiMessageStream"

const events = 20_000
const rounds = 5

const cpu = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = process.cpuUsage()
    yield* work
    const { system, user } = process.cpuUsage(before)
    return (system + user) / events
  })

const median = (all: ReadonlyArray<number>) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN

const round = (value: number) => Math.round(value * 100) / 100

/** Events without a source: what encoding and handing over costs by itself. */
const made = Stream.range(1, events).pipe(
  Stream.rechunk(1),
  Stream.map((n): ChatEvent => ({ _tag: "TextDelta", eventId: `${1_750_000_000_000 + n}-0`, text: "a few words " }))
)

const chat = Stream.unwrap(Effect.map(Chat, (chat) => chat.stream({ agent: "long", message: "Go" })))

const program = Effect.gen(function*() {
  const ways = {
    "made, unrelayed": Stream.runDrain(made),
    "made, relayed": Stream.runDrain(ChatRelay.toBytes(made)),
    "made, as UI messages": Stream.runDrain(UiMessageStream.toBytes(made)),
    "chat, unrelayed": Stream.runDrain(chat),
    "chat, relayed": Stream.runDrain(ChatRelay.toBytes(chat)),
    "chat, as UI messages": Stream.runDrain(UiMessageStream.toBytes(chat))
  }
  const costs = new Map<string, Array<number>>()
  for (let i = 0; i <= rounds; i++) {
    for (const [name, way] of Object.entries(ways)) {
      const cost = yield* cpu(Effect.orDie(way))
      // The first round is for the compiler.
      if (i > 0) costs.set(name, [...costs.get(name) ?? [], cost])
    }
  }
  const of = (name: string) => median(costs.get(name) ?? [])
  for (const [name] of costs) {
    const bare = of(`${name.slice(0, 4)}, unrelayed`)
    console.log(JSON.stringify({
      figure: name,
      unit: "µs of CPU per event",
      value: round(of(name)),
      relay: round(of(name) - bare),
      vsBare: round(of(name) / bare)
    }))
  }
})

await program.pipe(
  Effect.provide(DustTest.layer({ agents: { long: [DustTest.text("a few words ".repeat(events / 3))] } })),
  Effect.runPromise
)

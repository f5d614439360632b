// Layers are provided one after the other on purpose.
// @effect-diagnostics multipleEffectProvide:off
/**
 * Everything at once in one layer: what is learned while one method is called must not break another. Each method of the
 * coverage table is called twice, with chats before, between and beside, over every way to Local Dust.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, type Layer, Option, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import type * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { type Call, calls } from "../fixtures/calls.ts"

type Credential = Call["credential"]

const seed = {
  apps: [{ sId: "echo" }],
  conversations: [{
    sId: "cnv_1",
    messages: [
      { role: "user", sId: "msg_0", content: "Hello" },
      { role: "agent", sId: "msg_1", content: "Hello yourself" }
    ]
  }],
  dataSources: [{
    sId: "dts_1",
    name: "x",
    documents: [{ documentId: "a", text: "hello" }],
    tables: [{ tableId: "tbl_1", name: "t", rows: { r1: { a: 1 } } }]
  }],
  files: [{ sId: "fil_1", fileName: "a.txt", content: "hello" }]
} satisfies NonNullable<DustTest.Options["seed"]>

/**
 * Methods that go on until they are left, or that look for the end of a run whose events are gone only after seconds, and the
 * streams that they open.
 */
const endless: Readonly<Record<string, RegExp>> = {
  "Conversations.events": /\/conversations\/cnv_1\/events$/,
  "Conversations.messageEvents": /\/messages\/msg_1\/events$/,
  "Conversations.answer": /\/messages\/msg_1\/events$/,
  "McpServers.serve": /\/mcp\/requests$/,
  "McpServers.transport": /\/mcp\/requests$/,
  "McpServers.requests": /\/mcp\/requests$/
}

interface Outcome {
  readonly method: string
  /** `ok`, `left` for those that go on, or the error. */
  readonly outcome: string
}

/** Ends when the stream of a method is open. */
const opened = (method: string) =>
  Effect.flatMap(DustTest.DustTest, (dust) =>
    endless[method] === undefined
      ? Effect.never
      : Effect.as(dust.waitForRequest(({ path, status }) => status === 200 && endless[method]!.test(path)), "left"))

const outcomeOf = (
  { method, run }: Call
): Effect.Effect<Outcome, never, Dust.Services | DustTest.DustTest> =>
  Effect.raceFirst(Effect.as(run, "ok"), opened(method)).pipe(
    Effect.timeoutOption("1 minute"),
    Effect.map(Option.getOrElse(() => "hangs")),
    Effect.catchAll((error) =>
      Effect.succeed(error instanceof Error ? `${error.name}: ${error.message}` : String(error))
    ),
    Effect.map((outcome) => ({ method, outcome }))
  )

/** Two ways to ask, which learn where the streams of messages are. */
const chats = Effect.gen(function*() {
  const chat = yield* Chat
  const reply = yield* chat.send({ agent: "helper", message: "One after the other" })
  assert.strictEqual(reply.text, "One after the other")
  const pieces = yield* Stream.runCollect(chat.streamText({ agent: "helper", message: "Piece by piece" }))
  assert.strictEqual(Chunk.join(pieces, ""), "Piece by piece")
})

/** What the others need. */
const preparing: ReadonlyArray<string> = ["McpServers.register", "Conversations.createFeedback"]

/** What takes something away that the others need, or may be done once: it comes after them, in this order. */
const taking: ReadonlyArray<string> = [
  "Conversations.deleteFeedback",
  "Conversations.retryMessage",
  "DataSources.deleteRow",
  "DataSources.deleteTable",
  "DataSources.deleteDocument",
  "Files.delete",
  "Spaces.removeMember",
  "Skills.archive",
  "Agents.archive",
  "McpServers.deregister"
]

const works = (outcome: string | undefined) => outcome === "ok" || outcome === "left"

const named = (names: ReadonlyArray<string>) => names.flatMap((name) => calls.filter(({ method }) => method === name))

const round = Effect.gen(function*() {
  const own = calls.filter(({ method }) => !preparing.includes(method) && !taking.includes(method))
  const before = yield* Effect.forEach(named(preparing), outcomeOf)
  const [together] = yield* Effect.all([Effect.forEach(own, outcomeOf, { concurrency: "unbounded" }), chats], {
    concurrency: "unbounded"
  })
  return [...before, ...together, ...yield* Effect.forEach(named(taking), outcomeOf)]
})

/** Requests to a path that Dust does not have. The redirect in front of an event stream is not a separate route. */
const unrouted = Effect.gen(function*() {
  const dust = yield* DustTest.DustTest
  const requests = yield* dust.requests()
  return requests.filter(({ route, status }) => route === undefined && status === 404)
    .map(({ method, path }) => `${method} ${path}`)
})

/** Not every method accepts every credential; the others fail both times. */
const everything = Effect.gen(function*() {
  const before = yield* round
  yield* chats
  const elsewhere = yield* unrouted
  // The server has everything again, and the layer keeps what it has learned.
  yield* Effect.flatMap(DustTest.DustTest, (dust) => dust.reset)
  const after = yield* round
  const hanging = [...before, ...after].filter(({ outcome }) => outcome === "hangs").map(({ method }) => method)
  assert.deepStrictEqual([...new Set(hanging)], [], "methods that do not come back")
  assert.deepStrictEqual([...elsewhere, ...yield* unrouted], [], "requests to paths that do not exist")
  const broken = before.flatMap(({ method, outcome }, i) => {
    const then = after[i]?.outcome ?? "not called"
    return works(outcome) !== works(then)
      ? [`${method}: ${outcome}, then ${then}`]
      : []
  })
  assert.deepStrictEqual(broken, [], "methods that worked once, and once not")
  return before
})

const ways: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient> | undefined>> = {
  "in process": undefined,
  "over a port, undici": NodeHttpClient.layerUndici,
  "over a port, node:http": NodeHttpClient.layer,
  "over a port, fetch": FetchHttpClient.layer
}

const credentials: ReadonlyArray<Credential> = ["apiKey", "adminApiKey", "userToken", "adminToken"]

describe("one layer, everything at once", () => {
  for (const [way, client] of Object.entries(ways)) {
    it.live(`${way}: every method works the second time as it did the first`, () =>
      Effect.gen(function*() {
        const outcomes = yield* Effect.forEach(credentials, (credential) => {
          // An agent of its own: an administrator's calls archive `echo`.
          const options = {
            agents: { helper: ({ message }: DustTest.AgentInput) => message },
            credential,
            retry: RetryPolicy.none,
            seed
          }
          return client === undefined
            ? Effect.provide(everything, DustTest.layer(options))
            : everything.pipe(Effect.provide(DustTest.layerServe(options)), Effect.provide(client))
        }, { concurrency: 2 })
        // The seed has what the calls name, so that they get beyond "not found".
        const never = (outcomes[0] ?? []).flatMap(({ method }, i) =>
          outcomes.some((one) => works(one[i]?.outcome))
            ? []
            : [`${method}: ${outcomes.map((one) => one[i]?.outcome).join(" | ")}`]
        )
        assert.lengthOf(outcomes[0] ?? [], calls.length)
        assert.isAtLeast(calls.length - never.length, 85, never.join("\n"))
      }))
  }
})

/** The official client is recorded, replayed and compared. */
import { DustAPI } from "@dust-tt/client"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as Cassette from "effect-dust/Cassette"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import { DataSources } from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import { Files } from "effect-dust/Files"
import { Spaces } from "effect-dust/Spaces"
import type { Json } from "../support/local.ts"
import { ok, silent } from "../support/referee.ts"

const agents: NonNullable<DustTest.Options["agents"]> = {
  researcher: [
    DustTest.think("Hm."),
    DustTest.tool({ name: "search", inputs: { q: "x" }, output: [{ type: "text", text: "found" }] }),
    DustTest.text("Found it.")
  ]
}

const url = "https://local-dust.test"
const { apiKey, workspaceId } = DustTest.credentials

/** The official client uses only the global `fetch`. */
const withFetch = (client: HttpClient.HttpClient) =>
  Effect.acquireRelease(
    Effect.map(Cassette.toFetch(client), (replacement) => {
      const before = globalThis.fetch
      globalThis.fetch = replacement
      return before
    }),
    (before) =>
      Effect.sync(() => {
        globalThis.fetch = before
      })
  )

const official = Effect.gen(function*() {
  const client = new DustAPI({ url }, { workspaceId, apiKey: Redacted.value(apiKey) }, silent)
  const message = {
    content: "Where is it?",
    mentions: [{ configurationId: "researcher" }],
    context: { username: "ada", timezone: "Europe/Paris", origin: "api" as const }
  }
  const spaces = yield* ok<ReadonlyArray<Json>>(() => client.getSpaces())
  const created = yield* ok<Json>(() =>
    client.createConversation({ title: null, visibility: "unlisted", message, blocking: false })
  )
  const { eventStream } = yield* ok<{ eventStream: AsyncIterable<Json> }>(() =>
    client.streamAgentAnswerEvents({
      conversation: created.conversation,
      userMessageId: created.message.sId,
      options: { maxReconnectAttempts: 3, reconnectDelay: 10, autoReconnect: true }
    })
  )
  const events = yield* Effect.promise(async () => {
    const all: Array<Json> = []
    for await (const event of eventStream) {
      all.push(event)
      if (event.type === "agent_message_success") break
    }
    return all
  })
  const conversation = yield* ok<Json>(() => client.getConversation({ conversationId: created.conversation.sId }))
  const file = yield* ok<Json>(() =>
    client.uploadFile({
      contentType: "text/plain",
      fileName: "a.txt",
      fileSize: 5,
      useCase: "conversation",
      fileObject: new File(["hello"], "a.txt", { type: "text/plain" })
    })
  )
  return { spaces, events, conversation, file }
})

const own = Effect.gen(function*() {
  const chat = yield* Chat
  const reply = yield* chat.send({ agent: "researcher", message: "Where is it?" })
  const { get, listMessages } = yield* Conversations
  const conversation = yield* get(reply.conversationId)
  const messages = yield* listMessages(reply.conversationId)
  const file = yield* Effect.flatMap(Files, (files) => files.upload({ content: "hello", fileName: "a.txt" }))
  const spaces = yield* Effect.flatMap(Spaces, (all) => all.list())
  const sources = yield* Effect.flatMap(DataSources, (all) => all.list("vlt_global"))
  return { reply, conversation, messages, file, spaces, sources }
})

const sdk = (client: HttpClient.HttpClient) =>
  Dust.layer({ workspaceId, apiKey, baseUrl: url }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))

const recorded = <A, E, R>(run: (client: HttpClient.HttpClient) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { client, tape } = yield* Cassette.record(yield* HttpClient.HttpClient)
    const result = yield* run(client)
    return { result, tape: yield* Effect.flatMap(tape, (one) => Cassette.parse(Cassette.format(one))) }
  }).pipe(Effect.provide(DustTest.layerHttpClient({ agents })))

const underOfficial = (client: HttpClient.HttpClient) => Effect.scoped(Effect.zipRight(withFetch(client), official))

const change = (tape: Cassette.Tape, edit: (exchange: Cassette.Exchange) => Cassette.Exchange): Cassette.Tape => ({
  ...tape,
  exchanges: tape.exchanges.map(edit)
})

/** The JSON of each answer, changed. */
const answers = (tape: Cassette.Tape, edit: (json: Json, path: string) => Json) =>
  change(tape, (exchange) => {
    const body = exchange.response?.body
    if (exchange.response === undefined || body === undefined || !("json" in body)) return exchange
    return {
      ...exchange,
      response: {
        ...exchange.response,
        body: { json: JSON.parse(JSON.stringify(edit(body.json, exchange.request.path))) as Json }
      }
    }
  })

describe("Cassette under the official client", () => {
  it.live("replays the recorded calls, and Local Dust does not differ from its own recording", () =>
    Effect.gen(function*() {
      const { result, tape } = yield* recorded(underOfficial)
      assert.isTrue(result.events.some(({ type }) => type === "tool_params"))
      assert.notInclude(Cassette.format(tape), Redacted.value(apiKey))
      const { client, unplayed } = Cassette.replay(tape)
      assert.deepStrictEqual(yield* underOfficial(client), result)
      assert.deepStrictEqual(yield* unplayed, [])
      const report = yield* Cassette.drift(tape, { workspace: { agents } })
      assert.strictEqual(
        Cassette.formatDrift(report),
        `${tape.exchanges.length} exchanges compared, 0 differences`
      )
    }))

  it.live("drift: none between Local Dust and a recording of it by this SDK", () =>
    Effect.gen(function*() {
      const { tape } = yield* recorded((client) => Effect.provide(own, sdk(client)))
      const report = yield* Cassette.drift(tape, { workspace: { agents } })
      assert.strictEqual(
        Cassette.formatDrift(report),
        `${tape.exchanges.length} exchanges compared, 0 differences`
      )
    }))

  it.live("drift: reports a different status, field, type, word, event and route", () =>
    Effect.gen(function*() {
      const { tape } = yield* recorded(underOfficial)
      const differencesOf = (changed: Cassette.Tape, options?: Cassette.DriftOptions) =>
        Effect.map(
          Cassette.drift(changed, { workspace: { agents }, ...options }),
          ({ differences }) =>
            differences.map(({ local, recorded, route, where }) =>
              `${route.replace("/api/v1/w/:workspaceId", "")} ${where}: ${recorded} / ${local}`
            )
        )
      const spaces = (edit: (space: Json) => Json) =>
        answers(tape, (json, path) => path.endsWith("/spaces") ? { ...json, spaces: json.spaces.map(edit) } : json)
      assert.deepStrictEqual(yield* differencesOf(spaces((space) => ({ ...space, colour: "red" }))), [
        "GET /spaces body.spaces.*.colour: string / absent"
      ])
      assert.deepStrictEqual(yield* differencesOf(spaces((space) => ({ ...space, name: undefined }))), [
        "GET /spaces body.spaces.*.name: absent / string"
      ])
      assert.deepStrictEqual(yield* differencesOf(spaces((space) => ({ ...space, name: 1 }))), [
        "GET /spaces body.spaces.*.name: number / string"
      ])
      assert.deepStrictEqual(
        yield* differencesOf(spaces((space) => ({ ...space, name: 1 })), { ignore: ["body.spaces"] }),
        []
      )
      assert.deepStrictEqual(yield* differencesOf(spaces((space) => ({ ...space, kind: "cave" }))), [
        "GET /spaces body.spaces.*.kind: \"cave\" / \"global\" or \"regular\""
      ])
      const status = change(
        tape,
        (exchange) =>
          exchange.request.path.endsWith("/spaces") && exchange.response !== undefined
            ? {
              ...exchange,
              response: { ...exchange.response, status: 403, body: { json: { error: { type: "no", message: "No" } } } }
            }
            : exchange
      )
      assert.deepStrictEqual(yield* differencesOf(status), ["GET /spaces status: 403 no / 200"])
      const elsewhere = change(tape, (exchange) => ({
        ...exchange,
        request: { ...exchange.request, path: exchange.request.path.replace(/\/spaces$/, "/rooms") }
      }))
      assert.deepStrictEqual(yield* differencesOf(elsewhere), [
        `GET /api/v1/w/${workspaceId}/rooms route: 200 / no such route`
      ])
      const events = change(tape, (exchange) => {
        const body = exchange.response?.body
        if (exchange.response === undefined || body === undefined || !("events" in body)) return exchange
        const all = body.events.map((frame): Cassette.EventFrame =>
          JSON.stringify(frame.json ?? "").includes("\"tool_params\"")
            ? { at: frame.at, json: { eventId: "1-0", data: { type: "tool_begun", tool: "x" } } }
            : frame
        )
        return { ...exchange, response: { ...exchange.response, body: { events: all } } }
      })
      const found = yield* differencesOf(events)
      assert.isTrue(found.some((one) => one.endsWith("events.tool_begun: sent / never sent")))
    }))
})

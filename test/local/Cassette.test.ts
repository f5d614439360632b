import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, Redacted, Stream } from "effect"
import * as Cassette from "effect-dust/Cassette"
import { Chat } from "effect-dust/Chat"
import { Conversations } from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import { Files } from "effect-dust/Files"
import { Spaces } from "effect-dust/Spaces"

const key = Redacted.value(DustTest.credentials.apiKey)

const sdk = (client: HttpClient.HttpClient, apiKey = DustTest.credentials.apiKey) =>
  Dust.layer({ workspaceId: DustTest.credentials.workspaceId, baseUrl: "https://local-dust.test", apiKey }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )

/** The tape of a program, and its result. */
const recorded = <A, E>(
  program: Effect.Effect<A, E, Dust.Services>,
  options: { readonly local?: DustTest.Options; readonly record?: Cassette.RecordOptions } = {}
) =>
  Effect.gen(function*() {
    const { client, tape } = yield* Cassette.record(yield* HttpClient.HttpClient, options.record)
    const result = yield* Effect.provide(program, sdk(client))
    return { result, tape: yield* tape }
  }).pipe(Effect.provide(DustTest.layerHttpClient(options.local)))

const ask = (message: string, agent = "echo") => Effect.flatMap(Chat, (chat) => chat.send({ agent, message }))

const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    assert.instanceOf(defect, Cassette.CassetteMissError)
    return defect
  })

const eventsOf = ({ response }: Cassette.Exchange) =>
  response?.body !== undefined && "events" in response.body ? response.body.events : []

describe("Cassette", () => {
  it.live("replay: a chat, an upload and a list return the recorded results", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const reply = yield* ask("Hello there")
        const file = yield* Effect.flatMap(
          Files,
          (files) => files.upload({ content: "a,b\n1,2\n", fileName: "a.csv", contentType: "text/csv" })
        )
        const spaces = yield* Effect.flatMap(Spaces, (all) => all.list())
        return { reply, file, spaces }
      })
      const { result, tape } = yield* recorded(program)
      assert.strictEqual(result.reply.text, "Hello there")
      // Goes through the file, so that the replay uses nothing else.
      const again = yield* Cassette.parse(Cassette.format(tape))
      const { client, unplayed } = Cassette.replay(again)
      assert.deepStrictEqual(yield* Effect.provide(program, sdk(client)), result)
      assert.deepStrictEqual((yield* unplayed).map(({ request }) => request.path), [])
    }))

  it.effect("record: a stream is on the tape event by event, as readable JSON", () =>
    Effect.gen(function*() {
      const { tape } = yield* recorded(ask("one two"))
      const lines = Cassette.format(tape).trimEnd().split("\n")
      for (const line of lines) JSON.parse(line)
      assert.strictEqual(lines.length, tape.exchanges.length + 1)
      assert.strictEqual(tape.workspaceId, DustTest.credentials.workspaceId)
      assert.strictEqual(tape.origin, "https://local-dust.test")
      const [events] = tape.exchanges.map(eventsOf).filter((all) => all.length > 0)
      assert.isDefined(events)
      assert.strictEqual(events[0]?.event, "dust-handshake")
      const texts = events.flatMap(({ json }) =>
        typeof json === "object" && json !== null && "data" in json ? [json.data] : []
      )
      assert.isTrue(texts.some((one) => typeof one === "object" && one !== null && "text" in one && one.text === "two"))
      assert.isUndefined(events.find(({ text }) => text !== undefined && text !== "data: done\n\n"))
    }))

  it.effect("record: no credential reaches the tape, even when the server echoes it", () =>
    Effect.gen(function*() {
      const refreshed = "eyJhbGciOi.eyJzdWIiOiJh.c2lnbmF0dXJl"
      const answered = {
        access_token: "opaque-access-token",
        nested: [{ clientSecret: "the client's secret" }],
        echo: `you sent ${key} and ${btoa(key)} and opaque-access-token`,
        upload: "https://storage.test/a?x=1&sig=s3cr3t-sig&y=2",
        jwt: refreshed,
        cookies: "cookie-of-the-server and cookie-of-the-client",
        given: "this was told before",
        [key]: 1
      }
      const { client, tape } = yield* Cassette.record(
        HttpClient.make((request) =>
          Effect.sync(() =>
            HttpClientResponse.fromWeb(
              request,
              new Response(JSON.stringify(answered), {
                headers: {
                  "content-type": "application/json",
                  "location": `https://x.test/f?token=abc&X-Amz-Signature=${"f".repeat(20)}`,
                  "set-cookie": "session=cookie-of-the-server; Path=/",
                  "x-request-id": key
                }
              })
            )
          )
        ),
        { secrets: [Redacted.make("told before")] }
      )
      const send = (path: string) =>
        client.execute(
          HttpClientRequest.post(`https://u:password@x.test${path}?api_key=in-the-query&q=opaque-access-token`, {
            headers: {
              authorization: `Bearer ${key}`,
              cookie: "a=cookie-of-the-client",
              "x-api-key": "another-key-1",
              "x-api-user-email": "ada@example.com"
            }
          }).pipe(HttpClientRequest.bodyUnsafeJson({
            refresh_token: "refresh-me",
            text: "refresh-me, another-key-1",
            password: "hunter2"
          }))
        ).pipe(Effect.flatMap((response) => response.json))
      const answer = yield* send("/triggers/hooks/whs_1/url-secret")
      assert.include(JSON.stringify(answer), "opaque-access-token")
      yield* send("/again/opaque-access-token")
      const text = Cassette.format(yield* tape)
      const secrets = [
        key,
        btoa(key),
        refreshed,
        "opaque-access-token",
        "the client's secret",
        "s3cr3t-sig",
        "ffffffff",
        "told before",
        "cookie-of-the",
        "in-the-query",
        "another-key-1",
        "refresh-me",
        "hunter2",
        "url-secret",
        "u:password",
        "ada@example.com"
      ]
      assert.deepStrictEqual(secrets.filter((secret) => text.includes(secret)), [])
      assert.include(text, "<redacted>")
    }))

  it.effect("record: a credential that an agent emits in pieces is redacted", () =>
    Effect.gen(function*() {
      const { result, tape } = yield* recorded(ask("Tell me", "parrot"), {
        local: { agents: { parrot: [DustTest.text("", { tokens: ["It is ", "sk-local", "-dust", "!"] })] } }
      })
      assert.strictEqual(result.text, `It is ${key}!`)
      const text = Cassette.format(tape)
      for (const piece of ["\"sk-local\"", "\"-dust\"", key]) assert.notInclude(text, piece)
    }))

  it.effect("record: content \"mask\" masks texts and keeps the values that a replay needs", () =>
    Effect.gen(function*() {
      const program = Effect.flatMap(
        Chat,
        (chat) => chat.send({ agent: "echo", message: "Geheim 42, Ölpreis!" })
      )
      const { result, tape } = yield* recorded(program, { record: { content: "mask" } })
      const text = Cassette.format(tape)
      for (const word of ["Geheim", "Ölpreis", "42,"]) assert.notInclude(text, word)
      const { client } = Cassette.replay(tape)
      const reply = yield* Effect.provide(program, sdk(client))
      assert.strictEqual(reply.text, "xxxxxx 00, xxxxxxx!")
      assert.strictEqual(reply.agentMessage.sId, result.agentMessage.sId)
    }))

  it.effect("record: redact is applied last, in a replay too", () =>
    Effect.gen(function*() {
      const redact = (exchange: Cassette.Exchange): Cassette.Exchange => ({
        ...exchange,
        request: { ...exchange.request, path: exchange.request.path.replace(/vlt_\w+/, "vlt_1") }
      })
      const program = Effect.flatMap(HttpClient.HttpClient, (client) =>
        client.get("https://local-dust.test/api/v1/w/LocalDust1/spaces/vlt_secret"))
      const { client, tape } = yield* Effect.flatMap(HttpClient.HttpClient, (inner) =>
        Cassette.record(inner, { redact }))
      yield* Effect.provideService(program, HttpClient.HttpClient, client)
      const taped = yield* tape
      assert.strictEqual(taped.exchanges[0]?.request.path, "/api/v1/w/LocalDust1/spaces/vlt_1")
      const response = yield* Effect.provideService(
        program,
        HttpClient.HttpClient,
        Cassette.replay(taped, { redact }).client
      )
      assert.strictEqual(response.status, taped.exchanges[0]?.response?.status)
    }).pipe(Effect.provide(DustTest.layerHttpClient())))

  it.effect("replay: an unrecorded request fails with the nearest one and their differences", () =>
    Effect.gen(function*() {
      const { tape } = yield* recorded(ask("Hello"))
      const created = tape.exchanges.find(({ request }) => request.path.endsWith("/messages"))
      assert.isDefined(created)
      const miss = yield* defectOf(Effect.provide(ask("Good morning"), sdk(Cassette.replay(tape).client)))
      assert.strictEqual(
        miss.message,
        `The tape has no response to POST ${created.request.path}; the nearest is number ${created.number}, POST ${created.request.path}: body.content is "Good morning", recorded "Hello"`
      )
      assert.deepStrictEqual(miss.differences, ["body.content"])
      assert.strictEqual(miss.nearest, created)
      const other = yield* defectOf(
        Effect.provide(Effect.flatMap(Spaces, (spaces) => spaces.list()), sdk(Cassette.replay(tape).client))
      )
      assert.match(other.message, /no response to GET \/api\/v1\/w\/LocalDust1\/spaces; the nearest is number 1, POST /)
    }))

  it.effect("replay: a write is answered once, a read repeatedly, and options change both", () =>
    Effect.gen(function*() {
      const twice = Effect.zipRight(
        Effect.flatMap(Conversations, (conversations) => conversations.create({ title: "A" })),
        Effect.flatMap(Spaces, (spaces) => spaces.list())
      )
      const { tape } = yield* recorded(twice)
      const list = Effect.flatMap(Spaces, (spaces) => spaces.list())
      const create = Effect.flatMap(Conversations, (conversations) => conversations.create({ title: "A" }))
      const at = (options?: Cassette.ReplayOptions) => {
        const layer = sdk(Cassette.replay(tape, options).client)
        return <A, E>(program: Effect.Effect<A, E, Dust.Services>) => Effect.provide(program, layer)
      }
      yield* at()(Effect.zip(list, list))
      const miss = yield* defectOf(at()(Effect.zip(create, create)))
      assert.match(miss.message, /was recorded once and was requested once more$/)
      yield* at({ repeats: "all" })(Effect.zip(create, create))
      yield* defectOf(at({ repeats: "none" })(Effect.zip(list, list)))
      const other = Effect.flatMap(Conversations, (conversations) => conversations.create({ title: "B" }))
      yield* at({ ignore: ["title"] })(other)
      yield* defectOf(at()(other))
    }))

  it.live("replay: a broken connection breaks again, and a status is the same error", () =>
    Effect.gen(function*() {
      const program = Effect.flip(Effect.flatMap(Conversations, (conversations) => conversations.get("cnv_none")))
      const { result, tape } = yield* recorded(program)
      const again = yield* Effect.provide(program, sdk(Cassette.replay(tape).client))
      assert.deepStrictEqual([again._tag, again.message], [result._tag, result.message])
      const create = Effect.flatMap(Conversations, (conversations) => conversations.create({ title: "A" }))
      const cut = yield* recorded(Effect.exit(create), {
        local: { faults: [{ path: "/assistant/conversations", nth: 1, fault: DustTest.faults.resetBefore() }] }
      })
      const failure = cut.tape.exchanges.find((one) => one.failure !== undefined)
      assert.strictEqual(failure?.failure?.code, "ECONNRESET")
      const error = yield* Effect.flip(Effect.provide(create, sdk(Cassette.replay(cut.tape).client)))
      const first = Exit.isFailure(cut.result)
        ? Option.getOrUndefined(Cause.failureOption(cut.result.cause))
        : undefined
      assert.deepStrictEqual([error._tag, error.message], [first?._tag, first?.message])
    }))

  it.effect("record: a partially read answer is on the tape, marked as left", () =>
    Effect.gen(function*() {
      const program = Effect.flatMap(
        Chat,
        (chat) => Stream.runCollect(Stream.take(chat.streamText({ agent: "slow", message: "Hi" }), 1))
      )
      const { tape } = yield* recorded(program, {
        local: { agents: { slow: [DustTest.text("a b"), DustTest.silence()] } }
      })
      const left = tape.exchanges.find((one) => eventsOf(one).length > 0)
      assert.strictEqual(left?.response?.end, "left")
    }))

  it.scoped("layerRecord: writes line by line and in order; layerReplay reads it", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/tapes/chat.jsonl`
      const config = {
        workspaceId: DustTest.credentials.workspaceId,
        apiKey: DustTest.credentials.apiKey,
        baseUrl: "https://local-dust.test"
      }
      const recording = Dust.layer(config).pipe(
        Layer.provideMerge(Cassette.layerRecord({ path })),
        Layer.provide(DustTest.layerHttpClient())
      )
      const reply = yield* Effect.gen(function*() {
        const reply = yield* ask("Hello")
        const { tape } = yield* Cassette.Recorder
        assert.isAbove((yield* tape).exchanges.length, 1)
        return reply
      }).pipe(Effect.provide(recording))
      const tape = yield* Cassette.load(path)
      assert.deepStrictEqual(tape.exchanges.map(({ number }) => number), tape.exchanges.map((_, index) => index + 1))
      assert.notInclude(yield* files.readFileString(path), key)
      const replayed = Dust.layer(config).pipe(Layer.provideMerge(Cassette.layerReplay({ path })))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* ask("Hello")).agentMessage.sId, reply.agentMessage.sId)
        const { unplayed } = yield* Cassette.Player
        assert.isBelow((yield* unplayed).length, tape.exchanges.length)
      }).pipe(Effect.provide(replayed))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("parse: an unreadable line fails with its number", () =>
    Effect.gen(function*() {
      const { tape } = yield* recorded(Effect.flatMap(Spaces, (spaces) => spaces.list()))
      const lines = Cassette.format(tape).split("\n")
      const error = yield* Effect.flip(Cassette.parse(`${lines[0]}\n{"number":1}\n`))
      assert.strictEqual(error.line, 2)
      assert.match(error.message, /^Line 2 of the tape is unreadable: /)
      assert.strictEqual((yield* Effect.flip(Cassette.parse(""))).message, "The tape is empty")
      assert.strictEqual((yield* Effect.flip(Cassette.parse(`${lines[0]}\n{`))).line, 2)
    }))

  const edits: ReadonlyArray<
    readonly [name: string, edit: (lines: Array<string>) => void, line: number, message: RegExp]
  > = [
    [
      "cut in its last line",
      (lines) => void (lines[1] = lines[1]!.slice(0, -20)),
      2,
      /Line 2 of the tape is unreadable/
    ],
    ["of another version", (lines) => void (lines[0] = lines[0]!.replace(":1", ":2")), 1, /version 2 is unknown/],
    ["without its first line", (lines) => void lines.shift(), 1, /it is not the first line of a tape/],
    ["followed by another", (lines) => void lines.splice(2, 0, lines[0]!), 3, /a second tape begins here/],
    ["with a line twice", (lines) => void lines.splice(2, 0, lines[1]!), 3, /number 1 is on line 2, too/],
    ["with a misspelt field", (lines) => void (lines[1] = lines[1]!.replace(`"response"`, `"respnse"`)), 2, /respnse/],
    [
      "with a status that is none",
      (lines) => void (lines[1] = lines[1]!.replace(`"status":200`, `"status":20`)),
      2,
      /is not an HTTP status/
    ],
    [
      "with a response that is not base64",
      (lines) => void (lines[1] = lines[1]!.replace(/"body":\{"json".*(?=,"end")/, `"body":{"base64":"?"}`)),
      2,
      /body\.base64: not base64/
    ],
    [
      "with a request that has no outcome",
      (lines) => void (lines[1] = lines[1]!.replace(/,"response":.*$/, "}")),
      2,
      /neither a response nor a failure/
    ]
  ]
  for (const [name, edit, line, message] of edits) {
    it.effect(`parse: a tape ${name} fails with its line and the reason`, () =>
      Effect.gen(function*() {
        const { tape } = yield* recorded(Effect.flatMap(Spaces, (spaces) => spaces.list()))
        const lines = Cassette.format(tape).trimEnd().split("\n")
        edit(lines)
        const error = yield* Effect.flip(Cassette.parse(lines.join("\n")))
        assert.match(error.message, message)
        assert.strictEqual(error.line, line)
      }))
  }

  it.scoped("load: the error names the file", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const path = `${yield* files.makeTempDirectoryScoped()}/tape.jsonl`
      yield* files.writeFileString(path, "{")
      assert.include((yield* Effect.flip(Cassette.load(path))).message, `${path}: Line 1`)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("record: secrets in forms, nested objects and known shapes are redacted", () =>
    Effect.gen(function*() {
      const secrets = [
        "first-in-form",
        "verifier-1234",
        "nested-secret",
        "12345678901",
        "ghp_abcdefghijkl",
        "MIIEvQIBADANBg"
      ]
      const { client, tape } = yield* Effect.flatMap(HttpClient.HttpClient, (inner) => Cassette.record(inner))
      const request = HttpClientRequest.post("https://local-dust.test/api/v1/me")
      yield* client.execute(HttpClientRequest.bodyText(
        request,
        `refresh_token=${secrets[0]}&code_verifier=${secrets[1]}`,
        "application/x-www-form-urlencoded"
      ))
      yield* client.execute(HttpClientRequest.bodyUnsafeJson(request, {
        credentials: { deep: [{ value: secrets[2] }] },
        otp: 12345678901,
        text: `use ${secrets[4]} and -----BEGIN PRIVATE KEY-----\n${secrets[5]}\n-----END PRIVATE KEY-----`
      }))
      const text = Cassette.format(yield* tape)
      assert.deepStrictEqual(secrets.filter((secret) => text.includes(secret)), [])
    }).pipe(Effect.provide(DustTest.layerHttpClient())))
})

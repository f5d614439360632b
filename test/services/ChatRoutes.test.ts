import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServer from "@effect/platform/HttpServer"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, ManagedRuntime, Redacted, Stream } from "effect"
import * as ChatApi from "effect-dust/ChatApi"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { createServer } from "node:http"

const agents = {
  helper: ({ attachments, message }) => `I read: ${message}${attachments.map(({ title }) => ` [${title}]`).join("")}`,
  mailer: [
    DustTest.text("I will write. "),
    DustTest.approval({
      name: "send",
      inputs: { to: "ada" },
      stake: "high",
      onResult: ({ approved }) => approved ? "Sent." : "Not sent."
    })
  ],
  asker: [DustTest.question({
    question: "Which one?",
    options: ["First", "Second"],
    onAnswer: (answer) => `You chose ${JSON.stringify(answer)}.`
  })],
  endless: [DustTest.text("I begin. "), DustTest.silence()]
} satisfies DustTest.Options["agents"]

const options: ChatRoutes.Options = {
  agents: ["helper", "mailer", "asker", "endless"],
  credential: ({ headers }) => Effect.succeed({ accessToken: Redacted.make(headers["x-token"] ?? "") })
}

const token = Redacted.value(DustTest.credentials.userToken)

/** A page, and the routes behind `fetch`. */
const application = (
  more: Partial<ChatRoutes.Options> = {},
  userToken = token,
  dustOptions: Partial<DustTest.Options> = {}
) => {
  const runtime = ManagedRuntime.make(
    ChatRelay.layerShutdown().pipe(
      Layer.provideMerge(DustTest.layer({
        agents,
        credential: { accessToken: Redacted.make("nobody") },
        ...dustOptions
      }))
    )
  )
  const handler = ChatRoutes.toWebHandler(runtime, { path: "/chat", ...options, ...more })
  const request = (path: string, init?: RequestInit) => handler(new Request(`http://app.test/chat${path}`, init))
  const as = (token: string) =>
    ChatRelayClient.make({
      url: "http://app.test/chat",
      headers: () => ({ "x-token": token }),
      fetch: (input, init) => {
        const request = new Request(input, init)
        // As a browser sends it.
        const size = init?.body instanceof Blob ? init.body.size : undefined
        if (size !== undefined) request.headers.set("content-length", `${size}`)
        return handler(request)
      }
    })
  return { runtime, chat: as(userToken), as, request, dust: () => runtime.runPromise(DustTest.DustTest) }
}

const textOf = async (events: AsyncIterable<ChatRelayClient.RelayedEvent>) => {
  let text = ""
  for await (const event of events) text = ChatRelayClient.textAfter(text, event)
  return text
}

const refused = async (work: Promise<unknown>): Promise<ChatRelayClient.AnswerError> => {
  try {
    await work
  } catch (error) {
    if (error instanceof ChatRelayClient.AnswerError) return error
    throw error
  }
  throw new Error("it was not refused")
}

describe("ChatRoutes", () => {
  it("ask: returns the ids before the answer, which the events then have from any of their ids", async () => {
    const { chat, runtime } = application()
    const asked = await chat.ask({ message: "Hello" })
    assert.strictEqual(asked.id, `${asked.conversationId}~${asked.messageId}`)
    const ids: Array<string> = []
    assert.strictEqual(await textOf(chat.follow({ id: asked.id, onId: (id) => ids.push(id) })), "I read: Hello")
    assert.isAbove(ids.length, 0)
    assert.strictEqual(await textOf(chat.follow({ id: ids[0]! })), "I read: Hello")
    await runtime.dispose()
  })

  it("files: a file that was sent is attached to a question", async () => {
    const { chat, runtime } = application()
    const attachment = await chat.attach(new Blob(["a,b\n1,2\n"], { type: "text/csv" }), "prices é.csv")
    const { id } = await chat.ask({ message: "Read it", attachments: [attachment] })
    assert.strictEqual(await textOf(chat.follow({ id })), "I read: Read it [prices é.csv]")
    await runtime.dispose()
  })

  it("decide: a tool is approved by another request than the one that shows it", async () => {
    const { chat, runtime } = application()
    const { id } = await chat.ask({ message: "Write", agent: "mailer" })
    let text = ""
    for await (const event of chat.follow({ id })) {
      text = ChatRelayClient.textAfter(text, event)
      if (event._tag === "ApprovalNeeded") await chat.decide(event, "approved")
    }
    assert.strictEqual(text, "Sent.")
    await runtime.dispose()
  })

  it("answer: a question of the agent is answered", async () => {
    const { chat, runtime } = application()
    const { id } = await chat.ask({ message: "Ask me", agent: "asker" })
    let text = ""
    for await (const event of chat.follow({ id })) {
      text = ChatRelayClient.textAfter(text, event)
      if (event._tag === "QuestionAsked") await chat.answer(event, { selectedOptions: [1] })
    }
    assert.include(text, "You chose")
    assert.include(text, "1")
    await runtime.dispose()
  })

  it("stop: the agent stops, and the events end with its cancellation", async () => {
    const { chat, dust, runtime } = application()
    const asked = await chat.ask({ message: "Go", agent: "endless" })
    const error = await refused(textOf((async function*() {
      for await (const event of chat.follow({ id: asked.id })) {
        if (event._tag === "TextDelta") await chat.stop(asked)
        yield event
      }
    })()))
    assert.strictEqual(error.error, "DustAgentError")
    assert.isTrue((await runtime.runPromise((await dust()).message(asked.messageId))).cancelRequested)
    await runtime.dispose()
  })

  it("a page that leaves lets the agent run, or stops it, as onLeave says", async () => {
    for (const onLeave of ["leave", "cancel"] as const) {
      const { chat, dust, runtime } = application({ onLeave })
      const asked = await chat.ask({ message: "Go", agent: "endless" })
      for await (const event of chat.follow({ id: asked.id })) if (event._tag === "TextDelta") break
      const control = await dust()
      const state = async () => (await runtime.runPromise(control.message(asked.messageId))).status
      const goal = onLeave === "cancel" ? "cancelled" : "created"
      while ((await state()) !== goal) await new Promise((resolve) => setTimeout(resolve, 10))
      await runtime.dispose()
    }
  })

  it("errors: have a status, the tag of the failure and a readable message", async () => {
    const { chat, request, runtime } = application()
    const unknown = await refused(chat.ask({ message: "Hi", conversationId: "nope" }))
    assert.deepInclude({ ...unknown }, { status: 404, error: "DustNotFoundError" })
    const agent = await refused(chat.ask({ message: "Hi", agent: "secret-agent" }))
    assert.deepInclude({ ...agent }, { status: 400, error: "BadRequest" })
    const blank = await refused(chat.ask({ message: " " }))
    assert.deepInclude({ ...blank }, { status: 400, error: "DustBadRequestError" })
    const keyed = await refused(chat.ask({ message: "Hi", key: "k" }))
    assert.include(keyed.message, "store")
    const nonsense = await refused(textOf(chat.follow({ id: "nonsense" })))
    assert.deepInclude({ ...nonsense }, { status: 400, error: "BadRequest" })
    const viaStream = ChatRelay.subscribe(() => request("/events/nonsense", { headers: { "x-token": token } }), {
      id: "nonsense"
    })
    assert.strictEqual((await Effect.runPromise(Effect.flip(Stream.runDrain(viaStream))))._tag, "RelayedError")
    assert.strictEqual((await request("/elsewhere")).status, 404)
    const stranger = application({}, "stranger")
    assert.strictEqual((await refused(stranger.chat.ask({ message: "Hi" }))).status, 401)
    await stranger.runtime.dispose()
    await runtime.dispose()
  })

  it("requests that any website can make a browser send are refused", async () => {
    const { request, runtime } = application()
    const headers = { "x-token": token }
    const plain = await request("/ask", { method: "POST", body: `{"message":"Hi"}`, headers })
    assert.strictEqual(plain.status, 415)
    const nameless = await request("/files", {
      method: "POST",
      body: "x",
      headers: { ...headers, "content-length": "1" }
    })
    assert.strictEqual(nameless.status, 400)
    await runtime.dispose()
  })

  it("files: one that is too large is refused before it is read, or where its size is unknown, at the limit", async () => {
    const { chat, request, runtime } = application({ maxFileBytes: 3 })
    assert.strictEqual((await refused(chat.attach(new Blob(["four"]), "a.txt"))).status, 413)
    let pulled = 0
    const unsized = (size: number): RequestInit & { readonly duplex: "half" } => ({
      method: "POST",
      headers: { "x-token": token, "x-file-name": "a.txt", "content-type": "text/plain" },
      duplex: "half",
      body: new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (pulled++ === size) controller.close()
          else controller.enqueue(new Uint8Array([120]))
        }
      })
    })
    assert.strictEqual((await request("/files", unsized(1_000_000))).status, 413)
    assert.isBelow(pulled, 20)
    pulled = 0
    assert.strictEqual((await request("/files", unsized(3))).status, 200)
    await runtime.dispose()
  })

  it("bodies: one over maxBodyBytes is refused, whether its size is known or not", async () => {
    const { request, runtime } = application({ maxBodyBytes: 50 })
    const ask = (message: string, headers: Record<string, string> = {}) => {
      const body = JSON.stringify({ message })
      return request("/ask", {
        method: "POST",
        headers: { "x-token": token, "content-type": "application/json", ...headers },
        body
      })
    }
    assert.strictEqual((await ask("x".repeat(100))).status, 413)
    assert.strictEqual((await ask("x".repeat(100), { "content-length": "114" })).status, 413)
    assert.strictEqual((await ask("Hi")).status, 200)
    await runtime.dispose()
  })

  it("a session without a token is 401 on every route, and sends nothing to Dust", async () => {
    for (const nobody of [undefined, { accessToken: Redacted.make("  ") }, { apiKey: Redacted.make("") }]) {
      const { chat, dust, runtime } = application({ credential: () => Effect.succeed(nobody) })
      const at = { conversationId: "c", messageId: "m", actionId: "a" }
      for (
        const call of [
          () => chat.ask({ message: "Hi" }),
          () => textOf(chat.follow({ id: "c~m" })),
          () => chat.stop(at),
          () => chat.decide(at, "approved"),
          () => chat.answer(at, { customResponse: "x" }),
          () => chat.attach(new Blob(["x"]), "a.txt")
        ]
      ) assert.deepInclude({ ...(await refused(call())) }, { status: 401, error: "Unauthorized" })
      assert.deepStrictEqual(await runtime.runPromise((await dust()).requests()), [])
      await runtime.dispose()
    }
  })

  it("decide: a decision that was made before is 409, and one by another user 403", async () => {
    const bob = "token-of-bob"
    const credentials = { userTokens: [token, bob].map((value) => ({ value, user: { email: `${value}@a.test` } })) }
    const { as, chat, runtime } = application({}, token, { credentials })
    const { id } = await chat.ask({ message: "Write", agent: "mailer" })
    for await (const event of chat.follow({ id })) {
      if (event._tag !== "ApprovalNeeded") continue
      assert.strictEqual((await refused(as(bob).decide(event, "approved"))).status, 403)
      await chat.decide(event, "approved")
      const again = await refused(chat.decide(event, "rejected"))
      assert.deepInclude({ ...again }, { status: 409, code: "action_not_blocked" })
      assert.strictEqual(again.message, "This has been decided already.")
    }
    await runtime.dispose()
  })

  it("events: an EventSource continues from its Last-Event-ID; any other value begins at the path", async () => {
    const { chat, request, runtime } = application()
    const { conversationId, id, messageId } = await chat.ask({ message: "Hello there" })
    const ids: Array<string> = []
    assert.strictEqual(await textOf(chat.follow({ id, onId: (one) => void ids.push(one) })), "I read: Hello there")
    const tags = async (lastEventId: string) => {
      const response = await request(`/events/${encodeURIComponent(id)}`, {
        headers: { "x-token": token, "last-event-id": lastEventId }
      })
      return (await response.text()).match(/"_tag":"(\w+)"/g)?.length ?? 0
    }
    const all = await tags("")
    assert.isAbove(all, await tags(ids[1] ?? ""))
    const others = [
      "garbage",
      "~~",
      "%E0%A4%A",
      `other~${messageId}~1-0`,
      `${conversationId}~other~1-0`,
      id,
      "9".repeat(5000)
    ]
    for (const other of others) assert.strictEqual(await tags(other), all, other.slice(0, 40))
    await runtime.dispose()
  })

  it("bodies: behind a parser of Express the parsed body is used; without one the error has the remedy", async () => {
    const { runtime } = application()
    const handler = await runtime.runPromise(NodeHttpServer.makeHandler(ChatRoutes.router(options)))
    const server = createServer((request, response) => {
      const parts: Array<Buffer> = []
      request.on("data", (part: Buffer) => parts.push(part))
      request.on("end", () => {
        const body: unknown = JSON.parse(Buffer.concat(parts).toString())
        handler(request.headers["x-parsed"] === undefined ? request : Object.assign(request, { body }), response)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const ask = (headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/ask`, {
        method: "POST",
        headers: { "x-token": token, "content-type": "application/json", ...headers },
        body: `{"message":"Hi"}`
      })
    assert.strictEqual((await ask({ "x-parsed": "1" })).status, 200)
    const unparsed = await ask({})
    assert.strictEqual(unparsed.status, 500)
    assert.include(await unparsed.text(), "before body parsers")
    server.closeAllConnections()
    server.close()
    await runtime.dispose()
  })

  it("errors: a page reads no host, method or variable of the server, and describe replaces the sentence", async () => {
    const runtime = ManagedRuntime.make(
      Dust.layer({
        workspaceId: "w",
        apiKey: Redacted.make("sk-1"),
        baseUrl: "http://gateway.internal.invalid:8080",
        retry: RetryPolicy.none
      }).pipe(Layer.provide(FetchHttpClient.layer), Layer.provide(Logger.remove(Logger.defaultLogger)))
    )
    const ask = (more: Partial<ChatRoutes.Options> = {}) =>
      ChatRoutes.toWebHandler(runtime, { ...options, ...more })(
        new Request("http://app.test/ask", {
          method: "POST",
          headers: { "x-token": token, "content-type": "application/json" },
          body: `{"message":"Hi"}`
        })
      )
    const response = await ask()
    assert.strictEqual(response.status, 502)
    const body = await response.text()
    assert.include(body, "DustNetworkError")
    assert.notMatch(body, /internal|8080|baseUrl|DUST_|Conversations/)
    assert.include(await (await ask({ describe: ({ _tag }) => `Fehler: ${_tag}` })).text(), "Fehler: DustNetworkError")
    await runtime.dispose()
  })

  it("mayUse: a conversation of another user is not found, on every route", async () => {
    const mine = new Set<string>()
    const { chat, runtime } = application({
      onAsked: ({ conversationId }) => Effect.sync(() => void mine.add(conversationId)),
      mayUse: (conversationId) => Effect.sync(() => mine.has(conversationId))
    })
    const { conversationId, id, messageId } = await chat.ask({ message: "Hello" })
    assert.strictEqual(await textOf(chat.follow({ id })), "I read: Hello")
    mine.clear()
    const at = { conversationId, messageId, actionId: "a" }
    for (
      const call of [
        () => chat.ask({ message: "Hi", conversationId }),
        () => chat.stop(at),
        () => chat.decide(at, "approved"),
        () => chat.answer(at, { customResponse: "x" })
      ]
    ) assert.strictEqual((await refused(call())).status, 404)
    const followed = await textOf(chat.follow({ id })).catch((error: unknown) => error)
    assert.deepInclude(followed, { _tag: "AnswerError", status: 404 })
    await runtime.dispose()
  })

  it("key: a question that is sent again is asked once", async () => {
    const store = await Effect.runPromise(Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory))
    const { chat, runtime } = application({ store })
    const question = { message: "Hello", key: "one" }
    const [first, second] = await Promise.all([chat.ask(question), chat.ask(question)])
    assert.deepStrictEqual(first, second)
    await runtime.dispose()
  })

  it("shutdown: open answers end when the runtime is disposed, and agents go on or stop as onLeave says", async () => {
    for (const onLeave of ["leave", "cancel"] as const) {
      const { chat, dust, runtime } = application({ onLeave })
      const control = await dust()
      const asked = await chat.ask({ message: "Go", agent: "endless" })
      let disposed: Promise<void> | undefined
      const ended = await textOf((async function*() {
        for await (const event of chat.follow({ id: asked.id, attempts: 0 })) {
          if (event._tag === "TextDelta") disposed ??= runtime.dispose()
          yield event
        }
      })()).catch((error: unknown) => error)
      assert.deepInclude(ended, { _tag: "ConnectionError", reason: "ended" })
      await disposed
      const { status } = await Effect.runPromise(control.message(asked.messageId))
      assert.strictEqual(status, onLeave === "cancel" ? "cancelled" : "created")
    }
  })
})

describe("ChatApi", () => {
  class Api extends HttpApi.make("app").add(ChatApi.group.prefix("/chat")) {}

  const chat = HttpApiBuilder.group(
    Api,
    "chat",
    ChatApi.handlers({
      agents: ["helper"],
      credential: ({ headers }) =>
        headers["x-token"] === undefined
          ? Effect.fail(new HttpApiError.Unauthorized())
          : Effect.succeed({ accessToken: Redacted.make(headers["x-token"]) })
    })
  )

  const made = (headers: Record<string, string>) => {
    const { dispose, handler } = HttpApiBuilder.toWebHandler(
      Layer.mergeAll(HttpApiBuilder.api(Api).pipe(Layer.provide(chat)), HttpServer.layerContext).pipe(
        Layer.provide(DustTest.layer({ agents, credential: { accessToken: Redacted.make("nobody") } }))
      )
    )
    const http = HttpClient.make((request, url, signal) =>
      Effect.map(
        Effect.promise(async () => {
          const body = request.body._tag === "Uint8Array" ? request.body.body : undefined
          return handler(
            new Request(url, {
              method: request.method,
              headers: { ...request.headers, ...headers },
              signal,
              ...(body === undefined ? {} : { body: new Blob([new Uint8Array(body)]) })
            })
          )
        }),
        (response) => HttpClientResponse.fromWeb(request, response)
      )
    )
    return {
      dispose,
      client: HttpApiClient.makeWith(Api, { baseUrl: "http://app.test", httpClient: http })
    }
  }

  it("its client asks, follows and is refused with typed errors", () =>
    Effect.gen(function*() {
      const { client, dispose } = made({ "x-token": token })
      const api = yield* client
      const { conversationId, id } = yield* api.chat.ask({ payload: { message: "Hello" } })
      const events = yield* api.chat.events({ path: { id } })
      assert.include(events, "I read: Hello")
      const error = yield* Effect.flip(api.chat.ask({ payload: { message: " ", conversationId } }))
      assert.deepInclude({ ...error }, { _tag: "RelayedError", error: "DustBadRequestError" })
      yield* Effect.promise(dispose)
    }).pipe(Effect.runPromise))

  it("a credential that fails is the error of the API", () =>
    Effect.gen(function*() {
      const { client, dispose } = made({})
      const api = yield* client
      const error = yield* Effect.flip(api.chat.ask({ payload: { message: "Hello" } }))
      assert.strictEqual(error._tag, "Unauthorized")
      yield* Effect.promise(dispose)
    }).pipe(Effect.runPromise))

  it("OpenAPI: describes every route", () => {
    const { paths } = OpenApi.fromApi(Api)
    assert.sameMembers(Object.keys(paths), [
      "/chat/ask",
      "/chat/events/{id}",
      "/chat/stop",
      "/chat/decide",
      "/chat/answer",
      "/chat/files"
    ])
    assert.property(paths["/chat/events/{id}"]?.get?.responses["200"]?.content, "text/event-stream")
  })
})

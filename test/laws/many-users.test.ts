/** Law 11 in one process of a web application: no answer, token or cancellation of a user meets another one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime, Redacted, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as fc from "effect/FastCheck"
import { seed } from "../support/seed.ts"

const kinds = ["watch", "return", "stop", "approve", "reject", "interrupt"] as const

type Kind = (typeof kinds)[number]

const names = Array.from({ length: 100 }, (_, i) => `user${i}`)
const tokenOf = (name: string) => `token-of-${name}`
const emailOf = (name: string) => `${name}@example.com`

/** The message is `<kind> <name>`. */
const script: DustTest.AgentBehavior = ({ message }) => {
  const [kind = "", name = ""] = message.split(" ")
  const text = DustTest.text(`This is for ${name}. `)
  switch (kind) {
    case "stop":
    case "interrupt":
      return [text, DustTest.silence()]
    case "approve":
    case "reject":
      return [
        text,
        DustTest.approval({
          name: "act",
          inputs: { name },
          stake: "high",
          onResult: ({ approved }) => `${approved ? "approved" : "rejected"} for ${name}`
        })
      ]
    case "return":
      return [text, DustTest.silence("30 millis"), DustTest.text(`And more for ${name}.`)]
    default:
      return [text]
  }
}

const layer = DustTest.layer({
  agents: { helper: script },
  credentials: {
    userTokens: names.map((name) => ({ value: tokenOf(name), user: { email: emailOf(name), username: name } }))
  },
  credential: { accessToken: Redacted.make("nobody") }
})

const routes: ChatRoutes.Options = {
  agents: ["helper"],
  credential: ({ headers }) => Effect.succeed({ accessToken: Redacted.make(headers["x-token"] ?? "") })
}

/** The text that a user sees of an answer. */
const overRoutes = async (chat: ChatRelayClient.Client, name: string, kind: Kind) => {
  const asked = await chat.ask({ message: `${kind} ${name}` })
  if (kind === "return") {
    for await (const event of chat.follow({ id: asked.id })) if (event._tag === "TextDelta") break
  }
  let text = ""
  try {
    for await (const event of chat.follow({ id: asked.id })) {
      text = ChatRelayClient.textAfter(text, event)
      if (event._tag === "TextDelta" && kind === "stop") await chat.stop(asked)
      if (event._tag === "ApprovalNeeded") await chat.decide(event, kind === "approve" ? "approved" : "rejected")
    }
  } catch (error) {
    if (kind !== "stop" || !(error instanceof ChatRelayClient.AnswerError)) throw error
  }
  return text
}

/** The same user, where the application calls the SDK, and leaves after the first word. */
const interrupted = (name: string) =>
  Effect.flatMap(Chat, (chat) =>
    chat.stream({ agent: "helper", message: `interrupt ${name}` }).pipe(
      Stream.filter(({ _tag }) => _tag === "TextDelta"),
      Stream.take(1),
      Stream.runDrain
    )).pipe(DustClient.withCredential({ accessToken: Redacted.make(tokenOf(name)) }))

const used = async (plan: ReadonlyArray<Kind>) => {
  const runtime = ManagedRuntime.make(ChatRelay.layerShutdown().pipe(Layer.provideMerge(layer)))
  const handler = ChatRoutes.toWebHandler(runtime, routes)
  const dust = await runtime.runPromise(DustTest.DustTest)
  await Promise.all(plan.map(async (kind, i) => {
    const name = names[i] ?? ""
    if (kind === "interrupt") return runtime.runPromise(interrupted(name))
    const chat = ChatRelayClient.make({
      url: "http://app.test",
      headers: () => ({ "x-token": tokenOf(name) }),
      fetch: (input, init) => handler(new Request(input, init))
    })
    const text = await overRoutes(chat, name, kind)
    for (const [other] of text.matchAll(/user\d+/g)) assert.strictEqual(other, name)
    if (kind === "approve" || kind === "reject") {
      assert.include(text, `${kind === "approve" ? "approved" : "rejected"} for`)
    }
  }))
  // Cancellations are sent in the background.
  await runtime.dispose()
  await Effect.runPromise(Effect.gen(function*() {
    const owners = new Map<string, string>()
    const conversations = yield* dust.conversations
    for (const message of yield* dust.userMessages()) {
      const [kind, name = ""] = (message.content ?? "").split(" ")
      const state = conversations.find(({ messages }) => messages.some(({ sId }) => sId === message.sId))
      owners.set(state?.sId ?? "", emailOf(name))
      const answer = state?.messages.find(({ role }) => role === "agent")
      assert.strictEqual(answer?.cancelRequested, kind === "stop" || kind === "interrupt", message.content ?? "")
    }
    assert.strictEqual(owners.size, plan.length)
    let checked = 0
    for (const { credential, params, path } of yield* dust.requests()) {
      const owner = owners.get(params["conversationId"] ?? params["cId"] ?? "")
      if (owner === undefined) continue
      checked++
      assert.strictEqual(credential, `user:${owner}`, path)
    }
    assert.isAbove(checked, plan.length)
  }))
}

describe("Law 11: many users", () => {
  it("100 users in one process: no answer, token or cancellation crosses, whatever each of them does", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...kinds), { minLength: 100, maxLength: 100 }), used),
      { numRuns: 2, seed }
    ), 120_000)
})

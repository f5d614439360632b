import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Either, Layer, Schema, Stream } from "effect"
import * as Agent from "effect-dust/Agent"
import * as AgentMessageEvent from "effect-dust/AgentMessageEvent"
import { Chat } from "effect-dust/Chat"
import * as ChatEvent from "effect-dust/ChatEvent"
import * as Conversation from "effect-dust/Conversation"
import { Conversations } from "effect-dust/Conversations"
import * as DustAPIError from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import * as Fixtures from "effect-dust/Fixtures"
import * as Message from "effect-dust/Message"

/** Of each kind, one. A kind that is missing here does not compile. */
const chatTags = {
  Started: null,
  TextDelta: null,
  Reset: null,
  Thinking: null,
  ToolAnnounced: null,
  ToolStarted: null,
  ToolProgress: null,
  ToolFinished: null,
  ApprovalNeeded: null,
  QuestionAsked: null,
  AuthenticationNeeded: null,
  Other: null,
  Done: null
} satisfies Record<ChatEvent.ChatEvent["_tag"], null>

const runTypes = {
  generation_tokens: null,
  tool_call_started: null,
  tool_params: null,
  tool_notification: null,
  tool_approve_execution: null,
  tool_ask_user_question: null,
  tool_personal_auth_required: null,
  tool_file_auth_required: null,
  agent_action_success: null,
  agent_context_pruned: null,
  agent_credit_alert_threshold_crossed: null,
  agent_message_success: null,
  agent_message_gracefully_stopped: null,
  agent_generation_cancelled: null,
  agent_error: null,
  tool_error: null,
  user_message_error: null,
  unknown: null
} satisfies Record<AgentMessageEvent.AgentMessageEvent["type"], null>

/** Through JSON text and back. */
const sent = <A, I>(schema: Schema.Schema<A, I>, value: A): A => {
  const wire = Schema.parseJson(schema)
  return Schema.decodeUnknownSync(wire)(Schema.encodeSync(wire)(value))
}

const kinds = <A extends object>(all: A) =>
  Object.entries(all).map(([kind, build]): readonly [string, A[keyof A]] => [kind, build])

describe("Fixtures", () => {
  it("has a builder for every error, whose value is that error and stays itself as JSON", () => {
    assert.deepStrictEqual(
      Object.keys(Fixtures.error).toSorted(),
      DustAPIError.DustAPIError.members.map(({ _tag }) => _tag).toSorted()
    )
    for (const [tag, build] of kinds(Fixtures.error)) {
      const error: DustAPIError.DustAPIError = build()
      assert.strictEqual(error._tag, tag)
      assert.isTrue(DustAPIError.isDustAPIError(error), tag)
      assert.isTrue(error.message.startsWith(`${error.module}.${error.method}: `), error.message)
      // `undefined` is not in JSON: `details` must be there.
      assert.isObject(error.details, tag)
      assert.deepStrictEqual({ ...sent(DustAPIError.DustAPIError, error) }, { ...error }, tag)
    }
  })

  it("has a builder for every event of a chat, whose value is that event and stays itself as JSON", () => {
    assert.deepStrictEqual(Object.keys(Fixtures.chatEvent).toSorted(), Object.keys(chatTags).toSorted())
    for (const [tag, build] of kinds(Fixtures.chatEvent)) {
      const event: ChatEvent.ChatEvent = build()
      assert.strictEqual(event._tag, tag)
      assert.deepStrictEqual(sent(ChatEvent.ChatEvent, event), event)
    }
  })

  it("has a builder for every event of an agent message, whose value is that event, as it would be read from the server", () => {
    assert.deepStrictEqual(Object.keys(Fixtures.agentMessageEvent).toSorted(), Object.keys(runTypes).toSorted())
    for (const [type, build] of kinds(Fixtures.agentMessageEvent)) {
      const event: AgentMessageEvent.AgentMessageEvent = build()
      assert.strictEqual(event.type, type)
      assert.deepStrictEqual(sent(AgentMessageEvent.AgentMessageEvent, event), event)
      if (event.type !== "unknown") {
        assert.deepStrictEqual(AgentMessageEvent.fromJson(JSON.parse(JSON.stringify(event))), event)
      }
    }
  })

  it("builds messages, conversations, agents and replies that stay themselves as JSON", () => {
    const messages = {
      user_message: Fixtures.userMessage(),
      agent_message: Fixtures.agentMessage(),
      content_fragment: Fixtures.contentFragment(),
      unknown: Fixtures.unknownMessage()
    } satisfies { [Type in Message.Message["type"]]: Extract<Message.Message, { readonly type: Type }> }
    for (const message of Object.values(messages)) assert.deepStrictEqual(sent(Message.Message, message), message)
    const reply = Fixtures.reply({ actions: [Fixtures.agentAction()] })
    assert.deepStrictEqual(sent(ChatEvent.Reply, reply), reply)
    const conversation = Fixtures.conversation({ messages: Object.values(messages) })
    assert.deepStrictEqual(sent(Conversation.Conversation, conversation), conversation)
    assert.deepStrictEqual(sent(Agent.Agent, Fixtures.agent()), Fixtures.agent())
  })

  it("makes what belongs together agree", () => {
    const actions = [Fixtures.agentAction({
      generatedFiles: [Message.GeneratedFile.make({ title: "chart.png", fileId: "file-1" })]
    })]
    const reply = Fixtures.reply({ text: "Found.", actions, message: Fixtures.userMessage({ sId: "question" }) })
    assert.strictEqual(reply.agentMessage.content, "Found.")
    assert.strictEqual(reply.agentMessage.parentMessageId, "question")
    assert.deepStrictEqual(reply.agentMessage.actions, actions)
    assert.deepStrictEqual(reply.generatedFiles.map(({ title }) => title), ["chart.png"])
    assert.strictEqual(Fixtures.reply({ agentMessage: Fixtures.agentMessage({ content: "Hi" }) }).text, "Hi")
    assert.isUndefined(Fixtures.reply({ message: undefined }).message)
    assert.strictEqual(Fixtures.agent({ sId: "support" }).name, "support")

    const { agentMessages, content, message } = Fixtures.conversationWithMessage()
    assert.deepStrictEqual(content, [[message], [...agentMessages]])
    assert.deepStrictEqual(agentMessages.map(({ parentMessageId }) => parentMessageId), [message.sId])
  })

  it("derives the message of an error from its fields", () => {
    const error = Fixtures.error.DustNotFoundError({ module: "Files", method: "get", type: "file_not_found" })
    assert.match(error.message, /^Files\.get: 404 file_not_found: /)
    assert.isUndefined(error.request)
    assert.strictEqual(Fixtures.error.DustNotFoundError({ message: "gone" }).message, "gone")
    assert.match(Fixtures.error.DustTimeoutError({ phase: "body" }).message, /body/)
    assert.isTrue(Fixtures.error.DustConflictError().isRetryable)
    assert.isTrue(Fixtures.error.DustAgentError().isTransient)
  })

  it("refuses a member that does not fit", () => {
    const wrong: { readonly content: unknown } = { content: 42 }
    const made = Either.try(() =>
      // What JavaScript, or a cast, would let through.
      Fixtures.agentMessage(wrong as { readonly content: string })
    )
    assert.isTrue(Either.isLeft(made))
  })

  it("gives a new value at each call", () => {
    assert.notStrictEqual(Fixtures.reply(), Fixtures.reply())
    assert.deepStrictEqual(Fixtures.reply(), Fixtures.reply())
  })

  it.effect("builds the error that a real service fails with", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const real = yield* Effect.flip(conversations.get("nope"))
      const built = Fixtures.error.DustNotFoundError()
      // All but the words.
      const known = ({ details: _details, message: _message, ...error }: DustAPIError.RequestError) =>
        JSON.parse(JSON.stringify(error))
      assert.deepStrictEqual(known(built), known(real))
    }).pipe(Effect.provide(DustTest.layer())))

  it.effect("stands in for a service without a cast", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const options = { agent: "dust", message: "What is it?" }
      assert.strictEqual((yield* chat.send(options)).text, "42")
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(chat.stream(options)))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
        "Started",
        "Thinking",
        "ToolAnnounced",
        "ToolStarted",
        "ToolFinished",
        "TextDelta",
        "Done"
      ])
      const conversations = yield* Conversations
      const created = yield* conversations.create({ message: { content: "Hello" } })
      assert.strictEqual(created.message.content, "Hello")
      const error = yield* Effect.flip(conversations.get(created.sId))
      assert.strictEqual(error._tag, "DustRateLimitError")
    }).pipe(Effect.provide(Layer.mergeAll(
      Layer.mock(Chat, {
        send: () => Effect.succeed(Fixtures.reply({ text: "42" })),
        stream: () =>
          Stream.fromIterable(
            Fixtures.chatEvents({ text: "42", chainOfThought: "Hm.", actions: [Fixtures.agentAction()] })
          )
      }),
      Layer.mock(Conversations, {
        create: () => Effect.succeed(Fixtures.conversationWithMessage()),
        createMessage: () => Effect.succeed(Fixtures.messageCreated()),
        get: () => Effect.fail(Fixtures.error.DustRateLimitError()),
        messageEvents: () => Stream.make(Fixtures.agentMessageEvent.agent_message_success())
      })
    ))))
})

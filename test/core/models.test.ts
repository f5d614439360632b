/** Their drift is not our crash: what the models make of answers that are not as they used to be. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Schema } from "effect"
import { Agent } from "effect-dust/Agent"
import * as Conversation from "effect-dust/Conversation"
import { Conversations } from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import * as Message from "effect-dust/Message"
import { Me, User, UserWorkspace } from "effect-dust/User"
import { dust, json } from "../support/http.ts"
import { seed } from "../support/seed.ts"

type Json = Record<string, unknown>

const user = {
  sId: "usr_1",
  id: 1,
  createdAt: 1_700_000_000_000,
  provider: "google",
  username: "ada",
  email: "ada@x.y",
  firstName: "Ada",
  lastName: null,
  fullName: "Ada L",
  image: null
}

const owner = {
  sId: "ws1",
  id: 1,
  name: "W",
  role: "builder",
  segmentation: null,
  whiteListedProviders: null,
  defaultEmbeddingProvider: null
}

const agent = {
  sId: "dust",
  id: 1,
  version: 2,
  name: "dust",
  description: "d",
  instructions: null,
  pictureUrl: "p",
  status: "active",
  scope: "global",
  userFavorite: false,
  model: { providerId: "openai", modelId: "gpt", temperature: 0.7 },
  maxStepsPerRun: 8,
  templateId: null,
  tags: [{ name: "t", sId: "tag", kind: "standard" }],
  editors: [user]
}

const context = {
  username: "ada",
  timezone: "Europe/Paris",
  fullName: "Ada C",
  email: null,
  profilePictureUrl: null,
  origin: "api",
  clientSideMCPServerIds: ["m"],
  selectedMCPServerViewIds: null
}

const fragment = {
  type: "content_fragment",
  sId: "cf_1",
  id: 3,
  created: 1,
  visibility: "visible",
  version: 0,
  rank: 0,
  title: "Notes",
  contentType: "text/plain",
  contentFragmentId: "f",
  contentFragmentVersion: "latest",
  contentFragmentType: "file",
  expiredReason: null,
  sourceUrl: null,
  fileId: "fil_1",
  snippet: "n",
  textUrl: "u",
  textBytes: 4,
  generatedTables: [],
  context: { username: "ada", fullName: null, email: null, profilePictureUrl: null }
}

const userMessage = {
  type: "user_message",
  sId: "um_1",
  id: 4,
  created: 2,
  visibility: "visible",
  version: 0,
  rank: 1,
  user,
  mentions: [{ configurationId: "dust" }, { type: "user", userId: "usr_2" }],
  content: "Hello",
  context,
  contentFragments: [fragment],
  requestedModel: { providerId: "openai", modelId: "gpt" }
}

const agentMessage = {
  type: "agent_message",
  sId: "am_1",
  id: 5,
  created: 3,
  visibility: "visible",
  version: 0,
  rank: 2,
  parentMessageId: "um_1",
  parentAgentMessageId: null,
  configuration: agent,
  status: "succeeded",
  content: "Hi",
  chainOfThought: null,
  actions: [{
    sId: "act_1",
    id: 6,
    createdAt: 1,
    updatedAt: 2,
    toolName: "search",
    functionCallName: "s",
    functionCallId: "c",
    status: "succeeded",
    params: { q: "x" },
    step: 0,
    executionDurationMs: 5,
    output: [{ type: "text", text: "t" }],
    generatedFiles: [{ fileId: "fil_2", title: "f", contentType: "text/csv", snippet: null }],
    displayLabels: { running: "r", done: "d" }
  }],
  error: { code: "c", message: "m", metadata: { category: "x" } },
  completedTs: 9,
  costCredits: 2
}

const conversation = {
  sId: "conv_1",
  id: 7,
  created: 1,
  updated: 2,
  title: "T",
  visibility: "unlisted",
  unread: false,
  actionRequired: false,
  owner,
  metadata: {},
  content: [[fragment], [userMessage], [agentMessage]],
  url: "https://dust.tt/x"
}

const samples: ReadonlyArray<readonly [string, Json, Schema.Schema.AnyNoContext, ReadonlyArray<string>]> = [
  ["User", user, User, ["sId"]],
  ["UserWorkspace", owner, UserWorkspace, ["sId"]],
  ["Me", { ...user, workspaces: [owner], selectedWorkspace: "ws1", origin: "invited" }, Me, ["sId"]],
  ["Agent", agent, Agent, ["sId", "name"]],
  ["Conversation", conversation, Conversation.Conversation, ["sId"]],
  ["ConversationSummary", conversation, Conversation.ConversationSummary, ["sId"]],
  ["UserMessage", userMessage, Message.UserMessage, ["sId", "type"]],
  ["AgentMessage", agentMessage, Message.AgentMessage, ["sId", "type"]],
  ["ContentFragment", fragment, Message.ContentFragment, ["sId", "type"]],
  [
    "BlockedAction",
    {
      actionId: "a",
      conversationId: "c",
      messageId: "m",
      status: "blocked_validation_required",
      inputs: { to: "x" },
      stake: "high",
      metadata: { toolName: "t", mcpServerName: "s" },
      question: { question: "q", options: [{ label: "l", description: null }], multiSelect: false }
    },
    Conversation.BlockedAction,
    ["actionId"]
  ],
  [
    "Feedback",
    { messageId: "m", thumbDirection: "up", content: null, createdAt: 1, isConversationShared: true },
    Conversation.Feedback,
    ["messageId"]
  ],
  [
    "Consumption",
    { billedCredits: 1, details: { agentWorkCredits: 1, tools: [], models: [], skills: [], agents: [] } },
    Conversation.Consumption,
    []
  ]
]

const anything = fc.oneof(
  fc.constant(null),
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.array(fc.oneof(fc.constant(null), fc.string(), fc.integer())),
  fc.dictionary(fc.string(), fc.string())
)

/** Random harm to an object, at any depth, except to the named members of its root. */
type Harm = (path: string, value: unknown) => { readonly value: unknown } | "drop" | undefined

const harmed = (value: unknown, keep: ReadonlyArray<string>, harm: Harm, path = ""): unknown => {
  if (Array.isArray(value)) {
    return value.flatMap((one, index) => {
      const done = harm(`${path}/${index}`, one)
      return done === "drop" ? [] : [done === undefined ? harmed(one, [], harm, `${path}/${index}`) : done.value]
    })
  }
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) => {
      if (keep.includes(key)) return [[key, one]]
      const done = harm(`${path}/${key}`, one)
      return done === "drop" ? [] : [[key, done === undefined ? harmed(one, [], harm, `${path}/${key}`) : done.value]]
    })
  )
}

describe.each(samples)("Their drift is not our crash: %s", (_, sample, schema, required) => {
  const decode = Schema.decodeUnknownSync(schema) as (json: unknown) => Json

  it("reads known fields", () => {
    const read = decode(sample)
    for (const name of required) assert.strictEqual(read[name], sample[name])
  })

  it("needs the ids and the discriminators, and nothing else", () => {
    decode(Object.fromEntries(required.map((name) => [name, sample[name]])))
    for (const name of required) {
      const { [name]: _, ...rest } = sample
      assert.throws(() => decode(rest))
    }
  })

  it("fields that are missing, null, new, or of another shape, at any depth", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(99)), fc.infiniteStream(anything), (dice, values) => {
        const damaged = harmed(sample, required, (_, value) => {
          const roll = dice.next().value as number
          if (roll < 10) return "drop"
          if (roll < 20) return { value: null }
          if (roll < 30) return { value: values.next().value }
          if (roll < 40 && typeof value === "object" && value !== null && !Array.isArray(value)) {
            return { value: { ...value, [`new${roll}`]: values.next().value } }
          }
          return undefined
        })
        const read = decode({ ...(damaged as Json), brand_new: values.next().value })
        for (const name of required) assert.strictEqual(read[name], sample[name])
      }),
      { numRuns: 300, seed }
    )
  })

  it("any string where there are known values", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        const read = decode(
          harmed(sample, required, (_, value) => typeof value === "string" ? { value: text } : undefined)
        )
        for (const [name, value] of Object.entries(read)) {
          if (typeof sample[name] === "string" && !required.includes(name)) assert.strictEqual(value, text)
        }
      }),
      { numRuns: 50, seed }
    )
  })
})

describe("Their drift is not our crash: one odd message", () => {
  const odd: ReadonlyArray<readonly [string, unknown, string | null]> = [
    ["of an unknown type", { type: "compaction_message", sId: "x", status: "created", rank: 4 }, "compaction_message"],
    ["without a type", { sId: "x" }, null],
    ["without an id", { type: "user_message", content: "x" }, "user_message"],
    ["with a number as id", { type: "agent_message", sId: 7 }, "agent_message"],
    ["that is null", null, null],
    ["that is a string", "message", null],
    ["that is a list", [], null]
  ]

  it.effect.each(odd)("%s keeps what the server sent, and costs nothing else", ([, raw, kind]) => {
    const { layer } = dust(() =>
      json({ conversation: { ...conversation, content: [[userMessage], [raw], [agentMessage]] } })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const messages = yield* conversations.listMessages("conv_1")
      assert.deepStrictEqual(messages.map(({ type }) => type), ["user_message", "unknown", "agent_message"])
      const [, unknown] = messages
      if (unknown?.type !== "unknown") return assert.fail("not unknown")
      assert.deepStrictEqual(unknown.raw, raw)
      assert.strictEqual(unknown.kind, kind)
      assert.strictEqual(unknown.sId, (raw as { readonly sId?: unknown } | null)?.sId === "x" ? "x" : "")
      assert.deepStrictEqual([Message.authorName(unknown), Message.text(unknown)], ["", ""])
      const back = Schema.encodeSync(Message.Message)(unknown)
      assert.deepStrictEqual(back, raw)
    }).pipe(Effect.provide(layer))
  })

  it.effect("positions that are empty, null or no list leave the others", () => {
    const { layer } = dust(() =>
      json({ conversation: { ...conversation, content: [[], [userMessage], null, "x", [], [agentMessage], []] } })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const read = yield* conversations.get("conv_1")
      assert.deepStrictEqual(Conversation.messages(read).map(({ sId }) => sId), ["um_1", "am_1"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("tools, mentions and files of another shape cost only themselves", () => {
    const { layer } = dust(() =>
      json({
        conversation: {
          ...conversation,
          content: [
            [{ ...userMessage, mentions: [{ type: "team", teamId: "t" }, { configurationId: "dust" }, 3] }],
            [{ ...agentMessage, actions: [{ nope: 1 }, ...agentMessage.actions, null] }]
          ]
        }
      })
    )
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const [question, answer] = yield* conversations.listMessages("conv_1")
      assert.deepStrictEqual(question?.type === "user_message" ? question.mentions : [], [{ configurationId: "dust" }])
      assert.deepStrictEqual(answer?.type === "agent_message" ? answer.actions.map(({ sId }) => sId) : [], ["act_1"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("an envelope of another shape is a DustDecodeError that names the place and not the content", () => {
    const { layer } = dust(() => json({ conversation: { title: "private" } }))
    return Effect.gen(function*() {
      const conversations = yield* Conversations
      const error = yield* Effect.flip(conversations.get("conv_1"))
      if (error._tag !== "DustDecodeError") return assert.fail(error._tag)
      assert.strictEqual(error.issues[0]?.path, "conversation.sId")
      assert.notInclude(JSON.stringify(error), "private")
    }).pipe(Effect.provide(layer))
  })

  it.effect("zones, origins and statuses that the server stores are read as they are", () =>
    Effect.gen(function*() {
      const conversations = yield* Conversations
      const [first, second] = yield* conversations.listMessages("old")
      assert.strictEqual(first?.type === "user_message" ? first.context.timezone : "", "Mars/Olympus")
      assert.strictEqual(second?.type === "agent_message" ? second.status : "", "levitating")
      assert.isTrue(second?.type === "agent_message" && Message.isFinal(second))
    }).pipe(Effect.provide(DustTest.layer({
      seed: {
        conversations: [{
          sId: "old",
          messages: [
            { role: "user", content: "x", timezone: "Mars/Olympus" },
            { role: "agent", content: "y", status: "levitating" }
          ]
        }]
      }
    }))))
})

describe("helpers", () => {
  const message = (json: unknown) => Schema.decodeUnknownSync(Message.Message)(json)

  it("authorName: the person, then what the context says, then nothing; the agent's name", () => {
    assert.strictEqual(Message.authorName(message(userMessage)), "Ada L")
    assert.strictEqual(Message.authorName(message({ ...userMessage, user: null })), "Ada C")
    const plain = { ...userMessage, user: null, context: { ...context, fullName: null } }
    assert.strictEqual(Message.authorName(message(plain)), "ada")
    assert.strictEqual(Message.authorName(message({ ...userMessage, user: null, context: null })), "")
    assert.strictEqual(Message.authorName(message(agentMessage)), "dust")
    assert.strictEqual(Message.authorName(message({ ...agentMessage, configuration: null })), "")
    assert.strictEqual(Message.authorName(message(fragment)), "ada")
  })

  it("text, isFinal, guards, mentions", () => {
    assert.deepStrictEqual([userMessage, agentMessage, fragment].map((one) => Message.text(message(one))), [
      "Hello",
      "Hi",
      "Notes"
    ])
    assert.strictEqual(Message.text(message({ ...agentMessage, content: null })), "")
    const running = message({ ...agentMessage, status: "created" })
    assert.isFalse(Message.isAgentMessage(running) && Message.isFinal(running))
    assert.isTrue(Message.isUserMessage(message(userMessage)))
    assert.deepStrictEqual(Message.mentionAgent("dust"), { configurationId: "dust" })
    assert.deepStrictEqual(Message.mentionUser("usr_1"), { type: "user", userId: "usr_1" })
  })

  it("messages and findMessage: the last version that counts, and any version by id", () => {
    const read = Schema.decodeUnknownSync(Conversation.Conversation)({
      ...conversation,
      content: [
        [],
        [{ ...userMessage, sId: "v0" }, { ...userMessage, sId: "v1", version: 1, content: "Edited" }],
        [agentMessage, { ...agentMessage, sId: "gone", version: 1, visibility: "deleted" }]
      ]
    })
    const ids = (options?: Parameters<typeof Conversation.messages>[1]) =>
      Conversation.messages(read, options).map(({ sId }) => sId)
    assert.deepStrictEqual(ids(), ["v1"])
    assert.deepStrictEqual(ids({ deleted: true }), ["v1", "gone"])
    assert.deepStrictEqual(ids({ allVersions: true }), ["v0", "v1"])
    assert.deepStrictEqual(ids({ allVersions: true, deleted: true }), ["v0", "v1", "am_1", "gone"])
    assert.strictEqual(Conversation.findMessage(read, "v0")?.version, 0)
    assert.strictEqual(Conversation.findMessage(read, "nowhere"), undefined)
  })
})

/** What `Chat` makes of messages and texts, without a server: each row has the complete result. */
import { assert, describe, it } from "@effect/vitest"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as Fixtures from "effect-dust/Fixtures"
import * as Message from "effect-dust/Message"
import { nameOf } from "../../src/internal/chat/agentIds.ts"
import { citationsOf } from "../../src/internal/chat/citations.ts"
import { located, type Place } from "../../src/internal/chat/place.ts"
import {
  beginning,
  candidates,
  fingerprint,
  keyOf,
  normalized,
  type Sought,
  soughtOf
} from "../../src/internal/chat/sameMessage.ts"
import { Narrator } from "../../src/internal/chat/uiEvents.ts"
import { whole } from "../support/errors.ts"

describe("the identity of a sent message", () => {
  const texts: ReadonlyArray<readonly [string, string]> = [
    ["", ""],
    [" \n\u00a0", ""],
    [" a\r\n\t b ", "a b"],
    ["e\u0301", "\u00e9"],
    ["\ufb01", "fi"],
    ["a\u200bb\u0000c", "abc"],
    ["a \u200b b", "a b"],
    ["\ud83dx", "\ufffdx"],
    ["\u{1f600}", "\u{1f600}"]
  ]
  it.each(texts)("%j is compared as %j", (text, expected) => {
    assert.strictEqual(normalized(text), expected)
  })

  it("stays the same from version to version: a process of another one may look for the message", () => {
    assert.strictEqual(fingerprint("c", "Hello\r\n w\u00f6rld "), "6129ea0f93656f16e3574bca48625028")
    assert.strictEqual(fingerprint("c", "text 176"), "08f625170ea983cad8b3deb7b2613819")
    assert.strictEqual(fingerprint("c", "Hello\nwo\u0308rld"), fingerprint("c", "Hello w\u00f6rld"))
    assert.notStrictEqual(fingerprint("c", "a"), fingerprint("d", "a"))
  })

  const body = {
    content: "Hello",
    mentions: [{ type: "user" as const, userId: "u" }, { configurationId: "helper" }],
    context: { username: " Ada  L ", origin: "api" }
  }
  const sought = soughtOf("c", body)
  const hello = fingerprint("c", "Hello")

  it("is its conversation, author, origin, agent and text", () => {
    assert.deepStrictEqual(sought, {
      conversationId: "c",
      author: "Ada L",
      origin: "api",
      agentId: "helper",
      fingerprint: hello
    })
    assert.strictEqual(soughtOf("c", { ...body, mentions: [] }).agentId, null)
    assert.strictEqual(keyOf(sought), `c\nAda L\napi\nhelper\n${hello}`)
    assert.strictEqual(keyOf({ ...sought, agentId: null }), `c\nAda L\napi\n\n${hello}`)
  })

  const position = { ...sought, position: beginning }
  const stored = Fixtures.userMessage({
    sId: "m",
    content: "Hello ",
    created: 1_000,
    mentions: [{ configurationId: "helper" }],
    context: { ...Fixtures.userMessage().context, username: "Ada L", origin: "api" }
  })
  const answers = [
    Fixtures.agentMessage({ sId: "a", parentMessageId: "m" }),
    Fixtures.agentMessage({ sId: "b", parentMessageId: "m" })
  ]
  const others = [
    Fixtures.agentMessage({ sId: "x", parentMessageId: "other", content: "Hello" }),
    Fixtures.unknownMessage(),
    Fixtures.contentFragment()
  ]

  const found = (
    change: Partial<Message.UserMessage> = {},
    wanted: Partial<Sought> = {},
    options: { readonly notBefore?: number; readonly bounded?: boolean; readonly taken?: string } = { bounded: true }
  ) =>
    candidates(
      { ...position, ...wanted },
      { messages: [...others, { ...stored, ...change }, ...answers], bounded: options.bounded ?? false },
      options.notBefore,
      (id) => id === options.taken
    )

  it("is found with all its replies, and no others", () => {
    assert.deepStrictEqual(found(), [{ message: stored, agentMessages: answers }])
    assert.deepStrictEqual(
      candidates(position, { messages: [stored, { ...stored, sId: "n" }], bounded: true }, undefined, () => false).map((
        one
      ) => [one.message.sId, one.agentMessages]),
      [["m", []], ["n", []]]
    )
  })

  const context = (change: Partial<Message.UserMessageContext>) => ({ context: { ...stored.context, ...change } })
  const rows: ReadonlyArray<readonly [string, number, Parameters<typeof found>]> = [
    ["another author", 0, [context({ username: "Bob" })]],
    ["no author", 0, [context({ username: null })]],
    ["no author, where none was sent", 1, [context({ username: null }), { author: "" }]],
    ["another origin", 0, [context({ origin: "web" })]],
    ["no origin", 1, [context({ origin: null })]],
    ["another origin, where one was chosen", 1, [context({ origin: "web" }), { origin: "slack" }]],
    ["another agent", 0, [{ mentions: [{ configurationId: "other" }] }]],
    ["no agent: the server may drop a mention", 1, [{ mentions: [] }]],
    ["an agent, where none was mentioned", 0, [{}, { agentId: null }]],
    ["another text", 0, [{ content: "Hello!" }]],
    ["one that another send has taken", 0, [{}, {}, { bounded: true, taken: "m" }]],
    ["neither a position nor a time", 0, [{}, {}, {}]],
    ["a time before it", 1, [{}, {}, { notBefore: 999 }]],
    ["the time of it", 1, [{}, {}, { notBefore: 1_000 }]],
    ["a time after it", 0, [{}, {}, { notBefore: 1_001 }]],
    ["a position, and a time after it", 0, [{}, {}, { notBefore: 1_001, bounded: true }]]
  ]
  it.each(rows)("with %s: found %i times", (_, times, args) => {
    assert.lengthOf(found(...args), times)
  })
})

describe("the name of an agent", () => {
  const rows: ReadonlyArray<readonly [unknown, string | undefined]> = [
    ["dust", undefined],
    ["@dust", "dust"],
    ["@", ""],
    ["du@st", undefined],
    [{ name: "Du st" }, "Du st"],
    [{ name: 1 }, ""],
    [{}, ""],
    [null, undefined],
    [7, undefined]
  ]
  it.each(rows)("%j has the name %j", (agent, expected) => {
    assert.strictEqual(nameOf(agent as string), expected)
  })
})

describe("citations", () => {
  const cited = (...resources: ReadonlyArray<unknown>) =>
    citationsOf([Fixtures.agentAction({ output: resources.map((resource) => ({ type: "resource", resource })) })])

  const rows: ReadonlyArray<readonly [string, unknown, ReadonlyArray<unknown>]> = [
    ["with everything", { ref: "a", title: "T", text: "x", uri: "https://x", source: { provider: "notion" } }, [
      { ref: "a", title: "T", url: "https://x", provider: "notion" }
    ]],
    [
      "of an older tool",
      { ref: "", reference: "a", title: "", text: "x", mimeType: "application/x-websearch-result" },
      [
        { ref: "a", title: "x", url: null, provider: "web" }
      ]
    ],
    ["with nothing else", { ref: "a", mimeType: "text/plain", source: null, uri: 1 }, [
      { ref: "a", title: null, url: null, provider: null }
    ]],
    ["of a sub-agent", {
      refs: { b: { title: "T", href: "https://x", provider: "slack" }, c: null, d: { title: 1, text: "x", uri: "u" } }
    }, [
      { ref: "b", title: "T", url: "https://x", provider: "slack" },
      { ref: "c", title: null, url: null, provider: null },
      { ref: "d", title: null, url: null, provider: null }
    ]],
    ["of a search and a sub-agent at once", { ref: "a", refs: { b: {} } }, [
      { ref: "a", title: null, url: null, provider: null },
      { ref: "b", title: null, url: null, provider: null }
    ]],
    ["without a reference", { title: "T", uri: "https://x", refs: ["b"] }, []],
    ["of no resource", null, []]
  ]
  it.each(rows)("%s", (_, resource, expected) => {
    assert.deepStrictEqual(cited(resource), expected)
  })

  it("of several tools: each reference once, with its last result, in the order of the first", () => {
    assert.deepStrictEqual(
      citationsOf([
        Fixtures.agentAction({ output: null }),
        Fixtures.agentAction({ output: [{ resource: { ref: "a" } }, { text: "x" }, { resource: { ref: "b" } }] }),
        Fixtures.agentAction({ output: [{ resource: { ref: "a", title: "T" } }] })
      ]),
      [
        { ref: "a", title: "T", url: null, provider: null },
        { ref: "b", title: null, url: null, provider: null }
      ]
    )
  })
})

describe("directives", () => {
  const none = { citations: [], mentions: [], visualizations: [] }
  const rows: ReadonlyArray<readonly [string, Partial<ReturnType<typeof Message.directives>>]> = [
    ["plain :x[y] :cite", {}],
    [":cite[a, b ,]:cite[b]{}", { text: "[1][2][2]", citations: ["a", "b"] }],
    [":cite[ , ]", { text: "" }],
    [":mention[dust]{sId=\"d\"}", { text: "@dust", mentions: [{ type: "agent", id: "d", name: "dust" }] }],
    [":mention[x]{a=b sId=d c=e}", { text: "@x", mentions: [{ type: "agent", id: "d", name: "x" }] }],
    [":mention[x]{noSId=d}", { text: "@x", mentions: [{ type: "agent", id: "", name: "x" }] }],
    [":mention_user[A L]{sId=u}", { text: "@A L", mentions: [{ type: "user", id: "u", name: "A L" }] }],
    ["`:cite[a]` ``` :cite[a]", { text: "`:cite[a]` ``` [1]", citations: ["a"] }],
    ["~~~\n:cite[a]\n~~~\n:cite[b]", { text: "~~~\n:cite[a]\n~~~\n[1]", citations: ["b"] }],
    ["```\n:cite[a]", {}],
    ["x\n:::visualization v\n<b/>  \n\n:::\ny\n:::visualization\n<i/>", {
      text: "x\ny\n",
      visualizations: ["<b/>", "<i/>"]
    }]
  ]
  it.each(rows)("%j", (markdown, expected) => {
    assert.deepStrictEqual(Message.directives(markdown), { text: markdown, ...none, ...expected })
  })
})

describe("the place of an error", () => {
  const error = Fixtures.error.DustServerError({ message: "Chat.send: it failed" })
  const rows: ReadonlyArray<readonly [string, Place, string]> = [
    ["nothing", {}, ""],
    ["a workspace and an event", { workspaceId: "w", lastEventId: "1-0" }, ""],
    ["a conversation", { conversationId: "c" }, " (conversation c)"],
    ["a question", { conversationId: "c", userMessageId: "u" }, " (conversation c, question u)"],
    ["an answer", { conversationId: "c", userMessageId: "u", messageId: "m" }, " (conversation c, message m)"],
    ["an answer alone", { messageId: "m" }, " (message m)"],
    ["a question of the agent", { waitingFor: Fixtures.chatEvent.QuestionAsked() }, ""]
  ]
  it.each(rows)("%s", (_, place, words) => {
    const copy = located(error, { ...place, userMessageId: place.userMessageId })
    assert.deepStrictEqual(whole(copy), { ...whole(error), ...place, message: `Chat.send: it failed${words}` })
    assert.notStrictEqual(copy, error)
  })

  it("is kept, once it has one", () => {
    for (const place of [{ messageId: "m" }, { userMessageId: "u" }]) {
      const placed = located(error, place)
      assert.strictEqual(located(placed, { conversationId: "c", messageId: "other" }), placed)
    }
    assert.strictEqual(located(located(error, { workspaceId: "w" }), { messageId: "m" }).workspaceId, "w")
  })
})

describe("the events of a run for a user interface", () => {
  const { agentMessageEvent: of, chatEvent: ui } = Fixtures
  const told = (events: ReadonlyArray<Parameters<Narrator["push"]>[0]>) => {
    const narrator = new Narrator({ conversationId: "c", messageId: "m" })
    const out: Array<ChatEvent> = []
    for (const event of events) narrator.push(event, out)
    return { out, text: narrator.text }
  }
  const action = Fixtures.agentAction({ status: "running" })
  const place = { conversationId: "c2", messageId: "m2", actionId: "a2" }
  const wait = { eventId: "1-0", ...place, metadata: Fixtures.chatEvent.ApprovalNeeded().tool }
  const bubble = {
    type: "tool_approval_bubble_up",
    ...place,
    inputs: { q: 1 },
    stake: "high",
    metadata: { toolName: "deploy" }
  }
  const notified = (data: object, meta: object = {}) =>
    of.tool_notification({
      eventId: "1-0",
      action,
      notification: { progress: 3, total: 4, data: { ...data }, _meta: { ...meta } }
    })
  const progress = (label: string | null) => ui.ToolProgress({ eventId: "1-0", action, progress: 3, total: 4, label })
  const bubbled: ChatEvent = {
    _tag: "ApprovalNeeded",
    eventId: "1-0",
    ...place,
    tool: {
      toolName: "deploy",
      mcpServerName: "",
      mcpServerDisplayName: null,
      mcpServerId: null,
      agentName: null,
      icon: null
    },
    inputs: { q: 1 },
    stake: "high"
  }
  const { question } = ui.QuestionAsked()
  const { account } = ui.AuthenticationNeeded()
  const { fileAuthError: file } = of.tool_file_auth_required()

  const rows: ReadonlyArray<readonly [string, Parameters<Narrator["push"]>[0], ReadonlyArray<ChatEvent>]> = [
    ["text", of.generation_tokens({ eventId: "1-0", text: "x" }), [ui.TextDelta({ eventId: "1-0", text: "x" })]],
    ["no text", of.generation_tokens({ eventId: "1-0", text: "" }), []],
    ["thinking", of.generation_tokens({ eventId: "1-0", classification: "chain_of_thought", text: "x" }), [
      ui.Thinking({ eventId: "1-0", text: "x" })
    ]],
    ["a delimiter", of.generation_tokens({ classification: "opening_delimiter" }), []],
    ["a call of a tool", of.tool_call_started({ eventId: "1-0", toolName: "t" }), [
      ui.ToolAnnounced({ eventId: "1-0", toolName: "t" })
    ]],
    ["the arguments of a tool", of.tool_params({ eventId: "1-0", action }), [
      ui.ToolStarted({ eventId: "1-0", action })
    ]],
    ["progress", notified({ label: "L" }), [progress("L")]],
    ["progress without a label", notified({ label: 1 }), [progress(null)]],
    ["progress of newer servers", notified({ label: "old" }, { data: { label: "L" } }), [progress("L")]],
    ["an approval as progress", notified({ output: bubble }), [progress(null), bubbled]],
    ["an approval of newer servers as progress", notified({}, { data: { output: bubble } }), [progress(null), bubbled]],
    ["another output as progress", notified({ output: { ...bubble, type: "text" } }), [progress(null)]],
    ["an approval without an action", notified({ output: { ...bubble, actionId: undefined } }), [progress(null)]],
    ["no output", notified({ output: null }), [progress(null)]],
    ["a result", of.agent_action_success({ eventId: "1-0", action }), [ui.ToolFinished({ eventId: "1-0", action })]],
    ["an approval", of.tool_approve_execution({ ...wait, inputs: { q: 1 }, stake: "high" }), [
      ui.ApprovalNeeded({ eventId: "1-0", ...place, inputs: { q: 1 }, stake: "high" })
    ]],
    ["an approval without its place", of.tool_approve_execution({ ...wait, conversationId: "", messageId: null }), [
      ui.ApprovalNeeded({ eventId: "1-0", conversationId: "c", messageId: "m", actionId: "a2", inputs: {} })
    ]],
    ["a question", of.tool_ask_user_question({ ...wait, question }), [
      ui.QuestionAsked({ eventId: "1-0", ...place, question })
    ]],
    ["a missing account", of.tool_personal_auth_required({ ...wait, authError: account }), [
      ui.AuthenticationNeeded({ eventId: "1-0", ...place, account, file: null })
    ]],
    ["a missing file", of.tool_file_auth_required({ ...wait, fileAuthError: file }), [
      ui.AuthenticationNeeded({ eventId: "1-0", ...place, account: null, file })
    ]],
    ["the end", of.agent_message_success({ eventId: "1-0" }), []],
    ["a graceful end", of.agent_message_gracefully_stopped({ eventId: "1-0" }), []],
    ["a cancellation", of.agent_generation_cancelled({ eventId: "1-0" }), []],
    ["a failure", of.agent_error({ eventId: "1-0" }), []],
    ["a failure of old servers", of.user_message_error({ eventId: "1-0" }), []],
    ["a failed tool", of.tool_error({ eventId: "1-0" }), [
      ui.Other({ eventId: "1-0", event: of.tool_error({ eventId: "1-0" }) })
    ]],
    ["anything else", of.unknown({ eventId: "1-0" }), [
      ui.Other({ eventId: "1-0", event: of.unknown({ eventId: "1-0" }) })
    ]]
  ]
  it.each(rows)("%s", (_, event, expected) => {
    assert.deepStrictEqual(told([event]).out, expected)
  })

  /** `text@step`, `!` for the call of a tool, `?` for its arguments, `.` for anything else. */
  const toldOf = (...script: ReadonlyArray<string>) => {
    const { out, text } = told(script.map((line, index) => {
      const at = line.lastIndexOf("@")
      const eventId = `${index}`
      const step = at < 0 ? null : Number(line.slice(at + 1))
      const word = at < 0 ? line : line.slice(0, at)
      return word === "!"
        ? of.tool_call_started({ eventId, step })
        : word === "?"
        ? of.tool_params({ eventId, step })
        : word === "."
        ? of.agent_context_pruned({ eventId, step })
        : word.startsWith("~")
        ? of.generation_tokens({ eventId, step, classification: "chain_of_thought", text: word })
        : of.generation_tokens({ eventId, step, text: word })
    }))
    return [
      ...out.map((event) =>
        event._tag === "TextDelta"
          ? `${event.eventId ?? "-"}+${event.text}`
          : event._tag === "Reset"
          ? `${event.eventId ?? "-"}=${event.text}`
          : event._tag
      ),
      text
    ]
  }
  const family = "\u{1f468}\u200d\u{1f469}"
  const scripts: ReadonlyArray<readonly [string, ReadonlyArray<string>, ReadonlyArray<string>]> = [
    ["steps follow each other", ["a@0", "b@0", "c@1"], ["0+a", "1+b", "2+c", "abc"]],
    ["a step that runs again replaces its text", ["a@0", "b@1", "c@1", "!@1", "d@1"], [
      "0+a",
      "1+b",
      "2+c",
      "ToolAnnounced",
      "-=a",
      "4+d",
      "ad"
    ]],
    ["a tool of one step does not repeat the next", ["a@0", "?@0", "b@1", "c@1"], [
      "0+a",
      "ToolStarted",
      "2+b",
      "3+c",
      "abc"
    ]],
    ["tools and thoughts of an earlier step repeat nothing", ["a@1", "!@0", "~@0", ".@0", "b@1"], [
      "0+a",
      "ToolAnnounced",
      "Thinking",
      "Other",
      "-=",
      "4+b",
      "b"
    ]],
    ["an earlier step takes back the later ones", ["a@0", "b@1", "c@2", "d@1", "e@2"], [
      "0+a",
      "1+b",
      "2+c",
      "-=a",
      "3+d",
      "4+e",
      "ade"
    ]],
    ["a step that was never entered takes back everything", ["a@1", "b@0"], ["0+a", "-=", "1+b", "b"]],
    ["a step without text is taken back in silence", ["!@0", "a@0"], ["ToolAnnounced", "1+a", "a"]],
    ["without steps, nothing is taken back", ["a", "!", "b"], ["0+a", "ToolAnnounced", "2+b", "ab"]],
    ["half of a pair waits for the other", ["a\ud83d@0", "\ude00b@0"], ["0+a", "1+\u{1f600}b", "a\u{1f600}b"]],
    ["half of a pair is dropped at the end of its step", ["a\ud83d@0", "b@1"], ["0+a", "1+b", "ab"]],
    ["half of a pair is dropped at anything else", ["\ud83d@0", ".@0", "b@0"], ["Other", "2+b", "b"]],
    ["a joined character is emitted whole", [`a\u{1f468}\u200d@0`, "\u{1f469}@0"], [
      "0+a",
      `1+${family}`,
      `a${family}`
    ]],
    ["a joined character that does not go on is emitted as it is", ["a\u{1f468}\u200d@0", ".@0"], [
      "0+a",
      "-+\u{1f468}\u200d",
      "Other",
      "a\u{1f468}\u200d"
    ]],
    ["a joined character of three events", ["\u{1f468}\u200d@0", "\u{1f469}\u200d@0", "\u{1f466}@0"], [
      `2+${family}\u200d\u{1f466}`,
      `${family}\u200d\u{1f466}`
    ]],
    ["a joiner behind a letter does not wait", ["a\u200d@0"], ["0+a\u200d", "a\u200d"]],
    ["the last code unit of the first half range waits, the next does not", ["a\udbff@0", "b\udc00@1"], [
      "0+a",
      "1+b\udc00",
      "ab\udc00"
    ]]
  ]
  it.each(scripts)("%s", (_, script, expected) => {
    assert.deepStrictEqual(toldOf(...script), expected)
  })
})

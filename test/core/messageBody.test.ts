/** The body of a message, and the errors of invalid ones, in words. */
import { assert, describe, it } from "@effect/vitest"
import { Either, Schema } from "effect"
import type { ContentFragmentInput, MessageInput } from "effect-dust/Conversation"
import { operations } from "../../src/internal/api/conversations.ts"
import { FragmentBody, messageBody, Title } from "../../src/internal/chat/messageBody.ts"
import { encodeBody } from "../../src/internal/input/encode.ts"
import { whole } from "../support/errors.ts"
import { conversationRoute } from "../support/scene.ts"

const identity = operations.createMessage.post
const full: MessageInput = {
  content: " Hello ",
  mentions: [{ configurationId: "helper" }, { type: "user", userId: "u" }],
  context: {
    username: "u".repeat(255),
    timezone: "Europe/Paris",
    fullName: "f".repeat(255),
    email: "e".repeat(255),
    profilePictureUrl: "p".repeat(2048),
    origin: "zapier",
    clientSideMCPServerIds: ["s"],
    selectedMCPServerViewIds: ["v"],
    excludedRetrievalTags: ["t"]
  },
  modelSelection: { providerId: "openai", modelId: "gpt-5", reasoningEffort: "low" as "high" },
  skipToolsValidation: false
}

describe("the body of a message", () => {
  it("has everything that is given, up to its limits", () => {
    const given = {
      ...full,
      modelSelection: { providerId: "openai", modelId: "gpt-5", reasoningEffort: "high" }
    } as const
    assert.deepStrictEqual<unknown>(Either.getOrThrow(messageBody(identity, true, given)), given)
  })

  it("has defaults for the rest", () => {
    assert.deepStrictEqual<unknown>(
      Either.getOrThrow(messageBody(identity, false, { content: "x", context: { timezone: "UTC" } })),
      {
        content: "x",
        mentions: [],
        context: { username: "effect-dust", timezone: "UTC", origin: "api" },
        modelSelection: undefined,
        skipToolsValidation: undefined
      }
    )
    const system = Either.getOrThrow(messageBody(identity, false, { content: "x" })).context
    assert.deepStrictEqual(system, { username: "effect-dust", timezone: system.timezone, origin: "api" })
    assert.notStrictEqual(system.timezone, "")
    const none = { clientSideMCPServerIds: [], selectedMCPServerViewIds: [] }
    assert.deepInclude(Either.getOrThrow(messageBody(identity, false, { content: "x", context: none })).context, none)
  })

  const refused = (input: object): { readonly message: string } & Record<string, unknown> => {
    const error = whole(
      Either.getOrThrow(Either.flip(messageBody(identity, true, { ...full, modelSelection: undefined, ...input })))
    )
    return { ...error, message: String(error["message"]) }
  }
  const context = (change: object) => ({ context: { ...full.context, ...change } })
  const rows: ReadonlyArray<readonly [string, object, string, string]> = [
    ["blank content", { content: " \n" }, "content", "non-blank text"],
    [
      "two agents",
      { mentions: [{ configurationId: "a" }, { configurationId: "b" }] },
      "mentions",
      "a list with at most one agent"
    ],
    ["a blank agent", { mentions: [{ configurationId: " " }] }, "mentions", "a list of non-blank ids"],
    [
      "a second mention that is blank",
      { mentions: [{ configurationId: "a" }, { type: "user", userId: "" }] },
      "mentions",
      "a list of non-blank ids"
    ],
    ["a blank name", context({ username: " " }), "context.username", "a non-blank name"],
    ["a long name", context({ username: "u".repeat(256) }), "context.username", "at most 255 characters long"],
    [
      "a blank tag",
      context({ excludedRetrievalTags: ["a", " "] }),
      "context.excludedRetrievalTags.1",
      "a non-blank tag"
    ]
  ]
  it.each(rows)("is refused with %s", (_, input, field, expected) => {
    assert.deepStrictEqual<unknown>(refused(input), {
      _tag: "DustBadRequestError",
      module: "Conversations",
      method: "createMessage",
      request: { method: "POST", route: `${conversationRoute}/messages` },
      attempts: 0,
      type: "invalid_input",
      details: { field, expected },
      message: `Conversations.createMessage: ${field} must be ${expected}`
    })
  })

  it.each(["fullName", "email", "profilePictureUrl"])("is refused with a long %s", (field) => {
    const length = field === "profilePictureUrl" ? 2048 : 255
    assert.deepInclude(refused(context({ [field]: "x".repeat(length + 1) })), { type: "invalid_input" })
    assert.isTrue(
      Either.isRight(messageBody(identity, true, { content: "x", context: { [field]: null } as object }))
    )
  })

  it("is refused with another time zone, which the error repeats", () => {
    const { details, message } = refused(context({ timezone: "Mars/Olympus" }))
    assert.strictEqual((details as { readonly field: string }).field, "context.timezone")
    assert.match(message, /^Conversations\.createMessage: context\.timezone must be .*, got "Mars\/Olympus"$/)
  })

  it.each(["clientSideMCPServerIds", "selectedMCPServerViewIds"])("with %s needs a user", (field) => {
    const error = Either.getOrThrow(
      Either.flip(messageBody(identity, false, { content: "x", context: { [field]: ["a"] } as object }))
    )
    assert.deepStrictEqual([error._tag, error.details], ["DustUserRequiredError", {
      required: "user",
      field: `context.${field}`
    }])
  })
})

describe("an attachment", () => {
  const encode = encodeBody(operations.createContentFragment.post, FragmentBody)
  const big = "x".repeat(524_288)
  const rows: ReadonlyArray<readonly [string, object, string | undefined, string?]> = [
    ["of text", { content: "x", contentType: "text/plain", url: "https://x" }, undefined],
    ["of the longest text", { content: big, contentType: "text/plain" }, undefined],
    ["of a file", { fileId: "f", url: null }, undefined],
    ["of a node", { nodeId: "n", nodeDataSourceViewId: "v" }, undefined],
    ["without a title", { title: " ", fileId: "f" }, "title", "non-blank text"],
    ["of nothing", {}, "content", "set, unless fileId or nodeId is set"],
    ["of a type alone", { contentType: "text/plain" }, "content", "set, unless fileId or nodeId is set"],
    ["of empty text", { content: "", contentType: "text/plain" }, "content", "non-empty text"],
    [
      "of too much text",
      { content: `${big}x`, contentType: "text/plain" },
      "content",
      "at most 524288 characters long; upload longer content as a file"
    ],
    ["of text without a type", { content: "x" }, "contentType", "set, because content is set"],
    ["of text with a blank type", { content: "x", contentType: " " }, "contentType", "a text type, such as text/plain"],
    [
      "of text and a file",
      { content: "x", contentType: "text/plain", fileId: "f" },
      "fileId",
      "omitted, because content is set"
    ],
    [
      "of a file with a type",
      { fileId: "f", contentType: "text/plain" },
      "contentType",
      "omitted, because fileId is set"
    ],
    ["of a file and a node", { fileId: "f", nodeId: "n" }, "nodeId", "omitted, because fileId is set"],
    ["of a blank file", { fileId: " " }, "fileId", "a non-blank id"],
    ["of a node without its view", { nodeId: "n" }, "nodeDataSourceViewId", "set, because nodeId is set"],
    ["of a blank node", { nodeId: " ", nodeDataSourceViewId: "v" }, "nodeId", "a non-blank id"],
    ["of a node in a blank view", { nodeId: "n", nodeDataSourceViewId: "" }, "nodeDataSourceViewId", "a non-blank id"]
  ]
  for (const [title, fields, field, expected] of rows) {
    it(title, () => {
      const encoded = encode({ title: "T", ...fields } as ContentFragmentInput)
      if (field === undefined) return assert.isTrue(Either.isRight(encoded))
      const error = Either.getOrThrow(Either.flip(encoded))
      assert.deepStrictEqual(error.details, { field, expected })
      assert.strictEqual(error.message, `Conversations.createContentFragment: ${field} must be ${expected}`)
    })
  }

  it("and a title have their limits in words", () => {
    const title = encodeBody(operations.create.post, Schema.Struct({ title: Title }))
    assert.isTrue(Either.isRight(title({ title: "t".repeat(512) })))
    assert.deepStrictEqual(Either.getOrThrow(Either.flip(title({ title: "t".repeat(513) }))).details, {
      field: "title",
      expected: "at most 512 characters long"
    })
  })
})

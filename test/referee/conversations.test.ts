import * as Official from "@dust-tt/client"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Redacted, TestClock } from "effect"
import { Conversations } from "effect-dust/Conversations"
import * as DustTest from "effect-dust/DustTest"
import { type Json, message, parseFrames } from "../support/local.ts"
import { accepts, checked, checks, err, official, ok, silent, type ZodSchema } from "../support/referee.ts"

const agents: NonNullable<DustTest.Options["agents"]> = {
  helper: { name: "Helper", description: "Helps", script: "I can help" },
  slow: [DustTest.text("one two three", { pace: "30 millis" })],
  endless: [DustTest.text("so"), DustTest.silence()],
  flaky: ({ version }) => version === 0 ? [DustTest.fail({ category: "stream_error" })] : "fine now",
  careful: [DustTest.approval({ name: "delete", inputs: { id: 1 }, stake: "low", argumentsRequiringApproval: ["id"] })],
  curious: [DustTest.question({ question: "Which?", options: ["a", "b"] })],
  // One event of every kind that an agent can publish.
  everything: [
    DustTest.delimiter("opening_delimiter", "<t>"),
    DustTest.think("hm"),
    DustTest.delimiter("closing_delimiter", "</t>"),
    DustTest.text("First. "),
    DustTest.contextPruned,
    DustTest.tool({
      name: "search",
      inputs: { q: "x" },
      output: [{ type: "text", text: "found" }, { type: "image", data: "", mimeType: "image/png" }],
      progress: [
        { label: "a" },
        { label: "b", output: { type: "text", text: "t" } },
        { label: "c", output: { type: "image", mimeType: "image/png" } }
      ],
      files: [{ fileId: "fil_1", title: "a.csv", contentType: "text/csv" }]
    }),
    DustTest.subAgent({ agent: "helper", query: "Help" }),
    DustTest.approval({ name: "delete", stake: "never_ask" }),
    DustTest.rerun,
    DustTest.text("Last.")
  ],
  toolFails: [DustTest.toolError({ message: "no" })],
  stops: [DustTest.text("half"), DustTest.gracefulStop],
  connects: [
    DustTest.authentication({ name: "search", provider: "github", scope: "repo" }),
    DustTest.fileAuthentication({ name: "open", fileId: "f", fileName: "a.txt" })
  ]
}

const serve = DustTest.serve({ agents, limits: false, quirks: { historyPageSize: 10_000 } })

const context = { username: "ada", timezone: "Europe/Paris", origin: "api" as const }
const to = (agent: string | null, content = "hello world") => ({
  content,
  mentions: agent === null ? [] : [{ configurationId: agent }],
  context
})

const blocked = (server: DustTest.Service, conversationId: string) =>
  Effect.map(
    checked(
      server,
      Official.BlockedActionsResponseSchema,
      "GET",
      `/assistant/conversations/${conversationId}/actions/blocked`
    ),
    ({ blockedActions }) => blockedActions as ReadonlyArray<Json>
  )

const untilBlocked = (server: DustTest.Service, conversationId: string): Effect.Effect<Json> =>
  Effect.flatMap(
    blocked(server, conversationId),
    ([first]) =>
      first === undefined ? Effect.delay(untilBlocked(server, conversationId), "10 millis") : Effect.succeed(first)
  )

const collect = <T>(stream: AsyncIterable<T>, enough: (event: T) => boolean) =>
  Effect.promise(async () => {
    const events: Array<T> = []
    for await (const event of stream) {
      events.push(event)
      if (enough(event)) break
    }
    return events
  })

afterAll(() => {
  process.stdout.write(`${checks()} values were accepted by the official schemas\n`)
})

describe("the official client against Local Dust", () => {
  it.scopedLive("asks an agent and streams the answer", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      assert.isTrue(yield* ok<boolean>(() => client.exists()))
      const created = yield* ok<Json>(() =>
        client.createConversation({ title: null, visibility: "unlisted", message: to("slow"), blocking: false })
      )
      const { eventStream } = yield* ok<{ eventStream: AsyncIterable<Json> }>(() =>
        client.streamAgentAnswerEvents({
          conversation: created.conversation,
          userMessageId: created.message.sId,
          options: { maxReconnectAttempts: 3, reconnectDelay: 10, autoReconnect: true }
        })
      )
      const events = yield* collect(eventStream, ({ type }) => type === "agent_message_success")
      assert.deepStrictEqual(events.map(({ type }) => type), [
        "generation_tokens",
        "generation_tokens",
        "generation_tokens",
        "agent_message_success"
      ])
      assert.strictEqual(events[3].message.content, "one two three")
      const conversation = yield* ok<Json>(() => client.getConversation({ conversationId: created.conversation.sId }))
      assert.strictEqual(conversation.content[1][0].content, "one two three")
    }))

  it.scopedLive("replays a long answer page by page", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve()
      const client = official(server)
      const words = Array.from({ length: 120 }, (_, i) => `w${i} `).join("")
      const created = yield* ok<Json>(() =>
        client.createConversation({ title: null, visibility: "unlisted", message: to("echo", words) })
      )
      const messageId = created.conversation.content[1][0].sId
      yield* server.waitForRun(messageId)
      const { eventStream } = yield* ok<{ eventStream: AsyncIterable<Json> }>(() =>
        client.streamAgentMessageEvents({
          conversationId: created.conversation.sId,
          agentMessageId: messageId,
          options: { maxReconnectAttempts: 10, reconnectDelay: 1, autoReconnect: true }
        })
      )
      const events = yield* collect(eventStream, ({ type }) => type === "agent_message_success")
      assert.strictEqual(events.flatMap(({ text }) => text ?? []).join(""), words)
      assert.isAtLeast(yield* server.countRequests({ path: /\/sse\/.*events/ }), 3)
    }))

  it.scopedLive("cancels and retries messages, and edits only what may be edited", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const created = yield* ok<Json>(() =>
        client.createConversation({ title: "x", visibility: "unlisted", message: to("endless") })
      )
      const conversationId = created.conversation.sId
      const messageId = created.conversation.content[1][0].sId
      assert.isTrue(
        (yield* ok<Json>(() => client.cancelMessageGeneration({ conversationId, messageIds: [messageId] }))).success
      )
      assert.strictEqual((yield* server.waitForRun(messageId)).status, "cancelled")
      // The official client declares JSON but sends no body, which the server refuses (conversations.md, "retry").
      const failure = yield* err(() => client.retryMessage({ conversationId, messageId }))
      assert.strictEqual(failure.type, "invalid_request_error")
      yield* checked(
        server,
        Official.RetryMessageResponseSchema,
        "POST",
        `/assistant/conversations/${conversationId}/messages/${messageId}/retry`,
        { body: {} }
      )
    }))

  it.scopedLive("posts, reads, marks as read, lists, gives feedback, as a user", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server, "userToken")
      const created = yield* ok<Json>(() => client.createConversation({ title: "Mine", visibility: "unlisted" }))
      const conversationId = created.conversation.sId
      const posted = yield* ok<Json>(() => client.postUserMessage({ conversationId, message: to("echo") }))
      assert.strictEqual(posted.user.fullName, "Ada Lovelace")
      const answer = (yield* server.agentMessages(conversationId))[0]!
      yield* server.waitForRun(answer.sId)
      assert.isTrue(yield* ok<boolean>(() => client.markAsRead({ conversationId })))
      const list = yield* ok<ReadonlyArray<Json>>(() => client.getConversations())
      assert.deepStrictEqual(list.map(({ sId, title }) => [sId, title]), [[conversationId, "Mine"]])
      yield* ok(() =>
        client.postFeedback(conversationId, answer.sId, { thumbDirection: "up", feedbackContent: "nice" })
      )
      const feedback = yield* ok<ReadonlyArray<Json>>(() => client.getConversationFeedback({ conversationId }))
      assert.deepStrictEqual(feedback.map(({ content, thumbDirection }) => [thumbDirection, content]), [["up", "nice"]])
      yield* ok(() => client.deleteFeedback(conversationId, answer.sId))
      const me = yield* ok<Json>(() => client.me())
      assert.deepStrictEqual([me.email, me.workspaces[0].sId], ["ada@local-dust.test", server.workspaceId])
      const asKey = yield* err(() => official(server).getConversations())
      assert.strictEqual(asKey.type, "user_not_found")
    }))

  it.scopedLive("attaches content, finds mentions, lists agents", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const created = yield* ok<Json>(() =>
        client.createConversation({
          title: null,
          visibility: "unlisted",
          contentFragments: [{ title: "a.txt", content: "text", contentType: "text/plain", url: null, context: null }],
          message: to("echo")
        })
      )
      const fragment = yield* ok<Json>(() =>
        client.postContentFragment({
          conversationId: created.conversation.sId,
          contentFragment: { title: "b.txt", content: "more", contentType: "text/plain", url: null, context: null }
        })
      )
      assert.strictEqual(fragment.contentFragmentType, "file")
      const suggestions = yield* ok<ReadonlyArray<Json>>(() => client.getMentionsSuggestions({ query: "help" }))
      assert.deepStrictEqual(suggestions.map(({ id }) => id), ["helper"])
      assert.include(yield* ok<string>(() => client.parseForMentions({ markdown: "@Helper hi" })), "sId=helper")
      const all = yield* ok<ReadonlyArray<Json>>(() =>
        client.getAgentConfigurations({ view: "all", includes: ["authors"] })
      )
      assert.includeMembers(all.map(({ sId }) => sId), ["echo", "dust", "helper"])
    }))

  it.scopedLive("approves a tool and answers a question", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      for (const agent of ["careful", "curious"]) {
        const created = yield* ok<Json>(() =>
          client.createConversation({ title: null, visibility: "unlisted", message: to(agent) })
        )
        const conversationId = created.conversation.sId
        const messageId = created.conversation.content[1][0].sId
        yield* untilBlocked(server, conversationId)
        const { blockedActions } = yield* ok<Json>(() => client.getBlockedActions({ conversationId }))
        const { actionId } = blockedActions[0]
        yield* agent === "careful"
          ? ok(() => client.validateAction({ conversationId, messageId, actionId, approved: "approved" }))
          : ok(() =>
            client.answerUserQuestion({ conversationId, messageId, actionId, answer: { selectedOptions: [1] } })
          )
        assert.strictEqual((yield* server.waitForRun(messageId)).status, "succeeded")
      }
    }))

  it.scopedLive("registers a client-side MCP server", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server, "userToken")
      const { serverId } = yield* ok<Json>(() => client.registerMCPServer({ serverName: "My Tools" }))
      assert.strictEqual(serverId, "mcp-client-side:my-tools")
      yield* ok(() => client.heartbeatMCPServer({ serverId }))
      const { headers, url } = yield* ok<Json>(() => client.getMCPRequestsConnectionDetails({ serverId }))
      const response = yield* Effect.promise(() => fetch(url, { headers }))
      assert.strictEqual(response.status, 200)
      yield* Effect.promise(() => response.body!.cancel())
      yield* ok(() => client.postMCPResults({ serverId, result: { jsonrpc: "2.0", id: 0, result: {} } }))
    }))

  it.scopedLive("its MCP transport serves a tool to a scripted agent", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({
        agents: {
          caller: [DustTest.clientTool({
            name: "weather",
            inputs: { city: "Paris" },
            onResult: ({ output }) => `It is ${output}`
          })]
        }
      })
      const client = official(server, "userToken")
      const registered = yield* Deferred.make<string>()
      const transport = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const transport = new Official.DustMcpServerTransport(
            client,
            (serverId) => Effect.runSync(Deferred.succeed(registered, serverId)),
            "My Tools"
          )
          const onmessage = (request: Json) => {
            if (request.id === undefined) return
            const result = request.method === "initialize"
              ? {
                protocolVersion: request.params.protocolVersion,
                capabilities: {},
                serverInfo: { name: "t", version: "1" }
              }
              : request.method === "tools/list"
              ? { tools: [] }
              : { content: [{ type: "text", text: `12 degrees in ${request.params.arguments.city}` }] }
            void transport.send({ jsonrpc: "2.0", id: request.id, result })
          }
          return Object.assign(transport, { onmessage, onerror: () => undefined })
        }),
        (transport) => Effect.promise(() => transport.close())
      )
      yield* Effect.promise(() => transport.start())
      const serverId = yield* Deferred.await(registered)
      const created = yield* ok<Json>(() =>
        client.createConversation({
          title: null,
          visibility: "unlisted",
          message: { ...to("caller"), context: { ...context, clientSideMCPServerIds: [serverId] } }
        })
      )
      const answer = yield* server.waitForRun(created.conversation.content[1][0].sId)
      assert.strictEqual(answer.content, "It is 12 degrees in Paris")
      assert.lengthOf((yield* server.mcpServers)[0]!.results, 3)
    }))

  it.scopedLive("its high-level interface sends a message and reads the answer", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = new Official.DustAPI({
        workspaceId: server.workspaceId,
        apiKey: Redacted.value(server.apiKey),
        baseUrl: server.url
      })
      const response = yield* Effect.promise(() =>
        client.agents.sendMessage({ agentId: "helper", message: "Hello", context })
      )
      assert.strictEqual(response.text, "I can help")
      assert.strictEqual(
        (yield* Effect.promise(() => client.conversations.get(response.conversationId))).id,
        response.conversationId
      )
    }))

  it.scopedLive("errors have the shape that the official client expects", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const client = official(server)
      const missing = yield* err(() => client.getConversation({ conversationId: "nope" }))
      accepts(Official.APIErrorSchema, missing, "an error")
      assert.strictEqual(missing.type, "conversation_not_found")
      const wrong = new Official.DustAPI(
        { url: server.url },
        { workspaceId: server.workspaceId, apiKey: "sk-wrong" },
        silent
      )
      assert.strictEqual((yield* err(() => wrong.exists())).type, "invalid_api_key_error")
      const elsewhere = new Official.DustAPI({ url: server.url }, { workspaceId: "nope", apiKey: "sk-wrong" }, silent)
      assert.strictEqual((yield* err(() => elsewhere.exists())).type, "workspace_not_found")
    }))
})

describe("the SDK's own requests", () => {
  const conversation = "/api/v1/w/:workspaceId/assistant/conversations/:conversationId"
  const bodies: Record<string, ZodSchema> = {
    "POST /api/v1/w/:workspaceId/assistant/conversations": Official.PublicPostConversationsRequestBodySchema,
    [`PATCH ${conversation}`]: Official.PatchConversationRequestSchema,
    [`POST ${conversation}/messages`]: Official.PublicPostMessagesRequestBodySchema,
    [`POST ${conversation}/messages/:messageId/edit`]: Official.PublicPostEditMessagesRequestBodySchema,
    [`POST ${conversation}/messages/:messageId/feedbacks`]: Official.PublicPostMessageFeedbackRequestBodySchema,
    [`POST ${conversation}/messages/:messageId/validate-action`]: Official.ValidateActionRequestBodySchema,
    [`POST ${conversation}/messages/:messageId/answer-question`]: Official.AnswerUserQuestionRequestBodySchema,
    [`POST ${conversation}/cancel`]: Official.CancelMessageGenerationRequestSchema,
    [`POST ${conversation}/content_fragments`]: Official.PublicPostContentFragmentRequestBodySchema
  }

  it.effect("have bodies that the official request schemas accept", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const conversations = yield* Conversations
      const { agentMessages, message, sId: conversationId } = yield* conversations.create({
        title: "T",
        contentFragments: [{ title: "a", content: "text", contentType: "text/plain" }],
        message: {
          content: "hi",
          mentions: [{ configurationId: "careful" }],
          modelSelection: { providerId: "openai", modelId: "gpt-5" }
        }
      })
      yield* TestClock.adjust(0)
      const messageId = agentMessages[0]!.sId
      const [blocked] = yield* conversations.blockedActions(conversationId)
      yield* conversations.validateAction({
        conversationId,
        messageId,
        actionId: blocked!.actionId,
        approved: "approved"
      })
      yield* dust.waitForRun(messageId)
      yield* conversations.updateTitle({ conversationId, title: "Other" })
      yield* conversations.markRead(conversationId)
      yield* conversations.markUnread(conversationId)
      yield* conversations.createContentFragment({
        conversationId,
        fragment: { title: "b", content: "c", contentType: "text/markdown" }
      })
      yield* conversations.createFeedback({ conversationId, messageId, thumb: "up", content: "nice" })
      yield* conversations.cancel({ conversationId, messageIds: [messageId] })
      yield* conversations.retryMessage({ conversationId, messageId })
      yield* conversations.editMessage({ conversationId, messageId: message.sId, content: "again" })
      const asked = yield* conversations.createMessage({
        conversationId,
        content: "?",
        mentions: [{ configurationId: "curious" }]
      }).pipe(
        Effect.catchTag("DustBadRequestError", () => Effect.void)
      )
      assert.isUndefined(asked, "another agent runs")
      const second = yield* conversations.create({
        message: { content: "?", mentions: [{ configurationId: "curious" }] }
      })
      yield* TestClock.adjust(0)
      const [question] = yield* conversations.blockedActions(second.sId)
      yield* conversations.answerQuestion({
        conversationId: second.sId,
        messageId: second.agentMessages[0]!.sId,
        actionId: question!.actionId,
        answer: { selectedOptions: [0] }
      })
      const seen = new Set<string>()
      for (const request of yield* dust.requests({ where: ({ method }) => method === "POST" || method === "PATCH" })) {
        const route = `${request.method} ${request.route}`
        const schema = bodies[route]
        if (schema !== undefined) accepts(schema, request.body, `the body of ${route}`)
        seen.add(route)
      }
      assert.includeMembers([...seen], Object.keys(bodies))
    }).pipe(Effect.provide(DustTest.layer({ agents, credential: "userToken" }))))
})

describe("the official schemas", () => {
  /** Types sent by newer servers that client 1.2.8 does not support (events.md, sections 3 and 4.1). */
  const unknownToTheClient = new Set(["end-of-stream", "agent_message_consumption_updated"])

  const streamed = (server: DustTest.Service, path: string, schema: ZodSchema) =>
    Effect.promise(async () => {
      const response = await fetch(`${server.url}/api/sse/v1/w/${server.workspaceId}${path}`, {
        headers: { authorization: `Bearer ${Redacted.value(server.apiKey)}` }
      })
      const types = new Set<string>()
      for (const { id, json } of parseFrames(await response.text())) {
        if (id === undefined || unknownToTheClient.has(json.type)) continue
        accepts(schema, json, `the event ${json.type}`)
        types.add(json.type)
      }
      return types
    })

  it.scopedLive("accept every event of every kind of run", () =>
    Effect.gen(function*() {
      const server = yield* DustTest.serve({
        agents,
        quirks: { historyPageSize: 10_000, conversationStreamSilence: 20, removeAnsweredApprovals: false }
      })
      const types = new Set<string>()
      for (const agent of Object.keys(agents)) {
        const created = yield* checked(
          server,
          Official.CreateConversationResponseSchema,
          "POST",
          "/assistant/conversations",
          {
            body: { message: message("hello", agent) }
          }
        )
        const conversationId = created.conversation.sId
        const messageId = created.conversation.content[1][0].sId
        const base = `/assistant/conversations/${conversationId}`
        if (agent === "endless") {
          yield* checked(server, Official.CancelMessageGenerationResponseSchema, "POST", `${base}/cancel`, {
            body: { messageIds: [messageId] }
          })
        }
        const blockers = agent === "connects" ? 2 : agent === "careful" || agent === "curious" ? 1 : 0
        for (let i = 0; i < blockers; i++) {
          const action = yield* untilBlocked(server, conversationId)
          yield* server.resolveAction(action.actionId, agent === "curious" ? { selectedOptions: [0] } : undefined)
        }
        yield* server.waitForRun(messageId)
        const seen = yield* streamed(
          server,
          `${base}/messages/${messageId}/events`,
          Official.AgentMessageEventDataSchema
        )
        for (const type of seen) types.add(type)
        for (const type of yield* streamed(server, `${base}/events`, Official.ConversationEventDataSchema)) {
          types.add(type)
        }
        yield* checked(server, Official.GetConversationResponseSchema, "GET", base)
        yield* checked(server, Official.GetConversationResponseSchema, "GET", `${base}?limit=1`)
      }
      assert.sameMembers([...types], [
        "generation_tokens",
        "agent_message_success",
        "agent_generation_cancelled",
        "agent_error",
        "tool_error",
        "agent_message_gracefully_stopped",
        "agent_context_pruned",
        "tool_call_started",
        "tool_params",
        "tool_notification",
        "agent_action_success",
        "tool_approve_execution",
        "tool_ask_user_question",
        "tool_personal_auth_required",
        "tool_file_auth_required",
        "agent_message_new",
        "user_message_new",
        "agent_message_done",
        "conversation_title"
      ])
    }))

  it.scopedLive("accept the responses that the official client ignores or has no method for", () =>
    Effect.gen(function*() {
      const server = yield* serve
      const created = yield* checked(
        server,
        Official.CreateConversationResponseSchema,
        "POST",
        "/assistant/conversations",
        {
          body: { message: message("hello") }
        }
      )
      const base = `/assistant/conversations/${created.conversation.sId}`
      const posted = yield* checked(server, Official.PostUserMessageResponseSchema, "POST", `${base}/messages`, {
        body: message("again")
      })
      // The official schema drops the agent messages; each has the shape of a retry's response.
      for (const agentMessage of posted.agentMessages) {
        accepts(Official.RetryMessageResponseSchema, { message: agentMessage }, "an agent message")
      }
      const edited = yield* checked(
        server,
        Official.PostUserMessageResponseSchema,
        "POST",
        `${base}/messages/${posted.message.sId}/edit`,
        {
          body: { content: "edited", mentions: [] }
        }
      )
      assert.strictEqual(edited.message.version, 1)
      yield* checked(server, Official.PatchConversationResponseSchema, "PATCH", base, { body: { title: "T" } })
      const agentBase = "/assistant/agent_configurations"
      yield* checked(server, Official.GetAgentConfigurationsResponseSchema, "GET", `${agentBase}/search?q=h`)
      for (const variant of ["light", "full"]) {
        yield* checked(
          server,
          Official.GetOrPatchAgentConfigurationResponseSchema,
          "GET",
          `${agentBase}/helper?variant=${variant}`
        )
      }
      const asAdmin = { credential: "adminApiKey" as const }
      yield* checked(server, Official.GetOrPatchAgentConfigurationResponseSchema, "PATCH", `${agentBase}/helper`, {
        ...asAdmin,
        body: {
          instructions: "x",
          toolset: [{ name: "t", description: "T", type: "MCP", configuration: { mcp_server_name: "unknown" } }]
        }
      })
      yield* checked(server, Official.ImportAgentConfigurationFromYAMLResponseSchema, "POST", `${agentBase}/import`, {
        ...asAdmin,
        body: {
          agent: { handle: "h", description: "d" },
          instructions: "",
          generation_settings: {},
          tags: [],
          editors: ["ada@local-dust.test"],
          toolset: []
        }
      })
      yield* checked(server, Official.DeleteAgentConfigurationResponseSchema, "DELETE", `${agentBase}/helper`, asAdmin)
      for (
        const [path, credential] of [["/assistant/conversations/nope", "apiKey"], [
          "/assistant/agent_configurations?view=list",
          "apiKey"
        ]] as const
      ) {
        const error = { safeParse: (value: unknown) => Official.APIErrorSchema.safeParse((value as Json).error) }
        yield* checked(server, error, "GET", path, { credential })
      }
    }))

  it.scopedLive("refuse a conversation with a stored timezone outside the list, as the official client does", () =>
    Effect.gen(function*() {
      // The server returns stored names unchanged (conversations.md, "unknown timezones"): the referee is wrong here.
      const server = yield* DustTest.serve({
        seed: { conversations: [{ sId: "old", messages: [{ role: "user", content: "x", timezone: "Europe/Kyiv" }] }] }
      })
      const failure = yield* err(() => official(server).getConversation({ conversationId: "old" }))
      assert.strictEqual(failure.type, "unexpected_response_format")
    }))
})

/** What the server of the comparison sends: shaped as Dust shapes it, with the fields that no client reads. */

const epoch = 1_760_000_000_000

export const messageId = "msgAgent00001"
const configurationId = "agentConfig1"

const lorem =
  "The roadmap changed in three places this week: the importer ships first, the editor waits for feedback, and the search index moves. "

export const text = (length: number): string => lorem.repeat(Math.ceil(length / lorem.length)).slice(0, length)

const words = lorem.split(" ")

export const action = (index: number, outputSize: number) => ({
  id: 1_000 + index,
  sId: `action${index}`,
  createdAt: epoch + index,
  updatedAt: epoch + index + 40,
  mcpServerId: "mcp_server_1",
  internalMCPServerName: "search",
  toolName: "semantic_search",
  agentMessageId: 77,
  functionCallName: "search__semantic_search",
  functionCallId: `call_${index}`,
  status: "succeeded",
  params: {
    query: text(60),
    relativeTimeFrame: "all",
    dataSources: [{ uri: "data_source_configuration://x", mimeType: "text/x" }]
  },
  step: 1,
  executionDurationMs: 420,
  citationsAllocated: 4,
  output: [{ type: "text", text: text(outputSize) }, {
    type: "resource",
    resource: { uri: `https://example.com/${index}`, mimeType: "text/plain", text: text(outputSize) }
  }],
  generatedFiles: [],
  displayLabels: { running: "Searching", done: "Searched" }
})

const agent = {
  id: 5,
  versionCreatedAt: "2026-01-01T00:00:00.000Z",
  sId: configurationId,
  version: 3,
  versionAuthorId: null,
  instructions: null,
  model: { providerId: "anthropic", modelId: "claude-4-sonnet-20250514", temperature: 0.7 },
  status: "active",
  scope: "visible",
  userFavorite: false,
  name: "Roadmap",
  description: "Knows the roadmap",
  pictureUrl: "https://example.com/agent.png",
  maxStepsPerRun: 8,
  templateId: null,
  requestedGroupIds: [],
  requestedSpaceIds: ["spaceA"],
  tags: [{ sId: "tag1", name: "product", kind: "standard" }],
  canRead: true,
  canEdit: false
}

export const agentMessage = (index: number, contentSize: number, actions: number) => ({
  id: 10_000 + index,
  agentMessageId: 20_000 + index,
  created: epoch + index,
  completedTs: epoch + index + 900,
  type: "agent_message",
  sId: index === 0 ? messageId : `msgAgent${index}`,
  visibility: "visible",
  version: 0,
  rank: index,
  parentMessageId: `msgUser${index - 1}`,
  parentAgentMessageId: null,
  configuration: agent,
  status: "succeeded",
  actions: Array.from({ length: actions }, (_, i) => action(index * 10 + i, 900)),
  content: text(contentSize),
  chainOfThought: text(Math.floor(contentSize / 4)),
  rawContents: [{ step: 0, content: text(contentSize) }],
  error: null,
  skipToolsValidation: false,
  modelInteractionDurationMs: 900,
  richMentions: []
})

const user = {
  id: 3,
  sId: "user1",
  createdAt: epoch,
  provider: "google",
  username: "ada",
  email: "ada@example.com",
  firstName: "Ada",
  lastName: "Lovelace",
  fullName: "Ada Lovelace",
  image: null
}

export const userMessage = (index: number, contentSize: number) => ({
  id: 30_000 + index,
  created: epoch + index,
  type: "user_message",
  sId: `msgUser${index}`,
  visibility: "visible",
  version: 0,
  rank: index,
  user,
  mentions: [{ configurationId }],
  content: text(contentSize),
  context: {
    username: "ada",
    timezone: "Europe/Paris",
    fullName: "Ada Lovelace",
    email: "ada@example.com",
    profilePictureUrl: null,
    origin: "web",
    clientSideMCPServerIds: [],
    selectedMCPServerViewIds: []
  },
  agenticMessageData: null
})

/** `{ conversation }` of about the given size, in questions and answers with a few tools. */
/** A conversation whose only answer is being written. */
export const runningConversation = (): string => conversation(0, [[{ ...agentMessage(0, 10, 0), status: "created" }]])

export const conversation = (bytes: number, content: Array<ReadonlyArray<object>> = []): string => {
  let size = 0
  for (let index = 0; size < bytes; index += 2) {
    const pair = [[userMessage(index, 300)], [agentMessage(index + 1, 1_500, 2)]]
    size += JSON.stringify(pair).length
    content.push(...pair)
  }
  return JSON.stringify({
    conversation: {
      id: 1,
      created: epoch,
      updated: epoch,
      unread: false,
      actionRequired: false,
      owner: {
        id: 1,
        sId: "bench",
        name: "Bench",
        role: "none",
        segmentation: null,
        whiteListedProviders: null,
        defaultEmbeddingProvider: null
      },
      sId: "conversation",
      title: "Roadmap",
      visibility: "unlisted",
      requestedGroupIds: [],
      content,
      url: "https://dust.tt/w/bench/assistant/conversation"
    }
  })
}

/** Event ids grow by a millisecond every few events, and their counter wraps. */
const eventId = (index: number): string => `${epoch + Math.floor(index / 4)}-${index % 1000}`

export const indexOf = (eventId: string | null): number => {
  if (eventId === null || eventId === "") return 0
  const [ms = "0", counter = "0"] = eventId.split("-")
  const base = (Number(ms) - epoch) * 4
  for (let index = base; index < base + 4; index++) if (index % 1000 === Number(counter)) return index + 1
  return 0
}

const frame = (index: number, data: object): string => `data: ${JSON.stringify({ eventId: eventId(index), data })}\n\n`

const common = (index: number) => ({ created: epoch + index, configurationId, messageId })

const token = (index: number): string =>
  frame(index, {
    type: "generation_tokens",
    ...common(index),
    text: `${words[index % words.length]} `,
    classification: index % 20 === 0 ? "chain_of_thought" : "tokens",
    step: 0
  })

const tools = [
  (index: number) => ({
    type: "tool_call_started",
    toolName: "semantic_search",
    toolCallId: `call_${index}`,
    toolCallIndex: 0
  }),
  (index: number) => ({ type: "tool_params", action: { ...action(index, 0), output: null, status: "running" } }),
  (index: number) => ({
    type: "tool_notification",
    action: { ...action(index, 0), output: null, status: "running" },
    notification: { progress: 1, total: 2, _meta: { data: { label: "Searching" } }, data: { label: "Searching" } }
  }),
  (index: number) => ({ type: "agent_action_success", action: action(index, 500) })
]

export type Mix = "tokens" | "mixed"

/** One event. `mixed`: one in twenty is about a tool. */
export const event = (mix: Mix, index: number): string =>
  mix === "mixed" && index % 20 === 19
    ? frame(index, { ...tools[Math.floor(index / 20) % tools.length]!(index), ...common(index), step: 0 })
    : token(index)

export const success = (index: number): string =>
  frame(index, {
    type: "agent_message_success",
    ...common(index),
    message: agentMessage(0, 2_000, 1),
    runIds: ["run1"],
    step: 0
  })

/** An event of the given size. */
export const large = (index: number, bytes: number): string =>
  frame(index, {
    type: "agent_action_success",
    ...common(index),
    action: { ...action(index, 0), output: [{ type: "text", text: text(bytes) }] },
    step: 0
  })

export const handshake = "event: dust-handshake\ndata: {}\n\n"
export const done = "data: done\n\n"

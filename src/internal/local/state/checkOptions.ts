/** Checks the options of a workspace: the names and the kinds of values. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { checkBehavior, isStep } from "../agent/checkScript.ts"
import type { AgentOptions } from "../domains/agents.ts"
import {
  anything,
  type Check,
  DustTestOptionsError,
  duration,
  either,
  flag,
  fn,
  isRecord,
  limit,
  list,
  nullable,
  number,
  object,
  oneOf,
  record,
  recordOf,
  text,
  wholeFrom
} from "./check.ts"
import type { ApiKeyOptions, CredentialOptions, UserOptions, UserTokenOptions } from "./create.ts"
import type { Limits } from "./limits.ts"
import type { WorkspaceOptions } from "./options.ts"
import type {
  AgentTagSeed,
  AnalyticsSeed,
  AppSeed,
  ConversationSeed,
  DataSourceSeed,
  DataSourceViewSeed,
  DocumentSeed,
  FileSeed,
  MessageSeed,
  NodeSeed,
  SearchSeed,
  Seed,
  ServerViewSeed,
  SkillSeed,
  SpaceSeed,
  TableSeed,
  ToolFileSeed,
  TriggerSeed,
  TriggersSeed,
  WebhookSourceSeed
} from "./seed.ts"
import type { Quirks } from "./state.ts"

const texts = list(text)
const role = oneOf("admin", "manager", "builder", "user", "none")

type UserMessageSeed = Extract<MessageSeed, { readonly role: "user" }>
type AgentMessageSeed = Extract<MessageSeed, { readonly role: "agent" }>

const userMessage = object<UserMessageSeed>(
  { role: text, content: text },
  { sId: text, username: text, timezone: text, visibility: text }
)
const agentMessage = object<AgentMessageSeed>(
  { role: text, content: text },
  { agent: text, sId: text, status: text, visibility: text }
)

export const messageSeed: Check = (value, place) => {
  if (!isRecord(value)) return record(value, place)
  return oneOf("user", "agent")(value["role"], `${place}.role`) ??
    (value["role"] === "user" ? userMessage : agentMessage)(value, place)
}

export const conversationSeed = object<ConversationSeed>({}, {
  sId: text,
  title: text,
  spaceId: text,
  messages: list(messageSeed)
})

const dataSource = object<DataSourceSeed>({ name: text }, {
  sId: text,
  description: text,
  spaceId: text,
  connectorProvider: text,
  documents: list(object<DocumentSeed>({ documentId: text, text }, {
    title: text,
    tags: texts,
    sourceUrl: text,
    mimeType: text,
    timestamp: number,
    parents: texts
  })),
  tables: list(object<TableSeed>({ name: text }, {
    tableId: text,
    title: text,
    description: text,
    rows: recordOf(record)
  })),
  views: list(object<DataSourceViewSeed>({ spaceId: text }, { sId: text, parentsIn: texts }))
})

const space = object<SpaceSeed>({ name: text }, {
  sId: text,
  kind: oneOf("regular", "project", "global"),
  isRestricted: flag,
  members: texts,
  keys: texts,
  mcpServerViews: list(object<ServerViewSeed>({ name: text }, {
    sId: text,
    description: text,
    serverType: oneOf("remote", "internal"),
    availability: oneOf("manual", "auto", "auto_hidden_builder"),
    tools: list(object<{ readonly name: string; readonly description: string }>({ name: text, description: text }, {}))
  }))
})

const search = object<SearchSeed>({}, {
  nodes: list(object<NodeSeed>({ internalId: text, title: text }, {
    type: oneOf("document", "table", "folder"),
    mimeType: text,
    sourceUrl: text,
    spaceIds: texts,
    dataSource: text,
    parentInternalId: text
  })),
  toolFiles: list(object<ToolFileSeed>({ externalId: text, title: text }, {
    mimeType: text,
    content: text,
    serverName: text,
    serverViewId: text
  })),
  toolDelay: duration,
  defaultPageSize: wholeFrom(1)
})

const triggers = object<TriggersSeed>({}, {
  triggers: list(object<TriggerSeed>({ name: text, configuration: record }, {
    sId: text,
    agentId: text,
    status: text,
    customPrompt: text
  })),
  webhookSources: list(object<WebhookSourceSeed>({ sId: text, urlSecret: text }, {
    name: text,
    signature: object<NonNullable<WebhookSourceSeed["signature"]>>({
      header: text,
      secret: text,
      algorithm: oneOf("sha1", "sha256", "sha512")
    }, {})
  }))
})

export const seedCheck = object<Seed>({}, {
  analytics: object<AnalyticsSeed>({}, {
    tables: recordOf(list(record)),
    consumption: list(record),
    consumptionFailure: object<NonNullable<AnalyticsSeed["consumptionFailure"]>>({
      afterRows: wholeFrom(0),
      message: text
    }, {}),
    consumptionEnabled: flag
  }),
  agentTags: list(object<AgentTagSeed>({ name: text }, { kind: oneOf("standard", "protected") })),
  apps: list(object<AppSeed>({ sId: text }, {
    name: text,
    description: text,
    spaceId: text,
    specificationHash: text,
    readable: flag,
    run: fn,
    duration,
    events: list(anything)
  })),
  conversations: list(conversationSeed),
  dataSources: list(dataSource),
  files: list(object<FileSeed>({
    fileName: text,
    content: (value, place) => value instanceof Uint8Array ? undefined : text(value, place)
  }, { sId: text, contentType: text, useCase: text })),
  search,
  skills: list(object<SkillSeed>({ name: text }, {
    sId: text,
    description: text,
    instructions: text,
    status: oneOf("active", "archived", "suggested"),
    availability: oneOf("editors", "workspace_users", "users_and_agents"),
    editors: texts
  })),
  spaces: list(space),
  triggers
})

const agentOptions = object<AgentOptions>({}, {
  script: checkBehavior,
  name: text,
  description: text,
  instructions: text,
  scope: oneOf("global", "visible", "hidden"),
  status: text,
  model: object<NonNullable<AgentOptions["model"]>>({ providerId: text, modelId: text }, { temperature: number }),
  pictureUrl: text,
  editors: texts,
  requestedSpaceIds: texts,
  mentionStatus: oneOf(
    "approved",
    "rejected",
    "pending_conversation_access",
    "pending_project_membership",
    "user_restricted_by_conversation_access",
    "agent_restricted_by_space_usage"
  )
})

/** A scripted agent: options or a behavior. */
export const agentCheck: Check = (value, place) =>
  isRecord(value) && Object.getPrototypeOf(value) === Object.prototype && !isStep(value)
    ? agentOptions(value, place)
    : checkBehavior(value, place)

/** Possible values of the quirks that are words. */
export const quirkWords = {
  credits: ["available", "exhausted", "no_seat", "user_cap", "group_cap", "key_cap"],
  rateLimitStatus: [403, 429]
} as const

const quirks = object<Partial<Quirks>>({}, {
  sseRedirect: flag,
  handshake: flag,
  historyPageSize: wholeFrom(1),
  historyTtl: duration,
  messageStreamLifetime: duration,
  conversationStreamSilence: duration,
  mcpStreamSilence: duration,
  doneFrame: flag,
  heartbeat: duration,
  endOfStreamOnReplay: flag,
  removeAnsweredApprovals: flag,
  sameMillisecondReorder: flag,
  retainedEvents: wholeFrom(1),
  credits: oneOf(...quirkWords.credits),
  rateLimitStatus: oneOf(...quirkWords.rateLimitStatus),
  fixedTimezones: flag,
  plainNotFound: flag,
  emptyJsonBodyRefused: flag,
  credentialRules: flag,
  steering: flag,
  blockingLimit: duration,
  blockingStale: flag,
  rawStatusInEvents: flag,
  consumptionEvents: flag,
  suggestionsCurrentRefused: flag,
  exportErrorLine: flag,
  asyncUpserts: flag,
  emptyOkBodies: flag
})

const limits = object<Partial<Limits>>({}, {
  messagesPerMinute: limit,
  messagesPerHour: limit,
  upsertsPerMinute: limit,
  uploadsPerMinute: limit,
  documentSize: limit,
  requestSize: limit
})

const secret: Check = (value, place) => Redacted.isRedacted(value) ? undefined : text(value, place)

const credentials = object<CredentialOptions>({}, {
  apiKeys: list(object<ApiKeyOptions>({ value: secret }, {
    name: text,
    role,
    disabled: flag,
    system: flag,
    workspaceId: text
  })),
  userTokens: list(object<UserTokenOptions>({ value: secret }, {
    user: nullable(
      object<UserOptions>({}, { sId: text, email: text, firstName: text, lastName: text, username: text })
    ),
    role,
    expiresIn: duration,
    member: flag
  }))
})

/** The options of `serve` and of the clients, which the workspace itself does not use. */
export interface OtherOptions {
  readonly port?: unknown
  readonly host?: unknown
  readonly credential?: unknown
  readonly timeouts?: unknown
  readonly retry?: unknown
  readonly headers?: unknown
}

const credential: Check = (value, place) =>
  isRecord(value)
    ? either(
      object<{ readonly apiKey: unknown }>({ apiKey: anything }, {}),
      object<{ readonly accessToken: unknown }>({ accessToken: anything }, {})
    )(value, place)
    : oneOf("apiKey", "adminApiKey", "userToken", "adminToken")(value, place)

const workspaceOptions = object<WorkspaceOptions & OtherOptions>({}, {
  agents: recordOf(agentCheck),
  seed: seedCheck,
  quirks,
  limits: either(flag, limits),
  credentials,
  // Each rule is checked when it is activated.
  faults: list(anything),
  randomSeed: number,
  pace: duration,
  workspaceId: text,
  workspaceName: text,
  port: wholeFrom(0),
  host: text,
  credential,
  timeouts: record,
  retry: anything,
  headers: record
})

/** Dies with the problem, so that no error handling of the program under test hides it. */
export const checked = (check: Check, value: unknown, place: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const problem = check(value, place)
    return problem === undefined
      ? Effect.void
      : Effect.die(new DustTestOptionsError({ message: `Local Dust: ${problem}` }))
  })

export const checkOptions = (options: WorkspaceOptions): Effect.Effect<void> => checked(workspaceOptions, options, "")

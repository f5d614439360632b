/**
 * Local Dust: a Dust workspace in memory, for tests and for running without an account.
 *
 * It answers the real HTTP API the way the real server does, peculiarities included, and it keeps state: conversations with
 * their versions, agents that follow a script, approvals, retained events. There are two ways in, over one implementation:
 *
 * - {@link layer} provides every service of the SDK without a socket. All time comes from Effect's Clock, so that under
 *   `TestClock` an approval that takes two hours is tested in milliseconds.
 * - {@link serve} listens on a real port, for other clients and for tests of the wire.
 *
 * Nothing here is loaded by an application that does not import this module.
 *
 * @example
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { Chat } from "effect-dust/Chat"
 * import * as DustTest from "effect-dust/DustTest"
 * import { Effect } from "effect"
 *
 * it.effect("asks the helper", () =>
 *   Effect.gen(function*() {
 *     const chat = yield* Chat
 *     const reply = yield* chat.send({ agent: "helper", message: "Hello" })
 *     assert.strictEqual(reply.text, "I can help")
 *   }).pipe(Effect.provide(DustTest.layer({ agents: { helper: "I can help" } }))))
 * ```
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Dust from "./Dust.ts"
import type * as DustConfig from "./DustConfig.ts"
import { off as governorOff } from "./Governor.ts"
import {
  type AgentBehavior,
  type AgentInput,
  type ApprovalOptions,
  type AuthenticationOptions,
  type ClientToolOptions,
  type FailOptions,
  type FileAuthenticationOptions,
  type HistoryItem,
  type QuestionOptions,
  type Script,
  Step,
  type SubAgentOptions,
  tokenize,
  type ToolOptions,
  type ToolProgress,
  type ToolResult,
  type UserAnswer
} from "./internal/local/agent/steps.ts"
import type { AgentOptions } from "./internal/local/domains/agents.ts"
import { type Fault, faults as faultConstructors } from "./internal/local/server/faults.ts"
import { makeClient } from "./internal/local/server/inProcess.ts"
import { DustTestServeError, listen } from "./internal/local/server/node.ts"
import type { SeenRequest } from "./internal/local/server/pipeline.ts"
import {
  DustTestRuleError,
  type FaultRule,
  type FaultTarget,
  path,
  type RulePath
} from "./internal/local/server/rules.ts"
import {
  type Control,
  type ConversationState,
  DustTestNotFoundError,
  type McpServerState,
  type MessageState,
  type RequestFilter
} from "./internal/local/state/control.ts"
import {
  type ApiKeyOptions,
  type CredentialOptions,
  type UserOptions,
  type UserTokenOptions
} from "./internal/local/state/create.ts"
import { defaults } from "./internal/local/state/defaults.ts"
import type { Limits } from "./internal/local/state/limits.ts"
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
} from "./internal/local/state/seed.ts"
import type { Quirks, Role } from "./internal/local/state/state.ts"
import { defaultPlace, makeWorkspace, type Workspace, type WorkspaceOptions } from "./internal/local/state/workspace.ts"
import { governorOr } from "./internal/request/governed.ts"

export { DustTestNotFoundError, DustTestRuleError, DustTestServeError, path }
export type {
  AgentBehavior,
  AgentInput,
  AgentOptions,
  AgentTagSeed,
  AnalyticsSeed,
  ApiKeyOptions,
  ApprovalOptions,
  AppSeed,
  AuthenticationOptions,
  ClientToolOptions,
  ConversationSeed,
  ConversationState,
  CredentialOptions,
  DataSourceSeed,
  DataSourceViewSeed,
  DocumentSeed,
  FailOptions,
  Fault,
  FaultRule,
  FaultTarget,
  FileAuthenticationOptions,
  FileSeed,
  HistoryItem,
  Limits,
  McpServerState,
  MessageSeed,
  MessageState,
  NodeSeed,
  QuestionOptions,
  Quirks,
  RequestFilter,
  Role,
  RulePath,
  Script,
  SearchSeed,
  Seed,
  SeenRequest,
  ServerViewSeed,
  SkillSeed,
  SpaceSeed,
  Step,
  SubAgentOptions,
  TableSeed,
  ToolFileSeed,
  ToolOptions,
  ToolProgress,
  ToolResult,
  TriggerSeed,
  TriggersSeed,
  UserAnswer,
  UserOptions,
  UserTokenOptions,
  WebhookSourceSeed
}

/**
 * What a test can ask of the workspace, and do to it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Control {}

/**
 * The workspace itself, beside the services of the SDK.
 *
 * @category tags
 * @since 0.1.0
 */
export class DustTest extends Context.Tag("effect-dust/DustTest")<DustTest, Service>() {}

/**
 * How a workspace is made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The scripted agents by sId. `echo` and the global agent `dust` are always there and repeat the message. */
  readonly agents?: Readonly<Record<string, AgentOptions | AgentBehavior>> | undefined
  /** What exists from the start. */
  readonly seed?: Seed | undefined
  /** Peculiarities of the real server, to be changed one by one. */
  readonly quirks?: Partial<Quirks> | undefined
  /**
   * The limits of the workspace. `true`: those of Dust's server; an object: those, with these changes; `false`: sizes only,
   * no limit per minute or hour. Defaults to `false` in {@link layer} and {@link layerHttpClient}, where a test that shares
   * a clock with others would wait for ever, and to `true` in {@link serve} and {@link layerServe}.
   */
  readonly limits?: boolean | Partial<Limits> | undefined
  /** Further credentials; the four of {@link Service} are always valid. */
  readonly credentials?: CredentialOptions | undefined
  /** What goes wrong from the start. */
  readonly faults?: ReadonlyArray<FaultRule> | undefined
  /** Decides everything random: ids, and faults with a probability. Default 1. */
  readonly randomSeed?: number | undefined
  /** The time before each token of steps that have no pace of their own. Default 0. */
  readonly pace?: Duration.DurationInput | undefined
  /** Default `LocalDust1`. */
  readonly workspaceId?: string | undefined
  readonly workspaceName?: string | undefined
}

/**
 * How the services of {@link layer} and {@link layerServe} call the workspace.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientOptions {
  /**
   * The caller. `apiKey` (the default), `adminApiKey`, `userToken` and `adminToken` are those of {@link Service}; anything
   * else is passed to the SDK as it is.
   */
  readonly credential?:
    | "apiKey"
    | "adminApiKey"
    | "userToken"
    | "adminToken"
    | { readonly apiKey: Redacted.Redacted }
    | { readonly accessToken: Redacted.Redacted | DustConfig.TokenEffect }
    | undefined
  readonly timeouts?: DustConfig.TimeoutOptions | undefined
  readonly retry?: DustConfig.Options["retry"] | undefined
  readonly headers?: DustConfig.Options["headers"] | undefined
}

/** Local Dust has no limits unless it is asked for them. */
const ungoverned = Effect.succeed(governorOff)

const dustOptions = (control: Control, options: ClientOptions): DustConfig.Options => {
  const common = {
    workspaceId: control.workspaceId,
    baseUrl: control.url,
    timeouts: options.timeouts,
    retry: options.retry,
    headers: options.headers
  }
  const credential = options.credential ?? "apiKey"
  switch (credential) {
    case "apiKey":
    case "adminApiKey":
      return { ...common, apiKey: control[credential] }
    case "userToken":
    case "adminToken":
      return { ...common, accessToken: control[credential] }
    default:
      return "apiKey" in credential
        ? { ...common, apiKey: credential.apiKey }
        : { ...common, accessToken: credential.accessToken }
  }
}

const workspaceOptions = (options: Options): WorkspaceOptions => options

const inProcess = (options: Options): Layer.Layer<DustTest | HttpClient.HttpClient> =>
  Layer.scopedContext(
    Effect.map(makeWorkspace(workspaceOptions(options), defaultPlace()), (workspace: Workspace) =>
      Context.make(DustTest, workspace.control).pipe(
        Context.add(HttpClient.HttpClient, makeClient(workspace.handler.handle))
      ))
  )

/**
 * An HttpClient whose other end is Local Dust, and the workspace itself. Requests to any origin arrive there. Redirects are
 * handed to the caller.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttpClient = (options?: Options): Layer.Layer<DustTest | HttpClient.HttpClient> =>
  inProcess(options ?? {})

/**
 * Every service of the SDK over Local Dust, without a socket.
 *
 * @example
 * ```ts
 * import * as DustTest from "effect-dust/DustTest"
 *
 * const Failing = DustTest.layer({
 *   agents: { helper: [DustTest.think("Hm."), DustTest.text("Done.", { pace: "100 millis" })] },
 *   faults: [{ method: "POST", nth: 1, fault: DustTest.faults.resetAfter() }],
 *   credential: "userToken"
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options & ClientOptions): Layer.Layer<Dust.Services | DustTest> =>
  Layer.unwrapEffect(
    Effect.map(DustTest, (control) => Layer.orDie(Dust.layer(dustOptions(control, options ?? {}))))
  ).pipe(
    Layer.provide(governorOr(ungoverned)),
    Layer.provideMerge(inProcess(options ?? {})),
    Layer.map((context) => Context.omit(HttpClient.HttpClient)(context))
  )

/**
 * Where {@link serve} listens.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServeOptions extends Options {
  /** Default 0: a free one. */
  readonly port?: number | undefined
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined
}

/**
 * Local Dust on a real port, until the scope closes. Needs Node: `node:http` is loaded here, and only here.
 *
 * @example
 * ```ts
 * import * as Dust from "effect-dust/Dust"
 * import * as DustTest from "effect-dust/DustTest"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { apiKey, url, workspaceId } = yield* DustTest.serve({ port: 3000 })
 *   return Dust.layer({ apiKey, workspaceId, baseUrl: url })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const serve = (options?: ServeOptions): Effect.Effect<Service, DustTestServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const place = defaultPlace()
    const workspace = yield* makeWorkspace({ limits: true, ...workspaceOptions(options ?? {}) }, place)
    yield* listen(workspace.handler.handle, place, { port: options?.port ?? 0, host: options?.host ?? "127.0.0.1" })
    return workspace.control
  })

/**
 * Every service of the SDK over Local Dust on a real port, through the HttpClient that the caller chooses.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerServe = (
  options?: ServeOptions & ClientOptions
): Layer.Layer<Dust.Services | DustTest, DustTestServeError, HttpClient.HttpClient> =>
  Layer.unwrapEffect(
    Effect.map(DustTest, (control) => Layer.orDie(Dust.layer(dustOptions(control, options ?? {}))))
  ).pipe(
    Layer.provide(governorOr(ungoverned)),
    Layer.provideMerge(Layer.scoped(DustTest, serve(options)))
  )

/**
 * The ids and credentials that every workspace starts with.
 *
 * @category constants
 * @since 0.1.0
 */
export const credentials = {
  workspaceId: defaults.workspaceId,
  apiKey: Redacted.make<string>(defaults.apiKey),
  adminApiKey: Redacted.make<string>(defaults.adminApiKey),
  userToken: Redacted.make<string>(defaults.userToken),
  adminToken: Redacted.make<string>(defaults.adminToken)
} as const

/**
 * Faults of a server.
 *
 * @category faults
 * @since 0.1.0
 */
export const faults = faultConstructors

/**
 * Text of the answer, cut into words. With `tokens` it is cut as they say: they are what is sent, and `content` is not looked
 * at. `pace` is the time before each token; default: that of the workspace, which is none.
 *
 * @category steps
 * @since 0.1.0
 */
export const text = (
  content: string,
  options?: { readonly pace?: Duration.DurationInput | undefined; readonly tokens?: Iterable<string> | undefined }
): Step => Step.Tokens({ tokens: options?.tokens ?? tokenize(content), classification: "tokens", pace: options?.pace })

/**
 * Text of the answer from tokens that are made while they are sent: a million of them need no array.
 *
 * @category steps
 * @since 0.1.0
 */
export const tokens = (
  all: Iterable<string>,
  options?: { readonly pace?: Duration.DurationInput | undefined }
): Step => Step.Tokens({ tokens: all, classification: "tokens", pace: options?.pace })

/**
 * Chain of thought.
 *
 * @category steps
 * @since 0.1.0
 */
export const think = (content: string, options?: { readonly pace?: Duration.DurationInput | undefined }): Step =>
  Step.Tokens({ tokens: tokenize(content), classification: "chain_of_thought", pace: options?.pace })

/**
 * Markup around a chain of thought, which clients skip.
 *
 * @category steps
 * @since 0.1.0
 */
export const delimiter = (kind: "opening_delimiter" | "closing_delimiter", markup: string): Step =>
  Step.Delimiter({ text: markup, kind })

/**
 * A tool call: started, its parameters, its notifications, its result.
 *
 * @category steps
 * @since 0.1.0
 */
export const tool = (options: ToolOptions): Step => Step.Tool({ tool: options })

/**
 * A tool call that waits for a human's approval (`tool_approve_execution`, `validate-action`), then runs or is denied.
 *
 * @category steps
 * @since 0.1.0
 */
export const approval = (options: ApprovalOptions): Step => Step.Approval({ tool: options })

/**
 * A question to the human (`tool_ask_user_question`, `answer-question`).
 *
 * @category steps
 * @since 0.1.0
 */
export const question = (options: QuestionOptions): Step => Step.Question({ question: options })

/**
 * A tool that waits until the human has connected an account: `resolveAction` of {@link Service} does it.
 *
 * @category steps
 * @since 0.1.0
 */
export const authentication = (options: AuthenticationOptions): Step => Step.Authentication({ tool: options })

/**
 * A tool that waits until the human has granted access to a file: `resolveAction` of {@link Service} does it.
 *
 * @category steps
 * @since 0.1.0
 */
export const fileAuthentication = (options: FileAuthenticationOptions): Step =>
  Step.FileAuthentication({ tool: options })

/**
 * A tool of a client-side MCP server that the user message lists.
 *
 * @category steps
 * @since 0.1.0
 */
export const clientTool = (options: ClientToolOptions): Step => Step.ClientTool({ tool: options })

/**
 * Another agent's answer, in a conversation of its own.
 *
 * @category steps
 * @since 0.1.0
 */
export const subAgent = (options: SubAgentOptions): Step => Step.SubAgent({ agent: options })

/**
 * Several tools at the same time, in one step of the agent loop.
 *
 * @category steps
 * @since 0.1.0
 */
export const parallel = (steps: ReadonlyArray<Step>): Step => Step.Parallel({ steps })

/**
 * The agent fails (`agent_error`).
 *
 * @category steps
 * @since 0.1.0
 */
export const fail = (options?: FailOptions): Step => Step.Fail({ error: options ?? {} })

/**
 * A tool fails in a way that ends the run (`tool_error`).
 *
 * @category steps
 * @since 0.1.0
 */
export const toolError = (options?: FailOptions): Step => Step.ToolError({ error: options ?? {} })

/**
 * Nothing happens for this time; without a duration: for ever.
 *
 * @category steps
 * @since 0.1.0
 */
export const silence = (duration?: Duration.DurationInput): Step => Step.Silence({ duration })

/**
 * The current step of the agent loop is run again, as after a crash: its events are repeated under new ids.
 *
 * @category steps
 * @since 0.1.0
 */
export const rerun: Step = Step.Rerun()

/**
 * Old content is dropped from the model's context (`agent_context_pruned`).
 *
 * @category steps
 * @since 0.1.0
 */
export const contextPruned: Step = Step.ContextPruned()

/**
 * The run stops between two steps, with what it has (`agent_message_gracefully_stopped`).
 *
 * @category steps
 * @since 0.1.0
 */
export const gracefulStop: Step = Step.GracefulStop()

/**
 * Any object as an event.
 *
 * @category steps
 * @since 0.1.0
 */
export const unknownEvent = (event: unknown): Step => Step.Raw({ event })

/**
 * A frame whose data is this text, whatever it is.
 *
 * @category steps
 * @since 0.1.0
 */
export const malformedEvent = (data: string): Step => Step.Malformed({ data })

/**
 * Local Dust: an in-memory Dust workspace, for tests and for running without an account.
 *
 * It implements the HTTP API like the real server, including its quirks, and keeps state: conversations with their
 * versions, scripted agents, approvals, retained events. There are two ways to use it:
 *
 * - {@link layer} provides every service of the SDK without a socket. It uses Effect's Clock, so that under `TestClock`
 *   an approval that takes two hours is tested in milliseconds.
 * - {@link serve} listens on a real port, for other clients and wire-level tests.
 *
 * Applications that do not import this module load nothing of it.
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
 * @packageDocumentation
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
import { DustTestRuleError, type FaultTarget, path, type RulePath } from "./internal/local/server/patterns.ts"
import type { SeenRequest } from "./internal/local/server/pipeline.ts"
import type { FaultRule } from "./internal/local/server/rules.ts"
import { DustTestOptionsError } from "./internal/local/state/check.ts"
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
import type { WorkspaceOptions } from "./internal/local/state/options.ts"
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
import { defaultPlace, makeWorkspace, type Workspace } from "./internal/local/state/workspace.ts"
import { governorOr } from "./internal/request/governed.ts"

export { DustTestNotFoundError, DustTestOptionsError, DustTestRuleError, DustTestServeError, path }
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
 * Inspects and controls the workspace in a test.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Control {}

/**
 * The workspace, beside the services of the SDK.
 *
 * @category tags
 * @since 0.1.0
 */
export class DustTest extends Context.Tag("effect-dust/DustTest")<DustTest, Service>() {}

/**
 * Options of a workspace.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The scripted agents by `sId`. `echo` and the global agent `dust` always exist and repeat the message. */
  readonly agents?: Readonly<Record<string, AgentOptions | AgentBehavior>> | undefined
  /** The initial content of the workspace. */
  readonly seed?: Seed | undefined
  /** Quirks of the real server that can be changed one by one. */
  readonly quirks?: Partial<Quirks> | undefined
  /**
   * The limits of the workspace: `true` for those of Dust's server, an object to change some of them, `false` for size
   * limits only. Defaults to `false` in {@link layer} and {@link layerHttpClient}, where tests that share a clock could
   * wait forever, and to `true` in {@link serve} and {@link layerServe}.
   */
  readonly limits?: boolean | Partial<Limits> | undefined
  /** Additional credentials; the four of {@link Service} are always valid. */
  readonly credentials?: CredentialOptions | undefined
  /** The initial faults. */
  readonly faults?: ReadonlyArray<FaultRule> | undefined
  /** The seed of everything random: ids, and faults with a probability. Defaults to 1. */
  readonly randomSeed?: number | undefined
  /** The time before each token of steps without their own pace. Defaults to 0. */
  readonly pace?: Duration.DurationInput | undefined
  /** Defaults to `LocalDust1`. */
  readonly workspaceId?: string | undefined
  readonly workspaceName?: string | undefined
}

/**
 * Options of the services of {@link layer} and {@link layerServe}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientOptions {
  /**
   * The credential of the caller. `apiKey` (the default), `adminApiKey`, `userToken` and `adminToken` are those of
   * {@link Service}; any other value is passed to the SDK unchanged.
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

/** Local Dust has no rate limits unless configured. */
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
 * An HttpClient connected to Local Dust, and the workspace. Requests to any origin arrive there. Redirects are returned
 * to the caller.
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
 * The address of {@link serve}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServeOptions extends Options {
  /** Defaults to 0, which selects a free port. */
  readonly port?: number | undefined
  /** Defaults to `127.0.0.1`. */
  readonly host?: string | undefined
}

/**
 * Serves Local Dust on a real port until the scope closes. Requires Node: only this function loads `node:http`.
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
 * Every service of the SDK over Local Dust on a real port, through the HttpClient of the caller.
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
 * The ids and credentials that every workspace has.
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
 * Sends text, split into words. `tokens` sets the pieces to send instead; `content` is then ignored. `pace` is the time
 * before each token and defaults to that of the workspace, which is none.
 *
 * @category steps
 * @since 0.1.0
 */
export const text = (
  content: string,
  options?: { readonly pace?: Duration.DurationInput | undefined; readonly tokens?: Iterable<string> | undefined }
): Step => Step.Tokens({ tokens: options?.tokens ?? tokenize(content), classification: "tokens", pace: options?.pace })

/**
 * Sends text from tokens that are generated while they are sent, so that a million of them need no array.
 *
 * @category steps
 * @since 0.1.0
 */
export const tokens = (
  all: Iterable<string>,
  options?: { readonly pace?: Duration.DurationInput | undefined }
): Step => Step.Tokens({ tokens: all, classification: "tokens", pace: options?.pace })

/**
 * Sends chain of thought.
 *
 * @category steps
 * @since 0.1.0
 */
export const think = (content: string, options?: { readonly pace?: Duration.DurationInput | undefined }): Step =>
  Step.Tokens({ tokens: tokenize(content), classification: "chain_of_thought", pace: options?.pace })

/**
 * Sends markup around a chain of thought, which clients skip.
 *
 * @category steps
 * @since 0.1.0
 */
export const delimiter = (kind: "opening_delimiter" | "closing_delimiter", markup: string): Step =>
  Step.Delimiter({ text: markup, kind })

/**
 * Calls a tool: sends its start, parameters, notifications and result.
 *
 * @category steps
 * @since 0.1.0
 */
export const tool = (options: ToolOptions): Step => Step.Tool({ tool: options })

/**
 * Calls a tool that waits for approval (`tool_approve_execution`, `validate-action`), then runs or is denied.
 *
 * @category steps
 * @since 0.1.0
 */
export const approval = (options: ApprovalOptions): Step => Step.Approval({ tool: options })

/**
 * Asks the user a question (`tool_ask_user_question`, `answer-question`).
 *
 * @category steps
 * @since 0.1.0
 */
export const question = (options: QuestionOptions): Step => Step.Question({ question: options })

/**
 * Calls a tool that waits until the user connects an account: see `resolveAction` of {@link Service}.
 *
 * @category steps
 * @since 0.1.0
 */
export const authentication = (options: AuthenticationOptions): Step => Step.Authentication({ tool: options })

/**
 * Calls a tool that waits until the user grants access to a file: see `resolveAction` of {@link Service}.
 *
 * @category steps
 * @since 0.1.0
 */
export const fileAuthentication = (options: FileAuthenticationOptions): Step =>
  Step.FileAuthentication({ tool: options })

/**
 * Calls a tool of a client-side MCP server that the user message lists.
 *
 * @category steps
 * @since 0.1.0
 */
export const clientTool = (options: ClientToolOptions): Step => Step.ClientTool({ tool: options })

/**
 * Runs another agent in a separate conversation.
 *
 * @category steps
 * @since 0.1.0
 */
export const subAgent = (options: SubAgentOptions): Step => Step.SubAgent({ agent: options })

/**
 * Runs several tools concurrently in one step of the agent loop.
 *
 * @category steps
 * @since 0.1.0
 */
export const parallel = (steps: ReadonlyArray<Step>): Step => Step.Parallel({ steps })

/**
 * Fails the agent (`agent_error`).
 *
 * @category steps
 * @since 0.1.0
 */
export const fail = (options?: FailOptions): Step => Step.Fail({ error: options ?? {} })

/**
 * Fails a tool so that the run ends (`tool_error`).
 *
 * @category steps
 * @since 0.1.0
 */
export const toolError = (options?: FailOptions): Step => Step.ToolError({ error: options ?? {} })

/**
 * Waits for this time, or forever without a duration.
 *
 * @category steps
 * @since 0.1.0
 */
export const silence = (duration?: Duration.DurationInput): Step => Step.Silence({ duration })

/**
 * Repeats the current step of the agent loop, as after a crash: its events are sent again under new ids.
 *
 * @category steps
 * @since 0.1.0
 */
export const rerun: Step = Step.Rerun()

/**
 * Drops old content from the context of the model (`agent_context_pruned`).
 *
 * @category steps
 * @since 0.1.0
 */
export const contextPruned: Step = Step.ContextPruned()

/**
 * Stops the run between two steps; the content so far remains (`agent_message_gracefully_stopped`).
 *
 * @category steps
 * @since 0.1.0
 */
export const gracefulStop: Step = Step.GracefulStop()

/**
 * Sends any object as an event.
 *
 * @category steps
 * @since 0.1.0
 */
export const unknownEvent = (event: unknown): Step => Step.Raw({ event })

/**
 * Sends a frame with this text as its data.
 *
 * @category steps
 * @since 0.1.0
 */
export const malformedEvent = (data: string): Step => Step.Malformed({ data })

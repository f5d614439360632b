/** Typed, or it did not happen: type tests of the public API. Checked by `tsc`; nothing runs. */
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Layer, Redacted } from "effect"
import { Context, Effect, Schema, Stream } from "effect"
import * as AgentFunction from "effect-dust/AgentFunction"
import type { Agents } from "effect-dust/Agents"
import type { Apps } from "effect-dust/Apps"
import type { Chat } from "effect-dust/Chat"
import type { Conversation, ConversationWithMessage } from "effect-dust/Conversation"
import type { Conversations, MessageCreated, Service } from "effect-dust/Conversations"
import type { DataSources, LoadResult, SyncEvent } from "effect-dust/DataSources"
import type { DataSourceViews } from "effect-dust/DataSourceViews"
import * as Dust from "effect-dust/Dust"
import type {
  DustAPIError,
  DustBadRequestError,
  DustConflictError,
  DustContentTooLargeError,
  DustDecodeError,
  DustForbiddenError,
  DustNetworkError,
  DustNotFoundError,
  DustQuotaExceededError,
  DustRateLimitError,
  DustServerError,
  DustStreamError,
  DustTimeoutError,
  DustUnauthorizedError,
  DustUserRequiredError,
  RequestError,
  SendError,
  StreamError
} from "effect-dust/DustAPIError"
import { type DustClient, type Input, operation, withOptions, withStreamOptions } from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import type { Files } from "effect-dust/Files"
import type { ActionId, AgentId, ConversationId, EventId, MessageId, UserId } from "effect-dust/Ids"
import type { McpServers } from "effect-dust/McpServers"
import type { Mentions } from "effect-dust/Mentions"
import type { AgentMessage, Message, UnknownMessage, UserMessage } from "effect-dust/Message"
import type { Search } from "effect-dust/Search"
import type { Skills } from "effect-dust/Skills"
import type { Spaces } from "effect-dust/Spaces"
import type { Triggers } from "effect-dust/Triggers"
import type { Workspace } from "effect-dust/Workspace"
import type { ConfigError } from "effect/ConfigError"

declare const conversations: Service
declare const client: Context.Tag.Service<DustClient>

/** Types alone are looked at: the body never runs. */
const types = (name: string, body: () => void) => it(name, () => expectTypeOf(body).toBeFunction())

type IsAny<T> = 0 extends 1 & T ? true : false

/** Names of the members of a service of which any part, a few levels deep, is `any`. */
type HasAny<T, Depth extends ReadonlyArray<unknown> = []> = IsAny<T> extends true ? true
  : Depth["length"] extends 5 ? false
  : T extends Effect.Effect<infer A, infer E, infer R> ? HasAny<A, [...Depth, 0]> | HasAny<E, [...Depth, 0]> | IsAny<R>
  : T extends Stream.Stream<infer A, infer E, infer R> ? HasAny<A, [...Depth, 0]> | HasAny<E, [...Depth, 0]> | IsAny<R>
  : T extends (...args: infer P) => infer Result ? HasAny<P, [...Depth, 0]> | HasAny<Result, [...Depth, 0]>
  : T extends ReadonlyArray<infer One> ? HasAny<One, [...Depth, 0]>
  : T extends string | number | boolean | null | undefined | Error | URL | Date | Uint8Array | Blob ? false
  : T extends object ? { [K in keyof T]-?: HasAny<T[K], [...Depth, 0]> }[keyof T]
  : false

type AnyMembers<S> = { [K in keyof S]-?: true extends HasAny<S[K]> ? K : never }[keyof S]

/** Their requirements are those of the sources that they are given. */
type SourceMethods =
  | "syncDocuments"
  | "planSync"
  | "loadTable"
  | "loadTableStream"
  | "upload"
  | "uploadStream"
  | "downloadTo"

/** Names of the members of a service that need something beside it. */
type Needs<S> = {
  [K in keyof S]-?: S[K] extends (...args: ReadonlyArray<never>) => Effect.Effect<infer _, infer _, infer R>
    ? [R] extends [never] ? never : K
    : S[K] extends (...args: ReadonlyArray<never>) => Stream.Stream<infer _, infer _, infer R>
      ? [R] extends [never] ? never : K
    : S[K] extends Effect.Effect<infer _, infer _, infer R> ? [R] extends [never] ? never : K
    : never
}[keyof S]

describe("Typed, or it did not happen", () => {
  types("operations: the names in braces are the members of path", () => {
    const one = operation({
      name: "A.one",
      http: "GET",
      route: "/api/v1/w/{workspaceId}/a/{aId}/b/{bId}",
      response: Schema.Struct({ n: Schema.NumberFromString })
    })
    type One = Input<"/api/v1/w/{workspaceId}/a/{aId}/b/{bId}", undefined>
    expectTypeOf<One["path"]>().toEqualTypeOf<{ readonly aId: string; readonly bId: string }>()
    expectTypeOf(client.execute(one, { path: { aId: "1", bId: "2" } })).toEqualTypeOf<
      Effect.Effect<{ readonly n: number }, RequestError>
    >()
    // @ts-expect-error bId is missing
    void client.execute(one, { path: { aId: "1" } })
    // @ts-expect-error the client fills in the workspace
    void client.execute(one, { path: { aId: "1", bId: "2", workspaceId: "w" } })
    // @ts-expect-error path is missing
    void client.execute(one, {})

    const none = operation({ name: "A.none", http: "GET", route: "/api/v1/w/{workspaceId}/a", response: Schema.Void })
    void client.execute(none, {})
    // @ts-expect-error nothing to fill in
    void client.execute(none, { path: { aId: "1" } })

    const withBody = operation({
      name: "A.body",
      http: "POST",
      route: "/a",
      body: Schema.Struct({ at: Schema.DateFromString }),
      response: Schema.Void
    })
    void client.execute(withBody, { body: { at: new Date() } })
    // @ts-expect-error the body is missing
    void client.execute(withBody, {})
    // @ts-expect-error the body is of the decoded side
    void client.execute(withBody, { body: { at: "2026" } })
  })

  types("errors: exactly the variants, no more and no less", () => {
    expectTypeOf<RequestError>().toEqualTypeOf<
      | DustBadRequestError
      | DustUnauthorizedError
      | DustUserRequiredError
      | DustForbiddenError
      | DustNotFoundError
      | DustConflictError
      | DustContentTooLargeError
      | DustRateLimitError
      | DustQuotaExceededError
      | DustServerError
      | DustTimeoutError
      | DustNetworkError
      | DustDecodeError
    >()
    expectTypeOf<StreamError>().toEqualTypeOf<RequestError | DustStreamError>()
    expectTypeOf<Exclude<DustAPIError, StreamError>["_tag"]>().toEqualTypeOf<
      "DustAgentError" | "DustUnconfirmedError"
    >()
    expectTypeOf(conversations.get("c")).toEqualTypeOf<Effect.Effect<Conversation, RequestError>>()
    expectTypeOf(conversations.list()).toExtend<Effect.Effect<ReadonlyArray<unknown>, RequestError>>()
    expectTypeOf(conversations.createMessage({ conversationId: "c", content: "x" })).toEqualTypeOf<
      Effect.Effect<MessageCreated, SendError>
    >()
    expectTypeOf(conversations.streamMessages({ conversationId: "c" })).toEqualTypeOf<
      Stream.Stream<Message, RequestError>
    >()
  })

  types("errors: what is handled is gone", () => {
    const handled = conversations.get("c").pipe(
      Effect.catchTags({
        DustNotFoundError: (error) => {
          expectTypeOf(error).toEqualTypeOf<DustNotFoundError>()
          return Effect.succeed(null)
        },
        DustRateLimitError: () => Effect.succeed(null)
      })
    )
    expectTypeOf<Effect.Effect.Error<typeof handled>>().toEqualTypeOf<
      Exclude<RequestError, DustNotFoundError | DustRateLimitError>
    >()
    // @ts-expect-error no such variant
    void conversations.get("c").pipe(Effect.catchTag("DustTeapotError", () => Effect.void))
    type Common = Pick<DustAPIError, "message" | "details" | "status" | "retryAfter" | "isRetryable" | "attempts">
    expectTypeOf<Common["details"]>().toBeUnknown()
    expectTypeOf<Common["status"]>().toEqualTypeOf<number | undefined>()
    expectTypeOf<DustTimeoutError["phase"]>().toEqualTypeOf<"headers" | "body" | "idle" | "total">()
  })

  types("create: what it gives depends on what it is given", () => {
    expectTypeOf(conversations.create()).toEqualTypeOf<Effect.Effect<Conversation, RequestError>>()
    expectTypeOf(conversations.create({ title: "x" })).toEqualTypeOf<Effect.Effect<Conversation, RequestError>>()
    expectTypeOf(conversations.create({ message: { content: "x" } })).toEqualTypeOf<
      Effect.Effect<ConversationWithMessage, SendError>
    >()
    // @ts-expect-error a message has content
    conversations.create({ message: {} })
    // @ts-expect-error only these two
    conversations.create({ visibility: "deleted" })
    // @ts-expect-error waiting needs a message
    conversations.create({ blocking: true })
    void conversations.createContentFragment({
      conversationId: "c",
      // @ts-expect-error text needs a type
      fragment: { title: "t", content: "x" }
    })
  })

  types("ids: a string is every kind, one kind is not another", () => {
    expectTypeOf<string>().toExtend<ConversationId>()
    expectTypeOf<ConversationId>().toExtend<string>()
    expectTypeOf<MessageId>().not.toExtend<ConversationId>()
    expectTypeOf<ConversationId>().not.toExtend<MessageId>()
    expectTypeOf<AgentId>().not.toExtend<UserId>()
    expectTypeOf<ActionId>().not.toExtend<EventId>()
    const message = {} as UserMessage
    // @ts-expect-error the id of a message
    void conversations.get(message.sId)
    void conversations.getMessage({ conversationId: "c", messageId: message.sId })
  })

  types("models: messages are discriminated, and open values complete", () => {
    const message = {} as Message
    if (message.type === "agent_message") expectTypeOf(message).toEqualTypeOf<AgentMessage>()
    if (message.type === "unknown") expectTypeOf(message).toEqualTypeOf<UnknownMessage>()
    expectTypeOf<Message["type"]>().toEqualTypeOf<
      "user_message" | "agent_message" | "content_fragment" | "unknown"
    >()
    expectTypeOf<"levitating">().toExtend<AgentMessage["status"]>()
    expectTypeOf<UnknownMessage["raw"]>().toBeUnknown()
    expectTypeOf<AgentMessage["content"]>().toEqualTypeOf<string | null>()
  })

  types("configuration: one credential, redacted", () => {
    const token = {} as Redacted.Redacted<string>
    DustConfig.layer({ workspaceId: "w", apiKey: token })
    DustConfig.layer({ workspaceId: "w", accessToken: Effect.succeed(token) })
    // @ts-expect-error no credential
    DustConfig.layer({ workspaceId: "w" })
    // @ts-expect-error both
    DustConfig.layer({ workspaceId: "w", apiKey: token, accessToken: token })
    // @ts-expect-error plain text
    DustConfig.layer({ workspaceId: "w", apiKey: "sk-…" })
    // @ts-expect-error no such region
    DustConfig.layer({ workspaceId: "w", apiKey: token, region: "mars" })
    expectTypeOf<Layer.Layer.Error<typeof Dust.layerEnv>>().toEqualTypeOf<ConfigError>()
    expectTypeOf<Layer.Layer.Success<typeof Dust.layerEnv>>().toEqualTypeOf<Dust.Services>()
  })

  types("options of a call change neither value, error nor requirements", () => {
    const effect = {} as Effect.Effect<1, "e", "r">
    expectTypeOf(withOptions({})(effect)).toEqualTypeOf<Effect.Effect<1, "e", "r">>()
    const stream = {} as Stream.Stream<1, "e", "r">
    expectTypeOf(withStreamOptions({})(stream)).toEqualTypeOf<Stream.Stream<1, "e", "r">>()
  })

  types("no method of a service needs anything beside it", () => {
    expectTypeOf<Needs<Context.Tag.Service<Conversations>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Agents>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Apps>>>().toBeNever()
    expectTypeOf<Needs<Omit<Context.Tag.Service<DataSources>, SourceMethods>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<DataSourceViews>>>().toBeNever()
    expectTypeOf<Needs<Omit<Context.Tag.Service<Files>, SourceMethods>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Mentions>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Search>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Skills>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Spaces>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Triggers>>>().toBeNever()
    expectTypeOf<Needs<Context.Tag.Service<Workspace>>>().toBeNever()
  })

  types("jobs need and fail with what their sources do, and nothing else", () => {
    const dataSources = {} as Context.Tag.Service<DataSources>
    const at = { spaceId: "s", dataSourceId: "d" }
    const documents = {} as Stream.Stream<{ documentId: string; text: string }, "broken", "Database">
    const rows = {} as Stream.Stream<{ rowId: string; value: { n: number } }, "broken", "Database">
    const onProgress = () => ({}) as Effect.Effect<void, "full", "Disk">
    expectTypeOf(dataSources.syncDocuments({ ...at, documents })).toEqualTypeOf<
      Stream.Stream<SyncEvent, "broken" | RequestError, "Database">
    >()
    expectTypeOf(dataSources.syncDocuments({ ...at, documents: [] })).toEqualTypeOf<
      Stream.Stream<SyncEvent, RequestError>
    >()
    expectTypeOf(dataSources.loadTable({ ...at, table: "t", rows, onProgress })).toEqualTypeOf<
      Effect.Effect<LoadResult, "broken" | "full" | RequestError, "Database" | "Disk">
    >()
  })

  types("no any in what is public", () => {
    // The helper itself finds it.
    expectTypeOf<AnyMembers<{ a: string; b: (x: { y: ReturnType<typeof JSON.parse> }) => void; c: number }>>()
      .toEqualTypeOf<"b">()
    expectTypeOf<AnyMembers<{ e: Effect.Effect<{ x: ReturnType<typeof JSON.parse> }> }>>().toEqualTypeOf<"e">()
    expectTypeOf<AnyMembers<Context.Tag.Service<Conversations>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Chat>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Agents>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Apps>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<DataSources>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<DataSourceViews>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Files>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<McpServers>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Mentions>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Search>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Skills>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Spaces>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Triggers>>>().toBeNever()
    expectTypeOf<AnyMembers<Context.Tag.Service<Workspace>>>().toBeNever()
    // A schedule of Effect has one inside.
    expectTypeOf<AnyMembers<Omit<DustConfig.Service, "retry">>>().toBeNever()
  })
})

describe("AgentFunction", () => {
  class InputSecret extends Context.Tag("types/InputSecret")<InputSecret, string>() {}
  class OutputSecret extends Context.Tag("types/OutputSecret")<OutputSecret, string>() {}
  class Judge extends Context.Tag("types/Judge")<Judge, string>() {}
  const plain = AgentFunction.make({ agent: "a", input: Schema.String, output: Schema.Struct({ due: Schema.Date }) })

  types("takes the type of the input, and returns that of the output", () => {
    expectTypeOf(plain("x")).toEqualTypeOf<
      Effect.Effect<{ readonly due: Date }, DustAPIError | AgentFunction.AgentOutputError, Chat>
    >()
    // @ts-expect-error a number is not text
    void plain(1)
    expectTypeOf(plain.stream("x")).toEqualTypeOf<
      Stream.Stream<
        AgentFunction.AgentFunctionEvent<{ readonly due: Date }>,
        DustAPIError | AgentFunction.AgentOutputError,
        Chat
      >
    >()
  })

  types("has the requirements of the schemas, and the errors and requirements of handlers", () => {
    const input: Schema.Schema<number, string, InputSecret> = null!
    const output: Schema.Schema<number, string, OutputSecret> = null!
    const asking = AgentFunction.make({
      agent: "a",
      input,
      output,
      onApproval: () => Effect.zipRight(Judge, Effect.fail("no" as const))
    })
    expectTypeOf(asking(1)).toEqualTypeOf<
      Effect.Effect<
        number,
        DustAPIError | AgentFunction.AgentOutputError | "no",
        Chat | InputSecret | OutputSecret | Judge
      >
    >()
    expectTypeOf(plain("x", { onQuestion: () => Effect.zipRight(Judge, Effect.fail("never" as const)) })).toEqualTypeOf<
      Effect.Effect<{ readonly due: Date }, DustAPIError | AgentFunction.AgentOutputError | "never", Chat | Judge>
    >()
  })
})

/**
 * The state of Local Dust. Each domain has its own slice, created on first use:
 *
 * ```ts
 * const files = slice("files", (world) => ({ byId: new Map<string, LocalFile>() }))
 * files(context.world).byId.get(fileId)
 * ```
 *
 * State is mutable plain data, changed synchronously (JavaScript runs one handler at a time between two effects). Time
 * comes from `world.now()` and `world.clock`, ids from `world.sId()` and `world.numericId()`: equal calls give equal
 * ids, and TestClock controls the time.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Limits } from "./limits.ts"
import type { Seed } from "./seed.ts"

/** The role of a member or an API key. @category models @since 0.1.0 */
export type Role = "admin" | "manager" | "builder" | "user" | "none"

const ranks: Readonly<Record<Role, number>> = { none: 0, user: 1, builder: 2, manager: 2, admin: 3 }

/** Whether a role includes the rights of another. */
export const atLeast = (role: Role, wanted: Role): boolean => ranks[role] >= ranks[wanted]

/** A member in the API's representation (`User` in responses). */
export interface LocalUser {
  readonly sId: string
  readonly id: number
  readonly createdAt: number
  readonly provider: string | null
  readonly username: string
  readonly email: string
  readonly firstName: string
  readonly lastName: string | null
  readonly fullName: string
  readonly image: string | null
}

export interface LocalApiKey {
  readonly id: number
  readonly value: string
  readonly name: string
  readonly role: Role
  readonly disabled: boolean
  readonly system: boolean
  readonly workspaceId: string
}

export interface LocalUserToken {
  readonly value: string
  /** Expiry of the token, in epoch milliseconds. */
  readonly expiresAt: number | undefined
  /** `undefined`: the token is valid but has no user (401 `user_not_found`). */
  readonly user: LocalUser | undefined
  readonly role: Role
  /** `false`: the user is not a member of this workspace. */
  readonly member: boolean
}

/** The caller. `attributed` is a member named by an API key through `x-api-user-email`. */
export interface Auth {
  readonly kind: "key" | "user" | "system" | "anonymous"
  readonly role: Role
  readonly user: LocalUser | undefined
  readonly key: LocalApiKey | undefined
}

/**
 * Peculiarities of the real server, each with a switch. The defaults are the server's behavior, unless stated
 * otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Quirks {
  /**
   * Event streams under `/api/v1` respond with 307 and a relative `Location` under `/api/sse/v1`. Defaults to `true`.
   */
  readonly sseRedirect: boolean
  /** Every event stream starts with the frame `event: dust-handshake`. Defaults to `true`. */
  readonly handshake: boolean
  /** Maximum number of retained events per connection, which then closes. Defaults to 50. */
  readonly historyPageSize: number
  /** The history of a channel expires this long after its last event. Defaults to 10 minutes. */
  readonly historyTtl: Duration.DurationInput
  /** A message stream closes at the first event after this time. Defaults to 60 seconds. */
  readonly messageStreamLifetime: Duration.DurationInput
  /** A conversation stream closes after this time without an event. Defaults to 180 seconds. */
  readonly conversationStreamSilence: Duration.DurationInput
  /** A stream of MCP requests closes after this time without an event. Defaults to 300 seconds. */
  readonly mcpStreamSilence: Duration.DurationInput
  /** The frame `data: done` precedes a regular close. Defaults to `true`. */
  readonly doneFrame: boolean
  /** Interval of heartbeat comment lines in silence. Defaults to `undefined`: the server sends none. */
  readonly heartbeat: Duration.DurationInput | undefined
  /** The internal end marker of a message stream is included in a replay of the history. Defaults to `true`. */
  readonly endOfStreamOnReplay: boolean
  /** An answered approval is removed from the history of the stream. Defaults to `true`. */
  readonly removeAnsweredApprovals: boolean
  /**
   * Sorts a page of history by id as strings, so that events of one millisecond arrive out of order. On the real server
   * this requires events that arrive while the history is read; here it applies to every page. Defaults to `false`.
   */
  readonly sameMillisecondReorder: boolean
  /**
   * The number of events that a channel retains. Connected clients lose none: an agent that is this far ahead of a
   * connection waits for it. Defaults to 50 000.
   */
  readonly retainedEvents: number
  /**
   * The remaining budget. `exhausted`, `no_seat`, `user_cap` and `group_cap` respond with 403 and `credits_exhausted`,
   * `no_seat`, `user_cap_reached` and `group_shared_usage_limit_reached`; `key_cap` refuses API keys with 429
   * `rate_limit_error`. Defaults to `available`.
   */
  readonly credits: "available" | "exhausted" | "no_seat" | "user_cap" | "group_cap" | "key_cap"
  /** The status of `rate_limit_error` for too many messages. Defaults to 403. */
  readonly rateLimitStatus: 403 | 429
  /** A message context accepts only the server's 592 timezone names. Defaults to `true`. */
  readonly fixedTimezones: boolean
  /** Unknown routes and methods respond with a plain-text 404; `false`: with an envelope. Defaults to `true`. */
  readonly plainNotFound: boolean
  /** A JSON content type with an empty body is a 400; `false`: it counts as `{}`. Defaults to `true`. */
  readonly emptyJsonBodyRefused: boolean
  /** Some routes refuse API keys, some refuse users. `false`: any valid credential is accepted. Defaults to `true`. */
  readonly credentialRules: boolean
  /** A user's message to the running agent waits (`pending`) and stops the run gracefully. Defaults to `true`. */
  readonly steering: boolean
  /** Time limit of `blocking: true`. Defaults to 180 seconds. */
  readonly blockingLimit: Duration.DurationInput
  /** `blocking: true` omits failed agents and returns the initial state of cancelled ones. Defaults to `true`. */
  readonly blockingStale: boolean
  /** Terminal events have internal statuses (`gracefully_stopped`, `interrupted`), reads do not. Defaults to `true`. */
  readonly rawStatusInEvents: boolean
  /** `agent_message_consumption_updated` follows the end of an answer. Defaults to `true`. */
  readonly consumptionEvents: boolean
  /** `current` in mention suggestions is always refused. Defaults to `true`. */
  readonly suggestionsCurrentRefused: boolean
  /** Exports report a failure as a line of text inside a 200. Defaults to `true`. */
  readonly exportErrorLine: boolean
  /** Asynchronously written documents and rows become visible some time after the response. Defaults to `true`. */
  readonly asyncUpserts: boolean
  /** Some routes respond with 200 and an empty body. Defaults to `true`. */
  readonly emptyOkBodies: boolean
}

/** Lookups between domains; each domain sets its own. `undefined` if that domain is not loaded. */
export interface Lookups {
  file?: (fileId: string) => {
    readonly fileName: string
    readonly contentType: string
    readonly snippet: string | null
    readonly size: number
    /** `created`: without content so far. */
    readonly status: string
    readonly bytes: Uint8Array | undefined
  } | undefined
  contentNode?: (dataSourceViewId: string, nodeId: string) => {
    readonly nodeType: "document" | "table" | "folder"
    readonly title: string
    readonly contentType: string
    readonly provider: string | null
    readonly spaceName: string
  } | undefined
  space?: (spaceId: string) => { readonly name: string } | undefined
}

/** What happens to the workspace as a whole. */
export interface Life {
  /** Grows whenever a request arrives, is answered or is closed. */
  activity: number
  /** The newest requests in words, for warnings. */
  recent: () => string
  /** Whether the scope of the workspace is closed. */
  ended: boolean
}

export interface World {
  readonly workspaceId: string
  readonly workspaceName: string
  /** Base URL of the API without a trailing slash; also used in `url` fields. */
  readonly origin: () => string
  /** Another origin of the same server, for signed upload and download URLs. */
  readonly storageOrigin: () => string
  readonly quirks: Quirks
  readonly limits: Limits
  readonly seed: Seed
  /** Delay before each token of agents without a pace of their own. */
  readonly pace: Duration.Duration
  readonly clock: Clock.Clock
  /** Scope of background work (agent loops, async upserts): `Effect.forkIn(world.scope)`. Closed by a reset. */
  readonly scope: Scope.Scope
  readonly apiKeys: Map<string, LocalApiKey>
  readonly userTokens: Map<string, LocalUserToken>
  readonly members: Map<string, { readonly user: LocalUser; readonly role: Role }>
  readonly lookups: Lookups
  /** Epoch milliseconds. */
  readonly now: () => number
  /** An opaque id like the server's: ten letters and digits, after `prefix_` if given. */
  readonly sId: (prefix?: string) => string
  /** A database id: 1, 2, 3, … */
  readonly numericId: () => number
  /** A number in [0, 1), from the random seed. */
  readonly random: () => number
  /** The workspace object (`owner`) for a caller. */
  readonly owner: (auth: Auth) => Record<string, unknown>
  /** Pending waits of the workspace on its clock. */
  readonly waits: Set<{ readonly what: string; readonly until: number }>
  /** State of the domains, keyed by `slice`. */
  readonly slices: Map<object, unknown>
  /** Every id returned by `sId`. */
  readonly ids: ReadonlySet<string>
  /** Ends the background work and resets the state, as in a new workspace. */
  readonly restart: Effect.Effect<void>
  readonly life: Life
}

/** Sleeps on the workspace's clock. `what` describes the wait in the warning about a TestClock that does not move. */
export const pause = (world: World, duration: Duration.DurationInput, what: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const wait = { what, until: world.now() + Duration.toMillis(duration) }
    world.waits.add(wait)
    return Effect.ensuring(world.clock.sleep(Duration.decode(duration)), Effect.sync(() => world.waits.delete(wait)))
  })

/** Declares a domain's part of the state. */
export const slice = <A>(name: string, make: (world: World) => A): (world: World) => A => {
  const key = { name }
  return (world) => {
    // Only this slice writes this key.
    const known = world.slices.get(key) as A | undefined
    if (known !== undefined) return known
    const made = make(world)
    world.slices.set(key, made)
    return made
  }
}

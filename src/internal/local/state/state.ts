/**
 * The one state behind Local Dust. Each domain keeps its own slice, made on first use:
 *
 * ```ts
 * const files = slice("files", (world) => ({ byId: new Map<string, LocalFile>() }))
 * files(context.world).byId.get(fileId)
 * ```
 *
 * State is plain mutable data, changed synchronously (JavaScript runs one handler at a time between two effects). Time
 * comes from `world.now()` and `world.clock`, ids from `world.sId()` and `world.numericId()`: the same calls give the
 * same ids, and TestClock decides the time.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Limits } from "./limits.ts"
import type { Seed } from "./seed.ts"

/** What a member, or an API key, may do. @category models @since 0.1.0 */
export type Role = "admin" | "manager" | "builder" | "user" | "none"

const ranks: Readonly<Record<Role, number>> = { none: 0, user: 1, builder: 2, manager: 2, admin: 3 }

/** Whether a role may do what another one may. */
export const atLeast = (role: Role, wanted: Role): boolean => ranks[role] >= ranks[wanted]

/** A member as the API shows it (`User` in responses). */
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
  /** Epoch milliseconds after which the token is expired. */
  readonly expiresAt: number | undefined
  /** Undefined: the token is valid but belongs to nobody (401 `user_not_found`). */
  readonly user: LocalUser | undefined
  readonly role: Role
  /** False: the user is not a member of this workspace. */
  readonly member: boolean
}

/** Who calls. `attributed` is a member named by an API key through `x-api-user-email`. */
export interface Auth {
  readonly kind: "key" | "user" | "system" | "anonymous"
  readonly role: Role
  readonly user: LocalUser | undefined
  readonly key: LocalApiKey | undefined
}

/**
 * The peculiarities of the real server, each with a switch. The defaults are the server's, unless it says otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Quirks {
  /** Event streams under `/api/v1` answer 307 with a relative `Location` under `/api/sse/v1`. Default true. */
  readonly sseRedirect: boolean
  /** Every event stream opens with the frame `event: dust-handshake`. Default true. */
  readonly handshake: boolean
  /** At most so many retained events per connection, which then closes. Default 50. */
  readonly historyPageSize: number
  /** The history of a channel is gone this long after its last event. Default 10 minutes. */
  readonly historyTtl: Duration.DurationInput
  /** A message stream closes at the first event after this time. Default 60 seconds. */
  readonly messageStreamLifetime: Duration.DurationInput
  /** A conversation stream closes after this time without an event. Default 180 seconds. */
  readonly conversationStreamSilence: Duration.DurationInput
  /** A stream of MCP requests closes after this time without an event. Default 300 seconds. */
  readonly mcpStreamSilence: Duration.DurationInput
  /** An orderly close is announced with the frame `data: done`. Default true. */
  readonly doneFrame: boolean
  /** The server never sends heartbeats: undefined. A duration makes it send comment lines in silence. */
  readonly heartbeat: Duration.DurationInput | undefined
  /** The internal end marker of a message stream is visible when it is replayed from the history. Default true. */
  readonly endOfStreamOnReplay: boolean
  /** An answered approval disappears from the history of the stream. Default true. */
  readonly removeAnsweredApprovals: boolean
  /**
   * A page of history is sorted by id as strings, so that events of one millisecond arrive out of order. On the real
   * server it takes events that arrive while the history is read; here it is every page. Default false.
   */
  readonly sameMillisecondReorder: boolean
  /**
   * How many events a channel retains. Who listens never loses any: an agent that is this far ahead of a connection waits
   * for it. Default 50 000.
   */
  readonly retainedEvents: number
  /**
   * What is left to pay for messages with. `exhausted`, `no_seat`, `user_cap` and `group_cap` answer 403 with
   * `credits_exhausted`, `no_seat`, `user_cap_reached` and `group_shared_usage_limit_reached`; `key_cap` answers API keys
   * with 429 `rate_limit_error`. Default `available`.
   */
  readonly credits: "available" | "exhausted" | "no_seat" | "user_cap" | "group_cap" | "key_cap"
  /** The status of `rate_limit_error` for too many messages. Default 403. */
  readonly rateLimitStatus: 403 | 429
  /** Only the server's 592 timezone names are accepted in a message context. Default true. */
  readonly fixedTimezones: boolean
  /** Unknown routes and methods answer a plain-text 404; false: an envelope. Default true. */
  readonly plainNotFound: boolean
  /** A JSON content type with an empty body is a 400; false: it counts as `{}`. Default true. */
  readonly emptyJsonBodyRefused: boolean
  /** Some routes refuse API keys, some refuse users. False: any valid credential may call anything. Default true. */
  readonly credentialRules: boolean
  /** A user's message to the agent that is running waits (`pending`) and stops it gracefully. Default true. */
  readonly steering: boolean
  /** How long `blocking: true` holds the response. Default 180 seconds. */
  readonly blockingLimit: Duration.DurationInput
  /** `blocking: true` leaves out failed agents and returns cancelled ones as they were at first. Default true. */
  readonly blockingStale: boolean
  /** Terminal events carry internal statuses (`gracefully_stopped`, `interrupted`), reads do not. Default true. */
  readonly rawStatusInEvents: boolean
  /** `agent_message_consumption_updated` follows the end of an answer. Default true. */
  readonly consumptionEvents: boolean
  /** `current` in mention suggestions is always refused. Default true. */
  readonly suggestionsCurrentRefused: boolean
  /** Exports report a failure as a line of text inside a 200. Default true. */
  readonly exportErrorLine: boolean
  /** Documents and rows become visible some time after the call that wrote them, when it asked for that. Default true. */
  readonly asyncUpserts: boolean
  /** Some calls answer 200 with an empty body. Default true. */
  readonly emptyOkBodies: boolean
}

/** What a domain may ask of another one; each domain fills in its own. Undefined: that domain is not there. */
export interface Lookups {
  file?: (fileId: string) => {
    readonly fileName: string
    readonly contentType: string
    readonly snippet: string | null
    readonly size: number
    /** `created`: announced, but no bytes arrived yet. */
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

export interface World {
  readonly workspaceId: string
  readonly workspaceName: string
  /** Where the API is, without a trailing slash; also used in `url` fields. */
  readonly origin: () => string
  /** Another origin that reaches the same server, for signed upload and download addresses. */
  readonly storageOrigin: () => string
  readonly quirks: Quirks
  readonly limits: Limits
  readonly seed: Seed
  /** The time before each token of agents that have no pace of their own. */
  readonly pace: Duration.Duration
  readonly clock: Clock.Clock
  /** Background work (agent loops, async upserts) runs in here until it ends or the workspace is reset: `Effect.forkIn(world.scope)`. */
  readonly scope: Scope.Scope
  readonly apiKeys: Map<string, LocalApiKey>
  readonly userTokens: Map<string, LocalUserToken>
  readonly members: Map<string, { readonly user: LocalUser; readonly role: Role }>
  readonly lookups: Lookups
  /** Epoch milliseconds. */
  readonly now: () => number
  /** An opaque id like the server's: ten letters and digits, after `prefix_` when given. */
  readonly sId: (prefix?: string) => string
  /** A database id: 1, 2, 3, … */
  readonly numericId: () => number
  /** A number in [0, 1), from the random seed. */
  readonly random: () => number
  /** The workspace object (`owner`) for a caller. */
  readonly owner: (auth: Auth) => Record<string, unknown>
  /** What the workspace itself waits for on its clock. */
  readonly waits: Set<{ readonly what: string; readonly until: number }>
  /** The state of the domains, by what `slice` has made. */
  readonly slices: Map<object, unknown>
  /** Every id that `sId` has given out. */
  readonly ids: ReadonlySet<string>
  /** Ends the background work and forgets everything, as if the workspace had just been made. */
  readonly restart: Effect.Effect<void>
}

/** Lets time pass on the workspace's clock. `what` names the wait for a person whose test does not go on. */
export const pause = (world: World, duration: Duration.DurationInput, what: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const wait = { what, until: world.now() + Duration.toMillis(duration) }
    world.waits.add(wait)
    return Effect.ensuring(world.clock.sleep(Duration.decode(duration)), Effect.sync(() => world.waits.delete(wait)))
  })

/** A domain's own part of the state. */
export const slice = <A>(name: string, make: (world: World) => A): (world: World) => A => {
  const key = { name }
  return (world) => {
    // What is kept under this key was made here.
    const known = world.slices.get(key) as A | undefined
    if (known !== undefined) return known
    const made = make(world)
    world.slices.set(key, made)
    return made
  }
}

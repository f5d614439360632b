/** Builds the state of a workspace from its options. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { defaults } from "./defaults.ts"
import { type Limits, limitsFrom } from "./limits.ts"
import type { Seed } from "./seed.ts"
import type { Auth, LocalApiKey, LocalUser, LocalUserToken, Quirks, Role, World } from "./state.ts"
import { forgetInterruptedSleeps } from "./testClock.ts"

/** An API key of the workspace. @category models @since 0.1.0 */
export interface ApiKeyOptions {
  /** The key: `sk-…` */
  readonly value: string | Redacted.Redacted
  /** The key's name. */
  readonly name?: string | undefined
  /** Defaults to `builder`. */
  readonly role?: Role | undefined
  /** A disabled key is refused with 401 `invalid_api_key_error`. */
  readonly disabled?: boolean | undefined
  /** One of Dust's system keys, which customers do not have. */
  readonly system?: boolean | undefined
  /**
   * The workspace of the key. Defaults to this one; the key of another one is refused with 401 `workspace_auth_error`.
   */
  readonly workspaceId?: string | undefined
}

/** A user. @category models @since 0.1.0 */
export interface UserOptions {
  readonly sId?: string | undefined
  readonly email?: string | undefined
  readonly firstName?: string | undefined
  readonly lastName?: string | undefined
  readonly username?: string | undefined
}

/** An access token of a user. @category models @since 0.1.0 */
export interface UserTokenOptions {
  readonly value: string | Redacted.Redacted
  /** Tokens with the same `email` belong to one user. `null`: a valid token without a user (401 `user_not_found`). */
  readonly user?: UserOptions | null | undefined
  /** The role in the workspace. Defaults to `user`. */
  readonly role?: Role | undefined
  /** Time from the start until the token expires (401 `expired_oauth_token_error`). Defaults to never. */
  readonly expiresIn?: Duration.DurationInput | undefined
  /** `false`: the user is not a member of the workspace (401 `workspace_auth_error`). Defaults to `true`. */
  readonly member?: boolean | undefined
}

/** Accepted credentials, in addition to the default ones. @category models @since 0.1.0 */
export interface CredentialOptions {
  readonly apiKeys?: ReadonlyArray<ApiKeyOptions> | undefined
  readonly userTokens?: ReadonlyArray<UserTokenOptions> | undefined
}

export interface WorldOptions {
  readonly workspaceId?: string | undefined
  readonly workspaceName?: string | undefined
  readonly quirks?: Partial<Quirks> | undefined
  readonly limits?: boolean | Partial<Limits> | undefined
  readonly credentials?: CredentialOptions | undefined
  readonly seed?: Seed | undefined
  readonly randomSeed?: number | undefined
  readonly pace?: Duration.DurationInput | undefined
}

export const defaultQuirks: Quirks = {
  sseRedirect: true,
  handshake: true,
  historyPageSize: 50,
  historyTtl: "10 minutes",
  messageStreamLifetime: "60 seconds",
  conversationStreamSilence: "180 seconds",
  mcpStreamSilence: "300 seconds",
  doneFrame: true,
  heartbeat: undefined,
  endOfStreamOnReplay: true,
  removeAnsweredApprovals: true,
  sameMillisecondReorder: false,
  retainedEvents: 50_000,
  credits: "available",
  rateLimitStatus: 403,
  fixedTimezones: true,
  plainNotFound: true,
  emptyJsonBodyRefused: true,
  credentialRules: true,
  steering: true,
  blockingLimit: "180 seconds",
  blockingStale: true,
  rawStatusInEvents: true,
  consumptionEvents: true,
  suggestionsCurrentRefused: true,
  exportErrorLine: true,
  asyncUpserts: true,
  emptyOkBodies: true
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// mulberry32
const makeRandom = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** All randomness and ids: the same seed and the same calls give the same values. */
const makeChance = (seed: number) => {
  let random = makeRandom(seed)
  let idRandom = makeRandom(seed ^ 0x5f3759df)
  let lastNumericId = 0
  const ids = new Set<string>()
  return {
    ids,
    random: () => random(),
    numericId: () => ++lastNumericId,
    sId: (prefix?: string) => {
      let id = prefix === undefined ? "" : `${prefix}_`
      for (let i = 0; i < 10; i++) id += ALPHABET[Math.floor(idRandom() * ALPHABET.length)]
      ids.add(id)
      return id
    },
    restart: () => {
      random = makeRandom(seed)
      idRandom = makeRandom(seed ^ 0x5f3759df)
      lastNumericId = 0
      ids.clear()
    }
  }
}

const reveal = (value: string | Redacted.Redacted): string => typeof value === "string" ? value : Redacted.value(value)

interface Accounts extends Pick<World, "apiKeys" | "userTokens" | "members"> {
  readonly clear: () => void
  readonly addKey: (key: ApiKeyOptions) => void
  readonly addToken: (token: UserTokenOptions) => void
}

/** Accepted credentials and their users. */
const makeAccounts = (
  { now, numericId, sId, workspaceId }: Pick<World, "now" | "numericId" | "sId" | "workspaceId">
): Accounts => {
  const apiKeys = new Map<string, LocalApiKey>()
  const userTokens = new Map<string, LocalUserToken>()
  const members = new Map<string, { readonly user: LocalUser; readonly role: Role }>()
  const users = new Map<string, LocalUser>()

  const makeUser = (user: UserOptions): LocalUser => {
    const email = (user.email ?? "ada@local-dust.test").toLowerCase()
    const known = users.get(email)
    if (known !== undefined) return known
    const username = user.username ?? email.split("@")[0] ?? "user"
    const firstName = user.firstName ?? username.charAt(0).toUpperCase() + username.slice(1)
    const lastName = user.lastName ?? null
    const made: LocalUser = {
      sId: user.sId ?? sId("usr"),
      id: numericId(),
      createdAt: now(),
      provider: null,
      username,
      email,
      firstName,
      lastName,
      fullName: lastName === null ? firstName : `${firstName} ${lastName}`,
      image: null
    }
    users.set(email, made)
    return made
  }

  const addKey = (key: ApiKeyOptions) => {
    const value = reveal(key.value)
    apiKeys.set(value, {
      id: numericId(),
      value,
      name: key.name ?? "Local Dust key",
      role: key.role ?? "builder",
      disabled: key.disabled ?? false,
      system: key.system ?? false,
      workspaceId: key.workspaceId ?? workspaceId
    })
  }
  const addToken = (token: UserTokenOptions) => {
    const value = reveal(token.value)
    const user = token.user === null ? undefined : makeUser(token.user ?? {})
    const member = token.member ?? true
    userTokens.set(value, {
      value,
      expiresAt: token.expiresIn === undefined ? undefined : now() + Duration.toMillis(token.expiresIn),
      user,
      role: token.role ?? "user",
      member
    })
    if (user !== undefined && member) members.set(user.sId, { user, role: token.role ?? "user" })
  }
  const clear = () => {
    for (const all of [apiKeys, userTokens, members, users]) all.clear()
  }
  return { apiKeys, userTokens, members, addKey, addToken, clear }
}

const fillAccounts = ({ addKey, addToken }: Accounts, credentials: CredentialOptions | undefined): void => {
  addKey({ value: defaults.apiKey, name: "Local Dust" })
  addKey({ value: defaults.adminApiKey, name: "Local Dust admin", role: "admin" })
  addToken({
    value: defaults.userToken,
    user: { email: "ada@local-dust.test", firstName: "Ada", lastName: "Lovelace" }
  })
  addToken({
    value: defaults.adminToken,
    user: { email: "grace@local-dust.test", firstName: "Grace", lastName: "Hopper" },
    role: "admin"
  })
  for (const key of credentials?.apiKeys ?? []) addKey(key)
  for (const token of credentials?.userTokens ?? []) addToken(token)
}

/** The address of the workspace; with `serve`, set once it listens. */
export interface Place {
  origin: string
  storageOrigin: string
  /** The request body limit, in bytes. */
  requestSize: number
}

export const makeWorld = (
  options: WorldOptions,
  scope: Scope.Scope,
  place: Place
): Effect.Effect<World> =>
  Effect.map(Effect.clock, (clock: Clock.Clock): World => {
    forgetInterruptedSleeps(clock)
    const chance = makeChance(options.randomSeed ?? 1)
    const workspaceId = options.workspaceId ?? defaults.workspaceId
    const workspaceName = options.workspaceName ?? "Local Dust"
    const now = () => clock.unsafeCurrentTimeMillis()
    const { numericId, sId } = chance
    const limits = limitsFrom(options.limits)
    place.requestSize = limits.requestSize
    const workspaceNumericId = numericId()
    const accounts = makeAccounts({ now, numericId, sId, workspaceId })
    fillAccounts(accounts, options.credentials)
    const waits: World["waits"] = new Set()
    const slices: World["slices"] = new Map()
    let background = Effect.runSync(Scope.fork(scope, ExecutionStrategy.sequential))
    const restart = Effect.gen(function*() {
      yield* Scope.close(background, Exit.void)
      background = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      chance.restart()
      waits.clear()
      slices.clear()
      accounts.clear()
      numericId()
      fillAccounts(accounts, options.credentials)
    })

    return {
      workspaceId,
      workspaceName,
      origin: () => place.origin,
      storageOrigin: () => place.storageOrigin,
      quirks: { ...defaultQuirks, ...options.quirks },
      limits,
      seed: options.seed ?? {},
      pace: Duration.decode(options.pace ?? 0),
      clock,
      get scope() {
        return background
      },
      apiKeys: accounts.apiKeys,
      userTokens: accounts.userTokens,
      members: accounts.members,
      lookups: {},
      now,
      sId,
      numericId,
      random: chance.random,
      owner: (auth: Auth) => ({
        id: workspaceNumericId,
        sId: workspaceId,
        name: workspaceName,
        role: auth.role,
        segmentation: null,
        whiteListedProviders: null,
        defaultEmbeddingProvider: null,
        regionalModelsOnly: false,
        ssoEnforced: false,
        metadata: null
      }),
      waits,
      slices,
      ids: chance.ids,
      restart,
      life: { activity: 0, recent: () => "", ended: false }
    }
  })

/** Provides the SDK's services to a command, with a credential from the environment, a stored file or a prompt. */
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { homedir } from "node:os"
import * as Dust from "../../Dust.ts"
import * as DustTest from "../../DustTest.ts"
import { CredentialError, Left } from "./failure.ts"
import { Output } from "./output.ts"
import { command } from "./program.ts"
import { useProxy } from "./proxy.ts"

/** Fields named like the environment variables. */
const Stored = Schema.parseJson(Schema.Struct({
  DUST_WORKSPACE_ID: Schema.String,
  DUST_REGION: Schema.optional(Schema.String),
  DUST_BASE_URL: Schema.optional(Schema.String),
  DUST_API_KEY: Schema.optional(Schema.String),
  DUST_ACCESS_TOKEN: Schema.optional(Schema.String)
}))

type Stored = typeof Stored.Type

export type Environment = FileSystem.FileSystem | Path.Path | Terminal.Terminal | Output

const variable = (name: string) =>
  Config.string(name).pipe(Config.withDefault(""), Config.map((text) => text.trim()), Effect.orDie)

/** The file for a prompted credential, if the user chooses to store it. */
export const storePath: Effect.Effect<string, never, Path.Path> = Effect.gen(function*() {
  const path = yield* Path.Path
  const configured = (yield* variable("XDG_CONFIG_HOME")) || (yield* variable("APPDATA"))
  return path.join(configured || path.join(homedir(), ".config"), "effect-dust", "credentials.json")
})

const stored = Effect.gen(function*() {
  const fileSystem = yield* FileSystem.FileSystem
  const file = yield* storePath
  if (!(yield* Effect.orElseSucceed(fileSystem.exists(file), () => false))) return Option.none<Stored>()
  const text = yield* Effect.mapError(
    fileSystem.readFileString(file),
    (error) => new CredentialError({ message: `${file}: ${error.message}; delete the file to be prompted again` })
  )
  return yield* Schema.decode(Stored)(text).pipe(
    Effect.mapBoth({
      onFailure: () => new CredentialError({ message: `${file} is not readable; delete it to be prompted again` }),
      onSuccess: Option.some
    })
  )
})

const store = (file: string, value: Stored) =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fileSystem.makeDirectory(path.dirname(file), { recursive: true, mode: 0o700 })
    yield* fileSystem.writeFileString(file, yield* Effect.orDie(Schema.encode(Stored)(value)), { mode: 0o600 })
  }).pipe(Effect.mapError((error) => new CredentialError({ message: `${file}: ${error.message}` })))

interface Workspace {
  readonly id: string
  /** The region, if the URL contains it. */
  readonly place: { readonly DUST_REGION?: "us" | "eu"; readonly DUST_BASE_URL?: string } | undefined
}

/** Accepts an id such as `0ec9852c2f`, or the URL of any page of the workspace. */
const readWorkspace = (text: string): Workspace => {
  const [, origin = "", host = "", id = ""] = /^(https?:\/\/([^/]+))\/w\/([^/?#]+)/.exec(text.trim()) ?? []
  if (id === "") return { id: text.trim(), place: undefined }
  const region = /^eu\.(?:.*\.)?dust\.tt$/.test(host) ? "eu" : /(?:^|\.)dust\.tt$/.test(host) ? "us" : undefined
  return { id, place: region === undefined ? { DUST_BASE_URL: origin } : { DUST_REGION: region } }
}

/** A single prompt for all fields, so that typed-ahead keys reach the next question. */
const questions = (file: string) =>
  Prompt.text({
    message: "Workspace id, or the address of any page of the workspace",
    validate: (text) =>
      readWorkspace(text).id === "" ? Effect.fail("The id is the part of the address after /w/.") : Effect.succeed(text)
  }).pipe(
    Prompt.map(readWorkspace),
    Prompt.flatMap(({ id, place }) =>
      Prompt.all({
        id: Prompt.succeed(id),
        place: place !== undefined ? Prompt.succeed(place) : Prompt.map(
          Prompt.select({
            message: "Region",
            choices: [{ title: "United States (dust.tt)", value: "us" }, { title: "Europe (eu.dust.tt)", value: "eu" }]
          }),
          (DUST_REGION) => ({ DUST_REGION })
        ),
        secret: Prompt.password({
          message: "API key (sk-…) or access token",
          validate: (text) => text.trim() === "" ? Effect.fail("Required.") : Effect.succeed(text.trim())
        }),
        keep: Prompt.confirm({ message: `Store these settings in ${file}?`, initial: false })
      })
    )
  )

const asked = Effect.gen(function*() {
  const output = yield* Output
  const file = yield* storePath
  yield* output.note(
    "A workspace admin creates API keys in Dust under Admin > Developers > API keys. Your answers are stored only with your consent."
  )
  const { id, keep, place, secret } = yield* Effect.mapError(Prompt.run(questions(file)), () => new Left())
  const credential = Redacted.value(secret)
  const value: Stored = {
    DUST_WORKSPACE_ID: id,
    ...place,
    ...(credential.startsWith("sk-") ? { DUST_API_KEY: credential } : { DUST_ACCESS_TOKEN: credential })
  }
  if (keep) {
    yield* store(file, value)
    yield* output.note(`Stored, readable only by you. Run ${command("logout")} to delete it.`)
  }
  return value
})

const names = ["DUST_WORKSPACE_ID", "DUST_API_KEY", "DUST_ACCESS_TOKEN", "DUST_REGION", "DUST_BASE_URL"]

/**
 * The error for an incomplete environment. If any variable is set, no other source is used, so that a key never reaches
 * another workspace.
 */
const settings = Effect.gen(function*() {
  for (const name of names) if ((yield* variable(name)) !== "") return Option.none<Stored>()
  const known = yield* stored
  if (Option.isSome(known)) return known
  if ((yield* Output).interactive) return Option.some(yield* asked)
  return yield* new CredentialError({
    message: "no credential: set DUST_WORKSPACE_ID and DUST_API_KEY, run in a terminal to be prompted, or try --local"
  })
})

export const local = Options.boolean("local").pipe(
  Options.withDescription(
    "Use Local Dust, an in-memory workspace whose agent repeats the message; requires no account"
  )
)

/** An in-memory workspace that accepts questions and writes. */
const localDust = DustTest.layer({ pace: "20 millis", credential: "adminToken" })

/** The layer of a command. The environment is used alone if it sets any credential, so that no stored value is mixed in. */
export const connected = (
  useLocal: boolean
): Layer.Layer<Dust.Services, unknown, Environment> =>
  useLocal ? localDust : Layer.unwrapEffect(Effect.map(Effect.zipLeft(settings, useProxy), (found) => {
    const base = Layer.provide(Dust.layerEnv, FetchHttpClient.layer)
    return Option.match(found, {
      onNone: () => base,
      onSome: (values) => {
        const given = ConfigProvider.fromMap(
          new Map(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined))
        )
        return Layer.provide(
          base,
          Layer.unwrapEffect(Effect.map(
            Effect.configProviderWith(Effect.succeed),
            (environment) => Layer.setConfigProvider(ConfigProvider.orElse(given, () => environment))
          ))
        )
      }
    })
  }))

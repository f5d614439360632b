/** Runs the programs of the guides against Local Dust. Bundled by `test/package/guides.test.ts`. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Cause, Effect, Exit, Schema } from "effect"
import type * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"

export interface Program {
  readonly where: string
  readonly load: () => Promise<{ readonly program: Effect.Effect<unknown, unknown, Dust.Services> }>
}

/** A message as the test shows it; `undefined` after success. With a user's token where an API key does not do. */
const failureOf = ({ load, where }: Program, agents: DustTest.Options["agents"]) =>
  Effect.gen(function*() {
    const { program } = yield* Effect.promise(load)
    const run = (credential: "apiKey" | "userToken") =>
      program.pipe(Effect.timeout("30 seconds"), Effect.provide(DustTest.layer({ agents, credential })))
    const exit = yield* Effect.exit(
      run("apiKey").pipe(
        Effect.catchIf((error) => (error as { _tag?: string })._tag === "DustUserRequiredError", () => run("userToken"))
      )
    )
    return Exit.isSuccess(exit) ? undefined : `${where}: ${Cause.pretty(exit.cause)}`
  }).pipe(Effect.provide(FetchHttpClient.layer))

export const report = async (
  programs: ReadonlyArray<Program>,
  agents: DustTest.Options["agents"]
): Promise<string> => {
  const failures = await Effect.runPromise(
    Effect.forEach(programs, (program) => failureOf(program, agents), { concurrency: 4 })
  )
  return Schema.encodeSync(Schema.parseJson(Schema.Array(Schema.String)))(failures.filter((one) => one !== undefined))
}

/** Runs the programs of the guides against Local Dust. Bundled by `test/package/guides.test.ts`. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Cause, Effect, Exit, Schema } from "effect"
import type * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"

export interface Program {
  readonly where: string
  readonly load: () => Promise<{ readonly program: Effect.Effect<unknown, unknown, Dust.Services> }>
}

const agents: DustTest.Options["agents"] = {
  // Repeats the message as Local Dust does, and answers in JSON where a guide asks for it.
  dust: ({ message }) => message.includes("\"queue\"") ? JSON.stringify({ queue: "billing" }) : message,
  careful: { name: "Careful", script: [DustTest.text("The large one.", { pace: "1 second" })] },
  quick: { name: "Quick", script: "The large one." },
  mailer: { name: "Mailer", script: [DustTest.approval({ name: "send_email", stake: "high" })] },
  triage: { name: "Triage", script: JSON.stringify({ queue: "billing", due: "2026-12-01T00:00:00Z" }) }
}

const local = (credential: "apiKey" | "userToken") => DustTest.layer({ agents, credential })

/** A message as the test shows it; `undefined` after success. With a user's token where an API key does not do. */
const failureOf = ({ load, where }: Program) =>
  Effect.gen(function*() {
    const { program } = yield* Effect.promise(load)
    const run = (credential: "apiKey" | "userToken") =>
      program.pipe(Effect.timeout("30 seconds"), Effect.provide(local(credential)))
    const exit = yield* Effect.exit(
      run("apiKey").pipe(
        Effect.catchIf((error) => (error as { _tag?: string })._tag === "DustUserRequiredError", () => run("userToken"))
      )
    )
    return Exit.isSuccess(exit) ? undefined : `${where}: ${Cause.pretty(exit.cause)}`
  }).pipe(Effect.provide(FetchHttpClient.layer))

export const report = async (programs: ReadonlyArray<Program>): Promise<string> => {
  const failures = await Effect.runPromise(Effect.forEach(programs, failureOf, { concurrency: 4 }))
  return Schema.encodeSync(Schema.parseJson(Schema.Array(Schema.String)))(failures.filter((one) => one !== undefined))
}

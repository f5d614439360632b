/** A service that asks an agent, tested against a scripted one. Run with vitest. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

// The application: triage of support mail.
class Triage extends Context.Tag("app/Triage")<Triage, {
  readonly urgency: (mail: string) => Effect.Effect<"high" | "low">
}>() {
  static readonly layer = Layer.effect(
    Triage,
    Effect.map(Chat, (chat) => ({
      urgency: (mail) =>
        chat.send({ agent: "triage", message: mail }).pipe(
          Effect.map((reply) => reply.text.includes("urgent") ? "high" as const : "low" as const),
          Effect.catchAll(() => Effect.succeed("high" as const))
        )
    }))
  )
}

const urgencyOf = (mail: string) => Effect.flatMap(Triage, (triage) => triage.urgency(mail))

it.effect("asks the agent", () =>
  urgencyOf("The server is on fire").pipe(
    Effect.map((urgency) => assert.strictEqual(urgency, "high")),
    Effect.provide(Layer.provide(
      Triage.layer,
      DustTest.layer({
        agents: { triage: ({ message }) => message.includes("fire") ? "This is urgent." : "No hurry." }
      })
    ))
  ))

it.effect("is careful when the agent fails", () =>
  urgencyOf("Thank you!").pipe(
    Effect.map((urgency) => assert.strictEqual(urgency, "high")),
    Effect.provide(Layer.provide(Triage.layer, DustTest.layer({ agents: { triage: [DustTest.fail()] } })))
  ))

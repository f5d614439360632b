/**
 * Lists triggers (for administrators) and sends a signed webhook to one of them.
 *
 * For your own workspace: DUST_WEBHOOK_SOURCE and DUST_WEBHOOK_SECRET are the last two parts of the webhook's URL,
 * DUST_SIGNING_SECRET and DUST_SIGNATURE_HEADER are those of the webhook source.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Redacted, Stream } from "effect"
import { Triggers } from "effect-dust/Triggers"
import { done, dustAs, failed, says, title } from "./support.ts"

const text = (name: string, local: string) => Config.string(name).pipe(Config.withDefault(local))
const secret = (name: string, local: string) => Config.redacted(name).pipe(Config.withDefault(Redacted.make(local)))

const program = Effect.gen(function*() {
  const triggers = yield* Triggers

  yield* title("Enabled triggers")
  yield* triggers.stream().pipe(
    Stream.runForEach((trigger) => {
      const { configuration } = trigger
      const when = "cron" in configuration ? `at ${String(configuration.cron)}` : trigger.kind
      return says(trigger.name, `${when}, starts ${trigger.agentId ?? "nobody"}`)
    }),
    Effect.catchTag("DustForbiddenError", (error) => failed(error.message))
  )

  yield* title("A webhook")
  const webhook = {
    webhookSourceId: yield* text("DUST_WEBHOOK_SOURCE", "whs_signed"),
    urlSecret: yield* secret("DUST_WEBHOOK_SECRET", "local-webhook-secret"),
    payload: { event: "deployed", service: "checkout", version: "1.4.2" }
  }
  const signature = {
    header: yield* text("DUST_SIGNATURE_HEADER", "x-local-signature"),
    secret: yield* secret("DUST_SIGNING_SECRET", "local-signing-secret")
  }
  yield* triggers.sendWebhook({ ...webhook, signature })
  yield* done("accepted")

  yield* title("A wrong secret, which is never printed")
  yield* triggers.sendWebhook({ ...webhook, urlSecret: Redacted.make("wrong") }).pipe(
    Effect.catchAll((error) => failed(`${error._tag}: ${error.message}`))
  )
})

program.pipe(Effect.provide(dustAs("adminApiKey")), NodeRuntime.runMain)

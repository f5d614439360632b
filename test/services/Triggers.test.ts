import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Inspectable, Redacted, Stream, TestClock, Tracer } from "effect"
import * as DustTest from "effect-dust/DustTest"
import * as Triggers from "effect-dust/Triggers"
import { createHmac } from "node:crypto"
import { dust, json } from "../support/http.ts"

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({ credential: "adminApiKey", agents: { even: {}, odd: {} }, ...options }))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const many: ReadonlyArray<DustTest.TriggerSeed> = Array.from({ length: 250 }, (_, i) => ({
  sId: `trg_${i}`,
  name: `Trigger ${i}`,
  agentId: i % 2 === 0 ? "even" : "odd",
  configuration: { cron: "0 9 * * 1", timezone: "UTC" }
}))

const secret = Redacted.make("local-webhook-secret")
const deploys = { webhookSourceId: "whs_deploys", urlSecret: secret } as const

describe("Triggers", () => {
  it.effect("list: returns the enabled triggers, or those of a status, a kind and an agent", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const enabled = yield* triggers.list()
      assert.deepStrictEqual(enabled.map((one) => one.sId), ["trg_weekly", "trg_deploys"])
      assert.deepStrictEqual((yield* last).query, { limit: "100", offset: "0" })
      assert.strictEqual(enabled[0]?.agentId, "echo")
      assert.deepStrictEqual(enabled[0]?.configuration, { cron: "0 9 * * 1", timezone: "Europe/Paris" })
      assert.isNull(enabled[0]?.webhookSource)
      assert.deepStrictEqual(enabled[1]?.configuration, { includePayload: true, event: null, filter: null })
      assert.strictEqual(enabled[1]?.webhookSource?.provider, "custom")
      const disabled = yield* triggers.list({ status: "disabled", kind: "schedule", agentId: "echo" })
      assert.deepStrictEqual(disabled.map((one) => one.configuration), [
        { intervalDays: 2, dayOfWeek: null, hour: 8, minute: 30, timezone: "UTC" }
      ])
      assert.deepStrictEqual((yield* last).query, {
        status: "disabled",
        kind: "schedule",
        agentConfigurationId: "echo",
        limit: "100",
        offset: "0"
      })
    }).pipe(local()))

  it.effect("list: returns every page", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      assert.lengthOf(yield* triggers.list(), 250)
      assert.strictEqual(yield* requests, 3)
    }).pipe(local({ seed: { triggers: { triggers: many } } })))

  it.effect("list: the total limit bounds all pages together, and its error counts their requests", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const fiber = yield* Effect.fork(Effect.flip(triggers.list()))
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(error._tag === "DustTimeoutError" && error.phase === "total")
      assert.deepStrictEqual([error.method, error.attempts], ["list", 4])
    }).pipe(Effect.provide(
      dust(({ nth }) => {
        const triggers = Array.from({ length: 100 }, (_, i) => ({ sId: `trg_${nth}_${i}`, kind: "schedule" }))
        return Effect.as(Effect.sleep("3 seconds"), json({ triggers }))
      }, { timeouts: { total: "10 seconds" } }).layer
    )))

  it.effect("page: returns one page, and where the next one begins", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const first = yield* triggers.page()
      assert.lengthOf(first.triggers, 50)
      assert.strictEqual(first.nextOffset, 50)
      assert.deepStrictEqual((yield* last).query, {})
      const end = yield* triggers.page({ limit: 100, offset: 200 })
      assert.lengthOf(end.triggers, 50)
      assert.isNull(end.nextOffset)
      assert.deepStrictEqual((yield* last).query, { limit: "100", offset: "200" })
    }).pipe(local({ seed: { triggers: { triggers: many } } })))

  it.effect("streams all of them, a page at a time, and stops on a short one", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const all = yield* Stream.runCollect(triggers.stream())
      assert.strictEqual(all.length, 250)
      assert.strictEqual(new Set([...all].map((one) => one.sId)).size, 250)
      assert.strictEqual(yield* requests, 3)
      const odd = yield* Stream.runCollect(triggers.stream({ agentId: "odd" }))
      assert.strictEqual(odd.length, 125)
      assert.strictEqual(yield* requests, 5)
      yield* Stream.runDrain(Stream.take(triggers.stream(), 3))
      assert.strictEqual(yield* requests, 6)
    }).pipe(local({ seed: { triggers: { triggers: many } } })))

  it.effect("goes on after a page with an element it cannot read", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      assert.strictEqual((yield* Stream.runCollect(triggers.stream())).length, 249)
      assert.strictEqual(yield* requests, 3)
    }).pipe(local({
      seed: { triggers: { triggers: many } },
      faults: [{
        nth: 1,
        fault: DustTest.faults.transformJson((json) => ({
          triggers: [{ odd: true }, ...(json as { readonly triggers: ReadonlyArray<unknown> }).triggers.slice(1)]
        }))
      }]
    })))

  it.effect("page: refuses limits and offsets out of range before any request", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      for (const options of [{ limit: 0 }, { limit: 101 }, { limit: 1.5 }, { limit: Number.NaN }]) {
        assert.deepPropertyVal((yield* Effect.flip(triggers.page(options))).details, "field", "limit")
      }
      assert.deepPropertyVal((yield* Effect.flip(triggers.page({ offset: -1 }))).details, "field", "offset")
      assert.strictEqual(yield* requests, 0)
    }).pipe(local()))

  it.effect("reads one", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      assert.strictEqual((yield* triggers.get("trg_weekly")).customPrompt, "Summarize the week")
      const missing = yield* Effect.flip(triggers.get("trg_none"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.type, "trigger_not_found")
    }).pipe(local()))

  it.effect("needs an administrator to read", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      assert.strictEqual((yield* Effect.flip(triggers.list()))._tag, "DustForbiddenError")
    }).pipe(local({ credential: "apiKey" })))

  it.effect("sends a webhook without a user's credential either", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      yield* triggers.sendWebhook({ ...deploys, payload: {} })
      assert.notProperty((yield* last).headers, "authorization")
    }).pipe(local({ credential: "adminToken" })))

  it.effect("sends a webhook without the credential of the layer", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      yield* triggers.sendWebhook({ ...deploys, payload: { service: "checkout" }, headers: { "x-event": "deployed" } })
      const request = yield* last
      assert.strictEqual(request.credential, "none")
      assert.notProperty(request.headers, "authorization")
      assert.strictEqual(request.headers["x-event"], "deployed")
      assert.deepStrictEqual(request.body, { service: "checkout" })
    }).pipe(local({ credential: "apiKey" })))

  it.effect("signs exactly the bytes it sends", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      let asked = 0
      const payload = { text: "naïve ☕", at: { toJSON: () => ++asked } }
      const signature = { header: "X-Local-Signature", secret: Redacted.make("local-signing-secret") }
      yield* triggers.sendWebhook({ webhookSourceId: "whs_signed", urlSecret: secret, payload, signature })
      const expected = createHmac("sha256", "local-signing-secret").update(JSON.stringify({ text: "naïve ☕", at: 1 }))
      assert.strictEqual((yield* last).headers["x-local-signature"], `sha256=${expected.digest("hex")}`)
      const unsigned = yield* Effect.flip(
        triggers.sendWebhook({ webhookSourceId: "whs_signed", urlSecret: secret, payload })
      )
      assert.strictEqual(unsigned._tag, "DustBadRequestError")
      const wrong = yield* Effect.flip(triggers.sendWebhook({
        webhookSourceId: "whs_signed",
        urlSecret: secret,
        payload,
        signature: { ...signature, algorithm: "sha512" }
      }))
      assert.include(wrong.message, "Invalid webhook signature")
    }).pipe(local()))

  it.effect("maps what a webhook can fail with, without ever saying the secret", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          const span: Tracer.Span = {
            _tag: "Span",
            name,
            spanId: "s",
            traceId: "t",
            parent,
            context,
            status: { _tag: "Started", startTime },
            attributes,
            links,
            sampled: true,
            kind,
            end: () => {},
            attribute: (key, value) => {
              attributes.set(key, value)
            },
            event: () => {},
            addLinks: () => {}
          }
          spans.push(span)
          return span
        },
        context: (f) => f()
      })
      const hidden = "very-hidden-secret"
      const fail = (webhookSourceId: string) =>
        triggers.sendWebhook({ webhookSourceId, urlSecret: Redacted.make(hidden), payload: {} }).pipe(
          Effect.withTracer(tracer),
          Effect.exit
        )
      const wrong = yield* fail("whs_deploys")
      const unknown = yield* fail("whs_nobody")
      const refused = yield* triggers.sendWebhook({
        webhookSourceId: "..",
        urlSecret: Redacted.make(hidden),
        payload: {}
      })
        .pipe(Effect.exit)
      const tags = [wrong, unknown, refused].map((exit) =>
        Exit.isFailure(exit) && exit.cause._tag === "Fail" ? exit.cause.error._tag : "?"
      )
      assert.deepStrictEqual(tags, ["DustUnauthorizedError", "DustNotFoundError", "DustBadRequestError"])
      const said = [wrong, unknown, refused].map((exit) =>
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) + Inspectable.format(exit) + JSON.stringify(exit) : ""
      ).join()
      assert.isAbove(said.length, 100)
      assert.notInclude(said, hidden)
      assert.isAbove(spans.length, 0)
      for (const span of spans) {
        assert.notInclude(`${span.name} ${JSON.stringify([...span.attributes])}`, hidden)
      }
    }).pipe(local()))

  it.effect("a proxy that repeats the address of the webhook does not bring its secret into the error", () => {
    const secrets = ["very-hidden-secret", "very hidden/secret"]
    const { layer } = dust(({ url }) =>
      new Response(`<h1>No route</h1> ${url.href} ${decodeURIComponent(url.pathname)}`, { status: 404 })
    )
    return Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      for (const hidden of secrets) {
        const error = yield* Effect.flip(
          triggers.sendWebhook({ webhookSourceId: "whs_deploys", urlSecret: Redacted.make(hidden), payload: {} })
        )
        assert.strictEqual(error._tag, "DustNotFoundError")
        const said = `${error.message} ${JSON.stringify(error)}`
        assert.include(said, "whs_deploys")
        assert.notInclude(said, hidden)
        assert.notInclude(said, encodeURIComponent(hidden))
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuses an unsendable payload before any request", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      for (const payload of [circular, undefined, () => 1, 1n]) {
        const error = yield* Effect.flip(triggers.sendWebhook({ ...deploys, payload }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", "payload")
      }
      const exact = "x".repeat(2 * 1024 * 1024 - 2)
      const large = yield* Effect.flip(triggers.sendWebhook({ ...deploys, payload: `${exact}x` }))
      assert.strictEqual(large._tag, "DustContentTooLargeError")
      assert.strictEqual(large.attempts, 0)
      const blank = yield* Effect.flip(
        triggers.sendWebhook({ ...deploys, urlSecret: Redacted.make(" "), payload: {} })
      )
      assert.strictEqual(blank._tag, "DustBadRequestError")
      const wiped = Redacted.make("a secret")
      Redacted.unsafeWipe(wiped)
      const emptied = yield* Effect.flip(triggers.sendWebhook({ ...deploys, urlSecret: wiped, payload: {} }))
      assert.deepPropertyVal(emptied.details, "field", "urlSecret")
      const keyless = yield* Effect.flip(triggers.sendWebhook({
        ...deploys,
        payload: {},
        signature: { header: "x", secret: Redacted.make("") }
      }))
      assert.deepPropertyVal(keyless.details, "field", "signature")
      assert.strictEqual(yield* requests, 0)
      yield* triggers.sendWebhook({ ...deploys, payload: exact })
      assert.strictEqual(yield* requests, 1)
    }).pipe(local()))

  it.effect("sends a webhook once", () =>
    Effect.gen(function*() {
      const triggers = yield* Triggers.Triggers
      const error = yield* Effect.flip(triggers.sendWebhook({ ...deploys, payload: {} }))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(yield* requests, 1)
    }).pipe(local({ faults: [{ method: "POST", fault: DustTest.faults.resetAfter() }] })))
})

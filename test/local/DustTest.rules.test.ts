import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Option } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

const { faults } = DustTest

const ask = Effect.flatMap(Chat, (chat) => chat.send({ agent: "echo", message: "Hello" }))

const withFaults = (...rules: ReadonlyArray<DustTest.FaultRule>) => Effect.provide(DustTest.layer({ faults: rules }))

const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    assert.instanceOf(defect, DustTest.DustTestRuleError)
    return defect.message
  })

/** The log of the workspace until its scope closes. */
const warningsOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => lines.push(`${logLevel._tag} ${String(message)}`))
    const exit = yield* Effect.exit(Effect.provide(effect, Logger.add(logger)))
    return { exit, lines }
  })

const messages = "/assistant/conversations/{conversationId}/messages"

describe("DustTest rules", () => {
  for (
    const path of [
      messages,
      "/assistant/conversations/:conversationId/messages",
      "/assistant/conversations/{cId}/messages",
      `/api/v1/w/{workspaceId}${messages}`,
      "/api/v1/w/:workspaceId/assistant/conversations/:conversationId/messages"
    ]
  ) {
    it.effect(`path: a fault occurs and a filter selects with ${path}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ask)
        assert.strictEqual(error._tag, "DustBadRequestError")
        const dust = yield* DustTest.DustTest
        assert.strictEqual(yield* dust.countRequests({ method: "POST", path: DustTest.path(path) }), 1)
        assert.strictEqual(yield* dust.countRequests({ path: DustTest.path(path), status: 200 }), 0)
      }).pipe(withFaults({ method: "POST", path: DustTest.path(path), fault: faults.status(400) })))
  }

  it("path: a misspelt one does not compile", () => {
    const fault = faults.status(400)
    const rules: ReadonlyArray<DustTest.FaultRule> = [
      { path: "/skills", fault },
      { path: "/skills/{skillId}", fault },
      { path: "/api/v1/w/:workspaceId/skills/:skillId", fault },
      { path: "/api/w/{workspaceId}/assistant/conversations/{conversationId}", fault },
      { path: /skils/, fault },
      // @ts-expect-error no endpoint has this path
      { path: "/skils", fault },
      // @ts-expect-error the endpoint has no parameter of this name
      { path: "/skills/{skilId}", fault }
    ]
    expectTypeOf<{ readonly path: "/assistant/mesages" }>().not.toExtend<DustTest.RequestFilter>()
    expectTypeOf<{ readonly path: string }>().not.toExtend<DustTest.RequestFilter>()
    assert.lengthOf(rules, 7)
  })

  it.effect("path: a value in place of a parameter selects only that value", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const { conversationId } = yield* ask
      yield* ask
      const posted = (id: string) =>
        dust.countRequests({ method: "POST", path: DustTest.path(messages.replace("{conversationId}", id)) })
      assert.deepStrictEqual(
        [yield* posted("{conversationId}"), yield* posted(conversationId), yield* posted("other")],
        [
          2,
          1,
          0
        ]
      )
      const whole = `/api/v1/w/${dust.workspaceId}/assistant/conversations/${conversationId}/messages`
      assert.strictEqual(yield* dust.countRequests({ method: "POST", path: DustTest.path(whole) }), 1)
    }).pipe(withFaults()))

  it.effect("path: a template with a rest parameter is accepted in both notations", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      for (const rest of ["{rest}", "*rest", ":rest", "out/a.csv"]) {
        const path = `/assistant/conversations/{conversationId}/files/path/${rest}`
        const exit = yield* Effect.exit(dust.countRequests({ path: DustTest.path(path) }))
        assert.isTrue(Exit.isSuccess(exit), path)
      }
    }).pipe(withFaults()))

  it.effect("path: an unknown one is refused, with the nearest paths in the message", () =>
    Effect.gen(function*() {
      const path = DustTest.path("/assistant/conversation/:conversationId/mesages")
      const atStart = yield* defectOf(
        ask.pipe(withFaults({ method: "POST", path: DustTest.path(path), fault: faults.status(400) }))
      )
      assert.match(
        atStart,
        /^A fault cannot occur: no route has the path \/assistant\/conversation\/:conversationId\/mesages;/
      )
      assert.include(atStart, `similar: POST ${messages}`)
      const later = Effect.flatMap(DustTest.DustTest, (dust) => dust.fault({ path, fault: faults.status(400) }))
      assert.include(yield* defectOf(later.pipe(withFaults())), messages)
      const filter = Effect.flatMap(DustTest.DustTest, (dust) => dust.requests({ path: DustTest.path("/skils") }))
      assert.match(yield* defectOf(filter.pipe(withFaults())), /^A filter cannot select anything: .*GET \/skills/)
      const waiting = Effect.flatMap(
        DustTest.DustTest,
        (dust) => dust.waitForRequest({ path: DustTest.path("/nowhere/at/all") })
      )
      assert.include(yield* defectOf(waiting.pipe(withFaults())), "Use a RegExp")
    }))

  it.effect("method: an unknown one, or one that the path does not support, is refused", () =>
    Effect.gen(function*() {
      const start = (rule: Omit<DustTest.FaultRule, "fault">) =>
        defectOf(ask.pipe(withFaults({ ...rule, fault: faults.refuse() })))
      assert.include(yield* start({ method: "PSOT" }), "PSOT is not an HTTP method; similar: POST")
      assert.include(
        yield* start({ method: "PUT", path: "/skills/{skillId}" }),
        "there is no PUT /skills/{skillId}; that path has DELETE"
      )
    }))

  it.effect("path: a RegExp is never refused", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      assert.strictEqual(yield* dust.countRequests({ path: /nowhere/ }), 0)
    }).pipe(withFaults()))

  it.effect("a fault that never occurred is a warning at the end of the scope", () =>
    Effect.gen(function*() {
      const path = "/skills"
      const never = yield* warningsOf(ask.pipe(withFaults(
        { path, method: "GET", fault: faults.status(500) },
        { path: messages, method: "POST", nth: 2, fault: faults.status(500) }
      )))
      assert.isTrue(Exit.isSuccess(never.exit))
      assert.deepStrictEqual(never.lines, [
        "Warning Local Dust: a scripted fault never occurred: Respond at GET /skills (no request matched); "
        + `Respond at POST ${messages} (1 matched, nth is 2)`
      ])
      const occurred = yield* warningsOf(
        Effect.exit(ask).pipe(withFaults({ path: messages, method: "POST", fault: faults.status(400) }))
      )
      assert.deepStrictEqual(occurred.lines, [])
      const scripted = Effect.flatMap(DustTest.DustTest, (dust) =>
        Effect.zipRight(dust.fault({ path, fault: faults.refuse() }), dust.clearFaults))
      assert.match((yield* warningsOf(scripted.pipe(withFaults()))).lines.join(), /Refuse at \/skills/)
    }))

  it.effect("required: the scope ends with a defect if the fault never occurred", () =>
    Effect.gen(function*() {
      const rule = { method: "GET", path: "/skills", fault: faults.status(500), required: true } as const
      assert.strictEqual(
        yield* defectOf(ask.pipe(withFaults(rule))),
        "A required fault never occurred: Respond at GET /skills (no request matched)."
      )
      const occurred = { method: "POST", path: messages, fault: faults.status(400), required: true } as const
      yield* Effect.exit(ask).pipe(withFaults(occurred))
    }))
})

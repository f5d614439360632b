/** Mistakes of a tester: each is reported at once, with its place and the nearest names. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Logger, Option, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"
import type { Json } from "../support/local.ts"

const { faults, path } = DustTest
const messages = "/assistant/conversations/{conversationId}/messages"

const askAs = (agent: string) =>
  Effect.map(Effect.flatMap(Chat, (chat) => chat.send({ agent, message: "Hello" })), ({ text }) => text)

const ask = askAs("echo")

/** The message of the defect that an effect dies with. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    assert.isTrue(
      defect instanceof DustTest.DustTestRuleError || defect instanceof DustTest.DustTestOptionsError,
      `no mistake was found: ${String(exit)}`
    )
    return (defect as Error).message
  })

/** What is reported while an effect runs. */
const reportsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => lines.push(String(message)))
    return Effect.map(Effect.exit(Effect.provide(effect, Logger.add(logger))), (exit) => ({ exit, lines }))
  })

/** Options without types, as in JavaScript. */
const withOptions = (options: Json) => Effect.provide(DustTest.layer(options as DustTest.Options))

const withRules = (...rules: ReadonlyArray<Json>) => withOptions({ faults: rules })

const fault = faults.status(400)

const realTime = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

const at = (text: string) => ({ path: path(text), fault })

/** A path or a value of a rule, and what the defect must contain. */
const wrongRules: ReadonlyArray<readonly [name: string, rules: ReadonlyArray<Json>, message: RegExp]> = [
  ["an unknown field", [{ paht: messages, fault }], /paht is unknown; similar: path, /],
  ["the name of an operation", [{ operation: "Chat.send", fault }], /operation is unknown/],
  ["no fault", [{ path: messages }], /fault is missing/],
  ["a constructor that is not called", [{ fault: faults.resetAfter }], /fault is a function; call it/],
  ["a text as fault", [{ fault: "reset" }], /fault must be made by DustTest\.faults, not "reset"/],
  ["an unknown kind of fault", [{ fault: { _tag: "Rest" } }], /unknown fault: Rest; similar: Reset, /],
  ["a text as rule", ["reset"], /a rule must be an object, not "reset"/],
  ["times: 0", [{ times: 0, fault }], /times must be a whole number from 1, not 0/],
  ["times: NaN", [{ times: Number.NaN, fault }], /times must be a whole number from 1, not NaN/],
  ["nth: 0", [{ nth: 0, fault }], /nth must be a whole number from 1, not 0/],
  ["nth: a text", [{ nth: "1", fault }], /nth must be a whole number from 1, not "1"/],
  ["nth: an empty list", [{ nth: [], fault }], /nth is an empty list/],
  ["nth above times", [{ nth: 3, times: 2, fault }], /nth is 3, and times is 2/],
  ["probability: 0", [{ probability: 0, fault }], /probability must be a number above 0, up to 1, not 0/],
  ["probability: 50", [{ probability: 50, fault }], /probability must be a number above 0, up to 1, not 50/],
  ["a condition that is not a function", [{ when: { body: 1 }, fault }], /when must be a function, not an object/],
  ["a status below 200", [{ fault: faults.status(99) }], /status must be a whole number from 200 to 599, not 99/],
  ["a delay in unknown words", [{ fault: faults.delayHeaders("5 secs" as "5 seconds") }], /must be a duration/],
  ["pieces of no bytes", [{ fault: faults.drip(0) }], /fault\.bytes must be a whole number from 1, not 0/],
  ["a cut at NaN", [{ fault: faults.cut(Number.NaN) }], /fault\.afterBytes must be a whole number from 0, not NaN/],
  ["a path with undefined", [at(`/skills/${String(undefined)}`)], /contains undefined.*DELETE \/skills\/\{skillId\}/],
  [
    "half a brace",
    [at("/skills/{skillId")],
    /a parameter is written \{skillId\} or :skillId, not \{skillId; similar/
  ],
  ["angle brackets", [at("/skills/<skillId>")], /written \{skillId\} or :skillId, not <skillId>/],
  ["square brackets", [at("/skills/[skillId]")], /written \{skillId\} or :skillId, not \[skillId\]/],
  ["a dollar", [at("/skills/$skillId")], /written \{skillId\} or :skillId, not \$skillId/],
  ["an asterisk", [at("/skills/*")], /a parameter is written \{name\} or :name, not \*/],
  ["a query in the path", [at("/skills/skl_1?x=1")], /a path has no query; test it in a condition/],
  [
    "an address",
    [at("https://dust.tt/api/v1/w/x/skills")],
    /starts with \/, without the origin; similar: GET \/skills/
  ],
  ["a path without its first slash", [at("skills")], /starts with \/; similar: GET \/skills/],
  [
    "a fault after one that hits the same requests",
    [{ path: messages, fault: faults.delayHeaders(1) }, { method: "POST", path: messages, fault }],
    /Respond at POST \S+ comes after Delay at \S+, which hits the same requests first/
  ],
  [
    "a fault after one for every request",
    [{ fault: faults.delayHeaders(1) }, at("/skills")],
    /after Delay at any request/
  ],
  ["the same request twice", [{ path: messages, nth: 1, fault }, { path: messages, nth: 1, fault }], /comes after/],
  [
    "a request that times covers",
    [{ path: messages, times: 3, fault }, { path: messages, nth: 2, fault }],
    /comes after/
  ]
]

/** Options that have no effect or cannot be used, and what the defect must contain. */
const wrongOptions: ReadonlyArray<readonly [name: string, options: Json, message: RegExp]> = [
  ["an unknown option", { agnets: {} }, /: agnets is unknown; similar: agents, /],
  ["an unknown credential", { credential: "usertoken" }, /credential must be one of "apiKey", .*, not "usertoken"/],
  ["an unknown quirk", { quirks: { doneFarme: false } }, /quirks\.doneFarme is unknown; similar: doneFrame, /],
  ["a quirk of another kind", { quirks: { credits: "none" } }, /quirks\.credits must be one of "available"/],
  [
    "an unknown limit",
    { limits: { messagePerMinute: 3 } },
    /limits\.messagePerMinute is unknown; .* messagesPerMinute/
  ],
  ["a limit of NaN", { limits: { messagesPerMinute: Number.NaN } }, /must be a number above 0, or Infinity, not NaN/],
  ["a limit below 0", { limits: { messagesPerMinute: -3 } }, /must be a number above 0, or Infinity, not -3/],
  ["a pace in unknown words", { pace: "5 secs" }, /pace must be a duration/],
  ["a random seed that is a text", { randomSeed: "x" }, /randomSeed must be a number, not "x"/],
  [
    "a role that does not exist",
    { credentials: { apiKeys: [{ value: "sk-1", role: "owner" }] } },
    /apiKeys\[0\]\.role/
  ],
  ["an agent with an unknown field", { agents: { a: { scrpt: "x" } } }, /agents\.a\.scrpt is unknown; .*script/],
  ["an agent of texts", { agents: { a: ["x"] } }, /agents\.a\[0\] must be a step, not "x"; .* DustTest\.text\("x"\)/],
  [
    "an agent that is a single step",
    { agents: { a: DustTest.text("x") } },
    /agents\.a is a single step; it must be in an/
  ],
  [
    "an agent of nested arrays",
    { agents: { a: [[DustTest.text("x")]] } },
    /agents\.a\[0\] must be a step, .* not an array/
  ],
  [
    "an agent with an unknown step",
    { agents: { a: [{ _tag: "Silent" }] } },
    /unknown step: Silent; similar: Silence, /
  ],
  ["an agent that is undefined", { agents: { a: undefined } }, /agents\.a must be a text, .*, not undefined/],
  ["an agent that is an effect", { agents: { a: Effect.succeed("x") } }, /agents\.a must be a text, /],
  ["an unknown part of the seed", { seed: { space: [] } }, /seed\.space is unknown; similar: spaces, /],
  ["an unknown field in the seed", { seed: { spaces: [{ nmae: "x" }] } }, /seed\.spaces\[0\]\.nmae is unknown; .*name/],
  ["an incomplete seed", { seed: { skills: [{ sId: "s" }] } }, /seed\.skills\[0\]\.name is missing/],
  ["a seed of another kind", { seed: { spaces: {} } }, /seed\.spaces must be a list, not an object/],
  [
    "a message of an unknown role",
    { seed: { conversations: [{ messages: [{ role: "agnet", content: "x" }] }] } },
    /messages\[0\]\.role must be one of "user", "agent", not "agnet"/
  ],
  [
    "an id that occurs twice",
    { seed: { conversations: [{ sId: "a" }, { sId: "a" }] } },
    /seed\.conversations\[1\]\.sId is "a", as is seed\.conversations\[0\]\.sId/
  ],
  ["the id of a built-in space", { seed: { spaces: [{ sId: "vlt_global", name: "x" }] } }, /as is the built-in space/],
  [
    "a message of an unknown agent",
    {
      agents: { helper: "x" },
      seed: { conversations: [{ messages: [{ role: "agent", agent: "helpr", content: "x" }] }] }
    },
    /messages\[0\]\.agent: there is no agent "helpr"; similar: helper, /
  ],
  [
    "an unknown space",
    { seed: { conversations: [{ spaceId: "vlt_x" }] } },
    /spaceId: there is no space "vlt_x"; similar/
  ],
  ["an unknown member", { seed: { spaces: [{ name: "x", members: ["a@b.c"] }] } }, /no member with the e-mail address/],
  ["an unknown key", { seed: { spaces: [{ name: "x", keys: ["Local"] }] } }, /no API key named "Local"; .* Local Dust/]
]

/** Functions that return no script, and what the error of the agent must contain. */
const wrongScripts: ReadonlyArray<readonly [name: string, script: () => unknown, message: RegExp]> = [
  ["nothing", () => undefined, /the result of the script's function must be a text, .*, not undefined/],
  ["a promise", () => Promise.resolve("x"), /not a promise; use a stream/],
  ["an effect", () => Effect.succeed("x"), /must be a text, /],
  ["a single step", () => DustTest.text("x"), /is a single step; it must be in an array/],
  ["a stream of texts", () => Stream.make("x"), /an element of the stream must be a step, not "x"/],
  ["nothing after a tool", () => [DustTest.tool({ name: "t", onResult: (() => undefined) as never })], /not undefined/],
  ["an error", () => {
    throw new Error("out of words")
  }, /out of words/]
]

describe("mistakes in rules", () => {
  for (const [name, rules, message] of wrongRules) {
    it.effect(`${name}: is refused at the start, or when the rule is added`, () =>
      Effect.gen(function*() {
        assert.match(yield* defectOf(withRules(...rules)(ask)), message)
        const later = Effect.flatMap(DustTest.DustTest, (dust) => Effect.forEach(rules, (rule) => dust.fault(rule)))
        assert.match(yield* defectOf(withOptions({})(later)), message)
      }))
  }

  it.effect("faults that can occur after an earlier one: are accepted, and occur", () =>
    Effect.gen(function*() {
      const program = Effect.zipRight(Effect.exit(ask), Effect.exit(ask)).pipe(withRules(
        { path: messages, nth: 1, fault, required: true },
        { path: messages, nth: 2, fault: faults.status(404), required: true },
        { path: path("/skills/skl_1"), fault },
        { path: "/skills/{skillId}", fault }
      ))
      const { exit, lines } = yield* reportsOf(program)
      assert.isTrue(Exit.isSuccess(exit))
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /never occurred: Respond at \/skills\/skl_1 .*; Respond at \/skills\/\{skillId\}/)
    }))

  for (
    const [name, when, message] of [
      ["throws", ({ body }: Json) => body.a.b === 1, /condition of the fault Respond at \S+ .* threw TypeError/],
      ["is asynchronous", () => Promise.resolve(true), /must return true or false, not a promise/]
    ] as const
  ) {
    it.effect(`a condition that ${name}: fails the request with its own error`, () =>
      Effect.gen(function*() {
        assert.match(yield* defectOf(withRules({ path: messages, when, fault })(ask)), message)
        const filter = { where: when as () => boolean }
        const read = Effect.flatMap(DustTest.DustTest, (dust) => Effect.zipRight(ask, dust.requests(filter)))
        yield* defectOf(withOptions({})(read))
      }))
  }

  it.effect("transformJson: a function that throws or returns nothing fails the request", () =>
    Effect.gen(function*() {
      const wrong = (f: (json: unknown) => unknown) => defectOf(withRules({ fault: faults.transformJson(f) })(ask))
      assert.match(yield* wrong((json) => (json as Json).a.b), /The function of transformJson threw TypeError/)
      assert.match(yield* wrong(() => undefined), /transformJson must return the new body, not undefined/)
    }))

  it.effect("a fault that changed nothing: is reported as one that never occurred, with the reason", () =>
    Effect.gen(function*() {
      const reported = (one: DustTest.Fault) =>
        Effect.map(reportsOf(withRules({ path: messages, fault: one })(ask)), ({ lines }) => lines.join())
      assert.match(yield* reported(faults.doubleFrames()), /DoubleFrames at .* the response is not an event stream/)
      assert.match(yield* reported(faults.cut(1_000_000)), /Cut at .* the body has only \d+ bytes/)
      const events = `${messages}/{messageId}/events`
      const stream = yield* reportsOf(withRules({ path: events, fault: faults.cut(1_000_000) })(ask))
      assert.match(stream.lines.join(), /Cut at .* only \d+ bytes of the body were sent/)
      const required = withRules({ path: messages, fault: faults.reorderFrames(), required: true })(ask)
      assert.match(yield* defectOf(required), /A required fault never occurred: ReorderFrames/)
    }))

  it.effect("a fault that an earlier one always preceded: is reported with the reason", () =>
    Effect.gen(function*() {
      const { lines } = yield* reportsOf(
        Effect.exit(ask).pipe(withRules(
          { path: messages, when: () => true, fault },
          { path: messages, fault: faults.refuse() }
        ))
      )
      assert.match(lines.join(), /Refuse at \S+ \(1 matched, 1 hit by an earlier fault\)/)
    }))

  for (
    const [filter, message] of [
      [{ stauts: 200 }, /stauts is unknown; similar: status, /],
      [{ status: "200" }, /status must be a whole number from 100, not "200"/],
      [{ outcome: "done" }, /outcome must be one of "open", /],
      [{ path: "/skills/{skillId" }, /a parameter is written/]
    ] as const
  ) {
    it.effect(`a filter with ${JSON.stringify(filter)}: is refused`, () =>
      Effect.gen(function*() {
        const read = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests(filter as Json))
        assert.match(yield* defectOf(withOptions({})(read)), message)
      }))
  }

  it.effect("path: an id is compared decoded", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* Effect.exit(
        Effect.flatMap(Chat, (chat) => chat.send({ agent: "echo", message: "x", conversationId: "a b" }))
      )
      assert.isAbove(
        yield* dust.countRequests({ path: path("/assistant/conversations/a b/messages") }),
        0
      )
    }).pipe(withOptions({})))
})

describe("mistakes in options", () => {
  for (const [name, options, message] of wrongOptions) {
    it.effect(`${name}: is refused at the start`, () =>
      Effect.map(defectOf(withOptions(options)(ask)), (found) => assert.match(found, message)))
  }

  for (const [name, script, message] of wrongScripts) {
    it.effect(`a script that returns or throws ${name}: the agent fails with the reason, which is reported, too`, () =>
      Effect.gen(function*() {
        const { exit, lines } = yield* reportsOf(withOptions({ agents: { wrong: script } })(askAs("wrong")))
        const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
        assert.strictEqual(error?._tag, "DustAgentError")
        assert.match(error?.message ?? "", message)
        assert.match(lines.join(), /^Local Dust: the script of the agent wrong failed: /)
      }))
  }

  it.effect("the handle: an agent, a conversation and an answer that do not fit are refused", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      assert.match(yield* defectOf(dust.setAgent("x", { scrpt: "x" } as never)), /x\.scrpt is unknown/)
      const seed = { messages: [{ role: "agent", agent: "nobody", content: "x" }] } as const
      assert.match(yield* defectOf(dust.addConversation(seed)), /there is no agent "nobody"/)
      assert.match(
        yield* defectOf(dust.addConversation({ tilte: "x" } as never)),
        /tilte is unknown; similar: title/
      )
      yield* Effect.fork(askAs("curious"))
      yield* dust.waitForRequest({ path: /\/events$/, status: 200 })
      const [action] = (yield* dust.conversations).flatMap(({ blockedActionIds }) => blockedActionIds)
      assert.match(yield* defectOf(dust.resolveAction(action!, "approved")), /is a question: answer it with/)
    }).pipe(withOptions({ agents: { curious: [DustTest.question({ question: "?", options: ["a"] })] } })))

  it.effect("after the end of the scope: rules and requests are refused", () =>
    Effect.gen(function*() {
      const context = yield* Effect.scoped(Layer.build(DustTest.layer()))
      const dust = Context.get(context, DustTest.DustTest)
      assert.match(yield* defectOf(dust.fault(fault)), /DustTest\.fault came after the workspace was closed/)
      assert.match(yield* defectOf(dust.reset), /DustTest\.reset came after the workspace was closed/)
      assert.match(yield* defectOf(Effect.provide(ask, context)), /^POST \S+ came after the workspace was closed/)
    }))
})

describe("secrets in snapshots", () => {
  it.effect("a snapshot has no secret of a path, a query or a body", () =>
    Effect.gen(function*() {
      const { post } = yield* Effect.map(HttpClient.HttpClient, (client) => ({
        post: (url: string, body: Json) =>
          client.execute(
            HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(`https://local-dust.test${url}`), body)
          )
      }))
      yield* post("/api/v1/w/LocalDust1/triggers/hooks/whs_1/url-secret?access_token=in-query", { password: "in-body" })
      const dust = yield* DustTest.DustTest
      const text = yield* dust.snapshot()
      assert.deepStrictEqual(["url-secret", "in-query", "in-body"].filter((secret) => text.includes(secret)), [])
      assert.include(text, "<redacted>")
    }).pipe(Effect.provide(DustTest.layerHttpClient())))
})

describe("mistakes in waits", () => {
  const waits: ReadonlyArray<readonly [string, (dust: DustTest.Service) => Effect.Effect<unknown, unknown>, RegExp]> = [
    [
      "waitForRequest",
      (dust) => dust.waitForRequest({ method: "GET", path: "/skills" }),
      /waits for a request GET \/skills,/
    ],
    ["allClosed", (dust) => dust.allClosed, /waits for all connections to be closed,/],
    [
      "waitForRun",
      (dust) => Effect.flatMap(dust.agentMessages(), ([message]) => dust.waitForRun(message!.sId)),
      /waits for the end of the run of silent,/
    ]
  ]
  for (const [name, wait, message] of waits) {
    it.effect(`${name}: a wait that does not end is reported, with the last requests`, () =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => lines.push(String(message)))
        const stuck = Effect.gen(function*() {
          const dust = yield* DustTest.DustTest
          yield* Effect.fork(askAs("silent"))
          yield* dust.waitForRequest({ path: /\/events$/, status: 200 })
          yield* wait(dust)
        }).pipe(withOptions({ agents: { silent: [DustTest.silence()] } }), Effect.provide(Logger.add(logger)))
        yield* Effect.fork(stuck)
        while (!lines.some((line) => line.includes("a test waits"))) yield* realTime(50)
        const line = lines.find((line) => line.includes("a test waits"))
        assert.match(line ?? "", message)
        assert.match(line ?? "", /The last requests: .*GET \S+\/events \(200\)/)
      }))
  }

  it.effect("waitForRequest: a condition that throws fails the wait, not the request", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      const waiting = yield* Effect.fork(dust.waitForRequest({ where: ({ body }) => (body as Json).a.b }))
      yield* Effect.yieldNow()
      assert.strictEqual(yield* ask, "Hello")
      assert.match(yield* defectOf(waiting), /The condition of a filter threw TypeError/)
    }).pipe(withOptions({})))
})

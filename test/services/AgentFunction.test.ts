import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Context,
  Effect,
  ExecutionPlan,
  Exit,
  Fiber,
  Option,
  Ref,
  Schedule,
  Schema,
  Stream,
  TestClock
} from "effect"
import * as AgentFunction from "effect-dust/AgentFunction"
import * as Approvals from "effect-dust/Approvals"
import { Chat } from "effect-dust/Chat"
import * as DustTest from "effect-dust/DustTest"

const Ticket = Schema.Struct({ subject: Schema.String, received: Schema.Date })
const Triage = Schema.Struct({
  queue: Schema.Literal("billing", "bug", "other"),
  urgent: Schema.Boolean.annotations({ description: "Whether a customer cannot work" }),
  due: Schema.Date
})
const ticket = { subject: "Charged \"twice\"", received: new Date("2026-11-26T00:00:00Z") }
const good = `{"queue":"billing","urgent":true,"due":"2026-12-01T00:00:00.000Z"}`
const value = { queue: "billing" as const, urgent: true, due: new Date("2026-12-01T00:00:00Z") }

const triage = AgentFunction.make({
  agent: "triage",
  instructions: "Decide who handles this ticket.",
  input: Ticket,
  output: Triage
})

/** An agent that returns these answers in order and then repeats the last; also records its messages. */
const answering = (...answers: ReadonlyArray<DustTest.Script>) => {
  const asked: Array<DustTest.AgentInput> = []
  return {
    asked,
    layer: DustTest.layer({
      agents: {
        triage: (input) => {
          asked.push(input)
          return answers[Math.min(asked.length, answers.length) - 1]!
        }
      }
    })
  }
}

const decoded = <O, OE>(output: Schema.Schema<O, OE>, answer: string) =>
  Effect.provide(
    AgentFunction.make({ agent: "triage", input: Schema.Void, output, repairs: 0 })(undefined),
    answering(answer).layer
  )

describe("AgentFunction", () => {
  it.effect("a call: sends the encoded input with the JSON Schema of the output, and decodes the answer", () => {
    const { asked, layer } = answering(good)
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* triage(ticket), value)
      const [message = ""] = asked.map((one) => one.message)
      assert.match(message, /^Decide who handles this ticket\.\n/)
      assert.include(message, `{"subject":"Charged \\"twice\\"","received":"2026-11-26T00:00:00.000Z"}`)
      const schema = JSON.parse(message.slice(message.lastIndexOf("\n") + 1))
      assert.deepStrictEqual(schema.required, ["queue", "urgent", "due"])
      assert.strictEqual(schema.properties.urgent.description, "Whether a customer cannot work")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a call: leaves the input out where it is void", () => {
    const { asked, layer } = answering(good)
    const ask = AgentFunction.make({ agent: "triage", input: Schema.Void, output: Triage })
    return Effect.gen(function*() {
      yield* ask(undefined)
      assert.notInclude(asked[0]?.message, "Input")
    }).pipe(Effect.provide(layer))
  })

  it.effect("an invalid answer: is sent back with its issues in the same conversation", () => {
    const { asked, layer } = answering("Certainly! It is billing.", `{"queue":"sales","urgent":"yes"}`, good)
    return Effect.gen(function*() {
      const answer = yield* triage.withReply(ticket, { title: "Triage" })
      assert.deepStrictEqual(answer.value, value)
      assert.strictEqual(answer.attempts, 3)
      assert.deepStrictEqual(asked.map((one) => one.conversationId), Array(3).fill(answer.reply.conversationId))
      assert.include(asked[1]?.message, "no valid JSON was found")
      assert.match(asked[2]?.message ?? "", /- queue: .*"billing".*actual "sales".*\n- urgent: .*\n- due: is missing/)
    }).pipe(Effect.provide(layer))
  })

  it.effect("AgentOutputError: has the last text, its issues, the attempts and the place", () => {
    const { asked, layer } = answering("nothing", `{"queue":"sales","urgent":true,"due":"2026-12-01"}`)
    return Effect.gen(function*() {
      const error = yield* Effect.flip(triage(ticket))
      assert.strictEqual(error._tag, "AgentOutputError")
      if (error._tag !== "AgentOutputError") return
      assert.strictEqual(asked.length, 3)
      assert.strictEqual(error.attempts, 3)
      assert.include(error.text, "sales")
      assert.deepStrictEqual(error.issues.map(({ path }) => path), [["queue"]])
      assert.strictEqual(error.conversationId, asked[0]?.conversationId)
      assert.strictEqual(error.messageId, asked[2]?.agentMessageId)
      const wire = Schema.parseJson(AgentFunction.AgentOutputError)
      const copy = yield* Effect.flatMap(Schema.encode(wire)(error), Schema.decode(wire))
      assert.deepStrictEqual(copy.issues, error.issues)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an invalid answer: its issues are short, and are one for each place", () => {
    const Numbers = Schema.Array(Schema.Union(Schema.Number, Schema.Literal("one", "two")))
    const { asked, layer } = answering(JSON.stringify(Array(200).fill("x".repeat(10_000))), "[1]")
    const numbers = AgentFunction.make({ agent: "triage", input: Schema.Void, output: Numbers, repairs: 1 })
    return Effect.gen(function*() {
      yield* numbers(undefined)
      const correction = asked[1]?.message ?? ""
      assert.include(correction, `- value.0: Expected number | "one" | "two", actual "xxx`)
      assert.include(correction, "- and 150 more")
      assert.isBelow(correction.length, 20_000)
      const error = yield* Effect.flip(Effect.provide(numbers(undefined), answering(`["${"y".repeat(9_000)}"]`).layer))
      assert.isBelow(error.message.length, 1_000)
      if (error._tag === "AgentOutputError") assert.isAbove(error.text.length, 9_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("repairs: 0 sends nothing back", () => {
    const { asked, layer } = answering("nothing", good)
    const strict = AgentFunction.make({ agent: "triage", input: Ticket, output: Triage, repairs: 0 })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(strict(ticket))
      assert.strictEqual(error._tag, "AgentOutputError")
      assert.strictEqual(asked.length, 1)
    }).pipe(Effect.provide(layer))
  })

  const around: ReadonlyArray<readonly [string, string]> = [
    ["prose", `Here it is: ${good}. Tell me if you need more!`],
    ["a code fence", `\`\`\`json\n${good}\n\`\`\``],
    ["a code fence in prose", `Sure.\n~~~\n${good}\n~~~\nDone {really}.`],
    ["a draft", `First {"queue":"bug","urgent":false,"due":"2020-01-01"}, but on second thoughts ${good}`],
    ["a later example that is not valid", `${good}\nNot allowed would be {"queue":"sales"}`],
    ["braces and quotation marks of prose", `{see "this} and {"note: ${good}`],
    ["a list of links", `[1] [docs](https://dust.tt) [2]\n${good}`],
    ["an opening that never ends", `{"queue": {"deep": [${good}`],
    ["comments and a trailing comma", good.replace("{", `{ // it's the "queue\n`).replace(/}$/, `, /* } */ }`)],
    ["a list of one", `[${good}]`],
    ["a string of JSON", JSON.stringify(good)],
    ["an echo of the schema", `{"type":"object","properties":{}} ${good} {"$defs":{}}`]
  ]
  for (const [what, answer] of around) {
    it.effect(`the JSON is found: ${what} around it`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* decoded(Triage, answer), value)
      }))
  }

  it.effect("the JSON is found: strings with braces, fences and quotation marks stay whole", () =>
    Effect.gen(function*() {
      const text = "a \"}{\" \\ ```json {} ``` \n"
      const answer = `Done: ${JSON.stringify({ text })} {}`
      assert.deepStrictEqual(yield* decoded(Schema.Struct({ text: Schema.String }), answer), { text })
    }))

  it.effect("the JSON is found: line ends in strings are those of the text, and never of prose", () =>
    Effect.gen(function*() {
      const Note = Schema.Struct({ text: Schema.String })
      for (const answer of [`{"text":"a\n\tb"}`, `Sure:\n{"text":"a\n\tb"}`, `{"text: see\n "b" {"text":"a\\n\tb"}`]) {
        assert.deepStrictEqual(yield* decoded(Note, answer), { text: "a\n\tb" }, answer)
      }
    }))

  it.effect("the JSON is found: an exact object before one with unknown fields", () =>
    Effect.gen(function*() {
      const Loose = Schema.Struct({ a: Schema.optional(Schema.Number) })
      assert.deepStrictEqual(yield* decoded(Loose, `{"a":1} as {"type":"object"} says`), { a: 1 })
      assert.deepStrictEqual(yield* decoded(Loose, `{"a":2,"why":"it is so"}`), { a: 2 })
    }))

  it.effect("an output other than an object: is requested as one, and accepted alone", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* decoded(Schema.Array(Schema.Number), `They are {"value":[1,2]}.`), [1, 2])
      assert.deepStrictEqual(yield* decoded(Schema.Array(Schema.Number), "```\n[1,2]\n```"), [1, 2])
      assert.strictEqual(yield* decoded(Schema.Literal("yes", "no"), `"yes"`), "yes")
      assert.deepStrictEqual(yield* decoded(Schema.Array(Schema.Number), "Here:\n```json\n[1,2]\n```\nDone."), [1, 2])
      const Maybe = Schema.Array(Schema.Struct({ a: Schema.Number }))
      assert.deepStrictEqual(yield* decoded(Maybe, "Here:\n```json\n[{\"a\":1}]\n```\nDone."), [{ a: 1 }])
      assert.deepStrictEqual(yield* decoded(Maybe, "Here [1]:\n  [{\"a\":1},\n {\"a\":2}]\nDone."), [{ a: 1 }, {
        a: 2
      }])
      assert.deepStrictEqual(yield* decoded(Schema.parseJson(Maybe), "[{\"a\":1}]"), [{ a: 1 }])
      assert.deepStrictEqual(yield* decoded(Schema.Object, "It is {\"a\":1}."), { a: 1 })
      const { asked, layer } = answering(`{"value":7}`)
      const count = AgentFunction.make({ agent: "triage", input: Schema.String, output: Schema.Int })
      assert.strictEqual(yield* Effect.provide(count("abc"), layer), 7)
      assert.include(asked[0]?.message, `"required":["value"]`)
    }))

  it.effect("an output that is one of several objects: is requested unchanged", () => {
    const Shape = Schema.Union(
      Schema.Struct({ _tag: Schema.Literal("Circle"), radius: Schema.Number }),
      Schema.Struct({ _tag: Schema.Literal("Square"), side: Schema.Number })
    )
    const { asked, layer } = answering(`It is {"_tag":"Square","side":2}.`)
    const shape = AgentFunction.make({ agent: "triage", input: Schema.Void, output: Shape, repairs: 0 })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* shape(undefined), { _tag: "Square", side: 2 })
      assert.notInclude(asked[0]?.message, "\"value\"")
      assert.deepStrictEqual(
        yield* decoded(Schema.Option(Schema.Struct({ a: Schema.Number })), `{"_tag":"Some","value":{"a":1}}`),
        Option.some({ a: 1 })
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("an output that no JSON is: is refused before any request, with the remedy", () =>
    Effect.gen(function*() {
      const refused = <O, OE>(output: Schema.Schema<O, OE>) =>
        Effect.map(Effect.flip(decoded(output, "{}")), ({ message }) => message)
      assert.include(yield* refused(Schema.Void), "output must be a schema of a value")
      assert.include(yield* refused(Schema.Never), "output must be a schema of a value")
      interface Tree {
        readonly trees: ReadonlyArray<Tree>
      }
      const Tree: Schema.Schema<Tree> = Schema.Struct({ trees: Schema.Array(Schema.suspend(() => Tree)) })
      assert.include(
        yield* refused(Tree),
        "the field trees is recursive: give the schema inside Schema.suspend an identifier"
      )
      const Named: Schema.Schema<Tree> = Schema.Struct({ trees: Schema.Array(Schema.suspend(() => Named)) })
        .annotations({ identifier: "Tree" })
      assert.deepStrictEqual(yield* decoded(Named, `{"trees":[{"trees":[]}]}`), { trees: [{ trees: [] }] })
    }))

  it.effect("bad input: is refused before any request, with the name of the field", () => {
    const { asked, layer } = answering(good)
    const make = <O, OE>(output: Schema.Schema<O, OE>, received = ticket.received, repairs = 2) =>
      Effect.flip(AgentFunction.make({ agent: "triage", input: Ticket, output, repairs })({ ...ticket, received }))
    return Effect.gen(function*() {
      const unencodable = yield* make(Schema.Any, new Date(Number.NaN))
      assert.match(unencodable.message, /^AgentFunction\.call: input\.received/)
      const unwritable = yield* make(Schema.Struct({ when: Schema.DateFromSelf }))
      assert.match(unwritable.message, /^AgentFunction\.call: output.*when/)
      const negative = yield* make(Schema.Any, undefined, -1)
      assert.match(negative.message, /^AgentFunction\.call: repairs/)
      const dust = yield* DustTest.DustTest
      assert.strictEqual((yield* dust.requests()).length, 0)
      assert.strictEqual(asked.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("stream: emits the text while it is written, the rejected answer, and the value in the end", () => {
    const { layer } = answering("Hm, billing?", `It is ${good}`)
    return Effect.gen(function*() {
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(triage.stream(ticket)))
      const text = events.flatMap((event) => event._tag === "TextDelta" ? [event.text] : []).join("")
      assert.strictEqual(text, `Hm, billing?It is ${good}`)
      const rejected = events.filter((event) => event._tag === "Rejected")
      assert.deepStrictEqual(rejected.map((event) => [event.text, event.attempts]), [["Hm, billing?", 1]])
      const last = events.at(-1)
      assert.strictEqual(last?._tag, "Output")
      if (last?._tag !== "Output") return
      assert.deepStrictEqual(last.value, value)
      assert.strictEqual(last.attempts, 2)
      assert.strictEqual(events.filter((event) => event._tag === "Started").length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("stream: stopped early, it cancels the run", () => {
    const { layer } = answering([DustTest.text("One two three"), DustTest.silence("1 hour")])
    return Effect.gen(function*() {
      yield* Stream.runDrain(Stream.take(Stream.filter(triage.stream(ticket), ({ _tag }) => _tag === "TextDelta"), 1))
      yield* TestClock.adjust("1 second")
      const dust = yield* DustTest.DustTest
      assert.deepStrictEqual((yield* dust.agentMessages()).map(({ status }) => status), ["cancelled"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("options of the call: go to every answer, those of the first message to that one only", () => {
    const { asked, layer } = answering([DustTest.approval({ name: "look", output: "x" }), DustTest.text("no")], [
      DustTest.approval({ name: "look", output: "x" }),
      DustTest.text(good)
    ])
    return Effect.gen(function*() {
      const approvals = yield* Ref.make(0)
      const chat = yield* Chat
      const before = yield* chat.send({ agent: "echo", message: "Hello" })
      const { reply } = yield* triage.withReply(ticket, {
        conversationId: before.conversationId,
        context: { username: "grace" },
        attachments: [{ title: "Note", content: "Be quick", contentType: "text/plain" }],
        onApproval: (request) => Effect.zipRight(Ref.update(approvals, (n) => n + 1), Approvals.approveAll(request))
      })
      assert.strictEqual(reply.conversationId, before.conversationId)
      assert.strictEqual(yield* Ref.get(approvals), 2)
      assert.deepStrictEqual(asked.map(({ username }) => username), ["grace", "grace"])
      assert.deepStrictEqual(asked.map(({ attachments }) => attachments.length), [1, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("options of the function: hold for every call, and give way to those of a call", () => {
    const { asked, layer } = answering(good)
    const ask = AgentFunction.make({
      agent: "nobody",
      input: Ticket,
      output: Triage,
      context: { username: "ada" }
    })
    return Effect.gen(function*() {
      yield* ask(ticket, { agent: "triage", context: undefined })
      yield* ask(ticket, { agent: "triage", context: { username: "grace" } })
      assert.deepStrictEqual(asked.map(({ username }) => username), ["ada", "grace"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("requirements of the schemas: are provided by the caller, and used for both ways", () => {
    class Offset extends Context.Tag("test/Offset")<Offset, number>() {}
    const Shifted = Schema.transformOrFail(Schema.Number, Schema.Number, {
      decode: (n) => Effect.map(Offset, (offset) => n + offset),
      encode: (n) => Effect.map(Offset, (offset) => n - offset)
    })
    const { asked, layer } = answering(`{"n": 1}`)
    const shift = AgentFunction.make({ agent: "triage", input: Shifted, output: Schema.Struct({ n: Shifted }) })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* shift(50), { n: 11 })
      assert.include(asked[0]?.message, "\n40\n")
    }).pipe(Effect.provideService(Offset, 10), Effect.provide(layer))
  })

  it.effect("Effect.retry: asks anew in a conversation of its own", () => {
    const { asked, layer } = answering("no", "no", "no", good)
    return Effect.gen(function*() {
      const retried = Effect.retry(triage(ticket), {
        while: (error) => error._tag === "AgentOutputError",
        schedule: Schedule.recurs(1)
      })
      assert.deepStrictEqual(yield* retried, value)
      assert.strictEqual(new Set(asked.map(({ conversationId }) => conversationId)).size, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Effect.race: the first valid answer wins, and the other run is cancelled", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        Effect.race(triage(ticket, { agent: "slow" }), triage(ticket, { agent: "quick" }))
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), value)
      yield* TestClock.adjust("1 second")
      const dust = yield* DustTest.DustTest
      const states = (yield* dust.agentMessages()).map(({ status }) => status)
      assert.deepStrictEqual(states.toSorted(), ["cancelled", "succeeded"])
    }).pipe(
      Effect.provide(
        DustTest.layer({ agents: { slow: [DustTest.silence("1 hour"), DustTest.text(good)], quick: good } })
      )
    ))

  it.effect("ExecutionPlan: falls back on another workspace", () => {
    const bad = answering("no")
    const other = answering(good)
    const plan = ExecutionPlan.make({ provide: bad.layer, attempts: 2 }, { provide: other.layer })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.withExecutionPlan(triage(ticket), plan), value)
      assert.deepStrictEqual([bad.asked.length, other.asked.length], [6, 1])
    })
  })

  it.effect("failures: those of the agent, of the SDK and of a handler come through as they are", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.flip(triage(ticket, { agent: "broken" }))
      assert.strictEqual(failed._tag, "DustAgentError")
      const exit = yield* Effect.exit(
        triage(ticket, { agent: "asks", onApproval: () => Effect.fail("not today" as const) })
      )
      assert.deepStrictEqual(Option.getOrUndefined(Exit.causeOption(exit))?._tag, "Fail")
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error === "not today")
    }).pipe(Effect.provide(DustTest.layer({
      agents: {
        broken: [DustTest.fail({ code: "multi_actions_error", message: "broken" })],
        asks: [DustTest.approval({ name: "look", output: "x" }), DustTest.text(good)]
      }
    }))))

  it.effect("an agent that hands over: the answer of the other agent is read", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const other = yield* chat.send({ agent: "other", message: "Hello" })
      const handing = Chat.of({
        ...chat,
        stream: (options) =>
          Stream.map(chat.stream(options), (event) =>
            event._tag !== "Done" ? event : {
              ...event,
              reply: { ...event.reply, conversationId: other.conversationId, handedOverTo: other.agentMessage.sId }
            })
      })
      const answer = yield* Effect.provideService(triage.withReply(ticket, { agent: "silent" }), Chat, handing)
      assert.deepStrictEqual(answer.value, value)
      assert.strictEqual(answer.attempts, 1)
      assert.strictEqual(answer.reply.agentMessage.sId, other.agentMessage.sId)
    }).pipe(Effect.provide(DustTest.layer({ agents: { silent: "", other: good } }))))
})

/** The complete spans and metrics of runs and of tool calls, driven by hand. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit, FiberId, TestClock } from "effect"
import type { ChatEvent } from "effect-dust/ChatEvent"
import { DustAgentError, DustServerError, DustStreamError, DustUnconfirmedError } from "effect-dust/DustAPIError"
import type { AgentMessage } from "effect-dust/Message"
import type { Run } from "../../src/internal/chat/run.ts"
import { forgetServers, listServers, runsOf } from "../../src/internal/telemetry/openRuns.ts"
import { inRun, type RunOptions, type RunTelemetry, runTelemetry } from "../../src/internal/telemetry/run.ts"
import { inToolCall, toolFailed } from "../../src/internal/telemetry/tool.ts"
import { observe, type SeenSpan } from "../support/observed.ts"

const identity = { module: "Chat", method: "send", details: {}, attempts: 1, request: undefined, message: "said" }
const away = new DustServerError({ ...identity, status: 503, type: "service_unavailable" })

/** Only these members of a run are read. */
const run = (agent?: { readonly id: string; readonly name: string }): Run =>
  ({
    workspaceId: "w",
    conversationId: "c",
    messageId: "m",
    message: { sId: "u" },
    agent
  }) as unknown as Run
const message = (more: object): AgentMessage =>
  ({
    status: "succeeded",
    configuration: { sId: "helper", name: "Helper" },
    resolvedModel: null,
    costCredits: null,
    ...more
  }) as AgentMessage
const chatEvent = (_tag: ChatEvent["_tag"], more: object = {}): ChatEvent => ({ _tag, ...more }) as ChatEvent
const action = { sId: "a1", toolName: "search", status: "succeeded" }

const owner = {}
const options: RunOptions = { agent: { name: "Helper" }, model: "gpt-5", owner, serverIds: undefined }
const helper = { id: "helper", name: "Helper" }
const after = (duration: Duration.DurationInput, step: () => void) =>
  Effect.zipRight(TestClock.adjust(duration), Effect.sync(step))

/** The span of a run that is driven by hand, and its metrics. */
const seenRun = (
  given: RunOptions,
  drive: (telemetry: RunTelemetry) => Effect.Effect<void>,
  exit: Exit.Exit<unknown, unknown>
) =>
  Effect.gen(function*() {
    const { metrics, spans } = yield* observe(Effect.gen(function*() {
      const telemetry = yield* runTelemetry(given)
      yield* drive(telemetry)
      telemetry.end(exit)
    }))
    assert.lengthOf(spans, 1)
    return { span: spans[0], metrics }
  })

const span: SeenSpan = {
  name: "invoke_agent Helper",
  parent: undefined,
  kind: "client",
  attributes: {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.provider.name": "dust",
    "gen_ai.agent.name": "Helper",
    "gen_ai.request.model": "gpt-5"
  },
  events: [],
  links: [],
  ended: "ok"
}
const startedAttributes = {
  ...span.attributes,
  "dust.workspace.id": "w",
  "gen_ai.conversation.id": "c",
  "dust.message.id": "m",
  "dust.user_message.id": "u",
  "gen_ai.agent.id": "helper"
}
const started = ["dust.run.started", { "dust.message.id": "m" }] as const

describe("Telemetry of a run", () => {
  it.effect("a run that waits for two people: times from sending, one wait until the last decision, and the answer", () =>
    Effect.gen(function*() {
      const seen = yield* seenRun(options, (telemetry) =>
        Effect.gen(function*() {
          yield* after("1 second", () => telemetry.sending())
          yield* after("2 seconds", () => telemetry.started(run(helper)))
          yield* after(
            "1 second",
            () => telemetry.saw(chatEvent("ToolStarted", { action: { ...action, status: null } }))
          )
          telemetry.saw(chatEvent("ApprovalNeeded", { actionId: "a1" }))
          yield* after("10 seconds", () => telemetry.saw(chatEvent("QuestionAsked", { actionId: "a2" })))
          yield* after("20 seconds", () => telemetry.saw(chatEvent("ToolFinished", { action })))
          yield* after(
            "30 seconds",
            () => telemetry.saw(chatEvent("ToolFinished", { action: { ...action, sId: "a2" } }))
          )
          telemetry.saw(chatEvent("ToolFinished", { action: { ...action, sId: "a3" } }))
          yield* after("4 seconds", () => telemetry.saw(chatEvent("TextDelta", { text: "a" })))
          telemetry.saw(chatEvent("TextDelta", { text: "b" }))
          telemetry.saw(chatEvent("AuthenticationNeeded", { actionId: "a4" }))
          yield* after("1500 millis", () => telemetry.saw(chatEvent("TextDelta", { text: "c" })))
          yield* TestClock.adjust("500 millis")
          telemetry.finished(message({ resolvedModel: { modelId: "gpt-5.1" }, costCredits: 7 }))
        }), Exit.void)
      const finished = (id: string) =>
        ["dust.tool.finished", { "gen_ai.tool.name": "search", "dust.action.id": id, status: "succeeded" }] as const
      const waiting = (tag: string, id: string) =>
        ["dust.run.waiting", { "dust.run.waiting_for": tag, "dust.action.id": id }] as const
      assert.deepStrictEqual(seen, {
        span: {
          ...span,
          attributes: {
            ...startedAttributes,
            "dust.run.time_to_first_text": 67,
            "gen_ai.response.model": "gpt-5.1",
            "gen_ai.response.finish_reasons": "succeeded",
            "dust.run.cost_credits": 7,
            "dust.run.outcome": "succeeded",
            "dust.run.waited": 61.5
          },
          events: [
            started,
            ["dust.tool.started", { "gen_ai.tool.name": "search", "dust.action.id": "a1" }],
            waiting("ApprovalNeeded", "a1"),
            waiting("QuestionAsked", "a2"),
            finished("a1"),
            finished("a2"),
            ["dust.run.continued", {}],
            finished("a3"),
            ["dust.run.first_text", {}],
            waiting("AuthenticationNeeded", "a4"),
            ["dust.run.continued", {}]
          ]
        },
        metrics: {
          "dust.runs agent=Helper outcome=succeeded": 1,
          "dust.runs.open agent=Helper": 0,
          "dust.runs.waiting agent=Helper": 0,
          "dust.run.duration agent=Helper": [1, 69],
          "dust.run.time_to_first_text agent=Helper": [1, 67],
          "dust.run.wait.duration agent=Helper": [2, 61.5]
        }
      })
    }))

  it.effect("a run by id that is left while it waits: the gauges go back, and the wait counts", () =>
    Effect.gen(function*() {
      const seen = yield* seenRun(
        { ...options, agent: "helper", model: undefined },
        (telemetry) =>
          Effect.gen(function*() {
            telemetry.started(run())
            telemetry.saw(chatEvent("ApprovalNeeded", { actionId: "a1" }))
            yield* TestClock.adjust("5 seconds")
          }),
        Exit.interrupt(FiberId.none)
      )
      assert.deepStrictEqual(seen, {
        span: {
          ...span,
          name: "invoke_agent helper",
          attributes: {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "dust",
            "gen_ai.agent.id": "helper",
            "dust.workspace.id": "w",
            "gen_ai.conversation.id": "c",
            "dust.message.id": "m",
            "dust.user_message.id": "u",
            "dust.run.outcome": "interrupted",
            "dust.run.waited": 5
          },
          events: [
            started,
            ["dust.run.waiting", { "dust.run.waiting_for": "ApprovalNeeded", "dust.action.id": "a1" }],
            [
              "dust.run.continued",
              {}
            ]
          ],
          ended: "interrupted"
        },
        metrics: {
          "dust.runs agent=helper outcome=interrupted": 1,
          "dust.runs.open agent=helper": 0,
          "dust.runs.waiting agent=helper": 0,
          "dust.run.duration agent=helper": [1, 5],
          "dust.run.wait.duration agent=helper": [1, 5]
        }
      })
    }))

  it.effect("a run by id is counted by the name of its agent as soon as that is known", () =>
    Effect.gen(function*() {
      const { metrics } = yield* seenRun(
        { ...options, agent: "helper" },
        (telemetry) => Effect.sync(() => telemetry.started(run(helper))),
        Exit.void
      )
      assert.deepStrictEqual(metrics, {
        "dust.runs agent=Helper outcome=interrupted": 1,
        "dust.runs.open agent=Helper": 0,
        "dust.run.duration agent=Helper": [1, 0]
      })
    }))

  it.effect("a run that was started elsewhere has the name of its message, and no time to its first text", () =>
    Effect.gen(function*() {
      const seen = yield* seenRun({ ...options, agent: undefined, model: undefined }, (telemetry) =>
        Effect.sync(() => {
          telemetry.sending()
          telemetry.started(run())
          telemetry.saw(chatEvent("TextDelta", { text: "a" }))
          telemetry.finished(message({ status: "cancelled" }))
        }), Exit.void)
      assert.deepStrictEqual(seen, {
        span: {
          ...span,
          name: "invoke_agent",
          attributes: {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "dust",
            "dust.workspace.id": "w",
            "gen_ai.conversation.id": "c",
            "dust.message.id": "m",
            "dust.user_message.id": "u",
            "gen_ai.agent.id": "helper",
            "gen_ai.agent.name": "Helper",
            "gen_ai.response.finish_reasons": "cancelled",
            "dust.run.outcome": "cancelled",
            "error.type": "DustAgentError"
          },
          events: [started, ["dust.run.first_text", {}]]
        },
        metrics: {
          "dust.runs agent=Helper outcome=cancelled": 1,
          "dust.runs.open agent=unknown": 0,
          "dust.run.duration agent=Helper": [1, 0]
        }
      })
    }))

  const agentFailed = (code: string, type?: string) =>
    new DustAgentError({ ...identity, type, code, category: null, agentId: "helper" } as never)
  const lost = new DustStreamError({ ...identity, reason: "ended", lastEventId: "1-0" })
  const waiting = new DustStreamError({ ...identity, reason: "waiting_for_human", lastEventId: undefined })
  const unconfirmed = new DustUnconfirmedError({
    ...identity,
    reason: "not_found",
    conversationId: "c",
    author: "a",
    origin: "api",
    agentId: null,
    position: null,
    notBefore: null,
    fingerprint: "f"
  })
  class Tagged extends Error {
    readonly _tag = "Mine"
  }
  type Ended = readonly [
    title: string,
    drive: (telemetry: RunTelemetry) => void,
    exit: Exit.Exit<unknown, unknown>,
    outcome: string,
    error: readonly [type: string | undefined, code: string | undefined],
    ended: string,
    isResumed?: boolean
  ]
  const start = (telemetry: RunTelemetry) => telemetry.started(run(helper))
  const finish = (status: string) => (telemetry: RunTelemetry) => {
    start(telemetry)
    telemetry.finished(message({ status }))
  }
  const ends: ReadonlyArray<Ended> = [
    ["an answer", finish("succeeded"), Exit.void, "succeeded", [undefined, undefined], "ok"],
    [
      "a message whose status is new",
      finish("gracefully_stopped"),
      Exit.void,
      "succeeded",
      [undefined, undefined],
      "ok"
    ],
    ["a failed message that is read", finish("failed"), Exit.void, "failed", ["DustAgentError", undefined], "ok"],
    [
      "a failed run",
      finish("failed"),
      Exit.fail(agentFailed("model_error", "model_error")),
      "failed",
      ["DustAgentError", "model_error"],
      "DustAgentError: the agent failed (model_error)"
    ],
    [
      "a cancelled run",
      finish("cancelled"),
      Exit.fail(agentFailed("cancelled", "cancelled")),
      "cancelled",
      ["DustAgentError", "cancelled"],
      "DustAgentError: the agent was cancelled (cancelled)"
    ],
    ["a stream that is lost", start, Exit.fail(lost), "handler_failed", ["DustStreamError", undefined], String(lost)],
    [
      "a stream that is known to be lost",
      (t) => {
        start(t)
        t.failed(lost)
      },
      Exit.fail(lost),
      "lost",
      ["DustStreamError", undefined],
      String(lost)
    ],
    [
      "a run that waits for a person",
      (t) => {
        start(t)
        t.lost(waiting)
      },
      Exit.void,
      "waiting",
      ["DustStreamError", undefined],
      "ok"
    ],
    ["a failure before there is a run", (t) => t.failed(lost), Exit.fail("x"), "not_sent", ["_OTHER", undefined], "x"],
    // @effect-diagnostics-next-line globalErrorInEffectFailure:off
    ["a handler that fails with an error", start, Exit.fail(new TypeError("x")), "handler_failed", [
      "TypeError",
      undefined
    ], "TypeError: x"],
    [
      "a handler that fails with a tag",
      start,
      Exit.fail(new Tagged("x")),
      "handler_failed",
      ["Mine", undefined],
      "Error: x"
    ],
    ["a handler that fails with a value", start, Exit.fail(7), "handler_failed", ["_OTHER", undefined], "7"],
    ["a handler that dies", start, Exit.die("x"), "handler_failed", ["defect", undefined], "x"],
    [
      "a message that is refused",
      () => {},
      Exit.fail(away),
      "not_sent",
      ["DustServerError", "service_unavailable"],
      String(away)
    ],
    [
      "a run that cannot be followed",
      () => {},
      Exit.fail(away),
      "lost",
      ["DustServerError", "service_unavailable"],
      String(away),
      true
    ],
    [
      "a message that may be stored",
      () => {},
      Exit.fail(unconfirmed),
      "unconfirmed",
      ["DustUnconfirmedError", undefined],
      String(unconfirmed)
    ],
    ["a message that is never sent", () => {}, Exit.void, "interrupted", [undefined, undefined], "interrupted"]
  ]
  it.effect.each(ends)(
    "%s",
    ([, drive, exit, outcome, [errorType, errorCode], ended, isResumed]) =>
      Effect.gen(function*() {
        const given = isResumed === true ? { ...options, agent: undefined } : options
        const seen = yield* seenRun(given, (telemetry) => Effect.sync(() => drive(telemetry)), exit)
        const { attributes = {} } = seen.span ?? {}
        assert.deepStrictEqual(
          [attributes["dust.run.outcome"], attributes["error.type"], attributes["dust.error.type"], seen.span?.ended],
          [outcome, errorType, errorCode, ended]
        )
      })
  )

  it.effect("a run around an Effect is its parent, ends with it, and knows the failures of following", () =>
    Effect.gen(function*() {
      const seen = yield* observe(inRun(options, (telemetry) => {
        telemetry.started(run(helper))
        return Effect.zipRight(Effect.withSpan(Effect.void, "inside"), Effect.fail(lost))
      }))
      assert.isTrue(Exit.isFailure(seen.exit))
      assert.deepStrictEqual(
        seen.spans.map(({ attributes, name, parent }) => [name, parent, attributes["dust.run.outcome"]]),
        [
          ["inside", "invoke_agent Helper", undefined],
          ["invoke_agent Helper", undefined, "lost"]
        ]
      )
    }))
})

describe("Telemetry of client-side tools", () => {
  const call = { owner, serverId: "s", requestId: 7, name: "get_weather" }
  const tool = {
    name: "execute_tool get_weather",
    kind: "internal",
    parent: undefined,
    events: [],
    links: [],
    attributes: {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": "get_weather",
      "gen_ai.tool.type": "function",
      "gen_ai.tool.call.id": "7"
    },
    ended: "ok"
  } as const
  const took = { "dust.tool.duration tool=get_weather": [1, 2] } as const

  const failure = "ToolError: the tool get_weather failed"
  const error = (type: string) => ({ ...tool.attributes, "error.type": type })
  type Called = readonly [
    string,
    Effect.Effect<unknown, unknown>,
    outcome: string,
    attributes: Readonly<Record<string, unknown>>,
    ended: string
  ]
  const calls: ReadonlyArray<Called> = [
    ["a result", Effect.succeed({ result: { content: [] } }), "succeeded", tool.attributes, "ok"],
    ["a result that is no error", Effect.succeed({ result: { isError: false } }), "succeeded", tool.attributes, "ok"],
    [
      "a result that is an error",
      Effect.succeed({ result: { isError: true } }),
      "failed",
      error("tool_error"),
      failure
    ],
    ["an error of JSON-RPC", Effect.succeed({ error: { code: -32602 } }), "failed", error("tool_error"), failure],
    ["a failure", Effect.fail("x"), "failed", error("tool_error"), failure],
    ["an interruption", Effect.interrupt, "interrupted", tool.attributes, "interrupted"],
    ...([
      [new DustServerError({ ...identity, status: 503, type: "x" }), "DustServerError"],
      [new TypeError("x"), "TypeError"],
      ["x", "defect"]
    ] as const).map(([cause, type]): Called => [
      `a handler that fails with ${type}`,
      Effect.as(toolFailed(Cause.fail(cause)), { result: { isError: true } }),
      "failed",
      error(type),
      failure
    ]),
    [
      "a handler that dies",
      Effect.as(toolFailed(Cause.die("x")), { result: { isError: true } }),
      "failed",
      error("defect"),
      failure
    ]
  ]
  it.effect.each(calls)("%s", ([, handler, outcome, attributes, ended]) =>
    Effect.gen(function*() {
      const { metrics, spans } = yield* observe(
        inToolCall(call, Effect.zipRight(TestClock.adjust("2 seconds"), handler))
      )
      assert.deepStrictEqual(spans, [{ ...tool, attributes, ended }])
      assert.deepStrictEqual(metrics, { [`dust.tool.calls outcome=${outcome} tool=get_weather`]: 1, ...took })
    }))

  it.effect("a call belongs to the only run that lists its server, and is linked to several", () =>
    Effect.gen(function*() {
      const called = (serverId: string) => inToolCall({ ...call, serverId }, Effect.void)
      const { spans } = yield* observe(Effect.gen(function*() {
        const one = yield* runTelemetry({ ...options, serverIds: ["s1", "s2"] })
        const other = yield* runTelemetry({ ...options, agent: "other", serverIds: ["s2"] })
        const elsewhere = yield* runTelemetry({ ...options, owner: {}, serverIds: ["s1"] })
        yield* Effect.withSpan(Effect.all([called("s1"), called("s2"), called("s3")]), "around")
        one.end(Exit.void)
        yield* called("s1")
        yield* called("s2")
        other.end(Exit.void)
        elsewhere.end(Exit.void)
        yield* called("s2")
      }))
      assert.deepStrictEqual(
        spans.filter(({ name }) => name === tool.name).map(({ links, parent }) => [parent, links]),
        [
          ["invoke_agent Helper", []],
          [undefined, ["invoke_agent Helper", "invoke_agent other"]],
          [undefined, []],
          [undefined, []],
          ["invoke_agent other", []],
          [undefined, []]
        ]
      )
    }))

  it.effect("runs are known by the servers that they list, until each of them is forgotten", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([Effect.makeSpan("first"), Effect.makeSpan("second")])
      const mine = {}
      listServers(mine, ["s1", "s2"], first)
      listServers(mine, ["s2"], second)
      const known = () => ["s1", "s2", "s3"].map((id) => runsOf(mine, id).map(({ name }) => name))
      assert.deepStrictEqual(known(), [["first"], ["first", "second"], []])
      assert.deepStrictEqual(runsOf({}, "s1"), [])
      forgetServers({}, ["s1"], first)
      forgetServers(mine, ["s3", "s2"], first)
      assert.deepStrictEqual(known(), [["first"], ["second"], []])
    }))
})

import { assert, describe, it } from "@effect/vitest"
import { Chunk, DateTime, Effect, Fiber, Stream, TestClock } from "effect"
import * as DustTest from "effect-dust/DustTest"
import type { AnalyticsOptions, AnalyticsTable, ConsumptionOptions } from "effect-dust/Usage"
import * as Workspace from "effect-dust/Workspace"

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const january = { startDate: "2026-01-01", endDate: "2026-01-31" } as const

describe("Workspace", () => {
  it.effect("exists, or does not, or cannot be asked", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const dust = yield* DustTest.DustTest
      assert.isTrue(yield* workspace.exists())
      yield* dust.fault({ nth: 1, fault: DustTest.faults.status(404, { type: "workspace_not_found" }) })
      assert.isFalse(yield* workspace.exists())
      yield* dust.clearFaults
      yield* dust.fault({
        fault: DustTest.faults.status(404, {
          type: "workspace_not_found",
          extra: { redirect: { region: "europe-west1", url: "https://eu.dust.tt" } }
        })
      })
      const moved = yield* Effect.flip(workspace.exists())
      assert.include(moved.message, "europe-west1")
      yield* dust.clearFaults
      yield* dust.fault({ fault: DustTest.faults.status(401, { type: "invalid_api_key_error" }) })
      assert.strictEqual((yield* Effect.flip(workspace.exists()))._tag, "DustUnauthorizedError")
    }).pipe(local()))

  it.effect("knows the user behind a token, outside the workspace's path", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const me = yield* workspace.me()
      assert.strictEqual(me.fullName, "Ada Lovelace")
      assert.deepStrictEqual(me.workspaces.map((one) => [one.sId, one.role]), [["LocalDust1", "user"]])
      assert.strictEqual((yield* last).path, "/api/v1/me")
    }).pipe(local({ credential: "userToken" })))

  it.effect("me: refuses an API key before any request", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const error = yield* Effect.flip(workspace.me())
      assert.strictEqual(error._tag, "DustUserRequiredError")
      assert.strictEqual(yield* requests, 0)
    }).pipe(local()))

  it.effect("lists members for administrators, and validates addresses for everybody", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      assert.isTrue(yield* workspace.validateMember("Ada@local-dust.test"))
      assert.isFalse(yield* workspace.validateMember("nobody@example.com"))
      assert.deepStrictEqual((yield* last).body, { email: "nobody@example.com" })
      assert.strictEqual((yield* Effect.flip(workspace.listMembers()))._tag, "DustForbiddenError")
      const before = yield* requests
      assert.deepPropertyVal((yield* Effect.flip(workspace.validateMember(" "))).details, "field", "email")
      assert.strictEqual(yield* requests, before)
      const members = yield* Effect.flatMap(Workspace.Workspace, (workspace) => workspace.listMembers()).pipe(
        local({ credential: "adminApiKey" })
      )
      assert.deepStrictEqual(members.map((member) => [member.email, member.seatType]), [
        ["ada@local-dust.test", "workspace"],
        ["grace@local-dust.test", "workspace"]
      ])
    }).pipe(local()))
})

describe("Workspace.analytics", () => {
  it.effect("gives typed rows", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const metrics = yield* workspace.analytics({ table: "usage_metrics", ...january, endDate: "2026-01-02" })
      assert.deepStrictEqual(metrics, [
        { date: "2026-01-01", messages: 12, conversations: 4, activeUsers: 3 },
        { date: "2026-01-02", messages: 31, conversations: 9, activeUsers: 5 }
      ])
      assert.deepStrictEqual((yield* last).query, {
        table: "usage_metrics",
        startDate: "2026-01-01",
        endDate: "2026-01-02",
        format: "json"
      })
      const [agent] = yield* workspace.analytics({ table: "agents", ...january, timezone: "Europe/Paris" })
      assert.strictEqual((yield* last).query["timezone"], "Europe/Paris")
      assert.deepStrictEqual(agent?.editorEmails, ["grace@local-dust.test", "ada@local-dust.test"])
      assert.strictEqual(agent?.credits, 12.5)
      const [feedback] = yield* workspace.analytics({ table: "feedback", ...january })
      assert.strictEqual(feedback?.thumb, "up")
      assert.isFalse(feedback?.dismissed)
      assert.deepStrictEqual(yield* workspace.analytics({ table: "skill_usage", ...january }), [])
    }).pipe(local()))

  it.effect("reads rows with columns that are missing, new or of another shape", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      assert.deepStrictEqual(yield* workspace.analytics({ table: "active_users", ...january }), [
        { date: "2026-01-01", dau: 3, wau: null, mau: null }
      ])
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.transformJson(() => [{ date: "2026-01-01", dau: "3", wau: {}, quarterly: 9 }])
      }]
    })))

  it.effect("skips lines that are not rows", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      assert.deepStrictEqual(yield* workspace.analytics({ table: "active_users", ...january }), [
        { date: "2026-01-01", dau: 3, wau: null, mau: null },
        { date: "2026-01-02", dau: 4, wau: null, mau: null }
      ])
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.transformJson(() => [
          { date: "2026-01-01", dau: 3 },
          null,
          "row",
          { date: "2026-01-02", dau: 4 }
        ])
      }]
    })))

  it.effect("fails when the answer is not a list of rows", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const error = yield* Effect.flip(workspace.analytics({ table: "users", ...january }))
      assert.strictEqual(error._tag, "DustDecodeError")
    }).pipe(local({ faults: [{ fault: DustTest.faults.transformJson(() => ({ rows: [] })) }] })))

  it.effect("gives CSV, at once or in pieces", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const csv = yield* workspace.analyticsCsv({ table: "agents", ...january })
      const [head, row] = csv.split("\n")
      assert.isTrue(head?.startsWith("agentId,name,description,settings"))
      assert.include(row, "\"The global agent, \"\"dust\"\"\"")
      assert.include(row, "grace@local-dust.test; ada@local-dust.test")
      assert.strictEqual((yield* last).query["format"], "csv")
      const pieces = yield* Stream.runCollect(workspace.streamAnalyticsCsv({ table: "agents", ...january }))
      assert.strictEqual(Chunk.toReadonlyArray(pieces).join(""), csv)
      const unknown = yield* Effect.flip(workspace.analyticsCsv({ table: "brand_new", ...january }))
      assert.strictEqual(unknown.status, 400)
    }).pipe(local()))

  it.effect("refuses dates and tables that cannot be, before any request", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const cases: ReadonlyArray<readonly [Partial<AnalyticsOptions>, string]> = [
        [{ startDate: "2026-02-31" }, "startDate"],
        [{ startDate: "2026-1-1" }, "startDate"],
        [{ startDate: "01/01/2026" }, "startDate"],
        [{ endDate: "2026-01-01T00:00:00Z" }, "endDate"],
        [{ startDate: "2026-02-01" }, "endDate"],
        [{ table: "toString" as AnalyticsTable }, "table"]
      ]
      for (const [wrong, field] of cases) {
        const options = { table: "users" as const, ...january, ...wrong } as AnalyticsOptions
        const error = yield* Effect.flip(workspace.analytics(options))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", field)
      }
      const leap = yield* workspace.analytics({ table: "users", startDate: "2028-02-29", endDate: "2028-02-29" })
      assert.strictEqual(leap.length, 1)
      assert.strictEqual(yield* requests, 1)
    }).pipe(local()))

  it.effect("needs an API key: a user is refused before any request", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      for (
        const effect of [
          workspace.analytics({ table: "users", ...january }),
          workspace.analyticsCsv({ table: "users", ...january }),
          Stream.runDrain(workspace.streamAnalyticsCsv({ table: "users", ...january })),
          Stream.runDrain(workspace.streamConsumption(january))
        ]
      ) {
        const error = yield* Effect.flip<unknown, { readonly _tag: string; readonly type?: string | undefined }, never>(
          effect
        )
        assert.strictEqual(error._tag, "DustUserRequiredError")
        assert.strictEqual(error.type, "key_required")
      }
      assert.strictEqual(yield* requests, 0)
    }).pipe(local({ credential: "adminToken" })))

  it.effect("analytics: waits for the Retry-After of a rate limit", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const ask = workspace.analytics({ table: "source", ...january })
      yield* TestClock.adjust("50 seconds")
      yield* Effect.replicateEffect(ask, 60)
      const fiber = yield* Effect.fork(ask)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* requests, 61)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* requests, 62)
    }).pipe(local()))
})

describe("Workspace.streamConsumption", () => {
  const rows = (n: number) => ({
    consumption: Array.from({ length: n }, (_, i) => ({
      completedAt: "2026-01-05T00:00:00.000Z",
      agentName: `naïve ☕ ${i}`,
      totalCredits: i
    }))
  })

  it.effect("gives typed rows as they arrive", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const all = Chunk.toReadonlyArray(yield* Stream.runCollect(workspace.streamConsumption(january)))
      assert.deepStrictEqual(all.map((row) => [row.agentMessageId, row.totalCredits, row.agentTagIds]), [
        ["msg_1", 0.5, ["tag_1", "tag_2"]],
        ["msg_2", 1, ["tag_1", "tag_2"]],
        ["msg_3", 1.5, ["tag_1", "tag_2"]]
      ])
      assert.deepStrictEqual(all[0]?.userGroupNames, [])
      assert.isNull(all[0]?.toolName)
      assert.deepStrictEqual((yield* last).body, {
        startDate: "2026-01-01T00:00:00.000Z",
        endDate: "2026-01-31T00:00:00.000Z",
        format: "ndjson"
      })
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("takes instants of every kind, half open, and a filter", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const some = yield* Stream.runCollect(workspace.streamConsumption({
        startDate: DateTime.unsafeMake("2026-01-01T08:00:00Z"),
        endDate: new Date("2026-01-03T08:00:00Z"),
        filter: { agents: ["dust"], apiKeys: ["Local Dust"], tags: ["tag_2"] }
      }))
      assert.strictEqual(some.length, 2)
      assert.deepStrictEqual((yield* last).body, {
        startDate: "2026-01-01T08:00:00.000Z",
        endDate: "2026-01-03T08:00:00.000Z",
        format: "ndjson",
        filter: { agents: ["dust"], api_keys: ["Local Dust"], tags: ["tag_2"] }
      })
      const none = yield* Stream.runCollect(workspace.streamConsumption({ ...january, filter: { agents: ["nobody"] } }))
      assert.strictEqual(none.length, 0)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("streamConsumption: fails after the rows if the last line is an error", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const seen: Array<number | null> = []
      const error = yield* workspace.streamConsumption(january).pipe(
        Stream.runForEach((row) => Effect.sync(() => seen.push(row.totalCredits))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, [0, 1])
      assert.strictEqual(error._tag, "DustStreamError")
      assert.propertyVal(error, "reason", "remote")
      assert.strictEqual(error.type, "export_timed_out")
      assert.include(error.message, "Export timed out.")
      assert.strictEqual((yield* last).status, 200)

      let csv = ""
      const csvError = yield* workspace.streamConsumptionCsv(january).pipe(
        Stream.runForEach((piece) => Effect.sync(() => csv += piece)),
        Effect.flip
      )
      assert.propertyVal(csvError, "reason", "remote")
      assert.strictEqual(csv.trimEnd().split("\n").length, 3)
      assert.notInclude(csv, "ERROR")
    }).pipe(local({
      credential: "adminApiKey",
      seed: { analytics: { ...rows(5), consumptionFailure: { afterRows: 2, message: "Export timed out." } } }
    })))

  it.effect("gives CSV, also with a line in a cell that looks like a failure", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const pieces = yield* Stream.runCollect(workspace.streamConsumptionCsv(january))
      const csv = Chunk.toReadonlyArray(pieces).join("")
      assert.isTrue(csv.startsWith("completedAt,conversationId,"))
      assert.include(csv, "\"two\nERROR: lines\"")
      assert.isTrue(csv.endsWith("\n"))
    }).pipe(local({
      credential: "adminApiKey",
      seed: {
        analytics: {
          consumption: [{ completedAt: "2026-01-05T00:00:00.000Z", agentName: "two\nERROR: lines", totalCredits: 1 }]
        }
      }
    })))

  it.effect("reads many rows, wherever the answer is cut into pieces", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const all = Chunk.toReadonlyArray(yield* Stream.runCollect(workspace.streamConsumption(january)))
      assert.strictEqual(all.length, 2000)
      assert.strictEqual(all[1999]?.agentName, "naïve ☕ 1999")
    }).pipe(local({ credential: "adminApiKey", seed: { analytics: rows(2000) } })))

  it.effect("streamConsumption: distinguishes a truncated row from an invalid one", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const dust = yield* DustTest.DustTest
      const answer = (body: string) =>
        Effect.zipRight(
          Effect.zipRight(dust.clearFaults, dust.fault({ fault: DustTest.faults.status(200, { body }) })),
          Effect.flip(Stream.runDrain(workspace.streamConsumption(january)))
        )
      const envelope = yield* answer(
        "{\"totalCredits\":1}\n{\"error\":{\"type\":\"internal_server_error\",\"message\":\"Export timed out.\"}}\n"
      )
      assert.strictEqual(envelope._tag, "DustStreamError")
      assert.strictEqual(envelope.type, "export_timed_out")
      const truncated = yield* answer("{\"totalCredits\":1}\n{\"totalCr")
      assert.propertyVal(truncated, "reason", "truncated")
      const broken = yield* answer("{\"totalCredits\":1}\n{\"totalCr\n{\"totalCredits\":1}\n")
      assert.strictEqual(broken._tag, "DustDecodeError")
      const odd = yield* answer("{\"totalCredits\":1}\n\n[1]\n{\"totalCredits\":1}\n")
      assert.strictEqual(odd._tag, "DustDecodeError")
      yield* dust.clearFaults
      yield* dust.fault({ fault: DustTest.faults.cut(300) })
      const cut = yield* Effect.flip(Stream.runDrain(workspace.streamConsumption(january)))
      assert.strictEqual(cut._tag, "DustNetworkError")
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("refuses periods and filters that cannot be, before any request", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const cases: ReadonlyArray<readonly [ConsumptionOptions, string]> = [
        [{ startDate: "yesterday", endDate: "2026-01-02" }, "startDate"],
        [{ startDate: "2026-02-28", endDate: "2026-02-31" }, "endDate"],
        [{ startDate: "2026-02-29T12:00:00Z", endDate: "2026-03-02" }, "startDate"],
        [{ startDate: "1", endDate: "2001-01-02" }, "startDate"],
        [{ startDate: "January 1 2026", endDate: "2026-01-02" }, "startDate"],
        [{ startDate: "2026-01-02", endDate: new Date(Number.NaN) }, "endDate"],
        [{ startDate: "2026-01-02", endDate: "2026-01-02" }, "endDate"],
        [{ startDate: "2026-01-01", endDate: "2026-01-31T00:00:00.001Z" }, "endDate"],
        [{ ...january, filter: { models: ["x".repeat(257)] } }, "filter.models.0"],
        [{ ...january, filter: { agents: Array.from({ length: 501 }, (_, i) => `a${i}`) } }, "filter"]
      ]
      for (const [options, field] of cases) {
        const error = yield* Effect.flip(Stream.runDrain(workspace.streamConsumption(options)))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", field)
      }
      assert.strictEqual(yield* requests, 0)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("says when the feature is not there", () =>
    Effect.gen(function*() {
      const workspace = yield* Workspace.Workspace
      const error = yield* Effect.flip(Stream.runDrain(workspace.streamConsumption(january)))
      assert.strictEqual(error._tag, "DustForbiddenError")
      assert.strictEqual(error.type, "feature_flag_not_found")
    }).pipe(local({ credential: "adminApiKey", seed: { analytics: { consumptionEnabled: false } } })))
})

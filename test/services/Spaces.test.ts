import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import * as DustTest from "effect-dust/DustTest"
import type { ListedSpaceKind } from "effect-dust/Space"
import * as Spaces from "effect-dust/Spaces"
import * as Workspace from "effect-dust/Workspace"

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.countRequests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const adaId = Effect.gen(function*() {
  const workspace = yield* Workspace.Workspace
  const ada = (yield* workspace.listMembers()).find((member) => member.email === "ada@local-dust.test")
  return ada?.sId ?? "nobody"
})

describe("Spaces", () => {
  it.effect("lists spaces; projects only when asked for", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const all = yield* spaces.list()
      assert.deepStrictEqual(all.map((space) => [space.name, space.kind]), [
        ["Company Data", "global"],
        ["Product", "regular"]
      ])
      assert.isFalse(all[0]?.isRestricted)
      assert.deepStrictEqual((yield* last).query, {})
      const projects = yield* spaces.list({ kinds: ["project", "regular"] })
      assert.deepStrictEqual(projects.map((space) => space.name), ["Product", "Launch"])
      assert.deepStrictEqual((yield* last).query, { kinds: "project,regular" })
    }).pipe(local({ credential: "userToken" })))

  it.effect("refuses kinds that the server does not list, before any request", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const kinds: ReadonlyArray<string> = ["public"]
      for (const given of [kinds, []]) {
        const error = yield* Effect.flip(spaces.list({ kinds: given as ReadonlyArray<ListedSpaceKind> }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.deepPropertyVal(error.details, "field", "kinds")
      }
      assert.strictEqual(yield* requests, 0)
    }).pipe(local()))

  it.effect("finds one by name, projects included", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      assert.strictEqual((yield* spaces.findByName("company data")).kind, "global")
      assert.strictEqual((yield* spaces.findByName("Launch")).kind, "project")
      const missing = yield* Effect.flip(spaces.findByName("Compny Data"))
      assert.strictEqual(missing._tag, "DustNotFoundError")
      assert.strictEqual(missing.method, "findByName")
      assert.include(missing.message, "Company Data")
      assert.strictEqual((yield* Effect.flip(spaces.findByName("Board")))._tag, "DustNotFoundError")
    }).pipe(local({ credential: "userToken" })))

  it.effect("list: hides a restricted space from non-members", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const error = yield* Effect.flip(spaces.listMcpServerViews({ spaceId: "vlt_board" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "space_not_found")
      yield* Effect.flatMap(Spaces.Spaces, (spaces) => spaces.findByName("Board")).pipe(
        local({ credential: "adminToken" })
      )
    }).pipe(local({ credential: "userToken" })))

  it.effect("lists tools, those that Dust brings along only when asked for", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const manual = yield* spaces.listMcpServerViews({ spaceId: "vlt_global" })
      assert.deepStrictEqual(manual.map((view) => [view.sId, view.server?.name, view.server?.availability]), [
        ["msv_notes", "notes", "manual"]
      ])
      assert.deepStrictEqual(manual[0]?.server?.tools.map((tool) => tool.name), ["take_note"])
      const auto = yield* spaces.listMcpServerViews({ spaceId: "vlt_global", includeAuto: true })
      assert.deepStrictEqual(auto.map((view) => view.sId), ["msv_web_search", "msv_notes"])
      assert.deepStrictEqual((yield* last).query, { includeAuto: "true" })
    }).pipe(local()))

  it.effect("adds, lists and removes members; the answer of a removal is empty", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const userId = yield* adaId
      assert.deepStrictEqual(yield* spaces.listMembers("vlt_product"), [])
      const added = yield* spaces.addMembers({ spaceId: "vlt_product", userIds: [userId] })
      assert.strictEqual(added.space.name, "Product")
      assert.deepStrictEqual(added.users.map((user) => user.email), ["ada@local-dust.test"])
      assert.deepStrictEqual((yield* last).body, { userIds: [userId] })
      assert.deepStrictEqual((yield* spaces.listMembers("vlt_product")).map((user) => user.sId), [userId])
      const twice = yield* Effect.flip(spaces.addMembers({ spaceId: "vlt_product", userIds: [userId] }))
      assert.strictEqual(twice._tag, "DustConflictError")
      assert.strictEqual(twice.attempts, 1)
      assert.isFalse(twice.isRetryable)
      yield* spaces.removeMember({ spaceId: "vlt_product", userId })
      assert.deepStrictEqual(yield* spaces.listMembers("vlt_product"), [])
      const gone = yield* Effect.flip(spaces.removeMember({ spaceId: "vlt_product", userId }))
      assert.strictEqual(gone._tag, "DustBadRequestError")
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("removeMember: succeeds if a retry finds the member already removed", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const userId = yield* adaId
      const dust = yield* DustTest.DustTest
      yield* spaces.addMembers({ spaceId: "vlt_product", userIds: [userId] })
      yield* dust.fault({ method: "DELETE", nth: 1, fault: DustTest.faults.resetAfter() })
      const fiber = yield* Effect.fork(spaces.removeMember({ spaceId: "vlt_product", userId }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* dust.countRequests({ method: "DELETE" }), 2)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("maps member errors", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const unknown = yield* Effect.flip(spaces.addMembers({ spaceId: "vlt_product", userIds: ["usr_nobody"] }))
      assert.strictEqual(unknown._tag, "DustNotFoundError")
      assert.strictEqual(unknown.type, "user_not_found")
      assert.strictEqual((yield* Effect.flip(spaces.listMembers("vlt_global")))._tag, "DustNotFoundError")
      const dust = yield* DustTest.DustTest
      yield* dust.fault({
        method: "POST",
        fault: DustTest.faults.status(401, { type: "workspace_auth_error", message: "Not allowed." })
      })
      const denied = yield* Effect.flip(spaces.addMembers({ spaceId: "vlt_product", userIds: ["x"] }))
      assert.strictEqual(denied._tag, "DustForbiddenError")
      const before = yield* requests
      const none = yield* Effect.flip(spaces.addMembers({ spaceId: "vlt_product", userIds: [] }))
      assert.deepPropertyVal(none.details, "field", "userIds")
      const blank = yield* Effect.flip(spaces.removeMember({ spaceId: "vlt_product", userId: " " }))
      assert.deepPropertyVal(blank.details, "field", "userId")
      assert.strictEqual(yield* requests, before)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("needs an administrator for members", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      assert.strictEqual((yield* Effect.flip(spaces.listMembers("vlt_product")))._tag, "DustForbiddenError")
    }).pipe(local()))

  it.effect("reads spaces of kinds that it does not know", () =>
    Effect.gen(function*() {
      const spaces = yield* Spaces.Spaces
      const [space] = yield* spaces.list()
      assert.deepStrictEqual([space?.kind, space?.createdAt, space?.groupIds], ["galaxy", null, []])
    }).pipe(local({
      faults: [{
        fault: DustTest.faults.transformJson(() => ({ spaces: [{ sId: "s", name: "S", kind: "galaxy", extra: {} }] }))
      }]
    })))
})

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DataSourceViews from "effect-dust/DataSourceViews"
import * as DustTest from "effect-dust/DustTest"

const local = (options?: DustTest.Options & DustTest.ClientOptions) =>
  Effect.provide(DustTest.layer({
    seed: {
      dataSources: [{
        sId: "dts_handbook",
        name: "handbook",
        documents: [
          { documentId: "travel", text: "Trains are booked in second class.", parents: ["money"] },
          { documentId: "secret", text: "Trains are never late." }
        ],
        views: [{ sId: "dsv_money", spaceId: "vlt_product", parentsIn: ["money"] }]
      }]
    },
    ...options
  }))

const money = { spaceId: "vlt_product", dataSourceViewId: "dsv_money" } as const

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.requests())
const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

describe("DataSourceViews", () => {
  it.effect("lists, finds and reads the views of a space", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      const all = yield* views.list("vlt_product")
      assert.deepStrictEqual(
        all.map((view) => [view.sId, view.kind, view.category, view.parentsIn, view.dataSource.name, view.spaceId]),
        [["dsv_money", "custom", "folder", ["money"], "handbook", "vlt_product"]]
      )
      assert.deepStrictEqual(yield* views.findByName({ spaceId: "vlt_product", name: "HANDBOOK" }), all[0])
      assert.deepStrictEqual(yield* views.get(money), all[0])
      const whole = yield* views.get({ spaceId: "vlt_global", dataSourceViewId: "dsv_handbook" })
      assert.deepStrictEqual([whole.kind, whole.parentsIn], ["default", null])
    }).pipe(local()))

  it.effect("fails with DustNotFoundError for a missing document", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      const view = yield* Effect.flip(views.get({ ...money, dataSourceViewId: "a/b" }))
      assert.strictEqual(view._tag, "DustNotFoundError")
      assert.strictEqual(view.type, "data_source_view_not_found")
      const space = yield* Effect.flip(views.list("vlt_nowhere"))
      assert.strictEqual(space.type, "space_not_found")
      const other = yield* Effect.flip(views.get({ ...money, spaceId: "vlt_global" }))
      assert.strictEqual(other._tag, "DustNotFoundError")
      const name = yield* Effect.flip(views.findByName({ spaceId: "vlt_product", name: "wiki" }))
      assert.strictEqual(name.type, "name_not_found")
    }).pipe(local()))

  it.effect("shows more and less of the data source", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      const more = yield* views.update({ ...money, parentsToAdd: ["secret"] })
      assert.deepStrictEqual(more.parentsIn, ["money", "secret"])
      assert.deepStrictEqual((yield* last).body, { parentsToAdd: ["secret"] })
      const less = yield* views.update({ ...money, parentsToRemove: ["money"] })
      assert.deepStrictEqual(less.parentsIn, ["secret"])
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("refuses by type the list that Dust ignores, and an empty change before any request", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      // @ts-expect-error Dust answers 200 to it and changes nothing
      const ignored = yield* Effect.flip(views.update({ ...money, parentsIn: ["x"] }))
      assert.strictEqual(ignored._tag, "DustBadRequestError")
      const error = yield* Effect.flip(views.update({ ...money, parentsToAdd: [] }))
      assert.propertyVal(error.details, "field", "parentsToAdd")
      assert.strictEqual((yield* requests).length, 0)
    }).pipe(local({ credential: "adminApiKey" })))

  it.effect("the missing right to administer is not a problem of the credential", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      const error = yield* Effect.flip(views.update({ ...money, parentsToAdd: ["x"] }))
      assert.strictEqual(error._tag, "DustForbiddenError")
      assert.strictEqual(error.status, 401)
      assert.strictEqual(error.type, "workspace_auth_error")
    }).pipe(local()))

  it.effect("searches the documents of the view", () =>
    Effect.gen(function*() {
      const views = yield* DataSourceViews.DataSourceViews
      const found = yield* views.search({ ...money, query: "trains", topK: 3 })
      assert.deepStrictEqual(found.map((document) => document.documentId), ["travel"])
      assert.deepStrictEqual((yield* last).query, { query: "trains", top_k: "3" })
      const whole = yield* views.search({ spaceId: "vlt_global", dataSourceViewId: "dsv_handbook", query: "trains" })
      assert.strictEqual(whole.length, 2)
      const error = yield* Effect.flip(views.search({ ...money, query: "" }))
      assert.propertyVal(error.details, "field", "query")
    }).pipe(local()))
})

// Layers are provided one after the other on purpose.
// @effect-diagnostics multipleEffectProvide:off
/** Law 11: what is built, cached or learned for one workspace and credential is never used for another. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer, LayerMap, ManagedRuntime, Redacted, Stream } from "effect"
import * as Agents from "effect-dust/Agents"
import { Apps } from "effect-dust/Apps"
import { Chat } from "effect-dust/Chat"
import type * as ChatModule from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Governor from "effect-dust/Governor"
import { Search } from "effect-dust/Search"

const recording = () => {
  const seen: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      seen.push(`${url.pathname.split("/")[4]} ${request.headers["authorization"]}`)
      return HttpClientResponse.fromWeb(request, Response.json({ agentConfigurations: [] }))
    })
  )
  return { take: Effect.sync(() => seen.splice(0)), layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const workspace = (id: string) => Dust.layer({ workspaceId: id, apiKey: Redacted.make(`sk-of-${id}`) })
const list = Effect.flatMap(Agents.Agents, (agents) => agents.list())
const asked = (...ids: ReadonlyArray<string>) => ids.map((id) => `${id} Bearer sk-of-${id}`)

class Sales extends Context.Tag("Sales")<Sales, Agents.Service>() {}
class Support extends Context.Tag("Support")<Support, Agents.Service>() {}

const bothOf = <E, R>(sales: Layer.Layer<Dust.Services, E, R>, support: Layer.Layer<Dust.Services, E, R>) =>
  Layer.mergeAll(
    Layer.effect(Sales, Agents.Agents).pipe(Layer.provide(sales)),
    Layer.effect(Support, Agents.Agents).pipe(Layer.provide(support))
  )

const askBoth = Effect.gen(function*() {
  const sales = yield* Sales
  const support = yield* Support
  yield* sales.list()
  yield* support.list()
  return sales === support
})

class Workspaces extends LayerMap.Service<Workspaces>()("Workspaces", { lookup: workspace }) {}

const environment = (id: string) =>
  Layer.setConfigProvider(
    ConfigProvider.fromMap(new Map([["DUST_WORKSPACE_ID", id], ["DUST_API_KEY", `sk-of-${id}`]]))
  )

describe("No tenant meets another", () => {
  it.effect("Dust.layer: two merged layers call their own workspaces with their own keys", () =>
    Effect.gen(function*() {
      const http = recording()
      const same = yield* askBoth.pipe(
        Effect.provide(bothOf(workspace("sales"), workspace("support"))),
        Effect.provide(http.layer)
      )
      assert.isFalse(same)
      assert.deepStrictEqual(yield* http.take, asked("sales", "support"))
    }))

  it.effect("Dust.layer: a nested layer does not inherit the outer one's client", () =>
    Effect.gen(function*() {
      const http = recording()
      yield* Effect.zipRight(list, Effect.provide(list, workspace("support"))).pipe(
        Effect.zipLeft(list),
        Effect.provide(workspace("sales")),
        Effect.provide(http.layer)
      )
      assert.deepStrictEqual(yield* http.take, asked("sales", "support", "sales"))
    }))

  it.effect("Dust.layer: LayerMap keeps one graph per key", () =>
    Effect.gen(function*() {
      const http = recording()
      yield* Effect.all([
        Effect.provide(list, Workspaces.get("sales")),
        Effect.provide(list, Workspaces.get("support")),
        Effect.provide(list, Workspaces.get("sales"))
      ]).pipe(Effect.provide(Workspaces.Default), Effect.provide(http.layer))
      assert.deepStrictEqual(yield* http.take, asked("sales", "support", "sales"))
    }))

  it.effect("Dust.layer: two runtimes with one MemoMap share nothing", () =>
    Effect.gen(function*() {
      const http = recording()
      const memoMap = yield* Layer.makeMemoMap
      for (const id of ["sales", "support"]) {
        const runtime = ManagedRuntime.make(workspace(id).pipe(Layer.provide(http.layer)), memoMap)
        yield* Effect.promise(() => runtime.runPromise(list))
        yield* runtime.disposeEffect
      }
      assert.deepStrictEqual(yield* http.take, asked("sales", "support"))
    }))

  it.effect("Dust.layer: one constant that is used twice is built once", () =>
    Effect.gen(function*() {
      const http = recording()
      const one = workspace("sales")
      assert.isTrue(yield* askBoth.pipe(Effect.provide(bothOf(one, one)), Effect.provide(http.layer)))
    }))

  it.effect("Dust.layerEnv: another ConfigProvider in the same graph has a client of its own", () =>
    Effect.gen(function*() {
      const http = recording()
      yield* askBoth.pipe(
        Effect.provide(bothOf(
          Dust.layerEnv.pipe(Layer.provide(environment("sales"))),
          Dust.layerEnv.pipe(Layer.provide(environment("support")))
        )),
        Effect.provide(http.layer)
      )
      assert.deepStrictEqual(yield* http.take, asked("sales", "support"))
    }))

  it.effect("Dust.layerEnv: two uses with equal settings are built once, and anew when both are over", () =>
    Effect.gen(function*() {
      const http = recording()
      const run = Effect.provide(
        Effect.gen(function*() {
          const sales = yield* Sales
          const support = yield* Support
          return [sales, support] as const
        }),
        bothOf(Dust.layerEnv, Dust.layerEnv).pipe(Layer.provide(environment("sales")))
      )
      const [first, second] = yield* Effect.all([run, run]).pipe(Effect.provide(http.layer))
      assert.strictEqual(first[0], first[1])
      assert.notStrictEqual(first[0], second[0])
    }))

  it.effect("Dust.layerEnv: two uses with their own governors are two graphs", () =>
    Effect.gen(function*() {
      const http = recording()
      const governed = Dust.layerEnv.pipe(
        Layer.provide(Layer.fresh(Layer.effect(Governor.Governor, Effect.map(Governor.storeMemory, Governor.make))))
      )
      const same = yield* askBoth.pipe(
        Effect.provide(bothOf(Layer.fresh(governed), Layer.fresh(governed)).pipe(Layer.provide(environment("sales")))),
        Effect.provide(http.layer)
      )
      assert.isFalse(same)
    }))

  it.effect("Dust.layerConfig: one constant under two ConfigProviders is two graphs", () =>
    Effect.gen(function*() {
      const http = recording()
      const configured = Dust.layerConfig({
        workspaceId: Config.string("DUST_WORKSPACE_ID"),
        apiKey: Config.redacted("DUST_API_KEY")
      })
      yield* askBoth.pipe(
        Effect.provide(bothOf(
          configured.pipe(Layer.provide(environment("sales"))),
          configured.pipe(Layer.provide(environment("support")))
        )),
        Effect.provide(http.layer)
      )
      assert.deepStrictEqual(yield* http.take, asked("sales", "support"))
    }))

  class Outer extends Context.Tag("Outer")<Outer, ChatModule.Service>() {}
  class Inner extends Context.Tag("Inner")<Inner, ChatModule.Service>() {}

  it.effect("DustTest.layer: two local workspaces in one graph answer for themselves", () =>
    Effect.gen(function*() {
      const ask = { agent: "helper", message: "hello" }
      assert.strictEqual((yield* (yield* Outer).send(ask)).text, "outer")
      assert.strictEqual((yield* (yield* Inner).send(ask)).text, "inner")
    }).pipe(
      Effect.provide(Layer.mergeAll(
        Layer.effect(Outer, Chat).pipe(Layer.provide(DustTest.layer({ agents: { helper: "outer" } }))),
        Layer.effect(Inner, Chat).pipe(Layer.provide(DustTest.layer({ agents: { helper: "inner" } })))
      ))
    ))

  it.effect("learned redirects: a chat does not move the streams of other routes", () =>
    Effect.gen(function*() {
      const chat = yield* Chat
      const search = yield* Search
      const apps = yield* Apps
      const others = Effect.zip(
        Stream.runCount(search.unified({ query: "roadmap" })),
        Stream.runCount(
          apps.stream({ spaceId: "vlt_global", appId: "app1", specificationHash: "latest", config: {}, inputs: [{}] })
        )
      )
      const before = yield* others
      yield* chat.send({ agent: "dust", message: "hello" })
      assert.deepStrictEqual(yield* others, before)
    }).pipe(Effect.provide(DustTest.layer({ seed: { apps: [{ sId: "app1" }] } }))))
})

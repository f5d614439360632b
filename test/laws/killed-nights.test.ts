/** Law 12 when the process is killed: a sync and a load lose and double nothing, at whatever request it happens. `KILLS=100` kills that often, `npm test` three times each. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Governor from "effect-dust/Governor"
import { rmSync } from "node:fs"
import { compile, run } from "../support/child.ts"
import { documents, type Night, rows } from "../support/nights.ts"

// @effect-diagnostics-next-line processEnv:off
const kills = Number(process.env["KILLS"] ?? 3)

type Content = Map<string, unknown>

interface Job {
  readonly old: readonly [from: number, to: number]
  readonly source: readonly [from: number, to: number]
  readonly id: (i: number) => string
  /** Brings the first state. */
  readonly prepare: (dataSourceId: string) => Effect.Effect<unknown, unknown, DataSources.DataSources>
  /** What is there, by id. */
  readonly content: (dataSourceId: string) => Effect.Effect<Content, unknown, DataSources.DataSources>
}

const location = (dataSourceId: string) => ({ spaceId: "vlt_global", dataSourceId }) as const

const jobs: Readonly<Record<Night["job"], Job>> = {
  sync: {
    old: [0, 20],
    source: [8, 36],
    id: (i) => `doc-${i}`,
    prepare: (dataSourceId) =>
      Effect.flatMap(
        DataSources.DataSources,
        (dataSources) =>
          Stream.runDrain(dataSources.syncDocuments({ ...location(dataSourceId), documents: documents(0, 20, "old") }))
      ),
    content: (dataSourceId) =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const all: Content = new Map()
        yield* Stream.runForEach(
          dataSources.streamDocuments(location(dataSourceId)),
          ({ documentId }) =>
            Effect.map(
              dataSources.getDocument({ ...location(dataSourceId), documentId }),
              ({ text }) => all.set(documentId, text)
            )
        )
        return all
      })
  },
  load: {
    old: [0, 300],
    source: [60, 450],
    id: (i) => `row-${i}`,
    prepare: (dataSourceId) =>
      Effect.flatMap(
        DataSources.DataSources,
        (dataSources) =>
          dataSources.loadTable({ ...location(dataSourceId), table: { name: "orders" }, rows: rows(0, 300, "old") })
      ),
    content: (dataSourceId) =>
      Effect.gen(function*() {
        const dataSources = yield* DataSources.DataSources
        const [table] = yield* dataSources.listTables(location(dataSourceId))
        const all: Content = new Map()
        if (table === undefined) return all
        yield* Stream.runForEach(
          dataSources.streamRows({ ...location(dataSourceId), tableId: table.tableId }),
          ({ rowId, value }) => Effect.sync(() => all.set(rowId, `${String(value["version"])} ${String(value["n"])}`))
        )
        return all
      })
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** What must be true after a kill: old things are there until everything new is. */
const check = ({ id, old, source }: Job, found: Content, where: string) => {
  const written = range(...source).filter((i) => found.get(id(i)) === `new ${i}`).length
  const missing = range(...old).filter((i) => !found.has(id(i)))
  if (missing.length > 0) assert.strictEqual(written, source[1] - source[0], `${where}: gone before all is written`)
  for (const i of missing) assert.isBelow(i, source[0], `${where}: ${id(i)} is in the source and gone`)
}

describe("A nightly job whose process is killed", () => {
  let folder: string
  beforeAll(async () => {
    folder = await compile("nightChild")
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  for (const job of ["sync", "load"] as const) {
    it.live(
      `${job}: the old data is there until the new is, and the next run ends with exactly the source`,
      () =>
        Effect.gen(function*() {
          const dust = yield* DustTest.serve({
            limits: false,
            seed: {
              dataSources: range(-1, kills).map((i) => ({ sId: `dts_${i + 1}`, name: `night ${i + 1}` }))
            }
          })
          const client = Dust.layer({ workspaceId: dust.workspaceId, apiKey: dust.apiKey, baseUrl: dust.url }).pipe(
            Layer.provide(Governor.layerOff),
            Layer.provide(NodeHttpClient.layerUndici)
          )
          const task = jobs[job]
          const [from, to] = task.source
          const at = (dataSourceId: string) => ({
            job,
            from,
            to,
            dataSourceId,
            url: dust.url,
            workspaceId: dust.workspaceId,
            apiKey: Redacted.value(dust.apiKey)
          })
          const goal = new Map(range(...task.source).map((i) => [task.id(i), `new ${i}`]))
          const whole = (dataSourceId: string) =>
            Effect.gen(function*() {
              const ended = yield* run(folder, at(dataSourceId))
              assert.strictEqual(ended.errors, "")
              const found = yield* task.content(dataSourceId)
              assert.deepStrictEqual(new Map([...found].sort()), new Map([...goal].sort()))
              return Number(ended.output)
            })
          yield* Effect.gen(function*() {
            yield* task.prepare("dts_0")
            const requests = yield* whole("dts_0")
            assert.isAbove(requests, 10)
            for (const attempt of range(0, kills)) {
              const dataSourceId = `dts_${attempt + 1}`
              const killAt = Math.floor((attempt + 0.5) * requests / kills)
              yield* task.prepare(dataSourceId)
              const ended = yield* run(folder, { ...at(dataSourceId), killAt })
              assert.strictEqual(ended.signal, "SIGKILL")
              check(task, yield* task.content(dataSourceId), `killed at request ${killAt}`)
              yield* whole(dataSourceId)
            }
          }).pipe(Effect.provide(client))
        }).pipe(Effect.scoped),
      1_800_000
    )
  }
})

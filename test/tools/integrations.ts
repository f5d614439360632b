/**
 * The examples of the integrations, which the matrix of platforms runs from the tarball, in projects with exactly the packages that
 * the README and the guide of each name.
 */
import { readFileSync } from "node:fs"
import { root } from "./modules.ts"

/** What a guide installs: its first `npm install` lines, as names and versions. */
const installed = (file: string, lines: number): ReadonlyArray<readonly [string, string]> =>
  [...readFileSync(`${root}${file}`, "utf8").matchAll(/npm install ([^\n`]+)/g)].slice(0, lines).flatMap((
    [, line = ""]
  ) =>
    line.split(" ").flatMap((one) => {
      const at = one.lastIndexOf("@")
      return at > 0 ? [[one.slice(0, at), one.slice(at + 1)] as const] : []
    })
  )

const core = installed("README.md", 1)

export interface IntegrationProject {
  readonly name: string
  readonly packages: Readonly<Record<string, string>>
  /** The examples, with words that each prints. */
  readonly examples: Readonly<Record<string, string>>
}

const ai = { "42-toolkit": "in Paris", "43-language-model": "I was first." }
const workflow = { "44-durable-answer": "the same message both times: true" }

/** A file of SQLite stands for the PostgreSQL of the guide. */
const database = ([name, version]: readonly [string, string]) =>
  [name === "@effect/sql-pg" ? "@effect/sql-libsql" : name, name === "@effect/sql-pg" ? "0.42" : version] as const

/** The oldest version of a range: `0.37` begins at 0.37.0. The integrations themselves want `effect` 3.22. */
const oldest = ([name, version]: readonly [string, string]) =>
  [name, name === "effect" ? "3.22.0" : `${version}.0`] as const

const cluster = [...core, ...installed("docs/durable-answers.md", 2).map(database)]

export const integrationProjects: ReadonlyArray<IntegrationProject> = [
  {
    name: "@effect/ai",
    packages: Object.fromEntries([...core, ...installed("docs/language-model.md", 1)]),
    examples: ai
  },
  {
    name: "@effect/workflow",
    packages: Object.fromEntries([...core, ...installed("docs/durable-answers.md", 1)]),
    examples: workflow
  },
  { name: "@effect/cluster", packages: Object.fromEntries(cluster), examples: { cluster: "Here I am." } },
  {
    name: "oldest integrations",
    packages: Object.fromEntries([...cluster, ...installed("docs/language-model.md", 1)].map(oldest)),
    examples: { ...ai, ...workflow, cluster: "Here I am." }
  }
]

/** A durable answer on a cluster with a database. */
export const clusterExample = `
import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
import { LibsqlClient } from "@effect/sql-libsql"
import { Effect, Layer } from "effect"
import * as DurableChat from "effect-dust/DurableChat"
import * as DustTest from "effect-dust/DustTest"
import * as SqlKeyValueStore from "effect-dust/SqlKeyValueStore"
const Live = DurableChat.layer().pipe(
  Layer.provideMerge(ClusterWorkflowEngine.layer),
  Layer.provideMerge(SingleRunner.layer({ runnerStorage: "sql" })),
  Layer.provideMerge(SqlKeyValueStore.layer()),
  Layer.provideMerge(LibsqlClient.layer({ url: "file:answers.db", intMode: "bigint" })),
  Layer.provideMerge(DustTest.layer({ agents: { model: () => "Here I am." } }))
)
const ask = DurableChat.Ask.execute({ key: "1", agent: "model", message: "Hello" })
console.log((await Effect.runPromise(Effect.provide(ask, Live))).text)
process.exit(0)
`

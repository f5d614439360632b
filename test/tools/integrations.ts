/**
 * Each integration from the packed package, in an empty project with exactly the packages that its guide names:
 * `npx tsx test/tools/integrations.ts`. It installs from the registry, so it is no part of `npm test`.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { root } from "./modules.ts"

const { devDependencies } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
const local = `DustTest.layer({ agents: { model: () => "Here I am." } })`

const integrations = [
  {
    name: "the core alone",
    packages: ["effect", "@effect/platform"],
    program: `
      import { Effect } from "effect"
      import { Chat } from "effect-dust/Chat"
      import * as DustTest from "effect-dust/DustTest"
      const program = Effect.flatMap(Chat, (chat) => chat.send({ agent: "model", message: "Hello" }))
      console.log((await Effect.runPromise(Effect.provide(program, ${local}))).text)
    `
  },
  {
    name: "DustLanguageModel",
    packages: ["effect", "@effect/platform", "@effect/ai", "@effect/experimental", "@effect/rpc"],
    program: `
      import { LanguageModel } from "@effect/ai"
      import { Effect, Layer } from "effect"
      import * as DustLanguageModel from "effect-dust/DustLanguageModel"
      import * as DustTest from "effect-dust/DustTest"
      const Model = DustLanguageModel.layer({ agent: "model" }).pipe(Layer.provide(${local}))
      const { text } = await Effect.runPromise(Effect.provide(LanguageModel.generateText({ prompt: "Hello" }), Model))
      console.log(text)
    `
  },
  {
    name: "DurableChat",
    packages: ["effect", "@effect/platform", "@effect/workflow", "@effect/experimental", "@effect/rpc"],
    program: `
      import { KeyValueStore } from "@effect/platform"
      import { WorkflowEngine } from "@effect/workflow"
      import { Effect, Layer } from "effect"
      import * as DurableChat from "effect-dust/DurableChat"
      import * as DustTest from "effect-dust/DustTest"
      const Live = DurableChat.layer().pipe(
        Layer.provideMerge(WorkflowEngine.layerMemory),
        Layer.provideMerge(KeyValueStore.layerMemory),
        Layer.provideMerge(${local})
      )
      const ask = DurableChat.Ask.execute({ key: "1", agent: "model", message: "Hello" })
      console.log((await Effect.runPromise(Effect.provide(ask, Live))).text)
    `
  },
  {
    name: "DurableChat on a cluster with a database",
    packages: [
      "effect",
      "@effect/platform",
      "@effect/workflow",
      "@effect/experimental",
      "@effect/rpc",
      "@effect/cluster",
      "@effect/sql",
      "@effect/sql-libsql"
    ],
    program: `
      import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
      import { LibsqlClient } from "@effect/sql-libsql"
      import { Effect, Layer } from "effect"
      import * as DurableChat from "effect-dust/DurableChat"
      import * as DustTest from "effect-dust/DustTest"
      import * as SqlKeyValueStore from "effect-dust/SqlKeyValueStore"
      const Live = DurableChat.layer().pipe(
        Layer.provideMerge(ClusterWorkflowEngine.layer),
        Layer.provideMerge(SingleRunner.layer({ runnerStorage: "memory" })),
        Layer.provideMerge(SqlKeyValueStore.layer()),
        Layer.provideMerge(LibsqlClient.layer({ url: "file:answers.db", intMode: "bigint" })),
        Layer.provideMerge(${local})
      )
      const ask = DurableChat.Ask.execute({ key: "1", agent: "model", message: "Hello" })
      console.log((await Effect.runPromise(Effect.provide(ask, Live))).text)
      process.exit(0)
    `
  }
]

const directory = mkdtempSync(`${tmpdir()}/integrations-`)
try {
  execFileSync("npm", ["pack", "--pack-destination", directory], { cwd: root, stdio: "ignore" })
  const tarball = readdirSync(directory).find((name) => name.endsWith(".tgz")) ?? ""
  for (const [index, { name, packages, program }] of integrations.entries()) {
    const project = `${directory}/${index}`
    mkdirSync(project)
    writeFileSync(`${project}/package.json`, JSON.stringify({ name: "application", private: true, type: "module" }))
    writeFileSync(`${project}/program.js`, program)
    const wanted = packages.map((one) => `${one}@${devDependencies[one]}`)
    // Without peers that npm would add by itself.
    execFileSync("npm", ["install", "--legacy-peer-deps", "--no-audit", "--no-fund", `../${tarball}`, ...wanted], {
      cwd: project,
      stdio: "ignore"
    })
    const printed = execFileSync(process.execPath, ["program.js"], { cwd: project, encoding: "utf8" })
    if (!printed.includes("Here I am.")) throw new Error(`${name} printed ${printed}`)
    console.log(`✓ ${name}: effect-dust, ${packages.join(", ")}`)
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}

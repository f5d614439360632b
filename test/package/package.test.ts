import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { Workspace } from "effect-dust/Workspace"
import { build } from "esbuild"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { compileFunction } from "node:vm"
import { publint } from "publint"
import { bundle, ownOf } from "../tools/bundle.ts"
import { byPathOnly, integrations, publicModules, root } from "../tools/modules.ts"
import { type Packed, packed } from "../tools/packed.ts"
import { bundleFigures, over, typeFigures } from "../tools/size.ts"

const manifest: {
  readonly version: string
  readonly dependencies?: unknown
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
} = JSON.parse(readFileSync(`${root}package.json`, "utf8"))

describe("the package", () => {
  let built: Packed
  beforeAll(async () => {
    built = await packed()
  }, 240_000)
  afterAll(() => built?.remove())

  it("has nothing that publint minds", async () => {
    const { messages } = await publint({ pkgDir: built.directory, pack: false, strict: true })
    assert.deepStrictEqual(messages, [])
  })

  it("has every file that its documentation links to", () => {
    const pages = readdirSync(built.directory, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".md")
    )
    const links = pages.flatMap((name) => {
      const text = readFileSync(`${built.directory}/${name}`, "utf8").replaceAll(/^```[\s\S]*?^```/gm, "")
      return [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path = ""]) => ({ name, path }))
    })
    assert.isAbove(links.length, 50)
    const dead = links.filter(({ name, path }) => !existsSync(join(built.directory, dirname(name), path)))
    assert.deepStrictEqual(dead, [])
  })

  it("is imported by plain Node, module by module, and keeps its insides to itself", async () => {
    const printed = await built.node(`
      const names = ${JSON.stringify(publicModules)}
      const counts = []
      for (const name of names) counts.push(Object.keys(await import("effect-dust/" + name)).length)
      const all = Object.keys(await import("effect-dust"))
      const inside = await import("effect-dust/internal/request/url").catch((error) => error.code)
      const { default: manifest } = await import("effect-dust/package.json", { with: { type: "json" } })
      console.log(JSON.stringify({ counts, all, inside, version: manifest.version }))
    `)
    const { all, counts, inside, version } = JSON.parse(printed)
    assert.strictEqual(counts.length, publicModules.length)
    assert.deepStrictEqual(all.toSorted(), publicModules.filter((name) => !byPathOnly.includes(name)).toSorted())
    assert.strictEqual(inside, "ERR_PACKAGE_PATH_NOT_EXPORTED")
    assert.strictEqual(version, manifest.version)
  }, 240_000)

  it("runs in plain Node", async () => {
    const printed = await built.node(`
      import * as Effect from "effect/Effect"
      import { Chat } from "effect-dust/Chat"
      import * as DustTest from "effect-dust/DustTest"
      const program = Effect.flatMap(Chat, (chat) => chat.send({ agent: "echo", message: "Hello there" }))
      console.log((await Effect.runPromise(Effect.provide(program, DustTest.layer()))).text)
    `)
    assert.strictEqual(printed, "Hello there\n")
  }, 240_000)

  it("is typed, also where modules are resolved as bundlers do and libraries are checked", async () => {
    const program = `
      import * as Effect from "effect/Effect"
      import * as Dust from "effect-dust"
      import { Conversations } from "effect-dust/Conversations"
      import type { DustAPIError } from "effect-dust/DustAPIError"
      export const one: Effect.Effect<string, DustAPIError, Conversations> = Effect.gen(function*() {
        const conversations = yield* Conversations
        const { agentMessages } = yield* conversations.createMessage({ conversationId: "c", content: "Hello" })
        return agentMessages[0]?.content ?? ""
      })
      export const layer = Dust.Dust.layerEnv
      // @ts-expect-error an id of a message is not an id of a conversation
      export const wrong = (id: Dust.Ids.MessageId) => Effect.flatMap(Conversations, (it) => it.get(id))
    `
    await built.compile(program, { module: "ESNext", moduleResolution: "Bundler", skipLibCheck: false })
  }, 240_000)

  it("stays within its size limits", async () => {
    const figures = [...await bundleFigures(), ...await typeFigures(built)]
    assert.deepStrictEqual(over(figures), [])
    assert.isAtLeast(figures.length, 11)
  }, 240_000)

  it("has no dependencies but its peers", () => {
    assert.isUndefined(manifest.dependencies)
    const needed = Object.keys(manifest.peerDependencies)
      .filter((name) => manifest.peerDependenciesMeta[name]?.optional !== true)
    assert.deepStrictEqual(needed, ["@effect/platform", "effect"])
    const optional = [...new Set(Object.values(integrations).flat())].toSorted()
    assert.deepStrictEqual(Object.keys(manifest.peerDependenciesMeta).toSorted(), optional)
    assert.includeMembers(Object.keys(manifest.peerDependencies), optional)
  })

  it("is locked without the addresses of a registry", () => {
    const lock = readFileSync(`${root}package-lock.json`, "utf8")
    assert.notInclude(lock, "\"resolved\"")
    assert.notMatch(lock, /https?:\/\/[^"]*(registry|npmjs\.org\/[^"]*\.tgz)/)
    const { packages, version } = JSON.parse(lock)
    assert.strictEqual(version, manifest.version)
    assert.strictEqual(packages[""].version, manifest.version)
    const unsure = Object.entries<{ readonly integrity?: string }>(packages)
      .filter(([path, { integrity }]) => path !== "" && integrity === undefined)
    assert.deepStrictEqual(unsure.map(([path]) => path), [], "without integrity (npx tsx test/tools/lock.ts adds it)")
  })

  it.effect("sends its version to the server", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(Workspace, (workspace) => workspace.exists())
      const { headers } = yield* Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())
      assert.strictEqual(headers["user-agent"], `effect-dust/${manifest.version}`)
    }).pipe(Effect.provide(DustTest.layer())))
})

const isLocal = (file: string) => /^(DustTest|Cassette|internal\/(local|cassette)\/)/.test(file)
const isFixture = (file: string) => /^(Fixtures|internal\/fixtures\/)/.test(file)

describe("a bundle", () => {
  it("loads where modules have no address, as in workerd and in CommonJS", async () => {
    const { outputFiles } = await build({
      stdin: { contents: `export { Chat } from "effect-dust/Chat"`, resolveDir: `${root}test`, loader: "ts" },
      bundle: true,
      write: false,
      format: "cjs",
      platform: "node",
      absWorkingDir: root,
      tsconfig: `${root}tsconfig.json`,
      logLevel: "silent"
    })
    const module: { exports: { readonly Chat?: { readonly key: string } } } = { exports: {} }
    compileFunction(outputFiles[0]!.text, ["module", "exports", "require"])(
      module,
      module.exports,
      createRequire(import.meta.url)
    )
    assert.strictEqual(module.exports.Chat?.key, "effect-dust/Chat")
  }, 240_000)

  it("has no builders for tests in it, unless it imports Fixtures", async () => {
    const some = [...await ownOf(publicModules)].flatMap(([name, own]) => own.some(isFixture) ? [name] : [])
    assert.deepStrictEqual(some, ["Fixtures"])
    const { own } = await bundle(`import * as all from "effect-dust"\nconsole.log(all)`)
    assert.isFalse(own.some(isFixture))
  }, 240_000)

  it("has nothing of Local Dust or cassettes in it, unless it imports DustTest or Cassette", async () => {
    const local = [...await ownOf(publicModules)].flatMap(([name, own]) => own.some(isLocal) ? [name] : [])
    assert.deepStrictEqual(local, ["Cassette", "DustTest"])
    const { own } = await bundle(`import * as all from "effect-dust"\nconsole.log(all)`)
    assert.isFalse(own.some(isLocal))
  }, 240_000)

  it("has only the services that it uses", async () => {
    const { own } = await bundle(`import { Triggers } from "effect-dust"\nconsole.log(Triggers.Triggers)`)
    assert.include(own, "Triggers.ts")
    for (const other of ["Conversations.ts", "Chat.ts", "Files.ts", "DataSources.ts", "internal/stream/resumable.ts"]) {
      assert.notInclude(own, other)
    }
  }, 240_000)
})

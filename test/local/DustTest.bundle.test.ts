import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as esbuild from "esbuild"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"

const source = fileURLToPath(new URL("../../src", import.meta.url))

const bundle = (code: string) =>
  Effect.map(
    Effect.promise(() =>
      esbuild.build({
        stdin: { contents: code, resolveDir: source, loader: "ts" },
        bundle: true,
        write: false,
        metafile: true,
        format: "esm",
        platform: "neutral",
        packages: "external",
        external: ["node:*"],
        logLevel: "silent"
      })
    ),
    ({ metafile }) => ({
      local: Object.keys(metafile.inputs).filter((path) => /internal\/(local|cassette)|DustTest|Cassette/.test(path)),
      imports: Object.values(metafile.outputs).flatMap(({ imports }) => imports)
    })
  )

describe("bundle of an application", () => {
  it.live("excludes Local Dust and cassettes, unless it imports DustTest or Cassette", () =>
    Effect.gen(function*() {
      const modules = readdirSync(source).filter((name) =>
        /^[A-Z].*\.ts$/.test(name) && !/^(DustTest|Cassette)\.ts$/.test(name)
      )
      assert.isAbove(modules.length, 10)
      const { local } = yield* bundle(modules.map((name, i) => `export * as m${i} from "./${name}"`).join("\n"))
      assert.deepStrictEqual(local, [])
    }))

  it.live("DustTest loads node:http only when it serves", () =>
    Effect.gen(function*() {
      const { imports, local } = yield* bundle("export * from \"./DustTest.ts\"")
      assert.isAbove(local.length, 10)
      assert.deepStrictEqual(
        imports.filter(({ path }) => path.startsWith("node:")).map(({ kind, path }) => [path, kind]),
        [["node:http", "dynamic-import"]]
      )
    }))
})

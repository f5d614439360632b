import { assert, describe, it } from "@effect/vitest"
import { build, type Plugin } from "esbuild"
import { execFile } from "node:child_process"
import { copyFileSync, readFileSync, rmSync } from "node:fs"
import { bundling, newFolder } from "../support/child.ts"
import { guides, llmsText } from "../tools/guides.ts"
import { publicModules, root } from "../tools/modules.ts"
import { guideAgents, guideFiles, runnable } from "../tools/snippets.ts"

/** Each snippet as a module that exports its program; `runMain` at its end does nothing. */
const snippets: Plugin = {
  name: "snippets",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^snippet:/ }, ({ path }) => ({ path, namespace: "snippet" }))
    onLoad({ filter: /.*/, namespace: "snippet" }, ({ path }) => ({
      contents: `${runnable[Number(path.slice("snippet:".length))]?.code}\nexport { program }\n`,
      loader: "ts",
      resolveDir: `${root}test`
    }))
    onResolve({ filter: /^agents$/ }, ({ path }) => ({ path, namespace: "agents" }))
    onLoad({ filter: /.*/, namespace: "agents" }, () => ({ contents: guideAgents.code, resolveDir: `${root}test` }))
    onResolve(
      { filter: /NodeRuntime$/ },
      ({ namespace }) => namespace === "snippet" ? { path: "runtime", namespace: "runtime" } : undefined
    )
    onLoad({ filter: /.*/, namespace: "runtime" }, () => ({ contents: "export const runMain = () => {}" }))
  }
}

const entry = [
  `import { report } from "./support/guidePrograms.ts"`,
  `import agents from "agents"`,
  "const programs = [",
  ...runnable.map(({ where }, index) =>
    `  { where: ${JSON.stringify(where)}, load: () => import("snippet:${index}") },`
  ),
  "]",
  `process.stdout.write("\\n=== " + await report(programs, agents) + "\\n")`,
  "process.exit(0)"
].join("\n")

describe("programs of the guides", () => {
  it("succeed against Local Dust", async () => {
    assert.isAbove(runnable.length, 15)
    const directory = newFolder("guides")
    try {
      await build({
        ...bundling,
        stdin: { contents: entry, resolveDir: `${root}test`, loader: "ts" },
        outfile: `${directory}/guides.mjs`,
        plugins: [snippets, ...bundling.plugins]
      })
      const output = await new Promise<string>((resolve) => {
        // Programs may write files, and read those of a project.
        copyFileSync(`${root}package.json`, `${directory}/package.json`)
        const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^DUST_|_proxy$/i.test(key)))
        execFile(
          process.execPath,
          [`${directory}/guides.mjs`],
          { cwd: directory, env, timeout: 100_000 },
          (_, stdout, stderr) => resolve(stdout + stderr)
        )
      })
      const [, result = "[\"nothing was reported\"]"] = /^=== (.*)$/m.exec(output) ?? []
      assert.deepStrictEqual(JSON.parse(result), [], output.slice(-2000))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }, 120_000)
})

describe("reference", () => {
  it("every public module begins with prose, and has an example", () => {
    for (const name of publicModules) {
      const text = readFileSync(`${root}src/${name}.ts`, "utf8")
      const [, docs = ""] = /^\/\*\*\n([\s\S]*?)\*\//.exec(text) ?? []
      assert.match(docs, /^ \* [A-Z`].{20,}/, name)
      assert.match(text, /^\s*\* ```ts$/m, name)
    }
  })
})

describe("table of contents in the README", () => {
  it("lists every guide once", () => {
    assert.deepStrictEqual(guides().map(({ path }) => path).toSorted(), [...guideFiles].toSorted())
  })

  it("every guide begins with a title and a paragraph, which llms.txt shows", () => {
    for (const { path, summary, title } of guides()) {
      assert.isNotEmpty(title, path)
      assert.isAbove(summary.length, 20, path)
      assert.match(summary, /[.:?]$/, path)
    }
    const text = llmsText(publicModules.map((name) => ({ name, summary: "" })))
    for (const { path } of guides()) assert.include(text, `](${path})`)
  })
})

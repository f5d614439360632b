import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { root } from "../tools/modules.ts"
import { commentSnippets, guideFiles, guideSnippets } from "../tools/snippets.ts"

const snippets = [...guideSnippets, ...commentSnippets].map(({ code, where }) => ({
  where,
  file: `${root}test/snippet-${where.replace(/\W+/g, "-")}.ts`,
  code: `${code}\nexport {}\n`
}))

describe("code in the documentation", () => {
  it("the modules, the README and the guides have some", () => {
    assert.isAbove(snippets.length, 30)
    assert.isAbove(guideSnippets.length, 20)
  })

  it("type-checks, each block by itself", () => {
    const { config } = ts.readConfigFile(`${root}tsconfig.json`, (path) => ts.sys.readFile(path))
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
    const virtual = new Map(snippets.map((snippet) => [snippet.file, snippet.code]))
    const host = ts.createCompilerHost({ ...options, noUnusedLocals: false })
    const { fileExists, getSourceFile, readFile } = host
    host.fileExists = (path) => virtual.has(path) || fileExists(path)
    host.readFile = (path) => virtual.get(path) ?? readFile(path)
    host.getSourceFile = (path, ...rest) => {
      const code = virtual.get(path)
      return code === undefined ? getSourceFile(path, ...rest) : ts.createSourceFile(path, code, rest[0])
    }
    const program = ts.createProgram([...virtual.keys()], { ...options, noUnusedLocals: false, noEmit: true }, host)
    const problems = snippets.flatMap((snippet) => {
      const file = program.getSourceFile(snippet.file)
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map((diagnostic) =>
        `${snippet.where}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")}`
      )
    })
    assert.deepStrictEqual(problems, [])
  }, 120_000)
})

describe("the README", () => {
  const readme = readFileSync(`${root}README.md`, "utf8")

  it("has guarantees that are the names of tests", () => {
    const [, section = ""] = /## What is guaranteed\n([\s\S]*?)\n## /.exec(readme) ?? []
    const guarantees = [...section.matchAll(/^\| ([A-Z][^|]*?) \|/gm)].map(([, name = ""]) => name)
    assert.lengthOf(guarantees, 13)
    const tests = ts.sys.readDirectory(`${root}test`, [".test.ts"]).map((path) => readFileSync(path, "utf8")).join("")
    assert.deepStrictEqual(guarantees.filter((name) => !tests.includes(`describe("${name}`)), [])
  })

  it("counts the operations that docs/coverage.md lists", () => {
    const table = readFileSync(`${root}docs/coverage.md`, "utf8")
    const [, ours, theirs] = /: (\d+) operations; the official client has a method for (\d+) of them/.exec(table) ?? []
    assert.include(readme, `| [${ours}](docs/coverage.md) | ${theirs} of them |`)
  })
})

describe("the guides", () => {
  /** As GitHub makes them. */
  const anchors = (text: string) =>
    [...text.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, "").replaceAll(" ", "-")
    )

  it("every relative link leads to a file and a heading that exist", () => {
    const broken = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...guideFiles].flatMap((name) => {
      const text = readFileSync(`${root}${name}`, "utf8").replaceAll(/^```[\s\S]*?^```/gm, "")
      return [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([, path = "", anchor]) => {
        const target = path === "" ? `${root}${name}` : fileURLToPath(new URL(path, `file://${root}${name}`))
        const found = existsSync(target) &&
          (anchor === undefined || anchors(readFileSync(target, "utf8")).includes(anchor))
        return found ? [] : [`${name}: ${path}${anchor === undefined ? "" : `#${anchor}`}`]
      })
    })
    assert.deepStrictEqual(broken, [])
  })
})

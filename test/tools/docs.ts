/**
 * Builds the site: guides, reference, search and `llms.txt`. `npm run docs` writes it to `site`; a warning fails the build.
 */
import { cpSync, writeFileSync } from "node:fs"
import { Application, Converter, type DocumentReflection, TSConfigReader, TypeDocReader } from "typedoc"
import { fullText, guides, llmsText } from "./guides.ts"
import { root } from "./modules.ts"
import { brokenLinks } from "./siteLinks.ts"

/** The modules that a guide names under "Reference" are links on the site only: the package has no sources to link to. */
const linkModules = (document: DocumentReflection) => {
  let inReference = false
  document.content = document.content.map((part) => {
    if (part.kind === "text" && /(?:^|\n)Reference: $/.test(part.text)) inReference = true
    else if (part.kind === "text" && !/^,\s$/.test(part.text)) inReference = false
    return inReference && part.kind === "code"
      ? { kind: "inline-tag", tag: "@link", text: part.text.slice(1, -1) }
      : part
  })
}

const app = await Application.bootstrapWithPlugins({ options: `${root}test/config/typedoc.json` }, [
  new TypeDocReader(),
  new TSConfigReader()
])

const pages = guides()
app.options.setValue("projectDocuments", [...pages.map(({ path }) => `${root}${path}`), `${root}CHANGELOG.md`])
app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context: unknown, document: DocumentReflection) => {
  // The name is the path, from what the entry points have in common and without its extension.
  const guide = pages.find(({ path }) => path.endsWith(`${document.name}.md`))
  document.frontmatter["category"] = guide?.section ?? "Look up"
  document.name = guide?.title ?? "Changelog"
  linkModules(document)
})

const project = await app.convert()
if (project !== undefined) {
  // The page has the name of the project as its title already.
  const [first] = project.readme ?? []
  if (first?.kind === "text") first.text = first.text.replace(/^# .*\n+/, "")
  app.validate(project)
  await app.generateOutputs(project)
  const modules = (project.children ?? []).map(({ comment, name }) => ({
    name,
    summary: (comment?.summary ?? []).map(({ text }) => text).join("").split("\n\n")[0]?.replaceAll(/\s+/g, " ") ?? ""
  }))
  for (const { name, summary } of modules) if (summary === "") app.logger.error(`${name} has no @packageDocumentation`)
  writeFileSync(`${root}site/llms.txt`, llmsText(modules))
  writeFileSync(`${root}site/llms-full.txt`, fullText())
  cpSync(`${root}docs`, `${root}site/docs`, { recursive: true })
  for (const link of brokenLinks(`${root}site`)) app.logger.error(`Broken link in ${link}`)
}
if (project === undefined || app.logger.hasErrors() || app.logger.hasWarnings()) process.exitCode = 1

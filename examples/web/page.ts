/** The page: an HTML file, and a script that is bundled when the server starts. */
import { Effect } from "effect"
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(new URL(".", import.meta.url))

export const html = Effect.promise(() => readFile(`${here}page.html`, "utf8"))

const bundled = async () => {
  const { outputFiles } = await build({
    entryPoints: [`${here}browser.ts`],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning"
  })
  return outputFiles[0]?.text ?? ""
}

export const script = Effect.runSync(Effect.cached(Effect.promise(bundled)))

/**
 * The packed tarball, installed by every package manager and run on every runtime that npm can fetch: each asks Local Dust
 * on a port and streams the answer. `npm run platforms` prints a matrix; what cannot be fetched is a row of its own.
 *
 *     npm run platforms -- [rows whose name contains this]
 */
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { build } from "esbuild"
import { execFile, type ExecFileOptions, spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { promisify } from "node:util"
import * as Browser from "../support/browser.ts"
import { clusterExample, integrationProjects } from "./integrations.ts"
import { root } from "./modules.ts"
import { everything, program, serving, typed } from "./platformPrograms.ts"

const execute = promisify(execFile)

/** Runs a program to its end, with nothing to read. */
const run = (binary: string, args: ReadonlyArray<string>, options: ExecFileOptions = {}) => {
  const running = execute(binary, args, { ...options, encoding: "utf8" })
  running.child.stdin?.end()
  return running
}

const only = process.argv[2] ?? ""
const arch = process.arch === "arm64" ? "arm64" : "x64"
const folder = mkdtempSync(`${tmpdir()}/effect-dust-platforms-`)

/** Something that the registry or the machine does not have. It is a row of the matrix, and no failure. */
class Missing extends Error {}

interface Row {
  readonly name: string
  readonly result: string
}

const rows: Array<Row> = []

/** The line of an output that contains the error. */
const complaint = (error: unknown): string => {
  const { message = String(error), stderr = "", stdout = "" } = error as Partial<
    Record<"message" | "stderr" | "stdout", string>
  >
  const lines = `${message}\n${stderr}\n${stdout}`.split("\n").filter((line) => /rror/.test(line))
  return (lines[0] ?? message).slice(0, 300)
}

const row = async (name: string, work: () => Promise<string>) => {
  if (!name.includes(only)) return
  const start = Date.now()
  const result = await work().catch((error: unknown) =>
    error instanceof Missing ? `not here: ${error.message}` : `FAILED: ${complaint(error)}`
  )
  rows.push({ name, result })
  const seconds = ((Date.now() - start) / 1000).toFixed(1)
  console.log(`${name.padEnd(34)} ${seconds.padStart(6)} s  ${result}`)
}

/** A package of the registry, unpacked into a folder of tools; its folder. */
const tool = async (name: string, ...others: ReadonlyArray<string>) => {
  const directory = `${folder}/tools/${name.replace(/\W+/g, "-")}`
  mkdirSync(directory, { recursive: true })
  writeFileSync(`${directory}/package.json`, `{"name":"tool","private":true}`)
  const flags = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--force"]
  await run("npm", ["install", ...flags, name, ...others], { cwd: directory }).catch(() => {
    throw new Missing(`${name} cannot be installed`)
  })
  return `${directory}/node_modules/${name.replace(/(?<=.)@[^/]*$/, "")}`
}

const streamed = (output: string) => {
  const text = output.trim().split("\n").at(-1) ?? ""
  if (text !== "One two three") throw new Error(`Error: printed ${JSON.stringify(text)}`)
  return "streamed"
}

interface Place {
  readonly url: string
  readonly key: string
  readonly tarball: string
}

const peers = { effect: "^3.22.4", "@effect/platform": "^0.97.2", "@effect/platform-node": "^0.108.2" }

/** An application that wants these packages; its folder. */
const application = (
  { key, tarball, url }: Place,
  name: string,
  http: "fetch" | "undici" = "undici",
  wanted: Readonly<Record<string, string>> = peers
) => {
  const directory = `${folder}/${name}`
  const dependencies = { "effect-dust": tarball, ...wanted }
  mkdirSync(directory, { recursive: true })
  writeFileSync(
    `${directory}/package.json`,
    JSON.stringify({ name: "application", private: true, type: "module", version: "1.0.0", dependencies })
  )
  writeFileSync(`${directory}/ask.mjs`, program(http))
  writeFileSync(
    `${directory}/main.mjs`,
    `import { ask } from "./ask.mjs"\nconsole.log(await ask(${JSON.stringify(url)}, ${JSON.stringify(key)}))\n`
  )
  return directory
}

const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|E404|ETARGET|No matching version/

const install = (cwd: string, binary: string, args: ReadonlyArray<string>) =>
  run(binary, args, {
    cwd,
    timeout: 300_000,
    env: { ...process.env, CI: "", YARN_ENABLE_IMMUTABLE_INSTALLS: "0" }
  }).catch((error: { readonly stdout: string; readonly stderr: string }) => {
    throw unreachable.test(error.stdout + error.stderr) ? new Missing("the registry does not answer") : error
  })

const npmInstall = (directory: string) => install(directory, "npm", ["install", "--silent", "--no-audit", "--no-fund"])

const node = async (directory: string, binary = process.execPath) =>
  streamed((await run(binary, ["main.mjs"], { cwd: directory, timeout: 60_000 })).stdout)

const bun = () => tool(`@oven/bun-linux-${arch}`)

const packageManagers = async (place: Place, npm: string) => {
  await row("npm", () => node(npm))
  await row("pnpm", async () => {
    const directory = application(place, "pnpm")
    const pnpm = await tool("pnpm@9")
    await install(directory, process.execPath, [`${pnpm}/bin/pnpm.cjs`, "install", "--silent"])
    return node(directory)
  })
  await row("yarn 1", async () => {
    const directory = application(place, "yarn1")
    const yarn = await tool("yarn@1")
    await install(directory, process.execPath, [`${yarn}/bin/yarn.js`, "install", "--silent", "--no-lockfile"])
    return node(directory)
  })
  await row("yarn 4", async () => {
    const directory = application(place, "yarn4")
    writeFileSync(`${directory}/.yarnrc.yml`, "nodeLinker: node-modules\nenableTelemetry: false\n")
    writeFileSync(`${directory}/yarn.lock`, "")
    const yarn = await tool("@yarnpkg/cli-dist@4")
    await install(directory, process.execPath, [`${yarn}/bin/yarn.js`, "install"])
    return node(directory)
  })
  await row("bun install", async () => {
    const directory = application(place, "bun")
    await install(directory, `${await bun()}/bin/bun`, ["install", "--silent"])
    return node(directory)
  })
}

/** The ends of the range of peers: an answer, every module and every declaration. */
const peerRange = async (place: Place) => {
  const ends = {
    oldest: { effect: "3.17.0", "@effect/platform": "0.90.0" },
    newest: { effect: "3", "@effect/platform": "0" }
  }
  for (const [name, wanted] of Object.entries(ends)) {
    await row(`${name} peers (effect ${wanted.effect})`, async () => {
      const directory = application(place, name, "fetch", wanted)
      await npmInstall(directory)
      await node(directory)
      writeFileSync(`${directory}/everything.mjs`, everything)
      streamed((await run(process.execPath, ["everything.mjs"], { cwd: directory, timeout: 60_000 })).stdout)
      writeFileSync(`${directory}/typed.mts`, typed)
      const compilerOptions = { noEmit: true, strict: true, target: "ES2022", module: "NodeNext", types: [] }
      writeFileSync(`${directory}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ["typed.mts"] }))
      await run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", directory])
      return "streamed, every module loads, every declaration compiles"
    })
  }
}

/** The examples of the integrations, from an empty project each. */
const integrations = async (place: Place) => {
  for (const { examples, name, packages } of integrationProjects) {
    await row(`integration: ${name}`, async () => {
      const directory = application(place, name.replace(/\W+/g, "-"), "fetch", packages)
      await npmInstall(directory)
      cpSync(`${root}examples/support.ts`, `${directory}/support.ts`)
      writeFileSync(`${directory}/cluster.ts`, clusterExample)
      for (const [example, words] of Object.entries(examples)) {
        if (example !== "cluster") cpSync(`${root}examples/${example}.ts`, `${directory}/${example}.ts`)
        const { stdout } = await run(process.execPath, [`${root}node_modules/tsx/dist/cli.mjs`, `${example}.ts`], {
          cwd: directory,
          timeout: 120_000
        })
        if (!stdout.includes(words)) throw new Error(`Error: ${example} printed ${JSON.stringify(stdout.slice(-300))}`)
      }
      return `${Object.keys(examples).join(", ")}: run`
    })
  }
}

/** One file of a program that imports `ask`. */
const bundled = async (directory: string, source: string) => {
  const outfile = `${directory}/bundle.mjs`
  await build({
    stdin: { contents: `import { ask } from "./ask.mjs"\n${source}`, resolveDir: directory },
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["import"],
    target: "es2022",
    logLevel: "silent"
  })
  return readFileSync(outfile, "utf8")
}

/** Servers of the runtimes, which serve a chat to the client for pages. */
const servers = async ({ key, url }: Place, fetching: string) => {
  const served = async (serve: string, binary: string, args: ReadonlyArray<string> = []) => {
    writeFileSync(`${fetching}/serve.mjs`, serving(serve))
    const { stdout } = await run(binary, [...args, "serve.mjs", url, key], { cwd: fetching, timeout: 60_000 })
    return streamed(stdout)
  }
  await row(
    "bun, Bun.serve",
    async () => served(`const { port } = Bun.serve({ port: 0, fetch: handler })`, `${await bun()}/bin/bun`)
  )
  await row("deno, Deno.serve", async () => {
    const deno = await tool(`@deno/linux-${arch}-glibc`)
    return served(
      `import process from "node:process"
const { addr: { port } } = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, handler)`,
      `${deno}/deno`,
      ["run", "--allow-all", "--node-modules-dir=manual"]
    )
  })
  await row("express", async () => {
    const express = await tool("express@5")
    return served(
      `import { createRequire } from "node:module"
import { Readable } from "node:stream"
const app = createRequire(${JSON.stringify(`${express}/`)})("express")()
app.use((message, response) => {
  const left = new AbortController()
  response.on("close", () => left.abort())
  const body = message.method === "GET" ? undefined : Readable.toWeb(message)
  handler(new Request("http://" + message.headers.host + message.originalUrl, {
    method: message.method, headers: message.headers, body, signal: left.signal, duplex: "half"
  })).then((answer) => {
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    if (answer.body === null) response.end()
    else Readable.fromWeb(answer.body).pipe(response)
  })
})
const port = await new Promise((resolve) => {
  const server = app.listen(0, "127.0.0.1", () => resolve(server.address().port))
})`,
      process.execPath
    )
  })
}

const runtimes = async (place: Place, npm: string) => {
  await row(`node ${process.version}`, () => node(npm))
  for (const version of ["20", "22", "24"]) {
    await row(`node ${version}`, async () => node(npm, `${await tool(`node-linux-${arch}@${version}`)}/bin/node`))
  }
  // What npm has installed, with a client that every runtime has.
  const fetching = application(place, "fetching", "fetch")
  cpSync(`${npm}/node_modules`, `${fetching}/node_modules`, { recursive: true, verbatimSymlinks: true })
  await row("bun", async () => node(fetching, `${await bun()}/bin/bun`))
  await row("deno", async () => {
    const deno = await tool(`@deno/linux-${arch}-glibc`)
    const output = await run(`${deno}/deno`, ["run", "--allow-all", "--node-modules-dir=manual", "main.mjs"], {
      cwd: fetching,
      timeout: 60_000
    })
    return streamed(output.stdout)
  })
  await servers(place, fetching)
  await row("workerd", () => inWorkerd(place, fetching))
  await row("Chromium", () => inChromium(place, fetching))
}

const inWorkerd = async ({ key, url }: Place, fetching: string) => {
  const workerd = await tool(`@cloudflare/workerd-linux-${arch === "x64" ? "64" : arch}`)
  const call = `ask(${JSON.stringify(url)}, ${JSON.stringify(key)})`
  writeFileSync(
    `${fetching}/worker.mjs`,
    await bundled(fetching, `export default { fetch: async () => new Response(await ${call}) }`)
  )
  writeFileSync(
    `${fetching}/worker.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
services = [
  (name = "main", worker = (modules = [(name = "worker", esModule = embed "worker.mjs")], compatibilityDate = "2025-01-01")),
  (name = "internet", network = (allow = ["private", "local", "public"]))
],
sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);`
  )
  const child = spawn(`${workerd}/bin/workerd`, ["serve", "worker.capnp", "--control-fd=3"], {
    cwd: fetching,
    stdio: ["ignore", "pipe", "pipe", "pipe"]
  })
  try {
    const port = await new Promise<number>((resolve, reject) => {
      let said = ""
      child.stdio[3]?.on("data", (piece: Buffer) => {
        said += String(piece)
        const found = /"port":\s*(\d+)/.exec(said)
        if (found !== null) resolve(Number(found[1]))
      })
      child.stderr?.on("data", (piece: Buffer) => reject(new Error(`Error: ${String(piece).slice(0, 1500)}`)))
      child.on("exit", () => reject(new Error("Error: workerd ended")))
    })
    return streamed(await (await fetch(`http://127.0.0.1:${port}/`)).text())
  } finally {
    child.kill()
  }
}

const inChromium = async ({ key, url }: Place, fetching: string) => {
  const binary = Browser.chromium
  if (binary === undefined) throw new Missing("apt install chromium")
  const code = await bundled(
    fetching,
    `
const show = (text) => { document.body.innerHTML = "<pre>" + text + "</pre>" }
ask(${JSON.stringify(url)}, ${JSON.stringify(key)}).then(show, (error) => show("Error: " + error))`
  )
  writeFileSync(
    `${fetching}/page.html`,
    `<!DOCTYPE html><title>page</title><body><script type="module">${
      code.replaceAll("</script", "<\\/script")
    }</script>`
  )
  const answer = Effect.gen(function*() {
    // Dust allows its own origins only; the page stands for an application behind such a proxy.
    const tab = yield* Browser.launch(binary, "--disable-web-security")
    return yield* Effect.tryPromise(async () => {
      const page = await tab()
      await page.open(`file://${fetching}/page.html`)
      await page.until("document.querySelector('pre') !== null")
      return String(await page.evaluate("document.querySelector('pre').innerText"))
    })
  })
  return streamed(await Effect.runPromise(Effect.scoped(answer)))
}

/** The command as `npx` runs it: the file and Node, nothing else. */
const commandLine = async ({ key, url }: Place, npm: string) => {
  const env = {
    // @effect-diagnostics-next-line processEnv:off
    PATH: process.env["PATH"] ?? "",
    DUST_BASE_URL: url,
    DUST_WORKSPACE_ID: "LocalDust1",
    DUST_API_KEY: key
  }
  const alone = `${folder}/alone`
  mkdirSync(alone)
  writeFileSync(`${alone}/package.json`, `{"type":"module"}`)
  cpSync(`${npm}/node_modules/effect-dust/dist/internal/bin.js`, `${alone}/bin.js`)
  const args = [`${alone}/bin.js`, "ask", "--agent", "echo", "One two three"]
  await row(
    "command line, without node_modules",
    async () => streamed((await run(process.execPath, args, { env, timeout: 60_000 })).stdout)
  )
  await row(
    "command line, bun",
    async () => streamed((await run(`${await bun()}/bin/bun`, args, { env, timeout: 60_000 })).stdout)
  )
  await row(
    "command line, npx",
    async () =>
      streamed((await run("npx", ["--no", "effect-dust", ...args.slice(1)], { cwd: npm, env, timeout: 60_000 })).stdout)
  )
}

/** What the tools that judge packages say. */
const judges = async ({ tarball }: Place) => {
  await row("attw", async () => {
    const attw = await tool("@arethetypeswrong/cli")
    const args = [`${attw}/dist/index.js`, tarball.slice("file:".length), "--profile", "esm-only"]
    await run(process.execPath, args, { env: { ...process.env, FORCE_COLOR: "0" } })
    return "no problem found"
  })
  await row("knip", async () => {
    const knip = await tool("knip@6", "typescript@5")
    await run(process.execPath, [`${knip}/bin/knip.js`, "--no-progress", "--config", "test/config/knip.json"], {
      cwd: root
    })
    return "nothing is unused"
  })
}

const work = async (url: string, key: string) => {
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: root })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf("["))) as [
    { readonly filename: string; readonly size: number; readonly unpackedSize: number }
  ]
  const { filename, size, unpackedSize } = packed
  console.log(`${filename}: ${Math.round(size / 1000)} kB, unpacked ${Math.round(unpackedSize / 1000)} kB\n`)
  const place: Place = { url, key, tarball: `file:${folder}/${filename}` }
  const npm = application(place, "npm")
  try {
    await npmInstall(npm)
  } catch (error) {
    if (!(error instanceof Missing)) throw error
    return console.log(`nothing can be installed here: ${error.message}`)
  }
  await packageManagers(place, npm)
  await peerRange(place)
  await integrations(place)
  await runtimes(place, npm)
  await commandLine(place, npm)
  await judges(place)
}

try {
  await Effect.runPromise(Effect.scoped(Effect.flatMap(
    DustTest.serve(),
    ({ apiKey, url }) => Effect.promise(() => work(url, Redacted.value(apiKey)))
  )))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (rows.some(({ result }) => result.startsWith("FAILED"))) process.exitCode = 1

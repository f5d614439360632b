/**
 * The packed tarball, installed by every package manager and run on every runtime that npm can fetch: each asks Local Dust
 * on a port and streams the answer. `npm run platforms` prints a matrix; what cannot be fetched is a row of its own.
 *
 *     npm run platforms -- [rows whose name contains this]
 */
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { execFile, spawn } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { promisify } from "node:util"
import { root } from "./modules.ts"

const run = promisify(execFile)
const only = process.argv[2] ?? ""
const arch = process.arch === "arm64" ? "arm64" : "x64"

/** Streams an answer through the fetch client, which every runtime has. */
const program = (http: "fetch" | "undici") => `
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Http from "${
  http === "fetch" ? "@effect/platform/FetchHttpClient" : "@effect/platform-node/NodeHttpClient"
}"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
export const ask = (baseUrl, apiKey) =>
  Effect.flatMap(Chat, (chat) => Stream.runCollect(chat.streamText({ agent: "echo", message: "One two three" }))).pipe(
    Effect.map((pieces) => [...pieces].join("")),
    Effect.provide(Dust.layer({ workspaceId: "LocalDust1", apiKey: Redacted.make(apiKey), baseUrl })),
    Effect.provide(Http.${http === "fetch" ? "layer" : "layerUndici"}),
    Effect.runPromise
  )
`

/** A chat served by the runtime's own server, asked by the client for pages. `serve` gives a port. */
const serving = (serve: string) => `
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Http from "@effect/platform/FetchHttpClient"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as Dust from "effect-dust/Dust"
const [baseUrl, key] = process.argv.slice(-2)
const apiKey = Redacted.make(key)
const runtime = ManagedRuntime.make(ChatRelay.layerShutdown().pipe(
  Layer.provideMerge(Dust.layer({ workspaceId: "LocalDust1", apiKey, baseUrl })),
  Layer.provide(Http.layer)
))
const handler = ChatRoutes.toWebHandler(runtime, {
  path: "/chat",
  agents: ["echo"],
  credential: () => Effect.succeed({ apiKey })
})
${serve}
const chat = ChatRelayClient.make({ url: "http://127.0.0.1:" + port + "/chat" })
const { id } = await chat.ask({ message: "One two three" })
let text = ""
for await (const event of chat.follow({ id })) text = ChatRelayClient.textAfter(text, event)
await runtime.dispose()
console.log(text)
process.exit(0)
`

const main = (url: string, key: string) =>
  `import { ask } from "./ask.mjs"\nconsole.log(await ask(${JSON.stringify(url)}, ${JSON.stringify(key)}))\n`

interface Row {
  readonly name: string
  readonly result: string
  readonly seconds: number
}

const rows: Array<Row> = []

const row = async (name: string, work: () => Promise<string>) => {
  if (!name.includes(only)) return
  const start = Date.now()
  let result: string
  try {
    result = await work()
  } catch (error) {
    const { message = String(error), stderr = "", stdout = "" } = error as {
      readonly message?: string
      readonly stderr?: string
      readonly stdout?: string
    }
    const lines = `${message}\n${stderr}\n${stdout}`.split("\n").filter((line) => /rror/.test(line))
    result = `FAILED: ${(lines[0] ?? message).slice(0, 300)}`
  }
  const seconds = Math.round((Date.now() - start) / 100) / 10
  rows.push({ name, result, seconds })
  console.log(`${name.padEnd(34)} ${String(seconds).padStart(6)} s  ${result}`)
}

const folder = mkdtempSync(`${tmpdir()}/effect-dust-platforms-`)
const versions: Readonly<Record<string, string>> = {
  effect: "^3.22.4",
  "@effect/platform": "^0.97.2",
  "@effect/platform-node": "^0.108.2"
}

const application = (name: string, dependencies: Readonly<Record<string, string>>, http: "fetch" | "undici") => {
  const directory = `${folder}/${name}`
  mkdirSync(directory, { recursive: true })
  writeFileSync(
    `${directory}/package.json`,
    JSON.stringify({ name: "application", private: true, type: "module", version: "1.0.0", dependencies })
  )
  writeFileSync(`${directory}/ask.mjs`, program(http))
  return directory
}

/** A package of the registry, unpacked into a folder of tools; its folder. */
const tool = async (name: string) => {
  const directory = `${folder}/tools/${name.replace(/\W+/g, "-")}`
  mkdirSync(directory, { recursive: true })
  writeFileSync(`${directory}/package.json`, `{"name":"tool","private":true}`)
  await run("npm", ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--force", name], {
    cwd: directory
  })
  const real = name.replace(/(?<=.)@[^/]*$/, "")
  return `${directory}/node_modules/${real}`
}

const streamed = (output: string) => {
  const text = output.trim().split("\n").at(-1) ?? ""
  if (text !== "One two three") throw new Error(`Error: printed ${JSON.stringify(text)}`)
  return "streamed"
}

const work = async (url: string, key: string) => {
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: root })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf("["))) as [
    { readonly filename: string; readonly size: number }
  ]
  const tarball = `file:${folder}/${packed.filename}`
  console.log(`${packed.filename}: ${Math.round(packed.size / 1000)} kB\n`)
  const dependencies = { "effect-dust": tarball, ...versions }
  const prepared = (
    name: string,
    wanted: Readonly<Record<string, string>> = dependencies,
    http: "fetch" | "undici" = "undici"
  ) => {
    const directory = application(name, wanted, http)
    writeFileSync(`${directory}/main.mjs`, main(url, key))
    return directory
  }
  const node = async (directory: string, binary = process.execPath) =>
    streamed((await run(binary, ["main.mjs"], { cwd: directory, timeout: 60_000 })).stdout)
  const install = (directory: string, binary: string, args: ReadonlyArray<string>) =>
    run(binary, args, {
      cwd: directory,
      timeout: 300_000,
      env: { ...process.env, CI: "", YARN_ENABLE_IMMUTABLE_INSTALLS: "0" }
    })

  const npm = prepared("npm")
  // The other runtimes run what npm has installed.
  await install(npm, "npm", ["install", "--silent", "--no-audit", "--no-fund"])
  await row("npm, node 20", () => node(npm))
  await row("pnpm", async () => {
    const directory = prepared("pnpm")
    const pnpm = await tool("pnpm@9")
    await install(directory, process.execPath, [`${pnpm}/bin/pnpm.cjs`, "install", "--silent"])
    return node(directory)
  })
  await row("yarn 1", async () => {
    const directory = prepared("yarn1")
    const yarn = await tool("yarn@1")
    await install(directory, process.execPath, [`${yarn}/bin/yarn.js`, "install", "--silent", "--no-lockfile"])
    return node(directory)
  })
  await row("yarn 4", async () => {
    const directory = prepared("yarn4")
    writeFileSync(`${directory}/.yarnrc.yml`, "nodeLinker: node-modules\nenableTelemetry: false\n")
    writeFileSync(`${directory}/yarn.lock`, "")
    const yarn = await tool("@yarnpkg/cli-dist@4")
    await install(directory, process.execPath, [`${yarn}/bin/yarn.js`, "install"])
    return node(directory)
  })
  const bun = await tool(`@oven/bun-linux-${arch}`).catch(() => undefined)
  await row("bun install", async () => {
    if (bun === undefined) return "not in this registry"
    const directory = prepared("bun")
    await install(directory, `${bun}/bin/bun`, ["install", "--silent"])
    return node(directory)
  })

  await row("oldest peers (effect 3.17)", async () => {
    const directory = prepared(
      "oldest",
      { "effect-dust": tarball, effect: "3.17.0", "@effect/platform": "0.90.0" },
      "fetch"
    )
    await install(directory, "npm", ["install", "--silent", "--no-audit", "--no-fund"])
    return node(directory)
  })
  for (const version of ["22", "24"]) {
    await row(`node ${version}`, async () => {
      const directory = await tool(`node-linux-${arch}@${version}`)
      return node(npm, `${directory}/bin/node`)
    })
  }
  const fetching = prepared("fetching", dependencies, "fetch")
  if (existsSync(`${npm}/node_modules`)) {
    cpSync(`${npm}/node_modules`, `${fetching}/node_modules`, { recursive: true, verbatimSymlinks: true })
  }
  await row("bun", async () => {
    if (bun === undefined) return "not in this registry"
    return node(fetching, `${bun}/bin/bun`)
  })
  await row("deno", async () => {
    const deno = await tool(`@deno/linux-${arch}-glibc`)
    const output = await run(`${deno}/deno`, ["run", "--allow-all", "--node-modules-dir=manual", "main.mjs"], {
      cwd: fetching,
      timeout: 60_000
    })
    return streamed(output.stdout)
  })

  const { build } = await import("esbuild")
  /** One file of a program that imports `ask`. */
  const bundled = async (source: string) => {
    const outfile = `${fetching}/bundle.mjs`
    await build({
      stdin: { contents: `import { ask } from "./ask.mjs"\n${source}`, resolveDir: fetching },
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
  const served = async (serve: string, binary: string, args: ReadonlyArray<string> = []) => {
    writeFileSync(`${fetching}/serve.mjs`, serving(serve))
    const { stdout } = await run(binary, [...args, "serve.mjs", url, key], { cwd: fetching, timeout: 60_000 })
    return streamed(stdout)
  }
  await row("bun, Bun.serve", async () => {
    if (bun === undefined) return "not in this registry"
    return served(`const { port } = Bun.serve({ port: 0, fetch: handler })`, `${bun}/bin/bun`)
  })
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
  await row("workerd", async () => {
    const workerd = await tool(`@cloudflare/workerd-linux-${arch === "x64" ? "64" : arch}`)
    const call = `ask(${JSON.stringify(url)}, ${JSON.stringify(key)})`
    writeFileSync(
      `${fetching}/worker.mjs`,
      await bundled(`export default { fetch: async () => new Response(await ${call}) }`)
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
  })
  await row("Chromium", async () => {
    const binary = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((one) =>
      existsSync(one)
    )
    if (binary === undefined) return "not installed (apt install chromium)"
    const code = await bundled(`
const show = (text) => { document.body.innerHTML = "<pre>" + text + "</pre>" }
ask(${JSON.stringify(url)}, ${JSON.stringify(key)}).then(show, (error) => show("Error: " + error))`)
    writeFileSync(
      `${fetching}/page.html`,
      `<!DOCTYPE html><title>page</title><body><script type="module">${
        code.replaceAll("</script", "<\\/script")
      }</script>`
    )
    const { stdout } = await run(binary, [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      // Dust allows its own origins only; the page stands for an application behind such a proxy.
      "--disable-web-security",
      `--user-data-dir=${folder}/chromium`,
      "--virtual-time-budget=20000",
      "--dump-dom",
      `file://${fetching}/page.html`
    ], { timeout: 60_000 })
    return streamed(/<pre>([^<]*)<\/pre>/.exec(stdout)?.[1] ?? "Error: no answer")
  })
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

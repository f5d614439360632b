/** What the SDK costs a program: `npm run size` prints one line of JSON per figure, and fails over a budget. */
import { execFile } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { bundle, effectOf, smallest } from "./bundle.ts"
import { type Packed, packed } from "./packed.ts"

const run = promisify(execFile)

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The most it may be; `undefined`: only to compare with. */
  readonly budget: number | undefined
}

const kilo = (bytes: number) => Math.round(bytes / 100) / 10

/** A page that asks, follows and resumes. */
const clientPage = `
  import * as ChatRelayClient from "effect-dust/ChatRelayClient"
  const chat = ChatRelayClient.make({ url: "/chat" })
  const { id } = await chat.ask({ message: "Hello" })
  let text = ""
  for await (const event of chat.follow({ id })) document.title = text = ChatRelayClient.textAfter(text, event)
`

/** The same with Effect's Stream and decoded events. */
const streamPage = `
  import * as ChatRelay from "effect-dust/ChatRelay"
  import * as Stream from "effect/Stream"
  for await (const event of Stream.toAsyncIterable(
    ChatRelay.subscribe((id, signal) => fetch("/chat/events/" + id, { signal }))
  )) console.log(event)
`

/** Compressed bundles. */
export const bundleFigures = async (): Promise<ReadonlyArray<Figure>> => {
  const conversations = await bundle(smallest("Conversations"))
  const effect = await bundle(effectOf(conversations.own))
  const chat = await bundle(smallest("Chat", "send"))
  const all = await bundle(`import * as Dust from "effect-dust/Dust"\nconsole.log(Dust.layerEnv)`)
  const page = await bundle(clientPage)
  const effectPage = await bundle(streamPage)
  const figure = (name: string, bytes: number, budget?: number): Figure => ({
    name: `bundle.${name}`,
    value: kilo(bytes),
    unit: "kB gzip",
    budget
  })
  return [
    figure("conversations", conversations.gzip, 143),
    figure("conversations.effect", effect.gzip),
    figure("conversations.own", conversations.gzip - effect.gzip, 54),
    figure("chat", chat.gzip, 153),
    figure("everything", all.gzip, 197),
    figure("page", page.gzip, 4),
    figure("page.effect", effectPage.gzip, 90)
  ]
}

const program = `
import * as Effect from "effect/Effect"
import { Conversations } from "effect-dust/Conversations"
export const program = Effect.gen(function*() {
  const conversations = yield* Conversations
  const { sId } = yield* conversations.create({ title: "Hello" })
  return yield* conversations.listMessages(sId)
})
`

const effectProgram = `
import * as Effect from "effect/Effect"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as HttpClient from "@effect/platform/HttpClient"
export const program = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  return yield* client.get("https://example.com")
})
export type Used = [Context.Context<never>, Layer.Layer<never>, Schema.Schema<never>, Stream.Stream<never>]
`

const read = (diagnostics: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+([\\d.]+)`, "m").exec(diagnostics)?.[1] ?? Number.NaN)

/** The type-check cost of a small program, beyond that of one with Effect alone. */
export const typeFigures = async ({ compile }: Packed): Promise<ReadonlyArray<Figure>> => {
  const ours = await compile(program)
  const effect = await compile(effectProgram)
  const figure = (name: string, value: number, unit: string, budget?: number): Figure => ({
    name: `types.${name}`,
    value: Math.round(value * 100) / 100,
    unit,
    budget
  })
  return [
    figure("instantiations", read(ours, "Instantiations"), "instantiations", 47_000),
    figure("instantiations.effect", read(effect, "Instantiations"), "instantiations"),
    figure("types", read(ours, "Types"), "types", 10_000),
    figure("types.effect", read(effect, "Types"), "types"),
    figure("check", read(ours, "Check time"), "s"),
    figure("check.effect", read(effect, "Check time"), "s")
  ]
}

/** The tarball. Its other parts are the command line, the guides and the examples. */
export const tarballFigures = async ({ directory }: Packed): Promise<ReadonlyArray<Figure>> => {
  const pack = async (files: ReadonlyArray<string> | undefined): Promise<Figure["value"]> => {
    const manifest = `${directory}/package.json`
    const before = readFileSync(manifest, "utf8")
    if (files !== undefined) writeFileSync(manifest, JSON.stringify({ ...JSON.parse(before), files, bin: undefined }))
    try {
      const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: directory })
      return kilo(JSON.parse(stdout)[0].size)
    } finally {
      writeFileSync(manifest, before)
    }
  }
  const commandLine = gzipSync(readFileSync(`${directory}/dist/internal/bin.js`), { level: 9 }).length
  return [
    { name: "tarball", value: await pack(undefined), unit: "kB", budget: 950 },
    // Version 0.1.0 was 1,019 files of 1.0 MB, with maps and sources and without a command line.
    { name: "tarball.library", value: await pack(["dist", "!dist/internal/bin.*"]), unit: "kB", budget: 530 },
    { name: "tarball.commandLine", value: kilo(commandLine), unit: "kB gzip", budget: 340 }
  ]
}

/** The figures over their budget, and those that could not be measured. */
export const over = (figures: ReadonlyArray<Figure>): ReadonlyArray<Figure> =>
  figures.filter(({ budget, value }) => Number.isNaN(value) || (budget !== undefined && value > budget))

const main = async () => {
  const built = await packed()
  try {
    const figures = [...await bundleFigures(), ...await typeFigures(built), ...await tarballFigures(built)]
    for (const figure of figures) console.log(JSON.stringify(figure))
    if (over(figures).length > 0) process.exitCode = 1
  } finally {
    built.remove()
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main()

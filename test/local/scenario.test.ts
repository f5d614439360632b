/** `effect-dust serve`: agents and seeds from files, quirks as text, and the page. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Redacted } from "effect"
import { request as httpRequest } from "node:http"
import { type ScenarioOptions, serveScenario } from "../../src/internal/local/scenario/serve.ts"
import * as Browser from "../support/browser.ts"
import type { Json } from "../support/local.ts"

const options: ScenarioOptions = {
  port: 0,
  host: "127.0.0.1",
  pace: 0,
  limits: false,
  quirks: [],
  onReload: () => Effect.void
}

const start = (more: Partial<ScenarioOptions>) => serveScenario({ ...options, ...more })

type Served = Effect.Effect.Success<ReturnType<typeof start>>

const ask = ({ control }: Served, agent: string, content = "Hello") =>
  Effect.promise(async (): Promise<Json> => {
    const response = await fetch(`${control.url}/api/v1/w/${control.workspaceId}/assistant/conversations`, {
      method: "POST",
      headers: { authorization: `Bearer ${Redacted.value(control.apiKey)}`, "content-type": "application/json" },
      body: JSON.stringify({
        title: null,
        blocking: true,
        message: {
          content,
          mentions: [{ configurationId: agent }],
          context: { username: "ada", timezone: "UTC" }
        }
      })
    })
    return response.json()
  })

const replyOf = (answer: Json): string => answer.conversation.content[1][0].content

const refused = (more: Partial<ScenarioOptions>) =>
  Effect.map(Effect.flip(Effect.scoped(start(more))), ({ message }) => message)

/** A request with any headers, including `Host`, which `fetch` does not support. */
const get = (url: string, headers: Record<string, string> = {}) =>
  Effect.async<{ readonly status: number | undefined; readonly headers: Json; readonly text: string }>((resume) => {
    const sent = httpRequest(url, { headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (piece) => text += piece).on(
        "end",
        () => resume(Effect.succeed({ status: response.statusCode, headers: response.headers, text }))
      )
    })
    sent.end()
  })

describe("serve: files", () => {
  const inFolder = <A, E, R>(use: (folder: string, files: FileSystem.FileSystem) => Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      return yield* use(yield* files.makeTempDirectoryScoped(), files)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

  it.live("agents: a module exports scripts, and is reloaded when it changes", () =>
    inFolder((folder, files) =>
      Effect.gen(function*() {
        const path = `${folder}/agents.mjs`
        const reloads: Array<string> = []
        const next = yield* Deferred.make<void>()
        const failed = yield* Deferred.make<void>()
        yield* files.writeFileString(path, `export default { helper: "one", mirror: ({ message }) => message + "!" }`)
        const served = yield* start({
          agents: path,
          watchEvery: "10 millis",
          onReload: (message) =>
            Effect.suspend(() => {
              reloads.push(message)
              return Deferred.succeed(message.startsWith("Loaded") ? next : failed, undefined)
            })
        })
        assert.deepStrictEqual(served.agents, ["dust", "echo", "helper", "mirror"])
        assert.strictEqual(replyOf(yield* ask(served, "helper")), "one")
        assert.strictEqual(replyOf(yield* ask(served, "mirror")), "Hello!")
        // As editors do: the file is never half written.
        const replace = (text: string) =>
          Effect.zipRight(files.writeFileString(`${path}.new`, text), files.rename(`${path}.new`, path))
        yield* replace(`export const agents = { helper: "number two" }`)
        yield* Deferred.await(next)
        assert.strictEqual(replyOf(yield* ask(served, "helper")), "number two")
        yield* replace(`export const agents = { helper: "three"`)
        yield* Deferred.await(failed)
        assert.strictEqual(replyOf(yield* ask(served, "helper")), "number two")
        assert.match(reloads.at(-1) ?? "", /^Not loaded: .*agents\.mjs cannot be loaded: /)
      })
    ))

  it.live("agents: a module that is still being written is not loaded", () =>
    inFolder((folder, files) =>
      Effect.gen(function*() {
        const path = `${folder}/agents.mjs`
        const reloads: Array<string> = []
        const loaded = yield* Deferred.make<void>()
        /** What each look finds after the first version: an empty file, a part, and the whole. */
        const states = ["", "export default { helper", `export default { helper: "two" }`]
        yield* files.writeFileString(path, `export default { helper: "one" }`)
        let watched = false
        const slowly = FileSystem.FileSystem.of({
          ...files,
          stat: (file) =>
            Effect.suspend(() => {
              const text = watched ? states.shift() : undefined
              return Effect.zipRight(
                text === undefined ? Effect.void : files.writeFileString(path, text),
                files.stat(file)
              )
            })
        })
        const served = yield* start({
          agents: path,
          watchEvery: "10 millis",
          onReload: (message) => {
            reloads.push(message)
            return Deferred.succeed(loaded, undefined)
          }
        }).pipe(Effect.provideService(FileSystem.FileSystem, slowly))
        watched = true
        yield* Deferred.await(loaded)
        assert.deepStrictEqual(reloads, [`Loaded ${path} again: helper`])
        assert.strictEqual(replyOf(yield* ask(served, "helper")), "two")
      })
    ))

  it.live("agents: an unusable file fails with the reason", () =>
    inFolder((folder, files) =>
      Effect.gen(function*() {
        const path = `${folder}/agents.mjs`
        assert.match(yield* refused({ agents: path }), /agents\.mjs cannot be read: no such file/)
        yield* files.writeFileString(path, `export default ["helper"]`)
        assert.match(yield* refused({ agents: path }), /must export its agents/)
        yield* files.writeFileString(path, `export default { helper: [{ say: "Hello" }] }`)
        assert.match(yield* refused({ agents: path }), /the agent helper\[0\] must be a step, such as DustTest\.text/)
      })
    ))

  it.live("seed: loaded from a JSON file; an unknown field is reported", () =>
    inFolder((folder, files) =>
      Effect.gen(function*() {
        const path = `${folder}/seed.json`
        const write = (seed: unknown) => files.writeFileString(path, JSON.stringify(seed))
        yield* write({
          conversations: [{ sId: "cnv_1", title: "Seeded", messages: [{ role: "user", content: "Hi" }] }]
        })
        const { control } = yield* start({ seed: path })
        assert.deepStrictEqual((yield* control.conversations).map(({ title }) => title), ["Seeded"])
        yield* write({ conversation: [] })
        assert.match(
          yield* refused({ seed: path }),
          /conversation is unknown; similar: conversations, /
        )
        yield* write({ files: {} })
        assert.match(yield* refused({ seed: path }), /files must be a list, not an object/)
        yield* files.writeFileString(path, "{")
        assert.match(yield* refused({ seed: path }), /seed\.json is not JSON/)
      })
    ))
})

describe("serve: options", () => {
  it.scopedLive("quirks: each is a name and a value of its type", () =>
    Effect.gen(function*() {
      const served = yield* start({ quirks: ["plainNotFound=false", "credits=exhausted"] })
      const { text } = yield* get(`${served.control.url}/nothing`)
      assert.include(text, "invalid_request_error")
      assert.strictEqual((yield* ask(served, "echo")).error.type, "credits_exhausted")
      const wrong = Effect.fnUntraced(function*(quirk: string) {
        return yield* refused({ quirks: [quirk] })
      })
      assert.match(yield* wrong("doneframe=false"), /doneframe is not a quirk; similar: doneFrame, /)
      assert.match(yield* wrong("doneFrame=no"), /doneFrame must be true or false/)
      assert.match(yield* wrong("doneFrame"), /doneFrame needs a value, as in doneFrame=true/)
      assert.match(yield* wrong("historyPageSize=many"), /historyPageSize must be a whole number above 0/)
      assert.match(yield* wrong("historyTtl=soon"), /historyTtl must be a duration/)
      assert.match(yield* wrong("rateLimitStatus=500"), /rateLimitStatus must be one of 403, 429/)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("a body above 64 MiB is refused", () =>
    Effect.gen(function*() {
      const { control } = yield* start({})
      const status = yield* Effect.promise(async () => {
        const response = await fetch(`${control.url}/api/v1/w/${control.workspaceId}/assistant/conversations`, {
          method: "POST",
          headers: { authorization: `Bearer ${Redacted.value(control.apiKey)}`, "content-type": "application/json" },
          body: new Uint8Array(65 * 1024 * 1024)
        })
        return response.status
      })
      assert.strictEqual(status, 413)
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})

describe("serve: the page", () => {
  it.scopedLive("shows requests without credentials, and loads no external resources", () =>
    Effect.gen(function*() {
      const served = yield* start({})
      assert.strictEqual(served.view, `${served.control.url}/_local`)
      yield* ask(served, "echo", "Hello page")
      const page = yield* get(served.view ?? "")
      assert.strictEqual(page.status, 200)
      assert.match(page.headers["content-security-policy"], /^default-src 'none'; script-src 'sha256-\S+'; /)
      assert.notMatch(page.text, /\b(?:src|href)=|https?:/)
      const { headers, text } = yield* get(`${served.view}/state`)
      assert.strictEqual(headers["cache-control"], "no-store")
      const state = JSON.parse(text)
      assert.strictEqual(state.requests[0].method, "POST")
      assert.strictEqual(state.requests.length, 1)
      assert.deepStrictEqual(state.conversations[0].messages.map((one: Json) => [one.role, one.agent, one.content]), [
        ["user", undefined, "Hello page"],
        ["agent", "echo", "Hello page"]
      ])
      assert.notInclude(text, Redacted.value(served.control.apiKey))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("is served under a loopback name, to its own origin, and not where other machines can reach it", () =>
    Effect.gen(function*() {
      const { view } = yield* start({})
      const statusOf = (path: string, headers: Record<string, string>) =>
        Effect.map(get(`${view}${path}`, headers), ({ status }) => status)
      assert.strictEqual(yield* statusOf("", { host: "evil.example" }), 403)
      assert.strictEqual(yield* statusOf("/state", { host: "evil.example:80" }), 403)
      assert.strictEqual(yield* statusOf("/state", { "sec-fetch-site": "cross-site" }), 403)
      assert.strictEqual(yield* statusOf("/state", { "sec-fetch-site": "same-origin" }), 200)
      const open = yield* start({ host: "0.0.0.0" })
      assert.isTrue(open.isPublic)
      assert.isUndefined(open.view)
      const { status } = yield* get(`http://127.0.0.1:${new URL(open.control.url).port}/_local/state`)
      assert.strictEqual(status, 403)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it("in Chromium: shows requests, conversations and runs live, and markup as text", (context) => {
    const { chromium } = Browser
    if (chromium === undefined) {
      return context.skip("no Chromium on this machine: apt-get install chromium, or set CHROMIUM to its path")
    }
    return Effect.gen(function*() {
      const served = yield* start({})
      const newPage = yield* Browser.launch(chromium)
      const page = yield* Effect.promise(newPage)
      yield* Effect.promise(async () => {
        await page.open(served.view ?? "")
        await page.until(`document.querySelector("nav button")?.textContent === "Requests 0"`)
      })
      const hostile = `<img src=x onerror="window.owned = true"><script>window.owned = true</script>`
      yield* ask(served, "echo", hostile)
      yield* Effect.promise(async () => {
        await page.until(`document.querySelector("nav button").textContent === "Requests 1"`)
        await page.click("#list .row")
        await page.until(`document.querySelector("#detail pre").textContent.includes("onerror")`)
        await page.click(`nav button[data-tab="conversations"]`)
        await page.click("#list .row")
        await page.until(`document.querySelectorAll("#detail .message").length === 2`)
        await page.click(`nav button[data-tab="runs"]`)
        await page.until(`document.querySelector("#list .row").textContent.includes("succeeded")`)
        assert.strictEqual(await page.evaluate("document.querySelectorAll('main img, main script').length"), 0)
        assert.isNull(await page.evaluate("window.owned ?? null"))
        if (process.env["SCREENSHOT"] !== undefined) await page.screenshot(process.env["SCREENSHOT"])
      })
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer), Effect.runPromise)
  }, 120_000)
})

/** The application in `examples/web`, used by a browser. Its screenshots are in `node_modules/.cache/web`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Browser from "../support/browser.ts"
import * as Proxy from "../support/proxy.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const shots = `${root}node_modules/.cache/web`

/** The application as `npm run web` starts it, until the scope closes; its address. */
const application = Effect.acquireRelease(
  Effect.promise(async () => {
    const environment = Object.entries(process.env).filter(([key]) => !/^DUST_|_proxy$/i.test(key))
    const paced = new URL("../support/heldPace.ts", import.meta.url).href
    const child = spawn(process.execPath, ["--import", "tsx", "--import", paced, "examples/web/server.ts"], {
      cwd: root,
      // A time that nothing else there waits for.
      env: { ...Object.fromEntries(environment), PORT: "0", PACE: "13 millis" },
      stdio: ["ignore", "pipe", "pipe", "ipc"]
    })
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve))
    let output = ""
    const url = await new Promise<string>((resolve, reject) => {
      const read = (piece: Buffer) => {
        output += piece
        const found = /Listening on (http:\S+)\s/.exec(output)
        if (found?.[1] !== undefined) resolve(found[1])
      }
      child.stdout?.on("data", read)
      child.stderr?.on("data", read)
      void exit.then(() => reject(new Error(output)))
    })
    /** The agent writes so many words and no more, or as many as it likes. */
    const allow = (words: number | null) => void child.send({ words })
    return { allow, child, exit, url }
  }),
  ({ child, exit }) =>
    Effect.promise(async () => {
      child.kill("SIGTERM")
      await exit
    })
)

const answer = "Everything else stayed as it was, and nothing was lost on the way."

const texts = `[...document.querySelectorAll(".agent .text")].map((one) => one.textContent)`
const last = `${texts}.at(-1)`
/** The newest answer has begun, and is not finished. */
const begun = `${last}?.length > 40 && document.querySelector(".agent.open") !== null`
const finished = `document.querySelector(".agent.open") === null && ${last}?.length > 0`

const ask = async (page: Browser.Page, text: string) => {
  await page.type("#message", text)
  await page.click("#send")
  await page.until(`document.querySelector(".agent.open") !== null`)
}

const signedIn = async (page: Browser.Page, url: string, name: string) => {
  await page.open(url)
  await page.until(`document.querySelector("#sign-in").open`)
  await page.evaluate(
    `[...document.querySelectorAll("#sign-in button")].find((one) => one.textContent === "${name}").click()`
  )
  await page.until(
    `document.querySelector("#who span")?.textContent === "${name}" && !document.querySelector("#sign-in").open`
  )
}

const used = (
  newPage: () => Promise<Browser.Page>,
  url: string,
  proxy: Proxy.Proxy,
  allow: (words: number | null) => void
) =>
async () => {
  const page = await newPage()
  await page.size(1100, 760)
  await page.open(url)
  await page.until(`document.querySelector("#sign-in").open`)
  await page.screenshot(`${shots}/1-sign-in.png`)
  await signedIn(page, url, "Ada")

  // Streams, and is reloaded in the middle.
  allow(15)
  await ask(page, "What is new this week?")
  await page.until(begun)
  await page.screenshot(`${shots}/2-streaming.png`)
  const early: string = await page.evaluate(last)
  await page.reload()
  await page.until(begun)
  allow(null)
  await page.until(finished)
  const whole: string = await page.evaluate(last)
  assert.isTrue(whole.startsWith(early))
  assert.isTrue(whole.startsWith("Here is") && whole.endsWith(answer), whole)
  assert.strictEqual(whole.split(answer).length, 2)
  assert.deepStrictEqual(await page.evaluate(texts), [whole])

  // Approves, in another tab than the one that asked.
  await ask(page, "Write a mail to the team")
  await page.until(`document.querySelector(".card") !== null`)
  await page.screenshot(`${shots}/3-approval.png`)
  assert.isTrue(
    await page.evaluate(`(() => {
      const visible = document.querySelector("#turns").getBoundingClientRect().bottom
      return document.querySelector(".card").getBoundingClientRect().bottom <= visible
    })()`)
  )
  await page.reload()
  await page.click(".card .primary")
  await page.until(finished)
  assert.include(await page.evaluate(last), "The mail is on its way.")

  // Answers a question of the agent.
  await ask(page, "Which text is it?")
  await page.click(".card button")
  await page.until(finished)
  assert.include(await page.evaluate(last), "exactly these people")

  // Stops.
  allow(15)
  await ask(page, "What is new this week?")
  await page.until(begun)
  await page.click("#stop")
  await page.until(`document.querySelector(".agent:last-child .note").textContent === "Stopped."`)
  assert.notInclude(await page.evaluate(last), answer)

  // Loses the network, and comes back.
  allow(15)
  await ask(page, "And once more?")
  await page.until(begun)
  proxy.setRules([{ trouble: Proxy.resetBefore }])
  proxy.cutAll()
  await page.until(`!document.querySelector("#banner").hidden`)
  await page.screenshot(`${shots}/4-offline.png`)
  proxy.setRules([])
  allow(null)
  await page.until(finished)
  assert.strictEqual(await page.evaluate(last), whole)
  assert.isTrue(await page.evaluate(`document.querySelector("#banner").hidden`))
  const address: string = await page.evaluate("location.href")
  await page.size(420, 760)
  await page.screenshot(`${shots}/5-narrow.png`)
  assert.isTrue(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
  // A phone, too, has the list of conversations.
  assert.isTrue(await page.evaluate(`document.querySelector("#conversations a").checkVisibility()`))

  // Enter is pressed twice: one question.
  await page.evaluate(`(() => {
    document.querySelector("#message").value = "A mail, please"
    const enter = () => new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true })
    document.querySelector("#message").dispatchEvent(enter())
    document.querySelector("#message").dispatchEvent(enter())
  })()`)
  await page.until(`document.querySelector(".card") !== null`)
  assert.strictEqual(await page.evaluate(`document.querySelectorAll(".user").length`), 6)

  // A decision that could not be sent can be made again.
  proxy.setRules([{ trouble: Proxy.resetBefore }])
  await page.click(".card .primary")
  await page.until(`!document.querySelector("#banner").hidden && !document.querySelector(".card .primary").disabled`)
  proxy.setRules([])
  await page.click(".card .primary")
  await page.until(finished)

  // Signs out.
  await page.click("#sign-out")
  await page.until(`document.querySelector("#sign-in")?.open === true`)
  assert.deepStrictEqual(await page.evaluate(texts), [])

  // Another user sees nothing of it.
  const other = await newPage()
  await signedIn(other, url, "Grace")
  assert.strictEqual(await other.evaluate(`document.querySelectorAll("#conversations a").length`), 0)
  await other.open("about:blank")
  await other.open(address)
  await other.until(`!document.querySelector("#banner")?.hidden`)
  assert.deepStrictEqual(await other.evaluate(texts), [])
}

describe("examples/web", () => {
  it(
    "in Chromium: streams, survives a reload and a lost network, approves, answers, stops, and keeps users apart",
    (context) => {
      const { chromium } = Browser
      if (chromium === undefined) {
        return context.skip("no Chromium on this machine: apt-get install chromium, or set CHROMIUM to its path")
      }
      return Effect.gen(function*() {
        const { allow, url } = yield* application
        const proxy = yield* Proxy.make({ origin: url })
        const newPage = yield* Browser.launch(chromium)
        yield* Effect.promise(used(newPage, proxy.url, proxy, allow))
      }).pipe(Effect.scoped, Effect.provide(Logger.pretty), Effect.runPromise)
    },
    120_000
  )

  it("on SIGTERM: ends within the grace period, with an answer open", () =>
    Effect.gen(function*() {
      const { child, exit, url } = yield* application
      yield* Effect.promise(async () => {
        const json = { "content-type": "application/json" }
        const signIn = await fetch(`${url}/session`, { method: "POST", headers: json, body: `{"name":"Ada"}` })
        const headers = { ...json, cookie: signIn.headers.getSetCookie()[0]?.split(";")[0] ?? "" }
        const asked = await fetch(`${url}/chat/ask`, { method: "POST", headers, body: `{"message":"A mail, please"}` })
        const { id } = await asked.json()
        const events = await fetch(`${url}/chat/events/${encodeURIComponent(id)}`, { headers })
        child.kill("SIGTERM")
        // The response ends well, without a last event: the page comes back for it.
        assert.notInclude(await events.text(), `"Done"`)
        await exit
        assert.isNull(child.signalCode)
      })
    }).pipe(Effect.scoped, Effect.runPromise))
})

/** A headless Chromium, driven over its own protocol through a pipe: no port, and no driver to install. */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname } from "node:path"
import type { Readable, Writable } from "node:stream"

/** Where Debian, other distributions and macOS have it; `CHROMIUM` names another one. */
export const chromium = [
  // @effect-diagnostics-next-line processEnv:off
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
].find((path) => path !== undefined && path !== "" && existsSync(path))

type Json = ReturnType<typeof JSON.parse>
type Send = (method: string, params?: object, sessionId?: string) => Promise<Json>

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  "--remote-debugging-pipe"
]

const connect = (write: Writable, read: Readable): Send => {
  const waiting = new Map<
    number,
    { readonly resolve: (value: Json) => void; readonly reject: (error: Error) => void }
  >()
  let unread = ""
  let last = 0
  read.setEncoding("utf8").on("data", (piece: string) => {
    const messages = (unread + piece).split("\0")
    unread = messages.pop() ?? ""
    for (const text of messages) {
      const { error, id, result }: Json = JSON.parse(text)
      const one = waiting.get(id)
      waiting.delete(id)
      if (error === undefined) one?.resolve(result)
      else one?.reject(new Error(`${error.message} ${error.data ?? ""}`))
    }
  })
  return (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      write.write(`${JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) })}\0`)
    })
}

/** A tab of its own profile. */
export interface Page {
  readonly open: (url: string) => Promise<void>
  readonly reload: () => Promise<void>
  /** The value of an expression in the page. */
  readonly evaluate: (expression: string) => Promise<Json>
  /** Waits until the expression is true in the page. */
  readonly until: (expression: string) => Promise<void>
  readonly click: (selector: string) => Promise<void>
  readonly type: (selector: string, text: string) => Promise<void>
  readonly size: (width: number, height: number) => Promise<void>
  readonly screenshot: (file: string) => Promise<void>
}

const quoted = (text: string) => JSON.stringify(text)

const makePage = async (send: Send): Promise<Page> => {
  const { browserContextId } = await send("Target.createBrowserContext")
  const { targetId } = await send("Target.createTarget", { url: "about:blank", browserContextId })
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true })
  const call: Send = (method, params) => send(method, params, sessionId)
  await call("Page.enable")
  const evaluate = async (expression: string) => {
    const { exceptionDetails, result } = await call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true
    })
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`)
    return result.value
  }
  const until = async (expression: string) => {
    for (let i = 0; i < 1_200; i++) {
      // While a page is loading there may be nothing to ask.
      if (await evaluate(expression).catch(() => false)) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`${expression} never became true: ${await evaluate("document.body.innerText")}`)
  }
  return {
    open: async (url) => void await call("Page.navigate", { url }),
    reload: async () => {
      await evaluate("window.before = true")
      await call("Page.reload")
      await until("window.before === undefined && document.readyState === 'complete'")
    },
    evaluate,
    until,
    // Found and clicked at once: the page may replace the element in between.
    click: (selector) =>
      until(`(() => {
        const found = document.querySelector(${quoted(selector)})
        const visible = found?.offsetParent != null
        if (visible) found.click()
        return visible
      })()`),
    type: async (selector, text) => {
      await until(`(() => {
        const found = document.querySelector(${quoted(selector)})
        found?.focus()
        return found !== null && document.activeElement === found
      })()`)
      await call("Input.insertText", { text })
    },
    size: (width, height) =>
      call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false }),
    screenshot: async (file) => {
      const { data } = await call("Page.captureScreenshot", { format: "png" })
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, Buffer.from(data, "base64"))
    }
  }
}

/** A browser until the scope closes. Each page has cookies of its own. */
export const launch = (
  binary: string,
  ...others: ReadonlyArray<string>
): Effect.Effect<() => Promise<Page>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const profile = mkdtempSync(`${tmpdir()}/chromium-`)
        const child = spawn(binary, [...flags, ...others, `--user-data-dir=${profile}`, "about:blank"], {
          stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"]
        })
        const [, , , write, read] = child.stdio
        return { child, profile, send: connect(write as Writable, read as Readable) }
      }),
      ({ child, profile, send }) =>
        Effect.promise(async () => {
          const exit = new Promise((resolve) => child.once("exit", resolve))
          send("Browser.close").catch(() => undefined)
          const timer = setTimeout(() => child.kill("SIGKILL"), 5000)
          await exit
          clearTimeout(timer)
          // Its other processes end a little later, and write until then.
          rmSync(profile, { recursive: true, force: true, maxRetries: 30 })
        })
    ),
    ({ send }) => () => makePage(send)
  )

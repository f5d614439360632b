import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { bundling, newFolder } from "../support/child.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const examples = readdirSync(`${root}examples`).filter((name) => /^\d\d-[^.]*\.ts$/.test(name)).toSorted()

/** What each example has to print, beside ending well. */
const expected: Record<string, ReadonlyArray<string | RegExp>> = {
  "01-quick-start.ts": [
    /✓ created \w+/,
    "Hello! What can you do for me?",
    "✓ 2 messages",
    "✓ deleted, with its answer",
    "conversation_not_found"
  ],
  "02-chat.ts": ["You asked: \"Which three things should I read first?\""],
  "03-stream-to-the-terminal.ts": [
    "[search {\"query\":\"roadmap\"}] Searching Notion ✓",
    "Final answer: Three things are on the roadmap for this quarter: streaming, approvals and files."
  ],
  "04-create-a-conversation.ts": [/Conversation created: \w+/],
  "05-send-and-wait.ts": [/assistant +I read: "Hello from Effect!"/],
  "06-list-messages.ts": [/The newest two\n.*I read: "Two"\n.*Two\n/],
  "07-fetch-a-message.ts": [/dust +I read: "Hello"/],
  "08-delete-a-message.ts": ["Message deleted."],
  "09-handle-errors.ts": [
    "conversation_not_found",
    "requests made: 0",
    "category: retryable_model_error, worth a retry: true"
  ],
  "10-approve-a-tool.ts": ["send_email (high stake)", "The mail is on its way.", "used send_email: succeeded"],
  "11-continue-after-a-restart.ts": [/One word after\s+\(the first process stops here\)\nthe other, slowly\./],
  "12-race-two-agents.ts": ["I was first."],
  "13-session.ts": ["First, who are you?", "Second, what do you know?", "Third, can you stream?"],
  "14-typed-agent.ts": [
    /✓ billing, not urgent, until 2026-12-01/,
    /✗ queue: .*actual "finance"\n {4}urgent: /,
    "✓ billing, after 2 answers"
  ],
  "15-fall-back-to-another-agent.ts": [
    /broken.*DustAgentError\n.*Nobody.*DustNotFoundError\n.*silent.*TimeoutException\n/,
    "I was first."
  ],
  "16-one-answer-for-many-listeners.ts": [
    /✓ asked\n[^✓]*$/,
    /first +One word after the other, slowly\./,
    /fourth +One word after the other, slowly\./
  ],
  "17-cache-answers.ts": ["3 answers, asked 1 time", "still asked 1 time, 3 of 4 from the cache", "asked 3 times now"],
  "20-upload-a-file.ts": [
    "100 %",
    "340000 bytes, ready",
    "What is in this file?",
    "000003,item,3.50",
    "Files.upload: contentType"
  ],
  "21-sync-documents.ts": [
    "4 written, 0 skipped, 0 deleted, 1 failed",
    "✓ deleted guides/old.md",
    "1 written, 2 skipped, 1 deleted, 1 failed"
  ],
  "22-load-a-table.ts": ["3 of 3 rows", "float      unit_price", "✓ 1200 rows", "pen-1199   11.99", "csv: line 3"],
  "23-search-documents.ts": ["Trains are booked in second class.", "score 0.29", "You asked: \"Which class"],
  "24-sync-a-folder-of-markdown.ts": [
    "would write 12, skip 0 and delete 0 documents",
    "12 of 12",
    "1 written, 10 unchanged, 1 deleted, 0 failed",
    "allowEmpty"
  ],
  "25-replace-a-table-every-night.ts": [
    "✓ 1500 rows in the table",
    "✗ connection lost after 700 rows",
    "at most 750 are allowed, and nothing was deleted",
    "✓ 1400 written, 100 deleted, 1400 in the table"
  ],
  "26-load-a-messy-csv.ts": [
    "encoding: expected UTF-8",
    "Vorrätig is vorratig",
    "007        XL 1234.5 DateTime.Utc(2026-01-31",
    "✓ 2 rows"
  ],
  "30-find-an-agent.ts": ["✓ dust, with 0 tools", ":mention[dust]", "no agent is named \"dustt\"; similar names: dust"],
  "31-spaces-and-tools.ts": ["Company Data (global)", "create_ticket", "Company Data is vlt_global"],
  "32-search-the-workspace.ts": ["Roadmap 2026", "✓ 2 files in tools", /Roadmap slides is fil_\w+/],
  "33-export-analytics.ts": [/2026-01-01 +#{12}\n/, "✓ 3 credits", "requests made: 0"],
  "34-webhook-trigger.ts": ["at 0 9 * * 1", "✓ accepted", "webhook_source_auth_error"],
  "35-skills.ts": [/✓ incident-report is new: skl_\w+/, "already exists", "✓ incident-report is archived"],
  "40-run-an-app.ts": ["Gives every input back", "has succeeded", "{\"question\":\"And when?\"}", "succeeded, 2 times"],
  "41-client-side-tools.ts": [
    "✓ registered as mcp-client-side:kitchen-clock",
    /asked for Europe\/Paris: (\d+:\d\d\W[AP]M)\n.*It is \1 in Paris\./,
    "The scope is closed"
  ],
  "42-toolkit.ts": [
    "✓ registered as mcp-client-side:kitchen-clock",
    /asked for Europe\/Paris: (\d+:\d\d\W[AP]M)\n.*It is \1 in Paris\./
  ],
  "43-language-model.ts": [
    "You asked: \"Which three things should I read first?\"",
    "Three things are on the roadmap for this quarter: streaming, approvals and files.",
    "tools: search",
    /✓ billing, until 2026-12-01/,
    "I was first."
  ],
  "70-telemetry.ts": [
    /invoke_agent Fine +\d+ ms +succeeded/,
    /invoke_agent Retried +\d+ ms +succeeded/,
    /invoke_agent Failing +\d+ ms +failed model_error/,
    /invoke_agent Slow +\d+ ms +succeeded/,
    /invoke_agent Waiting +\d+ ms +succeeded +\(\d+ ms of it waiting for a person\)/,
    /invoke_agent Endless +\d+ ms +interrupted/,
    "run.waiting · tool.finished · run.continued",
    "spans in 6 traces",
    "dust.request.retries Conversations.create DustServerError 1",
    "dust.runs Failing failed 1",
    /dust\.run\.time_to_first_text Slow \d+ ms/,
    "dust.run.cancellations cancelled 1"
  ],
  "62-promises.ts": [
    "Hello\nOne ",
    "stopped by the signal",
    "model_error: ",
    "the model is overloaded",
    "2 agents were stopped"
  ],
  "63-web-handler.ts": ["Hello over node:http\nclosed"],
  "61-sign-in.ts": ["✓ signed in", "a new refresh token", /Ada Lovelace +Who am I\?/],
  "44-durable-answer.ts": [
    /✓ execution \w+…/,
    "✓ send_email waits until",
    "The mail is on its way.",
    "the same message both times: true"
  ],
  "60-relay-to-a-browser.ts": ["✓ One word after the other, slowly.", "the connection was lost"]
}

/** Compiled once for all: `tsx` would compile the SDK for each of them. Below the repository, so that packages are found. */
let compiled: string
beforeAll(async () => {
  compiled = newFolder("examples")
  await build({
    ...bundling,
    entryPoints: examples.map((name) => `${root}examples/${name}`),
    outdir: compiled,
    outExtension: { ".js": ".mjs" },
    splitting: true
  })
})
afterAll(() => rmSync(compiled, { recursive: true, force: true }))

/** Without what the machine has set for Dust, and without proxies: the examples talk to Local Dust. Far from home. */
const environment = () => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^DUST_|_proxy$/i.test(key))),
  LANG: "de_DE.UTF-8",
  LC_ALL: "tr_TR.UTF-8",
  TZ: "Pacific/Kiritimati"
})

const run = (
  name: string,
  more: Readonly<Record<string, string>> = {},
  args: ReadonlyArray<string> = []
): Promise<{ readonly code: number; readonly output: string }> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [`${compiled}/${name.replace(/\.ts$/, ".mjs")}`, ...args],
      { cwd: root, env: { ...environment(), ...more }, timeout: 100_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : 1, output: stdout + stderr })
    )
  })

describe("examples", () => {
  for (const name of examples) {
    it.concurrent(`${name} runs and prints what it should`, async () => {
      const { code, output } = await run(name)
      assert.strictEqual(code, 0, output)
      const wanted = expected[name]
      assert.isDefined(wanted, `say in this test what ${name} has to print`)
      for (const text of wanted ?? []) {
        if (typeof text === "string") assert.include(output, text)
        else assert.match(output, text)
      }
    })

    it(`${name} is short`, () => {
      assert.isAtMost(readFileSync(`${root}examples/${name}`, "utf8").split("\n").length, 70)
    })
  }

  it.concurrent(
    "with real credentials and no terminal: says what it would do, and sends nothing without --yes",
    async () => {
      let requests = 0
      const server = createServer((_, response) => {
        requests++
        response.writeHead(403, { "content-type": "application/json" })
        response.end(JSON.stringify({ error: { type: "workspace_auth_error", message: "no" } }))
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const { port } = server.address() as AddressInfo
      const real = { DUST_BASE_URL: `http://127.0.0.1:${port}`, DUST_WORKSPACE_ID: "acme", DUST_API_KEY: "sk-x" }
      const asked = await run("01-quick-start.ts", real)
      assert.strictEqual(asked.code, 1)
      assert.include(asked.output, "writes to the Dust workspace acme. Pass --yes")
      assert.strictEqual(requests, 0)
      await run("01-quick-start.ts", real, ["--yes"])
      assert.isAbove(requests, 0)
      server.close()
    }
  )

  it.concurrent("behind a proxy of the environment: the same", async () => {
    const { code, output } = await run("41-client-side-tools.ts", {
      HTTP_PROXY: "http://127.0.0.1:9",
      HTTPS_PROXY: "http://127.0.0.1:9"
    })
    assert.strictEqual(code, 0, output)
    for (const text of expected["41-client-side-tools.ts"]!) assert.match(output, new RegExp(text))
  })
})

import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { existsSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import {
  agents as common,
  type CommandLine,
  commandLine,
  plain,
  startInTerminal,
  variables
} from "../support/commandLine.ts"

const agents: DustTest.Options["agents"] = {
  ...common,
  reminder: {
    name: "Reminder",
    script: [DustTest.approval({ name: "remind", stake: "low", onResult: () => "Reminded." })]
  },
  asker: {
    name: "Asker",
    script: [
      DustTest.question({
        question: "Which colour?",
        options: ["red", "blue"],
        onAnswer: ({ customResponse, selectedOptions }) => `You chose ${customResponse ?? selectedOptions.join()}.`
      })
    ]
  }
}

const enter = "\r"
const down = "\u001b[B"
const ctrlC = "\u0003"
const ctrlD = "\u0004"

// `script` of util-linux makes the terminal. On a loaded machine a process may need seconds to start.
describe.runIf(process.platform === "linux")("the command line in a terminal", { timeout: 120_000 }, () => {
  let line: CommandLine
  beforeAll(async () => {
    line = await commandLine(tmpdir())
  }, 120_000)
  afterAll(() => line?.remove())

  const local = Effect.suspend(() => DustTest.serve({ agents, limits: false }))

  it.scopedLive("ask: streams text once, with tools between, in colours that NO_COLOR switches off", () =>
    Effect.gen(function*() {
      const env = variables(yield* local)
      const shown = (more: Readonly<Record<string, string>>) =>
        Effect.flatMap(
          startInTerminal(line, ["ask", "--thinking", "-a", "@Researcher", "x"], { env: { ...env, ...more } }),
          ({ ended }) => Effect.map(ended, ({ stdout }) => stdout)
        )
      const coloured = yield* shown({})
      assert.include(coloured, "\u001b[90m")
      assert.strictEqual(
        plain(coloured).replace(/ \(.*s\)$/m, ""),
        "… Notion has it.\nLet me look. \n→ search {\"query\":\"roadmap\"}\n✓ search\nThree things.\n"
      )
      assert.notInclude(yield* shown({ NO_COLOR: "1" }), "\u001b[90m")
    }))

  it.scopedLive("agents: columns are aligned below names of double width", () =>
    Effect.gen(function*() {
      const env = variables(
        yield* DustTest.serve({
          agents: {
            a: { name: "東京👩‍👩‍👧", description: "first", script: [] },
            b: { name: "Café", description: "second", script: [] }
          }
        })
      )
      const { ended } = yield* startInTerminal(line, ["agents"], { env })
      const rows = plain((yield* ended).stdout).split("\n")
      assert.include(rows, "a     東京👩‍👩‍👧  first")
      assert.include(rows, "b     Café    second")
    }))

  it.scopedLive("ask: asks before a tool runs, and asks what the agent wants to know", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const env = variables(dust)
      const approved = yield* startInTerminal(line, ["ask", "-a", "mailer", "Write"], { env })
      assert.match(
        yield* approved.says(/Run it\?/),
        /! send_email.* needs your approval \(high stake\)\n {2}to: "ada@/
      )
      approved.type(enter)
      assert.include((yield* approved.ended).stdout, "It is sent.")
      const rejected = yield* startInTerminal(line, ["ask", "-a", "mailer", "Write"], { env })
      yield* rejected.says(/Run it\?/)
      rejected.type(down + enter)
      assert.include((yield* rejected.ended).stdout, "I did not send it.")
      const user = yield* startInTerminal(line, ["chat", "-a", "reminder"], { env: variables(dust, "userToken") })
      yield* user.says(/> /)
      user.type(`Remind me${enter}`)
      assert.match(yield* user.says(/Run it\?[^]*No/), /low stake[^]*Yes, once[^]*Yes, and do not ask again/)
      user.type(down + enter)
      yield* user.says(/Reminded\.\n[^]*> /)
      user.forget()
      user.type(`Again${enter}`)
      assert.notInclude(yield* user.says(/Reminded\.\n[^]*> /), "Run it?")
      user.type(ctrlD)
      yield* user.ended
      const asked = yield* startInTerminal(line, ["ask", "-a", "asker", "Paint"], { env })
      yield* asked.says(/Which colour\?/)
      asked.type(down + enter)
      assert.include((yield* asked.ended).stdout, "You chose 1.")
      const own = yield* startInTerminal(line, ["ask", "-a", "asker", "Paint"], { env })
      yield* own.says(/Which colour\?/)
      own.forget()
      own.type(down + down + enter)
      yield* own.says(/Which colour\?/)
      own.type(`green${enter}`)
      const { stdout } = yield* own.ended
      assert.include(stdout, "You chose green.")
      assert.notInclude(stdout, "ask_user_question")
    }))

  it.scopedLive("ask: Ctrl-C at an approval stops the agent, and ends with 130", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const { ended, says, type } = yield* startInTerminal(line, ["ask", "-a", "mailer", "x"], { env: variables(dust) })
      yield* says(/Run it\?/)
      type(ctrlC)
      assert.strictEqual((yield* ended).code, 130)
      assert.isNotEmpty(yield* dust.requests({ where: ({ path }) => path.endsWith("/cancel") }))
    }))

  it.scopedLive("ask: shows that the connection was lost, and Ctrl-C ends the wait", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const dust = yield* Scope.extend(local, scope)
      const { ended, says, type } = yield* startInTerminal(line, ["ask", "-a", "slow", "x"], { env: variables(dust) })
      yield* says(/after the other/)
      yield* Scope.close(scope, Exit.void)
      yield* says(/after the other[^]*(?:reconnecting|trying again)…/)
      type(ctrlC)
      assert.strictEqual((yield* ended).code, 130)
    }))

  it.scopedLive("chat: keeps one conversation over several turns, with attachments and pasted lines", () =>
    Effect.gen(function*() {
      const dust = yield* local
      writeFileSync(`${line.directory}/notes.md`, "# Notes\n")
      const { ended, forget, says, type } = yield* startInTerminal(line, ["chat", "-a", "echo"], {
        env: variables(dust)
      })
      yield* says(/> /)
      type(`Hello${enter}`)
      yield* says(/\nHello\n[^]*> /)
      forget()
      type(`/attach notes.md${enter}`)
      yield* says(/1 attached[^]*> /)
      forget()
      type(`First line${enter}second line${enter}`)
      yield* says(/First line\nsecond line\n[^]*First line\nsecond line\n[^]*> /)
      type(ctrlD)
      const { code, stdout } = yield* ended
      assert.strictEqual(code, 0)
      const [, conversationId = ""] = /effect-dust chat --agent echo --conversation (\w+)/.exec(stdout) ?? []
      const { messages } = yield* dust.conversation(conversationId)
      assert.deepStrictEqual(
        messages.map(({ content, role }) => role === "content_fragment" ? role : content),
        ["Hello", "Hello", "content_fragment", "First line\nsecond line", "First line\nsecond line"]
      )
    }))

  it.scopedLive("chat: Ctrl-C stops an answer, and the next message can be typed; a failure does not end it", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const { ended, forget, says, type } = yield* startInTerminal(line, ["chat", "-a", "slow"], {
        env: variables(dust)
      })
      yield* says(/> /)
      type(`Go${enter}`)
      yield* says(/after the other/)
      type(ctrlC)
      yield* says(/Stopped\.[^]*> /)
      yield* dust.waitForRequest({ where: ({ path }) => path.endsWith("/cancel") })
      forget()
      type(`/agent nobody${enter}`)
      yield* says(/✗[^]*effect-dust agents[^]*> /)
      forget()
      type(`/agent Echo${enter}`)
      yield* says(/Talking to echo[^]*> /)
      forget()
      type(`Still here${enter}`)
      yield* says(/Still here\n[^]*Still here\n[^]*> /)
      type(`/quit${enter}`)
      assert.strictEqual((yield* ended).code, 0)
    }))

  it.scopedLive("without credentials: asks for them, stores them only when asked to, and logout deletes them", () =>
    Effect.gen(function*() {
      const { url } = yield* local
      const file = `${line.directory}/config/effect-dust/credentials.json`
      const agentsWith = (store: string) =>
        Effect.gen(function*() {
          const { ended, says, type } = yield* startInTerminal(line, ["agents", "--json"])
          yield* says(/Workspace id/)
          type(`${url}/w/LocalDust1/home${enter}`)
          // The line above the questions speaks of API keys, too.
          yield* says(/API key \(/)
          type(`sk-local-dust${enter}`)
          yield* says(/Store these settings/)
          type(store)
          return yield* ended
        })
      const first = yield* agentsWith("n")
      assert.include(first.stdout, "\"sId\":\"mailer\"")
      assert.notInclude(first.stdout, "sk-local-dust")
      assert.isFalse(existsSync(file))
      yield* agentsWith("y")
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const stored = yield* startInTerminal(line, ["agents", "--json"])
      assert.include((yield* stored.ended).stdout, "\"sId\":\"mailer\"")
      // A key never meets the workspace of another source.
      const other = yield* startInTerminal(line, ["agents"], { env: { DUST_WORKSPACE_ID: "other" } })
      assert.strictEqual((yield* other.ended).code, 4)
      const out = yield* startInTerminal(line, ["logout"])
      assert.include((yield* out.ended).stdout, "Deleted")
      assert.isFalse(existsSync(file))
    }))
})

import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { agents as common, type CommandLine, commandLine, run, start, variables } from "../support/commandLine.ts"

const agents: DustTest.Options["agents"] = {
  ...common,
  broken: { name: "Broken", script: [DustTest.fail({ code: "model_error", message: "overloaded\nreally" })] },
  // What would rename the window and clear the screen of a terminal.
  hostile: { name: "Hostile", script: "\u001b]0;owned\u0007\u001b[2Jplain" }
}

// On a loaded machine a process may need seconds to start.
describe("the command line", { timeout: 120_000 }, () => {
  let line: CommandLine
  beforeAll(async () => {
    line = await commandLine(tmpdir())
  }, 120_000)
  afterAll(() => line?.remove())

  const local = Effect.suspend(() => DustTest.serve({ agents, limits: false }))

  it.effect("--version: prints the package's version", () =>
    Effect.gen(function*() {
      const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
      assert.deepStrictEqual(yield* run(line, ["--version"]), { code: 0, stdout: `${version}\n`, stderr: "" })
    }))

  it.effect("--help: lists every command in 80 columns, without escape sequences in a pipe", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(line, ["--help"])
      assert.strictEqual(code, 0)
      for (
        const name of ["ask", "chat", "resume", "agents", "search", "sync", "load", "export agent", "serve", "logout"]
      ) assert.match(stdout, new RegExp(`^  ${name} +\\S`, "m"))
      assert.notInclude(stdout, "\u001b")
      assert.deepStrictEqual(stdout.split("\n").filter((text) => text.length > 80), [])
      assert.strictEqual((yield* run(line, [])).stdout, stdout)
    }))

  it.effect("--help behind a command: lists its arguments and options", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run(line, ["export", "analytics", "--help"])
      assert.strictEqual(code, 0)
      assert.include(stdout, "Usage: effect-dust export analytics [options] <table>")
      for (const name of ["--from", "--to", "-o, --output", "-h, --help"]) {
        assert.match(stdout, new RegExp(`^  ${name}.* \\S`, "m"))
      }
    }))

  it.effect("a misspelt command or option: code 2, and the nearest name", () =>
    Effect.gen(function*() {
      const stderr = (...args: ReadonlyArray<string>) =>
        Effect.map(run(line, args), ({ code, stderr, stdout }) => [code, stdout, stderr.trim()])
      assert.deepStrictEqual(
        yield* Effect.forEach([
          ["aks", "hi"],
          ["export", "agnet", "x"],
          ["--hlep"],
          ["ask", "--jsn", "hi"],
          ["agents", "--local", "--log-level=debgu"]
        ], (args) => stderr(...args)),
        [
          [2, "", "effect-dust: unknown command aks; did you mean ask? See effect-dust --help"],
          [2, "", "effect-dust: unknown command export agnet; did you mean agent? See effect-dust --help"],
          [2, "", "effect-dust: unknown option --hlep; did you mean --help? See effect-dust --help"],
          [2, "", "effect-dust: unknown option --jsn; did you mean --json? See effect-dust ask --help"],
          [
            2,
            "",
            "effect-dust: --log-level must be followed by one of: debug, info, warning, error, none; see effect-dust agents --help"
          ]
        ]
      )
    }))

  it.effect("--log-level behind a command: logs each request with its ids, and does not become part of the message", () =>
    Effect.gen(function*() {
      const { stderr, stdout } = yield* run(line, ["ask", "--local", "--log-level", "debug", "hi"])
      assert.strictEqual(stdout, "hi\n")
      assert.match(stderr, /^debug: Request .*operation=Conversations\.createMessage/m)
      assert.match(stderr, /^debug: Request messageId=\w+ conversationId=\w+ .*operation=Conversations\.messageEvents/m)
      const unasked = yield* run(line, ["ask", "--local", "--", "--log-level", "debug"])
      assert.deepStrictEqual([unasked.stdout, unasked.stderr], ["--log-level debug\n", ""])
    }))

  it.effect("help before a command: the same as --help behind it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(line, ["help", "ask"]), yield* run(line, ["ask", "--help"]))
    }))

  it.effect("--completions bash: completes commands, options, choices and files", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run(line, ["--completions", "bash"])
      const folder = `${line.directory}/complete`
      mkdirSync(`${folder}/a folder`, { recursive: true })
      writeFileSync(`${folder}/a table.csv`, "")
      const completed = (...words: ReadonlyArray<string>) =>
        execFileSync("bash", [
          "-c",
          `${stdout}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _effect_dust
          printf '%s\\n' "\${COMPREPLY[@]}"`,
          "bash",
          "effect-dust",
          ...words
        ], {
          cwd: folder,
          encoding: "utf8",
          // Outside of a completion bash refuses `compopt`.
          stdio: ["ignore", "pipe", "ignore"]
        }).trim().split("\n")
      assert.includeMembers(completed(""), ["ask", "export", "--help", "--completions"])
      assert.deepStrictEqual(completed("--log-level", "debug", "ag"), ["agents"])
      assert.deepStrictEqual(completed("export", ""), ["conversation", "agent", "analytics", "consumption"])
      assert.deepStrictEqual(completed("export", "analytics", "a"), ["active_users", "agents"])
      assert.deepStrictEqual(completed("sync", "docs", "--d"), ["--data-source", "--delete", "--dry-run"])
      assert.deepStrictEqual(completed("load", "--encoding", "l"), ["latin1"])
      assert.deepStrictEqual(completed("ask", "--agent", ""), [""])
      assert.sameMembers(completed("ask", "--file", "a"), ["a folder", "a table.csv"])
      assert.deepStrictEqual(completed("sync", "a"), ["a folder"])
    }))

  for (const shell of ["zsh", "fish"]) {
    it.effect(`--completions ${shell}: describes commands and options, and expects a file where one is read`, () =>
      Effect.gen(function*() {
        const { code, stdout } = yield* run(line, ["--completions", shell])
        assert.strictEqual(code, 0)
        assert.match(
          stdout,
          shell === "zsh"
            ? /_effect-dust-export\(\) \{[^}]*'conversation:Export a conversation/
            : /"export"' -a conversation -d 'Export/
        )
        assert.match(stdout, shell === "zsh" ? /'\*--file\[[^\]]*\]:file:_files'/ : /"ask"' -s f -l file -r -F/)
        writeFileSync(`${line.directory}/completions.${shell}`, stdout)
        const { error, status, stderr } = spawnSync(shell, ["-n", `${line.directory}/completions.${shell}`], {
          encoding: "utf8"
        })
        // Distinguishes a machine without the shell from a shell that refuses the script.
        if (error === undefined) assert.deepStrictEqual([status, stderr], [0, ""])
        else assert.include(error.message, "ENOENT")
      }))
  }

  for (
    const [args, complaint] of [
      [["bogus"], /unknown command bogus; there are: ask, chat, .*see effect-dust --help/],
      [["ask", "hi", "--bogus"], /unknown option --bogus.*see effect-dust ask --help/],
      [["ask", "hi", "--agent"], /--agent must be followed by its value/],
      [["ask"], /no message: give it as an argument/],
      [["ask", "-f", "nope.pdf", "x"], /nope\.pdf: no such file/],
      [["ask", "-f", "/tmp", "x"], /\/tmp is a folder; attach its files/],
      [["sync", "."], /--data-source.*see effect-dust sync --help/],
      [["search", "-n", "many", "x"], /'many'.*see effect-dust search --help/],
      [["serve", "--port", ""], /--port: must be a number/],
      [["export", "analytics", "agents", "--from", "yesterday"], /--from: must be a day/]
    ] as const
  ) {
    it.scopedLive(`code 2 and one line: effect-dust ${args.join(" ")}`, () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* run(line, args, { env: variables(yield* local) })
        assert.strictEqual(code, 2)
        assert.strictEqual(stdout, "")
        assert.match(stderr, complaint)
        assert.match(stderr, /^effect-dust: .*\n$/)
      }))
  }

  it.scopedLive("code 4 and one line: no credential, a refused one, and one of the wrong kind", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const none = yield* run(line, ["agents"])
      assert.strictEqual(none.code, 4)
      assert.match(none.stderr, /^effect-dust: no credential: set DUST_WORKSPACE_ID and DUST_API_KEY.*\n$/)
      const refused = yield* run(line, ["agents"], { env: { ...variables(dust), DUST_API_KEY: "sk-wrong" } })
      assert.strictEqual(refused.code, 4)
      assert.match(refused.stderr, /^effect-dust: .*invalid_api_key_error.*\n$/)
      assert.notInclude(refused.stderr, "sk-wrong")
      const elsewhere = yield* run(line, ["agents"], { env: { ...variables(dust), DUST_WORKSPACE_ID: "other" } })
      assert.match(elsewhere.stderr, /check the workspace id and its region\n$/)
      const half = yield* run(line, ["agents"], { env: { DUST_WORKSPACE_ID: "x" } })
      assert.strictEqual(half.code, 4)
      assert.strictEqual(half.stderr, "effect-dust: DUST_API_KEY must be set, unless DUST_ACCESS_TOKEN is set\n")
    }))

  it.scopedLive("advice: repeats the runner that started the command line", () =>
    Effect.gen(function*() {
      const env = variables(yield* local)
      const runners = { "npm/11.1.0 node/v22": "npx effect-dust", "pnpm/9.2.0 npm/?": "pnpm dlx effect-dust" }
      for (const [agent, program] of Object.entries(runners)) {
        const { stderr } = yield* run(line, ["ask", "-a", "@Nobody", "x"], {
          env: { ...env, npm_config_user_agent: agent }
        })
        assert.match(stderr, new RegExp(`: ${program} agents\n$`))
      }
    }))

  it.scopedLive("--json: an error is JSON, too", () =>
    Effect.gen(function*() {
      const env = { ...variables(yield* local), DUST_API_KEY: "sk-wrong" }
      const { code, stderr } = yield* run(line, ["agents", "--json"], { env })
      assert.strictEqual(code, 4)
      const { error } = JSON.parse(stderr)
      assert.strictEqual(error._tag, "DustUnauthorizedError")
      assert.strictEqual(error.status, 401)
    }))

  describe("ask", () => {
    it.scopedLive("prints the final text and nothing else in a pipe; tools go to stderr", () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* run(line, ["ask", "--agent", "@Researcher", "What", "is", "new?"], {
          env: variables(yield* local)
        })
        assert.deepStrictEqual([code, stdout], [0, "Three things.\n"])
        assert.include(stderr, "→ search {\"query\":\"roadmap\"}")
        assert.match(stderr, /✓ search/)
        assert.notInclude(stderr, "Notion has it.")
      }))

    it.scopedLive("stdin is the message; with a message, it is attached", () =>
      Effect.gen(function*() {
        const dust = yield* local
        const env = variables(dust)
        const piped = yield* run(line, ["ask", "-a", "echo"], { env, stdin: "From a pipe\n" })
        assert.deepStrictEqual([piped.code, piped.stdout], [0, "From a pipe\n"])
        const both = yield* run(line, ["ask", "-a", "echo", "Sum it up"], { env, stdin: "error: 42\n" })
        assert.deepStrictEqual([both.code, both.stdout], [0, "Sum it up\n"])
        const created = yield* dust.requests({ where: ({ path }) => path.endsWith("/conversations") })
        assert.include(JSON.stringify(created.map(({ body }) => body)), "error: 42")
      }))

    it.scopedLive("--file: uploads and attaches it; --conversation goes on", () =>
      Effect.gen(function*() {
        const dust = yield* local
        const env = variables(dust)
        writeFileSync(`${line.directory}/notes.md`, "# Notes\n")
        const first = yield* run(line, ["ask", "Read this", "--file", "notes.md", "--json"], { env })
        const { conversationId } = JSON.parse(first.stdout.trim().split("\n").at(-1) ?? "").reply
        const second = yield* run(line, ["ask", "And now?", "-c", conversationId, "--json"], { env })
        assert.strictEqual(JSON.parse(second.stdout.split("\n")[0] ?? "").conversationId, conversationId)
        yield* run(line, ["ask", "-a", "broken", "Fail", "-c", conversationId], { env })
        const exported = yield* run(line, ["export", "conversation", conversationId], { env })
        assert.match(exported.stdout, /## Broken, .* UTC\n\n\*failed: overloaded\nreally \(model_error\)\*\n/)
        assert.match(exported.stdout, /## effect-dust, .* UTC\n\nRead this\n\n## dust,.*\n\nRead this\n\n[^]*And now\?/)
        assert.match(exported.stdout, /## Attachment, .* UTC\n\nnotes\.md\n/)
      }))

    it.scopedLive("--json: prints each event, the reply last", () =>
      Effect.gen(function*() {
        const { stdout } = yield* run(line, ["ask", "--json", "-a", "researcher", "x"], {
          env: variables(yield* local)
        })
        const events = stdout.trim().split("\n").map((text) => JSON.parse(text))
        assert.deepStrictEqual(
          ["Started", "TextDelta", "ToolStarted", "ToolFinished", "Done"].filter((tag) =>
            !events.some(({ _tag }) => _tag === tag)
          ),
          []
        )
        assert.strictEqual(events.at(-1).reply.text, "Three things.")
      }))

    it.scopedLive("code 3: a tool needs an approval and there is no terminal; --yes and resume --yes approve it", () =>
      Effect.gen(function*() {
        const env = variables(yield* local)
        const waiting = yield* run(line, ["ask", "-a", "mailer", "Write to Ada"], { env })
        assert.strictEqual(waiting.code, 3)
        const [, conversationId = "", messageId = ""] =
          /pass --yes.*effect-dust resume (\S+) (\S+)\n$/.exec(waiting.stderr) ?? []
        const resumed = yield* run(line, ["resume", conversationId, messageId, "--yes"], { env })
        assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "It is sent.\n"])
        const approved = yield* run(line, ["ask", "-a", "mailer", "Write to Ada", "-y"], { env })
        assert.deepStrictEqual([approved.code, approved.stdout], [0, "It is sent.\n"])
      }))

    it.scopedLive("code 1 and one line: the agent fails; the error for an unknown agent names the list command", () =>
      Effect.gen(function*() {
        const env = variables(yield* local)
        const broken = yield* run(line, ["ask", "-a", "broken", "x"], { env })
        assert.strictEqual(broken.code, 1)
        assert.match(broken.stderr, /^effect-dust: .*overloaded really.*\n$/)
        for (const agent of ["nobody", "@Nobody"]) {
          const unknown = yield* run(line, ["ask", "-a", agent, "x"], { env })
          assert.strictEqual(unknown.code, 1)
          assert.match(unknown.stderr, /^effect-dust: .*effect-dust agents\n$/)
        }
      }))

    for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
      it.scopedLive(`${signal}: stops the agent, and ends with ${expected}`, () =>
        Effect.gen(function*() {
          const dust = yield* local
          const { child, ended, says } = yield* start(line, ["ask", "-a", "slow", "--json", "x"], {
            env: variables(dust)
          })
          yield* says(/TextDelta/)
          child.kill(signal)
          assert.strictEqual((yield* ended).code, expected)
          assert.isNotEmpty(yield* dust.requests({ where: ({ path }) => path.endsWith("/cancel") }))
        }))
    }

    it.effect("--local: answers without an account", () =>
      Effect.gen(function*() {
        const { code, stdout } = yield* run(line, ["ask", "--local", "Hello there"])
        assert.deepStrictEqual([code, stdout], [0, "Hello there\n"])
      }))

    it.scopedLive("removes what would steer a terminal from text of agents", () =>
      Effect.gen(function*() {
        const { stdout } = yield* run(line, ["ask", "-a", "hostile", "x"], { env: variables(yield* local) })
        assert.strictEqual(stdout, "]0;owned[2Jplain\n")
      }))
  })

  describe("agents and search", () => {
    it.scopedLive("agents: separated by tabs, filtered by name, JSON with --json; a reader that leaves is not a failure", () =>
      Effect.gen(function*() {
        const env = variables(yield* local)
        const found = yield* run(line, ["agents", "RESEARCH"], { env })
        assert.match(found.stdout, /^researcher\tResearcher\t[^\t]*\n$/)
        const all = yield* run(line, ["agents", "--json"], { env })
        assert.includeMembers(all.stdout.trim().split("\n").map((text) => JSON.parse(text).sId), ["mailer", "dust"])
        const { child, ended } = yield* start(line, ["agents"], { env })
        child.stdout?.destroy()
        assert.deepStrictEqual([(yield* ended).code, (yield* ended).stderr], [0, ""])
      }))

    it.scopedLive("search: titles of the workspace, or passages of a data source by its name", () =>
      Effect.gen(function*() {
        const env = variables(yield* local)
        const titles = yield* run(line, ["search", "travel"], { env })
        assert.match(titles.stdout, /^document\tTravel\t/m)
        const passages = yield* run(line, ["search", "--data-source", "Handbook", "travel"], { env })
        assert.match(passages.stdout, /^[\d.]+\tTravel\tTrains are booked/m)
        const none = yield* run(line, ["search", "nothing-has-this"], { env })
        assert.deepStrictEqual(none, { code: 0, stdout: "", stderr: "No result found.\n" })
        const elsewhere = yield* run(line, ["search", "-d", "nope", "x"], { env })
        assert.strictEqual(elsewhere.code, 2)
        assert.match(elsewhere.stderr, /available: .*handbook \(dts_handbook\)/)
      }))
  })

  it.scopedLive("sync: plans, writes changes, and deletes only missing documents that it has written", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const env = variables(dust)
      const folder = `${line.directory}/guides`
      mkdirSync(`${folder}/sub`, { recursive: true })
      mkdirSync(`${folder}/node_modules`, { recursive: true })
      writeFileSync(`${folder}/a.md`, "# First\n\nText.\n")
      writeFileSync(`${folder}/sub/b.txt`, "Second\n")
      writeFileSync(`${folder}/image.png`, "no text")
      writeFileSync(`${folder}/node_modules/readme.md`, "not yours")
      const sync = (...more: ReadonlyArray<string>) =>
        run(line, ["sync", "guides", "-d", "handbook", "--prefix", "g/", ...more], { env })
      const planned = yield* sync("--dry-run")
      assert.deepStrictEqual([planned.code, planned.stdout], [0, "+ g/a.md\n+ g/sub/b.txt\n"])
      assert.match((yield* sync()).stderr, /2 written, 0 unchanged, 0 deleted, 0 failed/)
      writeFileSync(`${folder}/sub/b.txt`, "Changed\n")
      execFileSync("rm", [`${folder}/a.md`])
      const again = yield* sync("--delete", "--json")
      const last = JSON.parse(again.stdout.trim().split("\n").at(-1) ?? "")
      assert.strictEqual(last._tag, "Done")
      assert.deepInclude(last.progress, { upserted: 1, skipped: 0, deleted: 1, failed: 0 })
      const passages = yield* run(line, ["search", "-d", "handbook", "travel"], { env })
      assert.include(passages.stdout, "Travel")
    }))

  it.scopedLive("sync: reports broken links, folders linked in a circle and binary files, and syncs the rest", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const env = variables(dust)
      const folder = `${line.directory}/odd`
      mkdirSync(`${folder}/sub`, { recursive: true })
      writeFileSync(`${folder}/good.md`, "# Good\n")
      writeFileSync(`${folder}/sub/utf16.txt`, Buffer.from("\uFEFFGrüße", "utf16le"))
      writeFileSync(`${folder}/latin.md`, Buffer.from("caf\xe9", "latin1"))
      writeFileSync(`${folder}/binary.md`, Buffer.from([104, 0, 105]))
      writeFileSync(`${folder}/two\nlines.md`, "Odd name\n")
      symlinkSync("/nowhere", `${folder}/dangling.md`)
      symlinkSync(".", `${folder}/circle`)
      const first = yield* run(line, ["sync", "odd", "-d", "handbook", "--prefix", "odd/"], { env })
      assert.deepStrictEqual([first.code, first.stderr.trim().split("\n")], [1, [
        "✗ dangling.md: no such file",
        "✗ binary.md: must be text in UTF-8 or UTF-16",
        "✗ latin.md: must be text in UTF-8 or UTF-16",
        "3 written, 0 unchanged, 0 deleted, 3 failed",
        "effect-dust: 3 of 6 documents failed; run the same command again to retry only those"
      ]])
      const found = yield* run(line, ["search", "-d", "handbook", "Grüße"], { env })
      assert.match(found.stdout, /Grüße/)
      // A file that cannot be read any longer, or is not asked for, is not gone.
      writeFileSync(`${folder}/good.md`, Buffer.from([0]))
      writeFileSync(`${folder}/new.md`, "# New\n")
      rmSync(`${folder}/two\nlines.md`)
      const planned = yield* run(
        line,
        ["sync", "odd", "-d", "handbook", "--prefix", "odd/", "--ext", "md", "--delete", "--dry-run"],
        { env }
      )
      assert.strictEqual(planned.stdout, "+ odd/new.md\n- odd/two lines.md\n")
      assert.strictEqual(planned.code, 1)
      assert.match(planned.stderr, /4 of 5 documents would fail\n$/)
    }))

  it.scopedLive("sync and load: refuse a source without files or rows unless --allow-empty, and create nothing", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const env = variables(dust)
      mkdirSync(`${line.directory}/empty`, { recursive: true })
      writeFileSync(`${line.directory}/header.csv`, "id,name\n")
      const folder = yield* run(line, ["sync", "empty", "-d", "handbook"], { env })
      assert.deepStrictEqual([folder.code, folder.stderr], [
        2,
        "effect-dust: empty: no file with the extension md, mdx, markdown, txt, html, htm; see --ext and --allow-empty\n"
      ])
      for (const more of [[], ["--replace"]]) {
        const { code, stderr } = yield* run(line, ["load", "header.csv", "-d", "handbook", ...more], { env })
        assert.deepStrictEqual([code, stderr], [
          1,
          "effect-dust: header.csv: no rows; nothing was written (see --allow-empty)\n"
        ])
      }
      assert.strictEqual((yield* dust.requests({ method: "POST" })).length, 0)
      assert.strictEqual((yield* run(line, ["sync", "empty", "-d", "handbook", "--allow-empty"], { env })).code, 0)
      const loaded = yield* run(line, ["load", "header.csv", "-d", "handbook", "--allow-empty"], { env })
      assert.deepStrictEqual([loaded.code, loaded.stderr], [0, "0 rows written, 0 in the table\n"])
    }))

  it.scopedLive("sync and load: refuse to delete more than half, and name the option that allows it", () =>
    Effect.gen(function*() {
      const env = variables(yield* local)
      const folder = `${line.directory}/shrinking`
      mkdirSync(folder)
      for (const name of "abc") writeFileSync(`${folder}/${name}.md`, `# ${name}\n`)
      const sync = (...more: ReadonlyArray<string>) =>
        run(line, ["sync", "shrinking", "-d", "handbook", "--delete", ...more], { env })
      assert.strictEqual((yield* sync()).code, 0)
      for (const name of "bc") rmSync(`${folder}/${name}.md`)
      for (const more of [["--dry-run"], []]) {
        const { code, stderr } = yield* sync("--max-deletions", "1", ...more)
        assert.strictEqual(code, 1)
        assert.match(stderr, /effect-dust: shrinking: .*would delete 2 .*at most 1 .*, or raise --max-deletions\n$/)
      }
      assert.strictEqual((yield* sync("--max-deletions", "2")).code, 0)
      writeFileSync(`${line.directory}/shrinking.csv`, "id\n1\n2\n3\n4\n")
      const load = (...more: ReadonlyArray<string>) =>
        run(line, ["load", "shrinking.csv", "-d", "handbook", "--row-id", "id", "--replace", ...more], { env })
      assert.strictEqual((yield* load()).code, 0)
      writeFileSync(`${line.directory}/shrinking.csv`, "id\n1\n")
      const refused = yield* load()
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /would delete 3 of 4 rows.*, or raise --max-deletions\n$/)
      const allowed = yield* load("--max-deletions", "75%")
      assert.deepStrictEqual([allowed.code, allowed.stderr], [0, "1 rows written, 3 deleted, 1 in the table\n"])
    }))

  it.scopedLive("sync: code 1 if a document fails, and it names the document", () =>
    Effect.gen(function*() {
      const dust = yield* local
      const env = variables(dust)
      yield* dust.fault({
        method: "POST",
        path: /\/documents\/refused\.md$/,
        fault: DustTest.faults.status(400)
      })
      mkdirSync(`${line.directory}/bad`, { recursive: true })
      writeFileSync(`${line.directory}/bad/refused.md`, "# Refused\n")
      writeFileSync(`${line.directory}/bad/good.md`, "# Good\n")
      const { code, stderr } = yield* run(line, ["sync", "bad", "-d", "handbook"], { env })
      assert.strictEqual(code, 1)
      assert.match(stderr, /✗ refused\.md: /)
      assert.match(stderr, /1 of 2 documents failed; run the same command again/)
    }))

  it.scopedLive("load: a file or stdin into a table that is created", () =>
    Effect.gen(function*() {
      const env = variables(yield* local)
      const csv = "Name;Größe\nAda;1,7\nGrace;1,6\n"
      writeFileSync(`${line.directory}/people.csv`, csv)
      const file = yield* run(line, ["load", "people.csv", "-d", "handbook"], { env })
      assert.deepStrictEqual([file.code, file.stdout], [0, ""])
      assert.match(file.stderr, /Columns: Name → name, Größe → grosse\n2 rows written, 2 in the table/)
      const piped = yield* run(line, ["load", "-", "-d", "handbook", "-t", "people", "--replace", "--json"], {
        env,
        stdin: `${csv}Mary;1,5\n`
      })
      const done = JSON.parse(piped.stdout.trim().split("\n").at(-1) ?? "")
      assert.deepInclude(done, { _tag: "Done", rows: 3, deleted: 0, rowsInTable: 3 })
      const missing = yield* run(line, ["load", "nope.csv", "-d", "handbook"], { env })
      assert.deepStrictEqual([missing.code, missing.stderr], [
        2,
        "effect-dust: nope.csv: no such file; use - for stdin\n"
      ])
    }))

  it.scopedLive("export: an agent, analytics and consumption, to stdout or a file", () =>
    Effect.gen(function*() {
      const env = variables(yield* local, "adminApiKey")
      const agent = yield* run(line, ["export", "agent", "dust"], { env })
      assert.match(agent.stdout, /^agent:\n {2}handle: "dust"/)
      const analytics = yield* run(line, ["export", "analytics", "agents", "--output", "agents.csv"], { env })
      assert.deepStrictEqual(analytics, { code: 0, stdout: "", stderr: "" })
      assert.match(readFileSync(`${line.directory}/agents.csv`, "utf8"), /^agentId,name/)
      const consumption = yield* run(line, ["export", "consumption"], { env })
      assert.strictEqual(consumption.code, 0, consumption.stderr)
      assert.isAbove(consumption.stdout.split("\n")[0]?.split(",").length ?? 0, 3)
    }))

  describe("serve", () => {
    it.scopedLive("serves until it is interrupted, with streams still open", () =>
      Effect.gen(function*() {
        const { child, ended, says } = yield* start(line, ["serve", "--port", "0"])
        const said = yield* says(/Ctrl-C/)
        const variable = (name: string) => new RegExp(`export ${name}=(.*)`).exec(said)?.[1] ?? ""
        const env = Object.fromEntries(
          ["DUST_BASE_URL", "DUST_WORKSPACE_ID", "DUST_API_KEY"].map((name) => [name, variable(name)])
        )
        const asked = yield* run(line, ["ask", "-a", "echo", "Hello", "--json"], { env })
        const { conversationId } = JSON.parse(asked.stdout.split("\n")[0] ?? "")
        const stream = yield* Effect.promise(() =>
          fetch(`${env["DUST_BASE_URL"]}/api/v1/w/LocalDust1/assistant/conversations/${conversationId}/events`, {
            headers: { authorization: `Bearer ${env["DUST_API_KEY"]}` }
          })
        )
        assert.strictEqual(stream.status, 200)
        child.kill("SIGINT")
        assert.strictEqual((yield* ended).code, 0)
      }))

    it.scopedLive("--no-limits: more than 100 messages a minute; a public address is a warning", () =>
      Effect.gen(function*() {
        const { says } = yield* start(line, ["serve", "--port", "0", "--host", "0.0.0.0", "--no-limits"])
        const said = yield* says(/Ctrl-C/)
        assert.match(said, /Warning: 0\.0\.0\.0 may be reachable from other machines/)
        const variable = (name: string) => new RegExp(`export ${name}=(.*)`).exec(said)?.[1] ?? ""
        const base = `${variable("DUST_BASE_URL")}/api/v1/w/${variable("DUST_WORKSPACE_ID")}/assistant/conversations`
        const headers = { authorization: `Bearer ${variable("DUST_API_KEY")}`, "content-type": "application/json" }
        const statuses = yield* Effect.promise(async () => {
          const created = await fetch(base, { method: "POST", headers, body: "{}" })
          const { conversation } = await created.json() as { readonly conversation: { readonly sId: string } }
          const body = JSON.stringify({ content: "x", mentions: [], context: { username: "ada", timezone: "UTC" } })
          const send = () => fetch(`${base}/${conversation.sId}/messages`, { method: "POST", headers, body })
          const all: Array<number> = []
          for (let i = 0; i < 105; i++) all.push((await send()).status)
          return all
        })
        assert.deepStrictEqual([...new Set(statuses)], [200])
      }))

    it.scopedLive("--agents, --seed, --quirk: a workspace from files, with the address of its page", () =>
      Effect.gen(function*() {
        const folder = mkdtempSync(`${tmpdir()}/serve-`)
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
        writeFileSync(`${folder}/agents.mjs`, `export default { helper: "I can help" }`)
        writeFileSync(`${folder}/seed.json`, `{"conversations":[{"sId":"cnv_1","title":"Seeded"}]}`)
        const files = ["--agents", `${folder}/agents.mjs`, "--seed", `${folder}/seed.json`]
        const { says } = yield* start(line, ["serve", "--port", "0", ...files, "--quirk", "handshake=false"])
        const said = yield* says(/Ctrl-C/)
        assert.include(said, "Agents: dust, echo, helper.")
        const env = Object.fromEntries([...said.matchAll(/export (\w+)=(.*)/g)].map(([, name, value]) => [name, value]))
        assert.strictEqual((yield* run(line, ["ask", "-a", "helper", "Hello"], { env })).stdout, "I can help\n")
        const view = /contents: (\S+)/.exec(said)?.[1] ?? ""
        const state = yield* Effect.promise(async () => (await fetch(`${view}/state`)).text())
        assert.include(state, "Seeded")
        const port = new URL(view).port
        const { stderr } = yield* run(line, ["serve", "--port", port])
        assert.include(stderr, `address already in use 127.0.0.1:${port}; choose another with --port\n`)
      }))

    it.effect("code 2: a quirk that the server does not have", () =>
      Effect.gen(function*() {
        const { code, stderr } = yield* run(line, ["serve", "--port", "0", "--quirk", "handshakes=false"])
        assert.strictEqual(code, 2)
        assert.match(stderr, /handshakes is not a quirk; similar: handshake, /)
      }))

    it.effect("code 1: an address that is not this machine's", () =>
      Effect.gen(function*() {
        const { code, stderr } = yield* run(line, ["serve", "--host", "192.0.2.1"])
        assert.strictEqual(code, 1)
        assert.match(stderr, /^effect-dust: Local Dust cannot listen: .*192\.0\.2\.1.*\n$/)
      }))
  })
})

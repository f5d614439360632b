/** A question with a key is there once, at whatever step its process is killed. `KILLS=500` kills that often; `npm test` once at each step. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { rmSync } from "node:fs"
import { compile, run as runChild } from "../support/child.ts"

// @effect-diagnostics-next-line processEnv:off
const wanted = Number(process.env["KILLS"] ?? 0)

const idsIn = (output: string) => ({ ...JSON.parse(output), steps: 0 })

describe("a question with a key", () => {
  let compiled: string
  beforeAll(async () => {
    compiled = await compile("startChild")
  })
  afterAll(() => rmSync(compiled, { recursive: true, force: true }))

  const run = (options: object) => runChild(compiled, options)

  for (const where of ["a conversation of its own", "a given conversation"]) {
    it.live(`is there once in ${where}, at whatever step its process is killed with -9`, () =>
      Effect.gen(function*() {
        const dust = yield* DustTest.serve({
          limits: false,
          seed: { conversations: [{ sId: "given", messages: [] }] }
        })
        let kills = 0
        let runs = 0
        /** Killed at a step, and started again. Returns how many steps a whole start has. */
        const attempt = (killAt: number) =>
          Effect.gen(function*() {
            const key = `${where === "a given conversation" ? "given" : "own"}-${runs++}-${killAt}`
            const directory = `${compiled}/${key}`
            const options = {
              key,
              directory,
              url: dust.url,
              workspaceId: dust.workspaceId,
              apiKey: Redacted.value(dust.apiKey),
              settle: "500 millis",
              conversationId: where === "a given conversation" ? "given" : undefined
            }
            const first = yield* run({ ...options, killAt })
            if (first.signal !== undefined) kills++
            else assert.strictEqual(first.errors, "")
            const second = yield* run(options)
            assert.strictEqual(second.errors, "", key)
            if (killAt === -1) assert.deepStrictEqual(idsIn(first.output), idsIn(second.output))
            const { conversationId, messageId, userMessageId } = JSON.parse(second.output)
            const asked = (yield* dust.userMessages()).filter(({ content }) => content === `Question ${key}`)
            assert.deepStrictEqual(asked.map(({ sId }) => sId), [userMessageId], key)
            const answers = (yield* dust.agentMessages(conversationId)).map(({ sId }) => sId)
            assert.include(answers, messageId, key)
            return Number(JSON.parse(first.signal === undefined ? first.output : second.output).steps)
          })
        const steps = yield* attempt(-1)
        assert.isAbove(steps, 15)
        yield* Effect.forEach(
          Array.from({ length: Math.max(steps, Math.ceil(wanted / 2)) }, (_, index) => index % steps),
          attempt,
          { concurrency: wanted > 0 ? 4 : 2, discard: true }
        )
        assert.strictEqual(kills, Math.max(steps, Math.ceil(wanted / 2)))
        if (wanted > 0) console.log(`${where}: ${kills} kills at ${steps} steps, one message each`)
      }).pipe(Effect.scoped), wanted > 0 ? 1_800_000 : 300_000)
  }
})

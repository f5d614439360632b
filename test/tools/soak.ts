/** The whole application under a misbehaving proxy, seed after seed: `npm run soak -- [minutes] [first seed] [rough or harsh]`. */
import { Effect } from "effect"
import { run } from "../support/application.ts"
import { harsh, rough } from "../support/applicationPlans.ts"

const minutes = Number(process.argv[2] ?? 5)
const first = Number(process.argv[3] ?? 1)
const plan = process.argv[4] === "harsh" ? harsh : rough
const end = Date.now() + minutes * 60_000
const never = ["defects", "doubled", "foreign", "killed", "lost", "orphaned", "sockets", "wrong"] as const

const sum: Record<string, number> = {}
for (let seed = first; Date.now() < end; seed++) {
  const counts = await Effect.runPromise(run({
    ...plan(seed),
    lives: 4,
    work: 18,
    total: 30_000,
    report: (line) => console.log(`  seed ${seed}: ${line}`)
  }))
  for (const [name, value] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + value
  console.log(JSON.stringify({ seed, ...counts }))
}
console.log(JSON.stringify({ sum }))
if (never.some((name) => sum[name] !== 0)) process.exitCode = 1

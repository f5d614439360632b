/** One group of figures, in a process of its own: `figures.js <group> <base url> [--quick]`. */
import { bare, type Client, official, ours } from "./clients.ts"
import { type Cost, type Figure, interleaved, median, reachable, round, timed } from "./measure.ts"

const [group = "", baseUrl = "", mode] = process.argv.slice(2)
const quick = mode === "--quick"

const report = (figure: Figure) =>
  process.stdout.write(`${
    JSON.stringify({
      ...figure,
      vsBare: figure.bare === undefined ? undefined : round(figure.ours / figure.bare),
      vsOfficial: figure.official === undefined ? undefined : round(figure.official / figure.ours)
    })
  }\n`)

const atMost = (what: string, value: number, limit: number) => ({
  text: `${what} <= ${limit}`,
  met: value <= limit
})
const atLeast = (what: string, value: number, limit: number) => ({
  text: `${what} >= ${limit}`,
  met: value >= limit
})

const expect = (actual: number, expected: number) => {
  if (actual !== expected) throw new Error(`expected ${expected}, got ${actual}`)
}

const clients = {
  undici: ours(baseUrl, "undici"),
  fetch: ours(baseUrl, "fetch"),
  bare: bare(baseUrl),
  official: official(baseUrl)
}

const each = <A>(f: (client: Client) => A) => ({
  undici: f(clients.undici),
  fetch: f(clients.fetch),
  bare: f(clients.bare),
  official: f(clients.official)
})

const streaming = async () => {
  const events = quick ? 2_000 : 20_000
  for (const mix of ["tokens", "mixed"]) {
    for (const chunking of ["bulk", "each", "live"]) {
      const scenario = `stream.${mix}.${events}.${chunking}`
      const costs = await interleaved(
        quick ? 5 : 11,
        each((client) => async () => expect(await client.events(scenario), events)),
        { warmUp: quick ? 3 : 10, officialRounds: 2 }
      )
      const perEvent = (cost: Cost) => (cost.cpu * 1000) / events
      for (const transport of ["undici", "fetch"] as const) {
        const our = perEvent(costs[transport])
        report({
          figure: `stream ${mix === "mixed" ? "95% tokens + tools" : "tokens only"}, ${
            { bulk: "64 KiB chunks", each: "one event per chunk", live: "one event at a time" }[chunking]
          } (${transport})`,
          unit: "µs CPU per event",
          ours: round(our),
          bare: round(perEvent(costs.bare)),
          official: round(perEvent(costs.official)),
          targets: [
            atMost("times bare", our / perEvent(costs.bare), 2),
            // Its parser copies what is left of a chunk for every event in it: with one event per chunk, there is nothing.
            ...chunking === "bulk" ? [atLeast("times less than official", perEvent(costs.official) / our, 15)] : []
          ],
          note: `wall ms: ours ${round(costs[transport].wall)}, bare ${round(costs.bare.wall)}, official ${
            round(costs.official.wall)
          }`
        })
      }
    }
  }
}

const large = async () => {
  const size = quick ? 2 : 8
  const scenario = `large.${size * 1024 * 1024}`
  const { fetch, undici, bare } = await interleaved(quick ? 3 : 9, {
    undici: async () => expect(await clients.undici.events(scenario), 2),
    fetch: async () => expect(await clients.fetch.events(scenario), 2),
    bare: async () => expect(await clients.bare.events(scenario), 2)
  }, { warmUp: quick ? 3 : 8 })
  const bound = quick ? 2_000 : 30_000
  const start = performance.now()
  const over = await Promise.race([
    clients.official.events(scenario).then(() => false),
    new Promise<boolean>((resolve) => setTimeout(resolve, bound, true))
  ])
  const took = performance.now() - start
  for (const [transport, cost] of Object.entries({ undici, fetch })) {
    report({
      figure: `one event of ${size} MB in 1 KiB chunks (${transport})`,
      unit: "ms",
      ours: round(cost.wall),
      bare: round(bare.wall),
      official: round(took),
      targets: [atMost("ms", cost.wall, (150 * size) / 8)],
      note: over ? "official: stopped, it was not finished" : "official: one run"
    })
  }
}

const history = async () => {
  const events = 1_000
  const pages = events / 50
  const scenario = `history.${events}`
  const delay = 20
  const hasty = official(baseUrl, delay)
  const costs = await interleaved(quick ? 3 : 9, {
    undici: async () => expect(await clients.undici.events(scenario), events),
    fetch: async () => expect(await clients.fetch.events(scenario), events),
    bare: async () => expect(await clients.bare.events(scenario), events),
    official: async () => expect(await hasty.events(scenario), events)
  }, { warmUp: quick ? 2 : 5, officialRounds: 3 })
  const patient = costs.official.wall + (pages - 1) * (5_000 - delay)
  for (const transport of ["undici", "fetch"] as const) {
    report({
      figure: `history of ${events} events, pages of 50 (${transport})`,
      unit: "ms",
      ours: round(costs[transport].wall),
      bare: round(costs.bare.wall),
      official: round(patient),
      targets: [atMost("ms, no pause between pages", costs[transport].wall, 1_000)],
      note: `official: run with pauses of ${delay} ms instead of its 5 s, the difference added ${pages - 1} times`
    })
  }
}

let stops = 0
const stopTime = async (client: Client, bound: number): Promise<number> => {
  const id = `${group}${stops++}`
  const stop = await client.follow(`silent.${id}`)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const start = process.hrtime.bigint()
  await stop()
  for (const end = performance.now() + bound; performance.now() < end;) {
    const at = await (await fetch(`${baseUrl}/closed/${id}`)).text()
    if (at !== "") return Number(BigInt(at) - start) / 1e6
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return bound
}

const stop = async () => {
  const times = { undici: [] as Array<number>, fetch: [] as Array<number>, bare: [] as Array<number> }
  for (let i = 0; i < (quick ? 5 : 30); i++) {
    for (const name of ["undici", "fetch", "bare"] as const) times[name].push(await stopTime(clients[name], 5_000))
  }
  const bound = quick ? 500 : 3_000
  const never = await stopTime(clients.official, bound)
  for (const transport of ["undici", "fetch"] as const) {
    const worst = Math.max(...times[transport])
    report({
      figure: `interrupt to socket closed (${transport})`,
      unit: "ms",
      ours: round(median(times[transport])),
      bare: round(median(times.bare)),
      official: round(never),
      targets: [atMost("ms at worst", round(worst), 50)],
      note: `worst ${round(worst)} ms; official: left its loop${never >= bound ? ", and the socket stayed open" : ""}`
    })
  }
}

const read = async () => {
  const megabytes = quick ? 1 : 4
  const scenario = `conversation.${megabytes * 1024 * 1024}`
  const count = await clients.bare.conversation(scenario)
  const costs = await interleaved(
    quick ? 5 : 15,
    each((client) => async () => expect(await client.conversation(scenario), count)),
    { warmUp: quick ? 2 : 5 }
  )
  for (const transport of ["undici", "fetch"] as const) {
    report({
      figure: `read a conversation of ${megabytes} MB (${transport})`,
      unit: "ms CPU",
      ours: round(costs[transport].cpu),
      bare: round(costs.bare.cpu),
      official: round(costs.official.cpu),
      targets: [atLeast("times less than official", costs.official.cpu / costs[transport].cpu, 2)],
      note: `wall ms: ours ${round(costs[transport].wall)}, bare ${round(costs.bare.wall)}, official ${
        round(costs.official.wall)
      }`
    })
  }
}

const flat = async () => {
  const events = quick ? 200_000 : 1_000_000
  for (const transport of ["undici", "fetch"] as const) {
    const samples: Array<number> = []
    expect(await clients[transport].events(`endless.${events}`, () => samples.push(reachable())), events)
    const half = samples.length >> 1
    const growth = Math.max(...samples.slice(half)) - Math.max(...samples.slice(0, half))
    report({
      figure: `memory over ${events.toLocaleString("en")} events (${transport})`,
      unit: "KiB more in the second half",
      ours: Math.round(growth),
      targets: [atMost("KiB", Math.round(growth), 512)],
      note: `reachable: ${Math.round(samples[0]!)} KiB after the first sample, ${
        Math.round(samples.at(-1)!)
      } KiB at the end`
    })
  }
}

const concurrent = async () => {
  const streams = quick ? 500 : 10_000
  const opened = async (client: Client) => {
    const id = `many${stops++}`
    await (await client.follow(`silent.${id}warm`))()
    const before = reachable()
    const handles: Array<() => Promise<void>> = []
    const opening = await timed(async () => {
      for (let i = 0; i < streams; i += 100) {
        handles.push(
          ...await Promise.all(Array.from({ length: 100 }, (_, j) => client.follow(`silent.${id}s${i + j}`)))
        )
      }
    })
    const kib = (reachable() - before) / streams
    const closing = await timed(() => Promise.all(handles.map((stop) => stop())))
    while (await (await fetch(`${baseUrl}/streams`)).text() !== "0") {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return { kib, opening, closing }
  }
  const plain = await opened(clients.bare)
  for (const transport of ["undici", "fetch"] as const) {
    const { closing, kib, opening } = await opened(clients[transport])
    report({
      figure: `memory of ${streams.toLocaleString("en")} open streams (${transport})`,
      unit: "KiB per stream",
      ours: round(kib),
      bare: round(plain.kib),
      targets: [atMost("KiB", kib, 100)],
      note: `µs CPU to open one: ours ${round((opening.cpu * 1000) / streams)}, bare ${
        round((plain.opening.cpu * 1000) / streams)
      }; all stopped in ${Math.round(closing.wall)} ms`
    })
  }
}

const groups: Readonly<Record<string, () => Promise<void>>> = {
  streaming,
  large,
  history,
  stop,
  read,
  flat,
  concurrent
}

await groups[group]!()
process.exit(0)

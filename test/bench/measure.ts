/** How figures are taken: one process, the candidates in turn, again and again, the median. */

export interface Cost {
  /** Milliseconds of all threads of this process. */
  readonly cpu: number
  readonly wall: number
}

export const timed = async (work: () => Promise<unknown>): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await work()
  const wall = performance.now() - start
  const used = process.cpuUsage(cpu)
  return { cpu: (used.user + used.system) / 1000, wall }
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/**
 * Each candidate once per round, so that whatever disturbs the machine disturbs all of them; after as many rounds as it
 * takes to have compiled what is going to run. The official client, which takes that long for one round, gets fewer.
 */
export const interleaved = async <Name extends string>(
  rounds: number,
  candidates: Readonly<Record<Name, () => Promise<unknown>>>,
  options: { readonly warmUp: number; readonly officialRounds?: number }
): Promise<Readonly<Record<Name, Cost>>> => {
  const names = Object.keys(candidates) as Array<Name>
  const costs = Object.fromEntries(names.map((name) => [name, [] as Array<Cost>])) as Record<Name, Array<Cost>>
  const within = (name: Name, round: number, officialRounds: number) => name !== "official" || round < officialRounds
  for (let round = 0; round < options.warmUp; round++) {
    for (const name of names) if (within(name, round, 1)) await candidates[name]()
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      if (within(name, round, options.officialRounds ?? rounds)) costs[name].push(await timed(candidates[name]))
    }
  }
  return Object.fromEntries(names.map((name) => [name, {
    cpu: median(costs[name].map((cost) => cost.cpu)),
    wall: median(costs[name].map((cost) => cost.wall))
  }])) as Record<Name, Cost>
}

/** Kilobytes that are reachable, JavaScript objects and buffers. */
export const reachable = (): number => {
  globalThis.gc!()
  globalThis.gc!()
  const usage = process.memoryUsage()
  return (usage.heapUsed + usage.external) / 1024
}

export interface Figure {
  readonly figure: string
  readonly unit: string
  readonly ours: number
  readonly bare?: number | undefined
  readonly official?: number | undefined
  readonly targets?:
    | ReadonlyArray<{
      readonly text: string
      readonly met: boolean
    }>
    | undefined
  readonly note?: string | undefined
}

export const round = (value: number): number => Number(value.toPrecision(3))

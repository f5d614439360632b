/** What a whole application goes through, in short and at length. */
import type { Options } from "./application.ts"
import * as Proxy from "./proxy.ts"

/** Troubles of requests that only read: nearly everything. */
const reading: ReadonlyArray<Proxy.Trouble> = [
  Proxy.delay({ request: 50, response: 50 }),
  Proxy.resetBefore,
  Proxy.resetAfter,
  Proxy.gateway(502),
  Proxy.gateway(504, { after: 100, origin: 0 }),
  Proxy.gateway(520),
  Proxy.challenge(503),
  Proxy.cutBytes(40),
  Proxy.cutEvents(3),
  Proxy.drip(64, 1),
  Proxy.buffer,
  Proxy.comments(20),
  Proxy.skewDate(-90),
  Proxy.skewDate(3_600),
  Proxy.slowClose(50)
]

/** Troubles of messages: lost requests, lost answers, and handlers that are slower than the gateway. */
const writing: ReadonlyArray<Proxy.Trouble> = [
  Proxy.delay({ response: 100 }),
  Proxy.resetBefore,
  Proxy.resetAfter,
  Proxy.cutBytes(10),
  Proxy.gateway(502, { origin: 300 }),
  Proxy.gateway(504, { after: 50, origin: 0 }),
  Proxy.gateway(524, { origin: 800 }),
  Proxy.skewDate(-90)
]

/** Nothing is slow but the machine. */
export const calm = (seed: number): Options => ({
  seed,
  lives: 2,
  work: 9,
  rate: 0,
  headers: 60_000,
  total: 100_000,
  reading: [],
  writing: []
})

/** Every trouble ends by itself, long before the limits: a slow machine fails nothing that a fast one does not. */
export const rough = (seed: number): Options => ({
  ...calm(seed),
  rate: 0.2,
  headers: 15_000,
  total: 15_000,
  reading,
  writing
})

/** What gateways and caches add to that: handlers that are far slower than they, old answers, unasked compression. */
export const harsh = (seed: number): Options => ({
  ...rough(seed),
  headers: 2_000,
  total: 10_000,
  reading: [
    ...reading,
    Proxy.compress("gzip"),
    Proxy.compress("br"),
    Proxy.cache(120),
    Proxy.halfOpen(),
    Proxy.idleCut(200),
    Proxy.challenge()
  ],
  writing: [
    ...writing,
    Proxy.compress("deflate"),
    Proxy.gateway(500, { origin: 4_000 }),
    Proxy.gateway(502, { origin: 6_000 }),
    Proxy.gateway(524, { origin: 12_000 }),
    Proxy.halfOpen({ forwarded: true })
  ]
})

/**
 * A misbehaving reverse proxy on loopback. Put it between any client and a server on a port, usually Local Dust:
 *
 * ```ts
 * const local = yield* DustTest.serve()
 * const proxy = yield* Proxy.make({
 *   origin: local.url,
 *   rules: [{ method: "POST", path: /\/messages$/, nth: 1, trouble: Proxy.gateway(524, { after: 50, origin: 2000 }) }]
 * })
 * const layer = Dust.layer({ workspaceId: local.workspaceId, apiKey: local.apiKey, baseUrl: proxy.url })
 * ```
 *
 * Every rule that matches a request applies. The first one that answers by itself decides how; those that change an answer
 * apply one after the other, in the order of the rules.
 */
import { Effect, type Scope } from "effect"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { forward, respond, type Stage, type Stored } from "./proxyAnswer.ts"
import { random, type Trouble } from "./proxyTrouble.ts"

export * from "./proxyTrouble.ts"

export interface Rule {
  readonly method?: string
  /** Tested against path and query. */
  readonly path?: RegExp
  /** The requests that the other conditions match, counted from 1; all of them without it. */
  readonly nth?: number | ReadonlyArray<number>
  /** A function is asked at each request: `undefined` leaves it alone. */
  readonly trouble: Trouble | ((request: { readonly method: string; readonly url: string }) => Trouble | undefined)
}

/** A rule that troubles a share of the requests, decided by the seed and by how many requests came before. */
export const randomly = (
  options: Omit<Rule, "trouble" | "nth"> & {
    readonly seed: number
    /** From 0 to 1. */
    readonly rate: number
    readonly troubles: ReadonlyArray<Trouble>
  }
): Rule => {
  const { rate, seed, troubles, ...when } = options
  const next = random(seed)
  return {
    ...when,
    trouble: () => {
      const hit = next() < rate
      const which = Math.floor(next() * troubles.length)
      return hit ? troubles[which] : undefined
    }
  }
}

export interface Counts {
  requests: number
  /** Requests that the origin has got. */
  forwarded: number
  /** Requests whose client left before the answer was complete. */
  abandoned: number
  /** Connections refused by the limit. */
  refused: number
  /** How often each trouble was applied. */
  readonly troubles: Partial<Record<Trouble["_tag"], number>>
}

export interface Options {
  /** Where requests go, such as `http://127.0.0.1:1234`. */
  readonly origin: string
  readonly rules?: ReadonlyArray<Rule>
  /** Connections beyond this many at once are reset. */
  readonly connections?: number
}

export interface Proxy {
  readonly url: string
  readonly port: number
  readonly counts: Readonly<Counts>
  /** Connections of clients that are open now. */
  readonly sockets: () => number
  /** Connections to the origin that are open now. */
  readonly upstream: () => number
  /** Replaces the rules; their counts start again. */
  readonly setRules: (rules: ReadonlyArray<Rule>) => void
  /** Resets every connection of a client, now. */
  readonly cutAll: () => void
  /** Waits until the origin has answered everything, also what no client waits for. */
  readonly settled: Effect.Effect<void>
}

interface Counted {
  readonly rule: Rule
  seen: number
}

const matching = (rules: ReadonlyArray<Counted>, method: string, url: string): ReadonlyArray<Trouble> =>
  rules.flatMap((one) => {
    const { method: wanted, nth, path, trouble } = one.rule
    if (wanted !== undefined && wanted !== method) return []
    if (path !== undefined && !path.test(url)) return []
    one.seen++
    if (nth !== undefined && !(typeof nth === "number" ? [nth] : nth).includes(one.seen)) return []
    const chosen = typeof trouble === "function" ? trouble({ method, url }) : trouble
    return chosen === undefined ? [] : [chosen]
  })

/** A proxy in front of `origin`, until the scope closes. Then no socket and no timer of it is left. */
export const make = (options: Options): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.map(Effect.acquireRelease(start(options), ({ stop }) => stop), ({ proxy }) => proxy)

const start = (options: Options) =>
  Effect.async<{ readonly proxy: Proxy; readonly stop: Effect.Effect<void> }>((resume) => {
    const origin = new URL(options.origin)
    const counts: Counts = { requests: 0, forwarded: 0, abandoned: 0, refused: 0, troubles: {} }
    const count = (trouble: Trouble) => {
      counts.troubles[trouble._tag] = (counts.troubles[trouble._tag] ?? 0) + 1
    }
    let rules: ReadonlyArray<Counted> = []
    const setRules = (all: ReadonlyArray<Rule>) => {
      rules = all.map((rule) => ({ rule, seen: 0 }))
    }
    setRules(options.rules ?? [])
    const clients = new Set<Socket>()
    const upstream = new Set<Socket>()
    const cached = new Map<string, Stored>()
    const stopping = new AbortController()
    const pending = new Set<Promise<unknown>>()
    const agent = new Http.Agent({ keepAlive: false })

    const server = Http.createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
      counts.requests++
      const url = request.url ?? "/"
      const method = request.method ?? "GET"
      const troubles = matching(rules, method, url)
      const leaving = new AbortController()
      response.on("error", () => undefined)
      request.on("error", () => undefined)
      response.on("close", () => {
        if (!response.writableFinished) counts.abandoned++
        leaving.abort()
      })
      const stage: Stage = {
        request,
        response,
        troubles,
        count,
        cached,
        self: `http://${request.headers.host}`,
        origin: origin.origin,
        left: AbortSignal.any([leaving.signal, stopping.signal]),
        stopping: stopping.signal,
        forward: (body, signal) => {
          counts.forwarded++
          return forward({ agent, body, method, origin, request, signal, sockets: upstream, url })
        },
        background: (work) => {
          const settled = work.catch(() => undefined).finally(() => pending.delete(settled))
          pending.add(settled)
        }
      }
      stage.background(respond(stage))
    })
    server.on("clientError", (_, socket) => socket.destroy())
    server.on("connection", (socket) => {
      if (options.connections !== undefined && clients.size >= options.connections) {
        counts.refused++
        socket.resetAndDestroy()
        return
      }
      clients.add(socket)
      socket.on("error", () => undefined)
      socket.on("close", () => clients.delete(socket))
    })
    const cutAll = () => {
      for (const socket of clients) socket.resetAndDestroy()
    }
    const settled = Effect.promise(async () => {
      while (pending.size > 0) await Promise.all(pending)
    })
    const stop = Effect.promise(async () => {
      stopping.abort()
      server.close()
      const open = [...clients, ...upstream]
      for (const socket of open) socket.destroy()
      agent.destroy()
      await Promise.all(open.map((socket) => new Promise((resolve) => socket.once("close", resolve))))
      await Promise.all(pending)
    })
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed({
        stop,
        proxy: {
          url: `http://127.0.0.1:${port}`,
          port,
          counts,
          sockets: () => clients.size,
          upstream: () => upstream.size,
          setRules,
          cutAll,
          settled
        }
      }))
    })
  })

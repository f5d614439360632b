/**
 * One whole application under a misbehaving proxy: two tenants in one graph and a LayerMap of them, chats, approvals, people
 * who leave, answers continued after restarts, syncs and searches. It counts what must never happen.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Cause, Chunk, Context, Effect, Exit, Layer, LayerMap, ManagedRuntime, Option, Redacted, Stream } from "effect"
import * as Agents from "effect-dust/Agents"
import * as Chat from "effect-dust/Chat"
import type { ChatEvent } from "effect-dust/ChatEvent"
import * as DataSources from "effect-dust/DataSources"
import * as Dust from "effect-dust/Dust"
import type { DustAPIError } from "effect-dust/DustAPIError"
import * as DustTest from "effect-dust/DustTest"
import * as Search from "effect-dust/Search"
import * as Proxy from "./proxy.ts"

export interface Options {
  /** Decides the troubles and the work. */
  readonly seed: number
  /** How often the application is started and stopped again. */
  readonly lives: number
  /** Pieces of work for each tenant in each life. */
  readonly work: number
  /** The share of requests that are troubled, from 0 to 1. */
  readonly rate: number
  /** The limit of a response's headers, and of one operation. */
  readonly headers: number
  readonly total: number
  /** Troubles of requests that only read, and of those that write. */
  readonly reading: ReadonlyArray<Proxy.Trouble>
  readonly writing: ReadonlyArray<Proxy.Trouble>
  /** Is given a line for each failure, and for all that must not happen. */
  readonly report?: (line: string) => void
}

export interface Counts {
  work: number
  /** Failed with a typed error: allowed, under such a network. */
  failed: number
  requests: number
  troubled: number
  /** Messages that are stored more than once. */
  doubled: number
  /** Messages that are not stored, though their work succeeded. */
  lost: number
  /** Answers that are not the one to the question. */
  wrong: number
  /** Messages and documents at the other tenant. */
  foreign: number
  /** Runs that were cancelled although their consumer did not stop. */
  killed: number
  /** Runs of people who left that go on. */
  orphaned: number
  /** Work that died of a defect. */
  defects: number
  /** Connections that are open when the application has ended. */
  sockets: number
}

type Kind = "send" | "stream" | "text" | "approval" | "leave" | "resume" | "sync" | "search" | "agents"

const kinds: ReadonlyArray<Kind> = [
  "send",
  "stream",
  "text",
  "approval",
  "leave",
  "resume",
  "sync",
  "search",
  "agents"
]

interface Work {
  readonly kind: Kind
  readonly name: string
}

interface Place {
  readonly conversationId: string
  readonly messageId: string
  readonly name: string
}

const tenants = ["sales", "support"] as const
type Tenant = typeof tenants[number]

const answerTo = (name: string) => `The answer to ${name} is this one, and no other.`

const agents = {
  helper: ({ message }) => [DustTest.think("Hm. "), DustTest.text(answerTo(message), { pace: "15 millis" })],
  mailer: ({ message }) => [
    DustTest.approval({
      name: "send_email",
      inputs: { subject: message },
      stake: "high",
      output: "sent",
      onResult: ({ approved }) => approved ? answerTo(message) : "Not sent."
    })
  ],
  endless: () => [DustTest.text("word ".repeat(2_000), { pace: "50 millis" })]
} satisfies DustTest.Options["agents"]

class Sales extends Context.Tag("application/Sales")<Sales, Context.Context<Dust.Services>>() {}
class Support extends Context.Tag("application/Support")<Support, Context.Context<Dust.Services>>() {}

interface Server {
  readonly local: DustTest.Service
  readonly proxy: Proxy.Proxy
}

const messages = /\/(conversations|messages)$/

const serverOf = (tenant: Tenant, options: Options) =>
  Effect.gen(function*() {
    const local = yield* DustTest.serve({ agents, workspaceId: tenant, randomSeed: options.seed })
    const seed = options.seed * 2 + tenants.indexOf(tenant)
    const proxy = yield* Proxy.make({
      origin: local.url,
      rules: [
        Proxy.randomly({ seed, rate: options.rate, method: "GET", troubles: options.reading }),
        Proxy.randomly({ seed, rate: options.rate, method: "POST", path: messages, troubles: options.writing })
      ]
    })
    return { local, proxy } satisfies Server
  })

/** The text of the end of a stream. */
const finalText = <E, R>(events: Stream.Stream<ChatEvent, E, R>) =>
  Effect.map(
    Stream.runLast(events),
    (last) => Option.isSome(last) && last.value._tag === "Done" ? last.value.reply.text : undefined
  )

/** One piece of work: the text that it got, where it asked something. Places to continue at go into `left`. */
const done = (
  { kind, name }: Work,
  left: Array<Place>
): Effect.Effect<string | undefined, DustAPIError, Dust.Services> =>
  Effect.gen(function*() {
    const chat = yield* Chat.Chat
    switch (kind) {
      case "send":
        return (yield* chat.send({ agent: "helper", message: name })).text
      case "stream":
        return yield* finalText(chat.stream({ agent: { name: "helper" }, message: name }))
      case "text":
        return Chunk.join(yield* Stream.runCollect(chat.streamText({ agent: "helper", message: name })), "")
      case "approval":
        return (yield* chat.send({
          agent: "mailer",
          message: name,
          onApproval: () => Effect.as(Effect.sleep("50 millis"), "approved")
        })).text
      case "leave":
        yield* chat.stream({ agent: "endless", message: name }).pipe(
          Stream.filter((event) => event._tag === "TextDelta"),
          Stream.take(2),
          Stream.runDrain
        )
        return undefined
      case "resume":
        yield* chat.stream({ agent: "helper", message: name, onInterrupt: "leave" }).pipe(
          Stream.filter((event) => event._tag === "Started"),
          Stream.take(1),
          Stream.runForEach(({ conversationId, messageId }) =>
            Effect.sync(() => left.push({ conversationId, messageId, name }))
          )
        )
        return undefined
      case "sync": {
        const sources = yield* DataSources.DataSources
        yield* Stream.runDrain(sources.syncDocuments({
          spaceId: "vlt_global",
          dataSourceId: "dts_handbook",
          documents: Array.from({ length: 4 }, (_, i) => ({ documentId: `${name}/${i}`, text: `Document of ${name}` })),
          concurrency: 2
        }))
        return undefined
      }
      case "search":
        yield* Stream.runDrain((yield* Search.Search).unified({ query: "roadmap", limit: 2 }))
        return undefined
      case "agents":
        yield* (yield* Agents.Agents).list()
        return undefined
    }
  })

/** Runs the application the given number of times, then inspects the servers. */
export const run = (options: Options): Effect.Effect<Counts> =>
  Effect.scoped(Effect.gen(function*() {
    const servers: Readonly<Record<Tenant, Server>> = {
      sales: yield* serverOf("sales", options),
      support: yield* serverOf("support", options)
    }
    const counts: Counts = {
      work: 0,
      failed: 0,
      requests: 0,
      troubled: 0,
      doubled: 0,
      lost: 0,
      wrong: 0,
      foreign: 0,
      killed: 0,
      orphaned: 0,
      defects: 0,
      sockets: 0
    }
    const left: Readonly<Record<Tenant, Array<Place>>> = { sales: [], support: [] }
    const succeeded: Record<Tenant, Set<string>> = { sales: new Set(), support: new Set() }
    const layerOf = (tenant: Tenant) =>
      Dust.layer({
        workspaceId: tenant,
        apiKey: Redacted.make(Redacted.value(servers[tenant].local.apiKey)),
        baseUrl: servers[tenant].proxy.url,
        timeouts: { headers: options.headers, total: options.total }
      }).pipe(Layer.orDie)

    class Tenants extends LayerMap.Service<Tenants>()("application/Tenants", { lookup: layerOf }) {}

    const application = Layer.mergeAll(
      Layer.effect(Sales, Effect.context<Dust.Services>()).pipe(Layer.provide(layerOf("sales"))),
      Layer.effect(Support, Effect.context<Dust.Services>()).pipe(Layer.provide(layerOf("support"))),
      Tenants.Default
    ).pipe(Layer.provide(NodeHttpClient.layerUndici))

    const provided = <A, E>(
      tenant: Tenant,
      mapped: boolean,
      effect: Effect.Effect<A, E, Dust.Services>
    ): Effect.Effect<A, E, Sales | Support | Tenants> =>
      mapped
        ? Effect.provide(effect, Tenants.get(tenant))
        : Effect.flatMap(
          Effect.context<Sales | Support>(),
          (context) =>
            Effect.provide(effect, tenant === "sales" ? Context.get(context, Sales) : Context.get(context, Support))
        )

    const judged = (tenant: Tenant, name: string, exit: Exit.Exit<string | undefined, DustAPIError>) => {
      counts.work++
      if (Exit.isSuccess(exit)) {
        succeeded[tenant].add(name)
        if (exit.value === undefined || exit.value === answerTo(name)) return
        counts.wrong++
        options.report?.(`${name}: wrong: ${exit.value}`)
        return
      }
      if (Cause.isFailure(exit.cause)) counts.failed++
      else counts.defects++
      options.report?.(`${name}: ${Cause.pretty(exit.cause).split("\n")[0]}`)
    }

    const next = Proxy.random(options.seed)
    const life = (nth: number) =>
      Effect.forEach(tenants, (tenant) => {
        const places = left[tenant].splice(0)
        const all = Array.from({ length: options.work }, (_, i): Work => {
          const kind = kinds[i % kinds.length]!
          return { kind, name: `${tenant}-${nth}-${i}-${kind}` }
        })
        const own = Effect.forEach(all, (work) =>
          Effect.map(
            Effect.exit(provided(tenant, next() < 0.5, done(work, left[tenant]))),
            (exit) => judged(tenant, work.name, exit)
          ), { concurrency: "unbounded" })
        const others = Effect.forEach(places, ({ name, ...place }) =>
          Effect.map(
            Effect.exit(provided(
              tenant,
              next() < 0.5,
              Effect.flatMap(Chat.Chat, (chat) => finalText(chat.resume(place)))
            )),
            (exit) => judged(tenant, name, exit)
          ), { concurrency: "unbounded" })
        return Effect.all([own, others], { concurrency: "unbounded" })
      }, { concurrency: "unbounded" })

    for (let nth = 1; nth <= options.lives; nth++) {
      const runtime = ManagedRuntime.make(application)
      yield* Effect.promise(() => runtime.runPromise(life(nth)))
      yield* runtime.disposeEffect
    }
    // What has been sent at the end arrives, and connections close, as soon as the machine comes to it.
    const isQuiet = Effect.map(
      Effect.forEach(tenants, (tenant) => Effect.map(orphans(servers[tenant]), ({ length }) => length)),
      (orphaned) => orphaned.every((n) => n === 0) && tenants.every((tenant) => servers[tenant].proxy.sockets() === 0)
    )
    yield* Effect.repeat(Effect.zipRight(Effect.sleep("50 millis"), isQuiet), { until: (quiet) => quiet, times: 400 })
    for (const tenant of tenants) {
      yield* inspect(
        tenant,
        servers[tenant],
        succeeded[tenant],
        counts,
        options.report ?? (() => undefined)
      )
    }
    return counts
  })).pipe(Effect.orDie)

/** Messages that work of these kinds sends. */
const asks = /-(send|stream|text|approval|leave|resume)$/

/** What people asked who left while it runs on. */
const orphans = ({ local }: Server) =>
  Effect.map(local.conversations, (all) =>
    all.flatMap(({ messages }) => {
      const asked = messages.find(({ role }) => role === "user")?.content ?? ""
      return asked.endsWith("-leave") ? messages.flatMap(({ run }) => run === "running" ? [asked] : []) : []
    }))

const inspect = (
  tenant: Tenant,
  server: Server,
  succeeded: ReadonlySet<string>,
  counts: Counts,
  report: (line: string) => void
) =>
  Effect.gen(function*() {
    const { local, proxy } = server
    yield* proxy.settled
    counts.requests += proxy.counts.requests
    for (const n of Object.values(proxy.counts.troubles)) counts.troubled += n
    counts.sockets += proxy.sockets()
    const stored = new Map<string, number>()
    for (const { content } of yield* local.userMessages()) {
      stored.set(content ?? "", (stored.get(content ?? "") ?? 0) + 1)
    }
    const found = (count: "doubled" | "foreign" | "lost" | "orphaned" | "killed", name: string, times = 1) => {
      counts[count] += times
      report(`${name}: ${count}`)
    }
    for (const [content, times] of stored) {
      if (times > 1) found("doubled", content, times - 1)
      if (!content.startsWith(`${tenant}-`)) found("foreign", `${content} at ${tenant}`)
    }
    for (const name of succeeded) if (asks.test(name) && !stored.has(name)) found("lost", name)
    for (const { messages } of yield* local.conversations) {
      const asked = messages.find(({ role }) => role === "user")?.content ?? ""
      if (asked.endsWith("-leave")) continue
      for (const { run } of messages) if (run === "cancelled") found("killed", asked)
    }
    for (const asked of yield* orphans(server)) found("orphaned", asked)
    for (const { path } of yield* local.requests({ method: "POST", path: /documents/ })) {
      const name = decodeURIComponent(path.split("/").at(-1) ?? "")
      if (!name.startsWith(`${tenant}-`)) found("foreign", `document ${name} at ${tenant}`)
    }
  })

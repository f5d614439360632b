/**
 * The traffic that users have, in a process of its own: `traffic.js <group> <base url> [--quick]`.
 *
 * Agents send one event of about 60 bytes per TCP segment, so what counts is the cost per chunk. Every candidate does equal
 * work, they take turns in one process, and the spread of their rounds is shown.
 */
import { DustAPI } from "@dust-tt/client"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { approveAll } from "effect-dust/Approvals"
import * as Chat from "effect-dust/Chat"
import * as Conversations from "effect-dust/Conversations"
import * as Dust from "effect-dust/Dust"
import * as Governor from "effect-dust/Governor"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { request } from "undici"
import * as floors from "./floors.ts"
import { type Cost, type Figure, median, reachable, round, timed } from "./measure.ts"
import { messageId } from "./payloads.ts"

const [group = "", baseUrl = "", mode] = process.argv.slice(2)
const quick = mode === "--quick"
const key = "sk-bench"
const headers = { authorization: `Bearer ${key}`, accept: "text/event-stream" }

const runtime = ManagedRuntime.make(
  Dust.layer({ workspaceId: "bench", apiKey: Redacted.make(key), baseUrl }).pipe(
    // More messages than Dust allows are sent; the pauses are not measured.
    Layer.provide(Governor.layerOff),
    Layer.provideMerge(NodeHttpClient.layerUndici)
  )
)
const [conversations, chat, client] = await runtime.runPromise(
  Effect.all([Conversations.Conversations, Chat.Chat, HttpClient.HttpClient])
)
/** What Effect and the platform's HttpClient cost without this SDK. */
const floor = { request: floors.request(client), events: floors.events(client), follow: floors.follow }

const quiet = { info: () => {}, warn: () => {}, error: () => {}, trace: () => {} }
const api = new DustAPI({ url: baseUrl }, { workspaceId: "bench", apiKey: key }, quiet as never)

const conversationUrl = (scenario: string, prefix = "/api/v1") =>
  `${baseUrl}${prefix}/w/bench/assistant/conversations/${scenario}`
const eventsUrl = (scenario: string) => `${conversationUrl(scenario, "/api/sse/v1")}/messages/${messageId}/events`

interface Taken {
  readonly cpu: number
  readonly wall: number
  /** The cheapest and the dearest round, as shares of the median. */
  readonly spread: string
}

/** Each candidate once per round, in an order that turns, after rounds that only warm up. */
const alternating = async <Name extends string>(
  rounds: number,
  warmUp: number,
  candidates: Readonly<Record<Name, () => Promise<unknown>>>
): Promise<Readonly<Record<Name, Taken>>> => {
  const names = Object.keys(candidates) as Array<Name>
  const costs = Object.fromEntries(names.map((name) => [name, [] as Array<Cost>])) as Record<Name, Array<Cost>>
  for (let i = 0; i < warmUp + rounds; i++) {
    for (let j = 0; j < names.length; j++) {
      const name = names[(i + j) % names.length]!
      globalThis.gc!()
      const cost = await timed(candidates[name])
      if (i >= warmUp) costs[name].push(cost)
    }
  }
  return Object.fromEntries(names.map((name) => {
    const cpu = costs[name].map((cost) => cost.cpu)
    const middle = median(cpu)
    return [name, {
      cpu: middle,
      wall: median(costs[name].map((cost) => cost.wall)),
      spread: `${round(Math.min(...cpu) / middle)}-${round(Math.max(...cpu) / middle)}`
    }]
  })) as unknown as Record<Name, Taken>
}

const report = (figure: Figure) =>
  process.stdout.write(`${
    JSON.stringify({
      ...figure,
      vsBare: figure.bare === undefined ? undefined : round(figure.ours / figure.bare),
      vsOfficial: figure.official === undefined ? undefined : round(figure.official / figure.ours)
    })
  }\n`)

const atMost = (what: string, value: number, limit: number) => ({ text: `${what} <= ${limit}`, met: value <= limit })

const mapValues = <Name extends string, A>(names: ReadonlyArray<Name>, f: (name: Name) => A) =>
  Object.fromEntries(names.map((name) => [name, f(name)])) as Record<Name, A>

const expect = (actual: number, expected: number) => {
  if (actual !== expected) throw new Error(`expected ${expected}, got ${actual}`)
}

/** Counts the events of a body, up to the terminal one, as one would by hand. */
const counted = async (body: AsyncIterable<Uint8Array>): Promise<number> => {
  const decoder = new TextDecoder()
  let rest = ""
  let count = 0
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith("data: {\"")) continue
      count++
      if (JSON.parse(line.slice(6)).data.type === "agent_message_success") return count
    }
  }
  return count
}

const events = {
  undici: async (scenario: string) => counted((await request(eventsUrl(scenario), { headers })).body),
  fetch: async (scenario: string) => counted((await fetch(eventsUrl(scenario), { headers })).body!),
  official: async (scenario: string) => {
    const result = await api.streamAgentMessageEvents({
      conversationId: scenario,
      agentMessageId: messageId,
      options: { maxReconnectAttempts: 10, reconnectDelay: 5_000, autoReconnect: true },
      signal: new AbortController().signal
    })
    if (result.isErr()) throw new Error(String(result.error))
    let count = 0
    for await (const _ of result.value.eventStream) count++
    return count
  },
  floor: (scenario: string) => floor.events(eventsUrl(scenario), headers),
  messageEvents: (scenario: string) =>
    runtime.runPromise(
      Stream.runFold(conversations.messageEvents({ conversationId: scenario, messageId }), 0, (count) => count + 1)
    ),
  chat: (scenario: string) =>
    runtime.runPromise(
      Stream.runFold(
        chat.resume({ conversationId: scenario, messageId, onInterrupt: "leave" }),
        0,
        (count) => count + 1
      )
    ),
  approval: (scenario: string) =>
    runtime.runPromise(
      Stream.runFold(
        chat.resume({ conversationId: scenario, messageId, onInterrupt: "leave", onApproval: approveAll }),
        0,
        (count) => count + 1
      )
    )
}

/**
 * Answers of two lengths: the difference is what an event costs, and the rest is what it costs to open and end a stream.
 */
const paced = async () => {
  const streams = 40
  const [short, long] = quick ? [10, 30] as const : [40, 240] as const
  const candidates = ["undici", "fetch", "official", "floor", "messageEvents", "chat", "approval"] as const
  for (const mix of ["tokens", "mixed"]) {
    const costs = async (length: number) => {
      const scenario = `paced.${mix}.${length}.20`
      for (const name of ["undici", "fetch", "official", "floor", "messageEvents"] as const) {
        expect(await events[name](scenario), length)
      }
      return alternating(
        quick ? 3 : 7,
        1,
        mapValues(
          candidates,
          (name) => () => Promise.all(Array.from({ length: streams }, () => events[name](scenario)))
        )
      )
    }
    const few = await costs(short)
    const many = await costs(long)
    const micros = (cost: Taken) => (cost.cpu * 1000) / streams
    const perEvent = mapValues(candidates, (name) => (micros(many[name]) - micros(few[name])) / (long - short))
    const around = mapValues(candidates, (name) => micros(few[name]) - perEvent[name] * short)
    const bare = perEvent.undici
    for (
      const [name, title, limit] of [
        ["messageEvents", "messageEvents", 1.9],
        ["chat", "Chat", 2.3],
        ["approval", "Chat with onApproval", 2.5]
      ] as const
    ) {
      const ours = perEvent[name]
      const whole = (name: (typeof candidates)[number]) => `${round(micros(many[name]) / micros(many.undici))} x`
      report({
        figure: `paced, ${streams} streams x 50 events/s, ${mix === "mixed" ? "tokens + tools" : "tokens"}: ${title}`,
        unit: "µs CPU per event",
        ours: round(ours),
        bare: round(bare),
        official: round(perEvent.official),
        targets: [atMost("times bare undici", round(ours / bare), limit)],
        note: `bare fetch ${round(perEvent.fetch / bare)} x, official ${
          round(perEvent.official / bare)
        } x, floor (an Effect Stream over the platform's HttpClient, without this SDK) ${
          round(perEvent.floor / bare)
        } x; to open and end a stream, µs: ours ${round(around[name])}, bare ${round(around.undici)}, official ${
          round(around.official)
        }, floor ${round(around.floor)}; a whole answer of ${long} events: ours ${whole(name)}, official ${
          whole("official")
        }, floor ${
          whole("floor")
        }; spread: bare ${many.undici.spread}, official ${many.official.spread}, floor ${many.floor.spread}, ours ${
          many[name].spread
        }`
      })
    }
  }
}

const small = async () => {
  const times = quick ? 50 : 400
  const repeated = (work: () => Promise<unknown>) => async () => {
    for (let i = 0; i < times; i++) await work()
  }
  const json = { authorization: `Bearer ${key}`, "content-type": "application/json" }
  const conversation = "conversation.10240"
  const cases = {
    "cancel, nothing in the answer": {
      undici: async () => {
        const answer = await request(`${conversationUrl("c")}/cancel`, {
          method: "POST",
          headers: json,
          body: JSON.stringify({ messageIds: [messageId] })
        })
        return await answer.body.json()
      },
      floor: () =>
        floor.request("POST", `${conversationUrl("c")}/cancel`, json, JSON.stringify({ messageIds: [messageId] })),
      official: () => api.cancelMessageGeneration({ conversationId: "c", messageIds: [messageId] }),
      ours: () => runtime.runPromise(conversations.cancel({ conversationId: "c", messageIds: [messageId] }))
    },
    "getMessage, conversation of 10 KB": {
      undici: async () => (await request(conversationUrl(conversation), { headers: json })).body.json(),
      floor: () => floor.request("GET", conversationUrl(conversation), json),
      official: () => api.getConversation({ conversationId: conversation }),
      ours: () => runtime.runPromise(conversations.getMessage({ conversationId: conversation, messageId: "msgAgent1" }))
    }
  }
  for (const [title, { floor, official, ours, undici }] of Object.entries(cases)) {
    const costs = await alternating(quick ? 3 : 9, quick ? 2 : 12, {
      undici: repeated(undici),
      floor: repeated(floor),
      official: repeated(official),
      ours: repeated(ours)
    })
    const perCall = (cost: Taken) => (cost.cpu * 1000) / times
    report({
      figure: title,
      unit: "µs CPU",
      ours: round(perCall(costs.ours)),
      bare: round(perCall(costs.undici)),
      official: round(perCall(costs.official)),
      targets: [
        atMost("times bare undici", costs.ours.cpu / costs.undici.cpu, 3),
        atMost("times official", costs.ours.cpu / costs.official.cpu, 1)
      ],
      note: `floor (the platform's HttpClient, without this SDK) ${
        round(costs.floor.cpu / costs.undici.cpu)
      } x; spread: bare ${costs.undici.spread}, floor ${costs.floor.spread}, official ${costs.official.spread}, ours ${costs.ours.spread}`
    })
  }
}

const send = async () => {
  const times = quick ? 10 : 60
  const repeated = (work: () => Promise<unknown>) => async () => {
    for (let i = 0; i < times; i++) await work()
  }
  const content = "What changed?"
  const costs = await alternating(quick ? 3 : 9, quick ? 2 : 12, {
    official: repeated(async () => {
      const created = await api.createConversation({
        title: null,
        visibility: "unlisted",
        message: {
          content,
          mentions: [{ configurationId: "dust" }],
          context: { timezone: "Europe/Paris", username: "bench", email: null, fullName: null, profilePictureUrl: null }
        }
      })
      if (created.isErr()) throw new Error(JSON.stringify(created.error).slice(0, 500))
      expect(await events.official(created.value.conversation.sId), 20)
    }),
    // As this SDK sends: the conversation first, so that the message of an unconfirmed request can be looked for.
    floor: repeated(async () => {
      const json = { authorization: `Bearer ${key}`, "content-type": "application/json" }
      await floor.request("POST", conversationUrl("").slice(0, -1), json, JSON.stringify({ title: null }))
      await floor.request("POST", `${conversationUrl("c")}/messages`, json, JSON.stringify({ content, mentions: [] }))
      expect(await events.floor("stream.tokens.20.bulk"), 20)
    }),
    ours: repeated(() => runtime.runPromise(chat.send({ agent: "dust", message: content })))
  })
  report({
    figure: "a whole chat.send, answer of 20 events",
    unit: "µs CPU",
    ours: round((costs.ours.cpu * 1000) / times),
    official: round((costs.official.cpu * 1000) / times),
    targets: [atMost("times official", round(costs.ours.cpu / costs.official.cpu), 1)],
    note: `floor (the three requests through the platform's HttpClient, without this SDK) ${
      round(costs.floor.cpu / costs.official.cpu)
    } x official, which makes two; spread: official ${costs.official.spread}, floor ${costs.floor.spread}, ours ${costs.ours.spread}`
  })
}

const open = async () => {
  const streams = quick ? 500 : 5_000
  let opened = 0
  const closed = async () => {
    while (await (await request(`${baseUrl}/streams`)).body.text() !== "0") {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const bareStream = async (scenario: string) => {
    const abort = new AbortController()
    const { body } = await request(eventsUrl(scenario), { headers, signal: abort.signal })
    await new Promise<void>((resolve) => body.once("data", () => resolve()))
    body.on("error", () => {})
    return async () => abort.abort()
  }
  const fetchStream = async (scenario: string) => {
    const abort = new AbortController()
    const reader = (await fetch(eventsUrl(scenario), { headers, signal: abort.signal })).body!.getReader()
    await reader.read()
    reader.read().catch(() => {})
    return async () => abort.abort()
  }
  const followed =
    (stream: (scenario: string) => Stream.Stream<unknown, unknown>, atLeast: number) =>
    (scenario: string): Promise<() => Promise<void>> =>
      new Promise((resolve, reject) => {
        let seen = 0
        const fiber = runtime.runFork(
          Stream.runForEach(stream(scenario), () =>
            Effect.sync(() => {
              if (++seen === atLeast) resolve(stop)
            }))
        )
        fiber.addObserver(reject)
        const stop = (): Promise<void> => runtime.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
      })
  const measured = async (follow: (scenario: string) => Promise<() => Promise<void>>) => {
    const name = () => `silent.o${opened++}`
    await (await follow(name()))()
    await closed()
    const before = reachable()
    const handles: Array<() => Promise<void>> = []
    const opening = await timed(async () => {
      for (let i = 0; i < streams; i += 100) {
        handles.push(...await Promise.all(Array.from({ length: 100 }, () => follow(name()))))
      }
    })
    const kib = (reachable() - before) / streams
    // The connections of other requests stay in undici's pool for four seconds, and are counted in.
    const sockets = process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length / streams
    const stopping = await timed(async () => {
      await Promise.all(handles.map((stop) => stop()))
      await closed()
    })
    return { kib, sockets, opening, stopping }
  }
  const idle = await measured(floor.follow)
  const plain = await measured(bareStream)
  const fetched = await measured(fetchStream)
  for (
    const [title, limit, follow] of [
      [
        "messageEvents",
        28,
        followed((conversationId) => conversations.messageEvents({ conversationId, messageId }), 1)
      ],
      [
        "Chat",
        40,
        followed((conversationId) => chat.resume({ conversationId, messageId, onInterrupt: "leave" }), 2)
      ]
    ] as const
  ) {
    const { kib, opening, sockets, stopping } = await measured(follow)
    report({
      figure: `${streams.toLocaleString("en")} open streams: ${title}`,
      unit: "KiB per stream",
      ours: round(kib),
      bare: round(plain.kib),
      targets: [atMost("KiB", round(kib), limit)],
      note: `bare fetch ${round(fetched.kib)} KiB; floor: a Stream that waits ${
        round(idle.kib)
      } KiB, and the bare stream ${round(plain.kib)} KiB; connections per stream ${
        round(sockets)
      }; µs CPU to open one: ours ${round((opening.cpu * 1000) / streams)}, bare ${
        round((plain.opening.cpu * 1000) / streams)
      }`
    })
    const tenThousand = (cost: Cost) => round((cost.cpu / streams) * 10)
    report({
      figure: `stop 10,000 streams: ${title}`,
      unit: "s CPU",
      ours: tenThousand(stopping),
      bare: tenThousand(plain.stopping),
      targets: [atMost("s", tenThousand(stopping), 3)],
      note: `measured with ${streams.toLocaleString("en")}; bare fetch ${
        tenThousand(fetched.stopping)
      }; floor: interrupting a Stream that waits ${tenThousand(idle.stopping)} s, and the bare stream ${
        tenThousand(plain.stopping)
      } s`
    })
  }
}

const groups: Readonly<Record<string, () => Promise<void>>> = { paced, small, send, open }

await groups[group]!()
process.exit(0)

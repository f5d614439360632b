/** The same work through this SDK, through bare `fetch` with `JSON.parse`, and through the official client. */
import { DustAPI } from "@dust-tt/client"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Conversations from "effect-dust/Conversations"
import * as DustClient from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { messageId } from "./payloads.ts"

const key = "sk-bench"

export interface Client {
  /** Reads the events of a scenario to the terminal one; how many there were. */
  readonly events: (scenario: string, sample?: (count: number) => void) => Promise<number>
  /** Reads a conversation; how many messages it has. */
  readonly conversation: (scenario: string) => Promise<number>
  /** Opens a stream, waits for its first event, and returns what stops it. */
  readonly follow: (scenario: string) => Promise<() => Promise<void>>
}

/** How often a run of a million events looks at its memory. */
export const sampleEvery = 50_000

const transports = { undici: NodeHttpClient.layerUndici, fetch: FetchHttpClient.layer }

export const ours = (baseUrl: string, transport: keyof typeof transports): Client => {
  const runtime = ManagedRuntime.make(
    Conversations.layer.pipe(
      Layer.provide(DustClient.layer),
      Layer.provide(DustConfig.layer({ workspaceId: "bench", apiKey: Redacted.make(key), baseUrl })),
      Layer.provide(transports[transport])
    )
  )
  const messageEvents = (scenario: string) =>
    Stream.unwrap(Effect.map(
      Conversations.Conversations,
      (conversations) => conversations.messageEvents({ conversationId: scenario, messageId })
    ))
  return {
    events: (scenario, sample) =>
      runtime.runPromise(
        Stream.runFold(messageEvents(scenario), 0, (count, event) => {
          if (event.type === "unknown") throw new Error(`not understood: ${JSON.stringify(event.raw).slice(0, 200)}`)
          if (sample !== undefined && (count + 1) % sampleEvery === 0) sample(count + 1)
          return count + 1
        })
      ),
    conversation: (scenario) =>
      runtime.runPromise(Effect.map(
        Effect.flatMap(Conversations.Conversations, (conversations) => conversations.get(scenario)),
        (conversation) => {
          for (const [message] of conversation.content) {
            if (message?.type === "unknown") throw new Error(`not understood: ${message.sId}`)
          }
          return conversation.content.length
        }
      )),
    follow: (scenario) =>
      runtime.runPromise(Effect.gen(function*() {
        const first = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkDaemon(
          Stream.runForEach(messageEvents(scenario), () => Deferred.succeed(first, undefined))
        )
        yield* Effect.raceFirst(Deferred.await(first), Effect.zipRight(Fiber.join(fiber), Effect.never))
        return () => runtime.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
      }))
  }
}

const eventsUrl = (baseUrl: string, scenario: string) =>
  `${baseUrl}/api/v1/w/bench/assistant/conversations/${scenario}/messages/${messageId}/events`

const headers = { authorization: `Bearer ${key}`, accept: "text/event-stream" }

/** Handwritten code: no validation, no limits, reconnection after a page only. */
export const bare = (baseUrl: string): Client => ({
  events: async (scenario, sample) => {
    let lastEventId = ""
    for (let count = 0;;) {
      const response = await fetch(`${eventsUrl(baseUrl, scenario)}?lastEventId=${lastEventId}`, { headers })
      const decoder = new TextDecoder()
      let parts: Array<string> = []
      for await (const bytes of response.body!) {
        const pieces = decoder.decode(bytes, { stream: true }).split("\n")
        for (let i = 0; i < pieces.length - 1; i++) {
          let line = pieces[i]!
          if (i === 0 && parts.length > 0) {
            parts.push(line)
            line = parts.join("")
            parts = []
          }
          if (!line.startsWith("data: {\"")) continue
          const event = JSON.parse(line.slice(6))
          lastEventId = event.eventId
          count++
          if (sample !== undefined && count % sampleEvery === 0) sample(count)
          if (event.data.type === "agent_message_success") return count
        }
        const rest = pieces[pieces.length - 1]!
        if (rest !== "") parts.push(rest)
      }
    }
  },
  conversation: async (scenario) => {
    const response = await fetch(`${baseUrl}/api/v1/w/bench/assistant/conversations/${scenario}`, { headers })
    return JSON.parse(await response.text()).conversation.content.length
  },
  follow: async (scenario) => {
    const abort = new AbortController()
    const response = await fetch(eventsUrl(baseUrl, scenario), { headers, signal: abort.signal })
    const reader = response.body!.getReader()
    await reader.read()
    reader.read().catch(() => {})
    return async () => abort.abort()
  }
})

const quiet = { info: () => {}, warn: () => {}, error: () => {}, trace: () => {} }

/** @param reconnectDelay what the client waits for after every page; it would wait for five seconds by itself. */
export const official = (baseUrl: string, reconnectDelay = 5_000): Client => {
  const api = new DustAPI({ url: baseUrl }, { workspaceId: "bench", apiKey: key }, quiet as never)
  const stream = async (scenario: string, signal?: AbortSignal) => {
    const result = await api.streamAgentMessageEvents({
      conversationId: scenario,
      agentMessageId: messageId,
      options: { maxReconnectAttempts: 10, reconnectDelay, autoReconnect: true },
      ...(signal === undefined ? {} : { signal })
    })
    if (result.isErr()) throw new Error(String(result.error))
    return result.value.eventStream
  }
  return {
    events: async (scenario, sample) => {
      let count = 0
      for await (const _ of await stream(scenario)) {
        count++
        if (sample !== undefined && count % sampleEvery === 0) sample(count)
      }
      return count
    },
    conversation: async (scenario) => {
      const result = await api.getConversation({ conversationId: scenario })
      if (result.isErr()) throw new Error(JSON.stringify(result.error).slice(0, 500))
      return result.value.content.length
    },
    // Its documented way to stop early: return from the loop.
    follow: async (scenario) => {
      const iterator = (await stream(scenario))[Symbol.asyncIterator]()
      await iterator.next()
      return async () => void (await iterator.return!(undefined))
    }
  }
}

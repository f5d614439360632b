/**
 * What Effect and the HttpClient of the platform cost by themselves, without anything of this SDK: no limits, retries,
 * spans, metrics, validation, deduplication or reconnection. No SDK on top of them can cost less.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Readable } from "node:stream"

type Headers = Readonly<Record<string, string>>

const untraced = (client: HttpClient.HttpClient) =>
  client.pipe(HttpClient.withTracerDisabledWhen(() => true), HttpClient.withScope)

/** One request, and its answer as JSON. */
export const request = (client: HttpClient.HttpClient) => {
  const plain = untraced(client)
  return (method: "GET" | "POST", url: string, headers: Headers, body?: string): Promise<unknown> => {
    const bare = HttpClientRequest.make(method)(url, { headers })
    const full = body === undefined ? bare : HttpClientRequest.bodyText(bare, body, "application/json")
    return Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(plain.execute(full), (answer) => Effect.map(answer.text, (text) => JSON.parse(text)))
      )
    )
  }
}

type Pull = Effect.Effect<Chunk.Chunk<unknown> | undefined>

/** The events of a body, parsed where they arrive: the consumer is woken once per chunk. */
const pullOf = (body: Readable): Pull => {
  const decoder = new TextDecoder()
  let rest = ""
  let isOver = false
  let events: Array<unknown> = []
  let waiter: ((effect: Pull) => void) | undefined
  const take = (): Pull => {
    const taken = events
    events = []
    return Effect.succeed(taken.length > 0 ? Chunk.unsafeFromArray(taken) : undefined)
  }
  body.on("error", () => {})
  body.on("data", (bytes: Uint8Array) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith("data: {\"")) continue
      const event = JSON.parse(line.slice(6))
      events.push(event)
      if (event.data.type === "agent_message_success") isOver = true
    }
    if (events.length === 0) return
    waiter?.(take())
    waiter = undefined
  })
  const wait: Pull = Effect.async((resume) => {
    waiter = resume
  })
  return Effect.suspend(() => events.length > 0 || isOver ? take() : wait)
}

/** The events of one connection as a `Stream` of a single layer, counted. */
export const events = (client: HttpClient.HttpClient) => {
  const plain = untraced(client)
  return (url: string, headers: Headers): Promise<number> => {
    const opened = Effect.map(plain.execute(HttpClientRequest.get(url, { headers })), (answer) => {
      // The body of undici, as this SDK reads it.
      const pull = pullOf((answer as unknown as { readonly source: { readonly body: Readable } }).source.body)
      const loop: Channel.Channel<Chunk.Chunk<unknown>, unknown, never, unknown, void, unknown> = Channel.flatMap(
        Channel.fromEffect(pull),
        (chunk) => chunk === undefined ? Channel.void : Channel.flatMap(Channel.write(chunk), () => loop)
      )
      return Stream.fromChannel(loop)
    })
    return Effect.runPromise(Stream.runFold(Stream.unwrapScoped(opened), 0, (count) => count + 1))
  }
}

/** A stream that has emitted one element and waits, without any connection. */
export const follow = (): Promise<() => Promise<void>> => {
  const waiting = Stream.concat(Stream.make(0), Stream.never)
  return new Promise((resolve) => {
    const fiber: Fiber.RuntimeFiber<void> = Effect.runFork(
      Stream.runForEach(waiting, () => Effect.sync(() => resolve(stop)))
    )
    const stop = (): Promise<void> => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  })
}

/**
 * A plain HTTP server in a process of its own, so that its cost is not counted. It sends bytes that were built
 * beforehand; the conversation id selects one.
 */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import {
  agentMessage,
  conversation,
  runningConversation,
  done,
  event,
  handshake,
  indexOf,
  large,
  type Mix,
  success,
  userMessage
} from "./payloads.ts"

const prepared = new Map<string, ReadonlyArray<Buffer>>()

const prepare = (key: string, make: () => ReadonlyArray<Buffer>): ReadonlyArray<Buffer> => {
  const known = prepared.get(key)
  if (known !== undefined) return known
  const made = make()
  prepared.set(key, made)
  return made
}

const pieces = (bytes: Buffer, size: number): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

/** When each numbered request's socket was closed, on the clock that all processes of this machine share. */
const closed = new Map<string, string>()

/** Event streams that are open. Connections that are kept alive after other requests do not count. */
let streams = 0

const open = (response: ServerResponse) => {
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "content-encoding": "none"
  })
  response.flushHeaders()
  streams++
  response.on("close", () => streams--)
}

const write = async (response: ServerResponse, chunks: Iterable<Buffer>, paced: boolean) => {
  for (const chunk of chunks) {
    if (response.destroyed) return
    if (!response.write(chunk)) {
      await new Promise<void>((resolve) => {
        const go = () => {
          response.off("drain", go)
          response.off("close", go)
          resolve()
        }
        response.on("drain", go)
        response.on("close", go)
      })
    }
    if (paced) await new Promise((resolve) => setImmediate(resolve))
  }
  response.end()
}

const stream = (scenario: ReadonlyArray<string>, lastEventId: string | null, response: ServerResponse): void => {
  const [kind, ...args] = scenario
  open(response)
  switch (kind) {
    // stream.<mix>.<events>.<bulk|each|live>
    case "stream": {
      const [mix, count, chunking] = args as [Mix, string, string]
      const n = Number(count)
      const all = prepare(scenario.join(), () => {
        const events = [handshake, ...Array.from({ length: n - 1 }, (_, i) => event(mix, i)), success(n), done]
        return chunking === "bulk"
          ? pieces(Buffer.from(events.join("")), 65_536)
          : events.map((one) => Buffer.from(one))
      })
      void write(response, all, chunking === "live")
      return
    }
    // paced.<mix>.<events>.<milliseconds>: a timer per event, one event per TCP segment
    case "paced": {
      const [mix, count, every] = args as [Mix, string, string]
      const n = Number(count)
      const all = prepare(
        scenario.join(),
        () => [
          ...Array.from({ length: n - 1 }, (_, i) => Buffer.from(event(mix, i))),
          Buffer.from(success(n) + done)
        ]
      )
      response.write(handshake)
      let next = 0
      const timer = setInterval(() => {
        response.write(all[next++]!)
        if (next < all.length) return
        clearInterval(timer)
        response.end()
      }, Number(every))
      response.on("close", () => clearInterval(timer))
      return
    }
    // large.<bytes>
    case "large": {
      const all = prepare(
        scenario.join(),
        () => pieces(Buffer.from(handshake + large(0, Number(args[0])) + success(1) + done), 1_024)
      )
      void write(response, all, false)
      return
    }
    // history.<events>
    case "history": {
      const n = Number(args[0])
      const all = prepare(
        scenario.join(),
        () => Array.from({ length: n }, (_, i) => Buffer.from(i === n - 1 ? success(i) : event("mixed", i)))
      )
      const from = indexOf(lastEventId)
      response.end(Buffer.concat([Buffer.from(handshake), ...all.slice(from, from + 50), Buffer.from(done)]))
      return
    }
    // endless.<events>: made while it is sent
    case "endless": {
      const n = Number(args[0])
      const blocks = function*() {
        for (let i = 0; i < n; i += 200) {
          let block = ""
          for (let j = i; j < Math.min(n, i + 200); j++) block += j === n - 1 ? success(j) : event("mixed", j)
          yield Buffer.from(block)
        }
      }
      void write(response, blocks(), false)
      return
    }
    // silent.<id>: one event, then nothing
    case "silent": {
      response.on("close", () => closed.set(args[0]!, String(process.hrtime.bigint())))
      response.write(handshake + event("tokens", 0))
      return
    }
    default:
      response.end()
  }
}

/** Conversations are created, messages accepted and runs cancelled without anything being kept. */
const post = ([, route]: ReadonlyArray<string>, response: ServerResponse) => {
  const [body] = prepare(`post ${route}`, () => {
    const message = userMessage(1, 100)
    const answer = { ...agentMessage(0, 0, 0), status: "created", content: null, completedTs: null }
    const created = JSON.parse(conversation(1)).conversation
    return [Buffer.from(JSON.stringify(
      route === "cancel"
        ? { success: true }
        : route === "messages"
        ? { message, agentMessages: [answer] }
        : { conversation: { ...created, sId: "stream.tokens.20.bulk", content: [[message], [answer]] }, message }
    ))]
  })
  response.writeHead(200, { "content-type": "application/json", "content-length": body!.length })
  response.end(body)
}

const server = createServer({ noDelay: true }, (request, response) => {
  const url = new URL(request.url!, "http://localhost")
  const path = url.pathname.split("/")
  if (path[1] === "closed") {
    response.end(closed.get(path[2]!) ?? "")
    return
  }
  if (path[1] === "streams") {
    response.end(String(streams))
    return
  }
  const at = path.indexOf("conversations")
  if (request.method === "POST") {
    post(path.slice(at + 1), response)
    return
  }
  const scenario = (path[at + 1] ?? "").split(".")
  if (path.at(-1) === "events") {
    if (scenario[0] === "paced" && path[2] !== "sse") {
      response.writeHead(307, { location: request.url!.replace("/api/v1/", "/api/sse/v1/") }).end()
      return
    }
    stream(scenario, url.searchParams.get("lastEventId"), response)
    return
  }
  if (path.at(-1) === "blocked") {
    response.writeHead(200, { "content-type": "application/json" }).end("{\"blockedActions\":[]}")
    return
  }
  const [kind, size] = scenario
  const [body] = prepare(
    kind === "conversation" ? scenario.join() : "running",
    () => [Buffer.from(kind === "conversation" ? conversation(Number(size)) : runningConversation())]
  )
  response.writeHead(200, { "content-type": "application/json", "content-length": body!.length })
  response.end(body)
})

server.keepAliveTimeout = 60_000
server.requestTimeout = 0
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  process.send!((server.address() as AddressInfo).port)
})
process.on("disconnect", () => process.exit())

/** How the misbehaving proxy answers one request: forwards it, and does to the answer what its troubles say. */
import type * as Http from "node:http"
import { request as requestOf } from "node:http"
import type { Socket } from "node:net"
import { setTimeout as pause } from "node:timers/promises"
import * as Zlib from "node:zlib"
import type { Trouble } from "./proxyTrouble.ts"

type Pieces = AsyncIterable<Uint8Array>

export interface Forwarded {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Pieces
}

/** An answer in the proxy's cache. */
export interface Stored {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Uint8Array
  readonly at: number
}

export interface Stage {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly troubles: ReadonlyArray<Trouble>
  readonly count: (trouble: Trouble) => void
  readonly cached: Map<string, Stored>
  /** The proxy as its client calls it, and the origin: addresses in answers are rewritten. */
  readonly self: string
  readonly origin: string
  /** The client has left, or the proxy stops. */
  readonly left: AbortSignal
  readonly stopping: AbortSignal
  readonly forward: (body: Uint8Array, signal: AbortSignal) => Promise<Forwarded>
  /** Work that outlives the answer. */
  readonly background: (work: Promise<unknown>) => void
}

export const forward = (options: {
  readonly agent: Http.Agent
  readonly body: Uint8Array
  readonly method: string
  readonly origin: URL
  readonly request: Http.IncomingMessage
  readonly signal: AbortSignal
  readonly sockets: Set<Socket>
  readonly url: string
}): Promise<Forwarded> =>
  new Promise((resolve, reject) => {
    const { connection: _, "transfer-encoding": __, ...headers } = options.request.headers
    const outgoing = requestOf({
      agent: options.agent,
      host: options.origin.hostname,
      port: options.origin.port,
      method: options.method,
      path: options.url,
      headers: { ...headers, host: options.origin.host, "content-length": String(options.body.length) },
      signal: options.signal
    })
    outgoing.on("socket", (socket) => {
      options.sockets.add(socket)
      socket.once("close", () => options.sockets.delete(socket))
    })
    outgoing.on("error", reject)
    outgoing.on("response", (incoming) => {
      incoming.on("error", () => undefined)
      resolve({ status: incoming.statusCode ?? 502, headers: incoming.headers, body: incoming })
    })
    outgoing.end(options.body)
  })

const readAll = async (body: Pieces): Promise<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}

const find = <Tag extends Trouble["_tag"]>(stage: Stage, tag: Tag) =>
  stage.troubles.find((one): one is Extract<Trouble, { readonly _tag: Tag }> => one._tag === tag)

const reset = ({ request }: Stage) => void request.socket.resetAndDestroy()

/** Answers, or throws when the client has left. */
export const respond = async (stage: Stage): Promise<void> => {
  const { count, left, response } = stage
  const body = await readAll(stage.request)
  const own = stage.troubles.find(isAlone)
  const waiting = find(stage, "Delay")
  if (waiting !== undefined) {
    count(waiting)
    await pause(waiting.request, undefined, { signal: left })
  }
  if (own !== undefined) {
    count(own)
    return answerAlone(stage, own, body)
  }
  const caching = find(stage, "Cache")
  const key = `${stage.request.headers.authorization ?? ""} ${stage.request.url}`
  const stored = stage.cached.get(key)
  if (caching !== undefined && stage.request.method === "GET" && stored !== undefined) {
    count(caching)
    const age = Math.max(caching.age, Math.round((Date.now() - stored.at) / 1000))
    return send(stage, {
      status: stored.status,
      headers: { ...stored.headers, age: String(age) },
      body: once(stored.body)
    })
  }
  let answer: Forwarded
  try {
    answer = rewritten(stage, await stage.forward(body, left))
  } catch (cause) {
    if (left.aborted) throw cause
    // The origin is unreachable: respond as a gateway does.
    response.writeHead(502, { "content-type": "text/html" }).end("<html><body>502 Bad Gateway</body></html>")
    return
  }
  if (waiting !== undefined) await pause(waiting.response, undefined, { signal: left })
  if (caching !== undefined && stage.request.method === "GET" && answer.status === 200 && !isEvents(answer)) {
    const kept = { status: answer.status, headers: answer.headers, body: await readAll(answer.body), at: Date.now() }
    // An old answer, also the first time: it was made when it was stored.
    const date = new Date(Date.now() - caching.age * 1000).toUTCString()
    stage.cached.set(key, { ...kept, headers: { ...kept.headers, date } })
    return send(stage, { ...answer, body: once(kept.body) })
  }
  return send(stage, answer)
}

/** Troubles whose answer is not the origin's. */
type Alone = Extract<Trouble, { readonly _tag: "Reset" | "HalfOpen" | "Gateway" }>

const isAlone = (trouble: Trouble): trouble is Alone =>
  trouble._tag === "Reset" || trouble._tag === "HalfOpen" || trouble._tag === "Gateway"

const answerAlone = async (
  stage: Stage,
  trouble: Alone,
  body: Uint8Array
): Promise<void> => {
  const { background, left, response, stopping } = stage
  /** The origin finishes, whether or not the client stays. */
  const handle = async (after: number) => {
    await pause(after, undefined, { signal: stopping })
    const answer = await stage.forward(body, stopping)
    // A run that goes on for ever is not waited for: only the answer's beginning counts for a stream.
    if (!isEvents(answer)) await readAll(answer.body)
    else await answer.body[Symbol.asyncIterator]().return?.()
  }
  switch (trouble._tag) {
    case "Reset":
      if (trouble.forwarded) await handle(0)
      return reset(stage)
    case "HalfOpen":
      if (trouble.forwarded) background(handle(0))
      // The response stays open: its client leaves, or the proxy stops.
      return
    case "Gateway":
      if (trouble.origin !== undefined) background(handle(trouble.origin))
      await pause(trouble.after, undefined, { signal: left })
      response.writeHead(trouble.status, { "content-type": "text/html; charset=utf-8", ...trouble.headers })
      response.end(trouble.body)
  }
}

const isEvents = ({ headers }: Forwarded) => headers["content-type"]?.startsWith("text/event-stream") === true

/** Addresses of the origin in a JSON answer and in a redirect become the proxy's. */
const rewritten = (stage: Stage, answer: Forwarded): Forwarded => {
  const { location, ...headers } = answer.headers
  const moved = location?.replace(stage.origin, stage.self)
  if (headers["content-type"]?.startsWith("application/json") !== true) {
    return moved === undefined ? answer : { ...answer, headers: { ...headers, location: moved } }
  }
  const { "content-length": _, ...rest } = headers
  return {
    status: answer.status,
    headers: moved === undefined ? rest : { ...rest, location: moved },
    body: (async function*() {
      const text = Buffer.from(await readAll(answer.body)).toString("utf8")
      yield Buffer.from(text.replaceAll(stage.origin, stage.self), "utf8")
    })()
  }
}

async function* once(bytes: Uint8Array): Pieces {
  if (bytes.length > 0) yield bytes
}

const send = async (stage: Stage, answer: Forwarded): Promise<void> => {
  const { left, response } = stage
  const { connection: _, "keep-alive": __, "transfer-encoding": ___, ...headers } = answer.headers
  let pieces = answer.body
  let length = true
  for (const trouble of stage.troubles) {
    const changed = change(stage, trouble, pieces, headers, isEvents(answer))
    if (changed === undefined) continue
    stage.count(trouble)
    pieces = changed
    length = length && trouble._tag === "SkewDate"
  }
  if (!length) delete headers["content-length"]
  response.writeHead(answer.status, headers)
  response.flushHeaders()
  try {
    for await (const piece of pieces) {
      if (response.write(piece)) continue
      if (response.destroyed) return
      await new Promise<void>((resolve) => {
        response.once("drain", resolve)
        response.once("close", resolve)
      })
    }
  } catch (cause) {
    // Cut: by a trouble, by the origin, or because the client has left.
    reset(stage)
    if (cause instanceof CutError || left.aborted) return
    throw cause
  }
  const slow = find(stage, "SlowClose")
  if (slow !== undefined) {
    stage.count(slow)
    await pause(slow.after, undefined, { signal: left }).catch(() => undefined)
  }
  response.end()
}

class CutError extends Error {}

/** The body as the trouble leaves it; `undefined` where it does nothing to answers like this. */
const change = (
  { left }: Stage,
  trouble: Trouble,
  pieces: Pieces,
  headers: Http.IncomingHttpHeaders,
  events: boolean
): Pieces | undefined => {
  switch (trouble._tag) {
    case "Cut":
      return trouble.unit === "bytes"
        ? cutAfterBytes(pieces, trouble.after)
        : events
        ? cutAfterEvents(pieces, trouble.after)
        : undefined
    case "Compress":
      if (headers["content-encoding"] !== undefined) return undefined
      headers["content-encoding"] = trouble.encoding
      return compressed(pieces, trouble.encoding)
    case "SkewDate": {
      const date = headers.date === undefined ? Date.now() : Date.parse(headers.date)
      headers.date = new Date(date + trouble.seconds * 1000).toUTCString()
      return pieces
    }
    case "Drip":
      return dripping(pieces, trouble.bytes, trouble.every, left)
    case "Buffer":
      return (async function*() {
        yield* once(await readAll(pieces))
      })()
    case "IdleCut":
      return withTimer(pieces, left, trouble.after, () => {
        throw new CutError("idle")
      })
    case "Comments":
      return events ? commented(pieces, trouble.every, `: ${trouble.text}\n\n`, left) : undefined
    case "Cache":
    case "Delay":
    case "Gateway":
    case "HalfOpen":
    case "Reset":
    case "SlowClose":
      return undefined
  }
}

async function* cutAfterBytes(pieces: Pieces, after: number): Pieces {
  let rest = after
  for await (const piece of pieces) {
    if (piece.length >= rest) {
      if (rest > 0) yield piece.subarray(0, rest)
      // Let the sent bytes arrive before the reset.
      await pause(5)
      throw new CutError("cut")
    }
    rest -= piece.length
    yield piece
  }
}

async function* cutAfterEvents(pieces: Pieces, after: number): Pieces {
  let rest = after
  let last = 0
  for await (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) {
      const end = piece[i] === 10 && last === 10
      last = end ? 0 : piece[i]!
      if (!end || --rest > 0) continue
      yield piece.subarray(0, i + 1)
      await pause(5)
      throw new CutError("cut")
    }
    yield piece
  }
}

async function* dripping(pieces: Pieces, bytes: number, every: number, signal: AbortSignal): Pieces {
  for await (const piece of pieces) {
    for (let i = 0; i < piece.length; i += bytes) {
      await pause(every, undefined, { signal })
      yield piece.subarray(i, i + bytes)
    }
  }
}

/** Each piece is flushed, so that an event stream stays one. */
async function* compressed(pieces: Pieces, encoding: "gzip" | "br" | "deflate"): Pieces {
  const flush = encoding === "br" ? Zlib.constants.BROTLI_OPERATION_FLUSH : Zlib.constants.Z_SYNC_FLUSH
  const stream = encoding === "gzip"
    ? Zlib.createGzip()
    : encoding === "br"
    ? Zlib.createBrotliCompress({ params: { [Zlib.constants.BROTLI_PARAM_QUALITY]: 1 } })
    : Zlib.createDeflate()
  const out: Array<Uint8Array> = []
  stream.on("data", (piece: Buffer) => out.push(piece))
  try {
    for await (const piece of pieces) {
      await new Promise<void>((resolve, reject) => {
        stream.write(piece, (error) => error ? reject(error) : stream.flush(flush, () => resolve()))
      })
      yield* out.splice(0)
    }
    await new Promise<void>((resolve) => stream.once("end", resolve).end())
    yield* out.splice(0)
  } finally {
    stream.destroy()
  }
}

/** Calls back whenever the origin has been quiet for so long; what is returned is sent. */
async function* withTimer(
  pieces: Pieces,
  signal: AbortSignal,
  every: number,
  quiet: () => Uint8Array | undefined
): Pieces {
  const iterator = pieces[Symbol.asyncIterator]()
  let next = iterator.next()
  try {
    while (true) {
      const waiting = new AbortController()
      const first = await Promise.race([
        next,
        pause(every, "quiet" as const, { signal: AbortSignal.any([signal, waiting.signal]) }).catch(() =>
          "left" as const
        )
      ])
      waiting.abort()
      if (first === "left") return
      if (first === "quiet") {
        const more = quiet()
        if (more !== undefined) yield more
        continue
      }
      if (first.done === true) return
      next = iterator.next()
      yield first.value
    }
  } finally {
    next.catch(() => undefined)
    await Promise.race([Promise.resolve(iterator.return?.()).catch(() => undefined), pause(10)])
  }
}

/** Comments go between events only: after a piece that ends one. */
async function* commented(pieces: Pieces, every: number, comment: string, signal: AbortSignal): Pieces {
  let between = true
  const whole = (async function*() {
    for await (const piece of pieces) {
      between = piece.length > 1 && piece.at(-1) === 10 && piece.at(-2) === 10
      yield piece
    }
  })()
  yield* withTimer(whole, signal, every, () => between ? Buffer.from(comment) : undefined)
}

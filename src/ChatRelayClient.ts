/**
 * Follows a relayed answer in a page without Effect: a few kilobytes that need only `fetch`.
 *
 * {@link follow} reads the events of an answer and resumes by id when a connection breaks. {@link make} calls the routes of
 * `ChatRoutes`.
 *
 * @example
 * ```ts
 * import * as ChatRelayClient from "effect-dust/ChatRelayClient"
 *
 * const chat = ChatRelayClient.make({ url: "/chat" })
 *
 * const ask = async (message: string, render: (text: string) => void) => {
 *   const { id } = await chat.ask({ message })
 *   // Still there after a reload.
 *   sessionStorage.setItem("answer", id)
 *   let text = ""
 *   for await (const event of chat.follow({ id })) {
 *     text = ChatRelayClient.textAfter(text, event)
 *     render(text)
 *   }
 * }
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
import type * as ChatEvent from "./ChatEvent.ts"
import { isTransientStatus, pauseAfter, Reader } from "./internal/relay/reader.ts"
import { eventLimit, Parser, TooLarge } from "./internal/stream/sse.ts"

/**
 * An event in its JSON form, without the raw value of `Other` and the messages in `Started` and `Done`, whose types
 * require a schema (`ChatRelay.fromData`).
 *
 * @category models
 * @since 0.2.0
 */
export type RelayedEvent =
  | Exclude<ChatEvent.ChatEvent, ChatEvent.Started | ChatEvent.Other | ChatEvent.Done>
  | Omit<ChatEvent.Started, "message">
  | Pick<ChatEvent.Other, "_tag" | "eventId">
  | (Pick<ChatEvent.Done, "_tag" | "eventId"> & {
    readonly reply: Omit<ChatEvent.Reply, "message" | "agentMessage">
  })

/**
 * The answer failed, or a route refused the request, and the server said why. Connecting again does not help. `message` is a
 * sentence that can be shown to the user.
 *
 * @category errors
 * @since 0.2.0
 */
export class AnswerError extends Error {
  readonly _tag = "AnswerError"
  override readonly name = "AnswerError"
  /** The tag of the failure on the server, such as `DustAgentError`. */
  readonly error: string
  /** Dust's code or type of the failure. */
  readonly code: string | undefined
  /** The HTTP status, if a route refused the call. */
  readonly status: number | undefined

  constructor(
    options: { readonly error: string; readonly message: string; readonly code?: unknown; readonly status?: number }
  ) {
    super(options.message)
    this.error = options.error
    this.code = typeof options.code === "string" ? options.code : undefined
    this.status = options.status
  }
}

/**
 * The server could not be reached, or the connection broke. With an `id`, another {@link follow} can continue from
 * there. The reasons are those of `ChatRelay.RelayConnectionError`.
 *
 * @category errors
 * @since 0.2.0
 */
export class ConnectionError extends Error {
  readonly _tag = "ConnectionError"
  override readonly name = "ConnectionError"
  readonly reason: "network" | "ended" | "silent" | "status" | "not_events" | "too_large"
  readonly status: number | undefined
  /** The id of the last event that was read. */
  readonly id: string | undefined

  constructor(
    reason: ConnectionError["reason"],
    message: string,
    options: { readonly id?: string | undefined; readonly status?: number | undefined; readonly cause?: unknown } = {}
  ) {
    super(message, { cause: options.cause })
    this.reason = reason
    this.status = options.status
    this.id = options.id
  }
}

/**
 * Options for following an answer.
 *
 * @category models
 * @since 0.2.0
 */
export interface FollowOptions {
  /** The id of an event or of a question to continue after. By default, `open` asks a question. */
  readonly id?: string | undefined
  /** Stops following; the iteration ends without an error. */
  readonly signal?: AbortSignal | undefined
  /**
   * The time in milliseconds without any byte, including comments, after which a connection is replaced. Defaults to
   * 60,000.
   */
  readonly silence?: number | undefined
  /**
   * The maximum number of consecutive reconnections without a new event, not counting connections that stayed open for
   * five seconds and time without a network. 0 disables reconnection. Defaults to 10.
   */
  readonly attempts?: number | undefined
  /** Called when events arrive, when a connection is lost, and before the next one. */
  readonly onConnection?: ((state: "open" | "lost" | "connecting") => void) | undefined
  /** Called with the id of each event after the loop has handled it. */
  readonly onId?: ((id: string) => void) | undefined
}

type Decoded = RelayedEvent | { readonly _tag: "RelayedError"; readonly error: string; readonly message: string }

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A route explains a refusal in its body; other servers on the way do not. */
const throwIfRelayed = (json: unknown, status: number): void => {
  if (!isRecord(json) || json["_tag"] !== "RelayedError") return
  const { code, error, message } = json
  throw new AnswerError({ error: String(error), message: String(message), code, status })
}

/** Unknown events become `Other`, so that a newer server does not break the page. */
const decode = (data: string): Decoded => {
  const json = parsed(data)
  // The relay has encoded it with the schema of this type.
  return isRecord(json) && typeof json["_tag"] === "string" ? json as unknown as Decoded : { _tag: "Other" }
}

/** A promise for the first of several events. */
const pause = (milliseconds: number, signal: AbortSignal | undefined, event?: string): Promise<void> =>
  new Promise((resolve) => {
    const target: Partial<EventTarget> = globalThis
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", done)
      if (event !== undefined) target.removeEventListener?.(event, done)
      resolve()
    }
    const timer = Number.isFinite(milliseconds) ? setTimeout(done, milliseconds) : undefined
    signal?.addEventListener("abort", done)
    if (event !== undefined) target.addEventListener?.(event, done)
    if (signal?.aborted === true) done()
  })

const isOffline = () => typeof navigator === "object" && navigator.onLine === false

/** Reads the frames of one connection until its bytes end. Closes the connection if the consumer stops. */
async function* connection(
  reader: Reader<Decoded>,
  open: (id: string | undefined, signal: AbortSignal) => Promise<Response>,
  options: FollowOptions
): AsyncGenerator<ReadonlyArray<Decoded>> {
  const closing = new AbortController()
  const silence = options.silence ?? 60_000
  let silent = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const watch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      silent = true
      closing.abort()
    }, silence)
  }
  const left = () => closing.abort()
  options.signal?.addEventListener("abort", left)
  if (options.signal?.aborted === true) left()
  const failed = (reason: ConnectionError["reason"], message: string, more: object = {}) =>
    new ConnectionError(reason, message, { id: reader.id, ...more })
  try {
    watch()
    const response = await open(reader.id, closing.signal)
    const { body, headers, status } = response
    if (status !== 200) {
      if (!isTransientStatus(status)) throwIfRelayed(parsed(await response.text()), status)
      throw failed("status", `the server responded with ${status}`, { status })
    }
    if (body === null || !(headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      throw failed("not_events", "the response is not an event stream")
    }
    options.onConnection?.("open")
    const parser = new Parser(eventLimit)
    const bytes = body.getReader()
    // A body that came from somewhere else than `fetch` does not end with the signal.
    closing.signal.addEventListener("abort", () => void bytes.cancel().catch(() => undefined))
    while (!reader.over) {
      const { done, value } = await bytes.read()
      if (done) break
      watch()
      const frames = parser.push(value)
      if (frames instanceof TooLarge) throw failed("too_large", `an event has more than ${frames.limit} characters`)
      const events = reader.read(frames)
      if (events.length > 0) yield events
    }
    if (silent) throw failed("silent", "nothing was received for too long")
    if (!reader.over) throw failed("ended", "the event stream ended before the answer")
  } catch (error) {
    if (silent) throw failed("silent", "nothing was received for too long")
    throw error instanceof ConnectionError || error instanceof AnswerError
      ? error
      : failed("network", "the connection failed", { cause: error })
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener("abort", left)
    closing.abort()
  }
}

const isTransient = ({ id, reason, status }: ConnectionError): boolean =>
  id !== undefined &&
  (reason === "network" || reason === "ended" || reason === "silent" ||
    (status !== undefined && isTransientStatus(status)))

/**
 * Iterates over the events of an answer, each once, across as many connections as needed. `open` makes a connection:
 * without an `id`, it asks the question; with an `id`, it continues after that event. If the first connection breaks
 * before any event, the question is not asked again.
 *
 * Ends with `Done`. Throws {@link AnswerError} if the answer failed, and {@link ConnectionError} if the server cannot
 * be reached. Leaving the loop closes the connection.
 *
 * @category following
 * @since 0.2.0
 */
export async function* follow(
  open: (id: string | undefined, signal: AbortSignal) => Promise<Response>,
  options: FollowOptions = {}
): AsyncGenerator<RelayedEvent, void, undefined> {
  const reader = new Reader<Decoded>(options.id, decode)
  const { attempts = 10, onConnection, onId, signal } = options
  const stopped = () => signal?.aborted === true
  while (!stopped()) {
    reader.connecting(Date.now())
    try {
      for await (const events of connection(reader, open, options)) {
        for (const event of events) {
          if (event._tag === "RelayedError") throw new AnswerError(event)
          yield event
        }
        if (reader.id !== undefined) onId?.(reader.id)
      }
      return
    } catch (error) {
      if (stopped()) return
      if (!(error instanceof ConnectionError) || !isTransient(error) || attempts === 0) throw error
      const fruitless = reader.fruitless(Date.now())
      onConnection?.("lost")
      if (isOffline()) {
        await pause(Infinity, signal, "online")
      } else if (fruitless > attempts) {
        throw error
      } else {
        await pause(pauseAfter(fruitless), signal, "online")
      }
      onConnection?.("connecting")
    }
  }
}

/**
 * Returns the text of an answer after one more event.
 *
 * @category following
 * @since 0.2.0
 */
export const textAfter = (text: string, event: RelayedEvent): string => {
  switch (event._tag) {
    case "TextDelta":
      return text + event.text
    case "Reset":
      return event.text
    case "Done":
      return event.reply.text
    default:
      return text
  }
}

/**
 * A question: the body of the route `POST ask` of `ChatRoutes`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Question {
  readonly message: string
  /** The id or name of an agent that the server offers. Defaults to the first. */
  readonly agent?: string | undefined
  /** Defaults to a new conversation. */
  readonly conversationId?: string | undefined
  readonly attachments?: ReadonlyArray<Attachment> | undefined
  /** Sends the question once for this key, however often it is called. Requires a server with a store. */
  readonly key?: string | undefined
}

/**
 * A file uploaded with {@link Client.attach}.
 *
 * @category models
 * @since 0.2.0
 */
export interface Attachment {
  readonly fileId: string
  readonly title: string
}

/**
 * A question that was sent.
 *
 * @category models
 * @since 0.2.0
 */
export interface Asked {
  /** For {@link Client.follow}. */
  readonly id: string
  readonly conversationId: string
  readonly messageId: string
  readonly userMessageId: string
}

/**
 * The ids of a run that waits for a person, from the event `ApprovalNeeded` or `QuestionAsked`.
 *
 * @category models
 * @since 0.2.0
 */
export interface BlockedAt {
  readonly conversationId: string
  readonly messageId: string
  readonly actionId: string
}

/**
 * Calls the routes of `ChatRoutes`. Each method fails with {@link AnswerError} if the server refuses, and with {@link
 * ConnectionError} if it cannot be reached. Nothing is retried.
 *
 * @category models
 * @since 0.2.0
 */
export interface Client {
  /** Sends a question without waiting for the answer. */
  readonly ask: (question: Question) => Promise<Asked>
  /** Iterates over the events of an answer, as {@link follow}. */
  readonly follow: (options: FollowOptions & { readonly id: string }) => AsyncGenerator<RelayedEvent, void, undefined>
  /** Stops the agent. The end of the run arrives as an event of the answer. */
  readonly stop: (answer: { readonly conversationId: string; readonly messageId: string }) => Promise<void>
  /** Decides on a tool that waits for approval. */
  readonly decide: (at: BlockedAt, decision: "approved" | "rejected" | "always_approved") => Promise<void>
  /** Answers a question of the agent. */
  readonly answer: (
    at: BlockedAt,
    answer: { readonly selectedOptions?: ReadonlyArray<number>; readonly customResponse?: string }
  ) => Promise<void>
  /** Uploads a file to attach to a question. */
  readonly attach: (file: Blob & { readonly name?: string }, name?: string) => Promise<Attachment>
}

/**
 * Makes a client for the routes of `ChatRoutes`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: {
  /** The path of the routes, such as `/chat`. */
  readonly url: string
  /** Headers of every request, such as the token of a session. Called for each request. */
  readonly headers?: (() => Readonly<Record<string, string>>) | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
}): Client => {
  const request = async (path: string, init: RequestInit & { readonly headers?: Record<string, string> } = {}) => {
    const send = options.fetch ?? globalThis.fetch
    return send(`${options.url}${path}`, { ...init, headers: { ...options.headers?.(), ...init.headers } })
  }
  const call = async (path: string, body: BodyInit, headers: Record<string, string>): Promise<unknown> => {
    let response: Response
    let text: string
    try {
      response = await request(path, { method: "POST", body, headers })
      text = await response.text()
    } catch (cause) {
      throw new ConnectionError("network", "the server could not be reached", { cause })
    }
    const json = parsed(text)
    const { status } = response
    if (response.ok) return json
    throwIfRelayed(json, status)
    throw new ConnectionError("status", `the server responded with ${status}`, { status })
  }
  const post = (path: string, body: object) => call(path, JSON.stringify(body), { "content-type": "application/json" })
  // The routes answer with this type.
  return {
    ask: (question) => post("/ask", question) as Promise<Asked>,
    follow: (following) =>
      follow((id = following.id, signal) => request(`/events/${encodeURIComponent(id)}`, { signal }), following),
    stop: async ({ conversationId, messageId }) => {
      await post("/stop", { conversationId, messageId })
    },
    decide: async ({ actionId, conversationId, messageId }, decision) => {
      await post("/decide", { conversationId, messageId, actionId, decision })
    },
    answer: async ({ actionId, conversationId, messageId }, answer) => {
      await post("/answer", { conversationId, messageId, actionId, selectedOptions: [], ...answer })
    },
    attach: (file, name = file.name ?? "file") =>
      call("/files", file, {
        "x-file-name": encodeURIComponent(name),
        ...(file.type === "" ? {} : { "content-type": file.type })
      }) as Promise<Attachment>
  }
}

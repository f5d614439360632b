/** Calls of Local Dust below the SDK: what the server answers, byte by byte. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Effect, Redacted, Stream } from "effect"
import * as DustTest from "effect-dust/DustTest"

/** Parsed JSON of any shape. */
export type Json = ReturnType<typeof JSON.parse>

export const token = {
  key: Redacted.value(DustTest.credentials.apiKey),
  adminKey: Redacted.value(DustTest.credentials.adminApiKey),
  user: Redacted.value(DustTest.credentials.userToken),
  admin: Redacted.value(DustTest.credentials.adminToken)
}

export interface CallOptions {
  readonly body?: unknown
  /** The text of the body, instead of JSON. */
  readonly raw?: string
  /** null: no Authorization header. */
  readonly token?: string | null
  readonly headers?: Record<string, string>
  /** The whole path, instead of one below the workspace. */
  readonly absolute?: boolean
}

const origin = "https://local-dust.test"

export const path = (suffix: string) => `/api/v1/w/${DustTest.credentials.workspaceId}${suffix}`

export const send = (method: "GET" | "POST" | "PATCH" | "DELETE", suffix: string, options: CallOptions = {}) => {
  const url = suffix.startsWith("https:") ? suffix : `${origin}${options.absolute === true ? suffix : path(suffix)}`
  let request = HttpClientRequest.make(method)(url)
  if (options.token !== null) {
    request = HttpClientRequest.setHeader(request, "authorization", `Bearer ${options.token ?? token.key}`)
  }
  if (options.raw !== undefined) request = HttpClientRequest.bodyText(request, options.raw, "application/json")
  else if (options.body !== undefined) request = HttpClientRequest.bodyUnsafeJson(request, options.body)
  request = HttpClientRequest.setHeaders(request, options.headers ?? {})
  return Effect.flatMap(HttpClient.HttpClient, (client) => client.execute(request))
}

export const call = (method: "GET" | "POST" | "PATCH" | "DELETE", suffix: string, options: CallOptions = {}) =>
  Effect.gen(function*() {
    const response = yield* send(method, suffix, options)
    const text = yield* response.text
    const json: Json = (response.headers["content-type"] ?? "").includes("json") ? JSON.parse(text) : undefined
    return {
      status: response.status,
      headers: response.headers,
      text,
      json,
      type: json?.error?.type as string | undefined
    }
  })

export const get = (suffix: string, options?: CallOptions) => call("GET", suffix, options)
export const post = (suffix: string, body: unknown = {}, options: CallOptions = {}) =>
  call("POST", suffix, { ...options, body })

export const message = (content: string, agent: string | null = "echo", more: Record<string, unknown> = {}) => ({
  content,
  mentions: agent === null ? [] : [{ configurationId: agent }],
  context: { username: "ada", timezone: "Europe/Paris" },
  ...more
})

/** A new conversation with one message: its id, and that of the agent message. */
export const ask = (content: string, agent = "echo", options: CallOptions & { readonly more?: Json } = {}) =>
  Effect.map(
    post("/assistant/conversations", { message: message(content, agent), ...options.more }, options),
    ({ json }) => ({
      conversationId: json.conversation.sId as string,
      userMessageId: json.message.sId as string,
      messageId: json.conversation.content[1]?.[0]?.sId as string,
      json
    })
  )

export interface Frame {
  readonly event: string | undefined
  readonly data: string
  readonly id: string | undefined
  readonly json: Json
}

export const parseFrames = (text: string): ReadonlyArray<Frame> =>
  text.split("\n\n").filter((frame) => frame.trim() !== "").map((frame) => {
    const lines = frame.split("\n")
    const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n")
    const event = lines.find((line) => line.startsWith("event: "))?.slice(7)
    let json: Json
    try {
      json = JSON.parse(data)
    } catch {
      json = undefined
    }
    return { event, data, id: json?.eventId, json: json?.data }
  })

const direct = (suffix: string) => path(suffix).replace("/api/", "/api/sse/")

export const open = (suffix: string, options: CallOptions = {}) =>
  send("GET", direct(suffix), { ...options, absolute: true })

export const bytesToText = (response: HttpClientResponse.HttpClientResponse) =>
  Stream.decodeText(response.stream).pipe(Stream.runFold("", (all, piece) => all + piece))

/** One connection, until the server closes it. */
export const connect = (suffix: string, options: CallOptions = {}) =>
  Effect.map(Effect.flatMap(open(suffix, options), bytesToText), parseFrames)

export const messageEvents = (
  ids: { readonly conversationId: string; readonly messageId: string },
  lastEventId?: string
) =>
  `/assistant/conversations/${ids.conversationId}/messages/${ids.messageId}/events${
    lastEventId === undefined ? "" : `?lastEventId=${lastEventId}`
  }`

export const types = (frames: ReadonlyArray<Frame>) =>
  frames.map((frame) => frame.event ?? (frame.data === "done" ? "done" : frame.json?.type ?? "?"))

/** Resends recorded requests to Local Dust, and returns its responses in the form used for comparison. */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Parser, TooLarge } from "../stream/sse.ts"
import type { Answer, AnswerBody } from "./answer.ts"
import { bytesOf, bytesOfFrame, recordedBody } from "./bodies.ts"
import type { Identities } from "./identities.ts"
import type { Exchange, FormPart, RecordedBody, RecordedRequest } from "./tape.ts"

export interface Local {
  readonly client: HttpClient.HttpClient
  readonly url: string
  readonly tokens: Readonly<Record<Exclude<RecordedRequest["credential"], "none">, string>>
  /** The idle timeout of an event stream, after which the events received so far are compared. */
  readonly silence: Duration.DurationInput
}

const kindOf = (event: string | undefined, data: string): readonly [kind: string, value: unknown] => {
  if (event !== undefined) return [event, {}]
  try {
    const json = JSON.parse(data) as unknown
    const inner = typeof json === "object" && json !== null && "data" in json ? json.data : json
    const type = typeof inner === "object" && inner !== null && "type" in inner ? inner.type : undefined
    return [typeof type === "string" ? type : "message", inner]
  } catch {
    return [data.trim() === "done" ? "done" : "text", {}]
  }
}

class Kinds {
  readonly kinds = new Map<string, Array<unknown>>()
  readonly #parser = new Parser(64 * 1024 * 1024)

  push(bytes: Uint8Array): void {
    const frames = this.#parser.push(bytes)
    if (frames instanceof TooLarge) return
    for (const { data, event } of frames) {
      const [kind, value] = kindOf(event, data)
      const known = this.kinds.get(kind)
      if (known === undefined) this.kinds.set(kind, [value])
      else known.push(value)
    }
  }
}

export const recordedAnswer = ({ response }: Exchange): Answer | undefined => {
  if (response === undefined) return undefined
  const { body, end, headers, status } = response
  return {
    status,
    location: headers["location"],
    body: end === "unread" ? undefined : comparedBody(body, end === "complete")
  }
}

const comparedBody = (body: RecordedBody | undefined, isWhole: boolean): AnswerBody | undefined => {
  if (body === undefined) return isWhole ? { _tag: "nothing" } : undefined
  if ("json" in body) return { _tag: "json", value: body.json }
  if ("events" in body) {
    const all = new Kinds()
    for (const frame of body.events) all.push(bytesOfFrame(frame))
    return { _tag: "events", kinds: all.kinds, isWhole }
  }
  return "omitted" in body ? undefined : { _tag: "text" }
}

const formOf = (parts: ReadonlyArray<FormPart>): FormData => {
  const form = new FormData()
  for (const { bytes, contentType, fileName, name, text } of parts) {
    if (text !== undefined) form.append(name, text)
    else {
      const type = contentType === undefined ? {} : { type: contentType }
      form.append(name, new File(["x".repeat(bytes ?? 0)], fileName ?? name, type))
    }
  }
  return form
}

/** A recorded request adapted to Local Dust, or the reason why it cannot be sent. */
export const requestOf = (
  { request: { body, credential, headers, method, path, query } }: Exchange,
  identities: Identities,
  local: Local
): { readonly request: HttpClientRequest.HttpClientRequest; readonly isApi: boolean } | string => {
  if (body !== undefined && "omitted" in body) return `its body of ${body.omitted} bytes is not on the tape`
  const elsewhere = identities.addressOf(path)
  const url = new URL(
    elsewhere ??
      path.split("/").map((segment) => encodeURIComponent(identities.of(decodeURIComponent(segment)))).join("/"),
    local.url
  )
  if (elsewhere === undefined) {
    for (const [name, value] of Object.entries(query)) {
      for (const one of typeof value === "string" ? [value] : value) url.searchParams.append(name, identities.of(one))
    }
  }
  let request = HttpClientRequest.make(method as Parameters<typeof HttpClientRequest.make>[0])(url, {
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "content-type"))
  })
  if (credential !== "none") {
    request = HttpClientRequest.setHeader(request, "authorization", `Bearer ${local.tokens[credential]}`)
  }
  const type = headers["content-type"]
  if (body !== undefined && "parts" in body) request = HttpClientRequest.bodyFormData(request, formOf(body.parts))
  else if (body !== undefined) {
    const bytes = bytesOf("json" in body ? { json: identities.in(body.json) } : body)
    if (bytes !== undefined) request = HttpClientRequest.bodyUint8Array(request, bytes, type)
  } else if (type !== undefined) request = HttpClientRequest.setHeader(request, "content-type", type)
  return { request, isApi: elsewhere === undefined }
}

/** Whether every recorded kind of event has arrived, for a recording that was not read to its end. */
const hasAll = (recorded: AnswerBody | undefined, { kinds }: Kinds): boolean =>
  recorded?._tag === "events" && !recorded.isWhole && [...recorded.kinds.keys()].every((kind) => kinds.has(kind))

const events = (
  response: HttpClientResponse.HttpClientResponse,
  local: Local,
  recorded: AnswerBody | undefined
): Effect.Effect<AnswerBody> =>
  Effect.suspend(() => {
    const all = new Kinds()
    return response.stream.pipe(
      Stream.timeout(local.silence),
      Stream.tap((bytes) => Effect.sync(() => all.push(bytes))),
      Stream.takeUntil(() => hasAll(recorded, all)),
      Stream.runDrain,
      // Events received before a connection error are compared.
      Effect.ignore,
      Effect.map(() => ({ _tag: "events" as const, kinds: all.kinds, isWhole: true }))
    )
  })

export const answerOf = (
  request: HttpClientRequest.HttpClientRequest,
  local: Local,
  recorded: Answer
): Effect.Effect<Answer> =>
  Effect.gen(function*() {
    const response = yield* local.client.execute(request)
    const type = response.headers["content-type"]
    const head = { status: response.status, location: response.headers["location"] }
    if (type?.startsWith("text/event-stream") === true) {
      return { ...head, body: yield* events(response, local, recorded.body) }
    }
    const bytes = new Uint8Array(yield* response.arrayBuffer)
    return { ...head, body: comparedBody(recordedBody(bytes, type, Infinity), true) }
  }).pipe(
    // In process, only a scripted fault can break a connection.
    Effect.orDie
  )

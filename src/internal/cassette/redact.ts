/** Removes secrets and, on request, content from a recording. */
import * as Redacted from "effect/Redacted"
import type { EventFrame, Exchange, RecordedBody, RecordedRequest } from "./tape.ts"

/**
 * Redaction options of a recording.
 *
 * @category models
 * @since 0.2.0
 */
export interface Redaction {
  /**
   * What to do with content: texts, titles, names, addresses, queries. `"mask"` replaces each letter by `x` and each digit
   * by `0`, so that lengths, words and the order of a stream stay as they were; ids, types and other words of the protocol
   * are kept. Defaults to `"keep"`.
   */
  readonly content?: "keep" | "mask" | undefined
  /** Further values to remove wherever they occur, of at least 6 characters. */
  readonly secrets?: ReadonlyArray<string | Redacted.Redacted> | undefined
  /** Final transformation of an exchange before it is written. A replay needs the same one if it changes requests. */
  readonly redact?: ((exchange: Exchange) => Exchange) | undefined
}

export const removed = "<redacted>"

/** Shorter values would match ordinary text. */
const shortest = 6

const secretField =
  /^(?:x-)?(?:authorization|cookie|set-cookie|password|passwd|passphrase|pwd|otp|jwt|token|code[_-]?verifier|client[_-]?assertion|secret|.*[_-]?secret|.*secret(?:key|token)?|api[_-]?key|.*(?:access|refresh|id|auth|bearer|session|device|share)[_-]?token|credentials?|private[_-]?key|signature|shared[_-]?secret)$/i

const shapes: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bsk-[\w-]{6,}/g, removed],
  [/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/g, removed],
  [/\b(Bearer|Basic)\s+(?!<redacted>)[\w.~+/=-]{6,}/gi, `$1 ${removed}`],
  // Signed URLs, also within text.
  [
    /((?:^|[?&])(?:[\w.-]*(?:token|signature|sig|secret|password|credential|api[_-]?key|policy|jwt|code_verifier|client_assertion)|key)=)(?!<redacted>)[^&\s"'<>)\]]+/gi,
    `$1${removed}`
  ],
  [/(\/triggers\/hooks\/[^/?#\s"]+\/)(?!<redacted>)[^/?#\s"]+/g, `$1${removed}`],
  // The user and password of a URL.
  [/\b(https?:\/\/)[^/\s:@"]+:[^/\s@"]+@/gi, `$1${removed}@`],
  // Keys of common services, and private keys.
  [/\b(?:gh[pousr]_|github_pat_|xox[abeoprs]-|AKIA|ASIA|AIza|glpat-)[\w-]{8,}/g, removed],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, removed]
]

/** Protocol values without white space, which masking keeps. */
const protocol =
  /^(?:id|ids|.*Ids?|.*_ids?|type|.*Type|.*_type|kind|status|.*Status|role|visibility|classification|code|category|stake|origin|timezone|scope|action|useCase|unit|provider|source|availability|view|region|order.*|sort.*|limit|offset|cursor|version|event|.*At|.*_at|cron|mcpServerName|toolName|functionCallName|internalMCPServerId|contentFragmentType|nodeType|sourceProvider|visualization|method|jsonrpc|uploadUrl|downloadUrl)$/

/** Masking keeps the start of a URL, so that it stays valid. */
const mask = (text: string): string =>
  text.replace(/^https?:\/\/|\p{L}|\p{N}/gu, (found) => found.length > 2 ? found : /\p{N}/u.test(found) ? "0" : "x")

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const encodings = (secret: string): ReadonlyArray<string> => {
  const bytes = new TextEncoder().encode(secret)
  const base64 = btoa(String.fromCharCode(...bytes))
  return [...new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), base64])]
}

/** Collects secrets as they occur, and removes them everywhere. */
export class Redactor {
  readonly #secrets = new Set<string>()
  readonly #masks: boolean
  readonly #last: (exchange: Exchange) => Exchange

  constructor(options: Redaction) {
    this.#masks = options.content === "mask"
    this.#last = options.redact ?? ((exchange) => exchange)
    for (const secret of options.secrets ?? []) {
      this.learn(typeof secret === "string" ? secret : String(Redacted.value(secret)))
    }
  }

  /** Returns whether the secret was new. */
  learn(secret: string): boolean {
    if (secret.length < shortest || this.#secrets.has(secret) || secret === removed) return false
    for (const one of encodings(secret)) this.#secrets.add(one)
    return true
  }

  /** Learns the credentials in the headers of a request or response. */
  learnHeaders(headers: Readonly<Record<string, string>>): boolean {
    let learned = false
    for (const [name, value] of Object.entries(headers)) {
      if (!secretField.test(name)) continue
      const [, scheme, rest] = /^(\S+)\s+(\S+)$/.exec(value) ?? []
      const own = scheme === undefined ? value : rest ?? value
      if (/cookie/i.test(name)) {
        for (const pair of value.split(";")) learned = this.learn(pair.slice(pair.indexOf("=") + 1).trim()) || learned
      } else learned = this.learn(own) || learned
    }
    return learned
  }

  text(text: string): string {
    let clean = text
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, removed)
    for (const [shape, instead] of shapes) clean = clean.replace(shape, instead)
    return clean
  }

  json(value: unknown, field = ""): unknown {
    if (secretField.test(field) && (typeof value === "number" || typeof value === "bigint")) return removed
    if (typeof value === "string") {
      if (secretField.test(field) && value !== "") {
        this.learn(value)
        return removed
      }
      const clean = this.text(value)
      if (!this.#masks || clean === removed) return clean
      return protocol.test(field) && !/\s/.test(clean) ? clean : mask(clean)
    }
    if (Array.isArray(value)) return value.map((one) => this.json(one, field))
    if (!isRecord(value)) return value
    return Object.fromEntries(
      // Everything inside a secret field is secret.
      Object.entries(value).map(([key, one]) => [this.text(key), this.json(one, secretField.test(field) ? field : key)])
    )
  }

  body(body: RecordedBody | undefined): RecordedBody | undefined {
    if (body === undefined) return undefined
    if ("json" in body) return { json: this.json(body.json) }
    if ("text" in body) return { text: this.#content(body.text) }
    if ("events" in body) return { events: this.#events(body.events) }
    if ("base64" in body && this.#masks) return { omitted: Math.floor(body.base64.length * 3 / 4) }
    if ("base64" in body) {
      const raw = atob(body.base64)
      return this.text(raw) === raw ? body : { omitted: raw.length }
    }
    if ("parts" in body) {
      return {
        parts: body.parts.map(({ fileName, text, ...part }) => ({
          ...part,
          ...(fileName === undefined ? {} : { fileName: this.#content(fileName) }),
          ...(text === undefined ? {} : { text: secretField.test(part.name) ? removed : this.#content(text) })
        }))
      }
    }
    return body
  }

  #content(text: string): string {
    const clean = this.text(text)
    return this.#masks ? mask(clean) : clean
  }

  #events(events: ReadonlyArray<EventFrame>): ReadonlyArray<EventFrame> {
    const clean = events.map(({ id, json, text, ...frame }) => ({
      ...frame,
      ...(id === undefined ? {} : { id: this.text(id) }),
      ...(json === undefined ? {} : { json: this.json(json) }),
      ...(text === undefined ? {} : { text: this.#content(text) })
    }))
    // A secret in an agent's text may be split over several events.
    const said = clean.map(({ json }) => tokenOf(json)?.text ?? "").join("")
    return this.text(said) === said ? clean : clean.map((frame) => {
      const token = tokenOf(frame.json)
      return token === undefined ? frame : { ...frame, json: token.with(removed) }
    })
  }

  request(request: RecordedRequest): RecordedRequest {
    const body = this.body(request.body)
    return {
      method: request.method,
      path: this.text(request.path),
      query: Object.fromEntries(
        Object.entries(request.query).map(([name, value]) => [
          name,
          secretField.test(name) ? removed : this.json(value, name) as string | ReadonlyArray<string>
        ])
      ),
      headers: this.#headers(request.headers),
      credential: request.credential,
      ...(body === undefined ? {} : { body })
    }
  }

  #headers(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, this.text(value)]))
  }

  exchange(exchange: Exchange): Exchange {
    const { failure, request, response } = exchange
    const body = this.body(response?.body)
    return this.#last({
      ...exchange,
      request: this.request(request),
      ...(response === undefined ? {} : {
        response: {
          status: response.status,
          headers: this.#headers(response.headers),
          ...(body === undefined ? {} : { body }),
          end: response.end
        }
      }),
      ...(failure === undefined ? {} : { failure: { ...failure, message: this.text(failure.message) } })
    })
  }
}

/** The text of a token event, and a function that replaces it. */
const tokenOf = (json: unknown): { readonly text: string; readonly with: (text: string) => unknown } | undefined => {
  if (!isRecord(json)) return undefined
  if (isRecord(json["data"])) {
    const inner = tokenOf(json["data"])
    return inner === undefined ? undefined : { text: inner.text, with: (text) => ({ ...json, data: inner.with(text) }) }
  }
  return json["type"] === "generation_tokens" && typeof json["text"] === "string"
    ? { text: json["text"], with: (text) => ({ ...json, text }) }
    : undefined
}

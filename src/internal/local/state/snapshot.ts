/** Renders requests as text that is the same in every run. */
import { Redactor } from "../../cassette/redact.ts"
import type { SeenRequest } from "../server/pipeline.ts"
import type { World } from "./state.ts"

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const uuid = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g
const eventId = /^\d+-\d+$/
const isoTime = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})/g
const timeField = /(?:At|Ts|Ms|_at|timestamp|Timestamp|created|updated|expiry)$/
const word = /[A-Za-z0-9_]+/g

/** Names ids in order of their first occurrence. */
class Names {
  readonly #names = new Map<string, string>()
  readonly #counts = new Map<string, number>()

  constructor(readonly made: ReadonlySet<string>) {}

  name(value: string, kind: string): string {
    const known = this.#names.get(value)
    if (known !== undefined) return known
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    const name = `<${kind} ${count}>`
    this.#names.set(value, name)
    return name
  }

  text(text: string): string {
    if (eventId.test(text)) return this.name(text, "event")
    return text.replace(uuid, (id) => this.name(id, "id")).replace(isoTime, "<time>").replace(
      word,
      (one) => this.made.has(one) ? this.name(one, "id") : one
    )
  }

  json(value: unknown, field = ""): unknown {
    if (typeof value === "string") return this.text(value)
    if (typeof value === "number") return value > 1e12 || timeField.test(field) ? "<time>" : value
    if (Array.isArray(value)) return value.map((one) => this.json(one, field))
    if (!isRecord(value)) return value
    return Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
        .map(([key, one]) => [
          this.text(key),
          // By default, the zone of the machine.
          field === "context" && key === "timezone" ? "<timezone>" : this.json(one, key)
        ])
    )
  }
}

const pathOf = ({ params, path }: SeenRequest, names: Names): string =>
  path.replace(`/api/v1/w/${params["workspaceId"]}`, "").replace(`/api/sse/v1/w/${params["workspaceId"]}`, "/api/sse")
    .split("/").map((segment) => names.text(decodeURIComponent(segment))).join("/")

const queryOf = ({ query }: SeenRequest, names: Names): string => {
  const all = Object.entries(query).sort(([a], [b]) => a < b ? -1 : 1).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((one) => `${name}=${names.text(one)}`)
  )
  return all.length === 0 ? "" : `?${all.join("&")}`
}

const indented = (text: string): string => text.split("\n").map((line) => `  ${line}`).join("\n")

const bodyOf = ({ body }: SeenRequest, names: Names): ReadonlyArray<string> =>
  body === undefined
    ? []
    : [indented(typeof body === "string" ? names.text(body) : JSON.stringify(names.json(body), null, 2))]

const answerOf = ({ fault, status }: SeenRequest): string =>
  `  → ${status ?? "no answer"}${fault === undefined ? "" : ` (${fault})`}`

/** Without secrets: a snapshot is kept with the tests. */
const cleaned = (redactor: Redactor, request: SeenRequest): SeenRequest => ({
  ...request,
  path: redactor.text(request.path),
  query: redactor.json(request.query) as SeenRequest["query"],
  body: request.body === undefined ? undefined : redactor.json(request.body)
})

export const renderRequests = (world: World, seen: ReadonlyArray<SeenRequest>): string => {
  const names = new Names(world.ids)
  const redactor = new Redactor({})
  const requests = seen.map((request) => cleaned(redactor, request))
  // Path parameters first, so that each id is named after its parameter wherever it occurs.
  for (const { params } of requests) {
    for (const [name, value] of Object.entries(params)) if (world.ids.has(value)) names.name(value, name)
  }
  return requests.map((request) =>
    [
      `${request.method} ${pathOf(request, names)}${queryOf(request, names)} (${request.credential})`,
      ...bodyOf(request, names),
      answerOf(request)
    ].join("\n")
  ).join("\n\n")
}

import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as DustTest from "effect-dust/DustTest"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { readFileSync } from "node:fs"
import { calls } from "../fixtures/calls.ts"
import { composed, covered, left, unsent } from "../fixtures/coverage.ts"
import { type Endpoint, endpoints, nameOf, ordinary, shapeOf } from "../fixtures/endpoints.ts"
import { operations, withTable } from "../tools/coverage.ts"

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
const guide = readFileSync(new URL("../../docs/coverage.md", import.meta.url), "utf8")

const canonical = new Map(endpoints.filter(({ status }) => status !== "alias").map((one) => [nameOf(one), one]))

/** Every method of every service, by the names of modules and members. */
const members = Effect.map(
  Effect.scoped(Layer.build(DustTest.layer())),
  (context) =>
    [...context.unsafeMap].flatMap(([key, service]) => {
      const module = key.replace("effect-dust/", "")
      if (["DustClient", "DustConfig", "DustTest"].includes(module) || typeof service !== "object") return []
      return Object.keys(service as object).map((member) => `${module}.${member}`)
    })
)

interface Sent {
  readonly shape: string
  readonly query: Set<string>
  readonly body: Set<string>
  /** Whether Local Dust has the route. */
  readonly answered: boolean
}

const namesIn = (body: unknown): ReadonlyArray<string> =>
  typeof body === "object" && body !== null && !Array.isArray(body) ? Object.keys(body) : []

/** Calls that go on until they are stopped. */
const endless: ReadonlyArray<string> = [
  "Conversations.events",
  "McpServers.serve",
  "McpServers.transport",
  "McpServers.requests"
]

/** The requests of one call until it ends, or, if it is endless, until the expected ones have arrived. */
const sentBy = (call: (typeof calls)[number], expected: ReadonlySet<string>) =>
  Effect.gen(function*() {
    const dust = yield* DustTest.DustTest
    const allSent = Effect.forEach(
      expected,
      (shape) =>
        dust.waitForRequest((one) =>
          one.route !== undefined && `${one.method} ${shapeOf(one.route)}` === shape && one.status !== undefined
        ),
      { concurrency: "unbounded" }
    )
    // Whatever else it sends, a call that ends has sent.
    const shapes = yield* Effect.exit(
      endless.includes(call.method) ? Effect.raceFirst(call.run, allSent) : call.run
    ).pipe(
      Effect.zipRight(dust.requests()),
      Effect.map((requests) =>
        requests.map((one): Sent => ({
          shape: `${one.method} ${
            one.route === undefined ? one.path.replace("/api/sse/", "/api/") : shapeOf(one.route)
          }`,
          query: new Set(Object.keys(one.query)),
          body: new Set(namesIn(one.body)),
          answered: one.route !== undefined
        }))
      )
    )
    return shapes
  }).pipe(
    Effect.provide(DustTest.layer({ credential: call.credential, retry: RetryPolicy.none }))
  )

const shapeOfEndpoint = (endpoint: Endpoint) => `${endpoint.method} ${shapeOf(endpoint.path)}`

const shapes = new Set([...canonical.values()].map(shapeOfEndpoint))

// The last tests judge what those before them have sent.
describe("coverage of Dust's public API", { shuffle: false }, () => {
  it("has a method, or a reason, for every operation that an ordinary caller can make", () => {
    const missing = ordinary.map(nameOf).filter((name) => covered[name] === undefined && left[name] === undefined)
    assert.deepStrictEqual(missing, [])
    // The figure that the README promises is that of the declarations.
    const promised = /operations of Dust's public API \| \[(\d+)\]\(docs\/coverage\.md\) \| (\d+) of them/.exec(readme)
    const { here, theirs } = operations()
    assert.deepStrictEqual(promised?.slice(1), [`${here}`, `${theirs}`])
    assert.strictEqual(here, ordinary.length - ordinary.filter((one) => left[nameOf(one)] !== undefined).length)
  })

  it("knows no operation that does not exist, and gives none two fates", () => {
    const named = [...Object.keys(covered), ...Object.keys(left), ...Object.keys(unsent)]
    assert.deepStrictEqual(named.filter((name) => !canonical.has(name)), [])
    assert.deepStrictEqual(Object.keys(left).filter((name) => covered[name] !== undefined), [])
  })

  it("docs/coverage.md has the current table (npm run docs:coverage writes it)", () => {
    assert.strictEqual(withTable(guide), guide)
  })

  it.effect("names methods that exist, and every method that exists", () =>
    Effect.map(members, (members) => {
      const named = new Set([...Object.values(covered).flat(), ...composed])
      assert.deepStrictEqual([...named].filter((name) => !members.includes(name)), [], "named, and not there")
      assert.deepStrictEqual(members.filter((name) => !named.has(name)), [], "there, and not named")
      assert.deepStrictEqual(
        [...new Set(Object.values(covered).flat())].filter((name) => !calls.some(({ method }) => method === name)),
        [],
        "not called below"
      )
    }))

  const operationsOf = (method: string) =>
    Object.entries(covered).flatMap(([name, methods]) => methods.includes(method) ? [canonical.get(name)!] : [])

  const sentNames = new Map<string, { readonly query: Set<string>; readonly body: Set<string> }>()
  /** The same of one method alone. */
  const sentByMethod = new Map<string, ReadonlySet<string>>()

  for (const call of calls) {
    it.live(`${call.method} sends what the API knows`, () =>
      Effect.gen(function*() {
        const expected = operationsOf(call.method)
        assert.isNotEmpty(expected)
        const sent = yield* sentBy(call, new Set(expected.map(shapeOfEndpoint)))
        assert.deepStrictEqual(
          sent.map(({ shape }) => shape).filter((shape) => shape.includes("/api/v1/") && !shapes.has(shape)),
          [],
          "no other path, and none of the old ones"
        )
        for (const endpoint of expected) {
          const shape = shapeOfEndpoint(endpoint)
          const hits = sent.filter((one) => one.shape === shape)
          assert.isNotEmpty(hits, `${shape} among ${sent.map((one) => one.shape).join(", ")}`)
          assert.isTrue(hits.every(({ answered }) => answered), `Local Dust answers ${shape}`)
          const known = sentNames.get(nameOf(endpoint)) ?? { query: new Set(), body: new Set() }
          sentNames.set(nameOf(endpoint), known)
          sentByMethod.set(
            `${nameOf(endpoint)} by ${call.method}`,
            new Set(hits.flatMap(({ body, query }) => [...query, ...body]))
          )
          for (const { body, query } of hits) {
            for (const name of query) known.query.add(name)
            for (const name of body) known.body.add(name)
            if (!endpoint.query.includes("*")) {
              assert.deepStrictEqual(
                [...query].filter((name) => !endpoint.query.includes(name)),
                [],
                "query of " + shape
              )
            }
            if (!endpoint.bodyFields.includes("*") && endpoint.kind !== "multipart") {
              assert.deepStrictEqual(
                [...body].filter((name) => !endpoint.bodyFields.includes(name)),
                [],
                "body of " + shape
              )
            }
          }
        }
      }))
  }

  it("sends everything that the API knows, except what the table explains", () => {
    const silent = [...canonical.values()].flatMap((endpoint) => {
      const name = nameOf(endpoint)
      const sent = sentNames.get(name)
      if (sent === undefined || endpoint.kind === "multipart") return []
      const reasons = unsent[name] ?? {}
      return [
        ...endpoint.query.map((one) => [one, sent.query] as const),
        ...endpoint.bodyFields.map((one) => [one, sent.body] as const)
      ]
        .filter(([one, names]) => one !== "*" && !names.has(one) && reasons[one] === undefined)
        .map(([one]) => `${name}: ${one}`)
    })
    assert.deepStrictEqual(silent, [])
    const stale = Object.entries(unsent).flatMap(([name, reasons]) => {
      const sent = sentNames.get(name)
      return Object.keys(reasons).filter((one) => sent?.query.has(one) === true || sent?.body.has(one) === true)
        .map((one) => `${name}: ${one}`)
    })
    assert.deepStrictEqual(stale, [])
  })

  it("sends it by the plain method, or by the one that is there for it", () => {
    const others = Object.entries(covered).flatMap(([name, methods]) => {
      const by = methods.map((method) => [method, sentByMethod.get(`${name} by ${method}`) ?? new Set()] as const)
      const [plain] = by
      return by.slice(1).flatMap(([method, names]) =>
        [...names].filter((one) => plain?.[1].has(one) !== true).map((one) => `${name}: ${one} by ${method}`)
      )
    })
    assert.deepStrictEqual(others, [
      "POST /spaces/{spaceId}/apps/{aId}/runs: stream by Apps.stream",
      "GET /assistant/conversations/{cId}: limit by Conversations.createMessage",
      "GET /assistant/conversations/{cId}: limit by Conversations.findSent",
      "GET /assistant/conversations/{cId}: limit by Conversations.pageMessages",
      "GET /assistant/conversations/{cId}: lastValue by Conversations.pageMessages",
      "GET /assistant/conversations/{cId}: limit by Conversations.streamMessages",
      "GET /assistant/conversations/{cId}: limit by Conversations.getMessage",
      "GET /assistant/conversations/{cId}: limit by Conversations.answers",
      "PATCH /assistant/conversations/{cId}: read by Conversations.markRead",
      "PATCH /assistant/conversations/{cId}: read by Conversations.markUnread"
    ])
  })
})

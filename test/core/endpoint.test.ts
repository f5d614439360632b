/** Declarations and their results: methods and their types, names, routes, templates. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import type { DustClient } from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import type { SkillId, SpaceId, UserId } from "effect-dust/Ids"
import type { Skill, SkillFilter } from "effect-dust/Skill"
import type * as Skills from "effect-dust/Skills"
import {
  declared,
  del,
  get,
  group,
  type Handlers,
  type Methods,
  patch,
  post,
  type RouteName,
  using
} from "../../src/internal/api/endpoint.ts"
import { declarations, type RoutePath, routePaths } from "../../src/internal/api/groups.ts"
import { implement } from "../../src/internal/api/implement.ts"

const Answer = Schema.Struct({ agentConfigurations: Schema.Array(Schema.Unknown) })

/** Endpoints of every shape, on routes that Local Dust answers. */
const agents = group("Agents", {
  nothing: get("/spaces", { response: Schema.Struct({ spaces: Schema.Unknown }), pick: ({ spaces }) => spaces }),
  optional: get("/assistant/agent_configurations", {
    query: Schema.Struct({
      view: Schema.optional(Schema.Literal("all", "published")),
      withNames: Schema.optional(Schema.Boolean).pipe(Schema.fromKey("withAuthors"))
    }),
    response: Answer,
    pick: ({ agentConfigurations }) => agentConfigurations.length
  }),
  oneQuery: get("/assistant/agent_configurations/search", {
    query: Schema.Struct({ text: Schema.String.pipe(Schema.propertySignature, Schema.fromKey("q")) }),
    response: Answer
  }),
  oneBody: post("/assistant/mentions/parse", {
    body: Schema.Struct({ markdown: Schema.String }),
    response: Schema.Unknown
  }),
  onePath: del("/skills/{skillId}"),
  twoPaths: del("/spaces/{spaceId}/members/{userId}"),
  pathAndBody: patch("/assistant/agent_configurations/{agentId}", {
    constant: { variant: "light" },
    body: Schema.Struct({ isFavorite: Schema.optional(Schema.Boolean).pipe(Schema.fromKey("userFavorite")) }),
    response: Schema.Unknown
  }),
  text: get("/assistant/agent_configurations/{agentId}/export/yaml", { text: (text) => text.split("\n")[0] ?? "" }),
  byHand: using({ first: get("/skills", { response: Schema.Unknown }), second: get("/skills/{skillId}") })
})

interface Service extends Methods<typeof agents> {
  readonly byHand: () => Effect.Effect<string, RequestError>
}

class Agents extends Context.Tag("effect-dust/Agents")<Agents, Service>() {}

const make = implement(Agents, agents, ({ call, operation }) => ({
  byHand: () => Effect.as(call.byHand.first(), `${operation.byHand.second.module}.${operation.byHand.second.method}`)
}))

const local = Effect.provide(
  Layer.provideMerge(Layer.effect(Agents, make), DustTest.layer({ credential: "adminToken" }))
)

const last = Effect.flatMap(DustTest.DustTest, (dust) => dust.lastRequest())

const types = (name: string, body: () => void) => it(name, () => expectTypeOf(body).toBeFunction())

describe("endpoints", () => {
  it.effect("a method without values: sends the constant parts alone", () =>
    Effect.gen(function*() {
      const service = yield* Agents
      assert.isArray(yield* service.nothing())
      assert.deepInclude(yield* last, { method: "GET", path: "/api/v1/w/LocalDust1/spaces", query: {} })
    }).pipe(local))

  it.effect("a query: is encoded under the names of the wire, and may be left out when all of it may", () =>
    Effect.gen(function*() {
      const service = yield* Agents
      assert.isAbove(yield* service.optional(), 0)
      assert.deepStrictEqual((yield* last).query, {})
      yield* service.optional({ view: "all", withNames: true })
      assert.deepStrictEqual((yield* last).query, { view: "all", withAuthors: "true" })
    }).pipe(local))

  it.effect("one required value: is the argument itself, in the path, the query or the body", () =>
    Effect.gen(function*() {
      const service = yield* Agents
      yield* service.oneQuery("echo")
      assert.deepStrictEqual((yield* last).query, { q: "echo" })
      yield* service.oneBody("hi @echo")
      assert.deepStrictEqual((yield* last).body, { markdown: "hi @echo" })
      yield* service.onePath("skl_minutes")
      assert.strictEqual((yield* last).path, "/api/v1/w/LocalDust1/skills/skl_minutes")
    }).pipe(local))

  it.effect("several values: the declaration assigns them to path, query and body", () =>
    Effect.gen(function*() {
      const service = yield* Agents
      yield* service.pathAndBody({ agentId: "echo", isFavorite: true })
      assert.deepInclude(yield* last, {
        path: "/api/v1/w/LocalDust1/assistant/agent_configurations/echo",
        query: { variant: "light" },
        body: { userFavorite: true }
      })
      const error = yield* Effect.flip(service.twoPaths({ spaceId: "..", userId: "u" }))
      assert.strictEqual(error.message, "Agents.twoPaths: spaceId must be an id other than \".\" and \"..\"")
    }).pipe(local))

  it.effect("an invalid query: fails before any request, naming the method and the field", () =>
    Effect.gen(function*() {
      const service = yield* Agents
      const dust = yield* DustTest.DustTest
      const before = yield* dust.countRequests()
      const error = yield* Effect.flip(service.optional({ view: "none" as "all" }))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.deepStrictEqual([error.module, error.method], ["Agents", "optional"])
      assert.deepPropertyVal(error.details, "field", "view")
      assert.strictEqual(yield* dust.countRequests(), before)
    }).pipe(local))

  it.effect("an answer that is text: is read by the declaration", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flatMap(Agents, (service) => service.text("echo")), "agent:")
    }).pipe(local))

  it.effect("a method written by hand: its requests have its name", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flatMap(Agents, (service) => service.byHand()), "Agents.byHand")
    }).pipe(local))

  it("declared: every endpoint with its method, those of methods written by hand included", () => {
    assert.deepStrictEqual(declared(agents).slice(-3), [
      { name: "Agents.text", http: "GET", path: "/assistant/agent_configurations/{agentId}/export/yaml" },
      { name: "Agents.byHand", http: "GET", path: "/skills" },
      { name: "Agents.byHand", http: "GET", path: "/skills/{skillId}" }
    ])
  })

  it("routePaths: every template in both notations", () => {
    assert.isTrue(routePaths.has("/skills/{skillId}"))
    assert.isTrue(routePaths.has("/skills/:skillId"))
    assert.isAtLeast(routePaths.size, new Set(declarations.map(({ path }) => path)).size)
  })

  types("types: what is required decides the arguments", () => {
    const service = {} as Service
    expectTypeOf(service.nothing).toEqualTypeOf<() => Effect.Effect<unknown, RequestError>>()
    expectTypeOf(service.optional).parameter(0).toEqualTypeOf<
      { readonly view?: "all" | "published" | undefined; readonly withNames?: boolean | undefined } | undefined
    >()
    expectTypeOf<[]>().toExtend<Parameters<typeof service.optional>>()
    expectTypeOf(service.onePath).toEqualTypeOf<(skillId: SkillId) => Effect.Effect<void, RequestError>>()
    expectTypeOf(service.oneQuery).parameter(0).toEqualTypeOf<string>()
    expectTypeOf(service.twoPaths).parameter(0).toEqualTypeOf<{ readonly spaceId: SpaceId; readonly userId: UserId }>()
    expectTypeOf<keyof Methods<typeof agents>>().not.toEqualTypeOf<keyof Service>()
    const skills = {} as Skills.Service
    expectTypeOf(skills.list).toEqualTypeOf<
      (options?: SkillFilter) => Effect.Effect<ReadonlyArray<Skill>, RequestError>
    >()
  })

  types("types: what is forgotten or misspelt does not compile", () => {
    // @ts-expect-error no such service
    group("Skils", {})
    // @ts-expect-error the tag of another service
    void implement(Agents, group("Skills", {}), () => ({}))
    // @ts-expect-error byHand is not written
    void implement(Agents, agents, () => ({}))
    const more = group("Agents", { ...agents.members, more: del("/more") })
    // @ts-expect-error the service has no such method
    void implement(Agents, more, () => ({ byHand: () => Effect.succeed("") }))
    // @ts-expect-error a path starts with a slash
    get("skills")
    // @ts-expect-error an object is not a member of a query
    get("/skills", { query: Schema.Struct({ nested: Schema.Struct({ a: Schema.String }) }) })
    const two = group("Skills", {
      list: get("/skills"),
      archive: del("/skills/{skillId}"),
      again: using({ list: get("/skills") })
    })
    expectTypeOf<RouteName<typeof two>>().toEqualTypeOf<"GET /skills" | "DELETE /skills/{skillId}">()
    // @ts-expect-error no handler for DELETE /skills/{skillId}
    const missing: Handlers<typeof two, 1> = { "GET /skills": 1 }
    // @ts-expect-error no such endpoint
    const extra: Handlers<typeof two, 1> = { "GET /skills": 1, "DELETE /skills/{skillId}": 1, "GET /skils": 1 }
    void [missing, extra]
    expectTypeOf<"/skills/{skillId}" | "/skills/:skillId">().toExtend<RoutePath>()
    expectTypeOf<"/skils">().not.toExtend<RoutePath>()
    expectTypeOf(make).toEqualTypeOf<Effect.Effect<Service, never, DustClient>>()
  })
})

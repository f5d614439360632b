/** Checks that a seed names everything once, and nothing that the workspace does not have. */
import * as Effect from "effect/Effect"
import { agents } from "../domains/agents.ts"
import { spaces } from "../domains/spaces.ts"
import { DustTestOptionsError, nearest } from "./check.ts"
import type { Seed } from "./seed.ts"
import type { World } from "./state.ts"

type Reference = readonly [place: string, value: string | undefined]

const firstUnknown = (
  references: Iterable<Reference>,
  what: string,
  known: ReadonlySet<string>
): string | undefined => {
  for (const [place, value] of references) {
    if (value === undefined || known.has(value)) continue
    return `${place}: there is no ${what} ${JSON.stringify(value)}; similar: ${nearest(value, known)}`
  }
  return undefined
}

const firstRepeated = (references: Iterable<Reference>): string | undefined => {
  const places = new Map<string, string>()
  for (const [place, value] of references) {
    if (value === undefined) continue
    const before = places.get(value)
    if (before !== undefined) return `${place} is ${JSON.stringify(value)}, as is ${before}`
    places.set(value, place)
  }
  return undefined
}

const each = <A>(
  all: ReadonlyArray<A> | undefined,
  place: string,
  f: (one: A, place: string) => ReadonlyArray<Reference>
): ReadonlyArray<Reference> => (all ?? []).flatMap((one, index) => f(one, `${place}[${index}]`))

const spaceReferences = (seed: Seed): ReadonlyArray<Reference> => [
  ...each(seed.conversations, "seed.conversations", (one, at) => [[`${at}.spaceId`, one.spaceId]]),
  ...each(seed.apps, "seed.apps", (one, at) => [[`${at}.spaceId`, one.spaceId]]),
  ...each(seed.dataSources, "seed.dataSources", (one, at) => [
    [`${at}.spaceId`, one.spaceId],
    ...each(one.views, `${at}.views`, (view, at) => [[`${at}.spaceId`, view.spaceId]])
  ]),
  ...each(
    seed.search?.nodes,
    "seed.search.nodes",
    (one, at) => each(one.spaceIds, `${at}.spaceIds`, (id, at) => [[at, id]])
  )
]

const agentReferences = (seed: Seed): ReadonlyArray<Reference> => [
  ...each(
    seed.conversations,
    "seed.conversations",
    (one, at) =>
      each(
        one.messages,
        `${at}.messages`,
        (message, at) => message.role === "agent" ? [[`${at}.agent`, message.agent]] : []
      )
  ),
  ...each(seed.triggers?.triggers, "seed.triggers.triggers", (one, at) => [[`${at}.agentId`, one.agentId]])
]

/** Ids and names that must be unique. */
const uniques = (seed: Seed): ReadonlyArray<ReadonlyArray<Reference>> => {
  const ids = (name: keyof Seed, all: ReadonlyArray<{ readonly sId?: string | undefined }> | undefined) =>
    each(all, `seed.${name}`, (one, at) => [[`${at}.sId`, one.sId]])
  return [
    [
      ...ids("conversations", seed.conversations),
      ...each(
        seed.conversations,
        "seed.conversations",
        (one, at) => each(one.messages, `${at}.messages`, (message, at) => [[`${at}.sId`, message.sId]])
      )
    ],
    [["the built-in space", "vlt_system"], ["the built-in space", "vlt_global"], [
      "the built-in space",
      "vlt_conversations"
    ], ...ids("spaces", seed.spaces)],
    ids("apps", seed.apps),
    ids("dataSources", seed.dataSources),
    ids("files", seed.files),
    ids("skills", seed.skills),
    each(seed.agentTags, "seed.agentTags", (one, at) => [[`${at}.name`, one.name]]),
    each(seed.triggers?.triggers, "seed.triggers.triggers", (one, at) => [[`${at}.sId`, one.sId]]),
    each(seed.triggers?.webhookSources, "seed.triggers.webhookSources", (one, at) => [[`${at}.sId`, one.sId]]),
    ...(seed.dataSources ?? []).flatMap(({ documents, tables }, index) => [
      each(documents, `seed.dataSources[${index}].documents`, (one, at) => [[`${at}.documentId`, one.documentId]]),
      each(tables, `seed.dataSources[${index}].tables`, (one, at) => [[`${at}.tableId`, one.tableId]])
    ])
  ]
}

/** Dies if the seed names something twice, or something that the workspace does not have. */
export const checkReferences = (world: World): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { seed } = world
    const emails = new Set([...world.members.values()].map(({ user }) => user.email))
    const keys = new Set([...world.apiKeys.values()].map(({ name }) => name))
    let problem: string | undefined
    for (const all of uniques(seed)) problem ??= firstRepeated(all)
    problem ??= firstUnknown(spaceReferences(seed), "space", new Set(spaces(world).byId.keys()))
      ?? firstUnknown(agentReferences(seed), "agent", new Set(agents(world).byId.keys()))
      ?? firstUnknown(
        each(seed.spaces, "seed.spaces", (one, at) => each(one.members, `${at}.members`, (email, at) => [[at, email]])),
        "member with the e-mail address",
        emails
      )
      ?? firstUnknown(
        each(seed.spaces, "seed.spaces", (one, at) => each(one.keys, `${at}.keys`, (name, at) => [[at, name]])),
        "API key named",
        keys
      )
    return problem === undefined
      ? Effect.void
      : Effect.die(new DustTestOptionsError({ message: `Local Dust: ${problem}` }))
  })

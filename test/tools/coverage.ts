/** The table of operations in `docs/coverage.md`. */
import { covered, left } from "../fixtures/coverage.ts"
import { type Endpoint, endpoints, nameOf, ordinary } from "../fixtures/endpoints.ts"

const start = "<!-- coverage:start -->"
const end = "<!-- coverage:end -->"

const titles: ReadonlyArray<readonly [domain: string, title: string]> = [
  ["conversations", "Conversations"],
  ["messages", "Messages"],
  ["agents", "Agents"],
  ["mentions", "Mentions"],
  ["files", "Files"],
  ["spaces", "Spaces"],
  ["data-sources", "Data sources"],
  ["data-source-views", "Data source views"],
  ["search", "Search"],
  ["apps", "Apps"],
  ["mcp", "Client-side MCP servers"],
  ["triggers", "Triggers"],
  ["skills", "Skills"],
  ["workspace", "Workspace"],
  ["analytics", "Analytics"],
  ["identity", "Identity"]
]

const code = (names: ReadonlyArray<string>) => names.map((name) => `\`${name}\``).join(", ")

/** The methods of the official client; it makes some operations by their older path. */
const official = (endpoint: Endpoint): ReadonlyArray<string> =>
  endpoints.flatMap((one) =>
    one.officialMethod !== null && one.method === endpoint.method &&
      (one === endpoint ||
        (one.status === "alias" && nameOf(one) === nameOf(endpoint).replace("/spaces/{spaceId}", "")))
      ? one.officialMethod.split(", ")
      : []
  )

const row = (endpoint: Endpoint) =>
  `| \`${nameOf(endpoint)}\` | ${code(covered[nameOf(endpoint)] ?? [])} | ${code(official(endpoint)) || "–"} |`

const table = () => {
  const known = endpoints.filter((one) => one.status !== "alias" && covered[nameOf(one)] !== undefined)
  const domains = [
    ...titles,
    ...known.filter(({ domain }) => !titles.some(([name]) => name === domain)).map(
      ({ domain }) => [domain, domain] as const
    )
  ]
  return domains.flatMap(([domain, title]) => {
    const rows = known.filter((one) => one.domain === domain).map(row)
    return rows.length === 0 ? [] : [`| **${title}** | | |`, ...rows]
  })
}

/** The operations that the SDK makes, and those of them that the official client makes. */
export const operations = (): { readonly here: number; readonly theirs: number } => {
  const here = ordinary.filter((one) => covered[nameOf(one)] !== undefined)
  return { here: here.length, theirs: here.filter((one) => official(one).length > 0).length }
}

/** What stands between the markers. */
export const coverageTable = (): string => {
  const own = endpoints.filter(({ auth, status }) => status === "live" && auth.startsWith("system-key"))
  const { here, theirs } = operations()
  return [
    `Every operation of Dust's public API that a workspace's API key or a user can make, except for the ${
      Object.keys(left).length
    } below: ${here} operations; the official client has a method for ${theirs} of them. Paths are below`,
    "`/api/v1/w/{wId}`. A method may make more than one operation, and several methods may make the same one.",
    "",
    "<details>",
    "<summary>Operations, and the methods that make them</summary>",
    "",
    "| operation | here | official client |",
    "|---|---|---|",
    ...table(),
    "",
    "</details>",
    "",
    "Without a method:",
    "",
    "| operation | why |",
    "|---|---|",
    ...Object.entries(left).map(([name, reason]) => `| \`${name}\` | ${reason} |`),
    `| ${own.length} operations for Dust's own keys | no customer can make them; \`DustClient.operation\` declares one where you can |`
  ].join("\n")
}

/** The guide with the current table; `undefined` if it does not have both markers. */
export const withTable = (guide: string): string | undefined => {
  const from = guide.indexOf(start)
  const to = guide.indexOf(end)
  return from === -1 || to < from
    ? undefined
    : `${guide.slice(0, from + start.length)}\n${coverageTable()}\n${guide.slice(to)}`
}

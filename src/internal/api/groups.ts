/** Every group of endpoints, and the paths that they have. */
import { agents } from "./agents.ts"
import { apps } from "./apps.ts"
import { conversations } from "./conversations.ts"
import { dataSources } from "./dataSources.ts"
import { dataSourceViews } from "./dataSourceViews.ts"
import {
  type Colons,
  colons,
  type Declared,
  declared,
  type Group,
  type Members,
  type Route,
  type ServiceName,
  type Template
} from "./endpoint.ts"
import { files } from "./files.ts"
import { mcpServers } from "./mcpServers.ts"
import { mentions } from "./mentions.ts"
import { search } from "./search.ts"
import { skills } from "./skills.ts"
import { spaces } from "./spaces.ts"
import { triggers } from "./triggers.ts"
import { workspace } from "./workspace.ts"

/** The groups by the names of their services: one that is missing or under another name does not compile. */
export const groups = {
  Workspace: workspace,
  Spaces: spaces,
  Apps: apps,
  DataSources: dataSources,
  DataSourceViews: dataSourceViews,
  Search: search,
  Files: files,
  Triggers: triggers,
  Skills: skills,
  Agents: agents,
  Conversations: conversations,
  Mentions: mentions,
  McpServers: mcpServers
} satisfies { readonly [Name in ServiceName]: Group<Name, Members> }

type Groups = (typeof groups)[keyof typeof groups]

type Written<Path extends string> = Path | Colons<Path>

/**
 * The path of an endpoint of the SDK, relative to `/api/v1/w/{workspaceId}` or whole, with its values as `{skillId}` (as in
 * the documentation) or `:skillId`.
 */
export type RoutePath = Groups extends infer G
  ? G extends Groups ? Written<Template<G>> | Written<Route<Template<G>>> : never
  : never

/** Every endpoint with the method that makes it, in the order of the declarations. */
export const declarations: ReadonlyArray<Declared> = Object.values(groups).flatMap(declared)

/** `/skills/{skillId}` and `/skills/:skillId`: what a rule or a filter may name. */
export const routePaths: ReadonlySet<string> = new Set(declarations.flatMap(({ path }) => [path, colons(path)]))

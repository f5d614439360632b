/** All routes of Local Dust. Each domain adds its array here. */
import { agentRoutes } from "../domains/agentRoutes.ts"
import { appRoutes } from "../domains/apps.ts"
import { mentionRoutes } from "../domains/conversations/mentions.ts"
import { conversationRoutes } from "../domains/conversations/routes.ts"
import { dataSourceRoutes } from "../domains/dataSources/routes.ts"
import { fileRoutes } from "../domains/files.ts"
import { mcpRoutes } from "../domains/mcp/routes.ts"
import { searchRoutes } from "../domains/search.ts"
import { signInRoutes } from "../domains/signIn.ts"
import { skillRoutes } from "../domains/skills.ts"
import { spaceRoutes } from "../domains/spaces.ts"
import { internalRoutes } from "../domains/systemKey.ts"
import { triggerRoutes } from "../domains/triggers.ts"
import { workspaceRoutes } from "../domains/workspace.ts"
import type { Route } from "./route.ts"

export const routes: ReadonlyArray<Route> = [
  ...workspaceRoutes,
  ...conversationRoutes,
  ...agentRoutes,
  ...appRoutes,
  ...dataSourceRoutes,
  ...fileRoutes,
  ...mentionRoutes,
  ...mcpRoutes,
  ...internalRoutes,
  ...searchRoutes,
  ...signInRoutes,
  ...skillRoutes,
  ...triggerRoutes,
  ...spaceRoutes
]

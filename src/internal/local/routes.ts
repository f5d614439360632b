/** Every route of Local Dust. A domain adds its array here. */
import { actionRoutes } from "./actions.ts"
import { agentRoutes } from "./agents.ts"
import { analyticsRoutes } from "./analytics.ts"
import { appRoutes } from "./apps.ts"
import { conversationRoutes } from "./conversations.ts"
import { dataSourceRoutes } from "./dataSources.ts"
import { eventRoutes } from "./events.ts"
import { feedbackRoutes } from "./feedback.ts"
import { fileRoutes } from "./files.ts"
import { fragmentRoutes } from "./fragments.ts"
import { identityRoutes } from "./identity.ts"
import { internalRoutes } from "./internalRoutes.ts"
import { mcpRoutes } from "./mcp.ts"
import { mentionRoutes } from "./mentions.ts"
import { messageRoutes } from "./messages.ts"
import { privateRoutes } from "./private.ts"
import type { Route } from "./route.ts"
import { searchRoutes } from "./search.ts"
import { skillRoutes } from "./skills.ts"
import { spaceRoutes } from "./spaces.ts"
import { triggerRoutes } from "./triggers.ts"

export const routes: ReadonlyArray<Route> = [
  ...identityRoutes,
  ...conversationRoutes,
  ...messageRoutes,
  ...fragmentRoutes,
  ...actionRoutes,
  ...feedbackRoutes,
  ...eventRoutes,
  ...agentRoutes,
  ...appRoutes,
  ...dataSourceRoutes,
  ...fileRoutes,
  ...mentionRoutes,
  ...mcpRoutes,
  ...internalRoutes,
  ...privateRoutes,
  ...analyticsRoutes,
  ...searchRoutes,
  ...skillRoutes,
  ...triggerRoutes,
  ...spaceRoutes
]

/** All routes of conversations and messages. */
import { conversations } from "../../../api/conversations.ts"
import { routesOf } from "../../server/declared.ts"
import type { Route } from "../../server/route.ts"
import { actionAnswers } from "./blocked.ts"
import { messageAnswers } from "./edit.ts"
import { eventAnswers } from "./events.ts"
import { feedbackAnswers } from "./feedback.ts"
import { fragmentAnswers } from "./fragments.ts"
import { privateAnswers, privateRoutes } from "./private.ts"
import { conversationAnswers, conversationRoutes as systemRoutes } from "./read.ts"

export const conversationRoutes: ReadonlyArray<Route> = [
  ...systemRoutes,
  ...routesOf(conversations)({
    ...conversationAnswers,
    ...messageAnswers,
    ...fragmentAnswers,
    ...actionAnswers,
    ...feedbackAnswers,
    ...eventAnswers,
    ...privateAnswers
  }),
  ...privateRoutes
]

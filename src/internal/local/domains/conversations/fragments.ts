/** Content fragments: the attachments of a conversation. */
import * as Effect from "effect/Effect"
import type { conversations as conversationsApi } from "../../../api/conversations.ts"
import type { Answers } from "../../server/declared.ts"
import { badRequest, json, type Refusal } from "../../server/http.ts"
import { body, type Handler, type Context } from "../../server/route.ts"
import { findConversation } from "./access.ts"
import { FragmentInput } from "./bodies.ts"
import {
  addMessage,
  type Conversation,
  type Fragment,
  latest,
  type Message,
  nextRank,
  renderFragment
} from "./models.ts"

/** Text types that an inlined fragment may have. */
const TEXT_TYPES = /^(text\/|application\/(json|xml|x-sh|x-yaml|vnd\.dust\.section\.json)|message\/rfc822)/

export const checkFragment = (context: Context, input: FragmentInput): Effect.Effect<void, Refusal> =>
  Effect.suspend((): Effect.Effect<void, Refusal> => {
    const { world } = context
    const present = (value: unknown) => value !== undefined && value !== null
    const shapes = [present(input.content), present(input.fileId), present(input.nodeId)].filter(Boolean).length
    if (shapes !== 1) return badRequest("Invalid request body: Validation error: Invalid content fragment")
    if (typeof input.content === "string") {
      if (input.content.length === 0) return badRequest("Invalid request body: Validation error: the content is empty")
      if (input.content.length > 524_288) return badRequest("Content must be 524288 characters or less.")
      if (!TEXT_TYPES.test(input.contentType ?? "")) {
        return badRequest(`The content type ${input.contentType ?? "(none)"} is not supported.`)
      }
    }
    if (typeof input.fileId === "string" && world.lookups.file !== undefined) {
      const file = world.lookups.file(input.fileId)
      if (file === undefined || file.status === "created") return badRequest("File not found.")
    }
    if (typeof input.nodeId === "string") {
      if (!present(input.nodeDataSourceViewId)) {
        return badRequest("Invalid request body: Validation error: Required at \"nodeDataSourceViewId\"")
      }
      if (
        world.lookups.contentNode !== undefined
        && world.lookups.contentNode(input.nodeDataSourceViewId ?? "", input.nodeId) === undefined
      ) return badRequest("Content node not found.")
    }
    return Effect.void
  })

export const addFragment = (context: Context, conversation: Conversation, input: FragmentInput): Fragment => {
  const { world } = context
  const previous = typeof input.supersededContentFragmentId === "string"
    ? conversation.ranks.map(latest).find((message): message is Fragment =>
      message?.type === "content_fragment"
      && message.fields["contentFragmentId"] === input.supersededContentFragmentId
    )
    : undefined
  const file = typeof input.fileId === "string" ? world.lookups.file?.(input.fileId) : undefined
  const node = typeof input.nodeId === "string"
    ? world.lookups.contentNode?.(input.nodeDataSourceViewId ?? "", input.nodeId)
    : undefined
  const fileId = typeof input.fileId === "string" ? input.fileId : world.sId("fil")
  const text = typeof input.content === "string"
    ? input.content
    : file?.bytes === undefined
    ? ""
    : new TextDecoder().decode(file.bytes)
  const contentType = input.contentType ?? file?.contentType ?? node?.contentType ?? "text/plain"
  const base = {
    sourceUrl: input.url ?? null,
    title: input.title,
    contentType,
    context: {
      username: input.context?.username ?? null,
      fullName: input.context?.fullName ?? null,
      email: input.context?.email ?? null,
      profilePictureUrl: input.context?.profilePictureUrl ?? null
    },
    contentFragmentId: previous?.fields["contentFragmentId"] ?? world.sId("cf"),
    contentFragmentVersion: "latest"
  }
  const nodeType = node?.nodeType ?? "document"
  const fragment: Fragment = {
    id: world.numericId(),
    sId: world.sId(),
    created: world.now(),
    type: "content_fragment",
    rank: nextRank(conversation),
    version: 0,
    visibility: "visible",
    title: input.title,
    contentType,
    text,
    fields: typeof input.nodeId === "string"
      ? {
        ...base,
        contentFragmentType: "content_node",
        expiredReason: null,
        nodeId: input.nodeId,
        nodeDataSourceViewId: input.nodeDataSourceViewId,
        nodeType,
        contentNodeData: {
          nodeId: input.nodeId,
          nodeDataSourceViewId: input.nodeDataSourceViewId,
          nodeType,
          provider: node?.provider ?? null,
          spaceName: node?.spaceName ?? "Company Data"
        }
      }
      : {
        ...base,
        contentFragmentType: "file",
        expiredReason: null,
        fileId,
        snippet: file === undefined ? text.slice(0, 256) : file.snippet,
        generatedTables: [],
        textUrl: `${world.origin()}/api/w/${world.workspaceId}/files/${fileId}`,
        textBytes: file?.size ?? new TextEncoder().encode(text).length,
        sourceProvider: null,
        sourceIcon: null
      }
  }
  if (previous !== undefined) Object.assign(previous.fields, { contentFragmentVersion: "superseded" })
  addMessage(conversation, fragment)
  return fragment
}

const INTERNAL_TYPES = /^application\/vnd\.dust\.(frame|sandbox\.function|interactive)/

export const isInternal = (message: Message): boolean =>
  message.type === "content_fragment" && INTERNAL_TYPES.test(message.contentType)

const addContentFragment: Handler = (context) =>
  Effect.gen(function*() {
    const input = yield* body(context, FragmentInput)
    const conversation = yield* findConversation(context)
    yield* checkFragment(context, input)
    return json({ contentFragment: renderFragment(addFragment(context, conversation, input)) })
  })

export const fragmentAnswers = {
  "POST /assistant/conversations/{conversationId}/content_fragments": { auth: "any", handler: addContentFragment }
} satisfies Answers<typeof conversationsApi>

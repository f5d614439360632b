/** Request bodies of the conversation and message routes. */
import * as Schema from "effect/Schema"
import { nullish } from "../../server/route.ts"

export const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(schema)

export const MentionInput = Schema.Union(
  Schema.Struct({ configurationId: Schema.String }),
  Schema.Struct({ type: Schema.Literal("user"), userId: Schema.String })
)

const ContextInput = Schema.Struct({
  username: Schema.String,
  timezone: Schema.String,
  fullName: nullish(Schema.String),
  email: nullish(Schema.String),
  profilePictureUrl: nullish(Schema.String),
  origin: optional(Schema.Unknown),
  clientSideMCPServerIds: nullish(Schema.Array(Schema.String)),
  selectedMCPServerViewIds: nullish(Schema.Array(Schema.String)),
  lastTriggerRunAt: nullish(Schema.Number),
  excludedRetrievalTags: nullish(Schema.Array(Schema.String))
})

const ModelSelectionInput = Schema.Struct({
  providerId: Schema.String,
  modelId: Schema.String,
  reasoningEffort: optional(Schema.String)
})

export const MessageInput = Schema.Struct({
  content: Schema.String.pipe(Schema.minLength(1, { message: () => "String must contain at least 1 character(s)" })),
  mentions: Schema.Array(MentionInput),
  context: ContextInput,
  agenticMessageData: optional(Schema.Unknown),
  modelSelection: optional(ModelSelectionInput),
  blocking: optional(Schema.Boolean),
  skipToolsValidation: optional(Schema.Boolean)
})

export type MessageInput = typeof MessageInput.Type

export const FragmentInput = Schema.Struct({
  title: Schema.String,
  content: nullish(Schema.String),
  contentType: nullish(Schema.String),
  fileId: nullish(Schema.String),
  nodeId: nullish(Schema.String),
  nodeDataSourceViewId: nullish(Schema.String),
  url: nullish(Schema.String),
  context: nullish(Schema.Struct({
    username: nullish(Schema.String),
    fullName: nullish(Schema.String),
    email: nullish(Schema.String),
    profilePictureUrl: nullish(Schema.String)
  })),
  supersededContentFragmentId: nullish(Schema.String)
})

export type FragmentInput = typeof FragmentInput.Type

export const CreateInput = Schema.Struct({
  title: nullish(Schema.String),
  visibility: optional(Schema.Literal("unlisted", "workspace", "test", "deleted")),
  depth: optional(Schema.Number),
  spaceId: optional(Schema.String),
  message: optional(MessageInput),
  contentFragment: optional(FragmentInput),
  contentFragments: optional(Schema.Array(FragmentInput)),
  blocking: optional(Schema.Boolean),
  skipToolsValidation: optional(Schema.Boolean)
})

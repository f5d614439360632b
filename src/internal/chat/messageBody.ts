import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ModelSelection } from "../../Agent.ts"
import type { MessageContext, MessageInput } from "../../Conversation.ts"
import type { RequestError } from "../../DustAPIError.ts"
import { Mention } from "../../Message.ts"
import type { Identity } from "../api/operation.ts"
import { nonBlank } from "../decode/schema.ts"
import { encodeBody } from "../input/encode.ts"
import * as Timezone from "../input/timezones.ts"
import { badInput, wrongCredential } from "../request/errors.ts"

const inlineLimit = 524_288

export const Title = Schema.String.pipe(
  Schema.maxLength(512, { message: () => "at most 512 characters long" })
)

export const Content = Schema.String.pipe(
  Schema.filter((text) => text.trim() !== "", { message: () => "non-blank text" })
)

const ContextBody = Schema.Struct({
  username: Schema.String.pipe(
    Schema.filter((name) => name.trim() !== "", { message: () => "a non-blank name" }),
    Schema.maxLength(255, { message: () => "at most 255 characters long" })
  ),
  timezone: Schema.String,
  fullName: Schema.optional(Schema.NullOr(Schema.String.pipe(Schema.maxLength(255)))),
  email: Schema.optional(Schema.NullOr(Schema.String.pipe(Schema.maxLength(255)))),
  profilePictureUrl: Schema.optional(Schema.NullOr(Schema.String.pipe(Schema.maxLength(2048)))),
  origin: Schema.String,
  clientSideMCPServerIds: Schema.optional(Schema.Array(Schema.String)),
  selectedMCPServerViewIds: Schema.optional(Schema.Array(Schema.String)),
  excludedRetrievalTags: Schema.optional(Schema.Array(nonBlank("a non-blank tag")))
})

export const MentionsBody = Schema.Array(Mention).pipe(
  Schema.filter((mentions) => mentions.filter((mention) => "configurationId" in mention).length <= 1, {
    message: () => "a list with at most one agent"
  }),
  Schema.filter(
    (mentions) =>
      mentions.every((mention) =>
        ("configurationId" in mention ? mention.configurationId : mention.userId).trim() !== ""
      ),
    { message: () => "a list of non-blank ids" }
  )
)

type FragmentField = "content" | "contentType" | "fileId" | "nodeId" | "nodeDataSourceViewId"

/** Fields that must be set together. */
const shapes: ReadonlyArray<readonly [FragmentField, ...ReadonlyArray<FragmentField>]> = [
  ["content", "contentType"],
  ["fileId"],
  ["nodeId", "nodeDataSourceViewId"]
]

export const FragmentBody = Schema.Struct({
  title: Content,
  content: Schema.optional(Schema.String.pipe(
    Schema.minLength(1, { message: () => "non-empty text" }),
    Schema.maxLength(inlineLimit, {
      message: () => `at most ${inlineLimit} characters long; upload longer content as a file`
    })
  )),
  contentType: Schema.optional(nonBlank("a text type, such as text/plain")),
  fileId: Schema.optional(nonBlank("a non-blank id")),
  nodeId: Schema.optional(nonBlank("a non-blank id")),
  nodeDataSourceViewId: Schema.optional(nonBlank("a non-blank id")),
  url: Schema.optional(Schema.NullOr(Schema.String))
}).pipe(Schema.filter((fragment) => {
  const shape = shapes.find(([first]) => fragment[first] !== undefined)
  if (shape === undefined) return { path: ["content"], message: "set, unless fileId or nodeId is set" }
  const missing = shape.find((field) => fragment[field] === undefined)
  if (missing !== undefined) return { path: [missing], message: `set, because ${shape[0]} is set` }
  const other = shapes.flat().find((field) => fragment[field] !== undefined && !shape.includes(field))
  return other === undefined || { path: [other], message: `omitted, because ${shape[0]} is set` }
}))

export const MessageBody = Schema.Struct({
  content: Content,
  mentions: MentionsBody,
  context: ContextBody,
  modelSelection: Schema.optional(ModelSelection),
  skipToolsValidation: Schema.optional(Schema.Boolean)
})

const contextBody = (
  identity: Identity,
  hasUser: boolean,
  context: MessageContext
): Either.Either<typeof ContextBody.Type, RequestError> =>
  Either.gen(function*() {
    if (!hasUser) {
      for (const field of ["clientSideMCPServerIds", "selectedMCPServerViewIds"] as const) {
        if ((context[field]?.length ?? 0) > 0) return yield* Either.left(wrongCredential(identity, `context.${field}`))
      }
    }
    const timezone = context.timezone === undefined
      ? Timezone.system()
      : yield* Either.mapLeft(
        Timezone.accepted(context.timezone),
        (expected) => badInput(identity, "context.timezone", expected, JSON.stringify(context.timezone))
      )
    return { ...context, username: context.username ?? "effect-dust", timezone, origin: context.origin ?? "api" }
  })

/** The request body of a message with every default filled in, or its validation error. */
export const messageBody = (
  identity: Identity,
  hasUser: boolean,
  input: MessageInput
): Either.Either<typeof MessageBody.Type, RequestError> =>
  Either.flatMap(contextBody(identity, hasUser, input.context ?? {}), (context) => {
    const body: typeof MessageBody.Type = {
      content: input.content,
      mentions: input.mentions ?? [],
      context,
      modelSelection: input.modelSelection,
      skipToolsValidation: input.skipToolsValidation
    }
    return Either.map(encodeBody(identity, MessageBody)(body), () => body)
  })

/** The tools of an `@effect/ai` Toolkit, recognised by their shape: that package is not needed to serve others. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { CallResult, Tool, ToolAnnotations, ToolkitTool, ToolkitWithHandlers } from "../../McpServer.ts"
import { objectSchema } from "../input/jsonSchema.ts"
import { failed } from "./protocol.ts"
import { explain, running, structured } from "./tool.ts"

const hints = {
  title: "Title",
  readOnlyHint: "Readonly",
  destructiveHint: "Destructive",
  idempotentHint: "Idempotent",
  openWorldHint: "OpenWorld"
} as const satisfies Record<keyof ToolAnnotations, string>

const annotationsOf = (annotations: Context.Context<never> | undefined): ToolAnnotations | undefined => {
  if (annotations === undefined) return undefined
  const found = Object.entries(hints).flatMap(([hint, name]) => {
    const value = annotations.unsafeMap.get(`@effect/ai/Tool/${name}`)
    return value === undefined ? [] : [[hint, value] as const]
  })
  return found.length === 0 ? undefined : Object.fromEntries(found)
}

const resultOf = (answer: { readonly encodedResult: unknown; readonly isFailure: boolean }): CallResult =>
  typeof answer.encodedResult === "string"
    ? { content: [{ type: "text", text: answer.encodedResult }], isError: answer.isFailure }
    : structured(answer.encodedResult, answer.isFailure)

/** Arguments that do not fit, which the model can correct. A result that does not fit is the handler's own fault. */
const badArguments = (error: unknown): string | undefined =>
  Predicate.isTagged(error, "MalformedOutput") && Predicate.hasProperty(error, "cause") &&
    ParseResult.isParseError(error.cause) && Predicate.hasProperty(error, "description") &&
    String(error.description).startsWith("Failed to decode tool call parameters")
    ? explain(error.cause.issue)
    : undefined

export const fromToolkit = <R>(
  toolkit: ToolkitWithHandlers<R>,
  isToolError: (error: unknown) => boolean
): ReadonlyArray<Tool<Exclude<R, Scope.Scope>>> =>
  Object.values(toolkit.tools).map((tool: ToolkitTool): Tool<Exclude<R, Scope.Scope>> => ({
    name: tool.name,
    description: tool.description ?? tool.name,
    annotations: annotationsOf(tool.annotations),
    inputSchema: Predicate.hasProperty(tool, "~@effect/ai/Tool/ProviderDefined")
      ? Effect.fail("a tool with a handler; this one is run by its model provider, and Dust has no such tool")
      : objectSchema(tool.parametersSchema),
    outputSchema: undefined,
    call: (args) =>
      running(
        tool.name,
        // The handler decodes: its types are for callers that have typed values.
        Effect.map(toolkit.handle(tool.name as never, (args ?? {}) as never), resultOf).pipe(
          Effect.catchAll((error) => {
            const why = badArguments(error)
            return why === undefined
              ? Effect.fail(error)
              : Effect.succeed(failed(`The arguments of ${tool.name} are not valid: ${why}`))
          })
        ),
        isToolError
      )
  }))

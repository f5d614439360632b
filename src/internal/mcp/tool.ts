/** Tools: decoding of arguments, handlers, results. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { CallResult, Content, Tool, ToolAnnotations, ToolCall } from "../../McpServer.ts"
import { issuesOf } from "../input/encode.ts"
import { objectSchema } from "../input/jsonSchema.ts"
import { toolFailed } from "../telemetry/tool.ts"
import { failed } from "./protocol.ts"

/** The issues of arguments, by field. */
export const explain = (issue: ParseResult.ParseIssue): string =>
  issuesOf(issue).map(({ message, path }) =>
    path === "" ? `expected ${message}` : `${path}: ${message === "is missing" ? "is missing" : `expected ${message}`}`
  ).join("; ")

/** Runs a handler in a scope of its own; whatever goes wrong is in the result. */
export const running = <E, R>(
  name: string,
  handler: Effect.Effect<CallResult, E, R>,
  isToolError: (error: unknown) => boolean
): Effect.Effect<CallResult, never, Exclude<R, Scope.Scope>> =>
  Effect.scoped(handler).pipe(
    Effect.catchAllCause((cause): Effect.Effect<CallResult> => {
      if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
      const error = Option.getOrUndefined(Cause.failureOption(cause))
      return Effect.as(
        Effect.zipRight(toolFailed(cause), Effect.logDebug(`The tool ${name} failed`, cause)),
        failed(
          isToolError(error) && Predicate.hasProperty(error, "message") && typeof error.message === "string"
            ? error.message
            : `The tool ${name} failed.`
        )
      )
    })
  )

/** A result that fits the output schema is shown to models as text, too: not every client reads structured content. */
export const structured = (value: unknown, isError = false): CallResult => ({
  content: [{ type: "text", text: JSON.stringify(value) ?? "null" }],
  ...(Predicate.isRecord(value) ? { structuredContent: value } : {}),
  isError
})

const plain = (answer: string | ReadonlyArray<Content>): CallResult => ({
  content: typeof answer === "string" ? [{ type: "text", text: answer }] : answer,
  isError: false
})

export const tool = <A, I, RI, O, OI, RO, E, R>(
  options: {
    readonly name: string
    readonly description: string
    readonly input: Schema.Schema<A, I, RI>
    readonly output?: Schema.Schema<O, OI, RO> | undefined
    readonly annotations?: ToolAnnotations | undefined
    readonly handler: (input: A, call: ToolCall) => Effect.Effect<O | string | ReadonlyArray<Content>, E, R>
  },
  isToolError: (error: unknown) => boolean
): Tool<Exclude<R | RI | RO, Scope.Scope>> => {
  const { input, name, output } = options
  const decode = ParseResult.decodeUnknown(input, { errors: "all" })
  const answered = output === undefined
    // Without an output schema the public overload lets handlers return content only.
    ? (answer: unknown) => Effect.succeed(plain(answer as string | ReadonlyArray<Content>))
    : (answer: unknown) => Effect.map(ParseResult.encodeUnknown(output)(answer), (value) => structured(value))
  return {
    name,
    description: options.description,
    annotations: options.annotations,
    inputSchema: objectSchema(input),
    outputSchema: output === undefined ? undefined : objectSchema(output),
    call: (args, call) =>
      running(
        name,
        Effect.matchEffect(decode(args ?? {}), {
          onFailure: (issue) => Effect.succeed(failed(`The arguments of ${name} are not valid: ${explain(issue)}`)),
          onSuccess: (decoded) =>
            Effect.flatMap(
              Effect.suspend(() => options.handler(decoded, call)),
              answered
            )
        }),
        isToolError
      )
  }
}

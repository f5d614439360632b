/** What a typed agent is asked, and what its answer is worth. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type { DustBadRequestError } from "../../DustAPIError.ts"
import type { Identity } from "../api/operation.ts"
import { problemOf } from "../input/encode.ts"
import { describesObject, type JsonObject, jsonSchema } from "../input/jsonSchema.ts"
import { badInput } from "../request/errors.ts"
import { candidatesIn } from "./findJson.ts"

interface Issue {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

const name = { module: "AgentFunction", method: "call" }

const pathOf = (path: ReadonlyArray<PropertyKey>): Issue["path"] =>
  path.map((part) => typeof part === "number" ? part : String(part))

const clipped = (text: string, limit: number): string => text.length > limit ? `${text.slice(0, limit)}…` : text

/** The expectation and the actual value, shortened: an answer may be long, and its issues must not repeat it. */
const partsOf = (message: string): readonly [expected: string, actual: string] => {
  const at = message.indexOf(", actual ")
  return at === -1
    ? [clipped(message, 1_000), ""]
    : [clipped(message.slice(0, at), 1_000), clipped(message.slice(at), 200)]
}

/** The members of a union fail one by one, and most of them at the same value. */
const joined = (messages: ReadonlyArray<string>): string => {
  const parts = messages.map(partsOf)
  const [, actual = ""] = parts[0] ?? []
  const isOneValue = parts.every(([expected, other]) => expected.startsWith("Expected ") && other === actual)
  return isOneValue
    ? `Expected ${clipped(parts.map(([expected]) => expected.slice("Expected ".length)).join(" | "), 1_000)}${actual}`
    : clipped(parts.map((part) => part.join("")).join(", or "), 1_000)
}

/** One for each place. */
const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<Issue> => {
  const places = new Map<string, { readonly path: Issue["path"]; readonly messages: Set<string> }>()
  for (const { message, path } of ParseResult.ArrayFormatter.formatErrorSync(error)) {
    const key = JSON.stringify(pathOf(path))
    const place = places.get(key) ?? { path: pathOf(path), messages: new Set() }
    places.set(key, place)
    place.messages.add(message)
  }
  return Array.from(places.values(), ({ messages, path }) => ({ path, message: joined([...messages]) }))
}

const noJson: ReadonlyArray<Issue> = [{ path: [], message: "no valid JSON was found in the answer" }]

/** An issue in one line: `queue: Expected "billing" | "bug", actual "sales"`. */
const issueText = ({ message, path }: Issue): string =>
  `${path.length === 0 ? "" : `${path.join(".")}: `}${message.replace(/\s+/g, " ")}`

/** The first issues, a line each, and how many more there are. */
const issueLines = (issues: ReadonlyArray<Issue>, limit: number): ReadonlyArray<string> => [
  ...issues.slice(0, limit).map(issueText),
  ...(issues.length > limit ? [`and ${issues.length - limit} more`] : [])
]

/** Why an answer was given up. */
export const givenUp = (issues: ReadonlyArray<Issue>, attempts: number): string =>
  `answer is not valid after ${attempts === 1 ? "one attempt" : `${attempts} attempts`}: ${
    issueLines(issues, 10).join("; ")
  }`

/** A value that was found in an answer, and the JSON that it was decoded from. */
interface Found<O> {
  readonly value: O
  readonly json: unknown
}

/** How the output of an agent function is described to the agent, and read from its answer. */
export interface Output<O, R> {
  readonly description: JsonObject
  readonly read: (text: string) => Effect.Effect<Either.Either<Found<O>, ReadonlyArray<Issue>>, never, R>
}

/** Exact candidates come before those with unknown fields: an echo of the schema could be one of the latter. */
const reader = <O, I, R>(schema: Schema.Schema<O, I, R>, wrapped: boolean): Output<O, R>["read"] => {
  const strict = Schema.decodeUnknown(schema, { errors: "all", onExcessProperty: "error" })
  const lenient = Schema.decodeUnknown(schema, { errors: "all" })
  return (text) =>
    Effect.gen(function*() {
      const candidates = candidatesIn(text, wrapped)
      let issues: ReadonlyArray<Issue> | undefined
      for (const decode of [strict, lenient]) {
        for (const [index, candidate] of candidates.entries()) {
          const result = yield* Effect.either(decode(candidate))
          if (Either.isRight(result)) return Either.right({ value: result.right, json: candidate })
          // Those of the likeliest one.
          if (index === 0) issues = issuesOf(result.left)
        }
      }
      return Either.left(issues ?? noJson)
    })
}

/** No JSON is a value of these. */
const unanswerable: ReadonlySet<AST.AST["_tag"]> = new Set(["VoidKeyword", "UndefinedKeyword", "NeverKeyword"])

/** The schema of `Schema.parseJson`: what the text contains is what the agent answers. */
const schemaInText = (ast: AST.AST): AST.AST | undefined =>
  AST.isTransformation(ast) && ast.from.annotations[AST.SchemaIdAnnotationId] === AST.ParseJsonSchemaId
    ? ast.to
    : undefined

/** An object is recognised among prose, and a number or a list is not: they are asked for as `{ "value": … }`. */
export const outputOf = <O, I, R>(
  schema: Schema.Schema<O, I, R>,
  caller: Pick<Identity, "module" | "method"> = name
): Effect.Effect<Output<O, R>, DustBadRequestError> =>
  Effect.gen(function*() {
    const inText = schemaInText(schema.ast)
    if (inText !== undefined) {
      const { description, read } = yield* outputOf(Schema.make<O, unknown, R>(inText), caller)
      return {
        description,
        read: (text: string) =>
          Effect.map(read(text), Either.map(({ json, value }) => ({ value, json: JSON.stringify(json) })))
      }
    }
    if (unanswerable.has(AST.encodedAST(schema.ast)._tag)) return yield* Effect.fail("a schema of a value")
    const description = yield* jsonSchema(schema)
    if (describesObject(description)) return { description, read: reader(schema, false) }
    const wrapper = Schema.Struct({ value: schema })
    const read = reader(wrapper, true)
    return {
      description: yield* jsonSchema(wrapper),
      read: (text: string) =>
        Effect.map(
          read(text),
          Either.map(({ json, value }) => ({
            value: value.value,
            json: Predicate.hasProperty(json, "value") ? json.value : json
          }))
        )
    }
  }).pipe(
    Effect.mapError((expected) => typeof expected === "string" ? badInput(caller, "output", expected) : expected)
  )

/** The input as JSON; `undefined` without input, such as with `Schema.Void`. */
export const inputText = <I, IE, R>(
  schema: Schema.Schema<I, IE, R>,
  input: I
): Effect.Effect<string | undefined, DustBadRequestError, R> =>
  Schema.encode(schema, { errors: "all" })(input).pipe(
    Effect.mapError((error) => {
      const { expected, path } = problemOf(error.issue)
      return badInput(name, path === "" ? "input" : `input.${path}`, expected)
    }),
    Effect.flatMap((encoded) =>
      Effect.try({
        try: () => JSON.stringify(encoded),
        catch: () => badInput(name, "input", "JSON-serializable")
      })
    )
  )

/** The first message of a call. */
export const question = (parts: {
  readonly instructions: string | undefined
  readonly input: string | undefined
  readonly description: JsonObject
}): string =>
  [
    ...(parts.instructions === undefined ? [] : [parts.instructions]),
    ...(parts.input === undefined ? [] : [`Input (JSON):\n${parts.input}`]),
    `Answer with one JSON object that is valid against this JSON Schema, and with nothing else:\n${
      JSON.stringify(parts.description)
    }`
  ].join("\n\n")

/** Asks for another answer in the same conversation. */
export const correction = (issues: ReadonlyArray<Issue>): string =>
  `Your answer cannot be used:\n${
    issueLines(issues, 50).map((line) => `- ${line}`).join("\n")
  }\n\nAnswer again with the whole corrected JSON object, and with nothing else.`

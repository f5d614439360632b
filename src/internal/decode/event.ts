import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import { decoderOrUndefined } from "./compile.ts"

/** The `type` of an event, if it has one. */
export const typeOf = (data: unknown): string | null =>
  Predicate.hasProperty(data, "type") && typeof data.type === "string" ? data.type : null

type Member = Schema.Schema.AnyNoContext & {
  readonly fields: { readonly type: { readonly literals: readonly [string] } }
}

/** Decodes an event with the schema of its type; `undefined` if the type is unknown or the event does not fit. */
export const eventDecoder = <M extends Member>(
  members: ReadonlyArray<M>
): (type: string | null, data: unknown) => Schema.Schema.Type<M> | undefined => {
  const decoders = new Map<string | null, (data: unknown) => Schema.Schema.Type<M> | undefined>(
    members.map((schema) => [
      schema.fields.type.literals[0],
      decoderOrUndefined<Schema.Schema.Type<M>>(schema)
    ])
  )
  return (type, data) => decoders.get(type)?.(data)
}

/**
 * The members of an object schema. Reads SchemaAST: in Effect 4 the AST has other names (`propertySignatures` of `Objects`).
 */
import type * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

export interface Field {
  readonly name: string
  readonly isOptional: boolean
}

/** The members of the decoded side of a struct; none for anything that is not one struct. */
export const fieldsOf = (schema: Schema.Schema.AnyNoContext | undefined): ReadonlyArray<Field> | undefined => {
  if (schema === undefined) return []
  const ast = AST.typeAST(schema.ast)
  return ast._tag === "TypeLiteral"
    ? ast.propertySignatures.map(({ isOptional, name }) => ({ name: String(name), isOptional }))
    : undefined
}

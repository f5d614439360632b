/** The schemas of every declared request and answer, which are not exported models. */
import type { Schema } from "effect"
import type { AnyEndpoint } from "../../src/internal/api/endpoint.ts"
import { groups } from "../../src/internal/api/groups.ts"
import { ours } from "./fields.ts"

const partsOf = (name: string, endpoint: AnyEndpoint): ReadonlyArray<readonly [string, Schema.Schema.All]> => {
  const { body, query, response } = endpoint.settings
  return Object.entries({ query, body, response }).flatMap(([part, schema]) =>
    schema === undefined ? [] : [[`${name} ${endpoint.http} ${endpoint.path} ${part}`, schema] as const]
  )
}

export const operations: ReadonlyArray<readonly [name: string, schema: Schema.Schema.All]> = Object.values(groups)
  .flatMap((group) =>
    Object.entries(group.members).flatMap(([method, member]) =>
      member._tag === "Endpoint"
        ? partsOf(`${group.name}.${method}`, member)
        : Object.entries<AnyEndpoint>(member.parts).flatMap(([name, endpoint]) =>
          partsOf(`${group.name}.${method} (${name})`, endpoint)
        )
    )
  )
  .filter(([, schema]) => ours(schema).size > 0)

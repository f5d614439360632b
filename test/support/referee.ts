/** The official client and its published schemas, as judges of what Local Dust sends. */
import { DustAPI } from "@dust-tt/client"
import { Effect, Redacted } from "effect"
import type * as DustTest from "effect-dust/DustTest"
import { buildSync } from "esbuild"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Json } from "./local.ts"

/** A zod schema, as far as a judge needs one. */
export interface ZodSchema {
  readonly safeParse: (value: unknown) => { readonly success: boolean; readonly error?: { readonly issues: unknown } }
}

const count = { checks: 0 }

/** How many values the official schemas have accepted so far. */
export const checks = () => count.checks

/** Throws, with zod's reasons, unless the schema accepts the value. */
export const accepts = (schema: ZodSchema, value: unknown, what: string): void => {
  const result = schema.safeParse(value)
  if (!result.success) {
    throw new Error(
      `The official schema refuses ${what}: ${JSON.stringify(result.error?.issues, null, 1).slice(0, 2000)}`
    )
  }
  count.checks++
}

/** A silent logger. */
export const silent = { error: () => undefined, info: () => undefined, trace: () => undefined, warn: () => undefined }

/** The official client, with the credential of choice. */
export const official = (
  server: DustTest.Service,
  credential: "apiKey" | "adminApiKey" | "userToken" | "adminToken" = "apiKey"
) =>
  new DustAPI(
    { url: server.url },
    { workspaceId: server.workspaceId, apiKey: Redacted.value(server[credential]) },
    silent
  )

/** The value of the official client's Result, or a thrown error. */
export const ok = <T>(
  run: () => Promise<{ isOk: () => boolean; value?: T; error?: unknown } | unknown>
): Effect.Effect<T> =>
  Effect.promise(async () => {
    const result = await run() as { isErr: () => boolean; readonly value: T; readonly error: unknown }
    if (result.isErr()) throw new Error(`The official client failed: ${JSON.stringify(result.error)}`)
    count.checks++
    return result.value
  })

/** The error of the official client's Result, or a thrown error. */
export const err = (run: () => Promise<unknown>): Effect.Effect<Json> =>
  Effect.promise(async () => {
    const result = await run() as { isErr: () => boolean; readonly error: unknown }
    if (!result.isErr()) throw new Error("The official client succeeded")
    return result.error
  })

/** A call without any client: the JSON, after a schema accepted it. */
export const checked = (
  server: DustTest.Service,
  schema: ZodSchema,
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly credential?: "apiKey" | "adminApiKey" | "userToken" | "adminToken" } = {}
): Effect.Effect<Json> =>
  Effect.promise(async () => {
    const response = await fetch(`${server.url}/api/v1/w/${server.workspaceId}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${Redacted.value(server[options.credential ?? "apiKey"])}`,
        "content-type": "application/json"
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) })
    })
    const json: Json = await response.json()
    accepts(schema, json, `${response.status} ${method} ${path}`)
    return json
  })

/** Schemas that the official client publishes as source, and does not export. */
export const unexported = <const Name extends string>(
  ...names: ReadonlyArray<Name>
): Promise<Readonly<Record<Name, ZodSchema>>> => {
  const directory = fileURLToPath(new URL("../../node_modules/@dust-tt/client/src/", import.meta.url))
  const { outputFiles } = buildSync({
    stdin: {
      contents: `${readFileSync(`${directory}types.ts`, "utf8")}\nexport { ${names.join(", ")} }`,
      resolveDir: directory,
      loader: "ts"
    },
    bundle: true,
    format: "esm",
    write: false
  })
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`)
}

/**
 * Skills: instructions with files and tools that agents can use. Lists, imports and archives them.
 *
 * @packageDocumentation
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DustBadRequestError, RequestError } from "./DustAPIError.ts"
import type { DustClient, Operation } from "./DustClient.ts"
import type { Methods } from "./internal/api/endpoint.ts"
import { implement } from "./internal/api/implement.ts"
import { skills } from "./internal/api/skills.ts"
import { badInput } from "./internal/request/errors.ts"
import * as Multipart from "./internal/util/multipart.ts"
import type { SkillFile, SkillImport, SkillImportResult } from "./Skill.ts"

/**
 * All methods accept an API key or an access token, and fail with `RequestError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service extends Methods<typeof skills> {
  /**
   * Creates and updates skills from files.
   *
   * Fails with `DustBadRequestError`, whose message names the problem, if the files contain no skill, a name is taken or a
   * file is too large. Sent once: if the response is lost, the skills may exist; repeating the import with
   * `onConflict: "override"` yields the same skills.
   *
   * @example
   * ```ts
   * import { Skills } from "effect-dust/Skills"
   * import { Effect } from "effect"
   *
   * const program = Effect.flatMap(Skills, (skills) =>
   *   skills.importSkills({
   *     files: [{
   *       name: "incident-report/SKILL.md",
   *       content: "---\nname: incident-report\ndescription: Writes incident reports\n---\nStart with the timeline."
   *     }],
   *     onConflict: "override"
   *   }))
   * ```
   *
   * Source: `POST /api/v1/w/{workspaceId}/skills` (multipart);
   * `front-api/routes/v1/w/[wId]/skills/index.ts` in dust-tt/dust.
   */
  readonly importSkills: (options: SkillImport) => Effect.Effect<SkillImportResult, RequestError>
}

/**
 * The tag of the service: `yield* Skills` returns its {@link Service}.
 *
 * @category tags
 * @since 0.1.0
 */
export class Skills extends Context.Tag("effect-dust/Skills")<Skills, Service>() {}

const encoder = new TextEncoder()

type Upload = Operation<string, undefined, SkillImportResult>

const bytesOf = (
  upload: Upload,
  { content }: SkillFile,
  index: number
): Effect.Effect<Uint8Array, DustBadRequestError> => {
  if (typeof content === "string") return Effect.succeed(encoder.encode(content))
  if (content instanceof Uint8Array) return Effect.succeed(content)
  return Effect.tryPromise({
    try: async () => new Uint8Array(await content.arrayBuffer()),
    catch: () => badInput(upload, `files.${index}.content`, "a Blob that can be read")
  })
}

const fieldsOf = Effect.fnUntraced(function*(upload: Upload, options: SkillImport) {
  const files = yield* Effect.forEach(
    options.files,
    (file, index) =>
      Effect.map(bytesOf(upload, file, index), (content): Multipart.Field => ({
        name: "files",
        fileName: file.name,
        contentType: /\.zip$/i.test(file.name) ? "application/zip" : "text/plain",
        content
      }))
  )
  return [
    ...files,
    ...(options.names ?? []).map((value) => ({ name: "names", value })),
    ...(options.onConflict === undefined ? [] : [{ name: "onConflict", value: options.onConflict }]),
    ...(options.editors ?? []).map((value) => ({ name: "editors", value })),
    ...(options.availability === undefined ? [] : [{ name: "availability", value: options.availability }])
  ]
})

/**
 * Makes the service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Service, never, DustClient> = implement(Skills, skills, ({ client, operation }) => ({
  importSkills: Effect.fnUntraced(function*(options: SkillImport) {
    const { upload } = operation.importSkills
    if (options.files.length === 0) return yield* badInput(upload, "files", "a non-empty list")
    const nameless = options.files.findIndex((file) => file.name.trim() === "")
    if (nameless !== -1) return yield* badInput(upload, `files.${nameless}.name`, "a non-blank file name")
    const rawBody = Multipart.ofFields(yield* fieldsOf(upload, options), yield* Multipart.boundary)
    return yield* client.execute(upload, { rawBody })
  })
}))

/**
 * Provides {@link Skills} alone. `Dust.layer` provides all services.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Skills, never, DustClient> = Layer.effect(Skills, make)

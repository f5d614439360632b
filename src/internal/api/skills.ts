/** The endpoints of `Skills`. Models are annotated so that types and hovers name them. */
import * as Schema from "effect/Schema"
import { Skill, SkillFilter, SkillImportResult } from "../../Skill.ts"
import { list } from "../decode/schema.ts"
import { del, get, group, post, using } from "./endpoint.ts"

const filter: Schema.Schema<SkillFilter, typeof SkillFilter.Encoded> = SkillFilter
const skill: Schema.Schema<Skill, typeof Skill.Encoded> = Skill
const result: Schema.Schema<SkillImportResult, typeof SkillImportResult.Encoded> = SkillImportResult

export const skills = group("Skills", {
  /**
   * Returns the skills of the workspace, without Dust's own, in one request. Skills whose
   * availability is `editors` are included only if `bypassEditorVisibility` is set.
   *
   * Fails with `DustForbiddenError` if `bypassEditorVisibility` is set without the administrator role. Retried
   * automatically.
   *
   * Source: `GET /api/v1/w/{workspaceId}/skills`; `front-api/routes/v1/w/[wId]/skills/index.ts` in dust-tt/dust.
   */
  list: get("/skills", {
    query: filter,
    response: Schema.Struct({ skills: list(skill) }),
    pick: ({ skills }) => skills
  }),
  importSkills: using({
    upload: post("/skills", { response: result, timeouts: { headers: "2 minutes" } })
  }),
  /**
   * Archives a skill. Requires the administrator role or being one of its editors.
   *
   * Fails with `DustNotFoundError` (`skill_not_found`) if it does not exist, and with `DustForbiddenError` if the caller
   * may not archive it. Retried automatically.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/skills/{skillId}`;
   * `front-api/routes/v1/w/[wId]/skills/[skillId].ts` in dust-tt/dust.
   */
  archive: del("/skills/{skillId}")
})

/** Every field of every model: its wire name is recorded, and checked against the official client's schemas. */
import * as Official from "@dust-tt/client"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import recorded from "../fixtures/wire-fields.json" with { type: "json" }
import { type Fields, official, ours, sample } from "../support/fields.ts"
import { models } from "../support/models.ts"
import { operations } from "../support/operations.ts"

const lastNames = (fields: Iterable<string>): ReadonlyArray<string> =>
  [...new Set([...fields].map((path) => path.split(".").at(-1)!))].filter((name) => name !== "*").sort()

const words = (text: string): ReadonlyArray<string> => text.split(" ").filter((word) => word !== "").sort()

const schemaOf = (name: string) => {
  const found = models.find(([known]) => known === name)
  assert.isDefined(found, `no model is named ${name}`)
  return found[1]
}

describe("Fields of models", () => {
  // Written by test/tools/wire-fields.ts; review its diff.
  it("each model, request and answer has a record of its fields, and each record one of these", () => {
    assert.sameMembers([...models, ...operations].map(([name]) => name), Object.keys(recorded))
  })

  for (const [name, schema] of operations) {
    it(`${name}: its names on the wire are the recorded ones`, () => {
      const record: Readonly<Record<string, string>> = recorded
      assert.deepStrictEqual(lastNames(ours(schema)), words(record[name] ?? ""))
    })
  }

  for (const [name, schema] of models) {
    it(`${name}: its names on the wire are the recorded ones`, () => {
      const record: Readonly<Record<string, string>> = recorded
      assert.deepStrictEqual(lastNames(ours(schema)), words(record[name] ?? ""))
    })

    // Inputs with value rules (addresses, word lists) are tested with their services.
    if (["Agent.AgentImport", "Agent.AgentPatch", "Space.SpaceFilter"].includes(name)) continue
    it(`${name}: decodes a full sample without losing a field`, () => {
      const full = sample(schema)
      const model = schema as Schema.Schema<unknown, unknown>
      const decoded = Schema.decodeUnknownSync(model)(full)
      assert.deepStrictEqual(Schema.encodeSync(model)(decoded), full)
    })
  }

  /**
   * Fields that differ, in both directions: `beyond` are read only by the SDK, `leftOut` exist only in the official
   * schema.
   */
  const pairs: ReadonlyArray<
    readonly [model: string, theirs: unknown, path: ReadonlyArray<string>, beyond: string, leftOut: string]
  > = [
    [
      "Agent.FullAgent",
      Official.GetOrPatchAgentConfigurationResponseSchema,
      ["agentConfiguration"],
      "actions canEdit canRead createdAt editors email firstName fullName image instructionsHtml kind lastName name provider reasoningEffort sId skills tags username",
      "groupIds id requestedGroupIds versionAuthorId"
    ],
    [
      "Agent.Agent",
      Official.GetAgentConfigurationsResponseSchema,
      ["agentConfigurations"],
      "canEdit canRead createdAt editors email firstName fullName image kind lastName name provider reasoningEffort sId tags username",
      "groupIds id requestedGroupIds versionAuthorId"
    ],
    [
      "App.App",
      Official.GetAppsResponseSchema,
      ["apps"],
      "",
      "coreSpecifications createdAt data datasets description groupIds id isRestricted key name schema type updatedAt"
    ],
    ["App.AppCheck", Official.AppsCheckResponseSchema, ["apps"], "", ""],
    ["App.Run", Official.RunAppResponseSchema, ["run"], "meta", "app_hash blocks"],
    [
      "Conversation.Conversation",
      Official.ConversationSchema,
      [],
      "branchId canEdit canRead completedTs completionDurationMs content contentFragmentId contentFragmentType contentFragmentVersion contentFragments contentNodeData contentType contents context costCredits created createdAt depth description dismissed editors email emoji excludedRetrievalTags expiredReason fileId firstName fullName generatedTables hasError id image kind label lastName metadata modelId modelInteractionDurationMs modelResolutionMethod name nodeDataSourceViewId nodeId nodeType pictureUrl profilePictureUrl provider providerId prunedContext rank reactions reasoningEffort requestedModel resolvedModel richMentions sId skipToolsValidation snippet sourceIcon sourceProvider sourceUrl spaceId spaceName status step subAgentCostCredits tags textBytes textUrl title type userId username users version visibility",
      "_meta agentMessageId blob citationsAllocated data description groupIds id lastTriggerRunAt mimeType name nodeDataSourceViewId nodeId nodeType requestedGroupIds resource text title type uri versionAuthorId"
    ],
    [
      "Conversation.BlockedAction",
      Official.BlockedActionsResponseSchema,
      ["blockedActions"],
      "authError fileAuthError",
      "approvalArgsLabel argumentsRequiringApproval pubsubMessageId"
    ],
    ["Conversation.Feedback", Official.GetFeedbacksResponseSchema, ["feedbacks"], "", "agentMessageId userId"],
    [
      "Message.Message",
      Official.ConversationSchema,
      ["content"],
      "branchId canEdit canRead completedTs completionDurationMs content contentFragmentId contentFragmentType contentFragmentVersion contentFragments contentNodeData contentType contents context costCredits created createdAt description dismissed editors email emoji excludedRetrievalTags expiredReason fileId firstName fullName generatedTables id image kind label lastName modelId modelInteractionDurationMs modelResolutionMethod name nodeDataSourceViewId nodeId nodeType pictureUrl profilePictureUrl provider providerId prunedContext rank reactions reasoningEffort requestedModel resolvedModel richMentions sId skipToolsValidation snippet sourceIcon sourceProvider sourceUrl spaceName status step subAgentCostCredits tags textBytes textUrl title type userId username users version visibility",
      "_meta agentMessageId blob citationsAllocated data description groupIds id lastTriggerRunAt mimeType name nodeDataSourceViewId nodeId nodeType requestedGroupIds resource text title type uri versionAuthorId"
    ],
    [
      "AgentMessageEvent.AgentMessageEvent",
      Official.AgentMessageEventDataSchema,
      [],
      "canEdit canRead completedTs completionDurationMs content contents costCredits createdAt description dismissed editors email emoji eventId firstName fullName id image kind label lastName modelId modelInteractionDurationMs modelResolutionMethod name pictureUrl provider providerId prunedContext rank raw reactions reasoningEffort resolvedModel richMentions sId skipToolsValidation status step subAgentCostCredits tags thresholdAwuCredits type userId username users",
      "_meta actionId agentMessageId agentName approvalArgsLabel blob childAgentId childConversationEventsUrl childConversationUrl citationsAllocated configurationId contents conversationId data delimiterClassification description fileId groupIds icon id inputs label mcpServerName messageId metadata mimeType name output pubsubMessageId query requestedGroupIds resource runIds stake text title toolName type updatedAt uri userId versionAuthorId"
    ],
    ["DataSource.DataSource", Official.GetDataSourcesResponseSchema, ["data_sources"], "", "id"],
    ["DataSource.DataSourceView", Official.DataSourceViewResponseSchema, ["dataSourceView"], "", "id"],
    ["File.AnnouncedFile", Official.FileUploadRequestResponseSchema, ["file"], "", ""],
    ["Mention.MentionSuggestion", Official.GetMentionSuggestionsResponseBodySchema, ["suggestions"], "", ""],
    ["SearchResult.Node", Official.PostWorkspaceSearchResponseBodySchema, ["nodes"], "", "id"],
    ["Space.Space", Official.GetSpacesResponseSchema, ["spaces"], "managementMode", ""],
    ["Space.McpServerView", Official.GetMCPServerViewsResponseSchema, ["serverViews"], "", "id imageUrl"],
    [
      "User.Me",
      Official.MeResponseSchema,
      ["user"],
      "",
      "blacklistedDomains createdAt externalId id metadata name organizations updatedAt"
    ],
    [
      "DataSource.Document",
      Official.PostDataSourceDocumentRequestSchema,
      [],
      "chunk_count chunks created data_source_id document_id hash offset score text text_size vector",
      "async content light_document_output prefix section sections sync_type upsert_context"
    ]
  ]

  const without = (fields: Fields, others: Fields) => lastNames([...fields].filter((name) => !others.has(name)))

  for (const [name, zod, path, beyond, leftOut] of pairs) {
    it(`${name}: has the fields of the official schema, with the listed exceptions`, () => {
      const mine = ours(schemaOf(name))
      const theirs = official(zod, path)
      assert.isAbove(theirs.size, 0)
      assert.deepStrictEqual(without(mine, theirs), words(beyond), "only here")
      assert.deepStrictEqual(without(theirs, mine), words(leftOut), "only there")
    })
  }
})

/** The endpoints of `Search`. */
import * as Schema from "effect/Schema"
import { File } from "../../File.ts"
import { SpaceId } from "../../Ids.ts"
import { NodePage } from "../../SearchResult.ts"
import { list, nonBlank } from "../decode/schema.ts"
import { get, group, post, using } from "./endpoint.ts"

const page: Schema.Schema<NodePage, typeof NodePage.Encoded> = NodePage
const file: Schema.Schema<File, typeof File.Encoded> = File

/** Where to search, if the caller does not say. The route belongs to `Spaces`. */
const spaces = get("/spaces", {
  constant: { kinds: "global,regular,project" },
  response: Schema.Struct({ spaces: list(Schema.Struct({ sId: SpaceId })) }),
  pick: (answer) => answer.spaces.map(({ sId }) => sId)
})

// The page is chosen in the address.
const nodes = post("/search", {
  replay: "safe",
  body: Schema.Struct({
    query: Schema.optional(nonBlank("non-blank text")),
    nodeIds: Schema.optional(Schema.Array(nonBlank("the id of a node"))),
    viewType: Schema.Literal("all", "document", "table"),
    spaceIds: Schema.Array(nonBlank("the id of a space")),
    includeDataSources: Schema.Boolean,
    // Required by the server, and not looked at: the one in the address counts.
    limit: Schema.Number,
    searchSourceUrls: Schema.optional(Schema.Boolean)
  }),
  response: page
})

export const search = group("Search", {
  pageNodes: using({ spaces, nodes }),
  streamNodes: using({ spaces, nodes }),
  unified: using({ spaces, events: get("/search") }),
  uploadToolFile: using({
    post: post("/search/tools/upload", {
      timeouts: { headers: "2 minutes" },
      body: Schema.Struct({
        serverViewId: nonBlank("the id of a tool server's view"),
        externalId: nonBlank("the external id of a file"),
        conversationId: Schema.optional(Schema.String),
        serverName: Schema.optional(Schema.String),
        serverIcon: Schema.optional(Schema.String)
      }),
      response: Schema.Struct({ file }),
      pick: (answer) => answer.file
    })
  })
})

/** The endpoints of `Files`. */
import * as Schema from "effect/Schema"
import { AnnouncedFile, File } from "../../File.ts"
import { ConversationId } from "../../Ids.ts"
import { nonBlank } from "../decode/schema.ts"
import { del, get, group, post, using } from "./endpoint.ts"

const announced: Schema.Schema<AnnouncedFile, typeof AnnouncedFile.Encoded> = AnnouncedFile
const file: Schema.Schema<File, typeof File.Encoded> = File

export const maxFileName = 4096

const announce = post("/files", {
  limits: "uploads",
  replay: "creation",
  body: Schema.Struct({
    contentType: nonBlank("a content type"),
    fileName: nonBlank("a file name").pipe(
      Schema.filter((name) => name.length <= maxFileName || `at most ${maxFileName} characters long`)
    ),
    fileSize: Schema.Number.pipe(
      Schema.filter((size) => Number.isSafeInteger(size) && size > 0 || "a whole number of bytes, at least 1")
    ),
    useCase: Schema.Literal("conversation"),
    useCaseMetadata: Schema.optional(Schema.Struct({
      conversationId: ConversationId,
      sourceProvider: Schema.optional(Schema.String),
      sourceIcon: Schema.optional(Schema.String)
    }))
  }),
  response: Schema.Struct({ file: announced }),
  pick: (answer) => answer.file
})

// Images are resized, documents read and audio transcribed before the answer comes.
const send = post("/files/{fileId}", { timeouts: { headers: "5 minutes" }, response: Schema.Struct({ file }) })

const read = get("/files/{fileId}")

export const files = group("Files", {
  create: using({ announce }),
  upload: using({ announce, send }),
  uploadStream: using({ announce, send }),
  download: using({ read }),
  downloadBytes: using({ read }),
  downloadTo: using({ read }),
  view: using({ read }),
  viewText: using({ read }),
  /**
   * Deletes a file. Retried automatically. Fails with `DustNotFoundError` (`file_not_found`) if it does not exist, unless an
   * earlier attempt of this call deleted it.
   *
   * Source: `DELETE /api/v1/w/{workspaceId}/files/{fileId}`;
   * `front-api/routes/v1/w/[wId]/files/[fileId].ts` in dust-tt/dust.
   */
  delete: del("/files/{fileId}", { done: ({ type }) => type === "file_not_found" })
})

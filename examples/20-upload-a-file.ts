/** Uploads a file while showing its progress, asks an agent about it, and reads it back. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Stream } from "effect"
import { Chat } from "effect-dust/Chat"
import * as File from "effect-dust/File"
import { Files } from "effect-dust/Files"
import { agent, done, dust, failed, note, says, title } from "./support.ts"

// Any Stream of bytes with a known size. It is never loaded into memory as a whole.
const rows = 20_000
const line = (n: number) => new TextEncoder().encode(`${String(n).padStart(6, "0")},item,3.50\n`)
const prices = Stream.map(Stream.range(1, rows), line)

const program = Effect.gen(function*() {
  const chat = yield* Chat
  const files = yield* Files

  yield* title("Upload a Stream")
  const size = rows * line(1).length
  let shown = 0
  const file = yield* files.upload({
    fileName: "prices.csv",
    content: prices,
    size,
    onProgress: ({ sent, total }) => {
      const percent = Math.floor(sent / total * 4) * 25
      if (percent === shown) return Effect.void
      shown = percent
      return note(`${percent} %`)
    }
  })
  yield* done(`${file.sId}: ${file.fileName}, ${file.fileSize} bytes, ${file.status}`)

  yield* title("Ask about it")
  const reply = yield* chat.send({
    agent: yield* agent,
    message: "What is in this file?",
    attachments: [File.contentFragment(file)]
  })
  yield* says("agent", reply.text)

  yield* title("Read the first lines")
  const start = yield* files.download({ fileId: file.sId }).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.take(3),
    Stream.runCollect
  )
  for (const one of start) yield* says("line", one)

  yield* title("Invalid input is refused before any request")
  yield* files.upload({ fileName: "movie.mov", content: "…" }).pipe(
    Effect.catchTag("DustBadRequestError", (error) => failed(error.message))
  )
})

program.pipe(Effect.provide(dust), NodeRuntime.runMain)

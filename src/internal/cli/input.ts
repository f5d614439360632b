/** Reads piped input. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { fstatSync } from "node:fs"
import process from "node:process"
import { UsageError } from "./failure.ts"
import { Output } from "./output.ts"

/** Whether stdin is a pipe, a socket or a file. False for a terminal, /dev/null and a closed stdin. */
const isPiped = Effect.sync(() => {
  if (process.stdin.isTTY) return false
  try {
    const stat = fstatSync(0)
    return stat.isFIFO() || stat.isFile() || stat.isSocket()
  } catch {
    // Closed.
    return false
  }
})

const readAll = Effect.async<Uint8Array, UsageError>((resume) => {
  const pieces: Array<Buffer> = []
  const { stdin } = process
  const onData = (piece: Buffer) => void pieces.push(piece)
  const onEnd = () => resume(Effect.succeed(new Uint8Array(Buffer.concat(pieces))))
  const onError = (error: Error) => resume(Effect.fail(new UsageError({ message: `stdin: ${error.message}` })))
  stdin.on("data", onData).once("end", onEnd).once("error", onError)
  return Effect.sync(() => {
    stdin.off("data", onData).off("end", onEnd).off("error", onError).pause()
  })
})

/** The piped text, if any. Prints a notice after waiting for three seconds. */
export const piped: Effect.Effect<Option.Option<string>, UsageError, Output> = Effect.gen(function*() {
  if (!(yield* isPiped)) return Option.none()
  const output = yield* Output
  const notice = Effect.delay(
    output.note("Reading stdin; run with < /dev/null if there is no input."),
    "3 seconds"
  )
  const bytes = yield* Effect.raceFirst(readAll, Effect.zipRight(notice, Effect.never))
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => new UsageError({ message: "stdin must be UTF-8 text; attach other files with --file" })
  })
  return Option.filter(Option.some(text), (text) => text.trim() !== "")
})

/** Distortions of a response body: truncation, small pieces, rewriting, duplicate or reordered frames. */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { pause, type World } from "../state/state.ts"
import { decodeText, encodeText, type LocalResponse, Reset } from "./http.ts"

const bodyStream = (response: LocalResponse): Stream.Stream<Uint8Array, Reset> => {
  switch (response.body._tag) {
    case "Empty":
      return Stream.empty
    case "Bytes":
      return Stream.make(response.body.bytes)
    case "Stream":
      return response.body.stream
  }
}

const withStream = (
  response: LocalResponse,
  f: (stream: Stream.Stream<Uint8Array, Reset>) => Stream.Stream<Uint8Array, Reset>
): LocalResponse => ({ ...response, body: { _tag: "Stream", stream: f(bodyStream(response)) } })

const cutAfter = (
  self: Stream.Stream<Uint8Array, Reset>,
  bytes: number,
  orderly: boolean,
  onWhole: (reason: string) => void
) =>
  Stream.suspend(() => {
    let left = bytes
    return self.pipe(
      Stream.mapChunks(Chunk.flatMap((piece) => {
        if (left <= 0) return Chunk.empty<Uint8Array>()
        const taken = piece.length <= left ? piece : piece.subarray(0, left)
        left -= taken.length
        return Chunk.of(taken)
      })),
      Stream.takeUntil(() => left <= 0),
      Stream.concat(
        Stream.suspend(() => left <= 0 && !orderly ? Stream.fail(new Reset({ kind: "reset" })) : Stream.empty)
      ),
      Stream.ensuring(Effect.sync(() => {
        if (left > 0) onWhole(`only ${bytes - left} bytes of the body were sent`)
      }))
    )
  })

const pieces = (bytes: Uint8Array, size: number): Chunk.Chunk<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += size) all.push(bytes.subarray(at, at + size))
  return Chunk.unsafeFromArray(all)
}

/** Transforms whole frames, however they are split into pieces. */
const mapFrames = (
  self: Stream.Stream<Uint8Array, Reset>,
  make: () => { readonly frame: (frame: string) => string; readonly end: () => string }
) =>
  Stream.suspend(() => {
    const mapper = make()
    let rest = ""
    return self.pipe(
      Stream.map((piece) => {
        const parts = (rest + decodeText(piece)).split("\n\n")
        rest = parts.pop() ?? ""
        return parts.map((part) => mapper.frame(`${part}\n\n`)).join("")
      }),
      Stream.concat(Stream.sync(() => mapper.end() + rest)),
      Stream.filter((text) => text !== ""),
      Stream.map(encodeText)
    )
  })

const isOrdinary = (frame: string): boolean => frame.startsWith("data: {")

/** Delays the body. */
export const delayed = (world: World, response: LocalResponse, duration: Duration.DurationInput): LocalResponse =>
  withStream(
    response,
    (stream) => Stream.unwrap(Effect.as(pause(world, duration, "a fault that delays the body"), stream))
  )

/** Truncates the body after this many bytes. `onWhole` is called if it ends or is left before. */
export const cut = (
  response: LocalResponse,
  afterBytes: number,
  orderly: boolean,
  onWhole: (reason: string) => void
): LocalResponse => {
  const { "content-length": length, ...rest } = response.headers
  // A truncated body that ends normally has no content-length.
  const headers = orderly || length === undefined ? rest : response.headers
  return withStream({ ...response, headers }, (stream) => cutAfter(stream, afterBytes, orderly, onWhole))
}

/** Rewrites the text of the body, or of each event of an event stream. */
export const rewritten = (response: LocalResponse, change: (before: string) => string): LocalResponse => {
  if (response.body._tag === "Empty") return response
  if (response.body._tag === "Bytes") {
    const body = encodeText(change(decodeText(response.body.bytes)))
    return {
      ...response,
      headers: { ...response.headers, "content-length": String(body.length) },
      body: { _tag: "Bytes", bytes: body }
    }
  }
  return withStream(response, (stream) =>
    response.headers["content-type"] === "text/event-stream"
      ? mapFrames(stream, () => ({
        frame: (frame) => isOrdinary(frame) ? `data: ${change(frame.slice("data: ".length, -2))}\n\n` : frame,
        end: () => ""
      }))
      : Stream.unwrap(
        Effect.map(
          Stream.runFold(stream, "", (text, piece) => text + decodeText(piece)),
          (text) => Stream.make(encodeText(change(text)))
        )
      ))
}

/** Rewrites text as JSON; invalid JSON is passed as null. */
export const overJson = (f: (json: unknown) => unknown) => (before: string): string =>
  JSON.stringify(f(Option.getOrNull(Option.liftThrowable(() => JSON.parse(before) as unknown)())))

export const doubled = (response: LocalResponse): LocalResponse =>
  withStream(
    response,
    (stream) =>
      mapFrames(stream, () => ({ frame: (frame) => isOrdinary(frame) ? frame + frame : frame, end: () => "" }))
  )

export const reordered = (response: LocalResponse): LocalResponse =>
  withStream(response, (stream) =>
    mapFrames(stream, () => {
      let held = ""
      const release = (next: string) => {
        const frames = next + held
        held = ""
        return frames
      }
      return {
        frame: (frame) => {
          if (!isOrdinary(frame)) return release("") + frame
          if (held !== "") return release(frame)
          held = frame
          return ""
        },
        end: () => release("")
      }
    }))

/** Splits the body into pieces of this many bytes. */
export const dripped = (
  world: World,
  response: LocalResponse,
  bytes: number,
  interval: Duration.DurationInput
): LocalResponse => {
  const every = Duration.decode(interval)
  const interlude = Duration.equals(every, Duration.zero)
    ? Effect.yieldNow()
    : pause(world, every, "a fault that lets the body drip")
  return withStream(response, (stream) =>
    stream.pipe(
      Stream.mapConcatChunk((piece) => pieces(piece, Math.max(1, bytes))),
      Stream.rechunk(1),
      Stream.mapEffect((piece) => Effect.as(interlude, piece))
    ))
}

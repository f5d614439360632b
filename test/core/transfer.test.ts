/** The bytes of files on their way to Dust and back: complete requests, limits, failures. */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Stream } from "effect"
import type { RequestError } from "effect-dust/DustAPIError"
import * as DustClient from "effect-dust/DustClient"
import * as Files from "effect-dust/Files"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { type Answer, dust, failure, json, type Recorded, transport } from "../support/http.ts"
import { plain } from "../support/jobs.ts"
import { virtualClock } from "../support/virtual.ts"

const bytesOf = (content: string) => new TextEncoder().encode(content)
/** Without a Blob, which Node reads outside the clock. */
const readable = (text: string) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(bytesOf(text))
      controller.close()
    }
  })
const clocked = Effect.withClock(virtualClock())
const storage = "https://storage.example/f?signed=1"

const error = (method: string, over: Readonly<Record<string, unknown>>) => ({
  _tag: "DustBadRequestError",
  module: "Files",
  method,
  request: method.startsWith("download")
    ? { method: "GET", route: "/api/v1/w/{workspaceId}/files/{fileId}" }
    : { method: "POST", route: "/api/v1/w/{workspaceId}/files/{fileId}" },
  type: "invalid_input",
  attempts: 0,
  ...over
})

describe("an upload", () => {
  const file = { sId: "fil_1", fileName: "a.txt", contentType: "text/plain", fileSize: 2, status: "ready" }
  const announced = { file: { ...file, status: "created", uploadUrl: "https://dust.example/api/v1/w/ws1/files/fil_1" } }

  /** Reads the bytes of a second step as a server does. */
  const contentOf = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<string, RequestError> => {
    const { body } = request
    if (body._tag === "Uint8Array") return Effect.succeed(new TextDecoder().decode(body.body))
    // The errors of this stream are those of the content.
    return body._tag === "Stream"
      ? Stream.mkString(Stream.decodeText(body.stream as Stream.Stream<Uint8Array, RequestError>))
      : Effect.succeed("")
  }

  const uploading = (answer: (nth: number, request: Recorded) => Answer = () => json({ file })) => {
    const seen: Array<unknown> = []
    const kinds: Array<string> = []
    let nth = 0
    const { layer } = dust((recorded): Answer => {
      const { body, headers, method, request, url } = recorded
      if (url.pathname.endsWith("/files")) {
        seen.push([method, url.pathname, JSON.parse(body ?? "")])
        return json(announced)
      }
      kinds.push(request.body._tag)
      return Effect.flatMap(Effect.either(contentOf(request)), (content) => {
        const boundary = /boundary=(.*)$/.exec(headers["content-type"] ?? "")?.[1] ?? "none"
        seen.push([
          method,
          url.href,
          content._tag === "Right" ? content.right.replaceAll(boundary, "…").split("\r\n") : "broken"
        ])
        if (content._tag === "Left") return transport(recorded, undefined)
        const given = answer(++nth, recorded)
        return given instanceof Response ? Effect.succeed(given) : given
      })
    })
    return { seen, kinds, layer }
  }

  const upload = (options: Files.UploadOptions<RequestError, never, RequestError>) =>
    Effect.flatMap(Files.Files, (files) => files.upload(options))
  const part = (name: string, type: string, content: string) => [
    "--…",
    `Content-Disposition: form-data; name="file"; filename="${name}"`,
    `Content-Type: ${type}`,
    "",
    content,
    "--…--",
    ""
  ]
  const path = "/api/v1/w/ws1/files"
  const address = `https://dust.example${path}/fil_1`

  it.effect("announces the file, then sends its bytes", () =>
    Effect.gen(function*() {
      const { kinds, layer, seen } = uploading()
      const sent = yield* Effect.provide(
        upload({ content: "é", fileName: "a.txt", conversationId: "con", sourceProvider: "github", sourceIcon: "i" }),
        layer
      )
      assert.deepInclude(sent, file)
      const body = { contentType: "text/plain", fileName: "a.txt", fileSize: 2, useCase: "conversation" }
      assert.deepStrictEqual(seen, [
        [
          "POST",
          path,
          { ...body, useCaseMetadata: { conversationId: "con", sourceProvider: "github", sourceIcon: "i" } }
        ],
        ["POST", address, part("a.txt", "text/plain", "é")]
      ])
      assert.deepStrictEqual(kinds, ["Uint8Array"])
    }))

  const types: ReadonlyArray<readonly [string, Partial<Files.UploadOptions>, string]> = [
    ["of its name", { fileName: "a.csv" }, "text/csv"],
    [
      "of its name rather than its own",
      { fileName: "a.md", content: new Blob(["x"], { type: "text/csv" }) },
      "text/markdown"
    ],
    ["of its own, without parameters", {
      fileName: "a",
      content: new Blob(["x"], { type: "Text/CSV ; charset=utf-8" })
    }, "text/csv"],
    ["that is given", { fileName: "a.md", contentType: "text/plain" }, "text/plain"],
    ["that is given and not checked", { contentType: "x/y; z", checkType: false }, "x/y; z"]
  ]
  it.effect.each(types)("has the type %s", ([, options, expected]) =>
    Effect.gen(function*() {
      const { layer, seen } = uploading()
      yield* Effect.provide(upload({ content: "x", fileName: "a.txt", ...options } as Files.UploadOptions), layer)
      const name = options.fileName ?? "a.txt"
      assert.deepStrictEqual(seen, [
        ["POST", path, { contentType: expected, fileName: name, fileSize: 1, useCase: "conversation" }],
        ["POST", address, part(name, expected, "x")]
      ])
    }))

  const one = "one of `File.contentTypes`, without parameters"
  const name = { fileName: "a.txt" }
  type Refusal = readonly [options: object, field: string, expected: string, got?: string]
  const refused: ReadonlyArray<Refusal> = [
    [{ content: 1 }, "content", "text, bytes, a Blob, a ReadableStream or a Stream"],
    [{ content: "a" }, "fileName", "a non-blank name"],
    [{ content: "a", fileName: " " }, "fileName", "a non-blank name"],
    [{ content: "a", fileName: `${"a".repeat(4093)}.txt` }, "fileName", "at most 4096 characters long"],
    [
      { content: "a", fileName: "a.xyz" },
      "contentType",
      "set, because the file name implies no content type that Dust accepts"
    ],
    [{ content: "a", fileName: "a.mov" }, "contentType", "one that Dust accepts, which video/quicktime is not"],
    [{ content: "a", ...name, contentType: "é/x" }, "contentType", "one line of ASCII"],
    [{ content: "a", ...name, contentType: " ", checkType: false }, "contentType", "one line of ASCII"],
    [{ content: "a", ...name, contentType: `x/${"y".repeat(120)}` }, "contentType", one, `x/${"y".repeat(98)}`],
    [{ content: Stream.make(bytesOf("a")), ...name }, "size", "the number of bytes, which is required for a Stream"],
    [{ content: "abc", ...name, size: 4 }, "size", "3, the size of the content", "4"],
    [{ content: "", ...name }, "content", "non-empty"],
    [{ content: Stream.empty, ...name, size: 0 }, "content", "non-empty"],
    [{ content: Stream.empty, ...name, size: 1.5 }, "size", "a whole number of bytes, at least 1"],
    [{ content: Stream.empty, ...name, size: -1 }, "size", "a whole number of bytes, at least 1"]
  ]
  for (const [options, field, expected, got] of refused) {
    it.effect(`is refused with ${JSON.stringify(options).slice(0, 60)} before any request: ${field} ${expected}`, () =>
      Effect.gen(function*() {
        const { layer, seen } = uploading()
        const failed = yield* Effect.flip(Effect.provide(upload(options as Files.UploadOptions), layer))
        const message = `Files.upload: ${field} must be ${expected}${got === undefined ? "" : `, got ${got}`}`
        assert.deepStrictEqual(plain(failed), error("upload", { message, details: { field, expected } }))
        assert.deepStrictEqual(seen, [])
      }))
  }

  it.effect("may have a name of 4096 characters, and exactly as many bytes as the caller allows", () =>
    Effect.gen(function*() {
      const { layer, seen } = uploading()
      yield* Effect.provide(upload({ content: "abc", fileName: `${"a".repeat(4092)}.txt`, maxBytes: 3 }), layer)
      assert.lengthOf(seen, 2)
      const failed = yield* Effect.flip(Effect.provide(upload({ content: "abc", ...name, maxBytes: 2 }), layer))
      const expected = "the content has 3 bytes; the maximum is 2 (maxBytes)"
      assert.deepStrictEqual(
        plain(failed),
        error("upload", {
          _tag: "DustContentTooLargeError",
          message: `Files.upload: ${expected}`,
          type: "max_bytes",
          details: { expected }
        })
      )
      assert.lengthOf(seen, 2)
    }))

  it.effect("fails if a Stream has fewer or more bytes than announced", () =>
    Effect.gen(function*() {
      const content = Stream.make(bytesOf("ab"), bytesOf("c"))
      const { layer } = uploading()
      const fewer = yield* Effect.flip(Effect.provide(upload({ content, ...name, size: 4 }), layer))
      assert.deepStrictEqual(
        plain(fewer),
        error("upload", {
          message: "Files.upload: size must be 3, the size of the content, got 4",
          details: { field: "size", expected: "3, the size of the content" }
        })
      )
      const more = yield* Effect.flip(Effect.provide(upload({ content, ...name, size: 2 }), layer))
      const expected = "the content is larger than its `size` of 2 bytes"
      assert.deepStrictEqual(
        plain(more),
        error("upload", {
          _tag: "DustContentTooLargeError",
          message: `Files.upload: ${expected}`,
          type: "size_mismatch",
          details: { expected }
        })
      )
    }))

  it.effect("of a stream that breaks fails with its field", () =>
    Effect.gen(function*() {
      const content = new ReadableStream({ start: (controller) => controller.error(new Error("broken")) })
      const failed = yield* Effect.flip(Effect.provide(upload({ content, ...name, size: 2 }), uploading().layer))
      assert.deepStrictEqual(
        plain(failed),
        error("upload", {
          message: "Files.upload: content must be readable",
          details: { field: "content", expected: "readable" }
        })
      )
    }))

  it.effect("is sent in pieces of 64 KiB to report its progress, and above 4 MiB", () =>
    Effect.gen(function*() {
      const sizes: ReadonlyArray<readonly [number, ReadonlyArray<number>]> = [
        [65_536, [65_536]],
        [65_537, [65_536, 65_537]],
        [131_073, [65_536, 131_072, 131_073]]
      ]
      for (const [size, expected] of sizes) {
        const { kinds, layer } = uploading()
        const told: Array<Files.UploadProgress> = []
        const onProgress = (progress: Files.UploadProgress) => Effect.sync(() => void told.push(progress))
        yield* Effect.provide(upload({ content: new Uint8Array(size), ...name, onProgress }), layer)
        assert.deepStrictEqual(told, expected.map((sent) => ({ sent, total: size, attempt: 1 })))
        assert.deepStrictEqual(kinds, ["Stream"])
      }
      const limit = 4 * 1024 * 1024
      for (const [size, kind] of [[limit, "Uint8Array"], [limit + 1, "Stream"]] as const) {
        const { kinds, layer, seen } = uploading()
        yield* Effect.provide(upload({ content: "x".repeat(size), ...name }), layer)
        assert.deepStrictEqual(kinds, [kind])
        assert.deepStrictEqual(seen[1], ["POST", address, part("a.txt", "text/plain", "x".repeat(size))])
      }
    }))

  const invalid = (status: number, type: string) => () => failure(status, type)
  const failures: ReadonlyArray<readonly [string, (request: Recorded) => Answer, string, boolean]> = [
    ["the connection breaks", (request) => transport(request, "ECONNRESET"), "DustNetworkError", true],
    ["the server fails", invalid(500, "internal_server_error"), "DustServerError", true],
    ["the minute is over", invalid(400, "invalid_request_error"), "DustBadRequestError", true],
    ["the file is refused", invalid(400, "file_type_not_supported"), "DustBadRequestError", false],
    ["the address is wrong", invalid(405, "invalid_request_error"), "DustBadRequestError", false],
    ["it is too large", invalid(413, "file_too_large"), "DustContentTooLargeError", false],
    ["Dust does not answer", () => Effect.never, "DustTimeoutError", true],
    ["Dust cannot process it", () => json({ file: { ...file, status: "failed" } }), "DustServerError", true]
  ]
  it.effect.each(failures)(
    "starts again once, if that may help, when %s",
    ([, answer, tag, restarts]) =>
      Effect.gen(function*() {
        const twice = uploading((_, request) => answer(request))
        const attempts: Array<number> = []
        const onProgress = ({ attempt }: Files.UploadProgress) => Effect.sync(() => void attempts.push(attempt))
        const failed = yield* Effect.flip(Effect.provide(upload({ content: "a", ...name, onProgress }), twice.layer))
        assert.strictEqual(failed._tag, tag)
        assert.deepStrictEqual(attempts, restarts ? [1, 2] : [1])
        assert.lengthOf(twice.seen, restarts ? 4 : 2)
        const once = uploading((nth, request) => nth === 1 ? answer(request) : json({ file }))
        const result = yield* Effect.either(Effect.provide(upload({ content: "a", ...name }), once.layer))
        assert.strictEqual(result._tag, restarts ? "Right" : "Left")
      }).pipe(DustClient.withOptions({ timeouts: { total: "1 hour" } }), clocked)
  )

  it.effect("does not start again for content that can be read once, or under a policy without retries", () =>
    Effect.gen(function*() {
      const answer = () => failure(500, "internal_server_error")
      for (
        const [content, retry] of [[readable("a"), undefined], ["a", RetryPolicy.none]] as const
      ) {
        const { layer, seen } = uploading(answer)
        const options = retry === undefined ? {} : { retry }
        yield* upload({ content, ...name, size: 1 }).pipe(
          DustClient.withOptions(options),
          Effect.flip,
          Effect.provide(layer)
        )
        assert.lengthOf(seen, 2)
      }
    }).pipe(clocked))

  it.effect("that Dust cannot process is a failure with the id of the file", () =>
    Effect.gen(function*() {
      const { layer } = uploading(() => json({ file: { ...file, status: "failed" } }))
      const failed = yield* upload({ content: "a", ...name }).pipe(
        DustClient.withOptions({ retry: RetryPolicy.none }),
        Effect.flip,
        Effect.provide(layer)
      )
      assert.deepStrictEqual(
        plain(failed),
        error("upload", {
          _tag: "DustServerError",
          message: "Files.upload: Dust received the file but failed to process it",
          type: "file_failed",
          details: { fileId: "fil_1" },
          attempts: 1
        })
      )
    }))

  it.effect("fails with the error of its content or of its observer, in either attempt", () =>
    Effect.gen(function*() {
      const own = plain(yield* Effect.flip(upload({ content: "", ...name }).pipe(Effect.provide(uploading().layer))))
      const failing = Effect.flip(upload({ content: "", ...name })).pipe(
        Effect.provide(uploading().layer),
        Effect.flatMap(Effect.fail)
      ) as Effect.Effect<never, RequestError>
      let runs = 0
      const second = Stream.unwrap(
        Effect.sync(() => ++runs % 2 === 0 ? Stream.fromEffect(failing) : Stream.make(bytesOf("a")))
      )
      const options: ReadonlyArray<readonly [Files.UploadOptions<RequestError, never, RequestError>, number]> = [
        [{ content: Stream.fromEffect(failing), size: 1 }, 2],
        [{ content: "a", onProgress: () => failing }, 2],
        [{ content: second, size: 1 }, 4]
      ]
      for (const [option, requests] of options) {
        const { layer, seen } = uploading(() => failure(500, "internal_server_error"))
        const failed = yield* Effect.flip(Effect.provide(upload({ ...name, ...option }), layer))
        assert.deepStrictEqual(plain(failed), own)
        assert.lengthOf(seen, requests)
      }
    }).pipe(clocked))
})

describe("a download", () => {
  const redirect = () => new Response(null, { status: 302, headers: { location: storage } })
  /** The answers of the storage, one after the other. */
  const stored = (...answers: ReadonlyArray<() => Answer>) => {
    const asked: Array<Readonly<Record<string, string | undefined>>> = []
    const { layer, requests } = dust(({ headers, url }) => {
      if (url.hostname === "dust.example") return redirect()
      asked.push({ url: url.href, range: headers["range"], "if-range": headers["if-range"] })
      return answers[asked.length - 1]?.() ?? new Response(null, { status: 599 })
    })
    return { asked, layer, requests }
  }
  const pieces = (options: Partial<Files.ReadOptions> = {}) =>
    Effect.flatMap(Files.Files, (files) =>
      Effect.map(
        Stream.runCollect(Stream.either(files.download({ fileId: "fil_1", ...options }))),
        (all) =>
          Chunk.toReadonlyArray(all).map((one) =>
            one._tag === "Right" ? new TextDecoder().decode(one.right) : plain(one.left)
          )
      ))
  const body = (text: string, headers: Record<string, string> = {}, status = 200) => () =>
    new Response(text, { status, headers })
  const breaking = (text: string, headers: Record<string, string>, status = 200) => () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(bytesOf(text)),
        pull: (controller) => controller.error(new TypeError("terminated"))
      }, { highWaterMark: 0 }),
      { status, headers }
    )

  it.effect("asks Dust for the file, then the storage for its bytes", () =>
    Effect.gen(function*() {
      const { layer, requests } = stored(body("abc"))
      assert.deepStrictEqual(yield* Effect.provide(pieces({ version: "original" }), layer), ["abc"])
      assert.deepStrictEqual(requests.map(({ headers, method, url }) => [method, url.href, headers["accept"]]), [
        ["GET", "https://dust.example/api/v1/w/ws1/files/fil_1?action=download&version=original", "*/*"],
        ["GET", storage, "*/*"]
      ])
    }))

  it.effect("takes the bytes of Dust itself, too, and views them", () =>
    Effect.gen(function*() {
      const { layer, requests } = dust(() => new Response("abc"))
      assert.deepStrictEqual(yield* Effect.provide(pieces(), layer), ["abc"])
      const text = yield* Effect.provide(Effect.flatMap(Files.Files, (files) => files.viewText({ fileId: "f" })), layer)
      assert.strictEqual(text, "abc")
      assert.deepStrictEqual(requests.map(({ url }) => url.search), ["?action=download", "?action=view"])
    }))

  it.effect("without an address to follow is refused", () =>
    Effect.gen(function*() {
      for (const headers of [{}, { location: "" }]) {
        const { layer, requests } = dust(() => new Response(null, { status: 302, headers }))
        assert.deepInclude((yield* Effect.provide(pieces(), layer))[0] as object, { type: "redirect_refused" })
        assert.lengthOf(requests, 1)
      }
    }))

  it.effect("ends at the caller's limit", () =>
    Effect.gen(function*() {
      const expected = "the file has more than 3 bytes (maxBytes)"
      const over = error("download", {
        _tag: "DustContentTooLargeError",
        message: `Files.download: ${expected}`,
        type: "max_bytes",
        details: { expected }
      })
      const rows: ReadonlyArray<readonly [() => Response, ReadonlyArray<unknown>]> = [
        [body("abc", { "content-length": "3" }), ["abc"]],
        [body("abc"), ["abc"]],
        [body("abcd", { "content-length": "4" }), [over]],
        [body("abcd"), [over]],
        // The length is that of the compressed bytes.
        [body("abc", { "content-length": "9", "content-encoding": "gzip" }), ["abc"]]
      ]
      for (const [answer, seen] of rows) {
        for (const { layer } of [dust(answer), stored(answer)]) {
          assert.deepStrictEqual(yield* Effect.provide(pieces({ maxBytes: 3 }), layer), seen)
        }
      }
    }))

  it.effect("that ends early is a failure", () =>
    Effect.gen(function*() {
      const { layer } = stored(body("abc", { "content-length": "4" }))
      assert.deepStrictEqual(yield* Effect.provide(pieces(), layer), [
        "abc",
        error("download", {
          _tag: "DustNetworkError",
          message: "Files.download: the download ended after 3 of 4 bytes",
          type: "truncated",
          reachedServer: true,
          details: { received: 3, declared: 4 },
          attempts: 1
        })
      ])
    }))

  const ranges = { "accept-ranges": "bytes", etag: "\"1\"" }
  const length = (size: number) => ({ "content-length": String(size) })
  it.effect("continues where it broke off, as often as the policy allows", () =>
    Effect.gen(function*() {
      const { asked, layer } = stored(
        breaking("ab", { ...ranges, ...length(6) }),
        breaking("cd", length(4), 206),
        body("ef", length(2), 206)
      )
      assert.deepStrictEqual(yield* Effect.provide(pieces(), layer), ["ab", "cd", "ef"])
      assert.deepStrictEqual(asked, [
        { url: storage, range: undefined, "if-range": undefined },
        { url: storage, range: "bytes=2-", "if-range": "\"1\"" },
        { url: storage, range: "bytes=4-", "if-range": "\"1\"" }
      ])
      const by = stored(
        breaking("ab", { "accept-ranges": "bytes", "last-modified": "Mon" }),
        body("cd", {}, 206)
      )
      assert.deepStrictEqual(yield* Effect.provide(pieces({ maxBytes: 4 }), by.layer), ["ab", "cd"])
      assert.deepStrictEqual(by.asked[1], { url: storage, range: "bytes=2-", "if-range": "Mon" })
      const over = stored(breaking("ab", ranges), body("cde", {}, 206))
      const [first, last] = yield* Effect.provide(pieces({ maxBytes: 4 }), over.layer)
      assert.strictEqual(first, "ab")
      assert.deepInclude(last as object, { type: "max_bytes" })
      const never = stored(...Array.from({ length: 9 }, () => breaking("a", ranges, 206)))
      const all = yield* Effect.provide(pieces(), never.layer)
      assert.deepStrictEqual(all.slice(0, -1), ["a", "a", "a", "a", "a"])
      assert.deepInclude(all.at(-1) as object, { _tag: "DustNetworkError" })
    }).pipe(clocked))

  it.effect("continues after silence", () =>
    Effect.gen(function*() {
      const silent = () =>
        new Response(new ReadableStream({ start: (controller) => controller.enqueue(bytesOf("ab")) }), {
          headers: ranges
        })
      const { layer } = stored(silent, body("cd", {}, 206))
      assert.deepStrictEqual(yield* Effect.provide(pieces(), layer), ["ab", "cd"])
    }).pipe(clocked))

  it.effect("does not continue without a version or ranges, with compression, or with another answer", () =>
    Effect.gen(function*() {
      const rows: ReadonlyArray<readonly [Record<string, string>, number, () => Answer]> = [
        [{ etag: "\"1\"" }, 1, body("cd", {}, 206)],
        [{ "accept-ranges": "none", etag: "\"1\"" }, 1, body("cd", {}, 206)],
        [{ "accept-ranges": "bytes" }, 1, body("cd", {}, 206)],
        [{ ...ranges, "content-encoding": "gzip" }, 1, body("cd", {}, 206)],
        [ranges, 2, body("abcd")]
      ]
      for (const [headers, requests, next] of rows) {
        const { asked, layer } = stored(breaking("ab", headers), next)
        const all = yield* Effect.provide(pieces(), layer)
        assert.strictEqual(all[0], "ab")
        assert.deepInclude(all[1] as object, { _tag: "DustNetworkError" })
        assert.lengthOf(all, 2)
        assert.lengthOf(asked, requests)
      }
    }).pipe(clocked))

  it.effect("into memory has all pieces, at most 100 MiB by default", () =>
    Effect.gen(function*() {
      const bytes = Effect.flatMap(Files.Files, (files) => files.downloadBytes({ fileId: "f" }))
      const split = new ReadableStream({
        start: (controller) => {
          for (const piece of ["ab", "c", "def"]) controller.enqueue(bytesOf(piece))
          controller.close()
        }
      })
      const { layer } = stored(() => new Response(split))
      assert.strictEqual(new TextDecoder().decode(yield* Effect.provide(bytes, layer)), "abcdef")
      const most = 100 * 1024 * 1024
      for (const [size, type] of [[most, "truncated"], [most + 1, "max_bytes"]] as const) {
        const failed = yield* Effect.flip(Effect.provide(bytes, stored(body("x", length(size))).layer))
        assert.strictEqual(failed.type, type)
      }
    }).pipe(DustClient.withOptions({ timeouts: { total: Duration.minutes(1) } })))
})

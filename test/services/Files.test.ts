// Layers are provided one after the other on purpose.
// @effect-diagnostics multipleEffectProvide:off
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schedule,
  Stream,
  TestClock
} from "effect"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as DustTest from "effect-dust/DustTest"
import * as File from "effect-dust/File"
import * as Files from "effect-dust/Files"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { runInNewContext } from "node:vm"
import { dust } from "../support/http.ts"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytesOf = (content: string) => new TextEncoder().encode(content)

const local = (options?: DustTest.Options & DustTest.ClientOptions) => Effect.provide(DustTest.layer(options))

const requests = Effect.flatMap(DustTest.DustTest, (dust) => dust.requests())
const routes = Effect.map(
  requests,
  (all) => all.map(({ method, route }) => `${method} ${(route ?? "?").replace("/api/v1/w/:workspaceId", "")}`)
)
const noRequests = Effect.map(requests, (all) => assert.strictEqual(all.length, 0))

class SourceError extends Data.TaggedError("SourceError")<{ readonly at: number }> {}

const uploaded = (options: Files.UploadOptions) => Effect.flatMap(Files.Files, (files) => files.upload(options))

describe("Files.upload", () => {
  it.effect("sends text in two steps, to be attached and read again", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const file = yield* files.upload({ fileName: "Überblick \"Q4\".md", content: "# Größe" })
      assert.strictEqual(file.status, "ready")
      assert.strictEqual(file.contentType, "text/markdown")
      assert.strictEqual(file.fileName, "Überblick \"Q4\".md")
      assert.strictEqual(file.fileSize, bytesOf("# Größe").length)
      assert.deepStrictEqual(yield* routes, ["POST /files", "POST /files/:fileId"])
      const [first, second] = yield* requests
      assert.deepStrictEqual(first?.body, {
        contentType: "text/markdown",
        fileName: "Überblick \"Q4\".md",
        fileSize: 9,
        useCase: "conversation"
      })
      assert.match(second?.headers["content-type"] ?? "", /^multipart\/form-data; boundary=effect-dust-[0-9a-f]{32}$/)
      assert.deepStrictEqual(File.contentFragment(file), { title: "Überblick \"Q4\".md", fileId: file.sId })
      assert.strictEqual(text(yield* files.downloadBytes({ fileId: file.sId })), "# Größe")
    }).pipe(local()))

  for (
    const [name, content, size] of [
      ["bytes", bytesOf("a,b\n1,2\n"), undefined],
      ["a Blob", new Blob(["a,b\n", "1,2\n"], { type: "text/csv;charset=utf-8" }), undefined],
      ["a Stream", Stream.make(bytesOf("a,b\n"), bytesOf("1,2\n")), 8]
    ] as const
  ) {
    it.effect(`sends ${name}`, () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const file = yield* files.upload({ fileName: "t.csv", content, size })
        assert.strictEqual(text(yield* files.downloadBytes({ fileId: file.sId })), "a,b\n1,2\n")
      }).pipe(local()))
  }

  it.effect("takes name and type from a web File, also when only the Blob knows the type", () =>
    Effect.gen(function*() {
      const file = yield* uploaded({ content: new globalThis.File(["x"], "picture", { type: "image/png; q=1" }) })
      assert.strictEqual(file.fileName, "picture")
      assert.strictEqual(file.contentType, "image/png")
    }).pipe(local()))

  it.effect("ties the file to a conversation", () =>
    Effect.gen(function*() {
      yield* uploaded({ fileName: "a.txt", content: "a", conversationId: "con1", sourceProvider: "github" })
      const [first] = yield* requests
      assert.deepPropertyVal(first?.body, "useCaseMetadata", { conversationId: "con1", sourceProvider: "github" })
    }).pipe(local({ seed: { conversations: [{ sId: "con1" }] } })))

  const refused: ReadonlyArray<readonly [string, Files.UploadOptions, string, string]> = [
    ["a missing name", { content: "a" }, "fileName", "a non-blank name"],
    ["a blank name", { fileName: " ", content: "a" }, "fileName", "a non-blank name"],
    ["a very long name", { fileName: `${"a".repeat(4096)}.txt`, content: "a" }, "fileName", "at most 4096 characters"],
    ["an unknown extension", { fileName: "movie.xyz", content: "a" }, "contentType", "implies no content type"],
    [
      "an extension of another type",
      { fileName: "movie.mov", content: "a" },
      "contentType",
      "which video/quicktime is not"
    ],
    [
      "an unsupported type",
      { fileName: "a.txt", contentType: "video/quicktime", content: "a" },
      "contentType",
      "one of `File.contentTypes`, without parameters"
    ],
    [
      "a type with parameters",
      { fileName: "a.txt", contentType: "text/plain; charset=utf-8", content: "a" },
      "contentType",
      "one of `File.contentTypes`, without parameters"
    ],
    [
      "a type of several lines",
      { fileName: "a.txt", contentType: "text/plain\r\nx: y", checkType: false, content: "a" },
      "contentType",
      "one line of ASCII"
    ],
    [
      "a blank type",
      { fileName: "a.txt", contentType: " ", checkType: false, content: "a" },
      "contentType",
      "one line of ASCII"
    ],
    ["an empty text", { fileName: "a.txt", content: "" }, "content", "non-empty"],
    ["empty bytes", { fileName: "a.txt", content: new Uint8Array() }, "content", "non-empty"],
    ["an empty Blob", { fileName: "a.txt", content: new Blob([]) }, "content", "non-empty"],
    ["an empty Stream", { fileName: "a.txt", content: Stream.empty, size: 0 }, "content", "non-empty"],
    [
      "a Stream without a size",
      { fileName: "a.txt", content: Stream.make(bytesOf("a")) },
      "size",
      "required for a Stream"
    ],
    [
      "a size that is none",
      { fileName: "a.txt", content: Stream.make(bytesOf("a")), size: 1.5 },
      "size",
      "a whole number of bytes"
    ],
    [
      "a negative size",
      { fileName: "a.txt", content: Stream.make(bytesOf("a")), size: -1 },
      "size",
      "a whole number of bytes"
    ],
    [
      "another size than the content has",
      { fileName: "a.txt", content: "abc", size: 4 },
      "size",
      "3, the size of the content"
    ]
  ]
  for (const [name, options, field, text] of refused) {
    it.effect(`refuses ${name} before any request`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(uploaded(options))
        assert.deepStrictEqual([error._tag, error.type, error.attempts], ["DustBadRequestError", "invalid_input", 0])
        assert.propertyVal(error.details, "field", field)
        assert.include(error.message, text)
        yield* noRequests
      }).pipe(local()))
  }

  it.effect("refuses content over the caller's limit before any request", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: "abcdef", maxBytes: 5 }))
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.strictEqual(error.type, "max_bytes")
      yield* noRequests
      yield* uploaded({ fileName: "a.txt", content: "abcdef", maxBytes: 6 })
    }).pipe(local()))

  it.effect("leaves unknown types to the server when asked to", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        uploaded({ fileName: "a.mov", contentType: "video/quicktime", checkType: false, content: "a" })
      )
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.strictEqual(error.type, "file_type_not_supported")
    }).pipe(local()))

  it.effect("names the server's own limit for the type", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.png", content: new Uint8Array(5 * 1024 * 1024 + 1) }))
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.strictEqual(error.type, "file_too_large")
      assert.strictEqual(error.status, 400)
    }).pipe(local()))

  it.effect("fails with the error of its source, and does not start again", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const content = Stream.concat(Stream.make(bytesOf("ab")), Stream.fail(new SourceError({ at: 2 })))
      const error = yield* Effect.flip(files.upload({ fileName: "a.txt", content, size: 4 }))
      assert.deepStrictEqual(error, new SourceError({ at: 2 }))
      assert.deepStrictEqual((yield* routes).filter((route) => route === "POST /files"), ["POST /files"])
    }).pipe(local()))

  it.effect("notices a Stream that is longer than announced", () =>
    Effect.gen(function*() {
      const content = Stream.make(bytesOf("ab"), bytesOf("cd"))
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content, size: 3 }))
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.strictEqual(error.type, "size_mismatch")
    }).pipe(local()))

  it.effect("notices a Stream that is shorter than announced", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: Stream.make(bytesOf("ab")), size: 3 }))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.propertyVal(error.details, "field", "size")
    }).pipe(local()))

  for (
    const [name, fault] of [
      ["the connection breaks before Dust has it", DustTest.faults.resetBefore()],
      ["the connection breaks after Dust has it", DustTest.faults.resetAfter()],
      ["the server fails", DustTest.faults.status(500)],
      ["a gateway fails", DustTest.faults.html(502)],
      ["the minute is over", DustTest.faults.status(400, { type: "invalid_request_error", message: "expired" })]
    ] as const
  ) {
    it.effect(`starts again once when ${name}`, () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const fiber = yield* Effect.fork(files.upload({ fileName: "a.txt", content: "hello" }))
        // Not before the pause of the policy has passed: some half a second.
        yield* TestClock.adjust("300 millis")
        assert.lengthOf(yield* routes, 2)
        yield* TestClock.adjust("2 seconds")
        const file = yield* Fiber.join(fiber)
        assert.strictEqual(text(yield* files.downloadBytes({ fileId: file.sId })), "hello")
        assert.deepStrictEqual((yield* routes).slice(0, 4), [
          "POST /files",
          "POST /files/:fileId",
          "POST /files",
          "POST /files/:fileId"
        ])
      }).pipe(local({ faults: [{ method: "POST", path: "/files/:fileId", nth: 1, fault }] })))
  }

  it.effect("starts again once, not twice", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.flip(uploaded({ fileName: "a.txt", content: "hello" })))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual((yield* requests).length, 4)
    }).pipe(local({ faults: [{ method: "POST", path: "/files/:fileId", fault: DustTest.faults.resetAfter() }] })))

  it.effect("does not start again when the policy allows no further attempt", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: "hello" }))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual((yield* requests).length, 2)
    }).pipe(local({
      retry: RetryPolicy.none,
      faults: [{ method: "POST", path: "/files/:fileId", fault: DustTest.faults.resetAfter() }]
    })))

  it.effect("does not start again for what would be refused again", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: "hello" }))
      assert.strictEqual(error.type, "file_type_not_supported")
      assert.strictEqual((yield* requests).length, 2)
    }).pipe(local({
      faults: [{
        method: "POST",
        path: "/files/:fileId",
        fault: DustTest.faults.status(400, { type: "file_type_not_supported" })
      }]
    })))

  it.effect("starts again when the minute between the steps is really over, and for a Stream runs it again", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      let runs = 0
      const content = Stream.unwrap(Effect.sync(() => {
        runs++
        return runs === 1
          ? Stream.fromEffect(Effect.delay(Effect.succeed(bytesOf("hello")), "61 seconds"))
          : Stream.make(bytesOf("hello"))
      }))
      const fiber = yield* Effect.fork(files.upload({ fileName: "a.txt", content, size: 5 }))
      yield* TestClock.adjust("70 seconds")
      const file = yield* Fiber.join(fiber)
      assert.strictEqual(runs, 2)
      assert.strictEqual(file.status, "ready")
    }).pipe(local()))

  it.effect("fails with a type of its own when Dust cannot process the file", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: "hello" }))
      assert.strictEqual(error._tag, "DustServerError")
      assert.strictEqual(error.type, "file_failed")
    }).pipe(local({
      retry: RetryPolicy.none,
      faults: [{
        method: "POST",
        path: "/files/:fileId",
        fault: DustTest.faults.transformText((body) => body.replace(`"ready"`, `"failed"`))
      }]
    })))

  it.effect("waits five minutes for the answer, and no longer", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.exit(uploaded({ fileName: "a.mp3", content: "hello" })))
      yield* TestClock.adjust("299 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("2 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit))
    }).pipe(local({
      retry: RetryPolicy.none,
      faults: [{ method: "POST", path: "/files/:fileId", fault: DustTest.faults.neverAnswer() }]
    })))

  it.effect("sends nothing to an upload address on another origin", () =>
    Effect.gen(function*() {
      for (
        const address of [
          "https://evil.test/api/v1/w/LocalDust1/files/x",
          "http://local-dust.test:8080/x",
          "https://local-dust.test@evil.test/x",
          "ftp://local-dust.test/x",
          "https://sub.local-dust.test/x"
        ]
      ) {
        const dust = yield* DustTest.DustTest
        yield* dust.clearRequests
        yield* dust.clearFaults
        yield* dust.fault({
          method: "POST",
          path: "/files",
          fault: DustTest.faults.transformText((body) =>
            body.replace(/"uploadUrl":"[^"]*"/, `"uploadUrl":${JSON.stringify(address)}`)
          )
        })
        const error = yield* Effect.flip(uploaded({ fileName: "a.txt", content: "secret" }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(error.type, "address_refused")
        assert.deepStrictEqual(yield* routes, ["POST /files"])
      }
    }).pipe(local()))

  it.effect("uses the path of the upload address", () =>
    Effect.gen(function*() {
      const dust = yield* DustTest.DustTest
      yield* dust.fault({
        method: "POST",
        path: "/files",
        fault: DustTest.faults.transformText((body) => body.replace(/("uploadUrl":"[^"]*)"/, `$1?upload=1"`))
      })
      yield* uploaded({ fileName: "a.txt", content: "hello" })
      const { query } = yield* dust.lastRequest({ method: "POST" })
      assert.deepStrictEqual(query, { upload: "1" })
    }).pipe(local()))

  it.effect("upload: reports progress in bytes", () =>
    Effect.gen(function*() {
      const told: Array<Files.UploadProgress> = []
      const content = new Uint8Array(200_000).fill(7)
      const file = yield* uploaded({
        fileName: "a.bin",
        contentType: "application/octet-stream",
        content,
        onProgress: (progress) => Effect.sync(() => told.push(progress))
      })
      assert.deepStrictEqual(told.map(({ sent }) => sent), [65_536, 131_072, 196_608, 200_000])
      assert.deepStrictEqual(told[0], { sent: 65_536, total: 200_000, attempt: 1 })
      const back = yield* Effect.flatMap(Files.Files, (files) => files.downloadBytes({ fileId: file.sId }))
      assert.deepStrictEqual(back, content)
    }).pipe(local()))

  it.effect("as a Stream: progress, then the file", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(files.uploadStream({ fileName: "a.txt", content: "x".repeat(100_000) }))
      )
      assert.deepStrictEqual(events.slice(0, -1), [
        { _tag: "Progress", sent: 65_536, total: 100_000, attempt: 1 },
        { _tag: "Progress", sent: 100_000, total: 100_000, attempt: 1 }
      ])
      const last = events.at(-1)
      assert.strictEqual(last?._tag, "Done")
      assert.strictEqual(last?._tag === "Done" ? last.file.status : "", "ready")
    }).pipe(local()))

  it.effect("uploadStream: fails like upload, and stops when its consumer stops", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const error = yield* Effect.flip(Stream.runDrain(files.uploadStream({ fileName: "a.txt", content: "" })))
      assert.strictEqual(error._tag, "DustBadRequestError")
      const one = yield* files.uploadStream({
        fileName: "a.txt",
        content: Stream.concat(Stream.make(bytesOf("a")), Stream.never),
        size: 2
      }).pipe(Stream.take(1), Stream.runCollect)
      assert.strictEqual(one.length, 1)
      const dust = yield* DustTest.DustTest
      yield* dust.allClosed
    }).pipe(local()))

  it.effect("waits out the limit of announcements", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const announced = { fileName: "a.txt", contentType: "text/plain", fileSize: 1 }
      yield* Effect.replicateEffect(files.create(announced), 40)
      const error = yield* Effect.flip(
        files.create(announced).pipe(DustClient.withOptions({ retry: RetryPolicy.none }))
      )
      assert.strictEqual(error._tag, "DustRateLimitError")
      yield* TestClock.adjust("1 minute")
      yield* files.create(announced)
    }).pipe(local({ limits: true })))
})

describe("Files.create", () => {
  it.effect("validates the declared content before any request", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      for (
        const [field, options] of [
          ["fileName", { fileName: "", contentType: "text/plain", fileSize: 1 }],
          ["fileName", { fileName: "a".repeat(4097), contentType: "text/plain", fileSize: 1 }],
          ["contentType", { fileName: "a", contentType: " ", fileSize: 1 }],
          ["fileSize", { fileName: "a", contentType: "text/plain", fileSize: 0 }],
          ["fileSize", { fileName: "a", contentType: "text/plain", fileSize: Number.NaN }]
        ] as const
      ) {
        const error = yield* Effect.flip(files.create(options))
        assert.propertyVal(error.details, "field", field)
      }
      yield* noRequests
    }).pipe(local()))

  it.effect("Files.create: is not repeated when the first attempt may have arrived", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const error = yield* Effect.flip(
        files.create({ fileName: "a.txt", contentType: "text/plain", fileSize: 3 })
      )
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(error.attempts, 1)
    }).pipe(local({ faults: [{ method: "POST", path: "/files", nth: 1, fault: DustTest.faults.resetAfter() }] })))

  it.effect("Files.create: is repeated where the policy allows creations to be", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* files.create({ fileName: "a.txt", contentType: "text/plain", fileSize: 3 }).pipe(
        DustClient.withOptions({ retry: RetryPolicy.make({ repeatCreations: true }) }),
        Effect.fork
      )
      yield* TestClock.adjust("5 seconds")
      const file = yield* Fiber.join(fiber)
      assert.strictEqual(file.status, "created")
      assert.match(file.uploadUrl, /^https:\/\/local-dust\.test\/api\/v1\/w\/LocalDust1\/files\/fil_/)
    }).pipe(local({ faults: [{ method: "POST", path: "/files", nth: 1, fault: DustTest.faults.resetAfter() }] })))
})

const seeded = {
  seed: {
    files: [
      { sId: "fil_text", fileName: "notes.txt", content: "hello storage" },
      { sId: "fil_html", fileName: "page.html", content: "<b>hello</b>" },
      { sId: "fil_pdf", fileName: "report.pdf", content: "%PDF" },
      { sId: "fil_avatar", fileName: "me.png", content: "png", useCase: "avatar" }
    ]
  }
} satisfies DustTest.Options

describe("Files.download", () => {
  it.effect("follows to the storage without the credential and without our headers", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const bytes = yield* files.downloadBytes({ fileId: "fil_text" })
      assert.strictEqual(text(bytes), "hello storage")
      const [first, second] = yield* requests
      assert.strictEqual(first?.status, 302)
      assert.strictEqual(first?.credential, "key:Local Dust")
      assert.strictEqual(first?.headers["x-mine"], "yes")
      assert.deepStrictEqual(first?.query, { action: "download" })
      assert.strictEqual(second?.origin, "https://storage.local-dust.test")
      assert.strictEqual(second?.credential, "none")
      assert.notProperty(second?.headers, "authorization")
      assert.notProperty(second?.headers, "x-mine")
    }).pipe(local({ ...seeded, headers: { "x-mine": "yes" } })))

  for (
    const location of [
      "http://storage.local-dust.test/x",
      "http://127.0.0.1/x",
      "file:///etc/passwd",
      "https://user:secret@storage.test/x",
      "https://["
    ]
  ) {
    it.effect(`does not follow to ${location}`, () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const error = yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))
        assert.strictEqual(error._tag, "DustBadRequestError")
        assert.strictEqual(error.type, "redirect_refused")
        assert.notInclude(JSON.stringify(error), "secret")
        assert.strictEqual((yield* requests).length, 1)
      }).pipe(
        local({ ...seeded, faults: [{ path: "/files/:fileId", fault: DustTest.faults.redirect(location, 302) }] })
      ))
  }

  for (
    const [baseUrl, location] of [
      ["http://127.0.0.1:9", "http://storage.test/x"],
      ["http://dust.test", "http://127.0.0.1/x"]
    ] as const
  ) {
    it.effect(`does not follow from ${baseUrl} to ${location}`, () => {
      const asked = dust(() => new Response(null, { status: 302, headers: { location } }), { baseUrl })
      return Effect.gen(function*() {
        const files = yield* Files.Files
        assert.strictEqual((yield* Effect.flip(files.downloadBytes({ fileId: "f" }))).type, "redirect_refused")
        assert.lengthOf(asked.requests, 1)
      }).pipe(Effect.provide(asked.layer))
    })
  }

  it.effect("checks every further redirect of the storage, and follows three", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const dust = yield* DustTest.DustTest
      yield* dust.fault({
        path: "/local-dust-files/:fileId",
        times: 1,
        fault: DustTest.faults.redirect("http://elsewhere.test/x", 302)
      })
      assert.strictEqual((yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))).type, "redirect_refused")
      yield* dust.clearFaults
      yield* dust.fault({
        path: "/local-dust-files/:fileId",
        fault: DustTest.faults.redirect("https://storage.local-dust.test/local-dust-files/fil_text", 302)
      })
      yield* dust.clearRequests
      assert.strictEqual((yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))).type, "redirect_refused")
      assert.strictEqual((yield* requests).length, 5)
    }).pipe(local(seeded)))

  it.effect("stops at the caller's limit, before the body when its length is known", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const got: Array<Uint8Array> = []
      const error = yield* files.download({ fileId: "fil_text", maxBytes: 12 }).pipe(
        Stream.runForEach((piece) => Effect.sync(() => got.push(piece))),
        Effect.flip
      )
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.strictEqual(error.type, "max_bytes")
      assert.strictEqual(got.length, 0)
      assert.strictEqual((yield* files.downloadBytes({ fileId: "fil_text", maxBytes: 13 })).length, 13)
    }).pipe(local(seeded)))

  const storage = (answer: () => Response, seen: Array<string> = []) =>
    Effect.provide(
      Dust.layer({ workspaceId: "w", apiKey: Redacted.make("sk-1") }).pipe(
        Layer.provide(Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request, url) =>
            Effect.sync(() => {
              seen.push(url.origin)
              return HttpClientResponse.fromWeb(
                request,
                url.origin === "https://dust.tt"
                  ? new Response(null, { status: 302, headers: { location: "https://storage.googleapis.com/x?sig=1" } })
                  : answer()
              )
            })
          )
        ))
      )
    )

  it.effect("a body of unknown length is cut off at the limit", () => {
    const pieces = [bytesOf("hell"), bytesOf("o st"), bytesOf("orage")]
    const seen: Array<string> = []
    const body = new ReadableStream({
      pull(controller) {
        const piece = pieces.shift()
        if (piece === undefined) controller.close()
        else controller.enqueue(piece)
      }
    })
    return Effect.gen(function*() {
      const files = yield* Files.Files
      const got: Array<string> = []
      const error = yield* files.download({ fileId: "f", maxBytes: 9 }).pipe(
        Stream.runForEach((piece) => Effect.sync(() => got.push(text(piece)))),
        Effect.flip
      )
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.deepStrictEqual(got, ["hell", "o st"])
      assert.deepStrictEqual(seen, ["https://dust.tt", "https://storage.googleapis.com"])
    }).pipe(storage(() => new Response(body), seen))
  })

  it.effect("a file that is declared larger than the limit is not read at all, by default 100 MiB", () => {
    const declared = (bytes: number) => storage(() => new Response("x", { headers: { "content-length": `${bytes}` } }))
    return Effect.gen(function*() {
      const got: Array<Uint8Array> = []
      const error = yield* Files.Files.pipe(
        Effect.flatMap((files) =>
          Stream.runForEach(
            files.download({ fileId: "f", maxBytes: 9 }),
            (piece) => Effect.sync(() => got.push(piece))
          )
        ),
        Effect.flip,
        declared(10)
      )
      assert.strictEqual(error._tag, "DustContentTooLargeError")
      assert.lengthOf(got, 0)
      const collected = yield* Files.Files.pipe(
        Effect.flatMap((files) => files.downloadBytes({ fileId: "f" })),
        Effect.flip,
        declared(100 * 1024 * 1024 + 1)
      )
      assert.strictEqual(collected._tag, "DustContentTooLargeError")
    })
  })

  it.effect("accepts a compressed download whose declared length differs", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      assert.strictEqual(text(yield* files.downloadBytes({ fileId: "f", maxBytes: 20 })), "hello storage")
    }).pipe(
      storage(() => new Response("hello storage", { headers: { "content-encoding": "gzip", "content-length": "30" } }))
    ))

  it.effect("fewer bytes than the storage declared are an incomplete file", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const error = yield* Effect.flip(files.downloadBytes({ fileId: "f" }))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(error.type, "truncated")
      assert.propertyVal(error, "reachedServer", true)
    }).pipe(storage(() => new Response("hello", { headers: { "content-length": "13" } }))))

  it.effect("a body that breaks off is an incomplete file", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const dust = yield* DustTest.DustTest
      yield* dust.fault({ path: "/local-dust-files/:fileId", fault: DustTest.faults.cut(5) })
      const error = yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))
      assert.strictEqual(error._tag, "DustNetworkError")
    }).pipe(local(seeded)))

  it.effect("opens the storage again when it fails for a moment", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const dust = yield* DustTest.DustTest
      for (const fault of [DustTest.faults.status(503, { body: "" }), DustTest.faults.resetBefore()]) {
        yield* dust.clearFaults
        yield* dust.fault({ path: "/local-dust-files/:fileId", nth: 1, fault })
        const fiber = yield* Effect.fork(files.downloadBytes({ fileId: "fil_text" }))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(text(yield* Fiber.join(fiber)), "hello storage")
      }
    }).pipe(local(seeded)))

  it.effect("Retries are polite: the bounds of the policy hold for the storage, too", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const dust = yield* DustTest.DustTest
      const attempts = { path: "/local-dust-files/:fileId" } as const
      yield* dust.fault({ ...attempts, fault: DustTest.faults.status(503, { body: "" }) })
      const fiber = yield* Effect.fork(Effect.flip(files.downloadBytes({ fileId: "fil_text" })))
      yield* TestClock.adjust("1 hour")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustServerError")
      assert.strictEqual(yield* dust.countRequests(attempts), 11)
      yield* dust.clearFaults
      yield* dust.fault({
        ...attempts,
        fault: DustTest.faults.status(503, { body: "", headers: { "retry-after": "600" } })
      })
      const asked = yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))
      assert.deepStrictEqual(asked.retryAfter, Duration.seconds(600))
      assert.strictEqual(yield* dust.countRequests(attempts), 12)
    }).pipe(local({
      ...seeded,
      retry: RetryPolicy.make({ schedule: Schedule.spaced("1 second"), maxElapsed: "10 seconds" })
    })))

  it.effect("what the storage refuses is a missing right or a missing file", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const dust = yield* DustTest.DustTest
      for (
        const [status, tag] of [[401, "DustForbiddenError"], [403, "DustForbiddenError"], [
          404,
          "DustNotFoundError"
        ]] as const
      ) {
        yield* dust.clearFaults
        yield* dust.fault({
          path: "/local-dust-files/:fileId",
          fault: DustTest.faults.status(status, { body: "<Error/>" })
        })
        const error = yield* Effect.flip(files.downloadBytes({ fileId: "fil_text" }))
        assert.strictEqual(error._tag, tag)
      }
    }).pipe(local(seeded)))

  it.effect("a storage that never answers is a timeout", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* Effect.fork(Effect.flip(files.downloadBytes({ fileId: "fil_text" })))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DustTimeoutError")
      assert.propertyVal(error, "phase", "headers")
    }).pipe(local({
      ...seeded,
      retry: RetryPolicy.none,
      timeouts: { headers: "3 seconds" },
      faults: [{ path: "/local-dust-files/:fileId", fault: DustTest.faults.neverAnswer() }]
    })))

  it.effect("a missing file is not found, and odd ids never leave their segment", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const error = yield* Effect.flip(files.downloadBytes({ fileId: "../data_sources" }))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual(error.type, "file_not_found")
      const blank = yield* Effect.flip(files.downloadBytes({ fileId: " " }))
      assert.strictEqual(blank._tag, "DustBadRequestError")
      const all = yield* requests
      assert.deepStrictEqual(all.map(({ path }) => path), ["/api/v1/w/LocalDust1/files/..%2Fdata_sources"])
    }).pipe(local(seeded)))
})

describe("Files.view", () => {
  it.effect("reads from Dust, or from storage for content that is unsafe to display", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      assert.strictEqual(yield* files.viewText({ fileId: "fil_text" }), "hello storage")
      assert.deepStrictEqual(yield* routes, ["GET /files/:fileId"])
      assert.strictEqual(yield* files.viewText({ fileId: "fil_html" }), "<b>hello</b>")
      assert.deepStrictEqual((yield* requests).map(({ credential }) => credential), [
        "key:Local Dust",
        "key:Local Dust",
        "none"
      ])
    }).pipe(local(seeded)))

  it.effect("reads the text of a document", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      assert.strictEqual(yield* files.viewText({ fileId: "fil_pdf" }), "%PDF")
      assert.strictEqual(
        yield* files.viewText({ fileId: "fil_pdf", version: "processed" }),
        "Text of report.pdf (4 bytes)"
      )
      const error = yield* Effect.flip(files.viewText({ fileId: "fil_avatar" }))
      assert.strictEqual(error._tag, "DustBadRequestError")
      assert.strictEqual(error.status, 400)
    }).pipe(local(seeded)))
})

describe("Files.delete", () => {
  it.effect("deletes once", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      yield* files.delete("fil_text")
      const error = yield* Effect.flip(files.delete("fil_text"))
      assert.strictEqual(error._tag, "DustNotFoundError")
      assert.strictEqual((yield* requests)[0]?.status, 204)
    }).pipe(local(seeded)))

  it.effect("is done when the answer to it was lost", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fiber = yield* Effect.fork(files.delete("fil_text"))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* requests).length, 2)
    }).pipe(local({
      ...seeded,
      faults: [{ method: "DELETE", nth: 1, fault: DustTest.faults.resetAfter() }]
    })))
})

describe("File", () => {
  const whole = "0123456789".repeat(1000)
  const ranges = (etag: (nth: number) => string, part: (from: number) => Response | undefined) => {
    const asked: Array<string> = []
    const layer = dust(({ headers, nth, url }) => {
      if (url.hostname === "storage.example") {
        const range = headers["range"]
        asked.push(range ?? "all")
        const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0)
        const given = range === undefined ? undefined : part(from)
        if (given !== undefined) return given
        return new Response(whole.slice(0, 3000), {
          headers: { "content-length": String(whole.length), "accept-ranges": "bytes", etag: etag(nth) }
        })
      }
      return new Response(null, { status: 302, headers: { location: "https://storage.example/f" } })
    })
    return { asked, layer: layer.layer }
  }
  const downloaded = (layer: Layer.Layer<Files.Files>) =>
    Effect.flatMap(Files.Files, (files) => files.downloadBytes({ fileId: "fil_1" })).pipe(
      Effect.fork,
      Effect.tap(() => TestClock.adjust("1 minute")),
      Effect.flatMap(Fiber.join),
      Effect.provide(layer)
    )

  it.effect("download: continues where the connection broke off, if the storage can send parts", () =>
    Effect.gen(function*() {
      const { asked, layer } = ranges(() => "\"1\"", (from) =>
        new Response(whole.slice(from, from + 4000), {
          status: 206,
          headers: { "content-length": String(whole.length - from), "accept-ranges": "bytes", etag: "\"1\"" }
        }))
      assert.strictEqual(new TextDecoder().decode(yield* downloaded(layer)), whole)
      assert.deepStrictEqual(asked, ["all", "bytes=3000-", "bytes=7000-"])
    }))

  it.effect("download: a file that changed meanwhile is never pieced together", () =>
    Effect.gen(function*() {
      const { layer } = ranges((nth) => `"${nth}"`, () => undefined)
      const error = yield* Effect.flip(downloaded(layer))
      assert.strictEqual(error._tag, "DustNetworkError")
      assert.strictEqual(error.type, "truncated")
      assert.propertyVal(error, "reachedServer", true)
    }))

  it.effect("upload: takes content of other realms, buffers and web streams", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const foreign = runInNewContext("new Uint8Array([104, 105])") as Uint8Array
      const blob = {
        size: 2,
        type: "text/plain",
        name: "b.txt",
        stream: () => new Blob(["hi"]).stream()
      } as unknown as Blob
      const contents: ReadonlyArray<Files.Content> = [
        foreign,
        new Uint8Array([104, 105]).buffer,
        blob,
        new Blob(["hi"]).stream()
      ]
      for (const content of contents) {
        const file = yield* files.upload({ fileName: "a.txt", content, size: 2 })
        assert.strictEqual(yield* files.viewText({ fileId: file.sId }), "hi")
      }
      const error = yield* Effect.flip(files.upload({ fileName: "a.txt", content: 42 as unknown as string }))
      assert.include(error.message, "content must be text, bytes, a Blob")
      const video = yield* Effect.flip(files.upload({ fileName: "a.mp4", content: "x" }))
      assert.include(video.message, "video/mp4")
    }).pipe(Effect.provide(DustTest.layer())))

  it.effect("upload and downloadTo: from disk to disk, without half a file after a failure", () =>
    Effect.gen(function*() {
      const files = yield* Files.Files
      const fileSystem = yield* FileSystem.FileSystem
      const directory = yield* fileSystem.makeTempDirectoryScoped()
      yield* fileSystem.writeFileString(`${directory}/notes.md`, "# Notes\n")
      const file = yield* files.upload(yield* File.fromPath(`${directory}/notes.md`))
      assert.deepStrictEqual([file.fileName, file.contentType, file.fileSize], ["notes.md", "text/markdown", 8])
      assert.strictEqual(yield* files.downloadTo({ fileId: file.sId, path: `${directory}/copy.md` }), 8)
      assert.strictEqual(yield* fileSystem.readFileString(`${directory}/copy.md`), "# Notes\n")
      yield* Effect.flip(files.downloadTo({ fileId: file.sId, path: `${directory}/other.md`, maxBytes: 3 }))
      assert.deepStrictEqual((yield* fileSystem.readDirectory(directory)).toSorted(), ["copy.md", "notes.md"])
    }).pipe(Effect.scoped, Effect.provide(DustTest.layer()), Effect.provide(NodeContext.layer)))

  it("contentTypeOf: knows the files that people have", () => {
    const expected: ReadonlyArray<readonly [string, string | undefined]> = [
      ["README", "text/plain"],
      ["docs/LICENSE", "text/plain"],
      ["Dockerfile", "text/plain"],
      ["events.jsonl", "text/plain"],
      ["Cargo.toml", "text/plain"],
      [".env", "text/plain"],
      ["notes.MDX", "text/markdown"],
      ["index.mts", "text/typescript"],
      ["talk.m4a", "audio/x-m4a"],
      ["film.mp4", undefined],
      ["README.zip", undefined],
      ["noextension", undefined]
    ]
    for (const [name, type] of expected) assert.strictEqual(File.contentTypeOf(name), type, name)
    assert.strictEqual(File.unsupportedTypeOf("film.MP4"), "video/mp4")
    assert.isUndefined(File.unsupportedTypeOf("a.txt"))
  })

  it("guesses content types from names", () => {
    assert.strictEqual(File.contentTypeOf("Report Q3.PDF"), "application/pdf")
    assert.strictEqual(File.contentTypeOf("a.b.csv"), "text/csv")
    assert.strictEqual(
      File.contentTypeOf("a.docx"),
      "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    )
    assert.strictEqual(File.contentTypeOf("a.doc"), "application/msword")
    assert.strictEqual(File.contentTypeOf("movie.mov"), undefined)
    assert.strictEqual(File.contentTypeOf("constructor"), undefined)
    assert.isFalse(File.isSupported("toString"))
  })
})

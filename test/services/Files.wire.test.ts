import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"
import * as Files from "effect-dust/Files"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose_gc")
const collect: () => void = runInNewContext("gc")

const bytesOf = (content: string) => new TextEncoder().encode(content)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

class SourceError extends Data.TaggedError("SourceError")<{ readonly at: number }> {}

const clients = [["undici", NodeHttpClient.layerUndici], ["fetch", FetchHttpClient.layer]] as const

/** Dust reduced to uploads, over a handler that gets the second step. */
const server = (second: (request: IncomingMessage, response: ServerResponse, file: string) => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
      const http = createServer((request, response) => {
        const { port } = http.address() as { port: number }
        const file = {
          sId: "fil_1",
          id: "fil_1",
          contentType: "application/octet-stream",
          fileName: "a",
          fileSize: 1,
          status: "created",
          useCase: "conversation"
        }
        if (request.url?.endsWith("/files") === true) {
          request.resume()
          request.on("end", () => {
            response.setHeader("content-type", "application/json")
            const uploadUrl = `http://127.0.0.1:${port}/api/v1/w/w/files/fil_1`
            response.end(JSON.stringify({ file: { ...file, uploadUrl } }))
          })
        } else {
          second(request, response, JSON.stringify({ file: { ...file, status: "ready" } }))
        }
      })
      http.listen(0, "127.0.0.1", () => {
        const { port } = http.address() as { port: number }
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}`,
          close: () => {
            http.closeAllConnections()
            http.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

for (const [name, client] of clients) {
  describe(`Files over ${name}`, () => {
    const local = Effect.provide(DustTest.layerServe({ retry: RetryPolicy.none }).pipe(Layer.provide(client)))
    const overServer = (url: string) =>
      Effect.provide(
        Dust.layer({
          workspaceId: "w",
          apiKey: Redacted.make("sk-1"),
          baseUrl: url,
          retry: RetryPolicy.none
        }).pipe(Layer.provide(client))
      )

    it.live("sends a Stream, and reads it from another host without the credential", () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const dust = yield* DustTest.DustTest
        const pieces = Array.from({ length: 300 }, (_, i) => bytesOf(`line ${i}\n`.repeat(100)))
        const size = pieces.reduce((sum, piece) => sum + piece.length, 0)
        const file = yield* files.upload({ fileName: "big.log", content: Stream.fromIterable(pieces), size })
        assert.strictEqual(file.fileSize, size)
        const back = yield* files.downloadBytes({ fileId: file.sId })
        assert.strictEqual(text(back), pieces.map(text).join(""))
        const all = yield* dust.requests()
        assert.deepStrictEqual(all.map(({ credential, status }) => [status, credential]), [
          [200, "key:Local Dust"],
          [200, "key:Local Dust"],
          [302, "key:Local Dust"],
          [200, "none"]
        ])
        assert.strictEqual(new URL(dust.url).hostname, "127.0.0.1")
        assert.strictEqual(new URL(all[3]?.origin ?? "").hostname, "localhost")
        assert.notProperty(all[3]?.headers, "authorization")
      }).pipe(local))

    it.live("sends bytes and a Blob, and views and deletes", () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        for (const content of [bytesOf("größer"), new Blob(["größer"]), "größer"]) {
          const file = yield* files.upload({ fileName: "ü \"1\".txt", content })
          assert.strictEqual(yield* files.viewText({ fileId: file.sId }), "größer")
          yield* files.delete(file.sId)
        }
      }).pipe(local))

    it.live("fails with the error of its source", () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const content = Stream.concat(Stream.make(bytesOf("ab")), Stream.fail(new SourceError({ at: 2 })))
        const error = yield* Effect.flip(files.upload({ fileName: "a.txt", content, size: 400 }))
        assert.deepStrictEqual(error, new SourceError({ at: 2 }))
      }).pipe(local))

    it.live("notices a Stream that is shorter or longer than announced", () =>
      Effect.gen(function*() {
        const files = yield* Files.Files
        const content = Stream.make(bytesOf("ab"), bytesOf("cd"))
        const short = yield* Effect.flip(files.upload({ fileName: "a.txt", content, size: 5 }))
        assert.strictEqual(short._tag, "DustBadRequestError")
        const long = yield* Effect.flip(files.upload({ fileName: "a.txt", content, size: 3 }))
        assert.strictEqual(long._tag, "DustContentTooLargeError")
      }).pipe(local))

    it.live("an early refusal is the server's error", () =>
      Effect.scoped(Effect.gen(function*() {
        const { url } = yield* server((request, response) => {
          request.resume()
          response.statusCode = 401
          response.setHeader("content-type", "application/json")
          response.end(JSON.stringify({ error: { type: "invalid_api_key_error", message: "no" } }))
        })
        const content = Stream.repeatEffect(Effect.as(Effect.sleep("1 millis"), new Uint8Array(1000)))
        const error = yield* Effect.flatMap(Files.Files, (files) =>
          Effect.flip(
            files.upload({ fileName: "a.bin", contentType: "application/octet-stream", content, size: 1e9 })
          )).pipe(overServer(url))
        assert.strictEqual(error._tag, "DustUnauthorizedError")
      })))

    it.live("closes the connection when it is interrupted", () =>
      Effect.scoped(Effect.gen(function*() {
        const closed = yield* Deferred.make<void>()
        const arrived = yield* Deferred.make<void>()
        const { url } = yield* server((request) => {
          request.once("data", () => Deferred.unsafeDone(arrived, Effect.void))
          request.on("close", () => Deferred.unsafeDone(closed, Effect.void))
        })
        const content = Stream.concat(Stream.make(new Uint8Array(1000)), Stream.never)
        const fiber = yield* Effect.flatMap(Files.Files, (files) =>
          files.upload({ fileName: "a.bin", contentType: "application/octet-stream", content, size: 1e6 })).pipe(
            overServer(url),
            Effect.fork
          )
        yield* Deferred.await(arrived)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(closed)
      })))

    it.live("keeps memory flat while it sends 512 MiB", () =>
      Effect.scoped(Effect.gen(function*() {
        let received = 0
        const { url } = yield* server((request, response, file) => {
          request.on("data", (piece: Uint8Array) => {
            received += piece.length
          })
          request.on("end", () => {
            response.setHeader("content-type", "application/json")
            response.end(file)
          })
        })
        const piece = new Uint8Array(256 * 1024)
        const count = 2048
        let sent = 0
        let most = 0
        let ahead = 0
        /** What is still in use: when the rest is collected depends on the machine. */
        const inUse = () => {
          collect()
          return process.memoryUsage().arrayBuffers
        }
        const before = inUse()
        const content = Stream.range(1, count).pipe(
          Stream.rechunk(1),
          Stream.map(() => piece),
          Stream.tap(() =>
            Effect.sync(() => {
              sent += piece.length
              ahead = Math.max(ahead, sent - received)
              if (sent % (32 * 1024 * 1024) === 0) most = Math.max(most, inUse() - before)
            })
          )
        )
        yield* Effect.flatMap(Files.Files, (files) =>
          files.upload({
            fileName: "a.bin",
            contentType: "application/octet-stream",
            content,
            size: piece.length * count
          })).pipe(overServer(url))
        assert.isAbove(received, piece.length * count)
        // Buffers of two sockets and a few pieces.
        assert.isBelow(most, 64 * 1024 * 1024)
        assert.isBelow(ahead, 64 * 1024 * 1024)
      })))
  })
}

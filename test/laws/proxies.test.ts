/** HTTPS through a proxy: what is wrong on the way, and what to change. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import Undici from "@effect/platform-node/Undici"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { Agents } from "effect-dust/Agents"
import * as Dust from "effect-dust/Dust"
import * as DustClient from "effect-dust/DustClient"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { secretKey } from "../support/http.ts"

const listening = <S extends Net.Server>(server: S): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        if (server instanceof Http.Server || server instanceof Https.Server) server.closeAllConnections()
      })
  )

/** A server with a self-signed certificate. */
const secure = Effect.gen(function*() {
  const folder = mkdtempSync(`${tmpdir()}/effect-dust-certificate-`)
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
  execFileSync("openssl", [
    ..."req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=dust.test".split(" "),
    "-addext",
    "subjectAltName=DNS:dust.test",
    "-keyout",
    `${folder}/key.pem`,
    "-out",
    `${folder}/certificate.pem`
  ], { stdio: "ignore" })
  const certificate = readFileSync(`${folder}/certificate.pem`, "utf8")
  const port = yield* listening(
    Https.createServer({ key: readFileSync(`${folder}/key.pem`), cert: certificate }, (_, response) => {
      response.setHeader("content-type", "application/json").end(
        `{"agentConfigurations":[{"sId":"dust","name":"dust"}]}`
      )
    })
  )
  return { port, certificate }
})

/** A proxy for tunnels alone, with a user and a password. */
const proxy = (refuses?: number) =>
  Effect.gen(function*() {
    const sockets = new Set<Net.Socket>()
    const counts = { tunnels: 0 }
    const server = Http.createServer()
    server.on("connect", (request, client: Net.Socket) => {
      counts.tunnels++
      client.on("error", () => {})
      const known = request.headers["proxy-authorization"] === `Basic ${btoa("ada:s3cret")}`
      const status = known ? refuses : 407
      if (status !== undefined) return void client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
      const server = Net.connect(Number(request.url?.split(":")[1]), "127.0.0.1", () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n")
        server.pipe(client).pipe(server)
      })
      server.on("error", () => client.destroy())
      for (const socket of [client, server]) sockets.add(socket)
    })
    const port = yield* listening(server)
    yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => void socket.destroy())))
    return { port, counts }
  })

const through = (uri: string, port: number, certificate?: string) => {
  const dispatcher = Layer.scoped(
    NodeHttpClient.Dispatcher,
    Effect.acquireRelease(
      Effect.sync(() =>
        new Undici.ProxyAgent({ uri, requestTls: certificate === undefined ? {} : { ca: certificate } })
      ),
      (agent) => Effect.promise(() => agent.destroy())
    )
  )
  return Dust.layer({
    workspaceId: "ws1",
    apiKey: Redacted.make(secretKey),
    baseUrl: `https://dust.test:${port}`
  }).pipe(Layer.provide(NodeHttpClient.layerUndiciWithoutDispatcher), Layer.provide(dispatcher), Layer.orDie)
}

const list = Effect.flatMap(Agents, (agents) => agents.list())

describe("HTTPS through a proxy", () => {
  it.scopedLive("asks through the tunnel with the proxy's user and password", () =>
    Effect.gen(function*() {
      const { certificate, port } = yield* secure
      const { counts, port: proxyPort } = yield* proxy()
      const uri = `http://ada:s3cret@127.0.0.1:${proxyPort}`
      assert.lengthOf(yield* Effect.provide(list, through(uri, port, certificate)), 1)
      assert.strictEqual(counts.tunnels, 1)
    }))

  it.scopedLive("fails at once with what to change, if the certificate, the password or the host is refused", () =>
    Effect.gen(function*() {
      const { certificate, port } = yield* secure
      const open = yield* proxy()
      const closed = yield* proxy(403)
      const failure = (user: string, { port: proxyPort }: typeof open, certificate?: string) =>
        Effect.map(
          Effect.flip(Effect.provide(list, through(`http://${user}127.0.0.1:${proxyPort}`, port, certificate))),
          ({ attempts, message, type }) => {
            assert.notInclude(message, "s3cret")
            return [type, attempts, message.replace(/^.*:\d+ /, "")]
          }
        )
      assert.deepStrictEqual(
        [
          yield* failure("ada:s3cret@", open),
          yield* failure("", open, certificate),
          yield* failure("ada:s3cret@", closed, certificate)
        ],
        [
          [
            "DEPTH_ZERO_SELF_SIGNED_CERT",
            1,
            "is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT); check whether a proxy or your company issued it, and set " +
            "NODE_EXTRA_CA_CERTS to the file of its CA certificate (PEM)"
          ],
          [
            "proxy_authentication_required",
            1,
            "requires authentication (407); check the user and password in HTTPS_PROXY"
          ],
          ["proxy_refused", 1, "refused the connection (403); check that it allows this host"]
        ]
      )
    }))

  it.scopedLive("a proxy that does not exist is named instead of the server", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(listening(Http.createServer()))
      const failure = (uri: string) =>
        Effect.map(
          Effect.flip(Effect.provide(DustClient.withOptions(list, { retry: RetryPolicy.none }), through(uri, 9))),
          ({ message }) => message
        )
      assert.include(
        yield* failure(`http://127.0.0.1:${gone}`),
        `nothing is listening at 127.0.0.1:${gone}: the proxy on the way`
      )
      assert.include(
        yield* failure("http://proxy.invalid:8080"),
        "the host of proxy.invalid cannot be resolved: the proxy on the way to https://dust.test:9; check HTTPS_PROXY"
      )
    }))
})

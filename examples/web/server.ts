/**
 * A web application whose users chat with Dust: `npm run web`, then open the address it prints.
 *
 * It uses Local Dust, where Ada and Grace can sign in; with DUST_WORKSPACE_ID and DUST_ACCESS_TOKEN, Dust.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServer from "@effect/platform/HttpServer"
import { Config, Layer } from "effect"
import * as ChatRelay from "effect-dust/ChatRelay"
import { createServer } from "node:http"
import { Api, groups } from "./api.ts"
import * as Dust from "./dust.ts"
import * as Sessions from "./sessions.ts"

const [chat, session, conversations, page] = groups

// Layers close in reverse order. On SIGTERM the routes close first, then the open answers end (the runs continue, and
// the pages reconnect), then the server, and last the SDK with its connections.
const server = HttpApiBuilder.serve().pipe(
  HttpServer.withLogAddress,
  Layer.provide(ChatRelay.layerServerShutdown({ grace: "5 seconds" })),
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide([chat, session, conversations, page]),
  Layer.provide(Sessions.layer),
  Layer.provide(NodeHttpServer.layerConfig(createServer, {
    host: Config.string("HOST").pipe(Config.withDefault("127.0.0.1")),
    port: Config.integer("PORT").pipe(Config.withDefault(3000))
  })),
  Layer.provide(Dust.layer)
)

NodeRuntime.runMain(Layer.launch(server))

/** Law 5 for a server that stops while its users wait for answers. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import * as ChatRelay from "effect-dust/ChatRelay"
import * as ChatRelayClient from "effect-dust/ChatRelayClient"
import * as ChatRoutes from "effect-dust/ChatRoutes"
import * as DustTest from "effect-dust/DustTest"
import { createServer } from "node:http"

const agents: DustTest.Options["agents"] = {
  endless: [DustTest.text("I begin. "), DustTest.silence()],
  asking: [DustTest.approval({ name: "act", inputs: {}, stake: "high" })]
}

/** The layers of a served application, in the order of the guide. */
const server = (onLeave: "cancel" | "leave") =>
  ChatRoutes.router({
    agents: ["endless", "asking"],
    credential: () => Effect.succeed({ accessToken: DustTest.credentials.userToken }),
    onLeave
  }).pipe(
    HttpServer.serve(),
    Layer.provideMerge(ChatRelay.layerServerShutdown()),
    Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
    Layer.provideMerge(DustTest.layer({ agents, credential: "userToken" }))
  )

/** Waits until the answer has begun, and then for the end of its response. */
const follow = async (chat: ChatRelayClient.Client, id: string, begun: () => void) => {
  try {
    for await (const event of chat.follow({ id, attempts: 0 })) {
      if (event._tag === "TextDelta" || event._tag === "ApprovalNeeded") begun()
    }
    return "done"
  } catch (error) {
    return error instanceof ChatRelayClient.ConnectionError ? error.reason : error
  }
}

const stopped = (onLeave: "cancel" | "leave", users: number) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(server(onLeave), scope)
    const dust = Context.get(context, DustTest.DustTest)
    const { address } = Context.get(context, HttpServer.HttpServer)
    const { open } = Context.get(context, ChatRelay.Shutdown)
    const chat = ChatRelayClient.make({
      url: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    })
    const reasons = yield* Effect.promise(async () => {
      let ready = 0
      let go: () => void = () => undefined
      const allBegun = new Promise<void>((resolve) => {
        go = resolve
      })
      const answers = Array.from({ length: users }, async (_, i) => {
        const { id } = await chat.ask({ message: "Go", agent: i % 2 === 0 ? "endless" : "asking" })
        let mine = false
        return follow(chat, id, () => {
          if (mine) return
          mine = true
          if (++ready === users) go()
        })
      })
      await allBegun
      assert.strictEqual(Effect.runSync(open), users)
      // SIGTERM.
      await Effect.runPromise(Scope.close(scope, Exit.void))
      return Promise.all(answers)
    })
    return { reasons, answers: yield* dust.agentMessages(), open: yield* open }
  }).pipe(Effect.runPromise)

describe("Law 5: shutdown", () => {
  it(
    "SIGTERM under load, onLeave \"leave\": every response ends, and every agent runs on for the next instance",
    async () => {
      const { answers, open, reasons } = await stopped("leave", 40)
      assert.deepStrictEqual(new Set(reasons), new Set(["ended"]))
      assert.strictEqual(open, 0)
      assert.lengthOf(answers, 40)
      assert.isTrue(answers.every(({ cancelRequested, status }) => !cancelRequested && status === "created"))
    }
  )

  it("SIGTERM under load, onLeave \"cancel\": every response ends, and no agent is left behind", async () => {
    const { answers, open, reasons } = await stopped("cancel", 40)
    assert.deepStrictEqual(new Set(reasons), new Set(["ended"]))
    assert.strictEqual(open, 0)
    assert.lengthOf(answers, 40)
    assert.isTrue(answers.every(({ cancelRequested }) => cancelRequested))
  })
})

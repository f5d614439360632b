/** The routes of the application: those of the chat, and a few of its own. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema } from "effect"
import * as ChatApi from "effect-dust/ChatApi"
import * as ChatRelay from "effect-dust/ChatRelay"
import { Conversations } from "effect-dust/Conversations"
import * as DustClient from "effect-dust/DustClient"
import * as Message from "effect-dust/Message"
import { agents, type User } from "./dust.ts"
import { html, script } from "./page.ts"
import { cookie, Sessions } from "./sessions.ts"

const Me = Schema.Struct({ name: Schema.NullOr(Schema.String), users: Schema.Array(Schema.String) })

const Listed = Schema.Array(Schema.Struct({ conversationId: Schema.String, title: Schema.String }))

const Turn = Schema.Struct({
  role: Schema.Literal("user", "agent"),
  text: Schema.String,
  /** The unfinished answer that the page follows. */
  id: Schema.NullOr(Schema.String)
})

const file = (contentType: string) => HttpApiSchema.Text({ contentType })

export class Api extends HttpApi.make("web")
  .add(ChatApi.group.prefix("/chat"))
  .add(
    HttpApiGroup.make("session")
      .add(HttpApiEndpoint.get("me", "/session").addSuccess(Me))
      .add(HttpApiEndpoint.post("signIn", "/session").setPayload(Schema.Struct({ name: Schema.String })).addSuccess(Me))
      .add(HttpApiEndpoint.del("signOut", "/session").addSuccess(HttpApiSchema.NoContent))
      .addError(HttpApiError.Unauthorized)
  )
  .add(
    HttpApiGroup.make("conversations")
      .add(HttpApiEndpoint.get("list", "/conversations").addSuccess(Listed))
      .add(
        HttpApiEndpoint.get("turns", "/conversations/:conversationId")
          .setPath(Schema.Struct({ conversationId: Schema.String }))
          .addSuccess(Schema.Array(Turn))
      )
      .addError(HttpApiError.Unauthorized)
      .addError(HttpApiError.NotFound)
      .addError(ChatRelay.RelayedError, { status: 502 })
  )
  .add(
    HttpApiGroup.make("page", { topLevel: true })
      .add(HttpApiEndpoint.get("index", "/").addSuccess(file("text/html; charset=utf-8")))
      .add(HttpApiEndpoint.get("script", "/page.js").addSuccess(file("text/javascript; charset=utf-8")))
  )
{}

const chat = HttpApiBuilder.group(Api, "chat", (handlers) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions
    return ChatApi.handlers({
      agents: yield* agents,
      credential: (request) => Effect.map(sessions.user(request), ({ token }) => ({ accessToken: token })),
      onAsked: ({ conversationId }, request) =>
        Effect.flatMap(sessions.user(request), (user) => sessions.keep(user, conversationId)),
      mayUse: (conversationId, request) =>
        Effect.flatMap(sessions.user(request), (user) => sessions.owns(user, conversationId))
    })(handlers)
  }))

const session = HttpApiBuilder.group(
  Api,
  "session",
  (handlers) =>
    Effect.map(Sessions, ({ names, signIn, signOut, user }) =>
      handlers
        .handle("me", ({ request }) =>
          Effect.match(user(request), {
            onFailure: () => ({ name: null, users: names }),
            onSuccess: ({ name }) => ({ name, users: names })
          }))
        .handle("signIn", ({ payload: { name } }) =>
          Effect.map(signIn(name), (id) =>
            HttpServerResponse.unsafeJson({ name, users: names }).pipe(
              // Add `secure: true` behind https.
              HttpServerResponse.unsafeSetCookie(cookie, id, { httpOnly: true, sameSite: "lax", path: "/" })
            )))
        .handle("signOut", ({ request }) =>
          Effect.as(
            signOut(request),
            HttpServerResponse.empty({ status: 204 }).pipe(HttpServerResponse.expireCookie(cookie, { path: "/" }))
          )))
)

const conversations = HttpApiBuilder.group(Api, "conversations", (handlers) =>
  Effect.gen(function*() {
    const dust = yield* Conversations
    const sessions = yield* Sessions
    const asUser = <A, E, R>(user: User, work: Effect.Effect<A, E, R>) =>
      Effect.mapError(
        DustClient.withCredential(work, { accessToken: user.token }),
        (error) => ChatRelay.toRelayedError(error)
      )
    return handlers
      .handle("list", ({ request }) =>
        Effect.gen(function*() {
          const user = yield* sessions.user(request)
          const all = yield* asUser(user, dust.list())
          return all.toSorted((a, b) => b.created - a.created).map(({ sId, title }) => ({
            conversationId: sId,
            title: title ?? "New conversation"
          }))
        }))
      .handle("turns", ({ path: { conversationId }, request }) =>
        Effect.gen(function*() {
          const user = yield* sessions.user(request)
          if (!(yield* sessions.owns(user, conversationId))) return yield* new HttpApiError.NotFound()
          const messages = yield* asUser(user, dust.listMessages(conversationId))
          return messages.flatMap((message): ReadonlyArray<typeof Turn.Type> =>
            message.type === "user_message"
              ? [{ role: "user", text: message.content, id: null }]
              : Message.isAgentMessage(message)
              ? [{
                role: "agent",
                text: message.content ?? "",
                id: Message.isFinal(message) ? null : ChatRelay.idOf({ conversationId, messageId: message.sId })
              }]
              : []
          )
        }))
  }))

const page = HttpApiBuilder.group(Api, "page", (handlers) =>
  handlers
    .handle("index", () => html)
    .handle("script", () => script))

export const groups = [chat, session, conversations, page] as const

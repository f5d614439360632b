/**
 * Sessions: an HttpOnly cookie identifies the user; the user's token never leaves the server.
 */
import * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Context, Effect, Layer } from "effect"
import { randomUUID } from "node:crypto"
import { type User, users } from "./dust.ts"

export const cookie = "session"

export class Sessions extends Context.Tag("example/Sessions")<Sessions, {
  readonly names: ReadonlyArray<string>
  readonly signIn: (name: string) => Effect.Effect<string, HttpApiError.Unauthorized>
  readonly signOut: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>
  readonly user: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<User, HttpApiError.Unauthorized>
  readonly keep: (user: User, conversationId: string) => Effect.Effect<void>
  readonly owns: (user: User, conversationId: string) => Effect.Effect<boolean>
}>() {}

/**
 * In memory. A real application keeps both in its database, with refresh tokens (`DustConfig.refreshToken`). Ownership
 * of conversations is this application's rule: in Dust, every member of the workspace with the id can read one.
 */
export const layer = Layer.effect(
  Sessions,
  Effect.map(users, (all) => {
    const sessions = new Map<string, User>()
    const owners = new Map<string, string>()
    const found = (user: User | undefined) =>
      user === undefined ? Effect.fail(new HttpApiError.Unauthorized()) : Effect.succeed(user)
    return {
      names: all.map(({ name }) => name),
      signIn: (name) =>
        Effect.map(found(all.find((user) => user.name === name)), (user) => {
          const id = randomUUID()
          sessions.set(id, user)
          return id
        }),
      signOut: ({ cookies }) => Effect.sync(() => void sessions.delete(cookies[cookie] ?? "")),
      user: ({ cookies }) => found(sessions.get(cookies[cookie] ?? "")),
      keep: ({ name }, conversationId) => Effect.sync(() => void owners.set(conversationId, name)),
      owns: ({ name }, conversationId) => Effect.sync(() => owners.get(conversationId) === name)
    }
  })
)

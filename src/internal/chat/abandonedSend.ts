/** Background cleanup, in fibers of the layer, after a send was interrupted. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { RequestError } from "../../DustAPIError.ts"
import type { Service as Client } from "../../DustClient.ts"
import type { ConversationId, MessageId } from "../../Ids.ts"
import { isFinal } from "../../Message.ts"
import { operations } from "../api/conversations.ts"
import { warn } from "../telemetry/log.ts"
import { recording } from "../telemetry/record.ts"
import type { Posted } from "./sameMessage.ts"
import { looks } from "./sendOnce.ts"

export interface Abandoned {
  /** Runs an effect in the background with a time limit, and logs its failure. */
  readonly inBackground: (
    warning: string,
    conversationId: ConversationId,
    messageIds: ReadonlyArray<MessageId>,
    self: Effect.Effect<void, RequestError>
  ) => Effect.Effect<void>
  /** Cancels the run that a message started. */
  readonly cancel: (conversationId: ConversationId, posted: Posted) => Effect.Effect<void>
  /** Looks for the message until it appears, then cancels the run that it started. */
  readonly find: (
    conversationId: ConversationId,
    look: Effect.Effect<ReadonlyArray<Posted>, RequestError>,
    onFound: (posted: Posted) => void
  ) => Effect.Effect<void>
}

/** Time limit of the cleanup; a warning is logged when it expires. */
const limit = "30 seconds"
/** How long closing the layer waits. Uses the real clock: a stopped test clock would block the layer for ever. */
const grace = "2 seconds"

/** Applies the limit, and logs a warning on failure. */
const limited = (
  warning: string,
  conversationId: ConversationId,
  messageIds: ReadonlyArray<MessageId>,
  self: Effect.Effect<void, RequestError>
): Effect.Effect<"done" | "failed"> => {
  const failed = (why: string) =>
    warn(`${warning} (conversation ${conversationId}): ${why}`, { conversationId, messageIds: messageIds.join(", ") })
  return self.pipe(
    Effect.timeoutFail({ duration: limit, onTimeout: () => ({ message: `not finished within ${limit}` }) }),
    Effect.as("done" as const),
    Effect.catchAll(({ message }) => Effect.as(failed(message), "failed" as const)),
    Effect.onInterrupt(() => failed("the layer was closed"))
  )
}

/** Counts the outcome of cancelling an abandoned run. */
const counted = (self: Effect.Effect<"done" | "failed">): Effect.Effect<void> =>
  Effect.flatMap(
    self,
    (outcome) => recording("cancellations", { outcome: outcome === "done" ? "cancelled" : "failed" })
  )

/** Looks for an interrupted message until it is found, the pauses are over, or the layer closes. */
const searching = (
  conversationId: ConversationId,
  look: Effect.Effect<ReadonlyArray<Posted>, RequestError>,
  onFound: (one: Posted) => Effect.Effect<void>,
  closing: Deferred.Deferred<void>
): Effect.Effect<void> => {
  const unchecked = warn(
    `Could not check whether an interrupted message was stored (conversation ${conversationId}): its run may continue`,
    { conversationId }
  )
  let readable = false
  const notFound = Effect.suspend(() => readable ? Effect.void : unchecked)
  const from = (index: number): Effect.Effect<void> => {
    // The message may be stored already.
    const pause = index === 0 ? 0 : looks[index - 1]
    if (pause === undefined) return notFound
    return Effect.sleep(pause).pipe(
      Effect.raceFirst(Deferred.await(closing)),
      Effect.zipRight(Effect.timeout(look, limit)),
      Effect.tap(() => {
        readable = true
      }),
      Effect.orElseSucceed(() => []),
      Effect.flatMap((found) => {
        const [one] = found
        if (found.length > 1) return counted(Effect.as(severalFound(conversationId, found), "failed"))
        if (one !== undefined && (one.agentMessages.length > 0 || one.message.visibility === "pending")) {
          return onFound(one)
        }
        return Effect.flatMap(Deferred.isDone(closing), (closed) => closed ? notFound : from(index + 1))
      })
    )
  }
  return Effect.onInterrupt(from(0), () => notFound)
}

const severalFound = (conversationId: ConversationId, found: ReadonlyArray<Posted>) =>
  warn(
    `The run of an interrupted message was not cancelled (conversation ${conversationId}): several messages could be the one`,
    { conversationId, messageIds: found.map(({ message }) => message.sId).join(", ") }
  )

export const makeAbandoned = (client: Client): Effect.Effect<Abandoned, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fibers = yield* FiberSet.make<void>()
    const closing = yield* Deferred.make<void>()
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Deferred.succeed(closing, undefined),
        Effect.withClock(Effect.timeoutOption(Effect.interruptible(FiberSet.awaitEmpty(fibers)), grace), Clock.make())
      )
    )

    const background = (self: Effect.Effect<void>) => Effect.asVoid(FiberSet.run(fibers, Effect.interruptible(self)))

    const stop = (conversationId: ConversationId, { agentMessages, message }: Posted) => {
      const running = agentMessages.filter((one) => !isFinal(one)).map((one) => one.sId)
      if (running.length > 0) {
        return counted(limited(
          "The run of an interrupted message could not be cancelled",
          conversationId,
          running,
          client.execute(operations.cancel, { path: { conversationId }, body: { messageIds: running } })
        ))
      }
      return message.visibility === "pending"
        ? counted(limited(
          "A pending message could not be deleted",
          conversationId,
          [message.sId],
          client.execute(operations.deleteMessage, { path: { conversationId, messageId: message.sId } })
        ))
        : Effect.void
    }

    const find: Abandoned["find"] = (conversationId, look, onFound) => {
      const found = (one: Posted) => {
        onFound(one)
        return stop(conversationId, one)
      }
      return background(searching(conversationId, look, found, closing))
    }

    return {
      inBackground: (warning, conversationId, messageIds, self) =>
        background(Effect.asVoid(limited(warning, conversationId, messageIds, self))),
      cancel: (conversationId, posted) => background(stop(conversationId, posted)),
      find
    }
  })

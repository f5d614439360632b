/** Publishes the text of an answer token by token. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { whileAhead } from "../server/pubsub.ts"
import { pause } from "../state/state.ts"
import { appendText, emitJson, type Loop } from "./loop.ts"
import type { Step } from "./steps.ts"

const BATCH = 256

export const runTokens = (loop: Loop, step: Extract<Step, { readonly _tag: "Tokens" }>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { message, world } = loop
    const prefix = `"configurationId":${JSON.stringify(message.agent.sId)},"messageId":${
      JSON.stringify(message.sId)
    },"text":`
    const suffix = `,"classification":"${step.classification}","step":${loop.step}}`
    let pending = ""
    const write = (token: string) => {
      emitJson(
        loop,
        "generation_tokens",
        `{"type":"generation_tokens","created":${world.now()},${prefix}${JSON.stringify(token)}${suffix}`
      )
      loop.tokens++
      pending += token
    }
    const keep = () => {
      if (step.classification === "tokens") appendText(loop, pending)
      else message.chainOfThought = (message.chainOfThought ?? "") + pending
      pending = ""
    }
    const pace = Duration.toMillis(step.pace ?? world.pace)
    const tokens = step.tokens[Symbol.iterator]()
    let next = tokens.next()
    yield* Effect.whileLoop({
      while: () => next.done !== true,
      body: () => {
        if (pace > 0) {
          const token = next.value as string
          return Effect.map(pause(world, pace, `${message.agent.sId} writes`), () => {
            write(token)
            keep()
          })
        }
        // At most one batch at a time, so that connections are served between batches.
        let written = 0
        while (next.done !== true && written < BATCH) {
          write(next.value)
          written++
          if (written < BATCH) next = tokens.next()
        }
        keep()
        return next.done === true
          ? Effect.void
          : Effect.zipRight(Effect.yieldNow(), whileAhead(world, message.run.channel))
      },
      step: () => {
        if (next.done !== true) next = tokens.next()
      }
    })
  })

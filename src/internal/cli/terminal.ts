/** The terminal for prompts. It uses stderr, so that a prompt never ends up in redirected stdout. */
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { SystemError } from "@effect/platform/Error"
import * as Terminal from "@effect/platform/Terminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"
import { Output } from "./output.ts"

// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g

export const layer: Layer.Layer<Terminal.Terminal, never, Output> = Layer.effect(
  Terminal.Terminal,
  Effect.gen(function*() {
    const keyboard = yield* Terminal.Terminal
    const { clearProgress, endLine, noteStyle } = yield* Output
    const coloured = noteStyle.bold("") !== ""
    return Terminal.Terminal.of({
      ...keyboard,
      columns: Effect.sync(() => process.stderr.columns || 80),
      rows: Effect.sync(() => process.stderr.rows || 24),
      isTTY: Effect.sync(() => process.stderr.isTTY),
      display: (text) =>
        Effect.zipRight(
          Effect.zipRight(clearProgress, endLine),
          Effect.async<void, SystemError>((resume) => {
            process.stderr.write(coloured ? text : text.replace(colour, ""), (cause) =>
              resume(
                cause === null || cause === undefined
                  ? Effect.void
                  : Effect.fail(
                    new SystemError({
                      reason: "Unknown",
                      module: "Terminal",
                      method: "display",
                      description: cause.message
                    })
                  )
              ))
          })
        )
    })
  })
).pipe(Layer.provide(NodeTerminal.layer))

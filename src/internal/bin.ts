#!/usr/bin/env node
/** The process around the command line: arguments, signals, exit code. Built into one file with everything that it imports. */
import * as Effect from "effect/Effect"
import process from "node:process"
import { codes } from "./cli/failure.ts"
import { run } from "./cli/main.ts"
import { make } from "./cli/signals.ts"

const { service, stop } = make()
let code: number = codes.interrupted

const fiber = Effect.runFork(run(process.argv.slice(2), service, () => code))

const end = (withCode: number) => {
  code = withCode
  fiber.unsafeInterruptAsFork(fiber.id())
}

let interrupted = false
process.on("SIGINT", () => {
  if (stop()) return
  // Twice: it does not even wait until the agent is stopped.
  if (interrupted) process.exit(codes.interrupted)
  interrupted = true
  end(codes.interrupted)
})
// The terminal was closed. The agent must not go on unseen.
process.on("SIGHUP", () => end(codes.hungUp))
process.on("SIGTERM", () => end(codes.terminated))
// The reader of a pipe may leave early, as `head` does. That is not a failure.
process.stdout.on("error", () => end(codes.ok))
process.stderr.on("error", () => end(codes.ok))

// Idle connections and stdin may still be open, and must not keep the process alive.
fiber.addObserver((exit) => process.exit(exit._tag === "Success" ? exit.value : code))

/**
 * Loaded into `examples/web` before its server. The agent writes no more words than the test allows it to, however slow the
 * machine is: those that are too many wait until the test allows more.
 */
// @effect-diagnostics-next-line processEnv:off
const milliseconds = Number.parseFloat(process.env["PACE"] ?? "")
const { setTimeout: start } = globalThis

let allowed = Number.POSITIVE_INFINITY
const held: Array<() => void> = []

const release = () => {
  while (allowed > 0 && held.length > 0) {
    allowed--
    held.shift()?.()
  }
}

process.on("message", ({ words }: { readonly words: number | null }) => {
  allowed = words ?? Number.POSITIVE_INFINITY
  release()
})
process.channel?.unref()

globalThis.setTimeout = Object.assign(
  (task: (...args: ReadonlyArray<unknown>) => void, after?: number, ...args: ReadonlyArray<unknown>) => {
    if (after !== milliseconds) return start(task, after, ...args)
    return start(() => {
      held.push(() => task(...args))
      release()
    }, after)
  },
  start
)

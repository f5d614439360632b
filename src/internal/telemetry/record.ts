/** Counting and measuring. A metric is looked up by its labels once; counting is then an addition. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import type * as MetricLabel from "effect/MetricLabel"
import { keys, labels } from "./keys.ts"

type Name = keyof typeof keys
type Labels<N extends Name> = { readonly [K in (typeof labels)[N][number]]: string }

/** The labels that `Effect.tagMetrics` has added for the code that is running. */
export type Tags = ReadonlyArray<MetricLabel.MetricLabel>

/** Names of agents and tools are given by people: what exceeds this number of them is counted as `other`. */
const mostValues = 500

interface Labelled {
  readonly update: (input: number, tags: Tags) => void
  readonly modify: (input: number, tags: Tags) => void
}

const labelled = (name: Name, values: ReadonlyArray<string>): Labelled => {
  const key: MetricKey.MetricKey.Untyped = keys[name]
  const metric = Metric.fromMetricKey(
    values.reduce((key, value, index) => MetricKey.tagged(key, labels[name][index] ?? "", value), key)
  )
  return {
    update: (input, tags) => metric.unsafeUpdate(input, tags),
    modify: (input, tags) => metric.unsafeModify(input, tags)
  }
}

/** By the first label, then by the second. */
const known = new Map<Name, Map<string, Map<string, Labelled>>>()

const found = (name: Name, first: string, second: string | undefined): Labelled => {
  let byFirst = known.get(name)
  if (byFirst === undefined) known.set(name, byFirst = new Map())
  if (byFirst.size >= mostValues && first !== "other" && !byFirst.has(first)) return found(name, "other", second)
  let bySecond = byFirst.get(first)
  if (bySecond === undefined) byFirst.set(first, bySecond = new Map())
  let metric = bySecond.get(second ?? "")
  if (metric === undefined) {
    metric = labelled(name, second === undefined ? [first] : [first, second])
    bySecond.set(second ?? "", metric)
  }
  return metric
}

const of = <N extends Name>(name: N, values: Labels<N>): Labelled => {
  const [first, second] = labels[name] as readonly [string, string?]
  // The labels of a metric are the members of its values.
  const given = values as Readonly<Record<string, string>>
  return found(name, given[first] ?? "", second === undefined ? undefined : given[second])
}

/** Counts, or measures, where the tags of the running code are known. */
export const record = <N extends Name>(name: N, values: Labels<N>, input: number, tags: Tags): void =>
  of(name, values).update(input, tags)

/** Moves a gauge. */
export const move = <N extends "openRuns" | "waitingRuns" | "openStreams">(
  name: N,
  values: Labels<N>,
  by: number,
  tags: Tags
): void => of(name, values).modify(by, tags)

export const tagsOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Tags =>
  fiber.getFiberRef(FiberRef.currentMetricLabels)

export const recording = <N extends Name>(name: N, values: Labels<N>, input = 1): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    record(name, values, input, tagsOf(fiber))
    return Effect.void
  })

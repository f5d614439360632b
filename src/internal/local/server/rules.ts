/** Matches faults to requests, and rejects those that cannot occur. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type Check, either, flag, fn, isRecord, list, object, shown, text, wholeFrom } from "../state/check.ts"
import { report } from "../state/report.ts"
import type { World } from "../state/state.ts"
import { checkFault, type Fault } from "./faults.ts"
import {
  compile,
  DustTestRuleError,
  type FaultTarget,
  includes,
  type Pattern,
  type RequestPattern
} from "./patterns.ts"

/** Conditions of a fault. Without any, every request is hit. @category models @since 0.1.0 */
export interface FaultRule extends RequestPattern {
  readonly when?: ((request: FaultTarget) => boolean) | undefined
  /** Only the nth matching request (from 1), or several of them. */
  readonly nth?: number | ReadonlyArray<number> | undefined
  /** Only the first matching requests, up to this number, at least 1. */
  readonly times?: number | undefined
  /** Probability above 0, and up to 1, decided by the workspace's random seed. */
  readonly probability?: number | undefined
  /**
   * Whether the workspace's scope ends with the defect `DustTestRuleError` if the fault never occurred. Defaults to
   * `false`, which logs a warning.
   */
  readonly required?: boolean | undefined
  readonly fault: Fault
}

export interface ActiveRule {
  readonly rule: FaultRule
  readonly pattern: Pattern
  /** The numbers of matching requests, of those that an earlier fault hit, and of hits. */
  seen: number
  taken: number
  fired: number
  /** Why a hit changed nothing. */
  idle: string | undefined
}

export const pathCheck: Check = (value, place) => value instanceof RegExp ? undefined : text(value, place)

const ruleCheck = object<FaultRule>({ fault: checkFault }, {
  method: text,
  path: pathCheck,
  when: fn,
  nth: (value, place) =>
    Array.isArray(value) && value.length === 0
      ? `${place} is an empty list`
      : either(list(wholeFrom(1)), wholeFrom(1))(value, place),
  times: wholeFrom(1),
  probability: (value, place) =>
    typeof value === "number" && value > 0 && value <= 1
      ? undefined
      : `${place} must be a number above 0, up to 1, not ${shown(value)}`,
  required: flag
})

/** The rule in words. */
const inWords = (rule: FaultRule): string => {
  const about = [rule.method?.toUpperCase(), rule.path === undefined ? undefined : String(rule.path)]
    .filter((part) => part !== undefined)
  return `${rule.fault._tag} at ${about.length === 0 ? "any request" : about.join(" ")}${
    rule.when === undefined ? "" : " with a condition"
  }`
}

/** The matching requests that a rule hits, by their number; `undefined` for all of them. */
const hits = ({ nth, times }: FaultRule): ReadonlyArray<number> | undefined => {
  const numbers = nth === undefined ? undefined : typeof nth === "number" ? [nth] : nth
  if (times === undefined) return numbers
  return numbers?.filter((number) => number <= times) ?? Array.from({ length: Math.min(times, 1000) }, (_, i) => i + 1)
}

/** Whether the earlier rule hits every request that the later one would hit. */
const shadows = (earlier: ActiveRule, later: ActiveRule): boolean => {
  const { rule } = earlier
  if (rule.when !== undefined || (rule.probability ?? 1) < 1 || !includes(earlier.pattern, later.pattern)) return false
  const taken = hits(rule)
  if (taken === undefined) return true
  const wanted = hits(later.rule)
  // The numbers are comparable only if both count the same requests.
  return wanted !== undefined && later.rule.when === undefined && includes(later.pattern, earlier.pattern)
    && wanted.every((number) => taken.includes(earlier.seen + number))
}

const impossible = (why: string) => Effect.die(new DustTestRuleError({ message: `A fault cannot occur: ${why}.` }))

/** Activates a rule. A rule that cannot hit any request is a defect, so that the test fails early. */
export const activate = (rule: FaultRule, earlier: ReadonlyArray<ActiveRule>): Effect.Effect<ActiveRule> => {
  const problem = isRecord(rule) ? ruleCheck(rule, "") : `a rule must be an object, not ${shown(rule)}`
  if (problem !== undefined) return impossible(problem.trim())
  if (hits(rule)?.length === 0) return impossible(`nth is ${String(rule.nth)}, and times is ${rule.times}`)
  return Either.match(compile(rule), {
    onLeft: ({ message }) => impossible(message),
    onRight: (pattern) => {
      const active: ActiveRule = { rule, pattern, seen: 0, taken: 0, fired: 0, idle: undefined }
      const shadow = earlier.find((one) => shadows(one, active))
      return shadow === undefined
        ? Effect.succeed(active)
        : impossible(`${inWords(rule)} comes after ${inWords(shadow.rule)}, which hits the same requests first`)
    }
  })
}

/** The result of a condition that a test wrote; throws `DustTestRuleError` if it is not a boolean. */
export const decide = <A>(condition: (about: A) => boolean, about: A, name: string): boolean => {
  let result: unknown
  try {
    result = condition(about)
  } catch (cause) {
    throw new DustTestRuleError({ message: `${name} threw ${cause instanceof Error ? String(cause) : shown(cause)}.` })
  }
  if (typeof result === "boolean") return result
  throw new DustTestRuleError({ message: `${name} must return true or false, not ${shown(result)}.` })
}

/** The first rule that hits. Every matching rule counts the request. */
export const pickFault = (
  world: World,
  rules: ReadonlyArray<ActiveRule>,
  target: FaultTarget
): ActiveRule | undefined => {
  let picked: ActiveRule | undefined
  for (const active of rules) {
    const { rule } = active
    if (!active.pattern.matches(target)) continue
    if (rule.when !== undefined && !decide(rule.when, target, `The condition of the fault ${inWords(rule)}`)) continue
    active.seen++
    if (rule.nth !== undefined && !(typeof rule.nth === "number" ? [rule.nth] : rule.nth).includes(active.seen)) {
      continue
    }
    if (rule.times !== undefined && active.seen > rule.times) continue
    if (picked !== undefined) {
      active.taken++
      continue
    }
    if (rule.probability !== undefined && world.random() >= rule.probability) continue
    active.fired++
    picked = active
  }
  return picked
}

const describe = ({ idle, rule, seen, taken }: ActiveRule): string => {
  const why = [
    seen === 0 ? "no request matched" : `${seen} matched`,
    ...(rule.nth === undefined || seen === 0 ? [] : [`nth is ${String(rule.nth)}`]),
    ...(taken === 0 ? [] : [`${taken} hit by an earlier fault`]),
    ...(idle === undefined ? [] : [idle])
  ]
  return `${inWords(rule)} (${why.join(", ")})`
}

/** Reports faults that never occurred, at the end of the workspace. */
export const reportUnused = (all: ReadonlyArray<ActiveRule>): Effect.Effect<void> => {
  const unused = all.filter((active) => active.fired === 0)
  const required = unused.filter(({ rule }) => rule.required === true)
  const doubtful = unused.filter(({ rule, seen }) =>
    rule.required !== true && (rule.probability === undefined || seen === 0)
  )
  return Effect.zipRight(
    doubtful.length === 0
      ? Effect.void
      : report(`Local Dust: a scripted fault never occurred: ${doubtful.map(describe).join("; ")}`),
    required.length === 0
      ? Effect.void
      : Effect.die(
        new DustTestRuleError({ message: `A required fault never occurred: ${required.map(describe).join("; ")}.` })
      )
  )
}

/** Checks scripts, which are values of any kind in JavaScript, and results of functions. */
import * as Stream from "effect/Stream"
import { type Check, isRecord, nearest, shown } from "../state/check.ts"
import type { Script, Step } from "./steps.ts"

const tags: { readonly [K in Step["_tag"]]: true } = {
  Approval: true,
  Authentication: true,
  ClientTool: true,
  ContextPruned: true,
  Delimiter: true,
  Fail: true,
  FileAuthentication: true,
  GracefulStop: true,
  Malformed: true,
  Parallel: true,
  Question: true,
  Raw: true,
  Rerun: true,
  Silence: true,
  SubAgent: true,
  Tokens: true,
  Tool: true,
  ToolError: true
}

const expected = "a text, an array of steps (DustTest.text, DustTest.tool, …) or a stream of steps"

export const isStep = (value: unknown): value is Step =>
  isRecord(value) && typeof value["_tag"] === "string" && value["_tag"] in tags

export const checkStep: Check = (value, place) => {
  if (isStep(value)) return value._tag === "Parallel" ? checkSteps(value.steps, `${place}.steps`) : undefined
  if (typeof value === "string") {
    return `${place} must be a step, not ${shown(value)}; a text as a step is DustTest.text(${shown(value)})`
  }
  if (isRecord(value) && typeof value["_tag"] === "string") {
    return `${place} is an unknown step: ${value["_tag"]}; similar: ${nearest(value["_tag"], Object.keys(tags))}`
  }
  return `${place} must be a step, such as DustTest.text("…"), not ${shown(value)}`
}

const checkSteps: Check = (value, place) => {
  if (!Array.isArray(value)) return `${place} must be an array of steps, not ${shown(value)}`
  for (const [index, step] of value.entries()) {
    const problem = checkStep(step, `${place}[${index}]`)
    if (problem !== undefined) return problem
  }
  return undefined
}

const isStream = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Stream.StreamTypeId in value

export const checkScript: Check = (value, place) => {
  if (typeof value === "string" || isStream(value)) return undefined
  if (Array.isArray(value)) return checkSteps(value, place)
  if (isStep(value)) return `${place} is a single step; it must be in an array`
  return `${place} must be ${expected}, not ${shown(value)}${
    value instanceof Promise ? "; use a stream to wait for something" : ""
  }`
}

/** A script or a function that returns one. Streams and functions are checked when they run. */
export const checkBehavior: Check = (value, place) =>
  typeof value === "function"
    ? undefined
    : checkScript(value, place)?.replace(
      expected,
      `${expected}, or a function of the message that returns one of these`
    )

/** The script, if it is one; throws otherwise. */
export const checkedScript = (script: Script, place: string): Script => {
  const problem = checkScript(script, place)
  if (problem !== undefined) throw new TypeError(problem)
  return script
}

export const checkedStep = (step: Step, place: string): Step => {
  const problem = checkStep(step, place)
  if (problem !== undefined) throw new TypeError(problem)
  return step
}

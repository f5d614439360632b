/** Decodes the events of an app's run. */
import * as Predicate from "effect/Predicate"
import {
  BlockExecutionEvent,
  BlockStatusEvent,
  FinalEvent,
  FunctionCallArgumentsEvent,
  FunctionCallEvent,
  ReasoningItemEvent,
  ReasoningTokensEvent,
  RunErrorEvent,
  type RunEvent,
  RunStatusEvent,
  TokensEvent
} from "../../App.ts"
import { eventDecoder, typeOf } from "./event.ts"

const decodeKnown = eventDecoder([
  RunStatusEvent,
  BlockStatusEvent,
  BlockExecutionEvent,
  TokensEvent,
  ReasoningTokensEvent,
  ReasoningItemEvent,
  FunctionCallEvent,
  FunctionCallArgumentsEvent,
  RunErrorEvent,
  FinalEvent
])

/** `content` of the wire is flattened into the event. */
export const decodeRunEvent = (data: string): RunEvent => {
  let raw: unknown
  try {
    raw = JSON.parse(data)
  } catch {
    return { type: "unknown", kind: null, raw: data }
  }
  const type = typeOf(raw)
  const content = Predicate.hasProperty(raw, "content") && Predicate.isRecord(raw.content) ? raw.content : {}
  return decodeKnown(type, { ...content, type }) ?? { type: "unknown", kind: type, raw }
}

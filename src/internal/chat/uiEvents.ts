import * as Predicate from "effect/Predicate"
import { type AgentMessageEvent, type BlockingEvent, fromJson, isBlocking } from "../../AgentMessageEvent.ts"
import type { Blocked, ChatEvent, Citation, TextDelta } from "../../ChatEvent.ts"
import type { EventId } from "../../Ids.ts"
import type { AgentAction } from "../../Message.ts"

/** So much of a step's beginning has to come again before it counts as a repetition. */
const recognised = 24

/**
 * Turns the events of an agent message into those of a user interface, and keeps the text.
 *
 * A step that is run again is recognised by its number going back, by text after its tools, or by its own beginning coming
 * again. What cannot be recognised is put right by the final text.
 */
export class Narrator {
  /** The text of the steps before the current one. */
  #before = ""
  #current = ""
  #step = -1
  #toolSeen = false
  /** How the current step began, and how much of that has come again. */
  #head = ""
  #replay = ""
  #held: Array<TextDelta> = []
  /** The text of earlier steps, for going back to one. */
  readonly #starts = new Map<number, number>()
  readonly #fallback: { readonly conversationId: string; readonly messageId: string }

  constructor(fallback: { readonly conversationId: string; readonly messageId: string }) {
    this.#fallback = fallback
  }

  get text(): string {
    return this.#before + this.#current
  }

  push(event: AgentMessageEvent, out: Array<ChatEvent>): void {
    const { eventId } = event
    const more = event.type === "generation_tokens" && event.classification === "tokens" &&
      (typeof event.step !== "number" || event.step === this.#step)
    if (!more) this.#release(out)
    const again = this.#enter(event)
    if (again) out.push({ _tag: "Reset", eventId: undefined, text: this.text })
    switch (event.type) {
      case "generation_tokens":
        if (event.classification === "tokens") {
          if (event.text === "") return
          this.#append(event.text, event.eventId, out)
        } else if (event.classification === "chain_of_thought") {
          out.push({ _tag: "Thinking", eventId, text: event.text })
        }
        return
      case "tool_call_started":
        out.push({ _tag: "ToolAnnounced", eventId, toolName: event.toolName })
        return
      case "tool_params":
        out.push({ _tag: "ToolStarted", eventId, action: event.action })
        return
      case "tool_notification": {
        const data = Predicate.isRecord(event.notification._meta["data"])
          ? event.notification._meta["data"]
          : event.notification.data
        out.push({
          _tag: "ToolProgress",
          eventId,
          action: event.action,
          progress: event.notification.progress,
          total: event.notification.total,
          label: typeof data["label"] === "string" ? data["label"] : null
        })
        const approval = bubbledUp(data["output"], event)
        if (approval !== undefined) out.push(this.#blocked(approval))
        return
      }
      case "agent_action_success":
        out.push({ _tag: "ToolFinished", eventId, action: event.action })
        return
      case "tool_approve_execution":
      case "tool_ask_user_question":
      case "tool_personal_auth_required":
      case "tool_file_auth_required":
        out.push(this.#blocked(event))
        return
      case "agent_message_success":
      case "agent_message_gracefully_stopped":
      case "agent_generation_cancelled":
      case "agent_error":
      case "user_message_error":
        return
      default:
        out.push({ _tag: "Other", eventId, event })
    }
  }

  /** Text that may be the beginning of the step coming again is held back until that is known. */
  #append(text: string, eventId: EventId | undefined, out: Array<ChatEvent>): void {
    if (this.#head.length < recognised) {
      this.#head += text
      this.#emit({ _tag: "TextDelta", eventId, text }, out)
      return
    }
    const expected = this.#head.slice(this.#replay.length)
    if (expected.startsWith(text.slice(0, expected.length))) {
      this.#replay += text
      this.#held.push({ _tag: "TextDelta", eventId, text })
      if (this.#replay.length >= this.#head.length) {
        this.#begin(this.#replay)
        out.push({ _tag: "Reset", eventId: undefined, text: this.text })
      }
    } else if (this.#held.length > 0) {
      this.#release(out)
      this.#append(text, eventId, out)
    } else {
      this.#emit({ _tag: "TextDelta", eventId, text }, out)
    }
  }

  #emit(delta: TextDelta, out: Array<ChatEvent>): void {
    this.#current += delta.text
    out.push(delta)
  }

  #release(out: Array<ChatEvent>): void {
    for (const delta of this.#held) this.#emit(delta, out)
    this.#held = []
    this.#replay = ""
  }

  #begin(text: string): void {
    this.#current = text
    this.#head = text
    this.#replay = ""
    this.#held = []
    this.#toolSeen = false
  }

  /** Takes note of the step an event belongs to; `true` when it begins again. */
  #enter(event: AgentMessageEvent): boolean {
    const step = typeof event.step === "number" ? event.step : this.#step
    if (step > this.#step) {
      this.#before += this.#current
      this.#step = step
      this.#starts.set(step, this.#before.length)
      this.#begin("")
      return false
    }
    const generated = event.type === "generation_tokens" && event.classification === "tokens"
    if (generated && (step < this.#step || this.#toolSeen)) {
      const whole = this.text
      this.#before = whole.slice(0, this.#starts.get(step) ?? 0)
      this.#step = step
      this.#begin("")
      return whole.length > this.#before.length
    }
    if (event.type === "tool_params" || event.type === "tool_call_started") this.#toolSeen = this.#step >= 0
    return false
  }

  #blocked(event: BlockingEvent): Blocked {
    const base = {
      eventId: event.eventId,
      conversationId: event.conversationId === "" ? this.#fallback.conversationId : event.conversationId,
      messageId: event.messageId ?? this.#fallback.messageId,
      actionId: event.actionId
    }
    switch (event.type) {
      case "tool_approve_execution":
        return { _tag: "ApprovalNeeded", ...base, tool: event.metadata, inputs: event.inputs, stake: event.stake }
      case "tool_ask_user_question":
        return { _tag: "QuestionAsked", ...base, question: event.question }
      case "tool_personal_auth_required":
        return { _tag: "AuthenticationNeeded", ...base, tool: event.metadata, account: event.authError, file: null }
      case "tool_file_auth_required":
        return { _tag: "AuthenticationNeeded", ...base, tool: event.metadata, account: null, file: event.fileAuthError }
    }
  }
}

/** A sub-agent's request for approval reaches its callers as the progress of the tool that runs it. */
const bubbledUp = (output: unknown, event: AgentMessageEvent): BlockingEvent | undefined => {
  if (!Predicate.isRecord(output) || output["type"] !== "tool_approval_bubble_up") return undefined
  const approval = fromJson({ ...output, type: "tool_approve_execution" }, event.eventId)
  return isBlocking(approval) ? approval : undefined
}

const stringOf = (value: unknown, ...keys: ReadonlyArray<string>): string | null => {
  for (const key of keys) {
    if (Predicate.hasProperty(value, key) && typeof value[key] === "string" && value[key] !== "") return value[key]
  }
  return null
}

/** What the tools found that the text can refer to: search and web results, and those of sub-agents. */
export const citationsOf = (actions: ReadonlyArray<AgentAction>): ReadonlyArray<Citation> => {
  const citations = new Map<string, Citation>()
  for (const action of actions) {
    for (const block of action.output ?? []) {
      const resource = block["resource"]
      const ref = stringOf(resource, "ref", "reference")
      if (ref !== null) {
        const source = Predicate.hasProperty(resource, "source") ? resource.source : undefined
        citations.set(ref, {
          ref,
          title: stringOf(resource, "title", "text"),
          url: stringOf(resource, "uri"),
          provider: stringOf(source, "provider") ??
            (stringOf(resource, "mimeType")?.includes("websearch") === true ? "web" : null)
        })
      }
      const refs = Predicate.hasProperty(resource, "refs") ? resource.refs : undefined
      if (!Predicate.isRecord(refs)) continue
      for (const [ref, value] of Object.entries(refs)) {
        citations.set(ref, {
          ref,
          title: stringOf(value, "title"),
          url: stringOf(value, "href"),
          provider: stringOf(value, "provider")
        })
      }
    }
  }
  return [...citations.values()]
}

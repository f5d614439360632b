import * as Predicate from "effect/Predicate"
import { type AgentMessageEvent, type BlockingEvent, fromJson, isBlocking } from "../../AgentMessageEvent.ts"
import type { Blocked, ChatEvent } from "../../ChatEvent.ts"
import type { EventId } from "../../Ids.ts"

/**
 * Converts the events of an agent message into user interface events, and accumulates the text.
 *
 * A repeated step is recognized by a lower step number, or by text after its tools. Text similar to earlier text proves
 * nothing: tables and lists repeat themselves. Any repetition that goes unnoticed is corrected by the final text.
 */
export class Narrator {
  /** The text of the steps before the current one. */
  #before = ""
  #current = ""
  #step = -1
  #toolSeen = false
  /** An incomplete character, which the next event completes. */
  #begun = ""
  /** The text before each step, for rolling back to it. */
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
    if (this.#begun !== "" && !(isText(event) && (event.step ?? this.#step) === this.#step)) this.#flush(out)
    if (this.#enter(event)) out.push({ _tag: "Reset", eventId: undefined, text: this.text })
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

  /** A surrogate pair may be split over two events, and an emoji sequence over more: it is emitted whole. */
  #append(text: string, eventId: EventId | undefined, out: Array<ChatEvent>): void {
    const all = this.#begun + text
    this.#begun = unfinished(all)
    const whole = this.#begun === "" ? all : all.slice(0, -this.#begun.length)
    if (whole !== "") this.#emit(whole, eventId, out)
  }

  /** Ends the pending character. Half a surrogate pair is dropped: the final text includes the whole one. */
  #flush(out: Array<ChatEvent>): void {
    const text = this.#begun
    this.#begun = ""
    if (!isHalf(text.charCodeAt(text.length - 1))) this.#emit(text, undefined, out)
  }

  #emit(text: string, eventId: EventId | undefined, out: Array<ChatEvent>): void {
    this.#current += text
    out.push({ _tag: "TextDelta", eventId, text })
  }

  #begin(): void {
    this.#current = ""
    this.#begun = ""
    this.#toolSeen = false
  }

  /** Enters the step of an event; `true` if the step starts again. */
  #enter(event: AgentMessageEvent): boolean {
    const step = typeof event.step === "number" ? event.step : this.#step
    if (step > this.#step) {
      this.#before += this.#current
      this.#step = step
      this.#starts.set(step, this.#before.length)
      this.#begin()
      return false
    }
    if (isText(event) && (step < this.#step || this.#toolSeen)) {
      const whole = this.text
      this.#before = whole.slice(0, this.#starts.get(step) ?? 0)
      this.#step = step
      this.#begin()
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

const isText = (event: AgentMessageEvent): boolean =>
  event.type === "generation_tokens" && event.classification === "tokens"

const isHalf = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

/** A possibly incomplete character: a high surrogate at the end, or one that joins the next character. */
const unfinished = (text: string): string => {
  const last = text.charCodeAt(text.length - 1)
  if (isHalf(last)) return text.slice(-1)
  return last === 0x200d ? /(?:\p{Emoji}(?:\ufe0f|\p{Emoji_Modifier})?\u200d)+$/u.exec(text)?.[0] ?? "" : ""
}

/** A sub-agent's approval request reaches its callers as progress of the tool that runs it. */
const bubbledUp = (output: unknown, event: AgentMessageEvent): BlockingEvent | undefined => {
  if (!Predicate.isRecord(output) || output["type"] !== "tool_approval_bubble_up") return undefined
  const approval = fromJson({ ...output, type: "tool_approve_execution" }, event.eventId)
  return isBlocking(approval) ? approval : undefined
}

/** Identifies a sent message among those of its conversation. Pure. */
import type { ConversationId, MessageId } from "../../Ids.ts"
import { isAgentMessage, type Message, type UserMessage } from "../../Message.ts"

/** The newest message of a conversation before a send. */
export interface Position {
  /** `null` if the server sends no ranks or the conversation was empty. */
  readonly rank: number | null
  /** `null` if the conversation was empty. */
  readonly messageId: MessageId | null
}

/** The position in an empty conversation. */
export const beginning: Position = { rank: null, messageId: null }

/** The properties that identify a message, without its text. */
export interface Sought {
  readonly conversationId: ConversationId
  readonly author: string
  readonly origin: string
  /** The mentioned agent. */
  readonly agentId: string | null
  readonly fingerprint: string
  /** `null` if unknown. */
  readonly position: Position | null
}

/**
 * A text without what a server or a gateway may change in storing it: the Unicode form, the kind and amount of white
 * space, and characters without a width.
 */
export const normalized = (text: string): string =>
  text.replace(/\p{Surrogate}/gu, "\uFFFD").normalize("NFKC").replace(/\s+/g, " ").replace(/[\p{Cc}\p{Cf}]/gu, "")
    .replace(/ +/g, " ").trim()

const lane = (text: string, seed: number): string => {
  let high = 0xdeadbeef ^ seed
  let low = 0x41c6ce57 ^ seed
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    high = Math.imul(high ^ code, 2654435761)
    low = Math.imul(low ^ code, 1597334677)
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  return (high >>> 0).toString(16).padStart(8, "0") + (low >>> 0).toString(16).padStart(8, "0")
}

/**
 * A 128-bit hash of a text in one conversation. Synchronous and the same on every platform. It detects equal texts; it
 * does not protect text that can be guessed.
 */
export const fingerprint = (conversationId: ConversationId, text: string): string => {
  const whole = `${conversationId}\n${normalized(text)}`
  return lane(whole, 0) + lane(whole, 0x9e3779b9)
}

/** The identifying properties of a message with this content, author, origin and mentions. */
export const soughtOf = (
  conversationId: ConversationId,
  body: {
    readonly content: string
    readonly mentions: UserMessage["mentions"]
    readonly context: { readonly username: string; readonly origin: string }
  }
): Omit<Sought, "position"> => ({
  conversationId,
  author: normalized(body.context.username),
  origin: body.context.origin,
  agentId: agentOf(body.mentions),
  fingerprint: fingerprint(conversationId, body.content)
})

const agentOf = (mentions: UserMessage["mentions"]): string | null => {
  const mention = mentions.find((one) => "configurationId" in one)
  return mention !== undefined && "configurationId" in mention ? mention.configurationId : null
}

/** Two sends with the same key are indistinguishable. */
export const keyOf = (sought: Omit<Sought, "position">): string =>
  [sought.conversationId, sought.author, sought.origin, sought.agentId ?? "", sought.fingerprint].join("\n")

/** Whether a message has the same author, mention and text. The server may drop a mention, but never adds one. */
const looksLike = (sought: Sought, message: Message): message is UserMessage => {
  if (message.type !== "user_message") return false
  const { origin, username } = message.context
  const agent = agentOf(message.mentions)
  return normalized(username ?? "") === sought.author &&
    // Only the default origin is known to be stored unchanged.
    (sought.origin !== "api" || origin === null || origin === "api") &&
    (agent === null || agent === sought.agentId) &&
    fingerprint(sought.conversationId, message.content) === sought.fingerprint
}

/** A stored message and its replies. */
export interface Posted {
  readonly message: UserMessage
  readonly agentMessages: ReadonlyArray<AgentMessage>
}

type AgentMessage = Extract<Message, { readonly type: "agent_message" }>

/** Messages newer than the position of a send. */
export interface Newer {
  readonly messages: ReadonlyArray<Message>
  /** Whether these are all the messages newer than the position: it is known, and was reached. */
  readonly bounded: boolean
}

/**
 * Every message that could be the one that was sent. `notBefore` is the time of the send, by the clock that dated the
 * messages. It only ever excludes messages: an equal one by another writer that a lagging read had not shown. Without
 * it, a message counts only if its position proves that it is new.
 */
export const candidates = (
  sought: Sought,
  newer: Newer,
  notBefore: number | undefined,
  isTaken: (messageId: MessageId) => boolean
): ReadonlyArray<Posted> => {
  if (notBefore === undefined && !newer.bounded) return []
  return newer.messages.flatMap((message) =>
    looksLike(sought, message) && !isTaken(message.sId) && (notBefore === undefined || message.created >= notBefore)
      ? [{
        message,
        agentMessages: newer.messages.filter(isAgentMessage).filter((one) => one.parentMessageId === message.sId)
      }]
      : []
  )
}

/** Whether a message is newer than a position; `undefined` if only the order of the list can decide. */
export const isNewer = (message: Message, position: Position): boolean | undefined => {
  if (message.sId === position.messageId) return false
  if (position.messageId === null) return true
  return message.rank === null || position.rank === null ? undefined : message.rank > position.rank
}

/** The newest of a position and of messages in the order of their conversation. */
export const newestOf = (position: Position, messages: ReadonlyArray<Message>): Position => {
  let newest = position
  for (const message of messages) {
    if (isNewer(message, newest) !== false && message.sId !== "") {
      newest = { rank: message.rank, messageId: message.sId }
    }
  }
  return newest
}

import type { ConversationId, MessageId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { Recent } from "../util/recentSet.ts"
import { beginning, newestOf, type Position, type Posted } from "./sameMessage.ts"

const rememberedConversations = 2_048
const rememberedMessages = 4_096
const rememberedSends = 1_024

/** What one client knows of the conversations that it writes to. */
export class Known {
  readonly #positions = new Map<ConversationId, Position>()
  readonly #taken = new Recent(rememberedMessages)
  readonly #unresolved = new Set<string>()
  readonly #underway = new Set<string>()

  /** The newest message that was seen in a conversation. */
  position(conversationId: ConversationId): Position | undefined {
    return this.#positions.get(conversationId)
  }

  /** Notes messages in the order of their conversation; none of a conversation that was just created. */
  learn(conversationId: ConversationId, messages: ReadonlyArray<Message>): Position {
    const position = newestOf(this.#positions.get(conversationId) ?? beginning, messages)
    this.#positions.delete(conversationId)
    this.#positions.set(conversationId, position)
    if (this.#positions.size > rememberedConversations) {
      for (const oldest of this.#positions.keys()) {
        this.#positions.delete(oldest)
        break
      }
    }
    return position
  }

  /** A message is the outcome of one send, and of no other one. */
  take(conversationId: ConversationId, posted: Posted): Posted {
    this.#taken.add(posted.message.sId)
    this.learn(conversationId, [posted.message, ...posted.agentMessages])
    return posted
  }

  isTaken(messageId: MessageId): boolean {
    return this.#taken.has(messageId)
  }

  /** The message of an earlier send may still arrive, and would look the same. */
  isUnresolved(key: string): boolean {
    return this.#unresolved.has(key)
  }

  leaveUnresolved(key: string): void {
    this.#unresolved.add(key)
    if (this.#unresolved.size > rememberedSends) {
      for (const oldest of this.#unresolved) {
        this.#unresolved.delete(oldest)
        break
      }
    }
  }

  resolve(key: string): void {
    this.#unresolved.delete(key)
  }

  /** Whether a send with this key is at work: its message may be stored, and is not taken yet. */
  isUnderway(key: string): boolean {
    return this.#underway.has(key)
  }

  /** Sends with the same key wait for each other, so there is one at a time. */
  begin(key: string): void {
    this.#underway.add(key)
  }

  end(key: string): void {
    this.#underway.delete(key)
  }
}

import type { ConversationId, MessageId } from "../../Ids.ts"
import type { Message } from "../../Message.ts"
import { Recent } from "../util/recentSet.ts"
import { beginning, newestOf, type Position, type Posted } from "./sameMessage.ts"

const rememberedConversations = 2_048
const rememberedMessages = 4_096
const rememberedSends = 1_024

/** A client's record of the conversations that it writes to. */
export class Known {
  readonly #positions = new Map<ConversationId, Position>()
  readonly #taken = new Recent(rememberedMessages)
  readonly #unresolved = new Set<string>()
  readonly #underway = new Set<string>()

  /** The newest message seen in a conversation. */
  position(conversationId: ConversationId): Position | undefined {
    return this.#positions.get(conversationId)
  }

  /** Records messages in the order of their conversation; pass none for a conversation that was just created. */
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

  /** Assigns a message to one send, so that no other send can claim it. */
  take(conversationId: ConversationId, posted: Posted): Posted {
    this.#taken.add(posted.message.sId)
    this.learn(conversationId, [posted.message, ...posted.agentMessages])
    return posted
  }

  isTaken(messageId: MessageId): boolean {
    return this.#taken.has(messageId)
  }

  /** Whether the outcome of an earlier, identical send is still unknown: its message may yet arrive. */
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

  /** Whether a send with this key is in flight: its message may be stored but not yet claimed. */
  isUnderway(key: string): boolean {
    return this.#underway.has(key)
  }

  /** Sends with the same key are serialized, so at most one is in flight. */
  begin(key: string): void {
    this.#underway.add(key)
  }

  end(key: string): void {
    this.#underway.delete(key)
  }
}

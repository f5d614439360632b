/** The conversation that a question is asked in, with its attachments. */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type { ContentFragmentInput, Conversation } from "../../Conversation.ts"
import type { Service as Conversations } from "../../Conversations.ts"
import type { RequestError } from "../../DustAPIError.ts"
import { type Caller, type Service as Client, withOptions } from "../../DustClient.ts"
import type { ConversationId, SpaceId } from "../../Ids.ts"
import { hash53 } from "../util/hash.ts"

export interface Asked {
  readonly conversationId?: ConversationId | undefined
  readonly title?: string | undefined
  readonly spaceId?: SpaceId | undefined
  readonly attachments?: ReadonlyArray<ContentFragmentInput> | undefined
}

const rememberedConversations = 256

interface Waiting {
  readonly caller: Caller
  readonly digest: string
}

/**
 * The attachments that no message has followed yet: a message is posted after its attachments, and may be refused. Asked
 * again, the question finds them in its conversation.
 */
export class Attached {
  readonly #waiting = new Map<ConversationId, Array<Waiting>>()

  /** Takes an attachment of this caller that waits; `false` if none does. */
  take(conversationId: ConversationId, caller: Caller, fragment: ContentFragmentInput): boolean {
    const waiting = this.#waiting.get(conversationId) ?? []
    const wanted = digest(fragment)
    const index = waiting.findIndex((one) => one.digest === wanted && Equal.equals(one.caller, caller))
    if (index >= 0) waiting.splice(index, 1)
    return index >= 0
  }

  add(conversationId: ConversationId, caller: Caller, fragments: ReadonlyArray<ContentFragmentInput>): void {
    if (fragments.length === 0) return
    const waiting = this.#waiting.get(conversationId) ?? []
    const more = fragments.map((fragment) => ({ caller, digest: digest(fragment) }))
    this.#waiting.set(conversationId, [...waiting, ...more])
    for (const oldest of this.#waiting.keys()) {
      if (this.#waiting.size <= rememberedConversations) break
      this.#waiting.delete(oldest)
    }
  }

  /** A message has followed them. */
  clear(conversationId: ConversationId): void {
    this.#waiting.delete(conversationId)
  }
}

const digest = (fragment: ContentFragmentInput): string =>
  hash53(JSON.stringify(Object.entries(fragment).toSorted(([a], [b]) => a < b ? -1 : 1)))

interface Context {
  readonly client: Client
  readonly conversations: Conversations
  readonly attached: Attached
}

/**
 * Creates a conversation. A lost response leaves an empty one, whose id is unknown; another one is created, as often as the
 * retry policy repeats a read.
 */
export const newConversation = (
  { attached, client, conversations }: Context,
  { attachments = [], spaceId, title }: Asked
): Effect.Effect<Conversation, RequestError> =>
  Effect.flatMap(
    Effect.zip(client.settings, client.caller),
    ([{ retry }, caller]) =>
      conversations.create({ title, spaceId, contentFragments: attachments }).pipe(
        withOptions({ retry: { ...retry, repeatCreations: true } }),
        Effect.tap(({ sId }) => Effect.sync(() => attached.add(sId, caller, attachments)))
      )
  )

/** Posts the attachments of a question to an existing conversation, unless they wait there already. */
export const attach = (
  { attached, client, conversations }: Context,
  conversationId: ConversationId,
  { attachments = [] }: Asked
): Effect.Effect<void, RequestError> =>
  Effect.flatMap(client.caller, (caller) => {
    const waiting = attachments.filter((fragment) => attached.take(conversationId, caller, fragment))
    const missing = attachments.filter((fragment) => !waiting.includes(fragment))
    attached.add(conversationId, caller, waiting)
    return Effect.forEach(missing, (fragment) =>
      Effect.map(
        conversations.createContentFragment({ conversationId, fragment }),
        () => attached.add(conversationId, caller, [fragment])
      ), { discard: true })
  })

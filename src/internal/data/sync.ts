import type * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Document, DocumentInput } from "../../DataSource.ts"
import type { SkipReason, SyncEvent, SyncOptions, SyncPlan, SyncProgress } from "../../DataSync.ts"
import type { RequestError } from "../../DustAPIError.ts"
import type { Settings } from "../../DustClient.ts"
import type { DocumentId } from "../../Ids.ts"
import { isSourceUrl, operations } from "../api/dataSources.ts"
import { epochMillis } from "../input/dates.ts"
import { badInput } from "../request/errors.ts"
import { makeBudget } from "../util/slidingWindow.ts"
import { allowed, checkLimit, emptySource, tooMany } from "./deletions.ts"
import { checkedDocument, isFingerprint, withFingerprint } from "./document.ts"
import { cannotGoOn, isPermanent } from "./failures.ts"
import { makePersist, type Persist } from "./persist.ts"
import { checkSource, type Pull, pulled } from "./source.ts"

const identity = operations.syncDocuments.write

export type OnPage = (listed: number, existing: number | undefined) => Effect.Effect<unknown>

/** The operations of a sync on one data source. */
export interface DocumentStore {
  readonly settings: Effect.Effect<Settings>
  /** Every document, page by page; `onPage` receives the number listed so far and the total. */
  readonly list: (onPage: OnPage) => Stream.Stream<Document, RequestError>
  readonly write: (input: DocumentInput, mode: "light" | "async") => Effect.Effect<void, RequestError>
  /** Also succeeds if the document is already deleted. */
  readonly remove: (documentId: DocumentId) => Effect.Effect<void, RequestError>
}

type Existing = ReadonlyMap<string, Document>

interface Item {
  readonly input: DocumentInput
  /** The id, or the position of a document without one. */
  readonly documentId: DocumentId
  readonly index: number
  readonly resumed: boolean
  readonly again: boolean
}

interface Rules {
  readonly options: SyncOptions<never, never>
  readonly concurrency: number
  readonly perMinute: number
  readonly since: number | undefined
}

type Decision =
  | { readonly _tag: "Write"; readonly input: DocumentInput }
  | { readonly _tag: "Skip"; readonly reason: SkipReason }

const wholeNumber = (value: number): boolean => Number.isSafeInteger(value) && value > 0

const rulesOf = <E, R>(options: SyncOptions<E, R>): Either.Either<Rules, RequestError> =>
  Either.gen(function*() {
    const { concurrency = 8, perMinute = 110 } = options
    if (!wholeNumber(concurrency)) {
      return yield* Either.left(badInput(identity, "concurrency", "a whole number, at least 1"))
    }
    if (!wholeNumber(perMinute)) {
      return yield* Either.left(badInput(identity, "perMinute", "a whole number, at least 1"))
    }
    yield* checkSource(identity, "documents", options.documents)
    yield* checkLimit(identity, options.maxDeletions)
    const since = yield* epochMillis(identity, "since", options.since)
    if (Array.isArray(options.documents)) yield* notEmpty(options, options.documents.length)
    // From here on, the source is read by its own pull.
    return { options: { ...options, documents: [] }, concurrency, perMinute, since }
  })

const notEmpty = <E, R>(options: SyncOptions<E, R>, documents: number): Either.Either<void, RequestError> =>
  documents === 0 && options.allowEmpty !== true && (options.deleteStale ?? false) !== false
    ? Either.left(emptySource(identity, "documents", "document"))
    : Either.void

const needsListing = ({ deleteStale = false, unchanged }: SyncOptions<never, never>): boolean =>
  unchanged !== undefined || deleteStale !== false

const isUnchanged = (
  { unchanged }: SyncOptions<never, never>,
  input: DocumentInput,
  timestamp: number | undefined,
  existing: Document | undefined
): boolean => {
  if (existing === undefined || unchanged === undefined) return false
  if (typeof unchanged === "function") return unchanged(input, existing)
  return unchanged === "timestamp"
    ? timestamp !== undefined && existing.timestamp === timestamp
    : input.tags?.some((tag) => isFingerprint(tag) && existing.tags.includes(tag)) === true
}

const withoutBadUrl = (input: DocumentInput): DocumentInput =>
  typeof input.sourceUrl === "string" && !isSourceUrl(input.sourceUrl) ? { ...input, sourceUrl: undefined } : input

/** Decides on one document. */
const decide = (rules: Rules, before: Existing, item: Item): Either.Either<Decision, RequestError> =>
  Either.gen(function*() {
    const { options, since } = rules
    if (!Predicate.isObject(item.input)) {
      return yield* Either.left(badInput(identity, item.documentId, "an object"))
    }
    if (item.resumed) return { _tag: "Skip", reason: "resumed" } as const
    if (item.again) return yield* Either.left(badInput(identity, "documentId", "unique within this sync"))
    const given = options.invalidSourceUrl === "omit" ? withoutBadUrl(item.input) : item.input
    const timestamp = yield* epochMillis(identity, "timestamp", given.timestamp)
    if (since !== undefined && timestamp !== undefined && timestamp <= since) {
      return { _tag: "Skip", reason: "since" } as const
    }
    // A fingerprint needs valid content. The document that is written differs by a tag only.
    if (options.unchanged === "fingerprint") yield* checkedDocument(given)
    const input = options.unchanged === "fingerprint" ? yield* withFingerprint(given) : given
    if (isUnchanged(options, input, timestamp, before.get(input.documentId))) {
      return { _tag: "Skip", reason: "unchanged" } as const
    }
    if (options.unchanged !== "fingerprint") yield* checkedDocument(input)
    return { _tag: "Write", input } as const
  })

const hasId = (input: DocumentInput | null | undefined): input is DocumentInput => typeof input?.documentId === "string"

const idOf = (input: DocumentInput | null | undefined, index: number): DocumentId =>
  hasId(input) ? input.documentId : `documents.${index}`

/** Reads the source item by item, and records the ids it has read. */
const makeReader = <E, R>(pull: Pull<DocumentInput, E, R>, resumeAfter: DocumentId | undefined) => {
  const seen = new Set<string>()
  const turn = Effect.unsafeMakeSemaphore(1)
  let position = 0
  let isNamed = true
  let resuming = resumeAfter !== undefined
  const next: Effect.Effect<Option.Option<Item>, E, R> = turn.withPermits(1)(Effect.map(
    pull,
    Option.map((input): Item => {
      const resumed = resuming
      const index = position++
      const documentId = idOf(input, index)
      isNamed &&= hasId(input)
      if (resuming && documentId === resumeAfter) resuming = false
      const again = seen.has(documentId)
      seen.add(documentId)
      return { input, documentId, index, resumed, again }
    })
  ))
  return { next, seen, isResuming: () => resuming, isNamed: () => isNamed }
}

/** The documents missing from a complete source, if they may be deleted. */
const staleOf = (
  { options }: Rules,
  before: Existing,
  reader: {
    readonly seen: ReadonlySet<string>
    readonly isResuming: () => boolean
    readonly isNamed: () => boolean
  },
  added: number
): Either.Either<{ readonly stale: ReadonlyArray<DocumentId>; readonly limit: number }, RequestError> =>
  Either.gen(function*() {
    if (reader.isResuming()) {
      return yield* Either.left(badInput(identity, "resumeAfter", "the id of one of the documents"))
    }
    yield* notEmpty(options, reader.seen.size)
    const { deleteStale = false } = options
    if (deleteStale !== false && !reader.isNamed()) {
      return yield* Either.left(badInput(identity, "documents", "documents with ids if stale ones are to be deleted"))
    }
    const stale = deleteStale === false
      ? []
      : [...before.values()].filter((existing) =>
        !reader.seen.has(existing.documentId) && (deleteStale === true || deleteStale(existing))
      ).map((existing) => existing.documentId)
    const half = allowed("50%", before.size)
    const keepsHalf = before.size - stale.length + added >= half || reader.seen.size === 0
    const limit = options.maxDeletions === undefined
      ? (keepsHalf ? before.size : half)
      : allowed(options.maxDeletions, before.size)
    return { stale, limit }
  })

class Counter {
  readonly counts = { processed: 0, upserted: 0, skipped: 0, failed: 0, deleted: 0 }
  readonly #finished = new Map<number, DocumentId>()
  /** New documents. */
  added = 0
  #next = 0
  #checkpoint: DocumentId | undefined

  constructor(readonly total: number | undefined) {}

  get progress(): SyncProgress {
    return { ...this.counts, total: this.total, checkpoint: this.#checkpoint }
  }

  finish({ documentId, index }: Item): void {
    this.#finished.set(index, documentId)
    for (let id = this.#finished.get(this.#next); id !== undefined; id = this.#finished.get(++this.#next)) {
      this.#finished.delete(this.#next)
      this.#checkpoint = id
    }
  }

  skipped(item: Item, reason: SkipReason): SyncEvent {
    this.counts.processed++
    this.counts.skipped++
    this.finish(item)
    return { _tag: "Skipped", documentId: item.documentId, reason, progress: this.progress }
  }

  upserted(item: Item, isNew: boolean): SyncEvent {
    if (isNew) this.added++
    this.counts.processed++
    this.counts.upserted++
    this.finish(item)
    return { _tag: "Upserted", documentId: item.documentId, progress: this.progress }
  }

  failed(item: Item, error: RequestError): SyncEvent {
    this.counts.processed++
    this.counts.failed++
    if (isPermanent(error)) this.finish(item)
    return { _tag: "Failed", documentId: item.documentId, action: "upsert", error, progress: this.progress }
  }

  deleted(documentId: DocumentId): SyncEvent {
    this.counts.deleted++
    return { _tag: "Deleted", documentId, progress: this.progress }
  }

  notDeleted(documentId: DocumentId, error: RequestError): SyncEvent {
    this.counts.failed++
    return { _tag: "Failed", documentId, action: "delete", error, progress: this.progress }
  }
}

const slim = (document: Document): Document => ({ ...document, chunks: [], text: null })

/** The documents that exist at the start; only they can be stale at the end. */
const listExisting = (store: DocumentStore, onPage: OnPage): Effect.Effect<Existing, RequestError> =>
  Stream.runFold(
    store.list(onPage),
    new Map<string, Document>(),
    (all, document) => all.set(document.documentId, slim(document))
  )

interface Running<E, R> {
  readonly rules: Rules
  readonly store: DocumentStore
  readonly counter: Counter
  readonly reader: ReturnType<typeof makeReader<E, R>>
  readonly before: Existing
  readonly persist: Persist
  readonly slot: Effect.Effect<void>
  readonly emit: (event: SyncEvent) => Effect.Effect<unknown>
}

const finishOne = <E, R>(run: Running<E, R>, item: Item): Effect.Effect<SyncEvent, RequestError> =>
  Effect.suspend(() => {
    const { counter, persist, rules, slot, store } = run
    const decision = decide(rules, run.before, item)
    if (Either.isLeft(decision)) return Effect.succeed(counter.failed(item, decision.left))
    if (decision.right._tag === "Skip") return Effect.succeed(counter.skipped(item, decision.right.reason))
    const { input } = decision.right
    return persist(Effect.zipRight(slot, store.write(input, rules.options.mode ?? "light"))).pipe(
      Effect.map(() => counter.upserted(item, !run.before.has(input.documentId))),
      Effect.catchAll((error) =>
        cannotGoOn(error) ? Effect.fail(error) : Effect.sync(() => counter.failed(item, error))
      )
    )
  })

/** Writes until the source ends. If the source fails, writes in flight are completed first. */
const writeAll = <E, R>(run: Running<E, R>): Effect.Effect<void, E | RequestError, R> =>
  Effect.suspend(() => {
    let failed: Cause.Cause<E> | undefined
    const next = Effect.catchAllCause(run.reader.next, (cause) =>
      Effect.sync(() => {
        failed = cause
        return Option.none<Item>()
      }))
    const worker: Effect.Effect<void, RequestError, R> = Effect.suspend(() =>
      failed !== undefined ? Effect.void : Effect.flatMap(
        next,
        Option.match({
          onNone: () => Effect.void,
          onSome: (item) => Effect.zipRight(Effect.flatMap(finishOne(run, item), run.emit), worker)
        })
      )
    )
    const workers = Array.from({ length: run.rules.concurrency }, () => worker)
    return Effect.zipRight(
      Effect.all(workers, { concurrency: "unbounded", discard: true }),
      Effect.suspend((): Effect.Effect<void, E> => failed === undefined ? Effect.void : Effect.failCause(failed))
    )
  })

const deleteStale = <E, R>(run: Running<E, R>, stale: ReadonlyArray<DocumentId>) =>
  Effect.forEach(stale, (documentId) =>
    run.persist(run.store.remove(documentId)).pipe(
      Effect.map(() => run.counter.deleted(documentId)),
      Effect.catchAll((error) =>
        cannotGoOn(error) ? Effect.fail(error) : Effect.sync(() => run.counter.notDeleted(documentId, error))
      ),
      Effect.flatMap(run.emit)
    ), { concurrency: run.rules.concurrency, discard: true })

/** Announces a waiting time once, regardless of how many workers encounter it. */
const makeAnnouncer = (emit: (until: DateTime.Utc, reason: "perMinute" | "rateLimit") => Effect.Effect<unknown>) => {
  let last = 0
  return (reason: "perMinute" | "rateLimit") => (until: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (until <= last + 1000) return Effect.void
      last = until
      return Effect.asVoid(emit(DateTime.unsafeMake(until), reason))
    })
}

const totalOf = <E, R>({ documents, total }: SyncOptions<E, R>): number | undefined =>
  total ?? (Array.isArray(documents) ? documents.length : undefined)

const runSync = <E, R>(
  store: DocumentStore,
  rules: Rules,
  options: SyncOptions<E, R>,
  emit: (event: SyncEvent) => Effect.Effect<unknown>
): Effect.Effect<void, E | RequestError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const counter = new Counter(totalOf(options))
    const waiting = makeAnnouncer((until, reason) =>
      emit({ _tag: "Waiting", until, reason, progress: counter.progress })
    )
    const reader = makeReader(yield* pulled(options.documents), options.resumeAfter)
    const before: Existing = needsListing(rules.options)
      ? yield* listExisting(
        store,
        (listed, existing) => emit({ _tag: "Listing", listed, existing, progress: counter.progress })
      )
      : new Map()
    const run: Running<E, R> = {
      rules,
      store,
      counter,
      reader,
      before,
      emit,
      persist: makePersist(yield* store.settings, waiting("rateLimit")),
      slot: yield* makeBudget(rules.perMinute, 60_000, waiting("perMinute"))
    }
    yield* checkArray(rules, before, options)
    yield* writeAll(run)
    const { limit, stale } = yield* staleOf(rules, before, reader, counter.added)
    yield* notTooMany(before, stale, limit)
    yield* deleteStale(run, stale)
    yield* emit({ _tag: "Done", progress: counter.progress })
  })

const notTooMany = (
  before: Existing,
  stale: ReadonlyArray<DocumentId>,
  limit: number
): Either.Either<void, RequestError> =>
  stale.length <= limit
    ? Either.void
    : Either.left(
      tooMany(identity, "documents", { deletions: stale.length, existing: before.size, allowed: limit })
    )

/** Validates a source that is an array before anything is written. */
const checkArray = <E, R>(
  rules: Rules,
  before: Existing,
  { documents, resumeAfter }: SyncOptions<E, R>
): Either.Either<void, RequestError> => {
  if (!Array.isArray(documents)) return Either.void
  const seen = new Set((documents as ReadonlyArray<DocumentInput>).map(idOf))
  return Either.flatMap(
    staleOf(
      rules,
      before,
      {
        seen,
        isResuming: () => resumeAfter !== undefined && !seen.has(resumeAfter),
        isNamed: () => (documents as ReadonlyArray<DocumentInput>).every(hasId)
      },
      [...seen].filter((id) => !before.has(id)).length
    ),
    ({ limit, stale }) => notTooMany(before, stale, limit)
  )
}

/** Synchronizes a data source with a source. */
export const syncDocuments = <E, R>(
  store: DocumentStore,
  options: SyncOptions<E, R>
): Stream.Stream<SyncEvent, E | RequestError, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const rules = yield* rulesOf(options)
    const mailbox = yield* Mailbox.make<SyncEvent, E | RequestError>({ capacity: 1 })
    yield* Effect.scoped(runSync(store, rules, options, (event) => mailbox.offer(event))).pipe(
      Mailbox.into(mailbox),
      Effect.interruptible,
      Effect.forkScoped
    )
    return Mailbox.toStream(mailbox)
  }))

/** A dry run of a sync. */
export const planSync = <E, R>(
  store: DocumentStore,
  options: SyncOptions<E, R>
): Effect.Effect<SyncPlan, E | RequestError, R> =>
  Effect.scoped(Effect.gen(function*() {
    const rules = yield* rulesOf(options)
    const before = yield* listExisting(store, () => Effect.void)
    const reader = makeReader(yield* pulled(options.documents), options.resumeAfter)
    const upserts: Array<SyncPlan["upserts"][number]> = []
    const skipped: Array<SyncPlan["skipped"][number]> = []
    const refused: Array<SyncPlan["refused"][number]> = []
    for (let item = yield* reader.next; Option.isSome(item); item = yield* reader.next) {
      const { documentId } = item.value
      const decision = decide(rules, before, item.value)
      if (Either.isLeft(decision)) refused.push({ documentId, error: decision.left })
      else if (decision.right._tag === "Skip") skipped.push({ documentId, reason: decision.right.reason })
      else upserts.push({ documentId, exists: before.has(documentId) })
    }
    const { limit, stale } = yield* staleOf(rules, before, reader, upserts.filter(({ exists }) => !exists).length)
    return { upserts, skipped, refused, deletions: stale, allowedDeletions: limit }
  }))

/** Event channels: retained events, subscribers, and the frames of a connection. */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { slice, type World } from "../state/state.ts"
import { encodeText, type Pull, Reset } from "./http.ts"

export interface ChannelEvent {
  readonly ms: number
  readonly counter: number
  readonly id: string
  readonly type: string
  /** The whole frame, or the bare data of a malformed one. */
  readonly frame: string
  /** The encoded frame, cached once it was sent alone, so that all subscribers share the bytes. */
  bytes: Uint8Array | undefined
  /** Removed from the history (an answered approval). Subscribers have already received it. */
  removed: boolean
}

export interface Channel {
  events: Array<ChannelEvent>
  /** The number of events dropped from the front. */
  base: number
  lastPublishedAt: number
  readonly waiters: Set<() => void>
  /** Callbacks of agents that are too far ahead, called when a connection advances or closes. */
  readonly ahead: Set<() => void>
  readonly readers: Set<{ at: number }>
  /** The channel is closed: the workspace was reset. */
  closed: boolean
}

export const END_OF_STREAM = "end-of-stream"

const allChannels = slice("channels", (world) => ({ all: new Set<Channel>(), ms: world.now(), counter: -1, made: 0 }))

/** Ids increase within a workspace. Each millisecond has at most a thousand; the rest use the next millisecond. */
const nextId = (world: World): { readonly ms: number; readonly counter: number; readonly id: string } => {
  const ids = allChannels(world)
  const now = world.now()
  if (now > ids.ms) {
    ids.ms = now
    ids.counter = 0
  } else if (ids.counter >= 999) {
    ids.ms = ids.ms + 1
    ids.counter = 0
  } else {
    ids.counter = ids.counter + 1
  }
  return { ms: ids.ms, counter: ids.counter, id: `${ids.ms}-${ids.counter}` }
}

const expire = (world: World, channel: Channel): void => {
  if (channel.events.length > 0 && world.now() - channel.lastPublishedAt > Duration.toMillis(world.quirks.historyTtl)) {
    channel.base += channel.events.length
    channel.events = []
  }
}

export const makeChannel = (world: World): Channel => {
  const channels = allChannels(world)
  const channel: Channel = {
    events: [],
    base: 0,
    lastPublishedAt: 0,
    waiters: new Set(),
    ahead: new Set(),
    readers: new Set(),
    closed: false
  }
  channels.all.add(channel)
  channels.made++
  if (channels.made % 256 === 0) {
    for (const other of channels.all) expire(world, other)
  }
  return channel
}

/** Drops a channel without further publishers. Open connections keep it. */
export const dropChannel = (world: World, channel: Channel): void => {
  allChannels(world).all.delete(channel)
}

const wake = (channel: Channel): void => {
  if (channel.waiters.size === 0) return
  const waiters = [...channel.waiters]
  channel.waiters.clear()
  for (const waiter of waiters) waiter()
}

const caughtUp = (channel: Channel): void => {
  for (const tell of channel.ahead) tell()
}

/** Waits while a connection has more unread events than the channel retains. */
export const whileAhead = (world: World, channel: Channel): Effect.Effect<void> => {
  const isAhead = () => {
    const end = channel.base + channel.events.length
    for (const reader of channel.readers) {
      if (reader.at !== Infinity && end - reader.at > world.quirks.retainedEvents) return true
    }
    return false
  }
  return Effect.suspend(() =>
    isAhead()
      ? Effect.async<void>((resume) => {
        const tell = () => {
          if (isAhead()) return
          channel.ahead.delete(tell)
          resume(Effect.void)
        }
        channel.ahead.add(tell)
        return Effect.sync(() => channel.ahead.delete(tell))
      })
      : Effect.void
  )
}

const trim = (world: World, channel: Channel): void => {
  const limit = world.quirks.retainedEvents
  if (channel.events.length < limit * 1.25) return
  let floor = channel.base + channel.events.length - limit
  for (const reader of channel.readers) floor = Math.min(floor, reader.at)
  const surplus = floor - channel.base
  if (surplus < limit / 4) return
  channel.events = channel.events.slice(surplus)
  channel.base = floor
}

const push = (world: World, channel: Channel, type: string, makeFrame: (id: string) => string): ChannelEvent => {
  expire(world, channel)
  const { counter, id, ms } = nextId(world)
  const event: ChannelEvent = { ms, counter, id, type, frame: makeFrame(id), bytes: undefined, removed: false }
  channel.events.push(event)
  channel.lastPublishedAt = world.now()
  trim(world, channel)
  wake(channel)
  return event
}

/** Publishes an event whose JSON is already written. */
export const publishJson = (world: World, channel: Channel, type: string, data: string): ChannelEvent =>
  push(world, channel, type, (id) => `data: {"eventId":"${id}","data":${data}}\n\n`)

export const publish = (
  world: World,
  channel: Channel,
  data: { readonly type: string } & Readonly<Record<string, unknown>>
): ChannelEvent => publishJson(world, channel, data.type, JSON.stringify(data))

/** Publishes this text unchanged after `data: `. */
export const publishRaw = (world: World, channel: Channel, text: string): ChannelEvent =>
  push(world, channel, "raw", () => `data: ${text}\n\n`)

export const removeFromHistory = (channel: Channel, matches: (event: ChannelEvent) => boolean): void => {
  for (const event of channel.events) {
    if (matches(event)) event.removed = true
  }
}

/** The number of events of this channel that a new connection could still receive. */
export const retained = (world: World, channel: Channel): number => {
  expire(world, channel)
  return channel.events.reduce((count, event) => event.removed ? count : count + 1, 0)
}

const parseId = (id: string): readonly [ms: number, counter: number] => {
  const [ms, counter] = id.split("-")
  return [Number(ms), Number(counter ?? 0)]
}

const comparesAfter = (event: ChannelEvent, cursor: readonly [number, number]): boolean =>
  event.ms > cursor[0] || (event.ms === cursor[0] && event.counter > cursor[1])

const HANDSHAKE = "event: dust-handshake\ndata: {}\n\n"
const DONE = "data: done\n\n"
const BATCH = 512

export interface Subscription {
  readonly channel: Channel
  /** `undefined`: replays all retained events. */
  readonly lastEventId: string | undefined
  /** The connection closes at the first event after this time. */
  readonly lifetime: Duration.DurationInput | undefined
  /** The connection closes after this time without an event. */
  readonly silence: Duration.DurationInput | undefined
  readonly signal: AbortSignal | undefined
  /** Whether the channel is still in use. `false` closes it (the conversation was deleted, the server deregistered). */
  readonly open?: (() => boolean) | undefined
}

type Phase = "handshake" | "history" | "live" | "closing" | "closed"

type Step = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<Reset>>

/** The read position and times of a connection. */
interface Connection {
  readonly world: World
  readonly options: Subscription
  readonly reader: { at: number }
  readonly openedAt: number
  lastActivity: number
  lastWrite: number
  phase: Phase
}

/** In milliseconds; no limit is `Infinity`. */
const millisOf = (limit: Duration.DurationInput | undefined): number =>
  limit === undefined ? Infinity : Duration.toMillis(limit)

const isClosed = ({ channel, open }: Subscription): boolean => channel.closed || open?.() === false

/** Waits for an event, for the end of the channel or for the client to disconnect. */
const changed = ({ options, reader }: Connection): Effect.Effect<void, Option.Option<Reset>> =>
  Effect.async<void, Option.Option<Reset>>((resume) => {
    const { channel, signal } = options
    // Events published since the last read have woken no waiter.
    if (channel.base + channel.events.length > reader.at || isClosed(options)) {
      return resume(Effect.void)
    }
    const done = () => {
      signal?.removeEventListener("abort", aborted)
      resume(Effect.void)
    }
    const aborted = () => {
      channel.waiters.delete(done)
      resume(Effect.fail(Option.some(new Reset({ kind: "reset" }))))
    }
    channel.waiters.add(done)
    signal?.addEventListener("abort", aborted, { once: true })
    return Effect.sync(() => {
      channel.waiters.delete(done)
      signal?.removeEventListener("abort", aborted)
    })
  })

/** The page of history after the cursor. */
const history = (connection: Connection): string => {
  const { options: { channel, lastEventId }, reader, world } = connection
  const { quirks } = world
  expire(world, channel)
  const cursor = lastEventId === undefined ? undefined : parseId(lastEventId)
  const page: Array<ChannelEvent> = []
  let index = 0
  for (; index < channel.events.length && page.length < quirks.historyPageSize; index++) {
    const event = channel.events[index]!
    if (!event.removed && (cursor === undefined || comparesAfter(event, cursor))) page.push(event)
  }
  reader.at = channel.base + index
  connection.phase = page.length >= quirks.historyPageSize ? "closing" : "live"
  if (quirks.sameMillisecondReorder) page.sort((a, b) => a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  let frames = ""
  for (const event of page) {
    if (event.type === END_OF_STREAM) {
      connection.phase = "closing"
      if (!quirks.endOfStreamOnReplay) continue
    }
    frames += event.frame
  }
  return frames
}

/** The events published since the last read. */
const live = (connection: Connection): string => {
  const { openedAt, options: { channel, lifetime }, reader, world } = connection
  const limit = millisOf(lifetime)
  let frames = ""
  let taken = 0
  // Events that were dropped since are older than the read position, so this reader has them already.
  let index = Math.max(0, reader.at - channel.base)
  while (index < channel.events.length && taken < BATCH) {
    const event = channel.events[index]!
    index++
    taken++
    if (event.type === END_OF_STREAM) {
      connection.phase = "closing"
      break
    }
    frames += event.frame
    if (world.now() - openedAt >= limit) {
      connection.phase = "closing"
      break
    }
  }
  if (taken > 0) connection.lastActivity = world.now()
  reader.at = channel.base + index
  caughtUp(channel)
  return frames
}

const emit = (connection: Connection, frames: string): Chunk.Chunk<Uint8Array> => {
  const { options: { channel }, reader, world } = connection
  connection.lastWrite = world.now()
  const last = channel.events[reader.at - channel.base - 1]
  return Chunk.of(last?.frame === frames ? last.bytes ??= encodeText(frames) : encodeText(frames))
}

/** Waits until there are events, a heartbeat is due, or the idle timeout is reached. */
const quiet = (connection: Connection): Step => {
  const { lastActivity, lastWrite, options, world } = connection
  const untilSilence = lastActivity + millisOf(options.silence) - world.now()
  const untilHeartbeat = lastWrite + millisOf(world.quirks.heartbeat) - world.now()
  const patience = Math.min(untilSilence, untilHeartbeat)
  if (patience === Infinity) return Effect.zipRight(changed(connection), next(connection))
  return Effect.raceFirst(
    Effect.as(changed(connection), false),
    Effect.as(world.clock.sleep(Duration.millis(Math.max(0, patience))), true)
  ).pipe(
    Effect.flatMap((timedOut): Step => {
      if (!timedOut) return next(connection)
      if (untilSilence <= untilHeartbeat) {
        connection.phase = "closing"
        return next(connection)
      }
      return Effect.succeed(emit(connection, ": heartbeat\n\n"))
    })
  )
}

const next = (connection: Connection): Step =>
  Effect.suspend(() => {
    const { options, world: { quirks } } = connection
    if (options.signal?.aborted === true) return Effect.fail(Option.some(new Reset({ kind: "reset" })))
    if (connection.phase === "handshake") {
      connection.phase = "history"
      if (quirks.handshake) return Effect.succeed(emit(connection, HANDSHAKE))
    }
    if (connection.phase === "history") {
      const frames = history(connection)
      if (frames !== "") return Effect.succeed(emit(connection, frames))
    }
    if (connection.phase === "live") {
      if (isClosed(options)) connection.phase = "closing"
      else {
        const frames = live(connection)
        if (frames !== "") return Effect.succeed(emit(connection, frames))
      }
    }
    if (connection.phase === "closing") {
      connection.phase = "closed"
      if (quirks.doneFrame) return Effect.succeed(emit(connection, DONE))
    }
    return connection.phase === "closed" ? Effect.fail(Option.none()) : quiet(connection)
  })

/** A connection: handshake, a page of history, live events, then `done`. */
export const connection = (world: World, options: Subscription): Pull => {
  const { channel } = options
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const reader = { at: Infinity }
        channel.readers.add(reader)
        return reader
      }),
      (reader) =>
        Effect.sync(() => {
          channel.readers.delete(reader)
          caughtUp(channel)
        })
    ),
    (reader): Step => {
      const openedAt = world.now()
      return next({
        world,
        options,
        reader,
        openedAt,
        lastActivity: openedAt,
        lastWrite: openedAt,
        phase: "handshake"
      })
    }
  )
}

/** Wakes all subscribers, so that they notice that the channel is closed. */
export const closeChannel = wake

/** Ends every event stream. */
export const closeChannels = (world: World): void => {
  for (const channel of allChannels(world).all) {
    channel.closed = true
    wake(channel)
  }
}

/** Finds a data source by id or name, in a given space or in all of them. */
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { DataSource } from "../../DataSource.ts"
import { DataSources } from "../../DataSources.ts"
import type { MaxDeletions } from "../../DataSync.ts"
import { isDustAPIError, type RequestError } from "../../DustAPIError.ts"
import type { Space } from "../../Space.ts"
import { Spaces } from "../../Spaces.ts"
import { PartialFailure, UsageError } from "./failure.ts"

export const space = Options.text("space").pipe(
  Options.withAlias("s"),
  Options.optional,
  Options.withDescription("The space, by id or name; by default, all your spaces are searched")
)

export const dataSource = Options.text("data-source").pipe(
  Options.withAlias("d"),
  Options.withDescription("The data source (a folder), by id or name")
)

/** The value of `--max-deletions`. */
export const readMaxDeletions = (text: string): Effect.Effect<MaxDeletions, UsageError> => {
  const [, number = "", share = ""] = /^(\d+)(%?)$/.exec(text.trim()) ?? []
  return number === ""
    ? new UsageError({ message: "--max-deletions: must be a number or a share, such as 20 or 10%" })
    : Effect.succeed<MaxDeletions>(share === "%" ? `${Number(number)}%` : Number(number))
}

/** An error that protects existing data, with the name of the option that overrides it. `empty`: what the source lacks. */
export const asProtection = <E>(source: string, empty: string) => (error: E): E | PartialFailure => {
  if (!isDustAPIError(error)) return error
  switch (error.type) {
    case "empty_source":
      return new PartialFailure({ message: `${source}: ${empty} (see --allow-empty)` })
    case "too_many_deletions":
      return new PartialFailure({
        message: `${source}: ${error.message.replace("raise maxDeletions", "raise --max-deletions")}`
      })
    default:
      return error
  }
}

const same = (text: string, id: string, name: string) =>
  text === id || text.normalize().toLowerCase() === name.normalize().toLowerCase()

interface Found {
  readonly space: Space
  readonly dataSource: DataSource
}

const list = (all: ReadonlyArray<string>) => all.length === 0 ? "none exists" : `available: ${all.join(", ")}`

/** Returns the spaces that match, or all of them. */
export const spacesOf = (
  wanted: Option.Option<string>
): Effect.Effect<ReadonlyArray<Space>, UsageError | RequestError, Spaces> =>
  Effect.gen(function*() {
    const all = yield* Effect.flatMap(Spaces, (spaces) => spaces.list())
    const found = Option.match(wanted, {
      onNone: () => all,
      onSome: (text) => all.filter(({ name, sId }) => same(text, sId, name))
    })
    if (found.length > 0) return found
    return yield* new UsageError({
      message: `--space: no such space; ${list(all.map(({ name, sId }) => `${name} (${sId})`))}`
    })
  })

/** Returns the one data source that matches. */
export const locate = (flags: {
  readonly space: Option.Option<string>
  readonly dataSource: string
}): Effect.Effect<
  { readonly spaceId: string; readonly dataSourceId: string },
  UsageError | RequestError,
  Spaces | DataSources
> =>
  Effect.gen(function*() {
    const dataSources = yield* DataSources
    const wanted = yield* spacesOf(flags.space)
    const inSpaces: ReadonlyArray<Found> = (yield* Effect.forEach(wanted, (space) =>
      Effect.map(dataSources.list(space.sId), (found) => found.map((dataSource) => ({ space, dataSource }))), {
      concurrency: 4
    })).flat()
    const found = inSpaces.filter(({ dataSource }) =>
      same(flags.dataSource, dataSource.sId, dataSource.name)
    )
    const [first, second] = found
    if (first === undefined) {
      return yield* new UsageError({
        message: `--data-source: no such data source; ${
          list(inSpaces.map(({ dataSource: { name, sId } }) => `${name} (${sId})`))
        }`
      })
    }
    if (second !== undefined) {
      return yield* new UsageError({
        message: `--data-source: several data sources have this name; add ${
          found.map(({ space }) => `--space ${space.sId}`).join(" or ")
        }`
      })
    }
    return { spaceId: first.space.sId, dataSourceId: first.dataSource.sId }
  })

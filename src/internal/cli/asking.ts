/** Shared options and functions of the commands that talk to agents. */
import * as Options from "@effect/cli/Options"
import type * as Prompt from "@effect/cli/Prompt"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { approveAll } from "../../Approvals.ts"
import type { AgentRef, FollowOptions } from "../../Chat.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import type { ContentFragmentInput } from "../../Conversations.ts"
import { DustConfig } from "../../DustConfig.ts"
import * as File from "../../File.ts"
import { Files } from "../../Files.ts"
import { type Left, UsageError } from "./failure.ts"
import { bar, Output } from "./output.ts"
import { askApproval, askQuestion } from "./people.ts"
import { show, type ShowOptions } from "./show.ts"

export const agent = Options.text("agent").pipe(
  Options.withAlias("a"),
  Options.withDefault("dust"),
  Options.withDescription("The id of the agent, or @Name; default: dust")
)

export const conversation = Options.text("conversation").pipe(
  Options.withAlias("c"),
  Options.optional,
  Options.withDescription("Continue this conversation")
)

export const files = Options.text("file").pipe(
  Options.withAlias("f"),
  Options.repeated,
  Options.withDescription("Attach this file; repeatable")
)

export const yes = Options.boolean("yes").pipe(
  Options.withAlias("y"),
  Options.withDescription("Approve every tool without asking")
)

export const thinking = Options.boolean("thinking").pipe(Options.withDescription("Show the agent's chain of thought"))

export const asJson = Options.boolean("json").pipe(Options.withDescription("Print JSON, one value per line"))

/** The SDK accepts `@Name` too; a name with a space needs no @. */
export const agentRef = (text: string): AgentRef => text.startsWith("@") || /\s/.test(text) ? { name: text } : text

type Handlers = FollowOptions<Left, Prompt.Prompt.Environment | Output>

/** Prompts at the terminal. Without one, `--yes` approves tools, and any other waiting run is left waiting. */
export const handlers = (yes: boolean): Effect.Effect<Handlers, never, Output | DustConfig> =>
  Effect.map(Effect.all([Output, DustConfig]), ([{ interactive }, { credential }]): Handlers => ({
    onApproval: yes ? approveAll : interactive ? askApproval(credential._tag === "AccessToken") : undefined,
    onQuestion: interactive ? askQuestion : undefined,
    whenBlocked: interactive ? "wait" : "fail"
  }))

/** Uploads files, showing progress, and returns them as attachments. */
export const attach = (
  paths: ReadonlyArray<string>
): Effect.Effect<
  ReadonlyArray<ContentFragmentInput>,
  UsageError | Effect.Effect.Error<ReturnType<typeof File.fromPath> | ReturnType<Files["Type"]["upload"]>>,
  Files | FileSystem.FileSystem | Path.Path | Output
> =>
  Effect.forEach(paths, (path) =>
    Effect.gen(function*() {
      const files = yield* Files
      const output = yield* Output
      const info = yield* Effect.flatMap(FileSystem.FileSystem, (fileSystem) => fileSystem.stat(path))
      if (info.type === "Directory") return yield* new UsageError({ message: `${path} is a folder; attach its files` })
      const file = yield* File.fromPath(path)
      const uploaded = yield* files.upload({
        ...file,
        onProgress: ({ sent, total }) =>
          output.progress(`${file.fileName} ${bar(Math.round(sent / 1024), Math.ceil(total / 1024), "KiB")}`)
      })
      yield* output.progress("")
      return File.contentFragment(uploaded)
    }))

/** Shows events as they arrive. */
export const follow = <E, R>(
  events: Stream.Stream<ChatEvent, E, R>,
  options: ShowOptions
): Effect.Effect<void, E, R | Output> =>
  Effect.gen(function*() {
    const showEvent = yield* show(options)
    yield* Stream.runForEach(events, showEvent)
  }).pipe(Effect.ensuring(Effect.flatMap(Output, ({ endLine }) => endLine)))

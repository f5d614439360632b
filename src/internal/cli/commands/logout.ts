import * as Command from "@effect/cli/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { storePath } from "../connect.ts"
import { Output } from "../output.ts"

export const logout = Command.make("logout", {}, () =>
  Effect.gen(function*() {
    const { note } = yield* Output
    const fileSystem = yield* FileSystem.FileSystem
    const file = yield* storePath
    if (!(yield* fileSystem.exists(file))) return yield* note("No credential is stored.")
    yield* fileSystem.remove(file)
    yield* note(`Deleted ${file}.`)
  })).pipe(Command.withDescription("Delete the stored credential"))

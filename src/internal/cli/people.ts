/** Prompts the person at the terminal for approvals and answers. */
import * as Prompt from "@effect/cli/Prompt"
import type * as Terminal from "@effect/platform/Terminal"
import * as Effect from "effect/Effect"
import type { Decision } from "../../Approvals.ts"
import type { ApprovalNeeded, QuestionAsked } from "../../ChatEvent.ts"
import type { UserAnswer } from "../../Conversation.ts"
import { Left } from "./failure.ts"
import { clean, oneLine, Output } from "./output.ts"

const left = <A, R>(self: Effect.Effect<A, Terminal.QuitException, R>): Effect.Effect<A, Left, R> =>
  Effect.mapError(self, () => new Left())

/** Asks for a decision. `asUser`: whether the credential is a user's. */
export const askApproval = (asUser: boolean) =>
(
  { inputs, stake, tool }: ApprovalNeeded
): Effect.Effect<Decision, Left, Terminal.Terminal | Output> =>
  Effect.gen(function*() {
    const { note, noteStyle } = yield* Output
    // Dust remembers nothing for an API key, nor for tools of high stake.
    const remembers = asUser && (stake === "low" || stake === "medium")
    const server = tool.mcpServerDisplayName ?? tool.mcpServerName
    yield* note(
      `${noteStyle.yellow("!")} ${noteStyle.bold(oneLine(tool.toolName, 80))}${
        server === "" ? "" : ` of ${oneLine(server, 60)}`
      } needs your approval${stake === null ? "" : ` (${stake} stake)`}`
    )
    for (const [name, value] of Object.entries(inputs)) {
      yield* note(noteStyle.dim(`  ${oneLine(name, 40)}: ${oneLine(JSON.stringify(value) ?? "", 400)}`))
    }
    return yield* Prompt.select<Decision>({
      message: "Run it?",
      choices: [
        { title: remembers ? "Yes, once" : "Yes", value: "approved" },
        ...(remembers ? [{ title: "Yes, and do not ask again", value: "always_approved" as const }] : []),
        { title: "No", value: "rejected" }
      ]
    })
  }).pipe(left)

const ownWords = "Something else"

export const askQuestion = (
  { question }: QuestionAsked
): Effect.Effect<UserAnswer, Left, Prompt.Prompt.Environment> => {
  const message = clean(question.question).trim() || "The agent asks"
  const words = Prompt.text({
    message,
    validate: (text) => text.trim() === "" ? Effect.fail("Required.") : Effect.succeed(text)
  })
  const choices = question.options.map(({ description, label }, index) => ({
    title: oneLine(label, 200),
    value: index,
    ...(description === null ? {} : { description: oneLine(description, 200) })
  }))
  const chosen: Prompt.Prompt<ReadonlyArray<number>> = choices.length === 0
    ? Prompt.succeed([])
    : question.multiSelect
    ? Prompt.multiSelect({ message, choices })
    : Prompt.map(
      Prompt.select({ message, choices: [...choices, { title: ownWords, value: -1 }] }),
      (index) => index < 0 ? [] : [index]
    )
  return left(
    Prompt.run(Prompt.flatMap(chosen, (selectedOptions): Prompt.Prompt<UserAnswer> =>
      selectedOptions.length > 0
        ? Prompt.succeed({ selectedOptions })
        : Prompt.map(words, (customResponse) => ({ selectedOptions, customResponse }))))
  )
}

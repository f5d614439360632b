/** The application's connection to Dust: Local Dust with two users, or the workspace of DUST_WORKSPACE_ID. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Config, Duration, Effect, Layer, Redacted } from "effect"
import * as Dust from "effect-dust/Dust"
import * as DustTest from "effect-dust/DustTest"

/** How long the agent takes for a word. */
const pace = Config.withDefault(Config.duration("PACE"), Duration.millis(45))

/** A scripted agent: gives a long answer, writes a mail after an approval, or asks a question. */
const assistant = (pace: Duration.Duration): DustTest.AgentBehavior => ({ attachments, message }) => {
  if (/\bmail\b/i.test(message)) {
    return [
      DustTest.text("I have drafted a mail to the team. ", { pace }),
      DustTest.approval({
        name: "send_email",
        inputs: { to: "team@example.com", subject: "What is new this week" },
        stake: "high",
        output: "sent",
        onResult: ({ approved }) => approved ? "The mail is on its way." : "I did not send the mail."
      })
    ]
  }
  if (/\b(choose|which)\b/i.test(message)) {
    return [
      DustTest.question({
        question: "For whom shall I write it?",
        options: ["The whole team", "Only the managers"],
        onAnswer: () => [DustTest.text("Good. I will write it for exactly these people.", { pace })]
      })
    ]
  }
  return [
    DustTest.think("The roadmap is in Notion. "),
    DustTest.tool({
      name: "search",
      inputs: { query: message },
      progress: [{ label: "Searching Notion", progress: 1, total: 2 }],
      output: "Q4: streaming, approvals, files"
    }),
    DustTest.text(
      `${
        attachments.length === 0 ? "" : `I have read ${attachments.map(({ title }) => title).join(" and ")}. `
      }Here is what changed this week. Answers now stream to the browser word by word, and a page that is reloaded in the middle finds the answer again. Tools that write wait for your approval, on whichever device you happen to be. Files that you attach are read before the agent answers. Everything else stayed as it was, and nothing was lost on the way.`,
      { pace }
    )
  ]
}

/** A user who can sign in. Your application receives the token from Dust when its user signs in. */
export interface User {
  readonly name: string
  readonly token: Redacted.Redacted
}

const person = (name: string, email: string) => ({
  name,
  token: Redacted.make(`token-of-${name}`),
  user: { email, firstName: name, username: name.toLowerCase() }
})

const people = [person("Ada", "ada@example.com"), person("Grace", "grace@example.com")]

const local = Layer.unwrapEffect(Effect.map(pace, (pace) =>
  DustTest.layerServe({
    agents: { assistant: { name: "Assistant", script: assistant(pace) } },
    credentials: { userTokens: people.map(({ token, user }) => ({ value: token, user })) },
    // The credential of calls outside a request; this application has none.
    credential: { accessToken: Redacted.make("nobody") }
  })))

const workspace = Config.option(Config.string("DUST_WORKSPACE_ID"))

export const users: Effect.Effect<ReadonlyArray<User>, unknown> = Effect.flatMap(workspace, (id) =>
  id._tag === "None"
    ? Effect.succeed(people)
    : Effect.map(Config.redacted("DUST_ACCESS_TOKEN"), (token) => [{ name: "You", token }]))

export const agents = Effect.map(workspace, (id): readonly [string] => [id._tag === "None" ? "assistant" : "dust"])

export const layer = Layer.unwrapEffect(
  Effect.map(workspace, (id) => id._tag === "None" ? Layer.orDie(local) : Dust.layerEnv)
).pipe(Layer.provide(NodeHttpClient.layerUndici))

/** Failures of commands: one line with the next step for people, and an exit code for scripts. */
import type { PlatformError, SystemError } from "@effect/platform/Error"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { type DustAPIError, isDustAPIError } from "../../DustAPIError.ts"
import { clean } from "./output.ts"
import { command } from "./program.ts"

/** The exit codes, as docs/command-line.md documents them. */
export const codes = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** The agent waits for a person, and there is no terminal to prompt at. */
  waiting: 3,
  /** A credential is missing, refused, or of the wrong kind. */
  credential: 4,
  interrupted: 130,
  hungUp: 129,
  terminated: 143
} as const

/** Invalid arguments or options. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** No credential is set, and there is no terminal to prompt at. */
export class CredentialError extends Data.TaggedError("CredentialError")<{ readonly message: string }> {}

/** Some of the items failed; each failure was already reported. */
export class PartialFailure extends Data.TaggedError("PartialFailure")<{ readonly message: string }> {}

/** The user pressed Ctrl-C at a prompt. */
export class Left extends Data.TaggedError("Left")<Record<never, never>> {}

/** Why a file cannot be read. */
export const unreadable = (error: PlatformError): string => {
  switch (error._tag === "SystemError" ? error.reason : undefined) {
    case "NotFound":
      return "no such file"
    case "PermissionDenied":
      return "permission denied"
    default:
      // Node's own words, such as `EISDIR: illegal operation on a directory, read`.
      return /: (E[A-Z]+: .*)$/s.exec(error.message)?.[1] ?? error.message
  }
}

export interface Report {
  readonly code: number
  /** Absent for a usage error, which the parser has already printed, and after Ctrl-C at a prompt. */
  readonly line?: string | undefined
  readonly json?: unknown
}

const flat = (text: string) => clean(text).replace(/\s*\n\s*/g, " ").trim()

/** The remedy for an SDK error whose message does not include one. */
const advice = (error: DustAPIError): string | undefined => {
  const isOver = error._tag === "DustAgentError" || error._tag === "DustNotFoundError"
  if (error.messageId !== undefined && error.conversationId !== undefined && !isOver) {
    return `the agent continues; follow it with: ${command(`resume ${error.conversationId} ${error.messageId}`)}`
  }
  switch (error._tag) {
    case "DustUnauthorizedError":
      if (error.type === "expired_oauth_token_error") return "sign in again, and set the new token"
      return `it must belong to DUST_WORKSPACE_ID and DUST_REGION; a stored one is deleted with: ${command("logout")}`
    case "DustNotFoundError":
      return error.module === "Agents" && error.type !== "workspace_not_found"
        ? `list them with: ${command("agents")}`
        : undefined
    case "DustBadRequestError":
      return error.type === "agent_inaccessible"
        ? `a name is written as @Name; list the agents with: ${command("agents")}`
        : undefined
    case "DustUserRequiredError":
      return "set DUST_ACCESS_TOKEN instead of DUST_API_KEY"
    case "DustNetworkError":
      if (error.type === "proxy_authentication_required") return "write them as http://user:password@host:port"
      if (error.type === "UND_ERR_CONNECT_TIMEOUT") {
        return "check the network, and whether it requires a proxy (HTTPS_PROXY)"
      }
      return error.message.includes("; check ") ? undefined : "check the network, and DUST_BASE_URL if it is set"
    case "DustTimeoutError":
      return "check the network, or raise DUST_TIMEOUT if it is set"
    case "DustServerError":
      return "try again later"
    case "DustRateLimitError":
      return "wait a minute, then try again"
    case "DustQuotaExceededError":
      return "a workspace admin can raise the limit in Dust"
    case "DustUnconfirmedError":
      return error.conversationId === undefined
        ? undefined
        : `check the conversation before sending again: ${command(`export conversation ${error.conversationId}`)}`
    default:
      return undefined
  }
}

const ofDust = (error: DustAPIError): Report => {
  const waiting = error.waitingFor !== undefined
  const next = waiting && error.conversationId !== undefined && error.messageId !== undefined
    ? `answer it in Dust, pass --yes to approve tools, or run in a terminal: ${
      command(`resume ${error.conversationId} ${error.messageId}`)
    }`
    : advice(error)
  // The method is for programs; its command follows.
  const message = flat(error.message).replace("; Agents.list returns the available agents", "").replace(/[.;]+$/, "")
  const { attempts, conversationId, messageId, requestId, status, type } = error
  const credential = error._tag === "DustUnauthorizedError" || error._tag === "DustUserRequiredError"
  return {
    code: waiting ? codes.waiting : credential ? codes.credential : codes.failure,
    line: next === undefined || message.includes(next) ? message : `${message}; ${next}`,
    json: { _tag: error._tag, message, next, status, type, attempts, requestId, conversationId, messageId }
  }
}

const ofConfig = (error: ConfigError.ConfigError): Report => {
  const one = (error: ConfigError.ConfigError): string =>
    error._op === "And" || error._op === "Or"
      ? `${one(error.left)}; ${one(error.right)}`
      : `${error.path.join("_")} ${error.message}`
  const line = flat(one(error))
  return { code: codes.credential, line, json: { _tag: "ConfigError", message: line } }
}

const ofError = (error: unknown): Report => {
  if (isDustAPIError(error)) return ofDust(error)
  if (ConfigError.isConfigError(error)) return ofConfig(error)
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error"
  const message = Predicate.hasProperty(error, "message") ? flat(String(error.message)) : flat(String(error))
  const report = (code: number, line: string): Report => ({ code, line, json: { _tag: tag, message: line } })
  switch (tag) {
    case "Left":
    case "QuitException":
      return { code: codes.interrupted }
    case "UsageError":
      return report(codes.usage, message)
    case "CredentialError":
      return report(codes.credential, message)
    case "SystemError": {
      // A file that cannot be read: `report.pdf: no such file`.
      const cause = error as SystemError
      const why = unreadable(cause)
      return report(codes.usage, why === cause.message ? message : `${String(cause.pathOrDescriptor)}: ${why}`)
    }
    case "DustTestServeError":
      return report(codes.failure, message.includes("EADDRINUSE") ? `${message}; choose another with --port` : message)
    default:
      return report(codes.failure, message)
  }
}

/** The output and the exit code of a failure. */
export const reportOf = (cause: Cause.Cause<unknown>, interruptedWith: number): Report => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) return ofError(failure.value)
  if (Cause.isInterruptedOnly(cause)) return { code: interruptedWith }
  const defect = Option.getOrUndefined(Cause.dieOption(cause))
  const { line } = ofError(defect)
  return {
    code: codes.failure,
    line: `internal error, please report it: ${line}`,
    json: { _tag: "Defect", message: line }
  }
}

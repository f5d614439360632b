/** A read-only page that shows the requests, conversations and runs of Local Dust in a browser. */
import * as Effect from "effect/Effect"
import { json, type LocalRequest, type LocalResponse, type Reset } from "../server/http.ts"
import type { SeenRequest } from "../server/pipeline.ts"
import { allConversations } from "../state/find.ts"
import type { Workspace } from "../state/workspace.ts"
import { page, pageScript, pageStyle } from "./viewPage.ts"

export const viewPath = "/_local"

const newest = 300
const longest = 20_000

/** Truncates long values. */
const bounded = (value: unknown): unknown => {
  if (typeof value === "string") return value.length > longest ? `${value.slice(0, longest)}…` : value
  const text = JSON.stringify(value)
  return text === undefined || text.length <= longest ? value : `${text.slice(0, longest)}…`
}

const requestOf = (
  { at, body, bytesSent, closedAt, credential, fault, index, method, outcome, path, query, route, status }: SeenRequest
) => ({
  index,
  method,
  path,
  query,
  route,
  credential,
  status,
  outcome,
  fault,
  at,
  millis: closedAt === undefined ? null : closedAt - at,
  bytesSent,
  body: bounded(body)
})

const stateOf = ({ control, handler, world }: Workspace): Effect.Effect<unknown> =>
  Effect.map(control.conversations, (conversations) => {
    const names = new Map(
      allConversations(world).flatMap(({ ranks }) => ranks.flat()).flatMap((message) =>
        message.type === "agent_message" ? [[message.sId, message.agent.name] as const] : []
      )
    )
    return {
      workspaceId: world.workspaceId,
      url: world.origin(),
      requests: handler.log().slice(-newest).map(requestOf),
      conversations: conversations.slice(-newest).map(({ blockedActionIds, messages, sId, title, visibility }) => ({
        sId,
        title,
        visibility,
        blockedActionIds,
        messages: messages.map(({ content, rank, role, run, sId, status, version }) => ({
          sId,
          role,
          rank,
          version,
          status,
          run,
          agent: names.get(sId),
          content: bounded(content)
        }))
      }))
    }
  })

const encoder = new TextEncoder()

/** The digest of a text in the notation of a Content Security Policy. */
const digest = async (text: string): Promise<string> => {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)))
  return `'sha256-${btoa(String.fromCharCode(...bytes))}'`
}

const common = {
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
}

const loopback = new Set(["127.0.0.1", "localhost", "[::1]"])

const hostOf = (request: LocalRequest): string | undefined => {
  const host = request.headers["host"]
  return host !== undefined && URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : undefined
}

const refused: LocalResponse = {
  status: 403,
  headers: { ...common, "content-type": "text/plain;charset=UTF-8" },
  body: { _tag: "Bytes", bytes: encoder.encode("The view of Local Dust is shown on this machine only.") }
}

/**
 * Adds the page at `/_local` to the handler. Browsers may use loopback names only, which prevents DNS rebinding by
 * other sites.
 */
export const withView = (
  workspace: Workspace,
  isLoopback: boolean
): Effect.Effect<(request: LocalRequest) => Effect.Effect<LocalResponse, Reset>> =>
  Effect.map(
    Effect.promise(() => Promise.all([digest(pageScript), digest(pageStyle)])),
    ([script, style]) => {
      const policy = `default-src 'none'; script-src ${script}; style-src ${style}; connect-src 'self'; `
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      const shown: LocalResponse = {
        status: 200,
        headers: { ...common, "content-type": "text/html;charset=UTF-8", "content-security-policy": policy },
        body: { _tag: "Bytes", bytes: encoder.encode(page) }
      }
      return (request) => {
        const { pathname } = request.url
        if (request.method !== "GET" || (pathname !== viewPath && pathname !== `${viewPath}/state`)) {
          return workspace.handler.handle(request)
        }
        if (!isLoopback || !loopback.has(hostOf(request) ?? "")) return Effect.succeed(refused)
        // Pages of other origins may neither read this page nor send it requests.
        const site = request.headers["sec-fetch-site"]
        if (pathname !== viewPath && site !== undefined && site !== "same-origin") return Effect.succeed(refused)
        return pathname === viewPath
          ? Effect.succeed(shown)
          : Effect.map(stateOf(workspace), (state) => json(state, { headers: common }))
      }
    }
  )

/** How a person calls this program. */
import process from "node:process"

const runners: Readonly<Record<string, string>> = { npm: "npx ", pnpm: "pnpm dlx ", bun: "bunx " }

/** `effect-dust agents`, with the runner that has installed the program for this call: `npx effect-dust agents`. */
export const command = (line: string): string => {
  // Set by the package manager, so it is not configuration, and reports of errors have no access to services.
  // @effect-diagnostics-next-line processEnv:off
  const [manager = ""] = (process.env["npm_config_user_agent"] ?? "").split("/")
  return `${runners[manager] ?? ""}effect-dust ${line}`
}

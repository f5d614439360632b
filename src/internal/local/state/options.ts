import type { AgentBehavior } from "../agent/steps.ts"
import type { AgentOptions } from "../domains/agents.ts"
import type { FaultRule } from "../server/rules.ts"
import type { WorldOptions } from "./create.ts"

export interface WorkspaceOptions extends WorldOptions {
  readonly agents?: Readonly<Record<string, AgentOptions | AgentBehavior>> | undefined
  readonly faults?: ReadonlyArray<FaultRule> | undefined
}

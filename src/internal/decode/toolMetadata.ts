import type { ToolMetadata } from "../../Conversation.ts"

/** What is known of a tool of which the server said nothing. */
export const emptyToolMetadata: ToolMetadata = {
  toolName: "",
  mcpServerName: "",
  mcpServerDisplayName: null,
  mcpServerId: null,
  agentName: null,
  icon: null
}

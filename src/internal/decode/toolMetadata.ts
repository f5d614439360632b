/** The defaults for a tool without metadata. */
export const emptyToolMetadata = {
  toolName: "",
  mcpServerName: "",
  mcpServerDisplayName: null,
  mcpServerId: null,
  agentName: null,
  icon: null
}

/** What is known of a tool of which the server said nothing. */
export const emptyToolMetadata = {
  toolName: "",
  mcpServerName: "",
  mcpServerDisplayName: null,
  mcpServerId: null,
  agentName: null,
  icon: null
}

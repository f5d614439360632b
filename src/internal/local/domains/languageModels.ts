/** The language models that Local Dust knows: saving an agent with another one is refused, as by the server. */

const known: Readonly<Record<string, ReadonlyArray<string>>> = {
  openai: [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini-2025-04-14",
    "o3",
    "o4-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.1",
    "gpt-5.2"
  ],
  anthropic: [
    "claude-3-5-haiku-20241022",
    "claude-4-sonnet-20250514",
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5-20250929",
    "claude-opus-4-5-20251101"
  ],
  mistral: ["mistral-large-latest", "mistral-medium", "mistral-small-latest", "codestral-latest"],
  google_ai_studio: ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-pro-preview"],
  deepseek: ["deepseek-chat", "deepseek-reasoner"],
  xai: ["grok-4-latest"]
}

export const isKnownModel = (providerId: string, modelId: string): boolean =>
  known[providerId]?.includes(modelId) === true

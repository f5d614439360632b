/**
 * The language models of Local Dust. As on the server, saving an agent with another model is refused.
 *
 * Source: `front/types/assistant/models/models.ts` in dust-tt/dust (ids), and the file of each provider beside it. The
 * server also has custom models of individual customers, which are not in its source.
 */

const known: Readonly<Record<string, ReadonlyArray<string>>> = {
  openai: [
    "gpt-3.5-turbo",
    "gpt-4-turbo",
    "gpt-4o",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini",
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini-2025-04-14",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.1",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.5",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "o1",
    "o1-mini",
    "o3",
    "o3-mini",
    "o4-mini"
  ],
  anthropic: [
    "claude-3-opus-20240229",
    "claude-3-haiku-20240307",
    "claude-3-5-sonnet-20240620",
    "claude-3-5-sonnet-20241022",
    "claude-3-5-haiku-20241022",
    "claude-3-7-sonnet-20250219",
    "claude-4-opus-20250514",
    "claude-4-sonnet-20250514",
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5-20250929",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-6",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-fable-5"
  ],
  mistral: ["mistral-large-latest", "mistral-medium", "mistral-medium-3-5", "mistral-small-latest", "codestral-latest"],
  google_ai_studio: [
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-3-pro-preview",
    "gemini-3-flash-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-lite",
    "gemini-3.1-flash-lite-preview",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.6-flash"
  ],
  deepseek: ["deepseek-chat"],
  fireworks: [
    "accounts/fireworks/models/deepseek-v3p2",
    "accounts/fireworks/models/deepseek-v4-pro",
    "accounts/fireworks/models/kimi-k2-instruct-0905",
    "accounts/fireworks/models/kimi-k2p5",
    "accounts/fireworks/models/kimi-k2p6",
    "accounts/fireworks/models/minimax-m2p5",
    "accounts/fireworks/models/glm-5",
    "accounts/fireworks/models/glm-5p2"
  ],
  xai: [
    "grok-3-latest",
    "grok-3-mini-latest",
    "grok-4-latest",
    "grok-4-fast-reasoning-latest",
    "grok-4-fast-non-reasoning-latest",
    "grok-4-1-fast-reasoning-latest",
    "grok-4-1-fast-non-reasoning-latest",
    "grok-4.5"
  ],
  auto: ["auto"],
  auto_fast: ["auto_fast"],
  auto_complex: ["auto_complex"]
}

export const isKnownModel = (providerId: string, modelId: string): boolean =>
  known[providerId]?.includes(modelId) === true

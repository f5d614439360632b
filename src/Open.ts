/**
 * Open unions of strings: editors complete the known values, and any other string is accepted, because Dust may add values.
 *
 * ```ts
 * import type { Open } from "effect-dust/Open"
 *
 * const describe = (status: Open<"active" | "archived">) => status === "archived" ? "no longer available" : status
 * ```
 *
 * @packageDocumentation
 * @since 0.2.0
 */
export type { Open } from "./internal/decode/schema.ts"

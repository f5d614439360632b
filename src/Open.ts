/**
 * Values that Dust may add to: the known ones are completed and narrowed, any other string is accepted all the same.
 *
 * @since 0.2.0
 */
export type { Open } from "./internal/decode/schema.ts"

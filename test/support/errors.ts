import type { RequestError } from "effect-dust/DustAPIError"

/** Everything of an error that a caller sees, for `deepStrictEqual`. */
export const plain = (error: RequestError): unknown => JSON.parse(JSON.stringify(error))

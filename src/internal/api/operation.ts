/** The declarations of endpoints have a public home, so that the types of an exported operation can be named. */
export * from "../../Operation.ts"

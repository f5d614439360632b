/**
 * The seed of every random test. It is always the same, so that a change is judged by what it does; `SEED=7 npx vitest run`
 * tries another one.
 */
// @effect-diagnostics-next-line processEnv:off
export const seed = Number(process.env["SEED"] ?? 20_261_122)

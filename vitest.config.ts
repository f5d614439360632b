import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const root = fileURLToPath(new URL(".", import.meta.url))

export default defineConfig({
  root,
  resolve: {
    alias: [
      { find: /^effect-dust$/, replacement: `${root}src/index.ts` },
      { find: /^effect-dust\/(.*)$/, replacement: `${root}src/$1.ts` }
    ]
  },
  test: {
    setupFiles: [`${root}test/support/setup.ts`],
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // They end what hangs, and judge no speed: machines are slow and busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A worker thread that is ended while it reads from a socket can take the whole process with it (v8::ToLocalChecked).
    pool: "forks",
    // Vitest leaves one core idle, which is half of a small machine; the files that start processes need the others.
    minWorkers: 1,
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2))
  }
})

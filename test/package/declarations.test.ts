/** What a library built on effect-dust publishes: its declarations must not name what the package keeps to itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as DustTest from "effect-dust/DustTest"
import { readFileSync } from "node:fs"
import { publicModules } from "../tools/modules.ts"
import { packed } from "../tools/packed.ts"

/** Every method of every service, by the names of modules and members. */
const methods = Effect.map(
  Effect.scoped(Layer.build(DustTest.layer())),
  (context) =>
    [...context.unsafeMap].flatMap(([key, service]) => {
      const module = key.replace("effect-dust/", "")
      if (!publicModules.includes(module) || typeof service !== "object" || service === null) return []
      return Object.keys(service).map((member) => [module, member] as const)
    })
)

/** A library that passes everything on under another name, so that the compiler has to write down its type. */
const libraryOf = (all: ReadonlyArray<readonly [module: string, member: string]>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const lines = [`import * as Effect from "effect/Effect"`]
    for (const module of publicModules) {
      const members = Object.keys(await import(`effect-dust/${module}`))
      lines.push(
        `import * as ${module} from "effect-dust/${module}"`,
        ...members.filter((name) => /^\w+$/.test(name)).map((name) =>
          `export const ${module}_${name} = ${module}.${name}`
        ),
        ...all.filter(([of]) => of === module).map(([, name]) =>
          `export const ${module}_of_${name} = Effect.map(${module}.${module}, (service) => service[${
            JSON.stringify(name)
          }])`
        )
      )
    }
    return lines.join("\n")
  })

describe("declarations of a library that exports values built with the SDK", () => {
  it.live("name only public modules, for every export and every method", () =>
    Effect.gen(function*() {
      const library = yield* Effect.flatMap(methods, libraryOf)
      const built = yield* Effect.acquireRelease(
        Effect.promise(packed),
        (built) => Effect.sync(() => built.remove())
      )
      yield* Effect.promise(() =>
        built.compile(library, {
          noEmit: false,
          declaration: true,
          emitDeclarationOnly: true,
          outDir: "emitted"
        })
      )
      const emitted = readFileSync(`${built.directory}/../../emitted/program1.d.mts`, "utf8")
      const named = [...new Set(emitted.match(/effect-dust\/[\w/]+/g))]
      assert.include(emitted, "Skills_of_archive")
      assert.deepStrictEqual(named.filter((name) => name.includes("internal")), [])
    }).pipe(Effect.scoped), 240_000)
})

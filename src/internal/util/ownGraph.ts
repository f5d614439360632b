import * as HttpClient from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { DustConfig, type Service as Config } from "../../DustConfig.ts"
import { Governor, type Service as GovernorService } from "../../Governor.ts"

/**
 * A layer whose parts are shared with no other layer: they are memoised for it alone.
 *
 * Layers are memoised by reference, so the constant layers of the services would otherwise be built once per MemoMap, over
 * whichever configuration comes first.
 */
export const ownGraph = <A, E, R>(inner: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  // Excluding the scope from R that never had one leaves R.
  Layer.scopedContext(Layer.build(inner)) as Layer.Layer<A, E, R>

interface Graph<A> {
  readonly config: Config
  readonly governor: Option.Option<GovernorService>
  readonly scope: Scope.CloseableScope
  readonly context: Context.Context<A>
  users: number
}

/**
 * The same for a layer that reads its configuration: each use reads it anew, and the uses that read equal settings over the
 * same HttpClient share one graph for as long as one of them is in use.
 */
export const graphPerConfig = <A>(
  read: Effect.Effect<Config, ConfigError.ConfigError>,
  services: Layer.Layer<A, never, DustConfig | HttpClient.HttpClient>
): Layer.Layer<A | DustConfig, ConfigError.ConfigError, HttpClient.HttpClient> => {
  const graphs = new WeakMap<HttpClient.HttpClient, Set<Graph<A | DustConfig>>>()
  const lock = Effect.unsafeMakeSemaphore(1)

  const build = (config: Config, governor: Graph<A>["governor"]) =>
    Effect.flatMap(
      Scope.make(),
      (scope) =>
        Layer.buildWithScope(Layer.provideMerge(services, Layer.succeed(DustConfig, config)), scope).pipe(
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.map((context): Graph<A | DustConfig> => ({ config, governor, scope, context, users: 0 }))
        )
    )

  const acquire = (known: Set<Graph<A | DustConfig>>, config: Config) =>
    lock.withPermits(1)(Effect.gen(function*() {
      const governor = yield* Effect.serviceOption(Governor)
      const found = [...known].find((graph) =>
        sameSettings(graph.config, config) && Equal.equals(graph.governor, governor)
      )
      const graph = found ?? (yield* build(config, governor))
      graph.users++
      known.add(graph)
      return graph
    }))

  // A fresh layer is run at each use; it is the scope of that use that holds the graph.
  return Layer.fresh(Layer.scopedContext(Effect.gen(function*() {
    const config = yield* read
    const http = yield* HttpClient.HttpClient
    const known = graphs.get(http) ?? new Set()
    graphs.set(http, known)
    const graph = yield* Effect.acquireRelease(
      acquire(known, config),
      (graph, exit) =>
        lock.withPermits(1)(Effect.suspend(() => {
          if (--graph.users > 0) return Effect.void
          known.delete(graph)
          return Scope.close(graph.scope, exit)
        }))
    )
    return graph.context
  })))
}

const sameSettings = (a: Config, b: Config): boolean =>
  a.workspaceId === b.workspaceId && a.baseUrl === b.baseUrl && a.retry === b.retry &&
  a.maxResponseSize === b.maxResponseSize && (a.chosenLimits ?? []).join() === (b.chosenLimits ?? []).join() &&
  a.transformClient === b.transformClient &&
  sameEntries(a.credential, b.credential) && sameEntries(a.timeouts, b.timeouts) && sameEntries(a.headers, b.headers)

const sameEntries = (a: object, b: object): boolean => {
  const left = Object.entries(a)
  const right = new Map(Object.entries(b))
  return left.length === right.size && left.every(([key, value]) => Equal.equals(value, right.get(key)))
}

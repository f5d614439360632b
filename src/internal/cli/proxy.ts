/** The proxy that the environment names. Node's `fetch` ignores it unless told otherwise. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Http from "node:http"
import { UsageError } from "./failure.ts"

const variable = (name: string) => Config.string(name).pipe(Config.withDefault(""))

const first = (...names: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(names, variable), (values) => values.find((value) => value !== "") ?? "")

const proxies = Effect.all({
  https: first("https_proxy", "HTTPS_PROXY"),
  http: first("http_proxy", "HTTP_PROXY"),
  except: first("no_proxy", "NO_PROXY"),
  /** Node reads the variables itself. */
  builtIn: first("NODE_USE_ENV_PROXY")
}).pipe(Effect.orDie)

/** Added in Node 24.14. */
const setGlobalProxy: unknown = Reflect.get(Http, "setGlobalProxyFromEnv")

/** As curl reads it: without a scheme it is an HTTP proxy. */
const addressOf = (name: string, text: string): Effect.Effect<string, UsageError> => {
  const address = text === "" || text.includes("://") ? text : `http://${text}`
  return address === "" || URL.canParse(address)
    ? Effect.succeed(address)
    : new UsageError({ message: `${name}: must be an address such as http://proxy.example:8080` })
}

/** Sends requests through the proxy of the environment, if this Node can. Local Dust is reached directly. */
export const useProxy: Effect.Effect<void, UsageError> = Effect.gen(function*() {
  const { builtIn, except, http, https } = yield* proxies
  if ((https === "" && http === "") || builtIn === "1" || !Predicate.isFunction(setGlobalProxy)) return
  const settings = {
    HTTPS_PROXY: yield* addressOf("HTTPS_PROXY", https),
    HTTP_PROXY: yield* addressOf("HTTP_PROXY", http),
    NO_PROXY: [except, "localhost", "127.0.0.1", "::1"].filter((part) => part !== "").join(",")
  }
  yield* Effect.try({
    try: () => setGlobalProxy(settings),
    catch: () => new UsageError({ message: "HTTPS_PROXY: this version of Node does not support this kind of proxy" })
  })
})

/** The remedy for a failed connection, if a proxy is set that this process does not use. */
export const proxyAdvice: Effect.Effect<string | undefined> = Effect.map(
  proxies,
  ({ builtIn, http, https }) =>
    (https === "" && http === "") || builtIn === "1" || Predicate.isFunction(setGlobalProxy)
      ? undefined
      : "a proxy is set, but this version of Node uses it only with NODE_USE_ENV_PROXY=1 (Node 22.21 or later)"
)

import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigError, ConfigProvider, Duration, Effect, Either, Layer, Option, Redacted } from "effect"
import { Chat } from "effect-dust/Chat"
import * as Dust from "effect-dust/Dust"
import { DustClient } from "effect-dust/DustClient"
import * as DustConfig from "effect-dust/DustConfig"
import * as RetryPolicy from "effect-dust/RetryPolicy"
import { inspect } from "node:util"

const key = "sk-averysecretkey"
const apiKey = Redacted.make(key)
const base: DustConfig.ApiKeyOptions = { workspaceId: "ws1", apiKey }

const read = (layer: Layer.Layer<DustConfig.DustConfig, ConfigError.ConfigError>) =>
  DustConfig.DustConfig.pipe(Effect.provide(layer))

/** The path and the message of the error. */
const problem = (layer: Layer.Layer<DustConfig.DustConfig, ConfigError.ConfigError>) =>
  Effect.map(Effect.flip(read(layer)), (error) => {
    assert.isTrue(ConfigError.isConfigError(error))
    if (error._op !== "InvalidData" && error._op !== "MissingData") return assert.fail(error._op)
    return { op: error._op, path: error.path.join("."), message: error.message, error }
  })

const env = (variables: Record<string, string>) =>
  DustConfig.layerEnv.pipe(
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)))))
  )

const full = { DUST_WORKSPACE_ID: "ws1", DUST_API_KEY: key }

describe("DustConfig.layer", () => {
  it.effect("has defaults: the US region, the standard policy, and limits that fit it", () =>
    Effect.gen(function*() {
      const config = yield* read(DustConfig.layer(base))
      assert.strictEqual(config.workspaceId, "ws1")
      assert.strictEqual(config.baseUrl, "https://dust.tt")
      assert.strictEqual(config.retry, RetryPolicy.standard)
      assert.deepStrictEqual(config.headers, {})
      assert.deepStrictEqual(
        Object.fromEntries(Object.entries(config.timeouts).map(([name, value]) => [name, Duration.toSeconds(value)])),
        { headers: 60, body: 60, idle: 90, total: 240 }
      )
    }))

  it.effect("finds the region, and normalises a base URL with a path prefix", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* read(DustConfig.layer({ ...base, region: "eu" }))).baseUrl, "https://eu.dust.tt")
      for (
        const [given, expected] of [
          ["http://127.0.0.1:3000", "http://127.0.0.1:3000"],
          ["https://proxy.example/dust/", "https://proxy.example/dust"],
          ["  https://proxy.example//  ", "https://proxy.example"],
          [new URL("https://proxy.example/a/b"), "https://proxy.example/a/b"]
        ] as const
      ) {
        assert.strictEqual((yield* read(DustConfig.layer({ ...base, baseUrl: given }))).baseUrl, expected)
      }
    }))

  it.effect("follows the retry policy and the other limits with the total one", () =>
    Effect.gen(function*() {
      const patient = yield* read(DustConfig.layer({ ...base, retry: RetryPolicy.patient }))
      assert.strictEqual(Duration.toMinutes(patient.timeouts.total), 17)
      const own = yield* read(
        DustConfig.layer({
          ...base,
          timeouts: { headers: "1 second", body: 2000, idle: "3 seconds", total: "1 minute" }
        })
      )
      assert.deepStrictEqual(Object.values(own.timeouts).map(Duration.toSeconds).sort((a, b) => a - b), [1, 2, 3, 60])
    }))

  const wiped = Redacted.make("sk-wiped")
  Redacted.unsafeWipe(wiped)

  const bad: ReadonlyArray<readonly [string, Partial<Record<string, unknown>>, string, "InvalidData" | "MissingData"]> =
    [
      ["a workspace id from an unset variable", { workspaceId: undefined }, "workspaceId", "MissingData"],
      ["a workspace id that is not text", { workspaceId: 12 }, "workspaceId", "InvalidData"],
      ["a key from an unset variable", { apiKey: Redacted.make(undefined) }, "apiKey", "MissingData"],
      ["a key that is not Redacted", { apiKey: "sk-plain" }, "apiKey", "InvalidData"],
      ["a key that was wiped", { apiKey: wiped }, "apiKey", "InvalidData"],
      [
        "a token that is neither Redacted nor an Effect",
        { apiKey: undefined, accessToken: "a.b.c" },
        "accessToken",
        "InvalidData"
      ],
      ["a header from an unset variable", { headers: { "x-a": undefined } }, "headers.x-a", "InvalidData"],
      ["a header that was wiped", { headers: { "x-a": wiped } }, "headers.x-a", "InvalidData"],
      ["a blank workspace id", { workspaceId: " \t" }, "workspaceId", "MissingData"],
      ["a workspace id with a slash", { workspaceId: "a/b" }, "workspaceId", "InvalidData"],
      ["a workspace id of dots", { workspaceId: ".." }, "workspaceId", "InvalidData"],
      ["an API key as workspace id", { workspaceId: key }, "workspaceId", "InvalidData"],
      ["a blank key", { apiKey: Redacted.make("  ") }, "apiKey", "MissingData"],
      ["a key with a line break inside", { apiKey: Redacted.make("sk-a\r\nb") }, "apiKey", "InvalidData"],
      ["a key that is not ASCII", { apiKey: Redacted.make("sk-é") }, "apiKey", "InvalidData"],
      ["no credential", { apiKey: undefined }, "apiKey", "MissingData"],
      ["both credentials", { accessToken: Redacted.make("a.b.c") }, "apiKey", "InvalidData"],
      ["a blank token", { apiKey: undefined, accessToken: Redacted.make("") }, "accessToken", "MissingData"],
      ["a token with a space", { apiKey: undefined, accessToken: Redacted.make("a b") }, "accessToken", "InvalidData"],
      ["a user's token as key", { apiKey: Redacted.make("eyJh.b.c") }, "apiKey", "InvalidData"],
      ["an API key as access token", { apiKey: undefined, accessToken: apiKey }, "accessToken", "InvalidData"],
      ["an unknown region", { region: "mars" }, "region", "InvalidData"],
      ["region and base URL", { region: "us", baseUrl: "https://x.example" }, "baseUrl", "InvalidData"],
      ["a blank base URL", { baseUrl: " " }, "baseUrl", "MissingData"],
      ["a relative base URL", { baseUrl: "dust.tt" }, "baseUrl", "InvalidData"],
      ["an ftp base URL", { baseUrl: "ftp://dust.tt" }, "baseUrl", "InvalidData"],
      ["a file base URL", { baseUrl: "file:///etc" }, "baseUrl", "InvalidData"],
      ["a base URL with credentials", { baseUrl: "https://me:hunter2@dust.tt" }, "baseUrl", "InvalidData"],
      ["a base URL with a query", { baseUrl: "https://dust.tt/?a=1" }, "baseUrl", "InvalidData"],
      ["a base URL with a fragment", { baseUrl: "https://dust.tt/#a" }, "baseUrl", "InvalidData"],
      ["a header that is not Latin-1", { headers: { "x-a": "日本" } }, "headers.x-a", "InvalidData"],
      ["a header with a line break", { headers: { "x-a": "1\r\nx-b: 2" } }, "headers.x-a", "InvalidData"],
      [
        "a secret header with a line break",
        { headers: { "x-a": Redacted.make("1\n2") } },
        "headers.x-a",
        "InvalidData"
      ],
      ["a header name with a space", { headers: { "x a": "1" } }, "headers.x a", "InvalidData"],
      ["an empty header name", { headers: { "": "1" } }, "headers.", "InvalidData"],
      ["an authorization header", { headers: { Authorization: "x" } }, "headers.Authorization", "InvalidData"],
      ["a headers limit of zero", { timeouts: { headers: 0 } }, "timeouts.headers", "InvalidData"],
      ["a negative body limit", { timeouts: { body: -1 } }, "timeouts.body", "InvalidData"],
      ["an idle limit that is not a number", { timeouts: { idle: Number.NaN } }, "timeouts.idle", "InvalidData"],
      ["a total limit that is not a duration", { timeouts: { total: "soon" } }, "timeouts.total", "InvalidData"]
    ]

  it.effect.each(bad)("refuses %s, and names it", ([, change, field, op]) =>
    Effect.gen(function*() {
      const found = yield* problem(DustConfig.layer({ ...base, ...change } as DustConfig.Options))
      assert.deepStrictEqual([found.path, found.op], [field, op])
      assert.match(found.message, /^must be /)
    }))

  it.effect("takes headers in any case, with whatever Latin-1 they carry", () =>
    Effect.gen(function*() {
      const { headers } = yield* read(DustConfig.layer({ ...base, headers: { "X-Name": "Caf\u00e9\tau lait \u00ff" } }))
      assert.deepStrictEqual(Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)]), [
        ["x-name", "Caf\u00e9\tau lait \u00ff"]
      ])
      for (const control of ["\u0000", "\u001b", "\u007f"]) {
        const found = yield* problem(DustConfig.layer({ ...base, headers: { "x-a": `a${control}b` } }))
        assert.strictEqual(found.path, "headers.x-a")
      }
    }))

  it.effect("takes a token that is an Effect without running it", () =>
    Effect.gen(function*() {
      let ran = 0
      const config = yield* read(DustConfig.layer({
        workspaceId: "ws1",
        accessToken: Effect.sync(() => {
          ran++
          return Redacted.make("t")
        })
      }))
      assert.strictEqual(config.credential._tag, "AccessToken")
      assert.strictEqual(ran, 0)
    }))

  it.effect("trims a credential that was pasted with its line break", () =>
    Effect.gen(function*() {
      const { credential } = yield* read(DustConfig.layer({ ...base, apiKey: Redacted.make(`  ${key}\n`) }))
      assert.strictEqual(credential._tag === "ApiKey" ? Redacted.value(credential.apiKey) : "", key)
    }))

  it.effect("Secrets stay: neither the configuration nor its errors show them", () =>
    Effect.gen(function*() {
      const secrets = [key, "hunter2", "header-secret", "tok en"]
      const shown: Array<unknown> = []
      const ok = yield* read(DustConfig.layer({ ...base, headers: { "x-a": "header-secret" } }))
      shown.push(ok)
      for (
        const options of [
          { ...base, baseUrl: "https://me:hunter2@dust.tt" },
          { ...base, accessToken: Redacted.make("tok en") },
          { workspaceId: "ws1", accessToken: Redacted.make("tok en") },
          { workspaceId: "ws1", accessToken: apiKey },
          { workspaceId: key, apiKey },
          { workspaceId: "ws1", apiKey: Redacted.make(`${key}\n${key}`) },
          { ...base, headers: { "x-a": Redacted.make("header-secret\n") } },
          { ...base, headers: { authorization: "header-secret" } }
        ]
      ) {
        shown.push(yield* Effect.flip(read(DustConfig.layer(options as DustConfig.Options))))
      }
      for (const one of shown) {
        const text = [inspect(one, { depth: 20 }), JSON.stringify(one), String(one)].join("\n")
        for (const secret of secrets) assert.notInclude(text, secret)
      }
    }))

  it("check gives the same without a layer", () => {
    assert.isTrue(Either.isRight(DustConfig.check(base)))
    assert.isTrue(Either.isLeft(DustConfig.check({ ...base, workspaceId: "" })))
  })
})

describe("DustConfig.layerConfig", () => {
  it.effect("reads every option through the ConfigProvider", () =>
    Effect.gen(function*() {
      const config = yield* read(
        DustConfig.layerConfig({
          workspaceId: Config.string("W"),
          accessToken: Config.redacted("T"),
          region: Config.string("R"),
          headers: Config.map(Config.string("H"), (value) => ({ "X-H": value })),
          timeouts: Config.map(Config.duration("D"), (total) => ({ total })),
          retry: RetryPolicy.none
        }).pipe(
          Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(
            new Map([["W", "ws2"], ["T", "a.b.c"], ["R", "eu"], ["H", "h"], ["D", "9 seconds"]])
          )))
        )
      )
      assert.deepStrictEqual([config.workspaceId, config.baseUrl], ["ws2", "https://eu.dust.tt"])
      assert.strictEqual(config.credential._tag, "AccessToken")
      assert.strictEqual(Redacted.value(config.headers["x-h"] ?? Redacted.make("")), "h")
      assert.strictEqual(Duration.toSeconds(config.timeouts.total), 9)
      assert.strictEqual(config.retry, RetryPolicy.none)
    }))

  it.effect("fails with the name of the missing variable, and validates the values", () =>
    Effect.gen(function*() {
      const layer = (values: ReadonlyArray<readonly [string, string]>) =>
        DustConfig.layerConfig({
          workspaceId: Config.string("W"),
          apiKey: Config.redacted("K"),
          baseUrl: Config.map(Config.option(Config.string("B")), Option.getOrUndefined)
        }).pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(values)))))
      assert.strictEqual((yield* problem(layer([["W", "ws1"]]))).path, "K")
      assert.strictEqual((yield* problem(layer([["W", "ws1"], ["K", key], ["B", "nowhere"]]))).path, "baseUrl")
      assert.strictEqual((yield* problem(layer([["W", ""], ["K", key]]))).path, "workspaceId")
    }))
})

describe("Dust.layerConfig", () => {
  it.effect("gives every service, with the configuration that was read", () =>
    Effect.gen(function*() {
      const { config } = yield* DustClient
      assert.deepStrictEqual([config.workspaceId, config.baseUrl], ["ws2", "https://dust.tt"])
      assert.isFunction((yield* Chat).send)
    }).pipe(Effect.provide(
      Dust.layerConfig({ workspaceId: Config.string("W"), apiKey: Config.redacted("K") }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["W", "ws2"], ["K", key]]))))
      )
    )))
})

describe("DustConfig.layerEnv", () => {
  it.effect("reads the variables", () =>
    Effect.gen(function*() {
      const config = yield* read(env({ ...full, DUST_REGION: "eu", DUST_TIMEOUT: "30 seconds" }))
      assert.deepStrictEqual([config.workspaceId, config.baseUrl], ["ws1", "https://eu.dust.tt"])
      assert.strictEqual(config.credential._tag, "ApiKey")
      assert.strictEqual(Duration.toSeconds(config.timeouts.total), 30)
      const other = yield* read(
        env({
          DUST_WORKSPACE_ID: "ws1",
          DUST_ACCESS_TOKEN: "a.b.c",
          DUST_BASE_URL: "http://localhost:1/x",
          DUST_TIMEOUT: "1500"
        })
      )
      assert.strictEqual(other.credential._tag, "AccessToken")
      assert.strictEqual(other.baseUrl, "http://localhost:1/x")
      assert.strictEqual(Duration.toMillis(other.timeouts.total), 1500)
    }))

  it.effect("DustConfig.layerEnv: accepts one credential beside a blank one", () =>
    Effect.gen(function*() {
      const config = yield* read(env({ ...full, DUST_ACCESS_TOKEN: " " }))
      assert.strictEqual(config.credential._tag, "ApiKey")
    }))

  const bad: ReadonlyArray<readonly [string, Record<string, string>, string, RegExp]> = [
    ["no workspace id", { DUST_API_KEY: key }, "DUST_WORKSPACE_ID", /after \/w\//],
    ["a blank workspace id", { ...full, DUST_WORKSPACE_ID: " " }, "DUST_WORKSPACE_ID", /after \/w\//],
    ["a malformed workspace id", { ...full, DUST_WORKSPACE_ID: "a b" }, "DUST_WORKSPACE_ID", /letters/],
    ["no credential", { DUST_WORKSPACE_ID: "ws1" }, "DUST_API_KEY", /DUST_ACCESS_TOKEN/],
    ["a blank key", { ...full, DUST_API_KEY: "" }, "DUST_API_KEY", /DUST_ACCESS_TOKEN/],
    ["a malformed key", { ...full, DUST_API_KEY: "sk-\u0001" }, "DUST_API_KEY", /letters/],
    [
      "both credentials",
      { ...full, DUST_ACCESS_TOKEN: "a.b" },
      "DUST_API_KEY",
      /omitted, because DUST_ACCESS_TOKEN is set/
    ],
    [
      "an API key as access token",
      { DUST_WORKSPACE_ID: "ws1", DUST_ACCESS_TOKEN: key },
      "DUST_ACCESS_TOKEN",
      /pass it as DUST_API_KEY/
    ],
    ["an unknown region", { ...full, DUST_REGION: "mars" }, "DUST_REGION", /us or eu/],
    ["a blank region", { ...full, DUST_REGION: " " }, "DUST_REGION", /blank/],
    ["a blank base URL", { ...full, DUST_BASE_URL: "" }, "DUST_BASE_URL", /blank/],
    ["a blank limit", { ...full, DUST_TIMEOUT: "" }, "DUST_TIMEOUT", /blank/],
    ["a user's token as key", { ...full, DUST_API_KEY: "eyJh.b.c" }, "DUST_API_KEY", /pass .* as DUST_ACCESS_TOKEN/],
    ["a region named like a field", { ...full, DUST_REGION: "apiKey" }, "DUST_REGION", /got "apiKey"/],
    ["a region named like nothing", { ...full, DUST_REGION: "constructor" }, "DUST_REGION", /"constructor"/],
    ["region and base URL", { ...full, DUST_REGION: "us", DUST_BASE_URL: "http://x" }, "DUST_BASE_URL", /DUST_REGION/],
    ["a malformed base URL", { ...full, DUST_BASE_URL: "dust.tt" }, "DUST_BASE_URL", /http/],
    ["a malformed limit", { ...full, DUST_TIMEOUT: "soon" }, "DUST_TIMEOUT", /30 seconds/],
    ["a limit of zero", { ...full, DUST_TIMEOUT: "0" }, "DUST_TIMEOUT", /longer than zero/],
    ["a negative limit", { ...full, DUST_TIMEOUT: "-5 seconds" }, "DUST_TIMEOUT", /duration/]
  ]

  it.effect.each(bad)("refuses %s, and names the variable", ([, variables, name, says]) =>
    Effect.gen(function*() {
      const found = yield* problem(env(variables))
      assert.strictEqual(found.path, name)
      assert.match(found.message, says)
      assert.notInclude(inspect(found.error, { depth: 20 }), key)
    }))
})

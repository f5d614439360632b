/** The credential of a call: which calls share one, and when a token is obtained anew. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, Equal, Fiber, Hash, Redacted, TestClock } from "effect"
import type { TokenEffect } from "effect-dust/DustConfig"
import {
  type CallCredential,
  Caller,
  makeCallers,
  type Tokens,
  UnusableCaller
} from "../../src/internal/request/credential.ts"

const secret = (text: string) => Redacted.make(text)
const exchange = { refresh: () => Effect.never }
const ownKey = { _tag: "ApiKey", apiKey: secret("sk-own") } as const

const callersWith = Effect.gen(function*() {
  return makeCallers(
    { workspaceId: "own", credential: ownKey },
    exchange,
    yield* Effect.scope,
    yield* Effect.runtime<never>()
  )
})

const tokensOf = (accessToken: TokenEffect | Redacted.Redacted<string>) =>
  Effect.map(callersWith, (callers) => Either.getOrThrow(callers.of({ accessToken })).tokens)

const text = ({ current }: Tokens) => Effect.merge(Effect.map(current, Redacted.value)) as Effect.Effect<unknown>

describe("the caller of a request", () => {
  it.scoped("is that of the client, or the one of the call, in its workspace or that of the client", () =>
    Effect.gen(function*() {
      const callers = yield* callersWith
      const of = (given: CallCredential | undefined) => Either.merge(callers.of(given))
      const shown = (given: CallCredential | undefined) => {
        const caller = of(given)
        return caller instanceof Caller ? [caller.workspaceId, caller.credential._tag, caller.hasUser] : caller
      }
      assert.strictEqual(of(undefined), callers.own)
      assert.deepStrictEqual(shown(undefined), ["own", "ApiKey", false])
      assert.deepStrictEqual(shown({ apiKey: secret("sk-x") }), ["own", "ApiKey", false])
      assert.deepStrictEqual(shown({ accessToken: secret("t"), workspaceId: " other " }), [
        "other",
        "AccessToken",
        true
      ])
      assert.propertyVal(of({}), "field", "apiKey")
      assert.propertyVal(of({ apiKey: secret("sk-x"), workspaceId: "a/b" }), "field", "workspaceId")
      const given = { apiKey: secret("sk-x") }
      assert.strictEqual(of(given), of(given))
      const wrong = {}
      assert.strictEqual(of(wrong), of(wrong))
    }))

  it.scoped("is equal for the same credential in the same workspace", () =>
    Effect.gen(function*() {
      const callers = yield* callersWith
      const of = (given: CallCredential) => Either.getOrThrow(callers.of(given))
      const token: TokenEffect = Effect.sync(() => secret("t"))
      const other: TokenEffect = Effect.sync(() => secret("t"))
      const equal = (a: CallCredential, b: CallCredential) => {
        const [one, two] = [of(a), of(b)]
        if (Equal.equals(one, two)) assert.strictEqual(Hash.hash(one), Hash.hash(two))
        return Equal.equals(one, two)
      }
      assert.isTrue(equal({ apiKey: secret("sk-x") }, { apiKey: secret("sk-x") }))
      assert.isTrue(equal({ apiKey: secret("sk-own") }, { apiKey: secret("sk-own"), workspaceId: "own" }))
      assert.isFalse(equal({ apiKey: secret("sk-x") }, { apiKey: secret("sk-y") }))
      assert.isFalse(equal({ apiKey: secret("sk-x") }, { apiKey: secret("sk-x"), workspaceId: "other" }))
      assert.isTrue(equal({ accessToken: token }, { accessToken: token }))
      assert.isFalse(equal({ accessToken: token }, { accessToken: other }))
      assert.isTrue(Equal.equals(of({ apiKey: secret("sk-own") }), callers.own))
      assert.isFalse(Equal.equals(callers.own, new UnusableCaller(undefined)))
      // Of one source there is one token, whatever calls use it.
      const one = of({ accessToken: token }).tokens
      assert.strictEqual(of({ accessToken: token, workspaceId: "other" }).tokens, one)
      assert.notStrictEqual(of({ accessToken: other }).tokens, one)
    }))

  it("is equal to nothing but itself if its credential cannot be used", () => {
    const one = new UnusableCaller({ accessToken: secret("") })
    const two = new UnusableCaller({ apiKey: secret("") })
    assert.deepStrictEqual([one.workspaceId, one.hasUser, two.hasUser], ["", true, false])
    assert.isFalse(new UnusableCaller(undefined).hasUser)
    assert.isTrue(Equal.equals(one, one))
    assert.isFalse(Equal.equals(one, new UnusableCaller({ accessToken: secret("") })))
    assert.strictEqual(Hash.hash(one), Hash.hash(one))
    assert.notStrictEqual(Hash.hash(one), Hash.hash(two))
  })
})

describe("a token that is given", () => {
  it.scoped("is ready, and is never renewed", () =>
    Effect.gen(function*() {
      const tokens = yield* tokensOf(secret("given"))
      assert.strictEqual(Redacted.value(tokens.ready()!), "given")
      assert.strictEqual(yield* text(tokens), "given")
      tokens.forget("given")
      assert.isFalse(yield* tokens.renew(tokens.ready()!))
      assert.strictEqual(yield* text(tokens), "given")
    }))

  it.scoped("is none once it was wiped", () =>
    Effect.gen(function*() {
      const callers = yield* callersWith
      const { credential, tokens } = Either.getOrThrow(callers.of({ accessToken: secret("given") }))
      Redacted.unsafeWipe((credential as { readonly accessToken: Redacted.Redacted<string> }).accessToken)
      assert.strictEqual(tokens.ready(), undefined)
      assert.deepStrictEqual(yield* text(tokens), { _tag: "MalformedToken" })
    }))
})

describe("a token that is obtained", () => {
  /** Each run gives the next token. */
  const source = (...all: ReadonlyArray<unknown>) => {
    const counts = { runs: 0 }
    const token = Effect.suspend(() => {
      const next = all[Math.min(counts.runs++, all.length - 1)]
      return Effect.isEffect(next)
        ? next as TokenEffect
        : Effect.succeed(Redacted.make(next) as Redacted.Redacted<string>)
    })
    return { counts, token }
  }

  it.scoped("is obtained once for all calls, when one of them needs it", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { counts, token } = source(Effect.as(Deferred.await(gate), secret("one")))
      const tokens = yield* tokensOf(token)
      assert.deepStrictEqual([tokens.ready(), counts.runs], [undefined, 0])
      const calls = yield* Effect.fork(Effect.all([text(tokens), text(tokens)], { concurrency: 2 }))
      const left = yield* Effect.fork(text(tokens))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      // A call that is interrupted does not take the token away from the others.
      yield* Fiber.interrupt(left)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(calls), ["one", "one"])
      assert.strictEqual(yield* text(tokens), "one")
      assert.strictEqual(Redacted.value(tokens.ready()!), "one")
      assert.strictEqual(counts.runs, 1)
    }))

  it.scoped("is kept by the call that obtained it alone, although it was interrupted", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const { counts, token } = source(
        Effect.as(Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(gate)), secret("one"))
      )
      const tokens = yield* tokensOf(token)
      const call = yield* Effect.fork(text(tokens))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(call)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* text(tokens), "one")
      assert.strictEqual(counts.runs, 1)
    }))

  it.scoped("is renewed unless it was renewed already", () =>
    Effect.gen(function*() {
      const { counts, token } = source("one", "two", "three")
      const tokens = yield* tokensOf(token)
      yield* tokens.current
      const first = tokens.ready()!
      assert.isTrue(yield* tokens.renew(first))
      assert.isTrue(yield* tokens.renew(first))
      assert.deepStrictEqual([yield* text(tokens), counts.runs], ["two", 2])
      tokens.forget("one")
      assert.strictEqual(yield* text(tokens), "two")
      tokens.forget("two")
      assert.strictEqual(tokens.ready(), undefined)
      tokens.forget("two")
      assert.deepStrictEqual([yield* text(tokens), counts.runs], ["three", 3])
    }))

  it.scoped("is a copy, without white space around it", () =>
    Effect.gen(function*() {
      const theirs = secret(" one\n")
      const tokens = yield* tokensOf(Effect.succeed(theirs))
      yield* tokens.current
      Redacted.unsafeWipe(theirs)
      assert.strictEqual(yield* text(tokens), "one")
    }))

  it.scoped("is none if it cannot be a header", () =>
    Effect.gen(function*() {
      const malformed = ["", " ", "a b", "a\nb", "\u00e9", "a".repeat(8_193), 7, undefined]
      for (const wrong of malformed) {
        const { token } = source(wrong)
        assert.deepStrictEqual(yield* text(yield* tokensOf(token)), { _tag: "MalformedToken" }, String(wrong))
      }
      assert.deepStrictEqual(yield* text(yield* tokensOf(Effect.succeed("plain" as never))), { _tag: "MalformedToken" })
      const longest = `!${"~".repeat(8_191)}`
      assert.strictEqual(yield* text(yield* tokensOf(Effect.succeed(secret(longest)))), longest)
    }))

  it.scoped("is asked for again after a failure of any kind", () =>
    Effect.gen(function*() {
      const { counts, token } = source(Effect.fail("no"), Effect.die("broken"), Effect.interrupt, "one")
      const tokens = yield* tokensOf(token)
      assert.strictEqual(yield* text(tokens), "no")
      assert.strictEqual(yield* text(tokens), "broken")
      assert.propertyVal(yield* text(tokens), "_tag", "InterruptedException")
      assert.deepStrictEqual([tokens.ready(), yield* text(tokens), counts.runs], [undefined, "one", 4])
    }))

  it.scoped("is given up after five minutes, also if its source cannot be interrupted", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const { counts, token } = source(
        Effect.uninterruptible(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)),
        "one"
      )
      const tokens = yield* tokensOf(token)
      const call = yield* Effect.fork(text(tokens))
      yield* Deferred.await(begun)
      for (let i = 0; i < 10; i++) yield* Effect.yieldNow()
      yield* TestClock.adjust("299999 millis")
      assert.strictEqual(call.unsafePoll(), null)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(call), { _tag: "TokenTimeout" })
      assert.deepStrictEqual([yield* text(tokens), counts.runs], ["one", 2])
    }))
})

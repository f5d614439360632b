/** Responses in the form used for comparison. */

export type AnswerBody =
  | { readonly _tag: "json"; readonly value: unknown }
  | { readonly _tag: "text" }
  | { readonly _tag: "nothing" }
  | {
    readonly _tag: "events"
    /** The events of each kind, in their order. */
    readonly kinds: ReadonlyMap<string, ReadonlyArray<unknown>>
    /** Whether the stream was read to its end. */
    readonly isWhole: boolean
  }

export interface Answer {
  readonly status: number
  readonly location: string | undefined
  /** `undefined` if unknown. */
  readonly body: AnswerBody | undefined
}

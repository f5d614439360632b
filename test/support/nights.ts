/** The settings of one nightly job. */

export interface Night {
  readonly job: "sync" | "load"
  readonly url: string
  readonly workspaceId: string
  readonly apiKey: string
  readonly dataSourceId: string
  /** The first and the last + 1 of what the source has tonight. */
  readonly from: number
  readonly to: number
  /** The request during which the process is killed; none without it. */
  readonly killAt?: number
}

export function* documents(from: number, to: number, version: string) {
  for (let i = from; i < to; i++) yield { documentId: `doc-${i}`, text: `${version} ${i}` }
}

export function* rows(from: number, to: number, version: string) {
  for (let i = from; i < to; i++) yield { rowId: `row-${i}`, value: { n: i, version } }
}

/** Data sources: stored models and their API representation. */
import type { DataSourceSeed, DataSourceViewSeed, DocumentSeed, TableSeed } from "../../state/seed.ts"
import { slice, type World } from "../../state/state.ts"
import { spaces } from "../spaces.ts"

export interface LocalDocument {
  readonly documentId: string
  readonly created: number
  readonly title: string
  readonly mimeType: string
  readonly timestamp: number
  readonly tags: ReadonlyArray<string>
  parents: ReadonlyArray<string>
  readonly sourceUrl: string | null
  readonly text: string
  readonly hash: string
}

export interface LocalTable {
  readonly tableId: string
  readonly name: string
  readonly title: string
  readonly description: string
  readonly timestamp: number
  readonly tags: ReadonlyArray<string>
  readonly sourceUrl: string | null
  readonly rows: Map<string, Readonly<Record<string, unknown>>>
}

export interface LocalFolder {
  readonly folderId: string
  readonly title: string
  readonly timestamp: number
  readonly parents: ReadonlyArray<string>
}

export interface LocalDataSource {
  readonly id: number
  readonly sId: string
  readonly name: string
  readonly description: string | null
  readonly spaceId: string
  readonly createdAt: number
  readonly connectorProvider: string | null
  readonly documents: Map<string, LocalDocument>
  readonly tables: Map<string, LocalTable>
  readonly folders: Map<string, LocalFolder>
}

export interface LocalView {
  readonly id: number
  readonly sId: string
  readonly spaceId: string
  readonly dataSource: LocalDataSource
  readonly createdAt: number
  updatedAt: number
  parentsIn: ReadonlyArray<string> | null
}

interface DataSources {
  readonly byId: Map<string, LocalDataSource>
  readonly views: Map<string, LocalView>
  /** Times of document upserts with ordinary credentials within the last minute. */
  readonly upserts: Array<number>
}

const CHUNK = 512

/** The default data sources of a workspace. */
const sample: ReadonlyArray<DataSourceSeed> = [
  {
    sId: "dts_handbook",
    name: "handbook",
    description: "How we work",
    documents: [
      {
        documentId: "onboarding",
        title: "Onboarding",
        text: "On the first day everybody gets a laptop. In the first week everybody meets the whole team.",
        tags: ["people"],
        sourceUrl: "https://handbook.example.com/onboarding"
      },
      {
        documentId: "travel",
        title: "Travel",
        text: "Trains are booked in second class. Hotels are booked by the office.",
        tags: ["people", "money"],
        sourceUrl: "https://handbook.example.com/travel"
      }
    ]
  },
  { sId: "dts_wiki", name: "wiki", description: "Pages of the wiki", connectorProvider: "notion" }
]

export const hashOf = (text: string): string => {
  let a = 0x811c9dc5
  let b = 0x1000193
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 16777619)
    b = Math.imul(b ^ text.charCodeAt(i), 2246822507)
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0")
}

export const chunksOf = (text: string): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  for (let at = 0; at < text.length; at += CHUNK) chunks.push(text.slice(at, at + CHUNK))
  return chunks
}

const makeDocument = (world: World, seed: DocumentSeed): LocalDocument => ({
  documentId: seed.documentId,
  created: world.now(),
  title: seed.title ?? seed.documentId,
  mimeType: seed.mimeType ?? "application/octet-stream",
  timestamp: seed.timestamp ?? world.now(),
  tags: seed.tags ?? [],
  parents: [seed.documentId, ...(seed.parents ?? [])],
  sourceUrl: seed.sourceUrl ?? null,
  text: seed.text,
  hash: hashOf(seed.text)
})

const makeTable = (world: World, seed: TableSeed): LocalTable => ({
  tableId: seed.tableId ?? world.sId("tbl"),
  name: seed.name,
  title: seed.title ?? seed.name,
  description: seed.description ?? "",
  timestamp: world.now(),
  tags: [],
  sourceUrl: null,
  rows: new Map(Object.entries(seed.rows ?? {}))
})

const addView = (world: World, all: DataSources, dataSource: LocalDataSource, seed: DataSourceViewSeed): LocalView => {
  const view: LocalView = {
    id: world.numericId(),
    sId: seed.sId ?? world.sId("dsv"),
    spaceId: seed.spaceId,
    dataSource,
    createdAt: world.now(),
    updatedAt: world.now(),
    parentsIn: seed.parentsIn ?? null
  }
  all.views.set(view.sId, view)
  return view
}

const add = (world: World, all: DataSources, seed: DataSourceSeed): LocalDataSource => {
  const dataSource: LocalDataSource = {
    id: world.numericId(),
    sId: seed.sId ?? world.sId("dts"),
    name: seed.name,
    description: seed.description ?? null,
    spaceId: seed.spaceId ?? "vlt_global",
    createdAt: world.now(),
    connectorProvider: seed.connectorProvider ?? null,
    documents: new Map(
      (seed.documents ?? []).map((document) => [document.documentId, makeDocument(world, document)])
    ),
    tables: new Map((seed.tables ?? []).map((seed) => {
      const table = makeTable(world, seed)
      return [table.tableId, table]
    })),
    folders: new Map()
  }
  all.byId.set(dataSource.sId, dataSource)
  const own = seed.sId === undefined ? {} : { sId: seed.sId.replace(/^dts_/, "dsv_") }
  addView(world, all, dataSource, { ...own, spaceId: dataSource.spaceId })
  for (const view of seed.views ?? []) addView(world, all, dataSource, view)
  return dataSource
}

export const localDataSources: (world: World) => DataSources = slice("dataSources", (world): DataSources => {
  const all: DataSources = { byId: new Map(), views: new Map(), upserts: [] }
  for (const seed of world.seed.dataSources ?? sample) add(world, all, seed)
  return all
})

/** View nodes, for other domains. */
export const installDataSources = (world: World): void => {
  world.lookups.contentNode = (viewId, nodeId) => {
    const view = localDataSources(world).views.get(viewId)
    if (view === undefined) return undefined
    const { dataSource } = view
    const node = nodeOf(dataSource, nodeId)
    if (node === undefined || !isShown(view, node.parents)) return undefined
    return {
      ...node,
      provider: dataSource.connectorProvider,
      spaceName: spaces(world).byId.get(view.spaceId)?.name ?? ""
    }
  }
}

const nodeOf = (dataSource: LocalDataSource, nodeId: string): {
  readonly nodeType: "document" | "table" | "folder"
  readonly title: string
  readonly contentType: string
  readonly parents: ReadonlyArray<string>
} | undefined => {
  const document = dataSource.documents.get(nodeId)
  if (document !== undefined) {
    return { nodeType: "document", title: document.title, contentType: document.mimeType, parents: document.parents }
  }
  const table = dataSource.tables.get(nodeId)
  if (table !== undefined) {
    return { nodeType: "table", title: table.title, contentType: "text/csv", parents: [table.tableId] }
  }
  const folder = dataSource.folders.get(nodeId)
  return folder === undefined ? undefined : {
    nodeType: "folder",
    title: folder.title,
    contentType: "application/vnd.dust.folder",
    parents: folder.parents
  }
}

export const isShown = (view: LocalView, parents: ReadonlyArray<string>): boolean =>
  view.parentsIn === null || parents.some((parent) => view.parentsIn?.includes(parent) === true)

export const renderDataSource = (dataSource: LocalDataSource): Record<string, unknown> => ({
  id: dataSource.id,
  sId: dataSource.sId,
  createdAt: dataSource.createdAt,
  name: dataSource.name,
  description: dataSource.description,
  assistantDefaultSelected: false,
  dustAPIProjectId: "1",
  dustAPIDataSourceId: String(dataSource.id),
  connectorId: dataSource.connectorProvider === null ? null : String(dataSource.id),
  connectorProvider: dataSource.connectorProvider,
  editedByUser: null
})

export const renderView = (view: LocalView): Record<string, unknown> => ({
  id: view.id,
  sId: view.sId,
  category: view.dataSource.connectorProvider === null
    ? "folder"
    : view.dataSource.connectorProvider === "webcrawler"
    ? "website"
    : "managed",
  kind: view.parentsIn === null ? "default" : "custom",
  parentsIn: view.parentsIn,
  spaceId: view.spaceId,
  dataSource: renderDataSource(view.dataSource),
  createdAt: view.createdAt,
  updatedAt: view.updatedAt,
  editedByUser: null
})

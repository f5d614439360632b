/** Where a source file can be changed by one small mistake, and the file with all of them switched by number. */
import ts from "typescript"

export interface Site {
  readonly line: number
  readonly kind: string
  readonly before: string
  readonly after: string
  /** The range that `replacement` takes the place of, for the file with this change alone. */
  readonly start: number
  readonly end: number
  readonly replacement: string
}

/** A change of one node: the text that takes its place, and what is printed of it. */
interface Change {
  readonly kind: string
  readonly text: string
}

const swapped: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.LessThanToken, "<="],
  [ts.SyntaxKind.LessThanEqualsToken, "<"],
  [ts.SyntaxKind.GreaterThanToken, ">="],
  [ts.SyntaxKind.GreaterThanEqualsToken, ">"],
  [ts.SyntaxKind.EqualsEqualsEqualsToken, "!=="],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken, "==="],
  [ts.SyntaxKind.PlusToken, "-"],
  [ts.SyntaxKind.MinusToken, "+"],
  [ts.SyntaxKind.AsteriskToken, "/"],
  [ts.SyntaxKind.SlashToken, "*"],
  [ts.SyntaxKind.AmpersandAmpersandToken, "||"],
  [ts.SyntaxKind.BarBarToken, "&&"]
])

const methods: ReadonlyMap<string, string> = new Map([
  ["min", "max"],
  ["max", "min"],
  ["some", "every"],
  ["every", "some"],
  ["startsWith", "endsWith"],
  ["endsWith", "startsWith"]
])

const isCondition = (node: ts.Node): boolean => {
  const parent = node.parent
  return (ts.isIfStatement(parent) && parent.expression === node) ||
    (ts.isConditionalExpression(parent) && parent.condition === node) ||
    (ts.isWhileStatement(parent) && parent.expression === node)
}

const without = (file: ts.SourceFile, nodes: ReadonlyArray<ts.Node>, left: number): string =>
  nodes.filter((_, index) => index !== left).map((node) => node.getText(file)).join(", ")

/** Strings that are keys, paths of modules or types are not values. */
const isValue = (node: ts.Node): boolean => {
  const parent = node.parent
  return !ts.isImportDeclaration(parent) && !ts.isExportDeclaration(parent) && !ts.isLiteralTypeNode(parent) &&
    !("name" in parent && parent.name === node) && !ts.isTaggedTemplateExpression(parent)
}

const literal = (file: ts.SourceFile, node: ts.Node): ReadonlyArray<Change> => {
  if (node.parent === undefined || !isValue(node)) return []
  if (ts.isNumericLiteral(node)) {
    return [{ kind: "number", text: String(Number(node.text.replaceAll("_", "")) + 1) }]
  }
  if (node.kind === ts.SyntaxKind.TrueKeyword) return [{ kind: "boolean", text: "false" }]
  if (node.kind === ts.SyntaxKind.FalseKeyword) return [{ kind: "boolean", text: "true" }]
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
    return [{ kind: "string", text: node.text === "" ? "\"mutant\"" : "\"\"" }]
  }
  if (ts.isTemplateExpression(node) && !ts.isTaggedTemplateExpression(node.parent)) {
    return [{ kind: "string", text: "\"\"" }]
  }
  if (ts.isArrayLiteralExpression(node) && node.elements.length > 0) {
    return node.elements.map((_, index) => ({ kind: "element", text: `[${without(file, node.elements, index)}]` }))
  }
  if (ts.isObjectLiteralExpression(node)) {
    return node.properties.map((_, index) => ({
      kind: "member",
      text: `({ ${without(file, node.properties, index)} })`
    }))
  }
  return []
}

const call = (file: ts.SourceFile, node: ts.CallExpression): ReadonlyArray<Change> => {
  const callee = node.expression.getText(file)
  const args = node.arguments
  const changes: Array<Change> = []
  if (ts.isPropertyAccessExpression(node.expression)) {
    const name = node.expression.name.text
    const other = methods.get(name)
    const rest = args.map((argument) => argument.getText(file)).join(", ")
    if (other !== undefined) {
      changes.push({ kind: "method", text: `${node.expression.expression.getText(file)}.${other}(${rest})` })
    }
    // A step of a pipe.
    if (name === "pipe" && args.length > 1) {
      args.forEach((_, index) => changes.push({ kind: "step", text: `${callee}(${without(file, args, index)})` }))
    } else if (name === "pipe") {
      changes.push({ kind: "step", text: node.expression.expression.getText(file) })
    }
  }
  if (callee === "pipe" && args.length > 2) {
    args.forEach((_, index) => {
      if (index > 0) changes.push({ kind: "step", text: `pipe(${without(file, args, index)})` })
    })
  }
  const [only] = args
  // An error of the SDK is an Effect that fails with it.
  if (args.length === 1 && only !== undefined && !ts.isSpreadElement(only) && !/^(?:pipe|Effect\.fail)$/.test(callee)) {
    changes.push({ kind: "call", text: `(${only.getText(file)})` })
  }
  return changes
}

const changesOf = (file: ts.SourceFile, node: ts.Node): ReadonlyArray<Change> => {
  if (insideChain(node)) return []
  const text = node.getText(file)
  const changes: Array<Change> = [...literal(file, node)]
  if (ts.isExpression(node) && isCondition(node)) {
    changes.push({ kind: "negated", text: `!(${text})` }, { kind: "never", text: "false" })
  }
  if (ts.isBinaryExpression(node)) {
    const left = node.left.getText(file)
    const other = swapped.get(node.operatorToken.kind)
    if (other !== undefined) changes.push({ kind: "operator", text: `(${left} ${other} ${node.right.getText(file)})` })
    if (node.operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken) changes.push({ kind: "default", text: left })
  }
  if (ts.isConditionalExpression(node)) {
    changes.push({ kind: "arm", text: `(${node.whenTrue.getText(file)})` })
  }
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    changes.push({ kind: "not", text: node.operand.getText(file) })
  }
  if (ts.isCallExpression(node)) changes.push(...call(file, node))
  if (ts.isExpressionStatement(node)) changes.push({ kind: "statement", text: ";" })
  if (
    ts.isReturnStatement(node) && node.expression !== undefined && ts.isBlock(node.parent) &&
    node.parent.statements.length > 1 && ts.isIfStatement(node.parent.parent)
  ) changes.push({ kind: "return", text: ";" })
  return changes
}

/** A link of an optional chain cannot be wrapped: what follows would no longer be skipped. */
const insideChain = (node: ts.Node): boolean =>
  ts.isOptionalChain(node) && (ts.isPropertyAccessExpression(node.parent) || ts.isCallExpression(node.parent) ||
    ts.isElementAccessExpression(node.parent)) &&
  node.parent.expression === node

const isType = (node: ts.Node): boolean =>
  ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) ||
  ts.isImportDeclaration(node) || ts.isExportDeclaration(node)

const short = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ")
  return line.length > 100 ? `${line.slice(0, 97)}...` : line
}

export const sitesOf = (path: string, source: string): ReadonlyArray<Site> => {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2022, true)
  const sites: Array<Site> = []
  const visit = (node: ts.Node): void => {
    if (isType(node)) return
    for (const { kind, text } of changesOf(file, node)) {
      const start = node.getStart(file)
      sites.push({
        line: file.getLineAndCharacterOfPosition(start).line + 1,
        kind,
        before: short(node.getText(file)),
        after: short(text),
        start,
        end: node.getEnd(),
        replacement: text
      })
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return sites
}

export const changed = (source: string, site: Site): string =>
  source.slice(0, site.start) + site.replacement + source.slice(site.end)

/**
 * The file with every change in it: `globalThis.mutant(id)` decides at run time which of them holds, so that one
 * transformed module serves them all. Without a global of that name the file behaves as it did. Ids count from `first`
 * in the order of `sitesOf`.
 */
export const switched = (path: string, source: string, first: number): string => {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2022, true)
  let next = first
  const render = (node: ts.Node): string => {
    const start = node.getStart(file)
    if (isType(node)) return source.slice(start, node.getEnd())
    const changes = changesOf(file, node).map(({ text }) => ({ id: next++, text }))
    let text = ""
    let position = start
    ts.forEachChild(node, (child) => {
      text += source.slice(position, child.getStart(file)) + render(child)
      position = child.getEnd()
    })
    text += source.slice(position, node.getEnd())
    for (const change of changes) {
      text = ts.isStatement(node)
        ? `{ if (!globalThis.mutant?.(${change.id})) { ${text} } }`
        : `(globalThis.mutant?.(${change.id}) ? ${change.text} : ${text})`
    }
    // Without semicolons a line that begins with a parenthesis continues the one before.
    return ts.isExpressionStatement(node) && text.startsWith("(") ? `{ ${text} }` : text
  }
  return render(file)
}

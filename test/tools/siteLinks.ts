/** Checks that every local link of the site leads to a page, and to an anchor of it. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"

/** The links that lead nowhere, each with the page that has it. */
export const brokenLinks = (site: string): ReadonlyArray<string> => {
  const pages = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".html"))
  const texts = new Map(pages.map((name) => [join(site, name), readFileSync(join(site, name), "utf8")]))
  const anchors = new Map<string, ReadonlySet<string>>()
  const anchorsOf = (page: string) => {
    const known = anchors.get(page)
    if (known !== undefined) return known
    const found = new Set([...(texts.get(page) ?? "").matchAll(/\bid="([^"]*)"/g)].map(([, id = ""]) => id))
    anchors.set(page, found)
    return found
  }
  return [...texts].flatMap(([page, text]) =>
    [...text.matchAll(/\bhref="(?![a-z]+:)([^"#]*)(?:#([^"]*))?"/g)].flatMap(([link, path = "", anchor]) => {
      const target = path === "" ? page : resolve(dirname(page), decodeURIComponent(path))
      const found = existsSync(target) &&
        (anchor === undefined || anchor === "" || !texts.has(target) ||
          anchorsOf(target).has(decodeURIComponent(anchor)))
      return found ? [] : [`${page.slice(site.length)}: ${link}`]
    })
  )
}

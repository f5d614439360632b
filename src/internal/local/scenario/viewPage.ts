/** The HTML of the view: a single document without a framework or external resources. */

export const pageStyle = `
:root { color-scheme: light dark; --line: #8884; --dim: #888; --bad: #c33; --good: #2a7; }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; height: 100vh; display: grid; grid-template-rows: auto 1fr; }
header { display: flex; gap: 1rem; align-items: baseline; padding: .6rem 1rem; border-bottom: 1px solid var(--line); flex-wrap: wrap; }
h1 { font-size: 1rem; margin: 0; }
nav { display: flex; gap: .25rem; }
nav button { font: inherit; padding: .2rem .7rem; border: 1px solid transparent; border-radius: .4rem; background: none; color: inherit; cursor: pointer; }
nav button[aria-selected=true] { border-color: var(--line); background: #8882; }
#where, #live { color: var(--dim); }
#live { margin-left: auto; }
main { display: grid; grid-template-columns: minmax(20rem, 2fr) 3fr; min-height: 0; }
#list { overflow: auto; border-right: 1px solid var(--line); }
#detail { overflow: auto; padding: 1rem; }
.row { display: grid; grid-template-columns: 3rem 6rem 1fr auto; gap: .5rem; width: 100%; padding: .3rem 1rem; border: 0; border-bottom: 1px solid var(--line); background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
.row:hover, .row[aria-current=true] { background: #8882; }
.row span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dim { color: var(--dim); } .bad { color: var(--bad); } .good { color: var(--good); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 1rem; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem; font: 12px/1.5 ui-monospace, monospace; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 0 1rem; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.message { margin: 0 0 .8rem; }
.empty { padding: 1rem; color: var(--dim); }
@media (max-width: 700px) { main { grid-template-columns: 1fr; grid-template-rows: 1fr 1fr; } #list { border-right: 0; border-bottom: 1px solid var(--line); } }
`

// Data from requests and agents is written with textContent only, never as markup.
export const pageScript = `
"use strict"
const make = (tag, text, className) => {
  const element = document.createElement(tag)
  if (text !== undefined && text !== null) element.textContent = String(text)
  if (className) element.className = className
  return element
}
const byId = (id) => document.getElementById(id)
let state = { requests: [], conversations: [] }
let tab = "requests"
let chosen
const pretty = (value) => typeof value === "string" ? value : JSON.stringify(value, null, 2)
const short = (path) => path.replace("/api/v1/w/" + state.workspaceId, "")
const facts = (pairs) => {
  const list = make("dl")
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "") continue
    list.append(make("dt", name), make("dd", value))
  }
  return list
}
const tone = (status) => status === undefined ? "dim" : status >= 400 ? "bad" : "good"
const runs = () => state.conversations.flatMap((conversation) =>
  conversation.messages.filter((message) => message.role === "agent").map((message) => ({ ...message, conversation })))
const views = {
  requests: {
    items: () => [...state.requests].reverse(),
    key: (one) => one.index,
    row: (one) => [
      [one.index, "dim"], [one.method], [short(one.path)],
      [one.fault ?? one.status ?? one.outcome, one.fault ? "bad" : tone(one.status)]
    ],
    detail: (one) => {
      const parts = [facts([
        ["Request", one.method + " " + one.path], ["Route", one.route ?? "none"], ["Credential", one.credential],
        ["Time", new Date(one.at).toISOString()], ["Answer", one.status], ["Connection", one.outcome],
        ["Took", one.millis === null ? "" : one.millis + " ms"], ["Sent", one.bytesSent + " bytes"], ["Fault", one.fault]
      ])]
      if (Object.keys(one.query).length > 0) parts.push(make("h2", "Query"), make("pre", pretty(one.query)))
      if (one.body !== undefined) parts.push(make("h2", "Body"), make("pre", pretty(one.body)))
      return parts
    }
  },
  conversations: {
    items: () => [...state.conversations].reverse(),
    key: (one) => one.sId,
    row: (one) => [
      [one.messages.length, "dim"], [one.blockedActionIds.length > 0 ? "waits" : "", "bad"], [one.title ?? one.sId],
      [one.visibility === "unlisted" ? "" : one.visibility, "dim"]
    ],
    detail: (one) => [
      facts([["Conversation", one.sId], ["Title", one.title], ["Visibility", one.visibility],
        ["Blocked actions", one.blockedActionIds.join(", ")]]),
      ...one.messages.map((message) => {
        const element = make("div", undefined, "message")
        element.append(
          make("div", [message.agent ?? message.role, message.sId, message.status,
            message.version > 0 ? "version " + message.version : ""].filter(Boolean).join(" · "), "dim"),
          make("pre", message.content ?? ""))
        return element
      })
    ]
  },
  runs: {
    items: () => runs().reverse(),
    key: (one) => one.sId + one.version,
    row: (one) => [
      [one.run === "running" ? "…" : "", "dim"], [one.status, one.status === "failed" ? "bad" : ""],
      [(one.agent ?? "agent") + ": " + (one.content ?? "")], [one.conversation.title ?? one.conversation.sId, "dim"]
    ],
    detail: (one) => [
      facts([["Message", one.sId], ["Agent", one.agent], ["Conversation", one.conversation.sId], ["Status", one.status],
        ["Run", one.run], ["Version", one.version]]),
      make("pre", one.content ?? "")
    ]
  }
}
const show = () => {
  for (const button of document.querySelectorAll("nav button")) {
    const view = views[button.dataset.tab]
    button.setAttribute("aria-selected", String(button.dataset.tab === tab))
    button.textContent = button.dataset.name + " " + view.items().length
  }
  const view = views[tab]
  const items = view.items()
  byId("where").textContent = state.url ?? ""
  byId("list").replaceChildren(...(items.length === 0 ? [make("p", "Nothing yet.", "empty")] : items.map((one) => {
    const row = make("button", undefined, "row")
    row.setAttribute("aria-current", String(view.key(one) === chosen))
    for (const [text, className] of view.row(one)) row.append(make("span", text, className))
    row.addEventListener("click", () => { chosen = view.key(one); show() })
    return row
  })))
  const found = items.find((one) => view.key(one) === chosen)
  byId("detail").replaceChildren(...(found === undefined ? [make("p", "Choose a line.", "empty")] : view.detail(found)))
}
for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => { tab = button.dataset.tab; chosen = undefined; show() })
}
let last = ""
const poll = async () => {
  try {
    const text = document.hidden ? last : await (await fetch("/_local/state")).text()
    if (text !== last) { last = text; state = JSON.parse(text); show() }
    byId("live").textContent = "live"
  } catch {
    byId("live").textContent = "no connection"
  }
  setTimeout(poll, 1000)
}
show()
poll()
`

export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Local Dust</title>
<style>${pageStyle}</style>
<header>
  <h1>Local Dust</h1>
  <nav>
    <button data-tab="requests" data-name="Requests"></button>
    <button data-tab="conversations" data-name="Conversations"></button>
    <button data-tab="runs" data-name="Runs"></button>
  </nav>
  <span id="where"></span>
  <span id="live"></span>
</header>
<main><section id="list"></section><section id="detail"></section></main>
<script>${pageScript}</script>
</html>
`

/** The page's script: its view and the chat client, without a framework and without Effect. */
import * as ChatRelayClient from "effect-dust/ChatRelayClient"

const chat = ChatRelayClient.make({ url: "/chat" })

const find = <E extends HTMLElement>(id: string) => document.getElementById(id) as E
const element = <K extends keyof HTMLElementTagNameMap>(tag: K, className = "", text = "") =>
  Object.assign(document.createElement(tag), { className, textContent: text })

const turns = find("turns")
const message = find<HTMLTextAreaElement>("message")
const file = find<HTMLInputElement>("file")

const conversationId = () => location.hash.slice(1) || undefined

/** Aborted when another conversation is opened. */
let leaving = new AbortController()
/** The answer that the stop button cancels. */
let running: { readonly conversationId: string; readonly messageId: string } | undefined

const setRunning = (answer: typeof running) => {
  running = answer
  find("stop").hidden = answer === undefined
  find("send").hidden = answer !== undefined
}

const banner = (text: string) => {
  find("banner").textContent = text
  find("banner").hidden = text === ""
}

const append = (turn: HTMLElement) => {
  find("empty").hidden = true
  turns.append(turn)
  turns.scrollTop = turns.scrollHeight
  return turn
}

const showUser = (text: string) => append(element("div", "user")).append(element("p", "", text))

const showAgent = (text: string) => {
  const turn = append(element("article", "agent"))
  const parts = { turn, text: element("div", "text", text), cards: element("div"), note: element("div", "note") }
  turn.append(parts.text, parts.cards, parts.note)
  return parts
}

/** Cannot be pressed again until it has done its work. */
const button = (label: string, className: string, onClick: () => Promise<unknown>) => {
  const one = element("button", className, label)
  one.addEventListener("click", () => {
    one.disabled = true
    void onClick().catch(report).finally(() => {
      one.disabled = false
    })
  })
  return one
}

/** A question to the user. Removed once it is answered, here or elsewhere; not if the answer could not be sent. */
const card = (
  title: string,
  detail: string,
  choices: ReadonlyArray<readonly [string, string, () => Promise<void>]>
) => {
  const one = element("div", "card")
  const row = element("div")
  row.append(...choices.map(([label, className, choose]) =>
    button(label, className, async () => {
      await choose().catch((error: unknown) => {
        // Decided on another page: the answer goes on here, too.
        if (!(error instanceof ChatRelayClient.AnswerError) || error.code !== "action_not_blocked") throw error
      })
      one.remove()
    })
  ))
  one.append(element("h2", "", title), ...detail === "" ? [] : [element("pre", "", detail)], row)
  return one
}

const report = (error: unknown) => banner(error instanceof Error ? error.message : String(error))

/** Follows an answer to its end, across reconnects. */
const follow = async (id: string) => {
  const shown = showAgent("")
  let text = ""
  shown.turn.classList.add("open")
  // A screen reader reads the answer once it is whole, not word by word.
  shown.text.ariaBusy = "true"
  try {
    const events = chat.follow({
      id,
      signal: leaving.signal,
      silence: 45_000,
      attempts: 100,
      onConnection: (state) => banner(state === "open" ? "" : "The connection was lost. Connecting again…")
    })
    for await (const event of events) {
      // Before the page grows: a reader who scrolled up stays there.
      const atEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 80
      text = ChatRelayClient.textAfter(text, event)
      switch (event._tag) {
        case "Started":
          setRunning({ conversationId: event.conversationId, messageId: event.messageId })
          break
        case "Thinking":
          shown.note.textContent = "Thinking…"
          break
        case "ToolStarted":
          shown.note.textContent = `Using ${event.action.toolName}…`
          break
        case "ToolProgress":
          shown.note.textContent = event.label ?? `Using ${event.action.toolName}…`
          break
        case "ApprovalNeeded":
          shown.cards.replaceChildren(card(
            `May I use ${event.tool.toolName}?`,
            JSON.stringify(event.inputs, null, 2),
            [
              ["Approve", "primary", () => chat.decide(event, "approved")],
              ["Reject", "", () => chat.decide(event, "rejected")]
            ]
          ))
          break
        case "QuestionAsked":
          shown.cards.replaceChildren(card(
            event.question.question,
            "",
            event.question.options.map(({ label }, index) =>
              [label, "", () => chat.answer(event, { selectedOptions: [index] })] as const
            )
          ))
          break
        case "TextDelta":
        case "ToolFinished":
          shown.cards.replaceChildren()
          shown.note.textContent = ""
          break
        default:
      }
      shown.text.textContent = text
      if (atEnd) turns.scrollTop = turns.scrollHeight
    }
    shown.note.textContent = ""
  } catch (error) {
    shown.note.classList.add("failed")
    shown.note.textContent = error instanceof ChatRelayClient.AnswerError && error.code === "cancelled"
      ? "Stopped."
      : error instanceof Error
      ? error.message
      : ""
    banner("")
  } finally {
    shown.cards.replaceChildren()
    shown.turn.classList.remove("open")
    shown.text.ariaBusy = "false"
    if (!leaving.signal.aborted) {
      setRunning(undefined)
      void listConversations()
    }
  }
}

const json = async (path: string, body?: object) => {
  const response = await fetch(
    path,
    body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
  )
  if (!response.ok) throw new Error(`The server answered ${response.status}.`)
  return response.json()
}

const listConversations = async () => {
  const all: ReadonlyArray<{ readonly conversationId: string; readonly title: string }> = await json("/conversations")
  find("conversations").replaceChildren(...all.map((one) => {
    const link = Object.assign(element("a", "", one.title), { href: `#${one.conversationId}` })
    if (one.conversationId === conversationId()) link.setAttribute("aria-current", "page")
    return link
  }))
}

/** Shows the conversation of the URL, also after a reload or on another device. */
const show = async () => {
  leaving.abort()
  leaving = new AbortController()
  setRunning(undefined)
  banner("")
  turns.replaceChildren(find("empty"))
  find("empty").hidden = false
  const id = conversationId()
  await listConversations()
  if (id === undefined) return
  const all: ReadonlyArray<{ readonly role: string; readonly text: string; readonly id: string | null }> = await json(
    `/conversations/${encodeURIComponent(id)}`
  )
  for (const turn of all) {
    if (turn.role === "user") showUser(turn.text)
    else if (turn.id === null) showAgent(turn.text)
    else void follow(turn.id)
  }
}

/** Sends the files and the question, once, however often Enter is pressed. */
const ask = async (question: string) => {
  const send = find<HTMLButtonElement>("send")
  if (send.disabled) return
  send.disabled = true
  try {
    const attachments = await Promise.all(Array.from(file.files ?? [], (one) => chat.attach(one)))
    return await chat.ask({ message: question, conversationId: conversationId(), attachments })
  } finally {
    send.disabled = false
  }
}

const send = async () => {
  const question = message.value.trim()
  if (question === "" || running !== undefined) return
  banner("")
  const asked = await ask(question)
  if (asked === undefined) return
  message.value = ""
  file.value = ""
  find("attached").textContent = "Attach a file"
  // Without a navigation event: this conversation is already shown.
  history.pushState(null, "", `#${asked.conversationId}`)
  showUser(question)
  void listConversations()
  await follow(asked.id)
}

const signIn = async () => {
  const { name, users } = await json("/session")
  const dialog = find<HTMLDialogElement>("sign-in")
  dialog.querySelector("div")?.replaceChildren(
    ...users.map((user: string) =>
      button(user, "primary", async () => {
        await json("/session", { name: user })
        location.hash = ""
        location.reload()
      })
    )
  )
  find("who").firstElementChild!.textContent = name ?? ""
  find("sign-out").addEventListener("click", () => {
    // Closes the open answer; its agent goes on, and the answer is there after the next sign-in.
    leaving.abort()
    void fetch("/session", { method: "DELETE" }).then(() => location.assign("/")).catch(report)
  })
  if (name === null) dialog.showModal()
  return name !== null
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault()
  void send().catch(report)
})
find("stop").addEventListener("click", () => running && void chat.stop(running).catch(report))
find("new").addEventListener("click", () => {
  history.pushState(null, "", "#")
  void show().catch(report)
  message.focus()
})
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey) return
  event.preventDefault()
  void send().catch(report)
})
file.addEventListener("change", () => {
  find("attached").textContent = Array.from(file.files ?? [], ({ name }) => name).join(", ") || "Attach a file"
})
addEventListener("popstate", () => void show().catch(report))

if (await signIn()) await show().catch(report)

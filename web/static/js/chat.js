// The chat page: asking, the stream of the answer, and earlier conversations.
import { AnswerView } from "/static/js/answer.js";
import { closeEvidence } from "/static/js/evidence.js";
import { readEvents } from "/static/js/sse.js";
import { call, el, icon, problemOf, toast } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const [log, scroller, empty, form, box, send, stop] = ["log", "scroller", "empty", "composer", "question", "send", "stop"].map($);
let conversation = log.dataset.conversation;
let running = null;

const say = (text) => { $("announce").textContent = text; };

/** Keep the end in sight, unless the reader scrolled up to read. */
function follow(act) {
  const near = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 120;
  act();
  if (near) scroller.scrollTop = scroller.scrollHeight;
}

function add(node) {
  empty.hidden = true;
  log.append(node);
  scroller.scrollTop = scroller.scrollHeight;
}

const asked = (text) => el("div", { className: "asked" }, el("p", {}, text));

function busy(on) {
  send.hidden = on;
  stop.hidden = !on;
}

async function ask(question) {
  if (running) return;
  closeEvidence();
  add(asked(question));
  await answer(question);
}

async function answer(question) {
  const view = new AnswerView();
  add(view.node);
  running = new AbortController();
  busy(true);
  say("Looking for an answer.");
  let ended = false;
  try {
    const body = { question, conversation_id: conversation || null };
    const collection = $("collection")?.value;
    if (collection) body.collections = [collection];
    const response = await fetch("/app/ask", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal: running.signal,
    });
    if (!response.ok) throw await problemOf(response);
    await readEvents(response, (kind, data) => {
      if (kind === "done") { ended = true; follow(() => view.done(data)); finished(data); }
      else if (kind === "error") { ended = true; follow(() => failed(view, data.detail, question)); }
      else follow(() => view.on(kind, data));
    });
    if (!ended) failed(view, "The connection broke before the answer was complete.", question);
  } catch (error) {
    if (error.name === "AbortError") { view.stopped(); say("Stopped."); }
    else if (!ended) failed(view, error.status === undefined ? "The server cannot be reached. Check the network and try again." : error.message, question);
  } finally {
    running = null;
    busy(false);
  }
}

function failed(view, message, question) {
  view.failed(message, () => { if (!running) { view.node.remove(); answer(question); } });
  say(message);
}

function finished(answer) {
  say(answer.answerable ? `Answer: ${answer.text.slice(0, 300)}` : "No answer was found.");
  if (answer.conversation_id !== conversation) {
    conversation = answer.conversation_id;
    history.pushState({ conversation }, "", `/c/${encodeURIComponent(conversation)}`);
  }
  listConversations();
}

async function listConversations() {
  try {
    const { data } = await call("GET", "/conversations?limit=50");
    $("conversations").replaceChildren(...data.map((row) => el("li", {}, el("a", {
      href: `/c/${encodeURIComponent(row.id)}`, title: row.title, "aria-current": row.id === conversation ? "page" : null,
    }, row.title), el("button", { type: "button", className: "icon-button", "aria-label": `Delete: ${row.title}`, onclick: () => remove(row) }, icon("trash")))));
    if (!data.length) $("conversations").append(el("li", { className: "hint" }, "Your questions will be listed here."));
  } catch (error) {
    toast(error.message);
  }
}

async function remove(row) {
  if (!confirm(`Delete “${row.title}” with its answers? This cannot be undone.`)) return;
  try {
    await call("DELETE", `/conversations/${encodeURIComponent(row.id)}`);
  } catch (error) {
    if (error.status !== 404) { toast(error.message); return; } // 404: deleted in another window
  }
  if (row.id === conversation) location.assign("/");
  else listConversations();
}

async function load(id) {
  try {
    const { data } = await call("GET", `/conversations/${encodeURIComponent(id)}`);
    for (const found of data) {
      const view = new AnswerView();
      log.append(asked(found.question), view.node);
      view.done(found);
    }
    scroller.scrollTop = scroller.scrollHeight;
  } catch (error) {
    conversation = "";
    empty.hidden = false;
    toast(error.status === 404 ? "This conversation does not exist, or is not yours." : error.message);
  }
}

/** Why the question is too long to be sent, or nothing; a maxlength would cut what is pasted without a word. */
function tooLong() {
  const longest = Number(box.dataset.longest), now = [...box.value.trim()].length;
  return now > longest ? `A question may have ${longest} characters; this one has ${now}. Upload a long text as a document.` : "";
}

const fit = () => { box.style.height = "auto"; box.style.height = `${box.scrollHeight}px`; };

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (!question || running) return;
  box.value = "";
  fit();
  ask(question);
});
box.addEventListener("input", () => { fit(); box.setCustomValidity(tooLong()); });
box.addEventListener("keydown", (event) => {
  // isComposing: Enter that only confirms a Chinese or Japanese character
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
});
stop.addEventListener("click", () => { running?.abort(); box.focus(); });
for (const button of document.querySelectorAll(".suggestion")) {
  button.addEventListener("click", () => { ask(button.textContent); box.focus(); });
}
addEventListener("popstate", () => location.reload());

if (conversation) load(conversation);
listConversations();

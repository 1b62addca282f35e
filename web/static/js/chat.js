// The chat page: asking, the stream of the answer, and what the keyboard does.
import { AnswerView } from "/static/js/answer.js";
import { showConversations } from "/static/js/conversations.js";
import { closeEvidence, hideEvidence } from "/static/js/evidence.js";
import { readEvents } from "/static/js/sse.js";
import { call, carried, carry, download, el, heldAs, langOf, place, problemOf, remember, returned, toast } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const [log, scroller, empty, form, box, send, stop, latest, save] = ["log", "scroller", "empty", "composer", "question", "send", "stop", "latest", "save"].map($);
let conversation = log.dataset.conversation;
let running = null;
let title = ""; // what the conversation is called: its first question, or as renamed
let views = []; // the answers on the page, in order
let here = location.pathname; // the conversation on the page; the address changes before the page does
let filled = null; // the answer whose beginning was kept in sight

/** Have it read aloud: what kind of thing it is, in the page's language, and a text in its own. */
const say = (kind, text = "", lang = null) => $("announce").replaceChildren(kind, el("span", { lang }, text));
const below = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };

/** Keep the end of the answer in sight, but not at the cost of its beginning, and not where the reader scrolled up to read. */
function follow(view, act) {
  const near = below() < 120;
  act();
  if (!near) return;
  const question = view.node.previousElementSibling; // seen too, if there is room for it
  const top = (question?.offsetHeight < scroller.clientHeight / 3 ? question : view.node).offsetTop - log.offsetTop;
  const further = filled === view && scroller.scrollTop > top + 1; // who scrolls on to the end wants to see it
  if (further || scroller.scrollHeight - scroller.clientHeight <= top) { toEnd(); return; }
  scroller.scrollTop = top;
  filled = view;
}

function add(...nodes) {
  empty.hidden = true;
  log.append(...nodes);
  toEnd();
}

/** Call the tab, the history and a bookmark as the conversation is called. */
function entitle(given) {
  title = given;
  document.title = `${title.slice(0, 80)} · Knowledge base`;
}

const asked = (text) => el("div", { className: "asked" }, el("h2", { lang: langOf(text) }, text)); // a heading: people jump from question to question

function busy(on) {
  send.hidden = on;
  stop.hidden = !on;
}

/** Whether something can be asked now; if not, the reader is told why. */
function free() {
  if (running) toast("Another question is being answered. Wait for its answer, or stop it.");
  return !running;
}

async function ask(question) {
  if (!free()) return;
  closeEvidence();
  add(asked(question));
  await answer(question);
}

/** The question of `view` once more: in its place if it broke off and nothing was asked since, else at the end. */
function again(view, broken) {
  if (!broken || log.lastElementChild !== view.node) { ask(view.question); return; }
  if (!free()) return;
  view.node.remove();
  answer(view.question);
}

async function answer(question) {
  const view = new AnswerView(question, again);
  add(view.node);
  running = new AbortController();
  busy(true);
  say("Looking for an answer.");
  let ended = false;
  const fail = (message, keep) => { ended = true; view.failed(message, keep); say(message); };
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
    if (response.status === 401) carry(question);
    if (!response.ok) throw await problemOf(response);
    await readEvents(response, (kind, data) => {
      if (kind === "done") { ended = true; follow(view, () => finished(view, data, collection)); }
      else if (kind === "error") follow(view, () => fail(data.detail));
      else follow(view, () => view.on(kind, data));
    });
    if (!ended) fail("The connection broke before the answer was complete.", true);
  } catch (error) {
    if (error.name === "AbortError") { view.stopped(); say("Stopped."); }
    else if (!ended) fail(error.status !== undefined ? error.message : view.text ? "The connection broke before the answer was complete." : "The server cannot be reached. Check the network and try again.", true);
  } finally {
    running = null;
    busy(false);
  }
}

function finished(view, answer, collection) {
  view.done(answer);
  views.push(view);
  if (!title) entitle(view.question);
  save.hidden = false;
  const text = view.spoken();
  say(`${view.kind}: `, `${text.slice(0, 300)}${text.length > 300 ? "…" : ""}`, view.body.lang || null);
  if (!answer.answerable && collection) view.offer("Ask in all collections", () => { if (free()) { choose(""); ask(view.question); } });
  if (answer.conversation_id !== conversation) {
    conversation = answer.conversation_id;
    history.pushState({ conversation }, "", `/c/${encodeURIComponent(conversation)}`);
    here = location.pathname;
  }
  list();
}

function choose(collection) {
  $("collection").value = collection;
  $("collection").dispatchEvent(new Event("change"));
}

const list = () => showConversations(conversation, { left: () => location.assign("/"), named: entitle });

async function load(id) {
  try {
    const { title: called, data } = await call("GET", `/conversations/${encodeURIComponent(id)}`);
    for (const found of data) {
      const view = new AnswerView(found.question, again);
      log.append(asked(found.question), view.node);
      view.done(found);
      views.push(view);
    }
    entitle(called);
    save.hidden = !views.length;
    scroller.scrollTop = returned(here) ?? scroller.scrollHeight; // back from a source: where its mark was
  } catch (error) {
    conversation = "";
    empty.hidden = false;
    toast(error.status === 404 ? "This conversation does not exist, or is not yours." : error.message);
  }
}

/** The conversation as a Markdown file. */
function keep() {
  const text = views.map((view) => `## ${view.question}\n\n${view.asText()}\n`).join("\n");
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "conversation";
  download(text, `${name}.md`, "text/markdown");
}

/** Why the question is too long to be sent, or nothing; a maxlength would cut what is pasted without a word. */
function tooLong() {
  const longest = Number(box.dataset.longest), now = [...box.value.trim()].length;
  return now > longest ? `A question may have ${longest} characters; this one has ${now}. Upload a long text as a document.` : "";
}

const fit = () => { box.style.height = "auto"; box.style.height = `${box.scrollHeight}px`; };

function write(text) {
  box.value = text;
  box.dispatchEvent(new Event("input"));
  box.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (!question || running) return;
  write("");
  ask(question);
});
box.addEventListener("input", () => { fit(); box.setCustomValidity(tooLong()); });
box.addEventListener("keydown", (event) => {
  // isComposing: Enter that only confirms a Chinese or Japanese character
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  const last = [...log.querySelectorAll(".asked h2")].at(-1);
  if (event.key === "ArrowUp" && !box.value && last) { event.preventDefault(); write(last.textContent); } // to ask it again, differently
});
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); box.focus(); }
  if (event.key === "Escape" && running && !event.defaultPrevented) stop.click();
});
stop.addEventListener("click", () => { running?.abort(); box.focus(); });
save.addEventListener("click", keep);
latest.addEventListener("click", () => { toEnd(); box.focus(); });
scroller.addEventListener("scroll", () => { latest.hidden = below() < 300; }, { passive: true });
for (const button of document.querySelectorAll(".suggestion")) {
  button.addEventListener("click", () => { ask(button.textContent); box.focus(); });
}
addEventListener("popstate", () => { if (location.pathname === here) hideEvidence(); else location.reload(); });
addEventListener("pagehide", () => {
  if (box.value.trim()) carry(box.value); // not sent yet, and wanted still
  place(here, scroller.scrollTop);
});
addEventListener("pageshow", (event) => { if (event.persisted) carried(); }); // the box holds it still
document.querySelector("form[action='/logout']").addEventListener("submit", () => { box.value = ""; });

const draft = carried(); // not sent when this page was left, or when its session ended
const given = heldAs("q") || draft; // from the list of unanswered ones, or /?q=… from a portal: written, not sent
if (given) write(given);
if ($("collection")) remember($("collection"), "kb.collection");
if (conversation) load(conversation);
list();

// The documents page: the library, and what is being worked on. uploads.js adds what is sent.
import { addressed, call, calm, count, day, el, icon, langOf, size, steady, toast, withQuery } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const FINAL = ["ready", "ready_with_warnings", "failed", "quarantined"];
const STATES = {
  queued: ["Waiting", ""], parsing: ["Reading", "accent"], embedding: ["Indexing", "accent"], ready: ["Ready", "good"],
  ready_with_warnings: ["Ready, with warnings", "warn"], failed: ["Failed", "bad"], quarantined: ["Set aside", "bad"],
};
const mayWrite = Boolean($("library").dataset.mayWrite);
export const writable = new Set([...($("into")?.options || [])].map((option) => option.value)); // collections
const rows = new Map(); // document id → the rows that show it
const watched = new Set(); // ids that are still being worked on
const shown = new Map(); // document id → what its rows say
const replaced = new Map(); // document id → the revision that a file sent from this page took the place of

export const titleOf = (collection) => [...$("filters").elements.collection.options].find((option) => option.value === collection)?.text || collection;

// one row

function progressOf(document) {
  if (FINAL.includes(document.state)) return null;
  const { done, total, unit } = document.progress;
  const bar = el("progress", { "aria-label": `Progress of ${document.title}` });
  if (total > 1) { bar.max = total; bar.value = done || 0; } // one file in one go has no measure: the bar only moves
  const text = total > 1 && `${done || 0} of ${total} ${unit === "chunks" ? "pieces" : unit || "parts"}`;
  return [document.state !== "queued" && bar, text && el("p", { className: "why" }, text)];
}

/** Say on the rows of this document what the file that was just sent took the place of, and how both are kept. */
export function replaces(document) { replaced.set(document.id, document.revision - 1); }

function replacedNote(document) {
  const before = replaced.get(document.id);
  if (!before) return null;
  const kept = el("a", { href: `/app/documents/${encodeURIComponent(document.id)}/content?revision=${before}` }, `revision ${before}`);
  return el("p", { className: "why" }, `This took the place of the file of the same name: `, kept, `, which answers only until this one is ready. If they are two documents, download it and send it again under another name.`);
}

function rowOf(document) {
  const [text, tone] = STATES[document.state];
  const file = document.external_id !== document.title && document.external_id; // its title may come from inside the file
  const facts = [titleOf(document.collection), document.revision > 1 && `revision ${document.revision}`, size(document.size), document.pages && count(document.pages, "page"), day(document.created_at)];
  const open = el("a", { href: `/documents/${encodeURIComponent(document.id)}`, title: document.title, lang: langOf(document.title) }, document.title);
  const action = (name, label, act, extra = "") =>
    el("button", { type: "button", className: `icon-button ${extra}`, title: label, "aria-label": `${label}: ${document.title}`, onclick: act }, icon(name));
  const buttons = el("span", { className: "buttons" });
  if (writable.has(document.collection)) {
    if (["failed", "quarantined"].includes(document.state)) buttons.append(action("retry", "Try again", () => retry(document)));
    buttons.append(action("trash", "Delete", () => remove(document), "danger"));
  }
  return el("li", { className: `row ${tone === "bad" ? "bad" : ""}` },
    el("span", { className: "kind" }, document.type || "file"),
    el("span", { className: "name" }, open, el("span", { className: "hint" }, file && el("span", { className: "not-phone" }, `${file} · `), facts.filter(Boolean).join(" · "))),
    el("span", { className: "state" }, el("span", { className: `tag ${tone}` }, text)),
    buttons, progressOf(document),
    document.reason && el("p", { className: "why" }, document.reason), replacedNote(document),
    document.warnings.map((warning) => el("p", { className: "why warn" }, warning)));
}

function show(document) {
  const now = JSON.stringify(document);
  if (shown.get(document.id) === now) return; // a row that is made anew loses the focus
  shown.set(document.id, now);
  for (const old of rows.get(document.id) || []) {
    const fresh = rowOf(document);
    if (old.isConnected) steady(old.parentElement, () => old.replaceWith(fresh));
    rows.get(document.id)[rows.get(document.id).indexOf(old)] = fresh;
  }
  if (FINAL.includes(document.state)) watched.delete(document.id);
  else watched.add(document.id);
}

export function place(document, put) {
  const row = rowOf(document);
  rows.set(document.id, [...(rows.get(document.id) || []).filter((old) => old.isConnected), row]);
  put(row);
  show(document);
}

async function retry(document) {
  try { show(await call("POST", `/documents/${encodeURIComponent(document.id)}/retry`)); } catch (error) { toast(error.message); }
}

async function remove(document) {
  if (!confirm(`Delete “${document.title}”? No answer will use it from now on.`)) return;
  try {
    await call("DELETE", `/documents/${encodeURIComponent(document.id)}`);
    gone(document.id);
    toast("Deleted.");
  } catch (error) { toast(error.message); }
}

function gone(id) {
  for (const row of rows.get(id) || []) if (row.isConnected) steady(row.parentElement, () => row.remove());
  rows.delete(id);
  shown.delete(id);
  watched.delete(id);
}

// what is being worked on

async function watch() {
  const ids = [...watched].slice(0, 100);
  if (ids.length) {
    try {
      const { data } = await call("GET", `/documents/states?ids=${ids.map(encodeURIComponent).join(",")}`, undefined, 15000);
      const found = new Set(data.map((document) => document.id));
      data.forEach(show);
      ids.filter((id) => !found.has(id)).forEach(gone);
    } catch { /* the next round tries again */ }
  }
  setTimeout(watch, 1200);
}

// the library

let next = null, latest = 0;
const keep = addressed($("filters"));

export async function list(more = false) {
  keep();
  const wanted = Object.fromEntries(new FormData($("filters")));
  const turn = (latest += 1);
  try {
    const found = await call("GET", withQuery("/documents", { ...wanted, limit: 50, cursor: more ? next : null }));
    if (turn !== latest) return; // another search was begun since: what comes late must not overwrite its rows
    if (!more) $("list").replaceChildren();
    for (const document of found.data) place(document, (row) => $("list").append(row));
    next = found.next;
    $("more").hidden = !next;
    const filtered = Object.values(wanted).some(Boolean);
    $("nothing").hidden = $("list").children.length > 0;
    $("nothing").textContent = filtered ? "No document fits these filters." : mayWrite ? "No documents yet. Drop some files on this page." : "There are no documents that you may read yet.";
  } catch (error) { toast(error.message); }
}

$("filters").addEventListener("input", calm(() => list()));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => list(true));

list();
watch();

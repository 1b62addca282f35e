// The FAQ page: read, search; curators add, change, delete and import.
import { addressed, call, calm, download, el, heldAs, icon, langOf, problemOf, remember, steady, toast, withQuery } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const mayWrite = Boolean($("list").dataset.mayWrite);
const writable = new Set([...$("faq-form").elements.collection.options].map((option) => option.value));
let next = null, latest = 0, editing = null;
let written = false; // something in the form that is not saved

function rowOf(entry) {
  const buttons = mayWrite && writable.has(entry.collection) && el("p", { className: "actions" },
    el("button", { type: "button", "aria-label": `Change: ${entry.question}`, onclick: () => edit(entry) }, icon("pen"), "Change"),
    el("button", { type: "button", "aria-label": `Delete: ${entry.question}`, className: "danger", onclick: () => remove(entry) }, icon("trash"), "Delete"));
  return el("li", { id: entry.id }, el("details", { open: location.hash === `#${entry.id}` }, el("summary", { lang: langOf(entry.question) }, entry.question),
    el("p", { className: "text", lang: langOf(entry.answer) }, entry.answer),
    entry.variants.length ? el("p", { className: "hint" }, `Also: ${entry.variants.join(" · ")}`) : null,
    el("p", { className: "hint" }, entry.collection), buttons));
}

async function list(more = false) {
  const wanted = Object.fromEntries(new FormData($("filters")));
  const turn = (latest += 1);
  try {
    const found = await call("GET", withQuery("/faq", { ...wanted, limit: 50, cursor: more ? next : null }));
    if (turn !== latest) return; // another search was begun since: what comes late must not overwrite its rows
    steady($("list"), () => {
      if (!more) $("list").replaceChildren();
      $("list").append(...found.data.map(rowOf));
    });
    next = found.next;
    $("more").hidden = !next;
    $("nothing").hidden = $("list").children.length > 0;
    $("nothing").textContent = wanted.q ? "No entry has these words in its question." : "No entries yet.";
  } catch (error) { toast(error.message); }
}

/** The entry that a citation leads to, also when it is not on the first page of the list. */
async function point() {
  const id = location.hash.slice(1);
  if (!id.startsWith("faq_")) return;
  if (!document.getElementById(id)) {
    try { $("list").prepend(rowOf(await call("GET", `/faq/${encodeURIComponent(id)}`))); } catch { toast("This entry does not exist any more, or is not yours to read."); return; }
  }
  document.getElementById(id).scrollIntoView({ block: "center" });
}

function edit(entry) {
  const form = $("faq-form");
  if (written && !confirm("Discard what you wrote and did not save?")) return;
  const into = form.elements.collection.value;
  editing = entry;
  written = false;
  form.reset();
  form.elements.collection.value = into; // a new entry goes where the last one went
  if (entry) {
    for (const name of ["question", "answer", "collection"]) form.elements[name].value = entry[name];
    form.elements.variants.value = entry.variants.join("\n");
  }
  form.hidden = false;
  form.elements.question.focus();
}

function close(opener) {
  written = false;
  $("faq-form").hidden = true;
  (opener || $("add")).focus();
}

async function remove(entry) {
  if (!confirm(`Delete “${entry.question}”?`)) return;
  try { await call("DELETE", `/faq/${encodeURIComponent(entry.id)}`); toast("Deleted."); list(); } catch (error) { toast(error.message); }
}

/** What became of an import stays on the page: who mends forty rows needs longer than a passing message. */
function tell(text, rows = []) {
  const items = rows.map((row) => el("li", {}, `Row ${row.row}: ${row.detail}`));
  const close = el("button", { type: "button", onclick: () => { $("report").hidden = true; } }, "Close");
  $("report").replaceChildren(el("p", {}, text), items.length ? el("ul", {}, items) : "", el("p", { className: "actions" }, close));
  $("report").hidden = false;
}

async function importFile(file, collection) {
  const type = { json: "application/json", csv: "text/csv", tsv: "text/csv", txt: "text/csv" }[file.name.split(".").pop().toLowerCase()];
  if (!type) { tell(`${file.name} is neither CSV nor JSON. From a spreadsheet: save as CSV (UTF-8).`); return; }
  let response;
  try {
    response = await fetch(`/app${withQuery("/faq/import", { collection })}`, { method: "POST", headers: { "Content-Type": type }, body: file });
  } catch { tell("The server cannot be reached. Check the network and try again."); return; }
  if (!response.ok) { tell((await problemOf(response)).message); return; }
  const report = await response.json();
  const became = [`${report.created} added`, report.updated && `${report.updated} changed`, report.unchanged && `${report.unchanged} unchanged`, report.failed && `${report.failed} not`];
  tell(became.filter(Boolean).join(", ") + (report.failed ? ":" : "."), report.rows.filter((row) => row.status === "failed"));
  $("import-form").hidden = true;
  list();
}

// cells as kb/store/faqfile.py writes and reads them: spreadsheets must not calculate, and a | within a wording parts nothing
const inert = (text) => (/^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text);
const quoted = (text) => `"${inert(text).replace(/"/g, '""')}"`;
const joined = (variants) => variants
  .map((text) => text.replace(/(\\*)([|\n])/g, "$1$1\\$2"))
  .map((text, at) => (at < variants.length - 1 ? text.replace(/(\\+)$/, "$1$1") : text)).join("|");
const MOST_ROWS = 5000; // that an import takes

/** All entries as the CSV that the import takes back: rows with an id change their entry. */
async function exportAll() {
  const columns = ["id", "question", "variants", "answer", "collection", "language"];
  const rows = [columns.join(",")];
  try {
    for (let cursor = null; ;) {
      const found = await call("GET", withQuery("/faq", { limit: 200, cursor }));
      for (const entry of found.data) rows.push(columns.map((name) => quoted(name === "variants" ? joined(entry.variants) : entry[name] || "")).join(","));
      cursor = found.next;
      if (!cursor) break;
    }
  } catch (error) { toast(error.message); return; }
  if (rows.length - 1 > MOST_ROWS) tell(`The file has ${rows.length - 1} entries. An import takes ${MOST_ROWS} at once: split the file before importing it.`);
  download(`\ufeff${rows.join("\r\n")}\r\n`, "faq.csv", "text/csv"); // the mark in front tells spreadsheets that it is UTF-8
}

const keep = addressed($("filters"));
$("filters").addEventListener("input", calm(() => { keep(); list(); }));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => list(true));
if (mayWrite) {
  $("add").addEventListener("click", () => edit(null));
  remember($("faq-form").elements.collection, "kb.faq-into");
  $("faq-form").addEventListener("input", () => { written = true; });
  addEventListener("beforeunload", (event) => { if (written) event.preventDefault(); });
  $("faq-cancel").addEventListener("click", () => close());
  $("export").addEventListener("click", exportAll);
  $("import").addEventListener("click", () => { $("import-form").hidden = false; $("import-form").elements.file.focus(); });
  $("import-cancel").addEventListener("click", () => { $("import-form").hidden = true; $("import").focus(); });
  $("import-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const { file, collection } = event.target.elements;
    importFile(file.files[0], collection.value);
    file.value = "";
  });
  $("faq-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    const body = { ...fields, variants: fields.variants.split("\n").map((v) => v.trim()).filter(Boolean) };
    try {
      const saved = editing ? await call("PATCH", `/faq/${encodeURIComponent(editing.id)}`, body) : await call("POST", "/faq", body);
      toast("Saved.");
      await list();
      close(document.getElementById(saved.id)?.querySelector("summary"));
    } catch (error) { toast(error.message); }
  });
  const asked = heldAs("question");
  if (asked) { edit(null); $("faq-form").elements.question.value = asked; $("faq-form").elements.answer.focus(); written = true; }
}
await list();
point();

// The FAQ page: read, search; curators add, change, delete and import.
import { call, calm, el, icon, problemOf, toast, withQuery } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const mayWrite = Boolean($("list").dataset.mayWrite);
let next = null, editing = null;

function rowOf(entry) {
  const buttons = mayWrite && el("p", { className: "actions" },
    el("button", { type: "button", onclick: () => edit(entry) }, icon("pen"), "Change"),
    el("button", { type: "button", className: "danger", onclick: () => remove(entry) }, icon("trash"), "Delete"));
  return el("li", { id: entry.id }, el("details", { open: location.hash === `#${entry.id}` }, el("summary", {}, entry.question),
    el("p", { className: "text" }, entry.answer),
    entry.variants.length ? el("p", { className: "hint" }, `Also: ${entry.variants.join(" · ")}`) : null,
    el("p", { className: "hint" }, entry.collection), buttons));
}

async function list(more = false) {
  const wanted = Object.fromEntries(new FormData($("filters")));
  try {
    const found = await call("GET", withQuery("/faq", { ...wanted, limit: 50, cursor: more ? next : null }));
    if (!more) $("list").replaceChildren();
    $("list").append(...found.data.map(rowOf));
    next = found.next;
    $("more").hidden = !next;
    $("nothing").hidden = $("list").children.length > 0;
    $("nothing").textContent = wanted.q ? "No entry fits." : "No entries yet.";
  } catch (error) { toast(error.message); }
}

function edit(entry) {
  const form = $("faq-form");
  editing = entry;
  form.reset();
  if (entry) {
    for (const name of ["question", "answer", "collection"]) form.elements[name].value = entry[name];
    form.elements.variants.value = entry.variants.join("\n");
  }
  form.hidden = false;
  form.elements.question.focus();
}

async function remove(entry) {
  if (!confirm(`Delete “${entry.question}”?`)) return;
  try { await call("DELETE", `/faq/${encodeURIComponent(entry.id)}`); toast("Deleted."); list(); } catch (error) { toast(error.message); }
}

async function importFile(file) {
  const type = file.name.endsWith(".json") ? "application/json" : "text/csv";
  const response = await fetch("/app/faq/import", { method: "POST", headers: { "Content-Type": type }, body: file });
  if (!response.ok) { toast((await problemOf(response)).message); return; }
  const report = await response.json();
  toast(`${report.created} added, ${report.failed} not.`);
  for (const row of report.rows.filter((r) => r.status === "failed").slice(0, 5)) toast(`Row ${row.row}: ${row.detail}`);
  list();
}

$("filters").addEventListener("input", calm(() => list()));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => list(true));
if (mayWrite) {
  $("add").addEventListener("click", () => edit(null));
  $("faq-cancel").addEventListener("click", () => { $("faq-form").hidden = true; });
  $("import").addEventListener("click", () => $("import-file").click());
  $("import-file").addEventListener("change", () => { const file = $("import-file").files[0]; if (file) importFile(file); $("import-file").value = ""; });
  $("faq-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    const body = { ...fields, variants: fields.variants.split("\n").map((v) => v.trim()).filter(Boolean) };
    try {
      if (editing) await call("PATCH", `/faq/${encodeURIComponent(editing.id)}`, body);
      else await call("POST", "/faq", body);
      event.target.hidden = true;
      toast("Saved.");
      list();
    } catch (error) { toast(error.message); }
  });
  const asked = new URLSearchParams(location.search).get("question");
  if (asked) { edit(null); $("faq-form").elements.question.value = asked; $("faq-form").elements.answer.focus(); }
}
list();

// The documents page: uploads with live progress, and the library.
import { call, calm, day, el, icon, problemOf, size, toast, withQuery } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const FINAL = ["ready", "ready_with_warnings", "failed", "quarantined"];
const STATES = {
  queued: ["Waiting", ""], parsing: ["Reading", "accent"], embedding: ["Indexing", "accent"], ready: ["Ready", "good"],
  ready_with_warnings: ["Ready, with warnings", "warn"], failed: ["Failed", "bad"], quarantined: ["Set aside", "bad"],
};
const mayWrite = Boolean($("library").dataset.mayWrite);
const writable = new Set([...($("into")?.options || [])].map((option) => option.value)); // collections
const rows = new Map(); // document id → the rows that show it
const watched = new Set(); // ids that are still being worked on

// one row

function progressOf(document) {
  if (FINAL.includes(document.state)) return null;
  const { done, total, unit } = document.progress;
  const bar = el("progress", { "aria-label": "Progress" });
  if (total) { bar.max = total; bar.value = done || 0; }
  if (document.state === "queued") return null;
  return [bar, total ? el("p", { className: "why" }, `${done || 0} of ${total} ${unit || ""}`) : null];
}

function rowOf(document) {
  const [text, tone] = STATES[document.state];
  const file = document.external_id !== document.title && document.external_id; // its title may come from inside the file
  const facts = [file, document.collection, document.revision > 1 && `revision ${document.revision}`, size(document.size), document.pages && `${document.pages} page${document.pages === 1 ? "" : "s"}`, day(document.created_at)];
  const open = el("a", { href: `/documents/${encodeURIComponent(document.id)}`, title: document.title }, document.title);
  const action = (name, label, act, extra = "") =>
    el("button", { type: "button", className: `icon-button ${extra}`, title: label, "aria-label": `${label}: ${document.title}`, onclick: act }, icon(name));
  const buttons = el("span", { className: "buttons" });
  if (writable.has(document.collection)) {
    if (["failed", "quarantined"].includes(document.state)) buttons.append(action("retry", "Try again", () => retry(document)));
    buttons.append(action("trash", "Delete", () => remove(document), "danger"));
  }
  return el("li", { className: `row ${tone === "bad" ? "bad" : ""}` },
    el("span", { className: "kind" }, document.type || "file"),
    el("span", { className: "name" }, open, el("span", { className: "hint" }, facts.filter(Boolean).join(" · "))),
    el("span", { className: "state" }, el("span", { className: `tag ${tone}` }, text)),
    buttons, progressOf(document),
    document.reason && el("p", { className: "why" }, document.reason),
    document.warnings.map((warning) => el("p", { className: "why warn" }, warning)));
}

function show(document) {
  for (const old of rows.get(document.id) || []) {
    const fresh = rowOf(document);
    if (old.isConnected) old.replaceWith(fresh);
    rows.get(document.id)[rows.get(document.id).indexOf(old)] = fresh;
  }
  if (FINAL.includes(document.state)) watched.delete(document.id);
  else watched.add(document.id);
}

function place(document, put) {
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
  for (const row of rows.get(id) || []) row.remove();
  rows.delete(id);
  watched.delete(id);
  summary();
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
      summary();
    } catch { /* the next round tries again */ }
  }
  setTimeout(watch, 1200);
}

// the library

let next = null, latest = 0;

async function list(more = false) {
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
    $("nothing").textContent = filtered ? "No document fits." : mayWrite ? "No documents yet. Drop some files above." : "There are no documents that you may read yet.";
  } catch (error) { toast(error.message); }
}

$("filters").addEventListener("input", calm(() => list()));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => list(true));

// uploading

const waiting = [];
let sending = 0, total = 0, settled = 0;

function summary() {
  if (!$("uploads-sum")) return;
  const left = [...$("upload-list").children].length;
  $("uploads").hidden = left === 0;
  $("uploads-sum").textContent = settled < total ? `${settled} of ${total} sent` : `${total} sent`;
}

function upload(file, path = "") {
  const largest = Number($("drop").dataset.largestMb) * 2 ** 20;
  const bar = el("progress", { max: 100, value: 0, "aria-label": `Uploading ${file.name}` });
  const state = el("span", { className: "tag" }, "Waiting to send");
  const row = el("li", { className: "row" }, el("span", { className: "kind" }, file.name.split(".").pop().slice(0, 5)),
    el("span", { className: "name" }, el("b", {}, file.name), el("span", { className: "hint" }, [path, size(file.size)].filter(Boolean).join(" · "))),
    el("span", { className: "state" }, state), el("span", { className: "buttons" }), bar);
  $("upload-list").append(row);
  total += 1;
  summary();
  const fail = (message) => {
    settled += 1;
    row.classList.add("bad");
    state.className = "tag bad";
    state.textContent = "Not sent";
    bar.remove();
    row.append(el("p", { className: "why" }, message));
    summary();
  };
  if (file.size > largest) { fail(`It is larger than ${$("drop").dataset.largestMb} MiB.`); return; }
  if (!$("into").value) { fail("There is no collection that you may add files to yet."); return; }
  waiting.push({ file, path, into: $("into").value, row, bar, state, fail });
  pump();
}

function pump() {
  while (sending < 2 && waiting.length) {
    sending += 1;
    transfer(waiting.shift()).finally(() => { sending -= 1; pump(); });
  }
}

/** How long to wait before sending again what was refused only for now; 0: it was refused for good. */
function pause(request, tries) {
  const forNow = request.status === 429 || (request.status === 503 && tries < 5);
  return forNow ? Number(request.getResponseHeader("Retry-After")) || 5 : 0;
}

function transfer(job) {
  const { file, path, into, row, bar, state, fail } = job;
  return new Promise((finish) => {
    const body = new FormData();
    body.append("collection", into);
    if (path) body.append("external_id", path); // two files of a folder may have the same name
    body.append("file", file, file.name);
    const request = new XMLHttpRequest(); // fetch cannot say how much was sent
    request.open("POST", "/app/documents");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      const percent = Math.floor((100 * event.loaded) / event.total);
      bar.value = percent;
      state.className = "tag accent";
      state.textContent = percent < 100 ? `Sending ${percent} %` : "Storing";
    };
    request.onload = async () => {
      if (request.status < 300) {
        settled += 1;
        const document = request.response;
        place(document, (fresh) => row.replaceWith(fresh));
        if (request.status === 200) toast(`${path || file.name} is here already.`);
        else if (document.revision > 1) toast(`${path || file.name} replaces the file of that name in ${into}; it is revision ${document.revision} now.`);
        summary();
      } else if (pause(request, (job.tries = (job.tries || 0) + 1))) {
        state.className = "tag";
        state.textContent = "Waiting to send";
        setTimeout(() => { waiting.push(job); pump(); }, 1000 * pause(request, job.tries));
      } else {
        const answer = { json: async () => request.response || {}, status: request.status };
        fail((await problemOf(answer)).message);
      }
      finish();
    };
    request.onerror = () => { fail("The connection broke. Drop the file again."); finish(); };
    request.send(body);
  });
}

/** The files of what was dropped, each with its path where it lies in a folder. */
async function filesOf(entry) {
  if (entry.isFile) return [[await new Promise((ok, no) => entry.file(ok, no)), entry.fullPath.replace(/^\//, "")]];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((ok, no) => reader.readEntries(ok, no));
    if (!some.length) return found;
    for (const inner of some) found.push(...(await filesOf(inner)));
  }
}

if (mayWrite) {
  const drop = $("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    for (const entry of entries) {
      try {
        for (const [file, path] of await filesOf(entry)) upload(file, path === file.name ? "" : path);
      } catch { toast(`${entry.name} could not be read from your disk.`); }
    }
  });
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  $("files").addEventListener("change", () => { [...$("files").files].forEach((file) => upload(file)); $("files").value = ""; });
  $("uploads-clear").addEventListener("click", () => {
    for (const row of [...$("upload-list").children]) if (!row.querySelector("progress")) row.remove();
    summary();
    list();
  });
  const creating = (on) => { $("collection-form").hidden = !on; if (on) $("collection-form").querySelector("input").focus(); };
  $("new-collection").addEventListener("click", () => creating(true));
  $("collection-cancel").addEventListener("click", () => creating(false));
  $("collection-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    try {
      const made = await call("POST", "/collections", { name: fields.get("name"), title: fields.get("title") || null, everyone: fields.has("everyone") });
      for (const select of [$("into"), $("filters").querySelector("[name=collection]")]) select.append(el("option", { value: made.name }, made.title));
      $("into").value = made.name;
      writable.add(made.name);
      $("nowhere").hidden = true;
      creating(false);
      event.target.reset();
      toast(`Created ${made.title}.`);
    } catch (error) { toast(error.message); }
  });
}

list();
watch();

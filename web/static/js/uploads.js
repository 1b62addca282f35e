// Sending files from the documents page: choosing, dropping, progress, sending again.
import { list, place, replaces, titleOf, writable } from "/static/js/documents.js";
import { freeName, replacedBy } from "/static/js/namesakes.js";
import { call, day, el, icon, problemOf, remember, size, toast } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const waiting = [];
let sending = 0, total = 0, sent = 0, failed = 0;
remember($("into"), "kb.into");

function summary() {
  $("uploads").hidden = !$("upload-list").children.length;
  const stored = (kind) => $("upload-list").querySelectorAll(`.row:has(.name a) .tag${kind}`).length; // what has a page of its own
  const parts = [sent + failed < total ? `${sent} of ${total} sent` : `${sent} sent`, failed && `${failed} not sent`, stored(":is(.good, .warn)") && `${stored(":is(.good, .warn)")} ready`, stored(".bad") && `${stored(".bad")} failed`];
  const text = parts.filter(Boolean).join(", ");
  if ($("uploads-sum").textContent !== text) $("uploads-sum").textContent = text; // it is read aloud
}

/** A row for a file, which goes to the end of the queue. path: its name within a folder. */
function upload(file, path = "") {
  const state = el("span", { className: "tag" });
  const row = el("li", { className: "row" }, el("span", { className: "kind" }, file.name.split(".").pop().slice(0, 5)),
    el("span", { className: "name" }, el("b", {}, file.name), el("span", { className: "hint" }, [path, size(file.size)].filter(Boolean).join(" · "))),
    el("span", { className: "state" }, state), el("span", { className: "buttons" }));
  $("upload-list").append(row);
  total += 1;
  enqueue({ file, path, into: $("into").value, row, state });
}

function enqueue(job) {
  const { file, row, state } = job;
  const largest = Number($("drop").dataset.largestMb);
  job.bar = el("progress", { max: 100, value: 0, "aria-label": `Uploading ${file.name}` });
  row.classList.remove("bad");
  row.querySelector(".why")?.remove();
  row.querySelector(".buttons").replaceChildren();
  row.append(job.bar);
  state.className = "tag";
  state.textContent = "Waiting to send";
  if (file.size > largest * 2 ** 20) fail(job, `It is larger than ${largest} MB.`, false);
  else if (!job.into) fail(job, "There is no collection that you may add files to yet.", false);
  else waiting.push(job);
  summary();
  pump();
}

/** again: whether sending it once more may help. */
function fail(job, message, again = true) {
  const { file, row, state, bar } = job;
  failed += 1;
  row.classList.add("bad");
  state.className = "tag bad";
  state.textContent = "Not sent";
  bar.remove();
  row.append(el("p", { className: "why" }, message));
  const anew = () => { failed -= 1; job.tries = 0; enqueue(job); };
  const label = `Send again: ${file.name}`;
  if (again) row.querySelector(".buttons").replaceChildren(el("button", { type: "button", className: "icon-button", title: "Send again", "aria-label": label, onclick: anew }, icon("retry")));
  summary();
}

function pump() {
  while (sending < 2 && waiting.length) {
    sending += 1;
    start(waiting.shift()).finally(() => { sending -= 1; pump(); });
  }
}

/** Send it, unless a person has to say first what it is. A file of a folder is known by its whole path: it is a newer one. */
async function start(job) {
  const old = !job.path && !job.asked && (await replacedBy(job.file, job.into));
  return old ? ask(job, old) : transfer(job);
}

function ask(job, old) {
  const { file, into, row, state, bar } = job;
  bar.hidden = true;
  state.className = "tag warn";
  state.textContent = "Not sent yet";
  const choice = (label, act) => el("button", { type: "button", onclick: act }, label);
  const go = (name) => { question.remove(); bar.hidden = false; state.className = "tag"; state.textContent = "Waiting to send"; waiting.push(Object.assign(job, { asked: true, name })); pump(); };
  const both = async () => { try { go(await freeName(file.name, into)); } catch (error) { toast(error.message); } };
  const question = el("div", { className: "why" },
    el("p", {}, `${titleOf(into)} has a file of this name already: `, el("a", { href: `/documents/${encodeURIComponent(old.id)}`, target: "_blank" }, old.title), `, revision ${old.revision}, ${size(old.size)}, ${day(old.updated_at)}. Is this a newer one of the same, or another document?`),
    el("p", { className: "actions" }, choice("Replace it", () => go()), choice("Keep both", both), choice("Do not send", () => { total -= 1; row.remove(); })));
  row.append(question);
}

/** How long to wait before sending again what was refused only for now; 0: it was refused for good. */
function pause(request, tries) {
  const forNow = request.status === 429 || (request.status === 503 && tries < 5);
  return forNow ? Number(request.getResponseHeader("Retry-After")) || 5 : 0;
}

function transfer(job) {
  const { file, path, into, row, bar, state, name = file.name } = job;
  return new Promise((finish) => {
    const body = new FormData();
    body.append("collection", into);
    if (path) body.append("external_id", path); // two files of a folder may have the same name
    body.append("file", file, name);
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
        sent += 1;
        const document = request.response;
        if (request.status !== 200 && document.revision > 1) replaces(document);
        place(document, (fresh) => row.replaceWith(fresh));
        if (request.status === 200) toast(`${path || name} is here already.`);
        else if (document.revision > 1) toast(`${path || name} replaces the file of that name in ${titleOf(into)}; it is revision ${document.revision} now.`);
        summary();
      } else if (pause(request, (job.tries = (job.tries || 0) + 1))) {
        state.className = "tag";
        state.textContent = "Waiting to send";
        setTimeout(() => { waiting.push(job); pump(); }, 1000 * pause(request, job.tries));
      } else {
        const answer = { json: async () => request.response || {}, status: request.status };
        fail(job, (await problemOf(answer)).message, request.status >= 500);
      }
      finish();
    };
    request.onerror = () => { fail(job, "The connection broke before the file was stored."); finish(); };
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

// the whole page takes files: a browser would open what is dropped beside a smaller target, and leave the page
addEventListener("dragover", (event) => {
  event.preventDefault();
  if (event.dataTransfer?.types.includes("Files")) $("drop").classList.add("over");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  for (const entry of entries) {
    try {
      for (const [file, path] of await filesOf(entry)) upload(file, path === file.name ? "" : path);
    } catch { toast(`${entry.name} could not be read from your disk.`); }
  }
  if (entries.length) $("uploads").scrollIntoView({ block: "nearest" });
});
for (const input of [$("files"), $("folder")]) {
  const take = () => { [...input.files].forEach((file) => upload(file, file.webkitRelativePath)); input.value = ""; };
  input.addEventListener("change", take);
  take(); // what was chosen before this script was there
}
addEventListener("beforeunload", (event) => { if (sent + failed < total) event.preventDefault(); }); // what was not sent yet would be lost

$("uploads-clear").addEventListener("click", () => {
  for (const row of [...$("upload-list").children]) if (!row.querySelector("progress")) row.remove();
  list();
});
new MutationObserver(summary).observe($("upload-list"), { childList: true }); // rows also go when their document is deleted

// a new collection

const creating = (on) => { $("collection-form").hidden = !on; if (on) $("collection-form").querySelector("input").focus(); };
$("new-collection").addEventListener("click", () => creating(true));
$("collection-cancel").addEventListener("click", () => { creating(false); $("new-collection").focus(); });
const fields = $("collection-form").elements;
/** A short name for a title; what has no letters of the Latin alphabet is for its owner to name. */
const short = (title) => title.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/ß/g, "ss").replace(/[^a-z0-9._]+/g, "-").replace(/^[^a-z0-9]+|-+$/g, "").slice(0, 64);
let own = false; // whether the short name was written by hand
const right = () => fields.name.setCustomValidity(fields.name.validity.patternMismatch ? "Only a-z, 0-9, dot, dash and underscore, a letter or digit first." : "");
fields.title.addEventListener("input", () => { if (!own) { fields.name.value = short(fields.title.value); right(); } });
fields.name.addEventListener("input", () => { own = Boolean(fields.name.value); right(); });
$("collection-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(event.target);
  try {
    const made = await call("POST", "/collections", { name: fields.get("name"), title: fields.get("title") || null, everyone: fields.has("everyone") });
    for (const select of [$("into"), $("filters").querySelector("[name=collection]")]) select.append(el("option", { value: made.name }, made.title));
    $("into").value = made.name;
    $("into").dispatchEvent(new Event("change"));
    writable.add(made.name);
    $("nowhere").hidden = true;
    creating(false);
    event.target.reset();
    own = false;
    $("new-collection").focus();
    toast(`Created ${made.title}.`);
  } catch (error) { toast(error.message); }
});

// The administration pages; each part runs on the page that has its elements.
import { stackedDays } from "/static/js/chart.js";
import { REASONS } from "/static/js/reasons.js";
import { addressed, call, copy, day, el, icon, langOf, moment, steady, toast, withHeld, withQuery } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const attempt = async (act) => { try { return await act(); } catch (error) { toast(error.message); return null; } };

function secret(text, value) {
  const take = el("button", { type: "button", "aria-describedby": "secret-text", onclick: async () => { try { await copy(value); toast("Copied."); } catch (error) { toast(error.message); } } }, icon("copy"), "Copy");
  $("secret").replaceChildren(el("p", { id: "secret-text" }, text, " ", el("span", { className: "hint" }, "It is shown only now. Copy it before you leave this page.")), el("p", { className: "actions" }, el("code", {}, value), take));
  $("secret").hidden = false;
  $("secret").scrollIntoView({ block: "nearest" });
  take.focus(); // which also has the text read aloud
}

// status

function tile(title, big, ...lines) {
  return el("section", { className: "card tile" }, el("h2", {}, title), el("p", { className: "big" }, big), lines.filter(Boolean).map((line) => el("p", { className: "hint" }, line)));
}

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const WORDS = { leased: "running", quarantined: "set aside", ready_with_warnings: "ready with warnings" };
/** How many documents are in which state, each a way to them. */
const states = (counts) => Object.entries(counts).filter(([, n]) => n).flatMap(([name, n], at) => [at ? ", " : "", el("a", { href: withHeld("/documents", { state: name }) }, `${n} ${WORDS[name] || name}`)]);
const listed = (counts) => Object.entries(counts).filter(([, n]) => n).map(([name, n]) => `${n} ${WORDS[name] || name}`).join(", ");

let before = "";

async function status() {
  const s = await attempt(() => call("GET", "/status"));
  if (s && JSON.stringify(s) !== before) { // what is marked or focused stays while nothing changes
    before = JSON.stringify(s);
    const model = s.model.configured ? (s.model.available ? "Answering" : "Not answering") : "None";
    $("status").replaceChildren(
      tile("Documents", String(sum(s.documents)), states(s.documents), `in ${s.collections} collection${s.collections === 1 ? "" : "s"}`),
      tile("Queue", String((s.jobs.queued || 0) + (s.jobs.leased || 0)), listed(s.jobs)),
      tile("Language model", model, s.model.name, s.model.note),
      tile("Search index", s.index.ready ? "Ready" : "Not ready", `Encoder ${s.encoder}`, s.index.note),
      tile("Disk", `${s.disk.free_gb} GB free`, `of ${s.disk.total_gb} GB`),
      tile("Version", s.version));
  }
  setTimeout(status, 5000);
}

const TIERS = [["faq", "From the FAQ"], ["generated", "Written by the model"], ["extractive", "Quoted"], ["none", "No answer found"]];

async function answerDays() {
  const found = await attempt(() => call("GET", "/answer-days"));
  if (found) $("answer-days").replaceChildren(stackedDays(found.data, TIERS, "No questions in the last 30 days."));
}

// people

async function users() {
  const found = await attempt(() => call("GET", "/users"));
  if (!found) return;
  steady($("users"), () => $("users").tBodies[0].replaceChildren(...found.data.map((user) => {
    const change = (body, done) => attempt(async () => { const answer = await call("PATCH", `/users/${user.id}`, body); done?.(answer); }).then(users); // also when refused: the row shows what is
    const named = (event) => { // arrow keys choose at once: so much power is not given by a slip
      if (event.target.value === "admin" && !confirm(`Make ${user.name} an admin? Admins read and change everything.`)) event.target.value = user.role;
      else change({ role: event.target.value });
    };
    const role = el("select", { "aria-label": `Role of ${user.name}`, onchange: named },
      ["Reader", "Editor", "Curator", "Admin"].map((name) => el("option", { value: name.toLowerCase(), selected: name.toLowerCase() === user.role }, name)));
    return el("tr", {}, el("td", {}, user.name, " ", user.disabled && el("span", { className: "tag bad" }, "closed")), el("td", {}, user.email), el("td", {}, role), el("td", { "data-label": "Since" }, day(user.created_at)),
      el("td", {}, el("span", { className: "actions" },
        el("button", { type: "button", "aria-label": `New password: ${user.name}`, onclick: () => confirm(`Give ${user.name} a new password? The present one ends.`) && change({ password: true }, (a) => secret(`New password of ${user.email}:`, a.password)) }, "New password"),
        el("button", { type: "button", className: "danger", "aria-label": `${user.disabled ? "Reopen account" : "Close account"}: ${user.name}`, onclick: () => (user.disabled || confirm(`Close the account of ${user.name}? They are signed out at once, and cannot sign in until it is opened again.`)) && change({ disabled: !user.disabled }) }, user.disabled ? "Reopen account" : "Close account"))));
  })));
}

// keys

async function keys() {
  const found = await attempt(() => call("GET", "/keys"));
  if (!found) return;
  steady($("keys"), () => $("keys").tBodies[0].replaceChildren(...found.data.map((key) => {
    const revoke = () => confirm(`Revoke “${key.name}”? Programs that use it stop working at once.`) && attempt(async () => { await call("DELETE", `/keys/${key.id}`); keys(); });
    return el("tr", {}, el("td", {}, key.name), el("td", { "data-label": "It may" }, key.scopes.join(", ")), el("td", { "data-label": "Collections" }, key.collections ? key.collections.join(", ") || "none" : "all"),
      el("td", { "data-label": "Last used" }, key.last_used_at ? day(key.last_used_at) : "never"),
      el("td", {}, key.revoked ? el("span", { className: "tag bad" }, "revoked") : el("button", { type: "button", className: "danger", "aria-label": `Revoke: ${key.name}`, onclick: revoke }, icon("trash"), "Revoke")));
  })));
  if (!found.data.length) $("keys").tBodies[0].append(el("tr", {}, el("td", { colSpan: 5, className: "hint" }, "No keys yet.")));
}

// unanswered questions, feedback, and the audit log

let next = null;
const asked = (question) => el("td", {}, el("span", { className: "clip", title: question, lang: langOf(question) }, question));
const when = (iso, label) => el("td", { className: "when", "data-label": label }, day(iso));
const answerIt = (question, ...more) => el("td", {}, el("span", { className: "actions" },
  el("a", { className: "button", href: withHeld("/", { q: question }), "aria-label": `Ask: ${question}` }, "Ask"),
  el("a", { className: "button", href: withHeld("/faq", { question }), "aria-label": `FAQ entry: ${question}` }, icon("plus"), "FAQ entry"), more));

let latest = 0;

async function page(id, rowOf, nothing, more, wanted = {}) {
  const turn = (latest += 1);
  const found = await attempt(() => call("GET", withQuery(`/${id}`, { ...wanted, cursor: more ? next : null })));
  if (!found || turn !== latest) return; // another list was chosen since
  const body = $(id).tBodies[0];
  if (!more) body.replaceChildren();
  body.append(...found.data.map(rowOf));
  if (!body.children.length) body.append(el("tr", {}, el("td", { colSpan: 5, className: "hint" }, nothing)));
  next = found.next;
  $("more").hidden = !next;
}

/** A button that takes a question off the list and puts it back; the row stays until the page is loaded anew, so that a slip is undone in its place. */
function dismissal(row, dismissed) {
  let busy = false; // not disabled meanwhile, which would take the focus away
  const turn = async () => {
    if (busy) return;
    busy = true;
    await attempt(async () => {
      await call(dismissed ? "DELETE" : "POST", `/unanswered/${row.id}/dismissal`);
      dismissed = !dismissed;
      name();
      toast(dismissed ? "Dismissed until it is asked again." : "Put back.");
    });
    busy = false;
  };
  const button = el("button", { type: "button", onclick: turn });
  const name = () => {
    button.textContent = dismissed ? "Put back" : "Dismiss";
    button.setAttribute("aria-label", `${button.textContent}: ${row.question}`);
    button.closest("tr")?.classList.toggle("moved");
  };
  name();
  return button;
}

function unanswered(more = false) {
  const dismissed = $("filters").elements.dismissed.value;
  const rowOf = (row) => el("tr", {}, asked(row.question), el("td", { "data-label": "Times asked" }, String(row.count)), when(row.created_at, "Last asked"), answerIt(row.question, dismissal(row, Boolean(dismissed))));
  return page("unanswered", rowOf, dismissed ? "No question is dismissed." : "No question is waiting for an answer.", more, { dismissed });
}

const feedback = (more = false) => page("feedback", (row) => el("tr", {}, asked(row.question),
  el("td", { "data-label": "It helped" }, el("span", { className: `tag ${row.rating === "up" ? "good" : "bad"}` }, row.rating === "up" ? "yes" : "no")),
  el("td", {}, el("span", { className: "clip" }, [REASONS[row.reason] || row.reason, row.comment].filter(Boolean).join(": "))), when(row.created_at, "When"), answerIt(row.question)), "Nobody has rated an answer yet.", more);

const audit = (more = false) => page("audit", (row) => el("tr", {}, el("td", { className: "when" }, moment(row.at)), el("td", {}, row.who), el("td", {}, row.what),
  el("td", {}, el("span", { className: "clip", lang: langOf(row.object) }, row.object), row.detail && el("span", { className: "hint" }, row.detail))), "Nothing was changed yet.", more);

if ($("status")) { status(); answerDays(); }
if ($("users")) {
  users();
  $("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const made = await call("POST", "/users", Object.fromEntries(new FormData(event.target)));
      event.target.reset();
      await users();
      secret(`First password of ${made.email}:`, made.password);
    });
  });
}
if ($("keys")) {
  keys();
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    const collections = fields.getAll("collections");
    attempt(async () => {
      const made = await call("POST", "/keys", { name: fields.get("name"), scopes: fields.getAll("scopes"), collections: collections.length ? collections : null });
      event.target.reset();
      await keys();
      secret("The new key:", made.key);
    });
  });
}
if ($("unanswered")) {
  const keep = addressed($("filters"));
  $("filters").addEventListener("change", () => { keep(); unanswered(); });
}
for (const [id, show] of [["unanswered", unanswered], ["feedback", feedback], ["audit", audit]]) {
  if (!$(id)) continue;
  show();
  $("more").addEventListener("click", () => show(true));
}

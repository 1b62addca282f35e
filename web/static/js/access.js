// Groups, and who may use which collection.
import { call, el, icon, steady, toast } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const attempt = async (act, then) => { try { await act(); } catch (error) { toast(error.message); } await then(); }; // also when refused: the page shows what is
const option = ([value, text]) => el("option", { value }, text);
let subjects = new Map(); // "kind|id" → what people call it

/** A name with a button that takes it away. */
function chip(text, label, remove) {
  return el("span", { className: "tag" }, text, " ", el("button", { type: "button", className: "icon-button", title: label, "aria-label": label, onclick: remove }, icon("close")));
}

const danger = (label, act) => el("button", { type: "button", className: "danger", "aria-label": label, onclick: act }, icon("trash"), "Delete");

function groupRow(group, people) {
  const name = (id) => people.get(id)?.email || id;
  const set = (user_id, member) => attempt(() => call("POST", `/groups/${group.id}/members`, { user_id, member }), show);
  const others = [...people.values()].filter((user) => !group.members.includes(user.id)).map((user) => [user.id, user.email]);
  const pick = el("select", { "aria-label": `Somebody for ${group.name}` }, [["", "Somebody…"], ...others].map(option));
  const add = el("button", { type: "button", "aria-label": `Add to ${group.name}`, onclick: () => (pick.value ? set(pick.value, true) : pick.focus()) }, "Add");
  const remove = () => confirm(`Delete the group “${group.name}” and what was granted to it?`) && attempt(() => call("DELETE", `/groups/${group.id}`), show);
  return el("tr", {}, el("td", {}, group.name),
    el("td", {}, el("span", { className: "chips" }, group.members.map((id) => chip(name(id), `Take ${name(id)} out of ${group.name}`, () => set(id, false))), !group.members.length && el("span", { className: "hint" }, "nobody yet"))),
    el("td", {}, el("span", { className: "actions" }, pick, add)), el("td", {}, danger(`Delete the group ${group.name}`, remove)));
}

/** The row of a collection, anew. given: its grants. */
function grantRow(row, given) {
  const { name, title, documents } = row.dataset;
  const set = (subject, permission) => {
    const [subject_kind, subject_id] = subject.split("|");
    return attempt(() => call("POST", `/collections/${name}/grants`, { subject_kind, subject_id, permission }), async () => {
      try { grantRow(row, (await call("GET", `/collections/${name}/grants`)).data); } catch (error) { toast(error.message); }
    });
  };
  const who = el("select", { "aria-label": `Grant ${name} to` }, [...subjects].map(option));
  const may = el("select", { "aria-label": `They may, in ${name}` }, [["read", "may read"], ["write", "may read and write"]].map(option));
  const chips = given.map(({ subject_kind, subject_id, permission }) => {
    const subject = `${subject_kind}|${subject_id}`, called = subjects.get(subject) || subject;
    return chip(`${called}: ${permission}`, `Take ${name} from ${called}`, () => set(subject, "none"));
  });
  const rename = () => {
    const wanted = prompt("What is this collection to be called?", title)?.trim();
    if (!wanted || wanted === title) return;
    attempt(async () => {
      row.dataset.title = (await call("PATCH", `/collections/${name}`, { title: wanted })).title;
      grantRow(row, given);
      toast(`Renamed to ${row.dataset.title}.`);
    }, () => {});
  };
  const remove = () => {
    const typed = prompt(`Delete the collection “${title}” with its documents (${documents}) and FAQ entries? This cannot be undone. Type its short name, ${name}, to go on.`);
    if (typed === null) return;
    if (typed.trim() !== name) toast("That was not its short name: nothing was deleted.");
    else attempt(async () => { await call("DELETE", `/collections/${name}`); steady($("grants"), () => row.remove()); toast(`Deleted ${title}.`); }, () => {});
  };
  steady(row, () => {
    row.cells[0].replaceChildren(title, " ", el("span", { className: "hint" }, name));
    row.cells[1].replaceChildren(el("span", { className: "chips" }, chips, !chips.length && el("span", { className: "hint" }, "admins only")));
    row.cells[2].replaceChildren(el("span", { className: "actions" }, who, may, el("button", { type: "button", "aria-label": `Grant ${name}`, onclick: () => set(who.value, may.value) }, "Grant")));
    row.cells[3].replaceChildren(el("span", { className: "actions" }, el("button", { type: "button", className: "icon-button", title: "Rename", "aria-label": `Rename the collection ${title}`, onclick: rename }, icon("pen")), danger(`Delete the collection ${title}`, remove)));
  });
}

async function show() {
  try {
    const [users, groups, grants] = await Promise.all([call("GET", "/users"), call("GET", "/groups"), call("GET", "/grants")]);
    const people = new Map(users.data.filter((user) => !user.disabled).map((user) => [user.id, user]));
    const rows = groups.data.map((group) => groupRow(group, people));
    steady($("groups"), () => $("groups").tBodies[0].replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colSpan: 4, className: "hint" }, "No groups yet."))])));
    subjects = new Map([["everyone|", "Everyone"], ...groups.data.map((group) => [`group|${group.id}`, `Group ${group.name}`]), ...[...people.values()].map((user) => [`user|${user.id}`, user.email])]);
    for (const row of document.querySelectorAll("#grants tr[data-name]")) grantRow(row, grants.data.filter((grant) => grant.collection === row.dataset.name));
  } catch (error) { toast(error.message); }
}

$("group-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => { await call("POST", "/groups", { name: new FormData(event.target).get("name") }); event.target.reset(); }, show);
});
show();

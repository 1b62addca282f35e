// Groups, and who may use which collection.
import { call, el, icon, toast } from "/static/js/ui.js";

const $ = (id) => document.getElementById(id);
const attempt = async (act) => { try { await act(); } catch (error) { toast(error.message); } await show(); };
const option = ([value, text]) => el("option", { value }, text);

/** A name with a button that takes it away. */
function chip(text, label, remove) {
  return el("span", { className: "tag" }, text, " ", el("button", { type: "button", className: "icon-button", title: label, "aria-label": label, onclick: remove }, icon("close")));
}

function groupRow(group, people) {
  const name = (id) => people.get(id)?.email || id;
  const set = (user_id, member) => attempt(() => call("POST", `/groups/${group.id}/members`, { user_id, member }));
  const others = [...people.values()].filter((user) => !group.members.includes(user.id)).map((user) => [user.id, user.email]);
  const pick = el("select", { "aria-label": `Add to ${group.name}`, onchange: (event) => event.target.value && set(event.target.value, true) }, [["", "Add somebody…"], ...others].map(option));
  const remove = () => confirm(`Delete the group “${group.name}” and what was granted to it?`) && attempt(() => call("DELETE", `/groups/${group.id}`));
  return el("tr", {}, el("td", {}, group.name),
    el("td", {}, el("span", { className: "chips" }, group.members.map((id) => chip(name(id), `Take ${name(id)} out of ${group.name}`, () => set(id, false))), !group.members.length && el("span", { className: "hint" }, "nobody yet"))),
    el("td", {}, pick), el("td", {}, el("button", { type: "button", className: "danger", onclick: remove }, icon("trash"), "Delete")));
}

async function grantRow(row, subjects) {
  const name = row.dataset.name;
  const found = await call("GET", `/collections/${name}/grants`);
  const set = (subject, permission) => { const [subject_kind, subject_id] = subject.split("|"); return attempt(() => call("POST", `/collections/${name}/grants`, { subject_kind, subject_id, permission })); };
  const given = found.data.map((grant) => [`${grant.subject_kind}|${grant.subject_id}`, grant.permission]);
  const who = el("select", { "aria-label": `Grant ${name} to` }, [...subjects].map(option));
  const may = el("select", { "aria-label": "Permission" }, [["read", "may read"], ["write", "may read and write"]].map(option));
  row.cells[1].replaceChildren(el("span", { className: "chips" }, given.map(([subject, permission]) => chip(`${subjects.get(subject) || subject}: ${permission}`, `Take ${name} from ${subjects.get(subject) || subject}`, () => set(subject, "none"))), !given.length && el("span", { className: "hint" }, "admins only")));
  row.cells[2].replaceChildren(el("span", { className: "actions" }, who, may, el("button", { type: "button", onclick: () => set(who.value, may.value) }, "Grant")));
}

async function show() {
  try {
    const [users, groups] = await Promise.all([call("GET", "/users"), call("GET", "/groups")]);
    const people = new Map(users.data.filter((user) => !user.disabled).map((user) => [user.id, user]));
    const rows = groups.data.map((group) => groupRow(group, people));
    $("groups").tBodies[0].replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colSpan: 4, className: "hint" }, "No groups yet."))]));
    const subjects = new Map([["everyone|", "Everyone"], ...groups.data.map((group) => [`group|${group.id}`, `Group ${group.name}`]), ...[...people.values()].map((user) => [`user|${user.id}`, user.email])]);
    await Promise.all([...document.querySelectorAll("#grants tr[data-name]")].map((row) => grantRow(row, subjects)));
  } catch (error) { toast(error.message); }
}

$("group-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => { await call("POST", "/groups", { name: new FormData(event.target).get("name") }); event.target.reset(); });
});
show();

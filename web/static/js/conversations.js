// The list of earlier conversations beside the chat: by day, or those that hold some words; each can be renamed and deleted.
import { addressed, call, calm, el, icon, langOf, steady, toast, withHeld, withQuery } from "/static/js/ui.js";

const place = document.getElementById("conversations");
const search = document.getElementById("search");
const box = search.elements.find;
const keep = addressed(search);
let again = () => {}; // the list as it was shown last, anew
let latest = 0;

/** When that was: today, yesterday, …, or the month. */
function when(iso) {
  const start = (moment) => new Date(moment).setHours(0, 0, 0, 0);
  const days = Math.round((start(Date.now()) - start(iso)) / 864e5);
  if (days < 2) return days === 1 ? "Yesterday" : "Today";
  if (days < 31) return days < 7 ? "Last 7 days" : "Last 30 days";
  return new Date(iso).toLocaleDateString("en-GB", { month: "long", year: "numeric" });
}

/** Show the list anew. open: the id of the conversation on the page; left: called when that one was deleted; named: with its title. */
export async function showConversations(open, told, cursor = null) {
  again = () => showConversations(open, told);
  const q = box.value.trim(), turn = (latest += 1);
  let found;
  try {
    found = await call("GET", withQuery("/conversations", { limit: 50, cursor, q }));
  } catch (error) {
    toast(error.message);
    return;
  }
  if (turn === latest) steady(place, () => show(found, open, told, cursor, q)); // else other words were typed since
}

function show(found, open, { left, named }, cursor, q) {
  if (cursor) place.querySelector(".more")?.remove();
  else place.replaceChildren();
  for (const row of found.data) {
    const title = when(row.updated_at);
    if (row.id === open) named(row.title);
    if (place.lastElementChild?.dataset.when !== title) {
      place.append(el("section", { "data-when": title }, el("h2", { className: "side-title" }, title), el("ul", { className: "conversations" })));
    }
    place.lastElementChild.lastElementChild.append(el("li", {},
      el("a", { href: addressOf(row, q), title: row.title, lang: langOf(row.title), "aria-current": row.id === open ? "page" : null }, row.title),
      el("button", { type: "button", className: "icon-button", title: "Rename", "aria-label": `Rename: ${row.title}`, onclick: () => rename(row, row.id === open ? named : () => {}) }, icon("pen")),
      el("button", { type: "button", className: "icon-button", title: "Delete", "aria-label": `Delete: ${row.title}`, onclick: () => remove(row, row.id === open ? left : () => again()) }, icon("trash"))));
  }
  if (!place.children.length) place.append(el("p", { className: "hint" }, q ? "None of your conversations holds these words." : "Your questions will be listed here."));
  search.hidden = !q && !found.data.length && !cursor;
  if (found.next) place.append(el("p", { className: "more" }, el("button", { type: "button", onclick: () => showConversations(open, { left, named }, found.next) }, "Show more")));
}

/** The conversation's page; with the search, so that the next one found is at hand there. */
const addressOf = (row, q) => (q ? withHeld : (path) => path)(`/c/${encodeURIComponent(row.id)}`, { find: q });

async function rename(row, then) {
  const title = prompt("What is this conversation to be called?", row.title)?.trim();
  if (!title || title === row.title) return;
  try {
    const { title: given } = await call("PATCH", `/conversations/${encodeURIComponent(row.id)}`, { title });
    then(given); // also where the list, narrowed to some words, does not hold it any more
    toast(`Renamed to ${given}.`);
  } catch (error) { toast(error.message); }
  again();
}

async function remove(row, then) {
  if (!confirm(`Delete “${row.title}” with its answers? This cannot be undone.`)) return;
  try {
    await call("DELETE", `/conversations/${encodeURIComponent(row.id)}`);
  } catch (error) {
    if (error.status !== 404) { toast(error.message); return; } // 404: deleted in another window
  }
  then();
}

search.addEventListener("input", calm(() => { keep(); again(); }));
search.addEventListener("submit", (event) => { event.preventDefault(); keep(); again(); });

// The list of earlier conversations beside the chat: by day, with a way to delete each.
import { call, el, icon, langOf, steady, toast, withQuery } from "/static/js/ui.js";

const place = document.getElementById("conversations");

/** When that was: today, yesterday, …, or the month. */
function when(iso) {
  const start = (moment) => new Date(moment).setHours(0, 0, 0, 0);
  const days = Math.round((start(Date.now()) - start(iso)) / 864e5);
  if (days < 2) return days === 1 ? "Yesterday" : "Today";
  if (days < 31) return days < 7 ? "Last 7 days" : "Last 30 days";
  return new Date(iso).toLocaleDateString("en-GB", { month: "long", year: "numeric" });
}

/** Show the list anew. open: the id of the conversation on the page; left: called when that one was deleted. */
export async function showConversations(open, left, cursor = null) {
  let found;
  try {
    found = await call("GET", withQuery("/conversations", { limit: 50, cursor }));
  } catch (error) {
    toast(error.message);
    return;
  }
  steady(place, () => show(found, open, left, cursor));
}

function show(found, open, left, cursor) {
  if (cursor) place.querySelector(".more")?.remove();
  else place.replaceChildren();
  const again = () => showConversations(open, left);
  for (const row of found.data) {
    const title = when(row.updated_at);
    if (place.lastElementChild?.dataset.when !== title) {
      place.append(el("section", { "data-when": title }, el("h2", { className: "side-title" }, title), el("ul", { className: "conversations" })));
    }
    place.lastElementChild.lastElementChild.append(el("li", {},
      el("a", { href: `/c/${encodeURIComponent(row.id)}`, title: row.title, lang: langOf(row.title), "aria-current": row.id === open ? "page" : null }, row.title),
      el("button", { type: "button", className: "icon-button", title: "Delete", "aria-label": `Delete: ${row.title}`, onclick: () => remove(row, row.id === open ? left : again) }, icon("trash"))));
  }
  if (!place.children.length) place.append(el("p", { className: "hint" }, "Your questions will be listed here."));
  if (found.next) place.append(el("p", { className: "more" }, el("button", { type: "button", onclick: () => showConversations(open, left, found.next) }, "Show more")));
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

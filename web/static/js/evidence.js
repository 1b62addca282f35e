// The side panel: the passage behind a citation, marked in the text around it.
import { laid } from "/static/js/tables.js";
import { call, el, speak } from "/static/js/ui.js";

const grid = document.getElementById("grid");
const panel = document.getElementById("evidence");
const text = document.getElementById("evidence-text");
const phone = matchMedia("(max-width: 46rem)"); // where the panel covers the page, as kb.css has it
const behind = [document.querySelector(".bar"), document.querySelector(".side"), document.getElementById("main"), document.querySelector(".skip")];
let opener = null, shown = null;

/** Stored text carries its headings as `## …`; people need not see the signs. */
const plain = (stored) => stored.replace(/^(\f*)#{1,6} +/gm, "$1");

/** Where `quote` stands in `passage`, however its white space differs; null: nowhere. */
function find(passage, quote) {
  const words = quote.trim().split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return quote.trim() ? new RegExp(words.join("\\s*")).exec(passage) : null;
}

/** Start and end of `quote` in the document whose text from `start` on is `stored`; the server counts code points. */
function placeOf(stored, quote, start) {
  const found = find(stored, quote);
  if (!found) return null;
  const before = start + [...stored.slice(0, found.index)].length;
  return { start: before, end: before + [...found[0]].length };
}

// the three ways in which text stands in the panel
const around = (words) => document.createTextNode(words);
const said = (words) => el("span", { className: "passage" }, words);
const quoted = (words) => el("mark", {}, words);

/** `quote` marked inside `passage`, as runs for `laid`; without a quote, or where it is not found, all of it is. */
function marked(stored, quotation) {
  const [passage, quote] = [plain(stored), plain(quotation)];
  const found = find(passage, quote);
  if (!found) return [[passage, quoted]];
  const after = found.index + found[0].length;
  return [[passage.slice(0, found.index), said], [found[0], quoted], [passage.slice(after), said]];
}

/** Where in its document a source stands; what its title says already is left out. */
export function whereOf(source) {
  if (source.document_id.startsWith("faq_")) return "FAQ entry";
  const heading = (source.heading || "").split(" › ");
  if (heading[0] === source.title) heading.shift();
  return [source.page && `Page ${source.page}`, heading.join(" › ")].filter(Boolean).join(" · ");
}

/** Show a citation (or a passage, which has no quote). `from` gets the focus back on closing. */
export async function openEvidence(source, passage, from) {
  document.querySelectorAll("[aria-current=true]").forEach((node) => node.removeAttribute("aria-current"));
  from?.setAttribute("aria-current", "true");
  opener = from;
  shown = source;
  const id = encodeURIComponent(source.document_id);
  const place = { revision: source.revision, start: passage?.start, end: passage?.end };
  const query = new URLSearchParams(Object.entries(place).filter(([, value]) => value !== undefined && value !== null));
  document.getElementById("evidence-title").textContent = source.title;
  document.getElementById("evidence-where").textContent = whereOf(source);
  speak(text, passage?.text || source.quote || "");
  speak(document.getElementById("evidence-title"), source.title);
  const isDocument = !source.document_id.startsWith("faq_"); // FAQ answers cite their entry
  const open = document.getElementById("evidence-open");
  open.href = isDocument ? `/documents/${id}?${query}#passage` : source.url;
  open.lastChild.textContent = isDocument ? "Open in document" : "Open the FAQ entry";
  const file = document.getElementById("evidence-file");
  file.href = `/app/documents/${id}/content`;
  file.hidden = !isDocument;
  const quote = source.quote || "";
  text.replaceChildren(...laid(marked(passage?.text || quote, quote)));
  panel.hidden = false;
  grid.classList.add("with-evidence");
  cover();
  if (phone.matches && !history.state?.source) history.pushState({ ...history.state, source: true }, ""); // "back" closes it
  document.getElementById("evidence-title").focus({ preventScroll: true });
  if (!isDocument || !passage || !(passage.end > passage.start)) return;
  try {
    const found = await call("GET", `/documents/${id}/excerpt?${query}`);
    if (shown !== source) return; // another source was opened meanwhile
    speak(text, found.passage, found.language);
    const [before, after] = [found.before && `…${plain(found.before)}`, found.after && `${plain(found.after)}…`];
    text.replaceChildren(...laid([[before, around], ...marked(found.passage, quote), [after, around]]));
    const exact = placeOf(found.passage, quote, passage.start); // of a long passage, the document marks what was quoted
    if (exact) open.href = `/documents/${id}?${new URLSearchParams({ revision: found.revision, ...exact })}#passage`;
    const mark = text.querySelector("mark");
    text.scrollTop += mark.getBoundingClientRect().top - text.getBoundingClientRect().top - text.clientHeight / 3;
  } catch {
    if (shown === source) text.append(el("p", { className: "hint" }, "The document has changed or was removed since; this is the passage as it was quoted."));
  }
}

/** What the panel covers cannot be reached by keys either. */
function cover() {
  for (const part of behind) part.inert = !panel.hidden && phone.matches;
}

export function closeEvidence() {
  if (panel.hidden) return;
  hideEvidence();
  if (history.state?.source) history.back();
}

/** The same, for who went back. */
export function hideEvidence() {
  if (panel.hidden) return;
  panel.hidden = true;
  cover();
  grid.classList.remove("with-evidence");
  opener?.removeAttribute("aria-current");
  opener?.focus();
}

document.getElementById("evidence-close").addEventListener("click", closeEvidence);
phone.addEventListener("change", cover);
if (history.state?.source) history.back(); // come back from the document: to the answer, which is where the panel was opened
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) { event.preventDefault(); closeEvidence(); } // one Escape, one thing closed
});

// Small pieces every page uses: building elements (never from HTML text), icons, calls, messages.

/** An element with properties and children. Strings become text, so nothing here can become markup. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon of the page's sprite. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A message that goes away by itself and is read aloud. */
export function toast(text) {
  const shown = el("div", { className: "toast" }, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), Math.max(6000, 80 * text.length)); // time to read it
}

// what a proxy in front says without kb's own words
const BARE = { 413: "This is larger than the server takes.", 502: "kb is not running, or is being restarted. Try again in a moment.", 504: "kb did not answer in time. Try again in a moment." };

/** What the server said was wrong. */
export class Problem extends Error {
  constructor(problem, status) {
    const errors = (problem.errors || []).filter((e) => !problem.detail?.includes(e.detail)); // not twice
    const fields = errors.map((e) => `${e.pointer.replace(/^\//, "")}: ${e.detail}`).join("; ");
    super([problem.detail || problem.title || BARE[status] || `The server answered ${status}.`, fields].filter(Boolean).join(" "));
    this.status = status;
    this.slug = (problem.type || "").split("/").pop();
  }
}

/** The problem in a response that failed; off to signing in again, and back here, if the session has ended. */
export async function problemOf(response) {
  const found = await response.json().catch(() => ({}));
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  return new Problem(found, response.status);
}

const CARRIED = "kb.question"; // in this tab alone; an address would keep it in logs and histories, and may be too short for it
const PLACE = "kb.place";

/** Keep a question while its page is left, or somebody signs in again. */
export function carry(question) {
  try { sessionStorage.setItem(CARRIED, question); } catch { /* storage is switched off; then nobody can sign in either */ }
}

/** The question that was kept, once; null if none was. */
export function carried() {
  try {
    const kept = sessionStorage.getItem(CARRIED);
    sessionStorage.removeItem(CARRIED);
    return kept;
  } catch { return null; }
}

/** Keep how far a conversation was scrolled when its page was left. */
export function place(page, top) {
  try { sessionStorage.setItem(PLACE, JSON.stringify([page, top])); } catch { /* it opens at its end */ }
}

/** How far it was scrolled, for who comes back to it or loads it anew; undefined for who opens it. */
export function returned(page) {
  try {
    const [kept, top] = JSON.parse(sessionStorage.getItem(PLACE) || "[]");
    const way = performance.getEntriesByType("navigation")[0]?.type;
    return kept === page && ["back_forward", "reload"].includes(way) ? top : undefined;
  } catch { return undefined; }
}

/** The address of a page with a question for it, in the part that is never sent: of any length, and in no log. */
export const withHeld = (path, held) => `${path}#${new URLSearchParams(held)}`;

/** What the link to this page holds as `name`, in that part or in the query; null if nothing. */
export function heldAs(name) {
  const held = new URLSearchParams(location.hash.slice(1)).get(name);
  if (held) history.replaceState(history.state, "", location.pathname + location.search);
  return held || new URLSearchParams(location.search).get(name);
}

/** A JSON call to the server; throws a Problem when it is refused, or when it takes longer than `patienceMs`. */
export async function call(method, path, body, patienceMs = 120000) {
  const options = { method, headers: { Accept: "application/json" }, signal: AbortSignal.timeout(patienceMs) };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/app${path}`, options);
  } catch {
    throw new Problem({ detail: "The server cannot be reached. Check the network and try again." }, 0);
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

/** `path` with those parameters that have a value. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return query.size ? `${path}?${query}` : path;
}

/** Show in a form what the address of its page holds behind the "#"; the function returned keeps there what the form holds now.
 * So "back", a reload and a link show the same, and no log holds what was searched for. */
export function addressed(form) {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const field of form.elements) {
    if (!given.has(field.name)) continue;
    field.value = given.get(field.name);
    if (field.selectedIndex === -1) field.value = ""; // no such choice, or none any more
  }
  return () => {
    const held = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(history.state, "", location.pathname + location.search + (held.size ? `#${held}` : ""));
  };
}

/** `act` makes parts of `place` anew; who was in one of them is afterwards in its successor, or in what has its place. */
export function steady(place, act) {
  const controls = () => [...place.querySelectorAll("a[href], button, input, select, summary")].filter((node) => node.checkVisibility());
  const name = (node) => node.getAttribute("aria-label") || node.textContent;
  const was = document.activeElement, at = controls().indexOf(was);
  act();
  if (at < 0 || was.isConnected) return;
  const now = controls();
  (now.find((node) => node.tagName === was.tagName && name(node) === name(was)) || now[Math.min(at, now.length - 1)] || document.getElementById("main")).focus();
}

/** A date as the pages write it everywhere: 22 Nov 2026, in the reader's time zone. */
export const day = (iso) => new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** The same with the time of day. */
export const moment = (iso) => `${day(iso)}, ${new Date(iso).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;

/** `1 page`, `2 pages`. */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

const SCRIPTS = [["ja", /[\u3040-\u30ff]/], ["ko", /[\uac00-\ud7af]/], ["zh", /[\u3400-\u9fff]/]];

/** The language of a text in an East Asian script, so that it is read aloud and set as such; null: that of the page. */
export function langOf(text) {
  const signs = text.match(/[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/g) || [];
  return signs.length * 4 >= text.length && signs.length ? SCRIPTS.find(([, script]) => script.test(text))[0] : null;
}

/** Mark `node`, which holds `text`, with the text's language. known: what the server found, for other scripts. */
export function speak(node, text, known) {
  const lang = langOf(text) || known;
  if (lang) node.lang = lang;
  else node.removeAttribute("lang");
}

/** Put text on the clipboard; over plain http, where browsers keep the new way shut, by the old one. */
export async function copy(text) {
  try {
    if (navigator.clipboard) { await navigator.clipboard.writeText(text); return; }
  } catch { /* not allowed: the old way */ }
  const back = document.activeElement;
  const box = el("textarea", { className: "hidden", value: text, readOnly: true, "aria-hidden": "true" });
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  back?.focus();
  if (!done) throw new Error("The browser did not allow copying. Mark the text and copy it by hand.");
}

/** Hand the reader a file that was made on the page. */
export function download(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** Keep what is chosen in this list for the next visit, in this browser. */
export function remember(select, key) {
  try {
    const kept = localStorage.getItem(key);
    if ([...select.options].some((option) => option.value === kept)) select.value = kept;
    select.addEventListener("change", () => localStorage.setItem(key, select.value));
  } catch { /* storage is switched off: nothing is kept */ }
}

export function size(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  let n = bytes, u = 0;
  while (n >= 1000 && u < units.length - 1) { n /= 1000; u += 1; }
  return `${n < 10 && u > 0 ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
}

/** `act` once things have been quiet for a moment. */
export function calm(act, ms = 250) {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), ms); };
}

// Markdown while an answer is being written: enough that it looks as it will when the server's own rendering replaces it.
// Elements are built from text, never from HTML: what a model or a document wrote cannot become markup.
import { el } from "/static/js/ui.js";

const INLINE = /`([^`]+)`|\*\*(?=\S)(.+?)\*\*|\*(?=\S)([^*]+?)\*|\[(\d{1,3})\]/g;

/** Code, bold, italic and citation marks of a line; signs that are not closed yet stay signs. */
function inline(text) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    made.push(text.slice(at, found.index));
    const [all, code, bold, italic, mark] = found;
    made.push(code ? el("code", {}, code) : bold ? el("strong", {}, inline(bold)) : italic ? el("em", {}, inline(italic)) : el("span", { className: "cite" }, mark));
    at = found.index + all.length;
  }
  return [...made, text.slice(at)];
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
const RULE = /^[\s:|-]+$/;
const ITEM = /^\s*([-*+]|\d{1,3}[.)])\s+/;

/** The kinds of blocks: which lines belong to one, and what it becomes. The last takes what is left. */
const BLOCKS = [
  { starts: /^\s*```/, takes: (line, lines) => !(lines.length > 1 && /^\s*```/.test(lines.at(-1))), build: (lines) => {
    const body = lines.slice(1);
    if (/^\s*```/.test(body.at(-1) || "")) body.pop();
    return el("pre", {}, el("code", {}, body.join("\n")));
  } },
  { starts: /^#{1,6} /, takes: () => false, build: ([line]) => el("h3", {}, inline(line.replace(/^#+ +/, ""))) },
  { starts: /^\s*\|/, takes: (line) => /^\s*\|/.test(line), build: (lines) => {
    const row = (line, tag) => el("tr", {}, cells(line).map((cell) => el(tag, {}, inline(cell))));
    return el("table", {}, el("thead", {}, row(lines[0], "th")), el("tbody", {}, lines.slice(1).filter((line) => !RULE.test(line)).map((line) => row(line, "td"))));
  } },
  { starts: ITEM, takes: (line) => ITEM.test(line), build: (lines) => {
    const first = Number.parseInt(lines[0].trim(), 10);
    return el(first >= 0 ? "ol" : "ul", first > 1 ? { start: first } : {}, lines.map((line) => el("li", {}, inline(line.replace(ITEM, "")))));
  } },
  { starts: /^>/, takes: (line) => /^>/.test(line), build: (lines) => el("blockquote", {}, el("p", {}, inline(lines.map((line) => line.replace(/^> ?/, "")).join("\n")))) },
  { starts: /./, takes: (line) => line.trim() && !BLOCKS.slice(0, -1).some((kind) => kind.starts.test(line)), build: (lines) => el("p", {}, lines.flatMap((line, n) => (n ? [el("br"), ...inline(line)] : inline(line)))) },
];

/** The elements of a text that may break off anywhere. */
export function markdown(text) {
  const lines = text.split("\n");
  const made = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) { at += 1; continue; }
    const kind = BLOCKS.find((block) => block.starts.test(lines[at]));
    const taken = [lines[at]];
    for (at += 1; at < lines.length && kind.takes(lines[at], taken); at += 1) taken.push(lines[at]);
    made.push(kind.build(taken));
  }
  return made;
}

// Stored text keeps a table as lines with tabs; here such lines become a table again (web/pages/document_text.py does it for pages).
import { el } from "/static/js/ui.js";

/** The runs `[text, make]` line by line; a line is whole however many runs it is cut into. */
function linesOf(runs) {
  const lines = [[]];
  for (const [text, make] of runs) {
    for (const part of text.match(/[^\n]*\n|[^\n]+/g) || []) {
      lines.at(-1).push([part, make]);
      if (part.endsWith("\n")) lines.push([]);
    }
  }
  return lines.filter((line) => line.length);
}

const COLUMNS = 256; // what a row has beyond them stands in its last cell

function rowOf(line) {
  const cells = [el("td")];
  for (const [text, make] of line) {
    const parts = text.replace(/\n$/, "").split("\t");
    const left = COLUMNS - cells.length;
    if (parts.length > left + 1) parts.push(parts.splice(left).join("\t"));
    parts.forEach((part, n) => {
      if (n) cells.push(el("td"));
      if (part) cells.at(-1).append(make(part));
    });
  }
  return el("tr", {}, cells);
}

/** Nodes of a text given as runs `[text, make]`, where make(text) is the node of a part of it. */
export function laid(runs) {
  const nodes = [];
  let rows = [];
  const flush = () => {
    if (rows.length > 1) nodes.push(el("table", { tabIndex: 0 }, el("tbody", {}, rows.map(rowOf))));
    else nodes.push(...rows.flat().map(([text, make]) => make(text)));
    rows = [];
  };
  for (const line of linesOf(runs)) {
    if (line.some(([text]) => text.includes("\t"))) { rows.push(line); continue; }
    flush();
    nodes.push(...line.map(([text, make]) => make(text)));
  }
  flush();
  return nodes;
}

// One answer on the page: while it is made, when it is done, and what a reader can do with it.
import { openEvidence } from "/static/js/evidence.js";
import { REASONS } from "/static/js/reasons.js";
import { call, el, icon, toast } from "/static/js/ui.js";

const TIERS = {
  faq: ["star", "From the FAQ", "good", "A curated answer, given as it was written."],
  generated: ["pen", "Written by the model", "accent", "Written by a language model from the passages below. Check what matters."],
  extractive: ["quote", "Quoted from documents", "", "Sentences taken word for word from the documents."],
  none: ["search", "No answer found", "warn", "The documents you may read hold no answer to this."],
};
const COURTESY = ["chat", "Not a question", "", "A greeting or thanks: nothing was searched."];
const WITHHELD = ["warn", "Not shown any more", "warn", "A document it was made from was removed, or is not yours to read now."];

export class AnswerView {
  constructor() {
    this.label = el("div", { className: "label" });
    this.body = el("div", { className: "prose plain" });
    this.node = el("article", { className: "answer", "aria-busy": "true", "aria-label": "Answer" }, this.label, this.body);
    this.working("Looking through the documents…");
  }

  working(text) {
    this.label.replaceChildren(el("span", { className: "working" }, text));
  }

  on(kind, data) {
    if (kind === "status") this.working(data.position ? `${data.message} (place ${data.position})` : data.message);
    if (kind === "sources") {
      const n = data.passages.length;
      this.working(n ? `Reading ${n} passage${n === 1 ? "" : "s"}…` : "Looking further…");
    }
    if (kind === "token") this.body.append(data.text);
  }

  /** The reader stopped it: what was written stays. */
  stopped() {
    this.node.removeAttribute("aria-busy");
    this.label.replaceChildren(el("span", { className: "tag" }, icon("stop"), "Stopped"));
    if (!this.body.textContent) this.body.append("Nothing was written yet.");
  }

  failed(message, again) {
    this.node.removeAttribute("aria-busy");
    this.label.replaceChildren(el("span", { className: "tag bad" }, icon("warn"), "Could not answer"));
    this.body.replaceChildren(message);
    this.node.append(el("div", { className: "tools-row" }, el("button", { type: "button", onclick: again }, icon("retry"), "Ask again")));
  }

  /** The finished answer. `html` was made and cleaned by the server. */
  done(answer) {
    this.answer = answer;
    this.withheld = !answer.answerable && answer.tier !== "none"; // its documents are gone, or not this reader's any more
    const courtesy = answer.tier === "none" && answer.support === "unchecked";
    const [name, text, tone, title] = this.withheld ? WITHHELD : courtesy ? COURTESY : TIERS[answer.tier] || TIERS.none;
    this.node.removeAttribute("aria-busy");
    this.label.replaceChildren(el("span", { className: `tag ${tone}`, title }, icon(name), text));
    if (answer.support === "partial") this.label.append(el("span", { className: "tag warn" }, "Partly supported"));
    if (answer.support === "none" && answer.answerable) this.label.append(el("span", { className: "tag bad" }, "Not supported by the sources"));
    this.body.className = "prose";
    this.body.innerHTML = answer.html;
    const usual = answer.tier === "extractive"; // that it quotes is no warning
    if (answer.notice) this.body.before(el("p", { className: usual ? "hint" : "note" }, usual ? null : icon("warn"), answer.notice));
    this.body.addEventListener("click", (event) => {
      const link = event.target.closest("a.cite");
      if (!link || event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.open(Number(link.dataset.n), link);
    });
    this.node.append(...this.sources(), this.tools());
  }

  open(n, from) {
    const citation = this.answer.citations.find((c) => c.n === n);
    openEvidence(citation, this.passageOf(citation), from);
  }

  passageOf(citation) {
    const same = this.answer.passages.filter((p) => p.document_id === citation.document_id && p.revision === citation.revision);
    return same.find((p) => p.text.includes(citation.quote)) || same.find((p) => p.n === citation.n) || same[0];
  }

  sources() {
    if (this.withheld) return [];
    const { citations, passages, answerable } = this.answer;
    const closest = !answerable && !citations.length;
    const once = citations.filter((c, at) => citations.findIndex((other) => other.n === c.n) === at);
    const shown = closest ? passages.slice(0, 4) : once;
    if (!shown.length) return [];
    const rows = shown.map((source) => {
      const where = [source.page && `Page ${source.page}`, source.heading].filter(Boolean).join(" · ");
      const open = (event) =>
        openEvidence(source, closest ? source : this.passageOf(source), event.currentTarget);
      return el("button", { type: "button", className: "source", onclick: open },
        el("span", { className: "n" }, String(source.n)),
        el("span", { className: "text" }, el("b", {}, source.title), where && el("span", { className: "where" }, where)));
    });
    return [el("div", { className: "sources" }, el("h3", {}, closest ? "The closest passages" : "Sources"), rows)];
  }

  tools() {
    const button = (name, label, act) => el("button", { type: "button", className: "icon-button", title: label, "aria-label": label, onclick: act }, icon(name));
    const copy = button("copy", "Copy the answer", async () => {
      await navigator.clipboard.writeText(this.answer.text);
      toast("Copied.");
    });
    const up = button("up", "This helped", () => this.rate("up", up, down));
    const down = button("down", "This did not help", () => this.rate("down", down, up));
    return el("div", { className: "tools-row" }, navigator.clipboard && copy, up, down);
  }

  async rate(rating, chosen, other, reason, comment) {
    try {
      await call("POST", `/answers/${encodeURIComponent(this.answer.id)}/feedback`, { rating, reason, comment });
    } catch (error) {
      toast(error.message);
      return;
    }
    chosen.setAttribute("aria-pressed", "true");
    other.setAttribute("aria-pressed", "false");
    this.node.querySelector(".reasons")?.remove();
    if (reason || rating === "up") { toast("Thank you."); return; }
    const choices = Object.entries(REASONS).map(([key, text]) =>
      el("button", { type: "button", onclick: () => this.rate(rating, chosen, other, key) }, text));
    const row = el("div", { className: "reasons", role: "group", "aria-label": "What was wrong?" }, el("span", { className: "hint" }, "What was wrong?"), choices);
    this.node.append(row);
    row.querySelector("button").focus();
  }
}

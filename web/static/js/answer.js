// One answer on the page: while it is made, when it is done, and what a reader can do with it.
import { openEvidence, whereOf } from "/static/js/evidence.js";
import { markdown } from "/static/js/markdown.js";
import { REASONS } from "/static/js/reasons.js";
import { call, copy, el, icon, langOf, speak, toast } from "/static/js/ui.js";

const TIERS = {
  faq: ["star", "From the FAQ", "good", "A curated answer, given as it was written."],
  generated: ["pen", "Written by the model", "accent", "Written by a language model from the passages below. Check what matters."],
  extractive: ["quote", "Word for word", "", "Sentences taken word for word from the documents."],
  none: ["search", "No answer found", "warn", "The documents you may read hold no answer to this."],
};
const UNSURE = ["quote", "Possible answer", "warn", "Sentences taken word for word from the documents. They may not be what was asked."];
const COURTESY = ["chat", "Not a question", "", "A greeting or thanks: nothing was searched."];
const WITHHELD = ["warn", "Not shown any more", "warn", "A document it was made from was removed, or is not yours to read now."];

export class AnswerView {
  /** again(view, broken): asks the question of the view anew; broken: it has no whole answer. */
  constructor(question, again) {
    this.question = question;
    this.again = again;
    this.label = el("div", { className: "label" });
    this.body = el("div", { className: "prose" });
    this.text = ""; // what has been written so far
    this.node = el("article", { className: "answer", "aria-busy": "true", "aria-label": "Answer" }, this.label, this.body);
    this.working("Looking through the documents…");
  }

  working(text) {
    this.label.replaceChildren(el("span", { className: "working" }, text));
  }

  on(kind, data) {
    if (kind === "status") this.working(data.message);
    if (kind === "sources") {
      const n = data.passages.length;
      this.working(n ? `Reading ${n} passage${n === 1 ? "" : "s"}…` : "Looking further…");
    }
    if (kind === "token") {
      this.text += data.text;
      this.body.replaceChildren(...markdown(this.text));
    }
  }

  /** The reader stopped it: what was written stays. */
  stopped() {
    this.ended(el("span", { className: "tag" }, icon("stop"), "Stopped"));
    if (!this.text) this.body.append("Nothing was written yet.");
  }

  /** keep: what was written so far is the reader's to keep; where the server ended it, it may not be. */
  failed(message, keep = false) {
    const half = keep && this.text;
    this.ended(el("span", { className: "tag bad" }, icon("warn"), half ? "Broke off" : "Could not answer"));
    if (half) this.body.append(el("p", { className: "note" }, icon("warn"), el("span", {}, message)));
    else this.body.replaceChildren(message);
  }

  ended(tag) {
    this.node.removeAttribute("aria-busy");
    this.label.replaceChildren(tag);
    this.offer("Ask again", () => this.again(this, true));
  }

  /** A button under the answer that says what to do next. */
  offer(text, act) {
    this.node.append(el("div", { className: "tools-row" }, el("button", { type: "button", onclick: act }, icon("retry"), text)));
  }

  /** The finished answer. `html` was made and cleaned by the server. */
  done(answer) {
    this.answer = answer;
    this.kind = "Answer";
    this.withheld = !answer.answerable && answer.tier !== "none"; // its documents are gone, or not this reader's any more
    const courtesy = answer.tier === "none" && answer.support === "unchecked";
    const [name, text, tone, title] = this.withheld ? WITHHELD : courtesy ? COURTESY : answer.sure ? TIERS[answer.tier] || TIERS.none : UNSURE;
    this.node.removeAttribute("aria-busy");
    if (!answer.answerable) this.kind = text;
    this.label.replaceChildren(el("span", { className: `tag ${tone}`, title }, icon(name), text));
    if (answer.support === "partial") this.label.append(el("span", { className: "tag warn" }, "Partly supported"));
    if (answer.support === "none" && answer.answerable) this.label.append(el("span", { className: "tag bad" }, "Not supported by the sources"));
    this.body.innerHTML = answer.html;
    speak(this.body, answer.text, answer.languages?.text);
    const question = this.node.previousElementSibling?.querySelector("h2");
    if (question) speak(question, answer.question, answer.languages?.question);
    for (const code of this.body.querySelectorAll("pre, table")) code.tabIndex = 0; // those that scroll must be reached by keys
    if (answer.notice) this.note(answer.notice, answer.tier === "extractive");
    this.body.addEventListener("click", (event) => {
      const link = event.target.closest("a.cite");
      if (!link || event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.open(Number(link.dataset.n), link);
    });
    this.node.append(...this.sources(), this.tools());
  }

  /** The finished answer as it is read aloud: without the signs of Markdown and the numbers of its sources. */
  spoken() {
    const words = this.body.cloneNode(true);
    words.querySelectorAll("sup").forEach((mark) => mark.remove());
    return words.textContent.trim();
  }

  /** What the reader should know; that it quotes is no warning and stands beside the label. */
  note(text, usual) {
    const lang = langOf(text);
    if (usual) this.label.append(el("span", { className: "hint", lang }, text));
    else this.body.before(el("p", { className: "note", lang }, icon("warn"), el("span", {}, text)));
  }

  open(n, from) {
    const citation = this.answer.citations.find((c) => c.n === n);
    openEvidence(citation, this.passageOf(citation), from);
  }

  passageOf(citation) {
    const same = this.answer.passages.filter((p) => p.document_id === citation.document_id && p.revision === citation.revision);
    return same.find((p) => p.text.includes(citation.quote)) || same.find((p) => p.n === citation.n) || same[0];
  }

  /** Each cited place once. */
  cited() {
    const { citations } = this.answer;
    return citations.filter((c, at) => citations.findIndex((other) => other.n === c.n) === at);
  }

  sources() {
    if (this.withheld) return [];
    const { citations, passages, answerable } = this.answer;
    const closest = !answerable && !citations.length;
    const shown = closest ? passages.slice(0, 4) : this.cited();
    if (!shown.length) return [];
    const rows = shown.map((source) => {
      const where = whereOf(source);
      const open = (event) =>
        openEvidence(source, closest ? source : this.passageOf(source), event.currentTarget);
      return el("li", {}, el("button", { type: "button", className: "source", onclick: open, title: [source.title, where].filter(Boolean).join(" · ") },
        el("span", { className: "n" }, String(source.n)),
        el("span", { className: "text" }, el("b", { lang: langOf(source.title) }, source.title), where && el("span", { className: "where" }, where))));
    });
    return [el("div", { className: "sources" }, el("h3", {}, closest ? "The closest passages" : "Sources"), el("ul", {}, rows))];
  }

  /** The answer as text that can be sent to somebody: with the addresses of its sources. */
  asText() {
    const lines = this.withheld ? [] : this.cited().map((c) => `[${c.n}] ${[c.title, whereOf(c)].filter(Boolean).join(", ")}\n    ${new URL(c.url, location.href)}`);
    return [this.answer.text, ...(lines.length ? ["", "Sources:", ...lines] : [])].join("\n");
  }

  tools() {
    const button = (name, label, act) => el("button", { type: "button", className: "icon-button", title: label, "aria-label": label, onclick: act }, icon(name));
    const take = button("copy", "Copy answer and sources", async () => {
      try { await copy(this.asText()); toast("Copied, with the sources."); } catch (error) { toast(error.message); }
    });
    const again = this.answer.tier !== "faq" && button("retry", "Ask again", () => this.again(this, false));
    const up = button("up", "This helped", () => this.rate("up", up, down));
    const down = button("down", "This did not help", () => this.rate("down", down, up));
    return el("div", { className: "tools-row" }, take, again, up, down);
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
    const asked = this.node.querySelector(".reasons");
    if (asked?.contains(document.activeElement)) chosen.focus(); // which goes with the row otherwise
    asked?.remove();
    if (reason || comment || rating === "up") { toast("Thank you."); return; }
    const words = el("input", { type: "text", maxLength: 1000, placeholder: "In your own words (optional)", "aria-label": "In your own words (optional)" });
    const send = (key) => this.rate(rating, chosen, other, key, words.value.trim() || undefined);
    const choices = Object.entries(REASONS).map(([key, text]) => el("button", { type: "button", onclick: () => send(key) }, text));
    words.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) send(); });
    const submit = el("button", { type: "button", onclick: () => send() }, "Send");
    const row = el("div", { className: "reasons", role: "group", "aria-label": "What was wrong?" }, el("span", { className: "hint" }, "What was wrong?"), choices, el("span", { className: "own" }, words, submit));
    this.node.append(row);
    row.querySelector("button").focus();
  }
}

// Bars of stacked parts, one bar a day, as SVG with a legend; said in words for those who do not see it.
import { day as dated, el } from "/static/js/ui.js";

const SPACE = "http://www.w3.org/2000/svg";
const HIGH = 100, STEP = 10, BAR = 7; // of the drawing; it stretches with the page

function svg(tag, properties, ...children) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const written = (date) => dated(`${date}T12:00`); // at noon it is that day in every time zone

/** days: [{day, part: number, …}], oldest first. parts: [key, words], the lowest first. nothing: said where all are 0. */
export function stackedDays(days, parts, nothing) {
  const of = (day) => parts.reduce((sum, [key]) => sum + (day[key] || 0), 0);
  const most = Math.max(...days.map(of));
  if (!most) return el("p", { className: "empty-note" }, nothing);
  const totals = parts.map(([key, words]) => [key, words, days.reduce((sum, day) => sum + (day[key] || 0), 0)]);
  const bars = days.map((day, at) => {
    let top = HIGH;
    const rects = parts.filter(([key]) => day[key]).map(([key]) => {
      const high = (day[key] / most) * HIGH;
      top -= high;
      return svg("rect", { class: `part-${key}`, x: at * STEP, y: top, width: BAR, height: high });
    });
    const words = parts.filter(([key]) => day[key]).map(([key, text]) => `${day[key]} ${text.toLowerCase()}`).join(", ");
    return svg("g", {}, svg("title", {}, `${written(day.day)}: ${words || "no questions"}`), svg("rect", { class: "part-day", x: at * STEP, y: 0, width: BAR, height: HIGH }), ...rects);
  });
  const said = totals.filter(([, , n]) => n).map(([, words, n]) => `${n} ${words.toLowerCase()}`).join(", ");
  const drawing = svg("svg", { viewBox: `0 0 ${days.length * STEP} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${said}; at most ${most} on one day` }, ...bars);
  return el("figure", { className: "chart" },
    el("div", { className: "chart-most hint" }, String(most)),
    drawing,
    el("div", { className: "chart-ends hint" }, el("span", {}, written(days[0].day)), el("span", {}, written(days.at(-1).day))),
    el("figcaption", {}, totals.map(([key, words, n]) => el("span", {}, el("span", { className: `swatch part-${key}` }), `${words} `, el("b", {}, String(n))))));
}

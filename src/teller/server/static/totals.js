// The panel beside the conversation: what this call's turns add up to.

import { byId, element, fillStack } from "./elements.js";
import { SOURCES, milliseconds, percent } from "./words.js";

const SHOWN = 24; // turns in the history

export class Totals {
  #turns = [];

  add(source, totalMs) {
    this.#turns.push({ source, totalMs });
    this.#draw();
  }

  #draw() {
    const count = this.#turns.length;
    const counts = new Map(Object.keys(SOURCES).map((source) => [source, 0]));
    for (const { source } of this.#turns) counts.set(source, counts.get(source) + 1);
    byId("total-turns").textContent = String(count);
    byId("total-cache").textContent = count ? percent(counts.get("cache") / count) : "–";
    byId("total-median").textContent = count ? milliseconds(median(this.#turns.map((turn) => turn.totalMs))) : "–";
    this.#drawSources(counts);
    this.#drawHistory();
  }

  #drawSources(counts) {
    const parts = [...counts]
      .filter(([, value]) => value)
      .map(([name, value]) => ({ name, value, label: `${SOURCES[name].label} ${value}` }));
    fillStack(byId("sources-bar"), parts);
    byId("sources-list").replaceChildren(
      ...parts.map(({ name, value }) =>
        element("li", {}, element("i", { "data-part": name }), element("span", {}, SOURCES[name].label), element("b", {}, String(value))),
      ),
    );
  }

  #drawHistory() {
    const shown = this.#turns.slice(-SHOWN);
    const highest = Math.max(1, ...shown.map((turn) => turn.totalMs));
    byId("history-top").textContent = shown.length ? `up to ${milliseconds(highest)}` : "";
    byId("history").replaceChildren(
      ...shown.map(({ source, totalMs }) => {
        const bar = element("span", { "data-part": source, title: `${SOURCES[source].label}, ${milliseconds(totalMs)}` });
        bar.style.height = `${Math.max(4, (100 * totalMs) / highest)}%`;
        return bar;
      }),
    );
    byId("history").setAttribute(
      "aria-label",
      shown.map(({ source, totalMs }) => `${SOURCES[source].label} ${milliseconds(totalMs)}`).join(", ") || "No answers yet",
    );
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

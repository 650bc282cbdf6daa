// The conversation: one list item for each turn, filled in as its messages arrive.

import { byId, element, fillStack, icon } from "./elements.js";
import { SOURCES, milliseconds, missWord, percent, reasonWord, redactedWord, stageWord } from "./words.js";

export class TurnView {
  #heard = element("div", { class: "heard pending" }, dots());
  #answer = element("div", { class: "answer", hidden: true });
  #foot = element("div", { class: "foot", hidden: true });
  #details = element("div", { class: "details", hidden: true });
  #said = null;
  #redacted = [];
  source = null;
  isOpen = true; // more messages may come

  constructor(onReplay) {
    this.onReplay = onReplay;
    this.node = element("li", { class: "turn" }, this.#heard, this.#answer, this.#foot, this.#details);
  }

  heard({ text, redacted, confidence }) {
    this.#redacted = redacted;
    this.#heard.classList.remove("pending");
    this.#heard.replaceChildren(...(text ? withChips(text, redacted) : [element("em", {}, "Nothing was understood")]));
    if (text && confidence < 0.5) this.#heard.append(element("span", { class: "unsure" }, "heard unsurely"));
    this.#answer.replaceChildren(dots());
    this.#answer.hidden = false;
  }

  said(message) {
    this.#said = message;
    this.source = message.source;
    this.node.dataset.source = message.source;
    this.#answer.replaceChildren(message.text);
    this.#foot.append(this.#badge());
    this.#foot.hidden = false;
    this.#details.append(this.#why());
  }

  done(message, hasSound) {
    const parts = stageParts(message.timings_ms);
    const total = parts.reduce((sum, part) => sum + part.value, 0);
    const bar = element("div", { class: "stack thin", role: "img" });
    fillStack(bar, parts);
    this.#foot.append(element("span", { class: "total" }, milliseconds(total)), bar);
    if (hasSound) this.#foot.append(this.#replayButton());
    const [left, right] = this.#explain(message);
    this.#details.replaceChildren(
      element("div", { class: "side" }, ...left),
      element("div", { class: "side" }, ...right),
      timing(parts, total),
    );
    this.isOpen = false;
    return total;
  }

  stopped() {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (!this.#said) this.#answer.replaceChildren(element("em", {}, "Stopped before an answer"));
    else if (!this.#foot.querySelector(".note")) this.#foot.append(element("span", { class: "note" }, "stopped"));
    this.#heard.classList.remove("pending");
    if (this.#heard.querySelector(".dots")) this.#heard.remove();
    this.#answer.hidden = false;
  }

  failed(message) {
    this.isOpen = false;
    if (this.#heard.querySelector(".dots")) this.#heard.remove();
    this.#answer.hidden = false;
    this.#answer.replaceChildren(element("span", { class: "failed" }, icon("alert"), element("span", {}, message)));
  }

  playing(isPlaying) {
    const button = this.#foot.querySelector(".replay");
    this.node.classList.toggle("playing", isPlaying);
    if (!button) return;
    button.replaceChildren(icon(isPlaying ? "stop" : "play"));
    button.setAttribute("aria-label", isPlaying ? "Stop the spoken answer" : "Play the answer again");
  }

  #badge() {
    const { source } = this.#said;
    const toggle = () => {
      this.#details.hidden = !this.#details.hidden;
      button.setAttribute("aria-expanded", String(!this.#details.hidden));
      if (!this.#details.hidden) this.#details.scrollIntoView({ block: "nearest" });
    };
    const button = element(
      "button",
      { class: "badge", type: "button", "data-part": source, "aria-expanded": "false", onclick: toggle },
      icon(source),
      element("span", {}, SOURCES[source].label),
      icon("chevron"),
    );
    return button;
  }

  #replayButton() {
    return element(
      "button",
      { class: "replay ghost", type: "button", "aria-label": "Play the answer again", onclick: () => this.onReplay() },
      icon("play"),
    );
  }

  #why() {
    const { source, reason } = this.#said;
    const why = section("Why this answer", element("p", {}, SOURCES[source].why));
    if (reason) why.append(element("p", { class: "muted" }, reasonWord(reason)));
    return why;
  }

  #explain(done) {
    const { citations, evidence } = this.#said;
    const left = [this.#why()];
    if (citations.length) left.push(section("What it rests on", cited(citations)));
    if (this.#redacted.length) {
      const chips = this.#redacted.map((kind) => chip(kind));
      left.push(section("Taken out before anything else saw it", element("p", { class: "chips" }, ...chips)));
    }
    const right = [];
    if (evidence) right.push(section("Evidence from the cache", ...proof(evidence)));
    else if (done.miss_reason) right.push(section("Why not from the cache", missed(done)));
    const record = [["Turn", done.turn_id.slice(0, 12)]];
    if (done.adapter) record.push(["Adapter", done.adapter]);
    if (done.grounded === false) record.push(["Model’s wording", "did not agree with the approved answer; not used"]);
    right.push(section("Record", factsList(record)));
    return [left, right];
  }
}

function withChips(text, redacted) {
  const kinds = new Set(redacted);
  return text.split(/(\[[a-z_]+\])/).map((part) => {
    const kind = part.startsWith("[") ? part.slice(1, -1) : "";
    return kinds.has(kind) ? chip(kind) : part;
  });
}

const chip = (kind) =>
  element("span", { class: "chip", title: "Taken out before anything else saw it" }, icon("lock"), `${redactedWord(kind)} removed`);

const dots = () => element("span", { class: "dots", role: "img", "aria-label": "One moment" }, element("i"), element("i"), element("i"));

const section = (title, ...children) => element("section", {}, element("h3", {}, title), ...children);

const factsList = (facts) =>
  element("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

function proof(evidence) {
  const isExact = evidence.tier === "exact";
  const facts = [["Found by", isExact ? "exact wording" : "same meaning"]];
  if (!isExact) {
    facts.push(
      ["Similarity", evidence.similarity.toFixed(3)],
      ["Neighbours that agree", `${evidence.votes} of ${evidence.neighbours}`],
      ["Probability of being right", percent(evidence.probability, 1)],
      ["Wrong hits, certified", evidence.bound === null ? "no limit certified" : `at most ${percent(evidence.bound, 1)}`],
    );
  }
  const checks = Object.entries(evidence.checks).map(([name, found]) =>
    element("li", {}, icon("check"), element("span", {}, name.replaceAll("_", " ")), element("span", { class: "muted" }, found)),
  );
  return [
    element("p", { class: "muted" }, "Asked before as"),
    element("blockquote", {}, evidence.matched),
    factsList(facts),
    checks.length ? element("ul", { class: "checks" }, ...checks) : null,
  ];
}

function missed(done) {
  const near = done.similarity === null ? "" : ` The nearest was at ${done.similarity.toFixed(3)}.`;
  return element("p", {}, missWord(done.miss_reason) + near);
}

const cited = (citations) =>
  element(
    "ul",
    { class: "cited" },
    ...citations.map(({ id, title, version }) =>
      element("li", {}, element("strong", {}, title), element("span", { class: "muted" }, `${id} · version ${version}`)),
    ),
  );

function stageParts(timings) {
  return Object.entries(timings).map(([name, value]) => ({ name, value, label: `${stageWord(name)} ${milliseconds(value)}` }));
}

function timing(parts, total) {
  const bar = element("div", { class: "stack", role: "img" });
  fillStack(bar, parts);
  const legend = parts.map(({ name, value }) =>
    element("li", {}, element("i", { "data-part": name }), element("span", {}, stageWord(name)), element("b", {}, milliseconds(value))),
  );
  const heading = element("h3", {}, "Where the time went", element("b", {}, milliseconds(total)));
  return element("section", { class: "wide" }, heading, bar, element("ul", { class: "legend inline" }, ...legend));
}

/** Scroll to the end, unless the reader has scrolled up to read something. */
export function follow(force = false) {
  const box = byId("scroll");
  if (force || box.scrollHeight - box.scrollTop - box.clientHeight < 240) box.scrollTo({ top: box.scrollHeight });
}

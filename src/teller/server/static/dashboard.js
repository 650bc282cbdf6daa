// The live page: what the server says once a second, and what of it deserves a look.

import { byId, element, fillStack, icon } from "./elements.js";
import { LiveFeed } from "./live.js";
import { themeButton } from "./theme-button.js";
import { tokenDialog } from "./token-dialog.js";
import { SOURCES, milliseconds, missWord, percent } from "./words.js";

const SPAN_S = 300; // of a curve, once so much is known
const LEAST_SPAN_S = 60;
const CONNECTION = {
  connecting: () => "Connecting",
  open: () => "Live",
  busy: (seconds) => `Busy, again in ${seconds} s`,
  lost: (seconds) => `No connection, again in ${seconds} s`,
  token: () => "Access token wanted",
};
const MEANT = { exact: "Hit, same words", semantic: "Hit, same meaning" };

const feed = new LiveFeed();
const askForToken = tokenDialog((token) => {
  feed.useToken(token);
  feed.connect();
});
let history = [];
let latest = null;
let isPaused = false;
let spoken = "";

const known = (value) => value !== null && value !== undefined;
const whole = (value) => Math.round(value).toLocaleString("en-GB");
const time = (ms) => (known(ms) ? milliseconds(ms) : "–");
const share = (value, digits = 1) => (known(value) ? percent(value, digits) : "–");
const spaced = (name) => name.replaceAll("_", " ");
const clock = (unixS) => new Date(unixS * 1000).toLocaleTimeString("en-GB");

// As in deploy/prometheus/alerts.yml, without its patience.
const MOST_UNGROUNDED = 0.3;
const FEWEST_GENERATED = 20;
const SLOW_MS = 1_000;
const FEWEST_CHECKED = 100;
const BOUND_AT_RISK = 3; // times the limit

/** What deserves a look, in words: each rule gives a text, several, or nothing. */
const RULES = [
  ({ calls }) => calls.free === 0 && "No line is free",
  ({ failures }) => failures.internal > 0 && `${whole(failures.internal)} internal errors`,
  ({ failures }) => failures.busy > 0 && `${whole(failures.busy)} callers were turned away`,
  ({ times }) => times.first_sound.p95_ms > SLOW_MS && `The first sound takes ${time(times.first_sound.p95_ms)} for one caller in twenty`,
  ({ cache: { checked, limit } }) =>
    checked.right + checked.wrong >= FEWEST_CHECKED &&
    checked.wrong / (checked.right + checked.wrong) > limit &&
    `${whole(checked.wrong)} of ${whole(checked.right + checked.wrong)} checked hits were wrong: more than the limit`,
  ({ cache: { classes, limit } }) =>
    classes.filter((one) => one.observed > BOUND_AT_RISK * limit).map((one) => `${one.class}: the bound of checked hits is ${share(one.observed)}, far over the limit`),
  ({ cache }) => cache.classes.filter((one) => !one.open).map((one) => `${one.class} is closed: only exact hits are served`),
  ({ adapters }) => adapters.live && !adapters.served && `${adapters.live} is live but not loaded here: callers get the base model`,
  ({ grounding: { checked, failed } }) =>
    checked >= FEWEST_GENERATED && failed / checked > MOST_UNGROUNDED && `${whole(failed)} of ${whole(checked)} generated answers were not grounded`,
  ({ log }) => log.shed > 0 && `${whole(log.shed)} records of the turn log were lost`,
  ({ log }) => log.dropped > 0 && `${whole(log.dropped)} records were not counted`,
];

const concernsOf = (now) => RULES.flatMap((rule) => rule(now) || []);

function drawHealth(now) {
  const concerns = concernsOf(now);
  byId("concerns").hidden = !concerns.length;
  byId("concerns").replaceChildren(...concerns.map((text) => element("li", {}, icon("alert"), element("span", {}, text))));
  const said = concerns.length ? `${concerns.length} to look at` : "All well";
  sayHealth(concerns.length ? "look" : "well", concerns.length ? "alert" : "check", said);
}

function sayHealth(health, sign, said) {
  if (said === spoken) return; // a live region that is written anew is read out anew
  spoken = said;
  byId("health").dataset.health = health;
  byId("health").replaceChildren(icon(sign), element("span", {}, said));
}

/** A curve of one column of the history; gaps where nothing was known. */
function drawCurve(id, column, top, words) {
  const values = history.map((point) => point[column]);
  const seen = values.filter(known);
  if (!seen.length) {
    byId(id).replaceChildren();
    return;
  }
  const highest = top ?? Math.max(...seen, 1e-9);
  const span = Math.max(LEAST_SPAN_S, history.at(-1)[0] - history[0][0]);
  const x = (place) => span - (history.at(-1)[0] - history[place][0]);
  const y = (value) => 100 - (98 * value) / highest;
  let line = "";
  let area = "";
  let begun = -1;
  values.forEach((value, place) => {
    if (known(value)) {
      line += `${begun < 0 ? "M" : "L"}${x(place).toFixed(2)} ${y(value).toFixed(2)}`;
      area += begun < 0 ? `M${x(place).toFixed(2)} 100L${x(place).toFixed(2)} ${y(value).toFixed(2)}` : `L${x(place).toFixed(2)} ${y(value).toFixed(2)}`;
      if (begun < 0) begun = place;
    }
    if (begun >= 0 && (!known(value) || place === values.length - 1)) {
      area += `L${x(known(value) ? place : place - 1).toFixed(2)} 100Z`;
      begun = -1;
    }
  });
  const made = (tag, attributes) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    return shape;
  };
  const picture = made("svg", { viewBox: `0 0 ${span} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(
    made("line", { x1: 0, x2: span, y1: 100, y2: 100 }),
    made("path", { d: area, class: "area" }),
    made("path", { d: line }),
  );
  byId(id).replaceChildren(picture);
  byId(id).setAttribute("aria-label", `From ${words(Math.min(...seen))} to ${words(Math.max(...seen))}, now ${words(seen.at(-1))}`);
}

function drawBig({ turns, cache, times, calls }) {
  byId("turns-rate").textContent = known(turns.per_s) ? rate(turns.per_s) : "–";
  byId("turns-note").textContent = `${whole(turns.total)} since the start`;
  byId("hit-rate").textContent = share(cache.hit_rate);
  byId("hits-note").textContent = `${whole(cache.hits)} of ${whole(cache.hits + cache.misses)} lookups; ${share(cache.since_start.hit_rate)} since the start`;
  byId("sound-p95").textContent = time(times.first_sound.p95_ms);
  byId("sound-note").textContent = times.first_sound.turns ? `p50 ${time(times.first_sound.p50_ms)}, ${whole(times.first_sound.turns)} spoken turns` : "No spoken turns";
  const lines = calls.active + calls.free;
  byId("calls-active").replaceChildren(whole(calls.active), element("small", {}, ` of ${whole(lines)}`));
  byId("calls-note").textContent = `${whole(calls.free)} free`;
  byId("calls-bar").classList.toggle("full", calls.free === 0);
  byId("calls-bar").firstElementChild.style.width = `${lines ? (100 * calls.active) / lines : 0}%`;
  byId("calls-bar").setAttribute("aria-label", `${calls.active} active, ${calls.free} free`);
  drawCurve("turns-curve", 1, null, rate);
  drawCurve("hits-curve", 2, 1, (value) => percent(value, 0));
  drawCurve("sound-curve", 3, null, time);
}

const rate = (value) => (value >= 100 ? whole(value) : value.toFixed(value >= 10 ? 1 : 2));

function drawClasses({ classes, limit }) {
  const top = Math.max(...classes.flatMap((one) => [one.bound ?? 0, one.observed ?? 0]), limit ?? 0) * 1.15 || 1;
  const at = (made, value) => {
    made.style.left = `${(100 * value) / top}%`;
    return made;
  };
  byId("classes").replaceChildren(
    ...classes.map((one) => {
      const verdict = one.open ? (one.certified ? "open, certified" : "open, estimated") : "closed";
      const words = [
        known(one.bound) ? `certified: at most ${share(one.bound, 2)}` : "no certified bound",
        known(one.observed) ? `checked hits: at most ${share(one.observed, 2)}` : "no checked hits yet",
      ].join("; ");
      return element(
        "div",
        { class: "class" },
        element(
          "p",
          {},
          element("b", {}, one.class),
          element("span", { class: `verdict ${one.open ? "open" : "closed"}` }, icon(one.open ? "check" : "lock"), verdict),
        ),
        element(
          "div",
          { class: "bound", role: "img", "aria-label": words },
          known(limit) ? at(element("em"), limit) : null,
          known(one.bound) ? at(element("i", { title: `certified ${share(one.bound, 2)}` }), one.bound) : null,
          known(one.observed) ? at(element("i", { class: "observed", title: `checked hits ${share(one.observed, 2)}` }), one.observed) : null,
        ),
        element("p", { class: "fine" }, words),
      );
    }),
  );
  byId("limit-note").textContent = classes.length
    ? `Dashed: the limit, ${share(limit, 2)} of hits. Circle: certified. Diamond: from checked hits.`
    : "No semantic hits are served: the cache is off or exact.";
}

function drawSources({ by_source: bySource }, answers) {
  const parts = Object.entries(bySource).map(([name, value]) => ({ name, value, label: `${SOURCES[name]?.label ?? name} ${value}` }));
  fillStack(byId("sources-bar"), parts);
  const head = element("tr", {}, ...["", "turns", "p50", "p95"].map((name) => element("th", { scope: "col" }, name)));
  const rows = parts.map(({ name, value }) => {
    const one = answers.find((answer) => answer.source === name);
    const first = element("td", {}, element("i", { "data-part": name, "aria-hidden": "true" }), SOURCES[name]?.label ?? name);
    return element("tr", {}, first, ...[whole(value), time(one?.p50_ms), time(one?.p95_ms)].map((text) => element("td", {}, text)));
  });
  byId("sources").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
  byId("sources").hidden = !rows.length;
  byId("sources-none").hidden = rows.length > 0;
}

function drawOutcomes({ by_tier: byTier, by_reason: byReason }) {
  const rows = [...Object.entries(byTier).map((one) => [...one, true]), ...Object.entries(byReason).slice(0, 7).map((one) => [...one, false])];
  const most = Math.max(0, ...rows.map(([, count]) => count));
  byId("outcomes-none").hidden = most > 0;
  byId("outcomes").hidden = !most;
  byId("outcomes").replaceChildren(
    ...rows.map(([name, count, isHit]) => {
      const bar = element("span");
      bar.style.width = `${(100 * count) / most}%`;
      return element(
        "li",
        { class: isHit ? "hit" : "miss", title: isHit ? null : missWord(name) },
        element("span", {}, MEANT[name] ?? `Miss, ${spaced(name)}`),
        element("b", {}, whole(count)),
        element("div", { class: "bar", "aria-hidden": "true" }, bar),
      );
    }),
  );
}

const facts = (pairs) => pairs.flatMap(([name, value, warns]) => [element("dt", {}, name), element("dd", warns ? { class: "warn" } : {}, value)]);

function drawAdapter({ adapters, grounding, toggles }) {
  const { live, canary } = adapters;
  byId("adapter").replaceChildren(
    ...facts([
      ["Live", live ?? "base model"],
      ["In this server", live ? (adapters.served ? "loaded and proven" : "not loaded: base model") : "base model", !adapters.served],
      ["Canary", canary ? `${canary}, ${percent(adapters.share)} of new calls` : "none"],
      ["Generated answers checked", whole(grounding.checked)],
      ["Not grounded", grounding.checked ? `${whole(grounding.failed)} (${share(grounding.failed / grounding.checked)})` : "0"],
    ]),
  );
  const rows = toggles.toReversed().slice(0, 4);
  byId("toggles").replaceChildren(
    ...(rows.length
      ? rows.map((one) =>
          element(
            "li",
            {},
            element("time", { datetime: new Date(one.at * 1000).toISOString() }, clock(one.at)),
            element("span", {}, element("b", {}, one.toggle), ` ${one.canary ?? one.after ?? "base model"}, by ${one.who}`),
          ),
        )
      : [element("li", { class: "none" }, "None since the server started")]),
  );
}

function drawBehind({ cache, failures, log }) {
  const checked = cache.checked.right + cache.checked.wrong;
  const told = Object.entries(failures).map(([code, count]) => `${spaced(code)} ${whole(count)}`);
  byId("behind").replaceChildren(
    ...facts([
      ["Cache entries", known(cache.entries) ? whole(cache.entries) : "–"],
      ["In quarantine", known(cache.held) ? whole(cache.held) : "–"],
      ["Hits checked", checked ? `${whole(checked)}, ${whole(cache.checked.wrong)} wrong` : "none"],
      ["Cache memory", known(cache.memory_bytes) ? `${(cache.memory_bytes / 1e6).toFixed(1)} MB` : "–"],
      ["Errors told to callers", told.length ? told.join(", ") : "none"],
      ["Turn log, waiting", known(log.waiting) ? whole(log.waiting) : "off"],
      ["Turn log, lost", known(log.shed) ? whole(log.shed) : "off", log.shed > 0],
      ["Not counted", whole(log.dropped ?? 0), log.dropped > 0],
    ]),
  );
}

function draw() {
  if (!latest || isPaused) return;
  drawHealth(latest);
  drawBig(latest);
  drawClasses(latest.cache);
  drawSources(latest.turns, latest.times.answer);
  drawOutcomes(latest.cache);
  drawAdapter(latest);
  drawBehind(latest);
  const span = latest.window_s >= 120 ? `${Math.round(latest.window_s / 60)} minutes` : `${Math.round(latest.window_s)} seconds`;
  byId("window-note").textContent = `Of the last ${span}, where nothing else is said; at ${clock(latest.at)}`;
}

function take(now) {
  latest = now;
  history.push([now.at, now.turns.per_s, now.cache.hit_rate, now.times.first_sound.p95_ms]);
  history = history.filter(([at]) => at > now.at - SPAN_S && at <= now.at);
  draw();
}

function pause() {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  byId("pause").setAttribute("aria-label", isPaused ? "Go on" : "Pause");
  byId("pause").firstElementChild.className = `icon icon-${isPaused ? "play" : "pause"}`;
  document.body.classList.toggle("paused", isPaused);
  draw();
}

function begin() {
  feed.addEventListener("history", ({ detail }) => {
    history = detail;
  });
  feed.addEventListener("now", ({ detail }) => take(detail));
  feed.addEventListener("status", ({ detail: { status, seconds } }) => {
    byId("connection").dataset.connection = status;
    byId("connection").lastElementChild.textContent = CONNECTION[status](seconds);
    document.body.classList.toggle("stale", status !== "open");
    if (["lost", "busy", "token"].includes(status)) sayHealth("unknown", "info", "Not known");
    if (status === "token") askForToken();
  });
  byId("pause").addEventListener("click", pause);
  themeButton();
  feed.connect();
}

begin();

// Ties the page together: what the caller does, what the server says, what is shown.

import { byId, element } from "./elements.js";
import { Microphone } from "./microphone.js";
import { Speaker } from "./speaker.js";
import { themeButton } from "./theme-button.js";
import { tokenDialog } from "./token-dialog.js";
import { Totals } from "./totals.js";
import { TurnView, follow } from "./turns.js";
import { EXAMPLES, STATES } from "./words.js";
import { Wire } from "./wire.js";

const TAP_MS = 300; // a shorter press is a tap
const BARS = 32;

const wire = new Wire();
const speaker = new Speaker();
const microphone = new Microphone();
const totals = new Totals();
const views = new Map(); // by turn key

let connection = 0; // counts connections: turn numbers begin anew on each
let pending = null; // the turn that was asked and has no number yet
let newest = 0; // number of the newest turn
let callState = "connecting";
let hold = null; // what is being heard while the button is held, or between two taps
let lastListening = Promise.resolve();
let longestAudioS = 60;
let handsFree = false;

const askForToken = tokenDialog((token) => {
  wire.useToken(token);
  wire.connect();
});

const keyOf = (turn) => `${connection}.${turn}`;

// ---------------------------------------------------------------- what the caller does

function ask(text) {
  const question = text.trim();
  if (!question) return;
  speaker.unlock();
  if (!wire.send({ type: "ask", text: question })) {
    showAlert("There is no connection right now. Your question stays here until it is back.");
    byId("question").value = question;
    return;
  }
  byId("question").value = "";
  refresh();
  hush();
  expectTurn();
}

function stop() {
  wire.send({ type: "stop" });
  hush();
}

/** Silence here and now; whatever sound of the turns so far is still on its way is dropped. */
function hush() {
  muted = newest;
  isGreetingMuted = true;
  speaker.stop();
}
let muted = 0;
let isGreetingMuted = true; // until a call is spoken

function expectTurn() {
  pending ??= addView();
  byId("welcome").hidden = true;
  follow(true);
}

function addView() {
  const view = new TurnView(() => replay(view));
  byId("turns").append(view.node);
  return view;
}

function replay(view) {
  if (speaker.playing === view.key) stop();
  else speaker.replay(view.key);
}

/** The button or the space bar goes down. Holding speaks until it comes up; a tap speaks until the next tap. */
function press() {
  if (handsFree) toggleHandsFree();
  else if (hold?.isLatched) finishListening();
  else if (!hold) startListening();
}

function tap() {
  press();
  if (hold) hold.isLatched = true;
}

function release() {
  speaker.unlock(); // some browsers count only the end of a touch
  if (!hold || hold.isLatched) return;
  if (performance.now() - hold.at >= TAP_MS) finishListening();
  else {
    hold.isLatched = true;
    if (hold.isOpen) showListening("Tap again to ask");
  }
}

async function startListening() {
  if (!wire.isOpen) {
    showAlert("There is no connection right now. Try again in a moment.");
    return;
  }
  speaker.unlock();
  hush();
  const mine = { at: performance.now(), isLatched: false, isOpen: false, timer: 0 };
  hold = mine;
  showListening("Opening the microphone");
  await lastListening; // its end is told to the server before this beginning
  if (hold !== mine) return;
  wire.send({ type: "listen_start", mode: "hold" });
  mine.opened = openMicrophone();
  mine.isOpen = await mine.opened;
  if (hold !== mine) return;
  if (!mine.isOpen) {
    finishListening(true);
    return;
  }
  showListening(mine.isLatched ? "Tap again to ask" : "Let go to ask");
  mine.timer = setTimeout(finishListening, 1000 * (longestAudioS - 1));
}

function finishListening(isCancelled = false) {
  const mine = hold;
  if (!mine) return;
  hold = null;
  clearTimeout(mine.timer);
  showListening(null);
  lastListening = endListening(mine, isCancelled);
}

async function endListening(mine, isCancelled) {
  const isOpen = await mine.opened;
  await microphone.stop();
  if (isCancelled || !isOpen) wire.send({ type: "stop" });
  else if (wire.send({ type: "listen_end" })) {
    isGreetingMuted = false; // it may come before the answer
    expectTurn();
  }
}

async function openMicrophone() {
  try {
    await microphone.start((sound, level) => {
      wire.send(sound);
      showLevel(level);
    });
    hideAlert();
    return true;
  } catch (error) {
    showAlert(error.message);
    return false;
  }
}

async function toggleHandsFree() {
  handsFree = !handsFree;
  speaker.unlock();
  if (handsFree) {
    isGreetingMuted = false;
    wire.send({ type: "listen_start", mode: "hands_free" });
    handsFree = await openMicrophone();
  }
  if (!handsFree) {
    await microphone.stop();
    wire.send({ type: "listen_end" });
  }
  byId("hands-free").setAttribute("aria-checked", String(handsFree));
  showListening(handsFree ? "Hands-free: just speak" : null);
}

// ---------------------------------------------------------------- what the server says

const onMessage = {
  ready({ greeting, max_audio_s: maxAudioS }) {
    longestAudioS = maxAudioS;
    connection += 1;
    newest = muted = 0;
    pending = null;
    byId("greeting").textContent = greeting;
    hideAlert();
    if (connection > 1 && views.size) {
      byId("turns").append(element("li", { class: "divider" }, element("span", {}, "A new call began")));
    }
    isGreetingMuted = !handsFree;
    if (handsFree) wire.send({ type: "listen_start", mode: "hands_free" });
  },
  state({ state }) {
    callState = state;
    if (state === "thinking") {
      if (handsFree) isGreetingMuted = false;
      expectTurn();
    }
    refresh();
  },
  speech_started() {
    hush();
  },
  heard(message) {
    newest = message.turn;
    const view = pending ?? addView();
    pending = null;
    view.key = keyOf(message.turn);
    views.set(view.key, view);
    view.heard(message);
    byId("welcome").hidden = true;
    follow();
  },
  said(message) {
    views.get(keyOf(message.turn))?.said(message);
    byId("spoken").textContent = message.text;
    follow();
  },
  sound({ turn, rate_hz: rateHz }) {
    const isGreeting = turn === 0;
    if (isGreeting ? !isGreetingMuted : turn > muted) speaker.begin(keyOf(turn), rateHz, isGreeting);
    else speaker.stop();
  },
  done(message) {
    const key = keyOf(message.turn);
    const view = views.get(key);
    if (!view) return;
    totals.add(view.source, view.done(message, speaker.has(key)));
    view.playing(speaker.playing === key);
    follow();
  },
  stopped({ turn }) {
    const view = views.get(keyOf(turn)) ?? (turn ? takePending() : null);
    view?.stopped();
    if (speaker.playing === keyOf(turn)) speaker.stop();
  },
  error({ code, message, turn }) {
    const view = turn === null ? null : (views.get(keyOf(turn)) ?? takePending());
    if (view) {
      view.failed(sentence(message));
      return;
    }
    dropPending();
    if (handsFree && code === "bad_input") toggleHandsFree();
    if (code === "call_idle" || code === "call_too_long") showAlert(sentence(message), "Begin a new call", () => wire.connect());
    else if (code !== "server_stopping") showAlert(sentence(message));
  },
};

function takePending() {
  const view = pending;
  pending = null;
  return view;
}

function dropPending() {
  takePending()?.node.remove();
  byId("welcome").hidden = views.size > 0;
}

const CONNECTIONS = {
  connecting: () => "Connecting",
  open: () => "Connected",
  lost: (seconds) => `No connection, next try in ${seconds} s`,
  busy: (seconds) => `All lines busy, next try in ${seconds} s`,
  token: () => "Access token wanted",
  ended: () => "Call ended",
};

function onStatus({ status, seconds }) {
  const shown = byId("connection");
  shown.dataset.connection = status;
  shown.lastElementChild.textContent = CONNECTIONS[status](seconds);
  if (status !== "open") {
    callState = ["ended", "connecting"].includes(status) ? status : "offline";
    dropPending();
    speaker.stop();
    finishListening(true);
    for (const view of views.values()) if (view.isOpen) view.failed("The connection was lost before this was answered.");
  }
  if (status === "token") askForToken();
  refresh();
}

// ---------------------------------------------------------------- what is shown

function refresh() {
  const isSpeaking = speaker.playing !== null;
  const isBusy = callState === "thinking" || callState === "speaking" || isSpeaking;
  const state = hold ? "hearing" : isSpeaking ? "speaking" : callState;
  byId("state").dataset.state = state;
  byId("state").lastElementChild.textContent = STATES[state];
  byId("stop").hidden = !isBusy;
  byId("send").disabled = !byId("question").value.trim();
  for (const [key, view] of views) view.playing(speaker.playing === key);
}

function showListening(text) {
  byId("composer").classList.toggle("listening", text !== null);
  byId("mic").setAttribute("aria-pressed", String(text !== null));
  byId("question").readOnly = text !== null && !handsFree;
  if (text !== null) byId("meter-text").textContent = text;
  else showLevel(0, true);
  refresh();
}

const levels = new Array(BARS).fill(0);
function showLevel(level, isReset = false) {
  if (isReset) levels.fill(0);
  else levels.push(Math.min(1, Math.sqrt(level) * 1.6)), levels.shift();
  [...byId("bars").children].forEach((bar, i) => {
    bar.style.transform = `scaleY(${0.08 + 0.92 * levels[i]})`;
  });
}

function showAlert(text, action = "", onAction = null) {
  byId("alert-text").textContent = text;
  byId("alert-action").textContent = action;
  byId("alert-action").hidden = !action;
  byId("alert-action").onclick = onAction;
  byId("alert").hidden = false;
}

function hideAlert() {
  byId("alert").hidden = true;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

// ---------------------------------------------------------------- wiring

function listenToKeys() {
  const isEmpty = (target) => target === byId("question") && !target.value;
  const writes = (target) => target.closest?.("input, dialog") && !isEmpty(target);
  const presses = (target) => target.closest?.("button, a") && target !== byId("mic");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("token-dialog").open) {
      if (hold) finishListening(true);
      else if (byId("panel").classList.contains("open")) showPanel(false);
      else stop();
      return;
    }
    const holds = event.code === "Space" && !writes(event.target) && !presses(event.target);
    if (!holds && !(event.key === "Enter" && event.target === byId("mic"))) return;
    event.preventDefault();
    if (!event.repeat) press();
  });
  document.addEventListener("keyup", (event) => {
    if (hold && (event.code === "Space" || (event.key === "Enter" && event.target === byId("mic")))) {
      event.preventDefault();
      release();
    }
  });
}

function listenToPointer() {
  const mic = byId("mic");
  mic.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    mic.setPointerCapture(event.pointerId);
    press();
  });
  mic.addEventListener("pointerup", () => release());
  mic.addEventListener("pointercancel", () => finishListening(true));
  mic.addEventListener("click", (event) => {
    if (event.detail === 0 && !event.pointerType) tap(); // from a screen reader or a switch, without a pointer
  });
  mic.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
  window.addEventListener("blur", () => finishListening(true));
}

/** The panel over the conversation, where there is no room beside it. */
function showPanel(isOpen) {
  byId("panel").classList.toggle("open", isOpen);
  byId("panel-open").setAttribute("aria-expanded", String(isOpen));
  byId(isOpen ? "panel-close" : "panel-open").focus();
}

function begin() {
  byId("examples").append(
    ...EXAMPLES.map((text) => element("li", {}, element("button", { type: "button", onclick: () => ask(text) }, text))),
  );
  byId("bars").append(...levels.map(() => element("i")));
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(byId("question").value);
  });
  byId("question").addEventListener("input", refresh);
  byId("stop").addEventListener("click", stop);
  byId("hands-free").addEventListener("click", toggleHandsFree);
  byId("alert-close").addEventListener("click", hideAlert);
  byId("panel-open").addEventListener("click", () => showPanel(true));
  byId("panel-close").addEventListener("click", () => showPanel(false));
  speaker.addEventListener("change", refresh);
  wire.addEventListener("message", ({ detail }) => onMessage[detail.type]?.(detail));
  wire.addEventListener("sound", ({ detail }) => speaker.add(detail));
  wire.addEventListener("status", ({ detail }) => onStatus(detail));
  listenToKeys();
  listenToPointer();
  themeButton();
  wire.connect();
}

begin();

// Plays the spoken answer as it streams in, stops it at once, plays it again.

const LEAD_S = 0.06; // room for the first piece, so that the next ones join without a gap
const KEPT_TURNS = 20; // whose sound can be played again

/** Event "change": which turn is heard now is in `playing` (null for none). */
export class Speaker extends EventTarget {
  #context = null;
  #sources = new Set();
  #waiting = []; // pieces that came before the browser let sound begin
  #endsAt = 0;
  #kept = new Map();
  #current = null; // the turn whose sound comes in; null drops it
  playing = null;

  /** Call from a click or key press: a page may not make sound before one. */
  unlock() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    if (this.#context.state !== "running") this.#context.resume().then(() => this.#flush());
  }

  /** What comes in next is the sound of this turn; it stops what plays, but for a greeting, which is played out. */
  begin(key, rateHz, isGreeting = false) {
    if (!this.#current?.isGreeting) this.stop();
    this.#current = { key, rateHz, isGreeting, pieces: [] };
    if (isGreeting) return;
    this.#kept.set(key, this.#current);
    if (this.#kept.size > KEPT_TURNS) this.#kept.delete(this.#kept.keys().next().value);
  }

  add(data) {
    if (!this.#current) return;
    const samples = Float32Array.from(new Int16Array(data), (sample) => sample / 32768);
    this.#current.pieces.push(samples);
    this.#schedule(this.#current.key, samples, this.#current.rateHz);
  }

  has(key) {
    return Boolean(this.#kept.get(key)?.pieces.length);
  }

  replay(key) {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.stop();
    this.unlock();
    for (const samples of kept.pieces) this.#schedule(key, samples, kept.rateHz);
  }

  stop() {
    this.#current = null;
    for (const source of this.#sources) {
      source.onended = null;
      source.stop();
    }
    this.#sources.clear();
    this.#waiting = [];
    this.#endsAt = 0;
    this.#tell(null);
  }

  #schedule(key, samples, rateHz) {
    if (!samples.length || !this.#context) return; // without a click or key press there is the text alone
    if (this.#context.state !== "running") {
      this.#waiting.push([key, samples, rateHz]);
      return;
    }
    const buffer = this.#context.createBuffer(1, samples.length, rateHz);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    const now = this.#context.currentTime;
    if (this.#endsAt < now) this.#endsAt = now + LEAD_S;
    source.start(this.#endsAt);
    this.#endsAt += buffer.duration;
    this.#sources.add(source);
    source.onended = () => {
      this.#sources.delete(source);
      if (!this.#sources.size) this.#tell(null);
    };
    this.#tell(key);
  }

  #flush() {
    for (const piece of this.#waiting.splice(0)) this.#schedule(...piece);
  }

  #tell(key) {
    if (this.playing === key) return;
    this.playing = key;
    this.dispatchEvent(new Event("change"));
  }
}

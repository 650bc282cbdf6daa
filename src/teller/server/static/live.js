// The stream of /api/live: server-sent events, read with fetch because EventSource cannot send a token.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
const SILENCE_MS = 12_000; // the server speaks once a second; longer silence is a lost connection

/** Events: "history" and "now" (detail: what was sent), "status" (detail: {status, seconds}). */
export class LiveFeed extends EventTarget {
  #token = null;
  #pauseMs = FIRST_PAUSE_MS;
  #abort = null;
  #watchdog = 0;

  useToken(token) {
    this.#token = token;
  }

  async connect() {
    this.#tell("connecting");
    this.#abort = new AbortController();
    this.#heard();
    let status = "lost";
    try {
      const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
      const answer = await fetch("/api/live", { headers, cache: "no-store", signal: this.#abort.signal });
      if (answer.status === 401) {
        this.#token = null;
        clearTimeout(this.#watchdog);
        this.#tell("token");
        return;
      }
      if (answer.ok) await this.#read(answer.body);
      else status = answer.status === 503 || answer.status === 429 ? "busy" : "lost";
    } catch {
      // The connection broke; it is tried again below.
    }
    clearTimeout(this.#watchdog);
    this.#retry(status);
  }

  async #read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.#heard();
      const events = (waiting + value).split("\n\n");
      waiting = events.pop();
      for (const event of events) this.#take(event);
    }
  }

  #take(text) {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(text) ?? [];
    if (!name) return;
    this.#pauseMs = FIRST_PAUSE_MS;
    if (name === "now") this.#tell("open");
    this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(data) }));
  }

  #heard() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#abort.abort(), SILENCE_MS);
  }

  #retry(status) {
    const pauseMs = this.#pauseMs * (0.75 + Math.random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#tell(status, Math.ceil(pauseMs / 1000));
    setTimeout(() => this.connect(), pauseMs);
  }

  #tell(status, seconds = 0) {
    this.dispatchEvent(new CustomEvent("status", { detail: { status, seconds } }));
  }
}

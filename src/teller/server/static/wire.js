// The WebSocket: connects, comes back with growing pauses, finds out why it cannot connect.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const FINAL = new Set(["call_idle", "call_too_long"]); // the caller begins the next call

function coded(token) {
  const bytes = new TextEncoder().encode(token);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Events: "message" (detail: the object), "sound" (detail: ArrayBuffer), "status" (detail: {status, seconds}). */
export class Wire extends EventTarget {
  #socket = null;
  #pauseMs = FIRST_PAUSE_MS;
  #timer = 0;
  #token = null;
  #isFinal = false;

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  useToken(token) {
    this.#token = token;
  }

  connect() {
    clearTimeout(this.#timer);
    this.#isFinal = false;
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    this.#tell("connecting");
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const protocols = this.#token ? ["teller.v1", `teller.bearer.${coded(this.#token)}`] : ["teller.v1"];
    const socket = new WebSocket(address, protocols);
    socket.binaryType = "arraybuffer";
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#tell("open");
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (this.#isFinal) this.#tell("ended");
      else if (wasOpen) this.#retry("lost");
      else this.#diagnose();
    };
    this.#socket = socket;
  }

  /** Send an object as JSON or an ArrayBuffer as it is; gives whether there was a connection. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
    return true;
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) {
      this.dispatchEvent(new CustomEvent("sound", { detail: data }));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "ready") this.#pauseMs = FIRST_PAUSE_MS;
    if (message.type === "error" && FINAL.has(message.code)) this.#isFinal = true;
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  // A browser does not tell a page why a WebSocket was refused, so ask in a way that does.
  async #diagnose() {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    try {
      const answer = await fetch("/readyz", { headers, cache: "no-store", signal: AbortSignal.timeout(5_000) });
      if (answer.status === 401) {
        this.#token = null;
        this.#tell("token");
        return;
      }
      const state = await answer.json();
      this.#retry(state.calls?.free === 0 ? "busy" : "lost");
    } catch {
      this.#retry("lost");
    }
  }

  #retry(status) {
    const pauseMs = this.#pauseMs * (0.75 + Math.random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#tell(status, Math.ceil(pauseMs / 1000));
    this.#timer = setTimeout(() => this.connect(), pauseMs);
  }

  #tell(status, seconds = 0) {
    this.dispatchEvent(new CustomEvent("status", { detail: { status, seconds } }));
  }
}

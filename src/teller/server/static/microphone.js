// The microphone, as 16 kHz 16-bit pieces and a level.

const CLOSE_AFTER_MS = 20_000; // unused for so long, the browser's recording sign goes out

const REFUSALS = {
  NotAllowedError: "The microphone is blocked for this page. Allow it in the address bar, or type your question.",
  SecurityError: "The microphone is blocked for this page. Allow it in the address bar, or type your question.",
  NotFoundError: "No microphone was found. Connect one, or type your question.",
  NotReadableError: "The microphone is in use by another program. Close that, or type your question.",
};

export class Microphone {
  #context = null;
  #stream = null;
  #node = null;
  #opening = null;
  #timer = 0;
  #onPiece = null;
  #flushed = null;

  /**
   * Begin to listen.
   * @param onPiece called with (ArrayBuffer of 16-bit samples at 16 kHz, level from 0 to 1).
   * @throws Error whose message can be shown.
   */
  async start(onPiece) {
    clearTimeout(this.#timer);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    await this.#opening;
    this.#onPiece = onPiece;
    this.#node.port.postMessage("start");
  }

  /** Stop to listen; resolves when the last piece has been handed over. */
  async stop() {
    if (!this.#node || !this.#onPiece) return;
    const flushed = new Promise((resolve) => {
      this.#flushed = resolve;
    });
    this.#node.port.postMessage("stop");
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.#onPiece = null;
    this.#timer = setTimeout(() => this.#close(), CLOSE_AFTER_MS);
  }

  async #open() {
    if (this.#node) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("This browser gives no microphone here: it wants https or localhost. You can type your question.");
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
      await this.#connect();
    } catch (error) {
      this.#close();
      throw new Error(REFUSALS[error.name] ?? "The microphone could not be opened. You can type your question.", {
        cause: error,
      });
    }
  }

  async #connect() {
    this.#context = new AudioContext({ latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule("/static/microphone-worklet.js");
    if (this.#context.state === "suspended") await this.#context.resume();
    const node = new AudioWorkletNode(this.#context, "to-16-khz", { numberOfOutputs: 0, channelCount: 1 });
    node.port.onmessage = ({ data }) => {
      if (data === "flushed") this.#flushed?.();
      else this.#onPiece?.(data.sound, data.level);
    };
    this.#context.createMediaStreamSource(this.#stream).connect(node);
    this.#stream.getAudioTracks()[0].onended = () => this.#close(); // unplugged, or permission taken back
    this.#node = node;
  }

  #close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#context?.close();
    this.#stream = this.#context = this.#node = this.#onPiece = null;
  }
}

// On the audio thread: from the device's rate to 16 kHz by a windowed sinc, then to 16-bit pieces of 40 ms.

const RATE_HZ = 16_000;
const PIECE_SAMPLES = 640;
const LOBES = 16; // zero crossings on each side of the sinc
const PHASES = 256; // table entries for each input sample

class To16Khz extends AudioWorkletProcessor {
  #isOn = false;
  #step = sampleRate / RATE_HZ; // input samples for each output sample
  #half = Math.ceil(LOBES * Math.max(1, sampleRate / RATE_HZ));
  #table = this.#kernel();
  #input = new Float32Array(0); // what the next outputs still need
  #at = 0; // place of the next output in it
  #piece = new Int16Array(PIECE_SAMPLES);
  #filled = 0;
  #energy = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "start") this.#begin();
      else this.#end();
    };
  }

  process([[channel]]) {
    if (this.#isOn && channel) this.#take(channel);
    return true;
  }

  #begin() {
    this.#input = new Float32Array(this.#half);
    this.#at = this.#half;
    this.#filled = 0;
    this.#energy = 0;
    this.#isOn = true;
  }

  #end() {
    if (this.#isOn) {
      this.#take(new Float32Array(this.#half));
      this.#hand();
    }
    this.#isOn = false;
    this.port.postMessage("flushed");
  }

  // A low-pass at 0.45 of the lower rate, with a Blackman window; PHASES values for each input sample.
  #kernel() {
    const cut = Math.min(1, RATE_HZ / sampleRate) * 0.9;
    const table = new Float32Array(this.#half * PHASES + 1);
    for (let i = 0; i < table.length; i++) {
      const x = i / PHASES;
      const turn = Math.PI * x * cut;
      const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / this.#half) + 0.08 * Math.cos((2 * Math.PI * x) / this.#half);
      table[i] = cut * window * (i ? Math.sin(turn) / turn : 1);
    }
    return table;
  }

  #take(samples) {
    const joined = new Float32Array(this.#input.length + samples.length);
    joined.set(this.#input);
    joined.set(samples, this.#input.length);
    while (this.#at + this.#half < joined.length) {
      this.#put(this.#sampleAt(joined, this.#at));
      this.#at += this.#step;
    }
    const spent = Math.max(0, Math.floor(this.#at) - this.#half);
    this.#input = joined.slice(spent);
    this.#at -= spent;
  }

  #sampleAt(samples, at) {
    const first = Math.max(0, Math.ceil(at - this.#half));
    const last = Math.floor(at + this.#half);
    let sum = 0;
    for (let i = first; i <= last; i++) sum += samples[i] * this.#table[Math.round(Math.abs(at - i) * PHASES)];
    return sum;
  }

  #put(value) {
    const clipped = Math.max(-1, Math.min(1, value));
    this.#piece[this.#filled++] = Math.round(clipped * 32767);
    this.#energy += clipped * clipped;
    if (this.#filled === PIECE_SAMPLES) this.#hand();
  }

  #hand() {
    if (!this.#filled) return;
    const sound = this.#piece.slice(0, this.#filled).buffer;
    const level = Math.sqrt(this.#energy / this.#filled);
    this.port.postMessage({ sound, level }, [sound]);
    this.#filled = 0;
    this.#energy = 0;
  }
}

registerProcessor("to-16-khz", To16Khz);

// Runs beside the page, where sound arrives: passes it on in pieces of a tenth of a second.

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(sampleRate / 10);
    this.n = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.piece[this.n++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.n === this.piece.length) {
        this.port.postMessage(this.piece.slice().buffer);
        this.n = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);

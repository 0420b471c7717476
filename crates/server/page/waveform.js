// The sound as a picture, on which one can jump to a place.

const BARS = 1200;
// What is longer is not unpacked in the browser's memory just for its picture.
const MAX_BYTES = 150e6;

/** The loudness of a recording in so many places, 0 to 1; `null` if the browser cannot read it. */
export async function peaks(file) {
  if (file.size > MAX_BYTES) return null;
  const context = new OfflineAudioContext(1, 1, 16000);
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
  const samples = sound.getChannelData(0);
  const bars = new Float32Array(Math.min(BARS, samples.length));
  const step = samples.length / bars.length;
  for (let i = 0; i < bars.length; i++) {
    const end = Math.floor((i + 1) * step);
    for (let j = Math.floor(i * step); j < end; j++) bars[i] = Math.max(bars[i], Math.abs(samples[j]));
  }
  const loudest = bars.reduce((x, y) => Math.max(x, y), 0.01);
  return { bars: bars.map((bar) => bar / loudest), duration: sound.duration };
}

/** Draws on `canvas`, and calls `seek(seconds)` for clicks and keys on it. */
export class Waveform {
  constructor(canvas, seek) {
    this.canvas = canvas;
    this.bars = null;
    this.duration = 0;
    this.at = 0;
    const jump = (event) => {
      const box = canvas.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * this.duration);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      jump(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && jump(event));
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5, PageDown: -30, PageUp: 30 };
      const ends = { Home: 0, End: this.duration };
      const to = event.key in ends ? ends[event.key] : event.key in steps ? this.at + steps[event.key] : null;
      if (to === null) return;
      event.preventDefault();
      seek(Math.min(Math.max(to, 0), this.duration));
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(bars, duration) {
    this.bars = bars;
    this.duration = duration;
    this.canvas.setAttribute("aria-valuemax", Math.round(duration));
    this.move(0, "");
  }

  /** Marks where the recording is, which `text` says to those who cannot see it. */
  move(seconds, text) {
    this.at = seconds;
    this.canvas.setAttribute("aria-valuenow", Math.round(seconds));
    this.canvas.setAttribute("aria-valuetext", text);
    this.draw();
  }

  draw() {
    const { canvas, bars } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
    const played = this.duration ? (this.at / this.duration) * width : 0;
    pen.clearRect(0, 0, width, height);
    const step = 3 * scale;
    for (let x = 0; x < width; x += step) {
      const from = Math.floor((x / width) * (bars?.length ?? 1));
      const to = Math.max(from + 1, Math.floor(((x + step) / width) * (bars?.length ?? 1)));
      const loud = bars ? Math.max(...bars.subarray(from, to)) : 0;
      const tall = Math.max(2 * scale, loud * height * 0.95);
      pen.fillStyle = colour(x < played ? "--accent" : "--wave");
      pen.fillRect(x, (height - tall) / 2, 2 * scale, tall);
    }
    pen.fillStyle = colour("--ink");
    pen.fillRect(Math.min(played, width - scale), 0, 1.5 * scale, height);
  }
}

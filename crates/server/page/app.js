// The page: recordings come in, are sent, and are shown with their text.

import { enqueue, get, setKey, transcribe } from "./api.js";
import { clock, write } from "./formats.js";
import { JobList } from "./jobs.js";
import { listen } from "./live.js";
import { record } from "./recorder.js";
import { Speakers } from "./speakers.js";
import { TranscriptView } from "./transcript.js";
import { peaks, Waveform } from "./waveform.js";

const $ = (id) => document.getElementById(id);
const audio = $("audio");
const recordings = [];
let chosen = null;

const waveform = new Waveform($("wave"), seek);
const speakers = new Speakers($("speakers"), $("segments"), announce);
const view = new TranscriptView($("segments"), speakers, (seconds) => {
  seek(seconds);
  play();
});

const jobs = new JobList($("jobs"), (name, { language, duration, segments }) => {
  choose({ name, file: null, item: document.createElement("li"), segments, language, duration, isFinished: true }, true);
});

/* Recordings */

function add(file) {
  const recording = enter(file.name, file);
  if ($("as-job").checked) return hand(recording);
  send(recording);
  choose(recording, false);
}

/** Puts a recording into the list. */
function enter(name, file) {
  const item = document.createElement("li");
  item.innerHTML = `<button type="button" class="open"></button><button type="button" class="stop">Stop</button>
    <progress max="1" value="0"></progress><span class="state"></span>`;
  const [open, stop] = [item.querySelector(".open"), item.querySelector(".stop")];
  open.textContent = name;
  stop.setAttribute("aria-label", `Stop ${name}`);
  item.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  const recording = { name, file, item, segments: [], started: performance.now() };
  open.onclick = () => choose(recording, true);
  recordings.unshift(recording);
  $("recordings").prepend(item);
  $("no-recordings").hidden = true;
  return recording;
}

function send(recording) {
  const choices = { model: $("model").value, language: $("language").value.trim() };
  state(recording, "sending", 0);
  const stop = transcribe(recording.file, recording.name, choices, {
    sent: (share) => (share < 1 ? state(recording, `sending, ${Math.round(share * 100)} %`, 0.1 * share) : state(recording, "listening", null)),
    progress: (done, total) => state(recording, `${clock(done)} of ${clock(total)}${left(recording, done, total)}`, 0.1 + (0.9 * done) / total),
    segment: (segment) => {
      recording.segments.push(segment);
      if (recording === chosen) view.add(segment, recording.segments.length - 1);
    },
    done: (result) => {
      Object.assign(recording, { language: result.language, duration: result.duration });
      const seconds = (performance.now() - recording.started) / 1000;
      finish(recording, `${clock(result.duration)} in ${seconds.toFixed(1)} s (${(result.duration / seconds).toFixed(0)} × real time)`);
      announce(`${recording.name} is transcribed`);
    },
    failed: (message, status) => {
      finish(recording, message, true);
      $("key-form").hidden = status !== 401;
      announce(`${recording.name}: ${message}`);
    },
  });
  recording.item.querySelector(".stop").onclick = () => {
    stop();
    finish(recording, "stopped");
  };
}

/** Hands a recording over: the server goes on with it whatever becomes of the page. */
function hand(recording) {
  const choices = { model: $("model").value, language: $("language").value.trim() };
  recording.item.querySelector(".open").disabled = true;
  state(recording, "sending", 0);
  const stop = enqueue(recording.file, recording.name, choices, {
    sent: (share) => state(recording, `sending, ${Math.round(share * 100)} %`, share),
    accepted: () => {
      finish(recording, "it is a job now");
      announce(`${recording.name} is a job now`);
      jobs.refresh();
    },
    failed: (message, status) => {
      finish(recording, message, true);
      $("key-form").hidden = status !== 401;
    },
  });
  recording.item.querySelector(".stop").onclick = () => {
    stop();
    finish(recording, "stopped");
  };
}

/** How long it will still take, when something is known about it. */
function left(recording, done, total) {
  const spent = (performance.now() - recording.started) / 1000;
  return done > 0 && spent > 2 ? `, ${clock((spent / done) * (total - done))} left` : "";
}

function state(recording, text, share) {
  recording.item.querySelector(".state").textContent = text;
  const bar = recording.item.querySelector("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

function finish(recording, text, isBad = false) {
  recording.isFinished = true;
  state(recording, text, 1);
  recording.item.querySelector(".state").classList.toggle("bad", isBad);
  recording.item.querySelector("progress").hidden = true;
  recording.item.querySelector(".stop").hidden = true;
  if (recording === chosen) facts();
  status();
}

/* The chosen recording */

async function choose(recording, isAsked) {
  if (chosen === recording) return isAsked && $("transcript").focus();
  chosen?.item.classList.remove("chosen");
  chosen = recording;
  recording.item.classList.add("chosen");
  $("transcript").hidden = false;
  $("title").textContent = recording.name;
  $("search").value = "";
  $("matches").value = "";
  view.query = "";
  $("segments").classList.remove("searched");
  setEditing(false);
  $("mark").setAttribute("aria-pressed", "false");
  speakers.show(recording);
  view.show(recording.segments);
  facts();
  if (audio.src) URL.revokeObjectURL(audio.src);
  audio.removeAttribute("src");
  document.querySelector(".player").hidden = !recording.file;
  if (!recording.file) {
    note(recording.isLive ? "" : "The server keeps the text of a job, and not its recording.");
    if (isAsked) $("transcript").focus();
    return;
  }
  note("");
  audio.src = URL.createObjectURL(recording.file);
  waveform.show(null, 0);
  if (isAsked) $("transcript").focus();
  recording.peaks ??= await peaks(recording.file);
  if (chosen !== recording) return;
  const duration = recording.peaks?.duration ?? (Number.isFinite(audio.duration) ? audio.duration : 0);
  waveform.show(recording.peaks?.bars ?? null, duration);
}

function facts() {
  const { duration, language, isFinished, segments } = chosen;
  const words = segments.reduce((n, segment) => n + segment.text.split(/\s+/).filter(Boolean).length, 0);
  $("facts").textContent = isFinished && duration ? `${clock(duration)} · ${language} · ${words} words` : "";
}

function seek(seconds) {
  audio.currentTime = seconds;
  tick();
}

function tick() {
  const at = audio.currentTime;
  $("clock").value = clock(at);
  waveform.move(at, `${clock(at)} of ${clock(waveform.duration)}`);
  view.follow(at);
}

function frame() {
  tick();
  if (!audio.paused) requestAnimationFrame(frame);
}

/** Plays, unless a pause comes before it begins. */
function play() {
  audio.play().catch(() => {});
}

$("play").onclick = () => (audio.paused ? play() : audio.pause());
audio.onplay = () => {
  $("play").classList.add("playing");
  $("play").setAttribute("aria-label", "Pause");
  frame();
};
audio.onpause = () => {
  $("play").classList.remove("playing");
  $("play").setAttribute("aria-label", "Play");
};
audio.onerror = () => note("This browser cannot play the recording; its text is not affected.");
audio.onloadedmetadata = () => {
  note("");
  if (!waveform.duration && Number.isFinite(audio.duration)) waveform.show(waveform.bars, audio.duration);
};

function note(text) {
  $("player-note").textContent = text;
  $("player-note").hidden = !text;
  $("play").disabled = Boolean(text);
}

/* Tools */

$("search").oninput = () => {
  const query = $("search").value.trim();
  const n = view.search(query);
  $("matches").value = query ? `${n} ${n === 1 ? "place" : "places"}` : "";
};

function setEditing(isEditing) {
  $("edit").setAttribute("aria-pressed", isEditing);
  view.edit(isEditing);
}
$("edit").onclick = () => setEditing(!view.isEditing);

$("mark").onclick = () => {
  speakers.mark(!speakers.isMarking);
  $("mark").setAttribute("aria-pressed", speakers.isMarking);
};

$("save").onclick = () => {
  const format = $("format").value;
  const segments = chosen.segments.filter((segment) => segment.text.trim());
  const blob = new Blob([write({ ...chosen, segments }, format)], { type: "text/plain" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${chosen.name.replace(/\.[^.]+$/, "").replace(/[\\/:]/g, "-")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

document.addEventListener("keydown", (event) => {
  if (!chosen || event.target.closest("input, [contenteditable='true']")) return;
  speakers.key(event);
  if (event.target.closest("select, button, #wave")) return;
  if (event.key === " ") {
    event.preventDefault();
    $("play").click();
  } else if (event.key === "/") {
    event.preventDefault();
    $("search").focus();
  }
});

/* Intake */

$("file").onchange = () => {
  [...$("file").files].forEach(add);
  $("file").value = "";
};
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  [...event.dataTransfer.files].forEach(add);
});

let stopRecording = null;
$("record").onclick = async () => {
  if (stopRecording) return stopRecording();
  try {
    stopRecording = await record((file) => {
      stopRecording = null;
      $("record").setAttribute("aria-pressed", "false");
      $("record-text").textContent = "Record";
      add(file);
    });
  } catch {
    announce("The microphone cannot be used");
    $("record-text").textContent = "The microphone cannot be used";
    return;
  }
  $("record").setAttribute("aria-pressed", "true");
  $("record-text").textContent = "Stop and transcribe";
};

let stopLive = null;
$("live").onclick = async () => {
  if (stopLive) return stopLive();
  const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const choices = { model: $("model").value, language: $("language").value.trim() };
  let recording;
  const places = new Map();
  const isOver = () => {
    stopLive = null;
    $("live").setAttribute("aria-pressed", "false");
    $("live-text").textContent = "Live";
  };
  try {
    stopLive = await listen(choices, {
      turn: (id, turn) => {
        if (!places.has(id)) places.set(id, recording.segments.push({}) - 1);
        const { speaker } = recording.segments[places.get(id)];
        recording.segments[places.get(id)] = speaker ? { ...turn, speaker } : turn;
        if (recording === chosen) view.update(places.get(id));
      },
      done: (file, duration) => {
        isOver();
        Object.assign(recording, { file, duration, language: choices.language || "live", isLive: false });
        finish(recording, `${clock(duration)}, written down while it was spoken`);
        if (recording === chosen) {
          chosen = null;
          choose(recording, false);
        }
      },
      failed: (message) => announce(message),
    });
  } catch {
    $("live-text").textContent = "The microphone cannot be used";
    return;
  }
  recording = enter(`Live at ${time}`, null);
  recording.isLive = true;
  state(recording, "listening", null);
  recording.item.querySelector(".stop").onclick = () => stopLive?.();
  choose(recording, false);
  $("live").setAttribute("aria-pressed", "true");
  $("live-text").textContent = "Stop listening";
};

$("key-form").onsubmit = (event) => {
  event.preventDefault();
  setKey($("key").value);
  $("key-form").hidden = true;
  start();
};

/* Around it */

function announce(text) {
  $("announcer").textContent = text;
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "☀" : "☾";
  waveform.draw();
}
const system = matchMedia("(prefers-color-scheme: dark)");
theme(localStorage.getItem("boswell-theme") ?? (system.matches ? "dark" : "light"));
$("theme").onclick = () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("boswell-theme", name);
  theme(name);
};

async function status() {
  try {
    const { version, device, models } = await get("status");
    $("languages").replaceChildren(...(models[0]?.languages ?? []).map((name) => new Option(name)));
    const speed = models.filter((model) => model.real_time_factor).map((model) => `${model.id}: ${model.real_time_factor.toFixed(0)} × real time`);
    $("status").textContent = [`Boswell ${version}`, `runs on ${device.name}`, ...speed].join(" · ");
  } catch (error) {
    $("status").textContent = error.message;
  }
}

async function start() {
  try {
    const { data } = await get("v1/models");
    const own = data.filter((model) => model.owned_by === "boswell");
    $("model").replaceChildren(...own.map(({ id }) => new Option(id, id)));
  } catch (error) {
    if (error.status === 401) $("key-form").hidden = false;
    else announce(error.message);
  }
  $("background").hidden = !(await jobs.refresh());
  status();
}
start();

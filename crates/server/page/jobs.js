// The jobs of the server: what it works on though nobody waits, and what came of it.

import { get, remove } from "./api.js";
import { clock } from "./formats.js";

const POLL_MS = 1500;
const IS_FINAL = new Set(["succeeded", "failed", "cancelled"]);

/** Shows the jobs in `section`, and calls `open(name, result)` for one that somebody wants to read. */
export class JobList {
  constructor(section, open) {
    this.section = section;
    this.list = section.querySelector("ul");
    this.open = open;
    this.timer = null;
  }

  /** Looks again now, and from time to time as long as something is going on. */
  async refresh() {
    clearTimeout(this.timer);
    let jobs;
    try {
      jobs = (await get("v1/jobs")).data;
    } catch (error) {
      // A server may keep no jobs.
      if (error.status === 501) this.section.hidden = true;
      return error.status !== 501;
    }
    this.section.hidden = jobs.length === 0;
    const kept = new Map([...this.list.children].map((item) => [item.dataset.id, item]));
    this.list.replaceChildren(...jobs.map((job) => this.item(kept.get(job.id) ?? this.newItem(job), job)));
    if (jobs.some((job) => !IS_FINAL.has(job.status))) this.timer = setTimeout(() => this.refresh(), POLL_MS);
    return true;
  }

  newItem({ id, file_name: name }) {
    const item = document.createElement("li");
    item.dataset.id = id;
    item.innerHTML = `<button type="button" class="open"></button><button type="button" class="stop"></button>
      <progress max="1"></progress><span class="state"></span>`;
    const [open, stop] = [item.querySelector(".open"), item.querySelector(".stop")];
    open.textContent = name || "recording";
    open.onclick = async () => {
      this.open(open.textContent, await get(`v1/jobs/${id}/result?format=verbose_json`));
    };
    stop.onclick = async () => {
      await remove(`v1/jobs/${id}`);
      this.refresh();
    };
    item.querySelector("progress").setAttribute("aria-label", `Progress of ${open.textContent}`);
    return item;
  }

  item(item, job) {
    const [open, stop, bar, state] = [".open", ".stop", "progress", ".state"].map((of) => item.querySelector(of));
    const isFinal = IS_FINAL.has(job.status);
    open.disabled = job.status !== "succeeded";
    stop.textContent = isFinal ? "Remove" : "Cancel";
    stop.setAttribute("aria-label", `${stop.textContent} ${open.textContent}`);
    bar.hidden = isFinal;
    bar.value = job.progress;
    const position = job.queue_position === null ? "" : `, ${job.queue_position} before it`;
    const left = job.eta_s === null ? "" : `, ${clock(job.eta_s)} left`;
    state.textContent = job.error?.message ?? `${job.status}${position}${left}${job.duration ? `, ${clock(job.duration)}` : ""}`;
    state.classList.toggle("bad", job.status === "failed");
    return item;
  }
}

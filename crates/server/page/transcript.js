// The text on the page: its words, the one that is spoken, search and correction.

import { clock } from "./formats.js";

/** Shows a transcript in `list` with its `speakers`, and calls `seek(seconds)` where somebody wants to hear it. */
export class TranscriptView {
  constructor(list, speakers, seek) {
    this.list = list;
    this.speakers = speakers;
    this.seek = seek;
    this.segments = [];
    this.words = [];
    this.query = "";
    this.isEditing = false;
    list.addEventListener("click", (event) => {
      const place = event.target.closest("[data-start]");
      if (place && !(this.isEditing && place.matches(".word"))) seek(Number(place.dataset.start));
    });
    list.addEventListener("input", (event) => {
      const text = event.target.closest("p");
      if (!text) return;
      const segment = this.segments[Number(text.closest("li").dataset.index)];
      segment.text = ` ${text.textContent.trim()}`;
      // Words that were changed have no known times.
      delete segment.words;
    });
  }

  /** Shows these segments in place of all others. */
  show(segments) {
    this.list.replaceChildren();
    this.segments = segments;
    this.words = [];
    segments.forEach((segment, index) => this.add(segment, index));
  }

  /** Shows one more segment, which is in `segments` already. */
  add(segment, index) {
    if (!segment.text.trim()) return;
    const item = document.createElement("li");
    item.dataset.index = index;
    const at = document.createElement("button");
    at.className = "at";
    at.dataset.start = segment.start;
    at.textContent = clock(segment.start);
    at.setAttribute("aria-label", `Play from ${clock(segment.start)}`);
    const who = document.createElement("span");
    who.className = "who";
    const text = document.createElement("p");
    text.lang = this.language ?? "";
    item.append(at, who, text);
    this.list.append(item);
    this.speakers.add(item);
    this.fill(item, segment);
  }

  /** Shows a segment whose text has changed. */
  update(index) {
    const item = [...this.list.children].find((item) => Number(item.dataset.index) === index);
    if (item) this.fill(item, this.segments[index]);
    else this.add(this.segments[index], index);
  }

  fill(item, segment) {
    const text = item.querySelector("p");
    text.contentEditable = String(this.isEditing);
    if (this.isEditing) {
      text.setAttribute("role", "textbox");
      text.setAttribute("aria-label", `Text at ${clock(segment.start)}`);
    } else {
      text.removeAttribute("role");
      text.removeAttribute("aria-label");
    }
    text.replaceChildren();
    if (!segment.words?.length || this.isEditing) {
      text.append(...this.marked(segment.text.trim()));
      return;
    }
    for (const word of segment.words) {
      const span = document.createElement("span");
      span.className = "word";
      span.dataset.start = word.start;
      span.append(...this.marked(word.word.trim()));
      this.words.push({ start: word.start, end: word.end, span });
      text.append(span, " ");
    }
  }

  /** A text with what is searched for marked in it. */
  marked(text) {
    if (!this.query || this.isEditing) return [text];
    const nodes = [];
    let rest = text;
    for (;;) {
      const at = rest.toLowerCase().indexOf(this.query);
      if (at < 0) return [...nodes, rest];
      const mark = document.createElement("mark");
      mark.textContent = rest.slice(at, at + this.query.length);
      nodes.push(rest.slice(0, at), mark);
      rest = rest.slice(at + this.query.length);
    }
  }

  refill() {
    this.words = [];
    for (const item of this.list.children) this.fill(item, this.segments[Number(item.dataset.index)]);
  }

  /** Shows only segments in which `query` is said, and returns how many there are. */
  search(query) {
    this.query = query.trim().toLowerCase();
    // Words are searched for one by one, and phrases in whole segments.
    this.refill();
    this.list.classList.toggle("searched", Boolean(this.query));
    let n = 0;
    for (const item of this.list.children) {
      const text = this.segments[Number(item.dataset.index)].text.toLowerCase();
      item.hidden = !text.includes(this.query);
      n += item.hidden ? 0 : 1;
    }
    return n;
  }

  edit(isEditing) {
    this.isEditing = isEditing;
    this.refill();
  }

  /** Marks what is spoken at a time. */
  follow(seconds) {
    for (const { start, end, span } of this.words) span.classList.toggle("now", start <= seconds && seconds < end);
    for (const item of this.list.children) {
      const segment = this.segments[Number(item.dataset.index)];
      const isNow = segment.start <= seconds && seconds < segment.end;
      if (isNow && !item.classList.contains("now")) item.scrollIntoView({ block: "nearest" });
      item.classList.toggle("now", isNow);
    }
  }
}

// Who speaks: names with their colours, and who says which segment.

/** As many as style.css has; then they come again. */
const N_COLOURS = 8;
const NEW = "new";

/**
 * Shows the names in `section`, and who says what beside the segments of `list`; a person may change both. Calls
 * `tell(text)` after each change, for those who cannot see it.
 */
export class Speakers {
  constructor(section, list, tell) {
    this.section = section;
    this.names = section.querySelector("ul");
    this.list = list;
    this.tell = tell;
    this.isMarking = false;
    this.transcript = { segments: [], speakers: [] };
    section.querySelector("button").onclick = () => {
      const name = this.make();
      this.draw();
      const input = this.names.lastElementChild.querySelector("input");
      input.focus();
      input.select();
      this.tell(`Speaker ${name} is new`);
    };
    list.addEventListener("change", (event) => {
      const choice = event.target.closest("select");
      if (!choice) return;
      const index = Number(choice.closest("li").dataset.index);
      this.give(index, choice.value === NEW ? this.make() : this.transcript.speakers[choice.value]);
    });
  }

  /** Shows the speakers of another transcript, whose segments are then added. */
  show(transcript) {
    this.transcript = transcript;
    transcript.speakers ??= [];
    this.isMarking = false;
    for (const { speaker } of transcript.segments) this.meet(speaker);
    this.drawNames();
  }

  /** Lets a person say who speaks, or not any more. */
  mark(isMarking) {
    this.isMarking = isMarking;
    this.draw();
  }

  /** Shows who says the segment that is the last in the list now. */
  add(item) {
    if (this.meet(this.speakerOf(item))) this.drawNames();
    this.drawItem(item);
  }

  /** Takes a key: 1 to 9 let that speaker speak from the segment with the focus or the one that is played, 0 nobody. */
  key(event) {
    if (!this.isMarking || !/^[0-9]$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const item = event.target.closest?.(".segments li") ?? this.list.querySelector("li.now");
    const number = Number(event.key);
    const { speakers } = this.transcript;
    if (!item || number > speakers.length + 1) return;
    event.preventDefault();
    this.give(Number(item.dataset.index), number > speakers.length ? this.make() : speakers[number - 1]);
  }

  /** Lets `name` speak from a segment to the next change; `undefined`: nobody knows who speaks. */
  give(index, name) {
    const { segments } = this.transcript;
    const before = segments[index].speaker;
    for (const segment of segments.slice(index)) {
      if (!segment.text?.trim()) continue;
      if (segment.speaker !== before) break;
      assign(segment, name);
    }
    this.draw();
    this.tell(`${name ?? "Nobody"} speaks from here`);
  }

  /** Calls a speaker by another name everywhere; by the name of another it is that one. */
  rename(from, to) {
    const { segments, speakers } = this.transcript;
    const isKnown = speakers.includes(to);
    if (to && !isKnown) speakers[speakers.indexOf(from)] = to;
    else if (to && to !== from) speakers.splice(speakers.indexOf(from), 1);
    else to = from;
    for (const segment of segments) if (segment.speaker === from) segment.speaker = to;
    this.draw();
    if (to !== from) this.tell(isKnown ? `${from} and ${to} are one` : `${from} is called ${to} now`);
  }

  remove(name) {
    const { segments, speakers } = this.transcript;
    speakers.splice(speakers.indexOf(name), 1);
    for (const segment of segments) if (segment.speaker === name) assign(segment, undefined);
    this.draw();
    this.section.querySelector(":scope > button").focus();
    this.tell(`${name} is removed`);
  }

  /** A new speaker, called by the first letter that is free. */
  make() {
    const { speakers } = this.transcript;
    const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
    const name = letters.find((letter) => !speakers.includes(letter)) ?? `Speaker ${speakers.length + 1}`;
    speakers.push(name);
    return name;
  }

  /** Whether a speaker was not known before. */
  meet(name) {
    const { speakers } = this.transcript;
    const isNew = Boolean(name) && !speakers.includes(name);
    if (isNew) speakers.push(name);
    return isNew;
  }

  draw() {
    this.drawNames();
    let previous;
    for (const item of this.list.children) previous = this.drawItem(item, previous);
  }

  /** The names, each in a place that stays: it may have the focus. */
  drawNames() {
    const { speakers } = this.transcript;
    this.section.hidden = !this.isMarking && speakers.length === 0;
    this.section.classList.toggle("marking", this.isMarking);
    this.list.classList.toggle("told", !this.section.hidden);
    while (this.names.children.length > speakers.length) this.names.lastElementChild.remove();
    speakers.forEach((name, index) => {
      const item = this.names.children[index] ?? this.newName(index);
      Object.assign(item.querySelector("input"), { value: name, size: Math.min(24, Math.max(4, name.length)) });
      item.querySelector("button").setAttribute("aria-label", `Remove ${name}`);
    });
  }

  /** A place for a name with its colour, which can be changed. */
  newName(index) {
    const item = document.createElement("li");
    item.dataset.who = index % N_COLOURS;
    item.innerHTML = `<span class="badge" aria-hidden="true"></span><input maxlength="60" autocomplete="off">
      <button type="button">×</button>`;
    const [badge, input, remove] = ["span", "input", "button"].map((of) => item.querySelector(of));
    badge.textContent = index + 1;
    input.setAttribute("aria-label", `Name of speaker ${index + 1}`);
    input.onchange = () => this.rename(this.transcript.speakers[index], input.value.trim().replace(/\s+/g, " "));
    remove.onclick = () => this.remove(this.transcript.speakers[index]);
    this.names.append(item);
    return item;
  }

  /** Shows who says a segment, and whether a turn begins with it. Returns who it is. */
  drawItem(item, previous = this.speakerOf(item.previousElementSibling)) {
    const { speakers } = this.transcript;
    const name = this.speakerOf(item);
    const index = speakers.indexOf(name);
    if (name) item.dataset.who = index % N_COLOURS;
    else delete item.dataset.who;
    item.classList.toggle("turn", name !== previous);
    const place = item.querySelector(".who");
    if (!this.isMarking) {
      place.textContent = name ?? "";
      return name;
    }
    // What has the focus stays.
    let choice = place.querySelector("select");
    if (!choice) {
      choice = document.createElement("select");
      choice.setAttribute("aria-label", `Who speaks at ${item.querySelector(".at").textContent}`);
      place.replaceChildren(choice);
    }
    const options = speakers.map((name, index) => new Option(name, index));
    choice.replaceChildren(new Option("–", ""), ...options, new Option("New speaker", NEW));
    choice.value = name ? String(index) : "";
    return name;
  }

  speakerOf(item) {
    return item ? this.transcript.segments[Number(item.dataset.index)].speaker : undefined;
  }
}

function assign(segment, name) {
  if (name) segment.speaker = name;
  else delete segment.speaker;
}

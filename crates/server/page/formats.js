// Transcripts as files.

const two = (n) => String(n).padStart(2, "0");

/** Seconds as a clock shows them: 1:02:03 or 2:03. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

function stamp(seconds, mark) {
  const ms = Math.round(Math.max(0, seconds) * 1000);
  const s = Math.floor(ms / 1000);
  return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}${mark}${String(ms % 1000).padStart(3, "0")}`;
}

const said = ({ speaker, text }) => (speaker ? `${speaker}: ${text.trim()}` : text.trim());

const cue = ({ start, end }, mark, text) => `${stamp(start, mark)} --> ${stamp(end, mark)}\n${text.replaceAll("-->", "->")}\n\n`;

/** In WebVTT a name is a mark in the text, whose own characters must not be taken for one. */
function voiced({ speaker, text }) {
  if (!speaker) return text.trim();
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<v ${plain(speaker)}>${plain(text.trim())}`;
}

const WRITERS = {
  txt: ({ segments }) => segments.map((segment) => `${said(segment)}\n`).join(""),
  srt: ({ segments }) => segments.map((segment, i) => `${i + 1}\n${cue(segment, ",", said(segment))}`).join(""),
  vtt: ({ segments }) => `WEBVTT\n\n${segments.map((segment) => cue(segment, ".", voiced(segment))).join("")}`,
  json: ({ name, language, duration, segments }) => {
    const text = segments.map((segment) => segment.text).join("").trim();
    return `${JSON.stringify({ name, language, duration, text, segments }, null, 2)}\n`;
  },
  md: ({ name, segments }) => {
    const head = ({ start, speaker }) => (speaker ? `**${clock(start)} ${speaker}:**` : `**${clock(start)}**`);
    return `# ${name}\n\n${segments.map((segment) => `${head(segment)} ${segment.text.trim()}\n`).join("\n")}`;
  },
};

/** The text of a file in one of the formats. */
export const write = (transcript, format) => WRITERS[format](transcript);

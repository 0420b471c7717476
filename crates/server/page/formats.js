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

const cue = (segment, mark) =>
  `${stamp(segment.start, mark)} --> ${stamp(segment.end, mark)}\n${segment.text.trim().replaceAll("-->", "->")}\n`;

const WRITERS = {
  txt: ({ segments }) => segments.map((segment) => `${segment.text.trim()}\n`).join(""),
  srt: ({ segments }) => segments.map((segment, i) => `${i + 1}\n${cue(segment, ",")}\n`).join(""),
  vtt: ({ segments }) => `WEBVTT\n\n${segments.map((segment) => `${cue(segment, ".")}\n`).join("")}`,
  json: ({ name, language, duration, segments }) => {
    const text = segments.map((segment) => segment.text).join("").trim();
    return `${JSON.stringify({ name, language, duration, text, segments }, null, 2)}\n`;
  },
  md: ({ name, segments }) =>
    `# ${name}\n\n${segments.map((segment) => `**${clock(segment.start)}** ${segment.text.trim()}\n`).join("\n")}`,
};

/** The text of a file in one of the formats. */
export const write = (transcript, format) => WRITERS[format](transcript);

// Uses the page in headless Chromium as people do. Usage: page.mjs URL RECORDING [FOLDER FOR SCREENSHOTS]
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

// The package is in the folder that the program was started in.
const require = createRequire(path.join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");

const [url, recording, screenshots] = process.argv.slice(2);
const launch = (...flags) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", ...flags,
  ],
});
let browser = await launch();

async function open(width, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme, acceptDownloads: true });
  const page = await context.newPage();
  page.on("pageerror", (error) => assert.fail(`the page threw ${error.message} ${error.stack}`));
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    assert.ok(protocol === "blob:" || host === new URL(url).host, `the page asks for ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

async function transcribe(page) {
  await page.setInputFiles("#file", recording);
  await page.locator("#recordings .state", { hasText: "real time" }).first().waitFor({ timeout: 60_000 });
}

async function save(page, format) {
  await page.selectOption("#format", format);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  assert.equal(download.suggestedFilename(), `pi.${format}`);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

// On a machine that is busy Chromium's microphone leaves out sound and plays it twice: so many of the eight words may be
// wrong, missing or too many.
const MOST_ERRORS = 2;

/** The fewest words of a text that have to be changed, added or taken away to make it the other. */
function errors(text, other) {
  const row = [...other.keys(), other.length];
  text.forEach((word, i) => {
    let [diagonal] = row;
    row[0] = i + 1;
    other.forEach((otherWord, j) => {
      const changed = diagonal + (word !== otherWord);
      diagonal = row[j + 1];
      row[j + 1] = Math.min(changed, diagonal + 1, row[j] + 1);
    });
  });
  return row.at(-1);
}

const page = await open(1280, "light");
await transcribe(page);
const words = await page.locator("#segments .word").allTextContents();
assert.deepEqual(words, "three one four one five nine two six".split(" "));
assert.match(await page.textContent("#facts"), /english · 8 words/);
assert.match(await page.textContent("#status"), /runs on CPU.*real time/);

// A click on a word plays from there, and the word is marked.
await page.locator("#segments .word").nth(4).click();
await page.locator("#segments .word.now", { hasText: "five" }).waitFor();
await page.click("#play");
// The waveform is a slider, by keyboard too.
await page.focus("#wave");
await page.keyboard.press("Home");
assert.equal(await page.getAttribute("#wave", "aria-valuenow"), "0");
await page.keyboard.press("ArrowRight");
assert.match(await page.getAttribute("#wave", "aria-valuetext"), /^0:0[45] of 0:\d\d$/);

// Search and correction.
await page.fill("#search", "one");
assert.equal(await page.inputValue("#search"), "one");
assert.equal(await page.locator("#segments li:visible").count(), 2);
assert.equal(await page.locator("#segments mark").count(), 2);
assert.equal((await page.textContent("#matches")).trim(), "2 places");
await page.fill("#search", "");
await page.click("#edit");
await page.locator("#segments p").first().fill("THREE");
await page.click("#edit");

// Files.
assert.match(await save(page, "txt"), /^THREE\none\nfour\n/);
assert.match(await save(page, "srt"), /^1\n00:00:0.,\d{3} --> 00:00:0.,\d{3}\nTHREE\n\n2\n/);
assert.match(await save(page, "vtt"), /^WEBVTT\n\n00:00:0/);
assert.match(await save(page, "md"), /^# pi\.flac\n\n\*\*0:0\d\*\* THREE\n/);
assert.equal(JSON.parse(await save(page, "json")).segments[1].text.trim(), "one");

// Everything that can be used has a name for those who cannot see it.
const nameless = await page.evaluate(() =>
  [...document.querySelectorAll("button, input, select, [role=slider]")]
    .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim()))
    .map((e) => e.outerHTML));
assert.deepEqual(nameless, []);

// By keyboard alone: the first stop is the way to the transcript, then the theme.
await page.reload();
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
await page.keyboard.press("Tab");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");

// The microphone, of which Chromium plays a beep.
await page.click("#record");
await page.waitForTimeout(1500);
await page.click("#record");
await page.locator("#recordings .state", { hasText: "real time" }).waitFor({ timeout: 60_000 });

// A job goes on without the page, which shows it when it is opened again.
await page.check("#as-job");
await page.setInputFiles("#file", recording);
await page.locator("#recordings .state", { hasText: "it is a job now" }).waitFor();
await page.reload();
await page.locator("#jobs .state", { hasText: "succeeded" }).first().waitFor({ timeout: 60_000 });
await page.locator("#jobs .open").first().click();
await page.locator("#segments .word").first().waitFor();
assert.deepEqual(await page.locator("#segments .word").allTextContents(), words);
assert.ok(await page.isHidden(".player"), "there is nothing to play");
await page.locator("#jobs .stop").first().click();
await page.waitForFunction(() => document.querySelectorAll("#jobs li").length === 0);

// What is no recording is said to be none.
await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no sound") });
await page.locator("#recordings .state.bad", { hasText: "Invalid file format" }).waitFor();

for (const width of [1280, 390]) {
  for (const scheme of ["light", "dark"]) {
    const page = await open(width, scheme);
    await transcribe(page);
    await page.locator("#segments .word").nth(2).click();
    await page.locator("#segments .word.now").waitFor();
    await page.click("#play");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} is too narrow`);
    if (screenshots) {
      await page.waitForTimeout(300);
      await page.screenshot({ path: path.join(screenshots, `page-${scheme}-${width}.png`), fullPage: true });
    }
  }
}

// Speech into the microphone: the recording as a wav file, which Chromium plays to the page, and silence after it.
const samples = await page.evaluate(async (base64) => {
  const context = new OfflineAudioContext(1, 1, 48000);
  const sound = await context.decodeAudioData(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
  return [...sound.getChannelData(0)].map((sample) => Math.round(sample * 32767));
}, fs.readFileSync(recording).toString("base64"));
const wav = Buffer.alloc(44 + 2 * (samples.length + 48000 * 5));
wav.write("RIFF");
wav.writeUInt32LE(wav.length - 8, 4);
wav.write("WAVEfmt ", 8);
[[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, 48000, 4], [28, 96000, 4], [32, 2, 2], [34, 16, 2]].forEach(([at, value, n]) => wav.writeUIntLE(value, at, n));
wav.write("data", 36);
wav.writeUInt32LE(wav.length - 44, 40);
samples.forEach((sample, i) => wav.writeInt16LE(sample, 44 + 2 * i));
fs.writeFileSync("speech.wav", wav);
await browser.close();
browser = await launch(`--use-file-for-fake-audio-capture=${path.resolve("speech.wav")}%noloop`);
const speaking = await open(1280, "light");
await speaking.click("#live");
await speaking.locator("#segments li").first().waitFor({ timeout: 30_000 });
await speaking.waitForTimeout(10_000);
await speaking.click("#live");
await speaking.locator("#recordings .state", { hasText: "written down while it was spoken" }).waitFor({ timeout: 30_000 });
const spoken = (await speaking.locator("#segments p").allTextContents()).join(" ").trim().split(/\s+/);
assert.ok(errors(words, spoken) <= MOST_ERRORS, `heard: ${spoken}`);
assert.ok(await speaking.isVisible(".player"), "what was spoken can be played");
await browser.close();
console.log("the page: all as expected");

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

// Who speaks: chosen by mouse and by keys, from a segment to the next change; and called by a name.
const speakers = (page) => page.evaluate(() => [...document.querySelectorAll("#segments li")].map((item) => item.dataset.who ?? "-").join(""));
const names = (page) => page.locator("#speakers input").evaluateAll((inputs) => inputs.map((input) => input.value));
assert.ok(await page.isHidden("#speakers"), "there are no speakers");
await page.click("#mark");
const choices = page.locator("#segments select");
await choices.nth(1).selectOption({ label: "New speaker" });
assert.equal(await speakers(page), "-0000000");
await choices.nth(3).focus();
await page.keyboard.press("2");
assert.equal(await speakers(page), "-0011111");
assert.ok(await choices.nth(3).evaluate((choice) => choice === document.activeElement), "the focus stays");
await page.locator("#segments .word", { hasText: "nine" }).click();
await page.locator("#segments li.now", { hasText: "nine" }).waitFor();
await page.click("#play");
await page.keyboard.press("1");
assert.equal(await speakers(page), "-0011000");
await choices.nth(6).selectOption({ label: "–" });
assert.equal(await speakers(page), "-00110--");
await page.click("#speakers > button");
await page.keyboard.type("Ada <& Co>");
await page.keyboard.press("Tab");
assert.deepEqual(await names(page), ["A", "B", "Ada <& Co>"]);
const name = (number) => page.getByLabel(`Name of speaker ${number}`, { exact: true });
await name(1).fill("  Ada   <& Co>");
await name(1).press("Enter");
assert.deepEqual(await names(page), ["B", "Ada <& Co>"], "who has the name of another is that one");
assert.equal(await speakers(page), "-11001--");
await name(1).fill("Bea");
await name(1).press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Remove Bea");
await page.click("#mark");
assert.deepEqual(await page.locator("#segments .who:visible").allTextContents(), ["Ada <& Co>", "Bea", "Ada <& Co>"]);
assert.equal(await page.locator("#segments select").count(), 0);
assert.match(await save(page, "txt"), /^THREE\nAda <& Co>: one\nAda <& Co>: four\nBea: one\n/);
assert.match(await save(page, "srt"), /\n4\n00:00:02,\d{3} --> 00:00:0.,\d{3}\nBea: one\n/);
assert.match(await save(page, "vtt"), /\n<v Ada &lt;&amp; Co&gt;>four\n\n/);
assert.match(await save(page, "md"), /\n\*\*0:02 Bea:\*\* one\n/);
assert.deepEqual(JSON.parse(await save(page, "json")).segments.map(({ speaker }) => speaker?.[0]), [undefined, ..."AABBA", undefined, undefined]);
await page.click("#mark");
await page.getByLabel("Remove Bea").click();
assert.equal(await speakers(page), "-00--0--");
assert.deepEqual(await names(page), ["Ada <& Co>"]);

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
// Speakers that the server tells apart are shown.
await page.route("**/v1/jobs/*/result?*", async (route) => {
  const response = await route.fetch();
  const result = await response.json();
  result.segments.forEach((segment, index) => (segment.speaker = index < 3 ? "agent" : "A"));
  await route.fulfill({ response, json: result });
});
await page.locator("#jobs .open").first().click();
await page.locator("#speakers li").nth(1).waitFor();
assert.deepEqual(await names(page), ["agent", "A"]);
assert.equal(await speakers(page), "00011111");
await page.locator("#jobs .stop").first().click();
await page.waitForFunction(() => document.querySelectorAll("#jobs li").length === 0);

// What is no recording is said to be none.
await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no sound") });
await page.locator("#recordings .state.bad", { hasText: "Invalid file format" }).waitFor();

/** The least contrast of the speakers' colours with what is around them, of which the guidelines for all ask 4.5. */
const contrast = (page) => page.evaluate(() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((x) => ((x / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const item = document.querySelector("#speakers li");
  const badge = item.querySelector(".badge");
  return Math.min(...Array.from({ length: 8 }, (_, who) => {
    item.dataset.who = who;
    const [x, y] = ["color", "background-color"].map((of) => luminance(getComputedStyle(badge).getPropertyValue(of)));
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  }));
});

for (const width of [1280, 390]) {
  for (const scheme of ["light", "dark"]) {
    const page = await open(width, scheme);
    await transcribe(page);
    await page.click("#mark");
    await page.locator("#segments select").nth(0).selectOption({ label: "New speaker" });
    await page.locator("#segments select").nth(3).selectOption({ label: "New speaker" });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} is too narrow to choose who speaks`);
    await page.getByLabel("Name of speaker 1").fill("Archimedes");
    await page.getByLabel("Name of speaker 1").press("Enter");
    await page.click("#mark");
    await page.locator("#segments .word").nth(2).click();
    await page.locator("#segments .word.now").waitFor();
    await page.click("#play");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} is too narrow`);
    if (screenshots) {
      await page.evaluate(() => document.activeElement.blur());
      await page.waitForTimeout(300);
      await page.screenshot({ path: path.join(screenshots, `page-${scheme}-${width}.png`), fullPage: true });
    }
    const least = await contrast(page);
    assert.ok(least >= 4.5, `${scheme}: contrast ${least}`);
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

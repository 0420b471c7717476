// Speaks with a running server through the official Node client. Usage: conformance.mjs URL RECORDING TEXT
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

// The package is in the folder that the program was started in.
const require = createRequire(path.join(process.cwd(), "package.json"));
const { OpenAI, NotFoundError, BadRequestError } = require("openai");

const [baseURL, recording, text] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const transcribe = (parameters = {}) =>
  client.audio.transcriptions.create({ file: fs.createReadStream(recording), model: "whisper-1", ...parameters });

assert.equal((await transcribe()).text, text);
assert.equal((await transcribe({ response_format: "text" })).trim(), text);
assert.match(await transcribe({ response_format: "srt" }), /^1\n00:00:0.* --> /);
assert.match(await transcribe({ response_format: "vtt" }), /^WEBVTT\n\n00:00:0/);
const verbose = await transcribe({
  response_format: "verbose_json",
  timestamp_granularities: ["word", "segment"],
  language: "en",
});
assert.deepEqual(verbose.words.map((word) => word.word), text.split(" "));
assert.equal(verbose.language, "english");
assert.ok(verbose.segments.length > 0);
assert.equal((await transcribe({ response_format: "diarized_json" })).segments[0].speaker, "A");

const { logprobs } = await transcribe({ include: ["logprobs"] });
assert.equal(Buffer.concat(logprobs.map((token) => Buffer.from(token.bytes))).toString(), text);
const secret = await client.realtime.clientSecrets.create({ session: { type: "transcription" } });
assert.match(secret.value, /^ek_/);

let deltas = "";
let done;
for await (const event of await transcribe({ stream: true })) {
  if (event.type === "transcript.text.delta") deltas += event.delta;
  if (event.type === "transcript.text.done") done = event.text;
}
assert.equal(deltas, text);
assert.equal(done, text);

await assert.rejects(transcribe({ model: "nothing" }), NotFoundError);
await assert.rejects(transcribe({ response_format: "xml" }), (error) => {
  return error instanceof BadRequestError && error.param === "response_format" && !!error.requestID;
});
await assert.rejects(
  client.audio.translations.create({ file: fs.createReadStream(recording), model: "whisper-1" }),
  BadRequestError,
);
const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.ok(models.includes("whisper-1"));
assert.equal((await client.models.retrieve(models[0])).object, "model");
const { request_id: id } = await transcribe().withResponse();
assert.ok(id);
console.log("openai for Node: all as expected");

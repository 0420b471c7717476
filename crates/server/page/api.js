// The server's side: sending recordings, and what comes back while they are transcribed.

let key = sessionStorage.getItem("boswell-key") ?? "";

/** Uses another key from now on. */
export function setKey(value) {
  key = value;
  sessionStorage.setItem("boswell-key", value);
}

/** What a WebSocket is opened with: browsers send no headers with it. */
export function protocols() {
  return key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"];
}

function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** What a GET answers, as JSON. Throws an error that has the status. */
export const get = (path) => ask("GET", path);

/** What a DELETE answers. */
export const remove = (path) => ask("DELETE", path);

async function ask(method, path) {
  const response = await fetch(path, { method, headers: headers() });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error?.message ?? response.statusText), { status: response.status });
  return body;
}

/**
 * Sends a recording and tells what happens:
 * `sent(share)`, `progress(done_s, total_s)`, `segment(segment)`, then `done(result)` or `failed(message, status)`.
 * Returns a function that stops it.
 */
export function transcribe(file, name, choices, on) {
  const form = fields(file, name, choices);
  form.set("stream", "true");
  const request = new XMLHttpRequest();
  let read = 0;
  let isOver = false;
  const fail = (message, status = 0) => {
    if (!isOver) on.failed(message, status);
    isOver = true;
  };
  const take = () => {
    // An event ends with an empty line; what follows the last one is not all here yet.
    const end = request.responseText.lastIndexOf("\n\n");
    if (end < read) return;
    const events = request.responseText.slice(read, end).split("\n\n");
    read = end + 2;
    for (const text of events) {
      if (!text.startsWith("data: ") || text === "data: [DONE]") continue;
      const event = JSON.parse(text.slice(6));
      if (event.error) fail(event.error.message);
      else if (event.type === "transcript.progress") on.progress(event.done_s, event.total_s);
      else if (event.type === "transcript.text.segment") on.segment(event);
      else if (event.type === "transcript.text.done") {
        isOver = true;
        on.done(event);
      }
    }
  };
  request.upload.onprogress = (event) => on.sent(event.loaded / Math.max(event.total, 1));
  request.onprogress = () => request.status === 200 && take();
  request.onload = () => {
    if (request.status === 200) {
      take();
      return fail("the answer broke off");
    }
    fail(complaint(request), request.status);
  };
  request.onerror = () => fail("the server cannot be reached");
  post(request, "v1/audio/transcriptions", form);
  return () => {
    isOver = true;
    request.abort();
  };
}

/**
 * Sends a recording that is transcribed though nobody waits: `sent(share)`, then `accepted()` or
 * `failed(message, status)`. Returns a function that stops the sending.
 */
export function enqueue(file, name, choices, on) {
  const request = new XMLHttpRequest();
  request.upload.onprogress = (event) => on.sent(event.loaded / Math.max(event.total, 1));
  request.onload = () => (request.status < 300 ? on.accepted() : on.failed(complaint(request), request.status));
  request.onerror = () => on.failed("the server cannot be reached", 0);
  post(request, "v1/jobs", fields(file, name, choices));
  return () => request.abort();
}

function fields(file, name, { model, language }) {
  const form = new FormData();
  form.append("model", model);
  if (language) form.append("language", language);
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "segment");
  form.append("timestamp_granularities[]", "word");
  form.append("file", file, name);
  return form;
}

function post(request, path, form) {
  request.open("POST", path);
  for (const [header, value] of Object.entries(headers())) request.setRequestHeader(header, value);
  request.send(form);
}

/** What the server does not like about a request. */
function complaint(request) {
  try {
    return JSON.parse(request.responseText).error.message;
  } catch {
    return request.statusText; // an answer of something between here and the server
  }
}

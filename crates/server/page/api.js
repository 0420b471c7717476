// The server's side: sending recordings, and what comes back while they are transcribed.

let key = sessionStorage.getItem("boswell-key") ?? "";

/** Uses another key from now on. */
export function setKey(value) {
  key = value;
  sessionStorage.setItem("boswell-key", value);
}

function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** What a GET answers, as JSON. Throws an error that has the status. */
export async function get(path) {
  const response = await fetch(path, { headers: headers() });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error?.message ?? response.statusText), { status: response.status });
  return body;
}

/**
 * Sends a recording and tells what happens:
 * `sent(share)`, `progress(done_s, total_s)`, `segment(segment)`, then `done(result)` or `failed(message, status)`.
 * Returns a function that stops it.
 */
export function transcribe(file, name, { model, language }, on) {
  const form = new FormData();
  form.append("model", model);
  if (language) form.append("language", language);
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "segment");
  form.append("timestamp_granularities[]", "word");
  form.append("stream", "true");
  form.append("file", file, name);

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
    let message = request.statusText;
    try {
      message = JSON.parse(request.responseText).error.message;
    } catch { /* an answer of something between here and the server */ }
    fail(message, request.status);
  };
  request.onerror = () => fail("the server cannot be reached");
  request.open("POST", "v1/audio/transcriptions");
  for (const [header, value] of Object.entries(headers())) request.setRequestHeader(header, value);
  request.send(form);
  return () => {
    isOver = true;
    request.abort();
  };
}

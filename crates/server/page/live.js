// Speech that is written down while it is spoken.

import { protocols } from "./api.js";

const RATE = 24000;
// The text of the last turn has so long to come after the microphone is off.
const PATIENCE_MS = 15000;

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

/**
 * Listens until the function that it returns is called. Tells `turn(id, {start, end, text})` whenever a turn has more
 * text or came to its end, and at last `done(file)` with the sound, or `failed(message)`.
 */
export async function listen({ model, language }, on) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule("page/microphone.js");
  const address = new URL("v1/realtime?intent=transcription", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, protocols());
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  const turns = new Map();
  let isEnding = false;
  // Whether the server has taken all of the sound: which turns there are is known then.
  let isTaken = false;

  const say = (event) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(event));
  const turn = (id, news) => {
    turns.set(id, { start: 0, end: 0, text: "", isOpen: true, ...turns.get(id), ...news });
    on.turn(id, turns.get(id));
  };
  const close = () => socket.close();
  const closeIfDone = () => isTaken && [...turns.values()].every((turn) => !turn.isOpen) && close();

  socket.onopen = () => {
    const transcription = { model, ...(language && { language }) };
    const input = { format: { type: "audio/pcm", rate: RATE }, transcription, turn_detection: { type: "server_vad" } };
    say({ type: "session.update", session: { type: "transcription", audio: { input } } });
    const microphone = new AudioWorkletNode(context, "microphone");
    microphone.port.onmessage = ({ data }) => say({ type: "input_audio_buffer.append", audio: base64(data) });
    context.createMediaStreamSource(stream).connect(microphone);
    recorder.start(1000);
  };
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    const id = event.item_id;
    switch (event.type) {
      case "input_audio_buffer.speech_started": return turn(id, { start: event.audio_start_ms / 1000, end: Infinity });
      case "input_audio_buffer.speech_stopped": return turn(id, { end: event.audio_end_ms / 1000 });
      case "conversation.item.input_audio_transcription.delta":
        return turn(id, { text: (turns.get(id)?.text ?? " ") + event.delta });
      case "conversation.item.input_audio_transcription.completed":
        // With the whole turn heard, its words may be others than those that came while it was spoken.
        turn(id, { text: event.transcript, isOpen: false });
        return closeIfDone();
      case "conversation.item.input_audio_transcription.failed":
        turn(id, { isOpen: false });
        return closeIfDone();
      case "input_audio_buffer.committed":
        return turn(id, {});
      case "input_audio_buffer.cleared":
        isTaken = true;
        return closeIfDone();
      case "error":
        // There may be nothing more to write down.
        if (event.error.code !== "input_audio_buffer_commit_empty") on.failed(event.error.message);
    }
  };
  socket.onclose = () => {
    if (!isEnding) on.failed("the connection to the server broke");
    stream.getTracks().forEach((track) => track.stop());
    context.close();
    if (recorder.state === "inactive") finish();
    else recorder.stop();
  };
  const finish = () => on.done(new File(pieces, "live", { type: recorder.mimeType }), context.currentTime);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = finish;

  return () => {
    if (isEnding) return;
    isEnding = true;
    context.suspend();
    say({ type: "input_audio_buffer.commit" });
    say({ type: "input_audio_buffer.clear" });
    setTimeout(close, PATIENCE_MS);
    if (socket.readyState !== WebSocket.OPEN) close();
  };
}

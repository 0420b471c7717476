// The microphone.

/** Records until the function that it returns is called; `done(file)` then has the recording. */
export async function record(done) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    stream.getTracks().forEach((track) => track.stop());
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    done(new File(pieces, `Recording at ${time}`, { type: recorder.mimeType }));
  };
  recorder.start(1000);
  return () => recorder.state !== "inactive" && recorder.stop();
}

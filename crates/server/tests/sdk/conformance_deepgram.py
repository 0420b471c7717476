"""Speaks with a running server through Deepgram's official Python client. Usage: conformance_deepgram.py URL RECORDING TEXT"""

import sys
import threading

import soundfile
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

url, recording, text = sys.argv[1:]
http = url.removesuffix("/v1")
ws = http.replace("http", "ws", 1)
environment = DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)
client = DeepgramClient(api_key="any", environment=environment)

# A recording.
with open(recording, "rb") as file:
    answer = client.listen.v1.media.transcribe_file(request=file.read(), model="nova-3", smart_format=True, utterances=True)
channel = answer.results.channels[0]
assert channel.alternatives[0].transcript == text, answer
assert [word.word for word in channel.alternatives[0].words] == text.split(), answer
assert answer.results.utterances and answer.metadata.duration > 1 and answer.metadata.created.year > 2000, answer

# Live.
samples, rate = soundfile.read(recording, dtype="int16")
sound = samples.tobytes() + bytes(rate * 3)
messages = []
with client.listen.v1.connect(
    model="nova-3", language="en-US", encoding="linear16", sample_rate=str(rate), interim_results="true",
    vad_events="true", utterance_end_ms="1000",
) as connection:
    connection.on(EventType.MESSAGE, messages.append)
    listening = threading.Thread(target=connection.start_listening)
    listening.start()
    connection.send_keep_alive()
    for at in range(0, len(sound), 3200):
        connection.send_media(sound[at:at + 3200])
    connection.send_finalize()
    connection.send_close_stream()
    listening.join(60)
results = [message for message in messages if message.type == "Results"]
finals = [result.channel.alternatives[0] for result in results if result.is_final]
assert " ".join(final.transcript for final in finals if final.transcript) == text, messages
words = [word for final in finals for word in final.words]
assert [word.word for word in words] == text.split() and words[-1].end > words[0].start, messages
kinds = {message.type for message in messages}
assert kinds == {"SpeechStarted", "Results", "UtteranceEnd", "Metadata"}, messages
assert messages[-1].type == "Metadata" and abs(messages[-1].duration - len(sound) / 2 / rate) < 0.01, messages
print("deepgram for Python: all as expected")

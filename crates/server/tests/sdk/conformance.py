"""Speaks with a running server through the official Python client. Usage: conformance.py URL RECORDING TEXT"""

import io
import sys

import openai

url, recording, text = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="any", max_retries=0)
audio = client.audio


def transcribe(**parameters):
    with open(recording, "rb") as file:
        return audio.transcriptions.create(file=file, model="whisper-1", **parameters)


def refused(kind, call):
    try:
        call()
    except kind as error:
        assert error.request_id, "the answer has a name"
        return error
    raise AssertionError(f"expected {kind.__name__}")


# Every format.
answer = transcribe()
assert answer.text == text, answer
assert answer.usage.type == "duration" and answer.usage.seconds > 0, answer
assert transcribe(response_format="text").strip() == text
srt, vtt = transcribe(response_format="srt"), transcribe(response_format="vtt")
assert srt.startswith("1\n00:00:0") and " --> " in srt, srt
assert vtt.startswith("WEBVTT\n\n00:00:0"), vtt
answer = transcribe(response_format="diarized_json")
assert answer.text == f"A: {text}" and answer.segments[0].speaker == "A", answer

# Segments and words.
answer = transcribe(response_format="verbose_json")
assert (answer.text, answer.language, answer.words) == (text, "english", None), answer
assert answer.segments and answer.segments[0].tokens and answer.duration > 1, answer
answer = transcribe(response_format="verbose_json", timestamp_granularities=["word"])
assert [word.word for word in answer.words] == text.split() and answer.segments is None, answer
answer = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
assert answer.words and answer.segments, answer

# Everything that can be said.
answer = transcribe(
    language="en", prompt="digits", temperature=0.0,
    chunking_strategy={"type": "server_vad", "threshold": 0.5}, keywords=["three", "one"],
)
assert answer.text == text, answer
assert transcribe(chunking_strategy="auto").text == text
named = io.BytesIO(open(recording, "rb").read())
named.name = "speech.webm"  # the content counts, not the name
assert audio.transcriptions.create(file=named, model="gpt-4o-transcribe").text == text

# How sure the model was of each token.
answer = transcribe(include=["logprobs"])
assert b"".join(bytes(map(int, token.bytes)) for token in answer.logprobs).decode() == text, answer
assert all(token.logprob <= 0 and token.token for token in answer.logprobs), answer
assert transcribe().logprobs is None
answer = transcribe(extra_body={"languages": ["en", "de"]})
assert answer.text == text and answer.languages[0].code == "en", answer

# A stream.
events = list(transcribe(stream=True, include=["logprobs"]))
assert len(events[-1].logprobs) == sum(len(event.logprobs) for event in events[:-1]), events
events = list(transcribe(stream=True))
assert events[-1].type == "transcript.text.done" and events[-1].text == text, events
deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
assert "".join(deltas) == text and len(deltas) > 1, events
events = list(transcribe(stream=True, response_format="diarized_json"))
assert any(event.type == "transcript.text.segment" for event in events), events

# Errors.
error = refused(openai.NotFoundError, lambda: audio.transcriptions.create(file=b"x", model="nothing"))
error = refused(openai.BadRequestError, lambda: audio.transcriptions.create(file=b"text", model="whisper-1"))
assert "Supported formats" in error.message and error.code == "unsupported_format", error
error = refused(openai.BadRequestError, lambda: transcribe(response_format="xml"))
assert error.param == "response_format", error
# The built-in model does not translate.
with open(recording, "rb") as file:
    refused(openai.BadRequestError, lambda: audio.translations.create(file=file, model="whisper-1"))

# Models.
models = client.models.list().data
assert "whisper-1" in [model.id for model in models], models
assert client.models.retrieve(models[0].id).object == "model"
refused(openai.NotFoundError, lambda: client.models.retrieve("nothing"))

# A key for a browser.
session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
secret = client.realtime.client_secrets.create(session=session, expires_after={"anchor": "created_at", "seconds": 60})
assert secret.value.startswith("ek_") and secret.session.type == "transcription", secret

raw = audio.transcriptions.with_raw_response.create(file=open(recording, "rb"), model="whisper-1")
assert raw.request_id and int(raw.headers["openai-processing-ms"]) >= 0, raw.headers
print(f"openai {openai.__version__} for Python: all as expected")

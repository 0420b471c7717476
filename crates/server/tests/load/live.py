"""Live turns, measured. Usage: live.py URL CLIP TURNS

CLIP is a wav file: 16 kHz, 16 bits, mono. It is sent as fast as it would be spoken, and each turn ends at the first
pause of 500 ms, as turns do by default. Prints for every turn the seconds from the end of its speech (as the server
tells it) to its whole text, without that pause, and the text. Needs the package websockets.
"""

import asyncio
import base64
import json
import sys
import time
import wave

import websockets

PIECE = 3_200  # bytes: 100 ms
SESSION = {"type": "transcription", "audio": {"input": {
    "format": {"type": "audio/pcm", "rate": 16000},
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
}}}


async def speak(socket, clip):
    sound = wave.open(clip).readframes(1 << 30) + b"\0" * 64_000
    started = time.monotonic()
    for at in range(0, len(sound), PIECE):
        audio = base64.b64encode(sound[at:at + PIECE]).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        await asyncio.sleep(max(0, started + (at + PIECE) / 32_000 - time.monotonic()))


async def turn(url, clip):
    async with websockets.connect(f"{url}/v1/realtime?intent=transcription") as socket:
        await socket.send(json.dumps({"type": "session.update", "session": SESSION}))
        speaking = asyncio.create_task(speak(socket, clip))
        stopped = None
        async for message in socket:
            event = json.loads(message)
            kind = event["type"]
            if kind == "input_audio_buffer.speech_stopped":
                stopped = time.monotonic()
            elif kind.endswith("transcription.completed"):
                speaking.cancel()
                return {"seconds": round(time.monotonic() - stopped, 3), "text": event["transcript"]}
            assert kind != "error" and not kind.endswith("failed"), event


async def main(url, clip, n_turns):
    for _ in range(n_turns):
        print(json.dumps(await turn(url, clip)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].replace("http", "ws", 1), sys.argv[2], int(sys.argv[3])))

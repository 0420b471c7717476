"""A server under load, beside what its engine can do. Usage: measure.py BOSWELL CLIP TEXT SECONDS

CLIP is a wav file as for live.py, TEXT what is said in it. Starts a server of its own: 64 clients post the clip again
and again for SECONDS, while somebody speaks live, turn after turn. Before and after, `boswell bench` decodes windows
with the same speech in batches, without timestamps (its default) and with them, as the server writes them: its windows a
second are what the transcripts a second are held against. Prints one line of JSON. Needs the package websockets.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import wave

from live import turn
from own_server import Server

N_CLIENTS = 64
N_WINDOWS = 32
WINDOW_S = 30
boswell, clip, text, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
folder = tempfile.mkdtemp(prefix="boswell-load-")


def windows():
    """The clip at the beginning of each of many windows, with silence after it."""
    path = os.path.join(folder, "windows.wav")
    with wave.open(clip) as one, wave.open(path, "wb") as many:
        many.setparams(one.getparams())
        sound = one.readframes(one.getnframes())
        window = sound + b"\0" * (WINDOW_S * one.getframerate() * 2 - len(sound))
        many.writeframes(window * N_WINDOWS)
    return path


def bench(path, *more):
    """Windows a second."""
    flags = ["--audio", path, "--batch", "16", "--tokens", "200", "--repeats", "3", "--json", "-q", *more]
    out = subprocess.run([boswell, "bench", *flags], check=True, capture_output=True).stdout
    return N_WINDOWS / json.loads(out)["wall_s"]


async def live(server, until):
    turns = []
    while time.monotonic() < until or not turns:
        heard = await turn(server.url.replace("http", "ws", 1), clip)
        turns.append(heard["seconds"])
    return turns


def main():
    path = windows()
    speeds = [[bench(path), bench(path, "--timestamps")]]
    server = Server(boswell, folder)
    at_first = server.memory()
    load = [sys.executable, os.path.join(os.path.dirname(__file__), "load.py")]
    clients = subprocess.Popen([*load, server.url, clip, text, str(N_CLIENTS), str(seconds)], stdout=subprocess.PIPE)
    turns = sorted(asyncio.run(live(server, time.monotonic() + seconds - 8)))
    report = json.loads(clients.communicate()[0])
    at_last = server.memory()
    ended = server.end()
    speeds.append([bench(path), bench(path, "--timestamps")])
    plain, timed = (round(sum(speed) / 2, 2) for speed in zip(*speeds))
    # A live turn is a window too; its drafts are not counted.
    all_per_s = report["steady_requests_per_s"] + len(turns) / seconds
    at = lambda share: turns[int(share * (len(turns) - 1))]
    print(json.dumps({
        **report, "bench_windows_per_s": plain, "bench_with_timestamps": timed,
        "share_of_bench": [round(report["steady_requests_per_s"] / speed, 3) for speed in (plain, timed)],
        "share_with_live_turns": [round(all_per_s / speed, 3) for speed in (plain, timed)],
        "memory_before_mb": round(at_first), "memory_after_mb": round(at_last),
        "live": {"turns": len(turns), "p50_s": at(0.5), "p95_s": at(0.95), "max_s": turns[-1]},
    }))
    sys.exit(clients.returncode or ended)


main()

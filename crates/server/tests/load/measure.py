"""A server under load, beside what its engine can do. Usage: measure.py BOSWELL CLIP TEXT SECONDS

CLIP is a wav file as for live.py, TEXT what is said in it. Starts a server of its own: 64 clients post the clip again
and again for SECONDS in all, while somebody speaks live, turn after turn. Machines are faster in one minute than in
another, so the load comes in five parts, and before, between and after them `boswell bench` decodes windows with the same
speech in batches, without timestamps (its default) and with them, as the server writes them: its windows a second are what
the transcripts a second are held against. Prints one line of JSON. Needs the package websockets.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave

from live import turn
from own_server import Server

N_CLIENTS = 64
N_PARTS = 5
N_WINDOWS = 32
WINDOW_S = 30
boswell, clip, text, PART_S = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]) / N_PARTS
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


def load(server):
    """One part of the load: its report, and the seconds to the text of each live turn."""
    script = os.path.join(os.path.dirname(__file__), "load.py")
    arguments = [server.url, clip, text, str(N_CLIENTS), str(PART_S)]
    clients = subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE)
    turns = asyncio.run(live(server, time.monotonic() + PART_S - 8))
    report = json.loads(clients.communicate()[0])
    return {**report, "live": turns, "failed": clients.returncode}


def main():
    path = windows()
    benches = [[bench(path), bench(path, "--timestamps")]]
    server = Server(boswell, folder)
    at_first, parts = server.memory(), []
    for _ in range(N_PARTS):
        parts.append(load(server))
        benches.append([bench(path), bench(path, "--timestamps")])
    at_last = server.memory()
    ended = server.end()
    plain, timed = (statistics.mean(speeds) for speeds in zip(*benches))
    per_s = statistics.mean(part["steady_requests_per_s"] for part in parts)
    turns = sorted(turn for part in parts for turn in part["live"])
    at = lambda share: turns[int(share * (len(turns) - 1))]
    print(json.dumps({
        "clients": N_CLIENTS, "seconds": N_PARTS * PART_S,
        "answers": sum(sum(part["statuses"].values()) for part in parts),
        "statuses": sorted({status for part in parts for status in part["statuses"]}),
        "failures": [failure for part in parts for failure in part["failures"]],
        "p50_s": statistics.median(part["p50_s"] for part in parts), "p95_s": max(part["p95_s"] for part in parts),
        "per_s": [part["steady_requests_per_s"] for part in parts],
        "bench_windows_per_s": [round(speed, 2) for speed, _ in benches],
        "bench_with_timestamps": [round(speed, 2) for _, speed in benches],
        "share_of_bench": round(per_s / plain, 3), "share_with_timestamps": round(per_s / timed, 3),
        "memory_mb": [part["memory_mb"][-1] for part in parts],
        "memory_before_mb": round(at_first), "memory_after_mb": round(at_last),
        "live": {"turns": len(turns), "p50_s": at(0.5), "p95_s": at(0.95), "max_s": turns[-1]},
    }))
    sys.exit(any(part["failed"] for part in parts) or ended)


main()

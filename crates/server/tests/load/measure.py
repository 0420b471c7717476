"""A server under load, beside what its engine can do. Usage: measure.py BOSWELL CLIP TEXT SECONDS

CLIP is a wav file as for live.py, TEXT what is said in it. Starts a server of its own: 64 clients post the clip again
and again while somebody speaks live, turn after turn, for SECONDS with timestamps in the transcripts, as verbose_json
has them, and for SECONDS without. Machines are faster in one minute than in another, so the load comes in parts, with
timestamps and without in turn, and before, between and after them `boswell bench` decodes windows with the same speech
in batches, in both ways. What the transcripts a second are held against is what bench decodes in the same way, the mean
of before and after the part; the median of the parts counts. Prints one line of JSON. Needs the package websockets.
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
N_PARTS = 5  # of each kind
N_WINDOWS = 32
WINDOW_S = 30
# What clients ask for, and what bench is asked for.
KINDS = {
    "timestamps": (["response_format=verbose_json"], ["--timestamps"]),
    "text": (["response_format=json", "without_timestamps=true"], []),
}
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


def bench(path):
    """Windows a second, of each kind."""
    flags = ["--audio", path, "--batch", "16", "--tokens", "200", "--repeats", "3", "--json", "-q"]

    def measured(more):
        out = subprocess.run([boswell, "bench", *flags, *more], check=True, capture_output=True).stdout
        return N_WINDOWS / json.loads(out)["wall_s"]

    return {kind: measured(more) for kind, (_, more) in KINDS.items()}


async def live(server, until):
    turns = []
    while time.monotonic() < until or not turns:
        heard = await turn(server.url.replace("http", "ws", 1), clip)
        turns.append(heard["seconds"])
    return turns


def load(server, fields):
    """One part of the load: its report, and the seconds to the text of each live turn."""
    script = os.path.join(os.path.dirname(__file__), "load.py")
    arguments = [server.url, clip, text, str(N_CLIENTS), str(PART_S), *fields]
    clients = subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE)
    turns = asyncio.run(live(server, time.monotonic() + PART_S - 8))
    report = json.loads(clients.communicate()[0])
    return {**report, "live": turns, "failed": clients.returncode}


def summary(parts, benches):
    """Of the parts of one kind; `benches` are before and after each of them."""
    per_s = [part["steady_requests_per_s"] for part in parts]
    shares = [speed / statistics.mean(around) for speed, around in zip(per_s, benches)]
    turns = sorted(turn for part in parts for turn in part["live"])
    at = lambda share: turns[int(share * (len(turns) - 1))]
    return {
        "answers": sum(sum(part["statuses"].values()) for part in parts),
        "statuses": sorted({status for part in parts for status in part["statuses"]}),
        "failures": [failure for part in parts for failure in part["failures"]],
        "p50_s": statistics.median(part["p50_s"] for part in parts), "p95_s": max(part["p95_s"] for part in parts),
        "per_s": per_s, "bench_per_s": [round(statistics.mean(around), 2) for around in benches],
        "shares_of_bench": [round(share, 3) for share in shares],
        "share_of_bench": round(statistics.median(shares), 3),
        "memory_mb": [part["memory_mb"][-1] for part in parts],
        "live": {"turns": len(turns), "p50_s": at(0.5), "p95_s": at(0.95), "max_s": turns[-1]},
    }


def main():
    path = windows()
    server = Server(boswell, folder)
    at_first = server.memory()
    parts, around = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    before = bench(path)
    for _ in range(N_PARTS):
        for kind, (fields, _) in KINDS.items():
            parts[kind].append(load(server, fields))
            after = bench(path)
            around[kind].append([before[kind], after[kind]])
            before = after
    at_last = server.memory()
    ended = server.end()
    print(json.dumps({
        "clients": N_CLIENTS, "seconds": N_PARTS * PART_S,
        **{kind: summary(parts[kind], around[kind]) for kind in KINDS},
        "memory_before_mb": round(at_first), "memory_after_mb": round(at_last),
    }))
    sys.exit(any(part["failed"] for kind in KINDS for part in parts[kind]) or ended)


main()

"""Everything that clients do, mixed, for a long time. Usage: soak.py BOSWELL CLIP TEXT MINUTES

CLIP is a wav file as for live.py, TEXT what is said in it. Starts a server of its own. Clients ask for every format,
stream, speak live, leave jobs, fetch and forget them, leave in the middle and send nonsense, at a steady modest pace.
Prints one line of JSON: what was answered, resident memory every minute, and its slope by least squares after the first
five minutes. Fails if a text is wrong or the server ends. Needs the package websockets.
"""

import asyncio
import json
import random
import socket
import sys
import tempfile
import threading
import time
import urllib.parse

from live import turn
from own_server import FORM, TRANSCRIPTIONS, Server, form

boswell, clip, text, minutes = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
sound = open(clip, "rb").read()
counts, failures, memory = {}, [], []
lock = threading.Lock()
started = time.monotonic()
end = started + 60 * minutes
SETTLED_S = 300


def count(what, problem=None):
    with lock:
        counts[what] = counts.get(what, 0) + 1
        if problem:
            failures.append(f"{what}: {problem}")


def formats(server, rng):
    which = rng.choice(["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
    fields = [("response_format", which)]
    if which == "verbose_json":
        fields.append(("timestamp_granularities[]", "word"))
    if which == "json":
        fields.append(("include[]", "logprobs"))
    if rng.random() < 0.3:
        fields.append(("vad_filter", "true"))
    status, body = server.post(TRANSCRIPTIONS, sound, fields)
    is_good = status == 200 and (which in ("srt", "vtt") or text.encode() in body)
    count(which, None if is_good else (status, body[:300]))


def stream(server, rng):
    status, body = server.post(TRANSCRIPTIONS, sound, [("stream", "true")])
    count("stream", None if status == 200 and b"[DONE]" in body else (status, body[:300]))


def job(server, rng):
    status, body = server.post("/v1/jobs", sound, [("priority", str(rng.randrange(10)))])
    if status != 202:
        return count("job", (status, body[:300]))
    id = json.loads(body)["id"]
    while json.loads(server.get(f"/v1/jobs/{id}")[1])["status"] in ("queued", "running"):
        time.sleep(0.5)
    status, body = server.get(f"/v1/jobs/{id}/result?format=text")
    count("job", None if body.decode().strip() == text else (status, body[:300]))
    server.request("DELETE", f"/v1/jobs/{id}")


def live(server, rng):
    heard = asyncio.run(turn(server.url.replace("http", "ws", 1), clip))
    count("live", None if heard["text"] else heard)


def rude(server, rng):
    """Leaves while it sends or waits, or sends nonsense."""
    body = form(sound)
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n" \
           f"content-type: {FORM['content-type']}\r\n\r\n".encode()
    whole = head + body
    noise = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 3000)))
    sent = rng.choice([whole, whole[:rng.randrange(len(whole))], noise, head + noise])
    with socket.create_connection(server.address) as connection:
        connection.sendall(sent)
        time.sleep(rng.random() / 2)
    for path in ("/v1/models/nothing", f"/{rng.random()}", "/metrics", "/status", "/docs"):
        server.get(path)
    count("rude")


def again_and_again(what, server, pause_s, seed):
    rng = random.Random(seed)
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            what(server, rng)
        except Exception as error:  # whatever it is, it is told at the end
            count(what.__name__, repr(error))
        time.sleep(max(0, pause_s - (time.monotonic() - began)))


def slope(points):
    """MB an hour, by least squares."""
    n = len(points)
    mean_t, mean_m = sum(t for t, _ in points) / n, sum(m for _, m in points) / n
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return 3600 * sum((t - mean_t) * (m - mean_m) for t, m in points) / spread


def main():
    folder = tempfile.mkdtemp(prefix="boswell-soak-")
    server = Server(boswell, folder)
    work = [(formats, 0.5), (formats, 0.7), (stream, 1), (job, 3), (live, 5), (rude, 0.5)]
    threads = [threading.Thread(target=again_and_again, args=(what, server, pause_s, seed))
               for seed, (what, pause_s) in enumerate(work)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end and server.process.poll() is None:
        memory.append((time.monotonic() - started, server.memory()))
        time.sleep(2)
    for thread in threads:
        thread.join()
    settled = [point for point in memory if point[0] >= SETTLED_S] or memory
    print(json.dumps({
        "minutes": minutes, "counts": counts, "failures": len(failures), "first_failures": failures[:3],
        "memory_mb": [round(m, 1) for _, m in memory[::30]], "slope_mb_per_hour": round(slope(settled), 2),
        "settled_mb": [round(pick(m for _, m in settled), 1) for pick in (min, max)],
    }))
    sys.exit(server.end() or bool(failures))


main()

"""Many clients that post a clip again and again. Usage: load.py URL CLIP TEXT CLIENTS SECONDS [NAME=VALUE…]

CLIP is a wav file; what is named goes into each request beside it, such as without_timestamps=true. Prints one line of
JSON: requests by status, latency, audio seconds per second, memory over time. Fails if a transcript is wrong, or
anything but 200 and a deliberate 429 is answered. Needs nothing but Python.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse
import urllib.request
import wave

url, clip, text, n_clients, seconds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
host = urllib.parse.urlparse(url).netloc
sound = open(clip, "rb").read()
with wave.open(clip) as clip_sound:
    clip_s = clip_sound.getnframes() / clip_sound.getframerate()
BOUNDARY = "boundary-of-the-load-test"


def part(name, value, file=""):
    return f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


fields = [("model", "whisper-1"), *(field.split("=", 1) for field in sys.argv[6:])]
body = b"".join(part(name, value.encode()) for name, value in fields)
body += part("file", sound, f'; filename="{clip}"') + f"--{BOUNDARY}--\r\n".encode()
headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
lock = threading.Lock()
statuses, latencies, failures, memory = {}, [], [], []
n_steady = 0
end = time.monotonic() + seconds
steady = end - 0.75 * seconds  # at first all clients begin at once


def client():
    global n_steady
    connection = http.client.HTTPConnection(host, timeout=600)
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            connection.request("POST", "/v1/audio/transcriptions", body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            with lock:
                failures.append(repr(error))
            connection.close()
            continue
        with lock:
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            if answer.status == 200:
                latencies.append(time.monotonic() - started)
                n_steady += steady <= time.monotonic() <= end
                if (found := json.loads(content)["text"]) != text:
                    failures.append(found)
            elif answer.status != 429:
                failures.append(content.decode())
        if answer.status == 429:
            time.sleep(min(float(answer.headers["retry-after"]), max(0, end - time.monotonic())))


def watch():
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://{host}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        memory.append(next(float(line.split()[1]) for line in lines if line.startswith("boswell_resident_memory")))
        time.sleep(max(seconds / 60, 0.5))


started = time.monotonic()
threads = [threading.Thread(target=client) for _ in range(n_clients)] + [threading.Thread(target=watch)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
wall = time.monotonic() - started
latencies.sort()
at = lambda share: round(latencies[int(share * (len(latencies) - 1))], 3) if latencies else None
half = len(memory) // 2
print(json.dumps({
    "clients": n_clients, "seconds": round(wall, 1), "statuses": statuses, "failures": failures[:3],
    "p50_s": at(0.5), "p95_s": at(0.95), "max_s": at(1), "requests_per_s": round(len(latencies) / wall, 2),
    "steady_requests_per_s": round(n_steady / (end - steady), 2),
    "realtime": round(len(latencies) * clip_s / wall, 1), "memory_mb": [round(x / 1e6, 1) for x in memory[:: max(1, len(memory) // 10)]],
    "memory_growth_second_half_mb": round((memory[-1] - memory[half]) / 1e6, 2) if memory else None,
}))
sys.exit(bool(failures))

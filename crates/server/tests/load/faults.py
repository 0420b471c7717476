"""Treats a server badly. Usage: faults.py BOSWELL RECORDING TEXT

Starts servers of its own in a temporary folder. Every answer must be a clear one, no server may crash or grow, and jobs
that a killed server had accepted must all come to their end, once. Needs nothing but Python.
"""

import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

boswell, recording, text = sys.argv[1:]
sound = open(recording, "rb").read()
folder = tempfile.mkdtemp(prefix="boswell-faults-")
BOUNDARY = "boundary-of-the-fault-test"


class Server:
    def __init__(self, *flags):
        self.log = tempfile.NamedTemporaryFile("r", dir=folder)
        jobs = os.path.join(folder, "jobs")
        command = [boswell, "serve", "--listen", "127.0.0.1:0", "--jobs-dir", jobs, *flags]
        self.process = subprocess.Popen(command, stderr=open(self.log.name, "w"))
        while not (found := re.search(r"http://([0-9.]+):(\d+)", open(self.log.name).read())):
            assert self.process.poll() is None, open(self.log.name).read()
            time.sleep(0.05)
        self.address = (found[1], int(found[2]))
        while self.get("/ready")[0] != 200:
            time.sleep(0.05)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, content, fields=()):
        return self.request("POST", path, form(content, fields), FORM)

    def memory(self):
        line = next(l for l in open(f"/proc/{self.process.pid}/status") if l.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def check(self, what):
        assert self.process.poll() is None, f"{what}: the server crashed\n{open(self.log.name).read()[-2000:]}"
        status, body = self.post("/v1/audio/transcriptions", sound)
        assert status == 200 and json.loads(body)["text"] == text, (what, status, body)
        print(f"{what}: {self.memory():.0f} MB", flush=True)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(60)


FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(content, fields=()):
    def part(name, value, file=""):
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'
        return head.encode() + value + b"\r\n"

    parts = [part("model", b"whisper-1"), *(part(name, value.encode()) for name, value in fields)]
    return b"".join([*parts, part("file", content, '; filename="a"'), f"--{BOUNDARY}--\r\n".encode()])


def wav(n_bytes):
    return b"RIFF" + struct.pack("<I", min(36 + n_bytes, 2**32 - 1)) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + struct.pack("<I", min(n_bytes, 2**32 - 1))


def killed(n_jobs=50):
    server = Server()
    ids = [json.loads(server.post("/v1/jobs", sound)[1])["id"] for _ in range(n_jobs)]
    kills = 0
    while True:
        time.sleep(random.uniform(0.05, 0.6))
        states = [json.loads(server.get(f"/v1/jobs/{id}")[1])["status"] for id in ids]
        if all(state == "succeeded" for state in states):
            break
        assert set(states) <= {"queued", "running", "succeeded"}, states
        if kills < 2:
            server.end(signal.SIGKILL)
            kills += 1
            server = Server()
    for id in ids:
        job = json.loads(server.get(f"/v1/jobs/{id}")[1])
        assert json.loads(server.get(f"/v1/jobs/{id}/result")[1])["text"] == text, job
    left = os.listdir(os.path.join(folder, "jobs", "recordings"))
    assert len(json.loads(server.get("/v1/jobs")[1])["data"]) == n_jobs and not left, left
    print(f"killed {kills} times during {n_jobs} jobs: each is done, once")
    assert server.end() == 0


def rude(n_random):
    server = Server("--max-upload", "64M", "--max-audio", "3600")
    server.check("at first")

    for cut in range(0, len(sound), max(1, len(sound) // 20)):
        status, body = server.post("/v1/audio/transcriptions", sound[:cut])
        assert status in (200, 400), (status, body)
        if status == 400:
            assert json.loads(body)["error"]["message"], body
    server.check("recordings that are cut off")

    for cut in range(0, 20_000, 500):
        connection = socket.create_connection(server.address)
        body = form(sound)
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n" \
               f"content-type: {FORM['content-type']}\r\n\r\n"
        connection.sendall((head.encode() + body)[:cut])
        connection.close()
    server.check("uploads that break off")

    slow = [socket.create_connection(server.address) for _ in range(300)]
    for connection in slow:
        connection.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nx-slow: ")
    server.check("300 clients that never finish their request's head")
    time.sleep(22)
    for connection in slow:
        connection.settimeout(5)
        assert b"HTTP/1.1 4" in (answer := connection.recv(100)) or answer == b"", answer
        connection.close()
    server.check("and are given up")

    status, body = server.post("/v1/audio/transcriptions", b"\0" * (65 << 20))
    assert status == 413 and b"Maximum content size limit" in body, (status, body)
    server.check("an upload that is too large")

    hour = wav(0) + b"\0" * (3700 * 32000 // 2)
    status, body = server.post("/v1/audio/transcriptions", hour)
    assert status in (200, 400, 413), (status, body)
    server.check("an hour of nothing")

    rng = random.Random(1)
    before = server.memory()
    sock = None
    for n in range(n_random):
        if sock is None:
            sock = socket.create_connection(server.address)
        lines = rng.choice([b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n", b"%s", b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n%s",
                            b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%s\r\n"])
        noise = bytes(rng.choice(b"/%.?&=\0 abcXYZ0189\r\n\xff{}[]:;") for _ in range(rng.randrange(1, 60)))
        try:
            sock.sendall(lines.replace(b"%s", noise))
            sock.settimeout(0.0005)
            try:
                if not sock.recv(65536):
                    raise OSError
            except TimeoutError:
                if rng.random() < 0.3:
                    raise OSError
        except OSError:
            sock.close()
            sock = None
    server.check(f"{n_random} random requests")
    assert server.memory() < before + 50, "the server grows"
    assert server.end() == 0


if __name__ == "__main__":
    rude(int(os.environ.get("N_RANDOM", "100000")))
    killed()

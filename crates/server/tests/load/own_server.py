"""A server of one's own in a temporary folder, and what is sent to it. Needs nothing but Python."""

import http.client
import json
import os
import re
import signal
import stat
import struct
import subprocess
import tempfile
import time

BOUNDARY = "boundary-of-the-tests"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
TRANSCRIPTIONS = "/v1/audio/transcriptions"


class Server:
    """`boswell serve` until `end`; jobs are kept in `folder`."""

    def __init__(self, boswell, folder, *flags):
        self.log = tempfile.NamedTemporaryFile("r", dir=folder)
        jobs = os.path.join(folder, "jobs")
        command = [boswell, "serve", "--listen", "127.0.0.1:0", "--jobs-dir", jobs, *flags]
        self.process = subprocess.Popen(command, stderr=open(self.log.name, "w"))
        while not (found := re.search(r"http://([0-9.]+):(\d+)", open(self.log.name).read())):
            assert self.process.poll() is None, open(self.log.name).read()
            time.sleep(0.05)
        self.address = (found[1], int(found[2]))
        self.url = f"http://{found[1]}:{found[2]}"
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
        """Resident memory in MB."""
        line = next(l for l in open(f"/proc/{self.process.pid}/status") if l.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def unnamed(self):
        """MB in files without a name that it has open: recordings that are worked on."""
        total = 0
        for fd in os.listdir(folder := f"/proc/{self.process.pid}/fd"):
            try:
                status = os.stat(os.path.join(folder, fd))
            except OSError:
                continue  # closed meanwhile
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                total += status.st_blocks * 512
        return total / 2**20

    def check(self, what, recording, text):
        """Whether it lives and transcribes."""
        assert self.process.poll() is None, f"{what}: the server crashed\n{open(self.log.name).read()[-2000:]}"
        status, body = self.post(TRANSCRIPTIONS, recording)
        assert status == 200 and json.loads(body)["text"] == text, (what, status, body)
        print(f"{what}: {self.memory():.0f} MB", flush=True)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(60)


def form(content, fields=()):
    def part(name, value, file=""):
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'
        return head.encode() + value + b"\r\n"

    parts = [part("model", b"whisper-1"), *(part(name, value.encode()) for name, value in fields)]
    return b"".join([*parts, part("file", content, '; filename="a"'), f"--{BOUNDARY}--\r\n".encode()])


def wav(n_bytes):
    """The head of a wav file of so many bytes of sound: 16 kHz, 16 bits, mono."""
    return b"RIFF" + struct.pack("<I", min(36 + n_bytes, 2**32 - 1)) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + struct.pack("<I", min(n_bytes, 2**32 - 1))

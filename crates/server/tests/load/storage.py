"""Fills a server's disk, and sends it more than it takes. Usage: storage.py BOSWELL RECORDING TEXT

What does not fit is refused clearly, at once where its size is told; memory and disk stay as they are, jobs that were
accepted come to their end when there is room again, and the server goes on. The small disk is a mount that nobody else
sees, for which the program starts itself once more with `unshare`; where that is not allowed, it is left out. Needs
nothing but Python.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

from own_server import BOUNDARY, FORM, TRANSCRIPTIONS, Server, form

GB = 1 << 30
DISK = 24 << 20
boswell, recording, text = sys.argv[1:4]
sound = open(recording, "rb").read()


def wait_for(what, is_true, seconds=60):
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < seconds, f"{what} takes too long"
        time.sleep(0.1)


def full_disk(disk):
    server = Server(boswell, disk, "--temp-dir", disk)
    server.check("at first", sound, text)
    filler = os.path.join(disk, "filler")

    def fill():
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    def status(id):
        return json.loads(server.get(f"/v1/jobs/{id}")[1])["status"]

    accepted = [json.loads(server.post("/v1/jobs", sound)[1])["id"] for _ in range(5)]
    fill()
    for path in (TRANSCRIPTIONS, "/v1/jobs"):
        answer, body = server.post(path, sound)
        assert answer == 507 and json.loads(body)["error"]["code"] == "insufficient_storage", (answer, body)
    for path in ("/health", "/ready", "/metrics", "/v1/models"):
        assert server.get(path)[0] == 200, path
    time.sleep(3)
    os.remove(filler)
    server.check("a disk that was full", sound, text)
    wait_for("the jobs", lambda: all(status(id) == "succeeded" for id in accepted))
    later = json.loads(server.post("/v1/jobs", sound)[1])["id"]
    wait_for("a later job", lambda: status(later) == "succeeded")
    assert not os.listdir(os.path.join(disk, "jobs", "recordings"))
    fill()
    assert server.end() == 0
    print("a disk that was full: 507 while it was, five jobs done afterwards", flush=True)


def send(server, head, pieces):
    """Sends until the server answers. Returns the answer and how many bytes it let through."""
    connection = socket.create_connection(server.address)
    connection.settimeout(60)
    sent = 0
    try:
        connection.sendall(head)
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass  # it hung up; what it said before that is there
    answer = b""
    try:
        while b"}}" not in answer and (piece := connection.recv(65536)):
            answer += piece
    except OSError:
        pass
    return answer, sent


def ten_gigabytes(folder):
    limit = 64 << 20
    server = Server(boswell, folder, "--temp-dir", folder, "--max-upload", "64M")
    server.check("before too much", sound, text)
    before = server.memory()
    kind = f"host: x\r\ncontent-type: {FORM['content-type']}\r\n"
    start = form(b"").split(b"\r\n--" + BOUNDARY.encode() + b"--")[0]
    piece = b"\0" * (1 << 20)

    began = time.monotonic()
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\n{kind}content-length: {10 * GB}\r\n\r\n".encode()
    answer, _ = send(server, head + start, [])
    assert b" 413 " in answer[:20] and b"Maximum content size limit" in answer, answer
    assert time.monotonic() - began < 5
    print("10 GB that are announced: refused at once", flush=True)

    def chunks():
        yield b"%x\r\n%s\r\n" % (len(start), start)
        for _ in range(10 * GB // len(piece)):
            yield b"%x\r\n%s\r\n" % (len(piece), piece)

    for path in (TRANSCRIPTIONS, "/v1/jobs"):
        head = f"POST {path} HTTP/1.1\r\n{kind}transfer-encoding: chunked\r\n\r\n".encode()
        answer, sent = send(server, head, chunks())
        # What is refused is still thrown away for a while, so that clients hear why.
        assert sent < limit + (300 << 20), sent
        assert b" 413 " in answer[:20] or answer == b"", answer
    server.check("10 GB in pieces", sound, text)
    assert server.memory() < before + 30 and server.unnamed() == 0, (server.memory(), before, server.unnamed())
    print(f"10 GB in pieces: refused after {sent >> 20} MB, of which nothing is left on the disk", flush=True)
    assert server.end() == 0


def crc(data, width, polynomial):
    value, top = 0, 1 << (width - 1)
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & (2 * top - 1)
    return value


def bomb(hours):
    """A FLAC file of silence: 16 bytes for four seconds."""
    block, rate = 65535, 16000
    bits = rate << 44 | 0 << 41 | 15 << 36  # of unknown length
    info = struct.pack(">HH", block, block) + b"\0" * 6 + bits.to_bytes(8, "big") + b"\0" * 16
    frames = [b"fLaC\x80\0\0\x22" + info]
    for number in range(hours * 3600 * rate // block):
        coded = bytes([number]) if number < 0x80 else bytes([0xC0 | number >> 6, 0x80 | number & 63]) \
            if number < 0x800 else bytes([0xE0 | number >> 12, 0x80 | number >> 6 & 63, 0x80 | number & 63])
        head = b"\xff\xf8\x70\x08" + coded + struct.pack(">H", block - 1)
        frame = head + bytes([crc(head, 8, 0x07)]) + b"\0\0\0"
        frames.append(frame + struct.pack(">H", crc(frame, 16, 0x8005)))
    return b"".join(frames)


def zip_bomb(folder):
    server = Server(boswell, folder, "--temp-dir", folder, "--max-audio", "3600")
    server.check("before the bomb", sound, text)
    before, hours = server.memory(), 200
    content = bomb(hours)
    for _ in range(3):
        answer, body = server.post(TRANSCRIPTIONS, content)
        assert answer == 400 and b"longer than 3600 s" in body, (answer, body)
    server.check(f"{hours} hours in {len(content) >> 10} kB", sound, text)
    assert server.memory() < before + 120 and server.unnamed() == 0, (server.memory(), before, server.unnamed())
    assert server.end() == 0


if __name__ == "__main__":
    if "INSIDE" not in os.environ:
        ten_gigabytes(tempfile.mkdtemp(prefix="boswell-storage-"))
        zip_bomb(tempfile.mkdtemp(prefix="boswell-storage-"))
        alone = ["unshare", "--user", "--map-root-user", "--mount"]
        can = subprocess.run([*alone, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
        if not can:
            sys.exit(print("a full disk: left out, no mount of one's own is allowed here"))
        sys.exit(subprocess.run([*alone, sys.executable, *sys.argv], env={**os.environ, "INSIDE": "1"}).returncode)
    disk = tempfile.mkdtemp(prefix="boswell-storage-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", disk], check=True)
    full_disk(disk)

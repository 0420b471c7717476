"""Treats a server badly. Usage: faults.py BOSWELL RECORDING TEXT

Starts servers of its own in a temporary folder. Every answer must be a clear one, no server may crash or grow, and jobs
that a killed server had accepted must all come to their end, once. Needs nothing but Python.
"""

import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time

from own_server import FORM, TRANSCRIPTIONS, Server, form, wav

boswell, recording, text = sys.argv[1:]
sound = open(recording, "rb").read()
folder = tempfile.mkdtemp(prefix="boswell-faults-")


def killed(n_jobs=50):
    server = Server(boswell, folder)
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
            server = Server(boswell, folder)
    for id in ids:
        job = json.loads(server.get(f"/v1/jobs/{id}")[1])
        assert json.loads(server.get(f"/v1/jobs/{id}/result")[1])["text"] == text, job
    left = os.listdir(os.path.join(folder, "jobs", "recordings"))
    assert len(json.loads(server.get("/v1/jobs")[1])["data"]) == n_jobs and not left, left
    print(f"killed {kills} times during {n_jobs} jobs: each is done, once")
    assert server.end() == 0


def drip(server, n_clients=200):
    """Clients that send a byte of their recording every five seconds. Others are served meanwhile."""
    body = form(sound)
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n" \
           f"content-type: {FORM['content-type']}\r\n\r\n".encode()
    clients = [socket.create_connection(server.address) for _ in range(n_clients)]
    answered, sent = set(), 0
    for client in clients:
        client.sendall(head)
        client.settimeout(0.001)
    began = time.monotonic()
    while len(answered) < n_clients:
        assert time.monotonic() - began < 100, f"{n_clients - len(answered)} slow clients are still heard"
        for client in clients:
            if client in answered:
                continue
            try:
                client.sendall(body[sent:sent + 1])
                if b" 408 " in client.recv(300)[:20]:
                    answered.add(client)
            except TimeoutError:
                pass
            except OSError:
                answered.add(client)
        sent += 1
        time.sleep(5)
    for client in clients:
        client.close()


def rude(n_random):
    server = Server(boswell, folder, "--max-upload", "64M", "--max-audio", "3600")
    server.check("at first", sound, text)

    for cut in range(0, len(sound), max(1, len(sound) // 20)):
        status, body = server.post(TRANSCRIPTIONS, sound[:cut])
        assert status in (200, 400), (status, body)
        if status == 400:
            assert json.loads(body)["error"]["message"], body
    server.check("recordings that are cut off", sound, text)

    for cut in range(0, 20_000, 500):
        connection = socket.create_connection(server.address)
        body = form(sound)
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n" \
               f"content-type: {FORM['content-type']}\r\n\r\n"
        connection.sendall((head.encode() + body)[:cut])
        connection.close()
    server.check("uploads that break off", sound, text)

    dripping = threading.Thread(target=drip, args=(server,))
    dripping.start()
    slow = [socket.create_connection(server.address) for _ in range(300)]
    for connection in slow:
        connection.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nx-slow: ")
    server.check("300 clients that never finish their request's head", sound, text)
    time.sleep(22)
    for connection in slow:
        connection.settimeout(5)
        assert b"HTTP/1.1 4" in (answer := connection.recv(100)) or answer == b"", answer
        connection.close()
    server.check("and are given up", sound, text)

    status, body = server.post(TRANSCRIPTIONS, b"\0" * (65 << 20))
    assert status == 413 and b"Maximum content size limit" in body, (status, body)
    server.check("an upload that is too large", sound, text)

    hour = wav(0) + b"\0" * (3700 * 32000 // 2)
    status, body = server.post(TRANSCRIPTIONS, hour)
    assert status in (200, 400, 413), (status, body)
    server.check("an hour of nothing", sound, text)

    dripping.join()
    server.check("200 clients that send a byte now and then are given up", sound, text)

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
    server.check(f"{n_random} random requests", sound, text)
    assert server.memory() < before + 50, "the server grows"
    assert server.end() == 0


if __name__ == "__main__":
    rude(int(os.environ.get("N_RANDOM", "100000")))
    killed()

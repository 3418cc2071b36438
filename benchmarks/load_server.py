"""How many requests `elmokit serve` answers, how long each takes, and that none is lost, mixed up or changed.

    python benchmarks/load_server.py [--requests 10000] [--model default] [--quick]

A real server process on a real socket; N clients, each of which sends its next request when it has its answer, in one
asyncio loop of this process (so the client's own work is in the figures, on the same processor). Texts are tweets.
Every answer is compared with the vector that `Elmo` gives offline for the same text alone: bits, and the greatest
difference. Last, the server is killed with SIGKILL in the middle of the work and started again at the same port;
clients try again, and all must end with the right answers.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish, tweets

from elmokit import Elmo

POOLINGS = ("mean", "mean", "mean", "max")


@dataclass(frozen=True)
class Request:
    """A request's path and body, and the vectors that its answer must hold."""

    path: str
    body: bytes
    expected: list


@dataclass
class Tally:
    """What the clients met."""

    seconds: list = field(default_factory=list)
    met: Counter = field(default_factory=Counter)
    worst: float = 0.0

    def check(self, request, answer):
        """Compare an answer with the offline vectors."""
        data = answer["data"]
        if len(data) != len(request.expected):
            self.met["wrong"] += 1
            return
        for found, expected in zip(data, request.expected, strict=True):
            written = found["vectors" if request.path.endswith("words") else "embedding"]
            vector = np.frombuffer(base64.b64decode(written), "<f4").reshape(expected.shape)
            scale = float(np.abs(expected).max(initial=0)) or 1.0
            difference = float(np.abs(vector - expected).max(initial=0)) / scale
            self.worst = max(self.worst, difference)
            self.met["vectors with the same bits" if np.array_equal(vector, expected) else "vectors that differ"] += 1
            self.met["wrong"] += difference > 1e-6


def singles(vectors, texts, n, rng):
    """Requests of one text each."""
    places = [rng.randrange(len(texts)) for _ in range(n)]
    return [embeddings([place], texts, vectors, "mean") for place in places]


def mixed(vectors, word_vectors, texts, n, rng):
    """Three quarters of one text, the rest of up to 16 texts or of words."""
    made = []
    for _ in range(n):
        kind, size = rng.random(), rng.randint(2, 16)
        if kind < 0.75:
            made.append(embeddings([rng.randrange(len(texts))], texts, vectors, rng.choice(POOLINGS)))
        elif kind < 0.9:
            places = [rng.randrange(len(texts)) for _ in range(size)]
            made.append(embeddings(places, texts, vectors, rng.choice(POOLINGS)))
        else:
            place = rng.randrange(len(word_vectors))
            body = {"input": texts[place], "encoding_format": "base64"}
            made.append(Request("/v1/words", json.dumps(body).encode(), [word_vectors[place]]))
    return made


def embeddings(places, texts, vectors, pooling):
    body = {"input": [texts[place] for place in places], "encoding_format": "base64", "pooling": pooling}
    return Request("/v1/embeddings", json.dumps(body).encode(), [vectors[pooling][place] for place in places])


class Server:
    """`elmokit serve` as a process."""

    def __init__(self, model, *, port=0, n_workers=1):
        line = [sys.executable, "-m", "elmokit", "serve", "--model", model, "--port", str(port)]
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [*line, "--workers", str(n_workers)], stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
        )
        self.port = int(self.process.stdout.readline().split("/")[2].rpartition(":")[2])
        self.seconds_to_start = time.perf_counter() - begin

    def end(self, how=signal.SIGTERM):
        """Politely, or with all its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL) if how == signal.SIGKILL else self.process.send_signal(how)
        self.process.wait(120)
        self.process.stdout.close()

    def memory(self):
        """Resident and proportional (shared pages divided by their users) megabytes of every process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = []
        for pid in [str(self.process.pid), *children]:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:] if line.endswith("kB")}
            found.append({"rss_mb": sizes["Rss"] // 1024, "pss_mb": sizes["Pss"] // 1024})
        return found


async def client(port, requests, tally):
    """Send requests one after the other over one connection, again where it broke or the server was busy."""
    reader = writer = None
    while requests:
        request = requests.pop()
        while True:
            begin = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                status, body = await ask(reader, writer, request)
            except (OSError, EOFError):
                tally.met["connections broken"] += 1
                writer = None
                await asyncio.sleep(0.1)
                continue
            if status == 200:
                tally.seconds.append(time.perf_counter() - begin)
                tally.check(request, json.loads(body))
                tally.met["answered"] += 1
                break
            tally.met[f"status {status}"] += 1
            assert status == 429, (status, body)
            await asyncio.sleep(1)
    if writer is not None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(reader, writer, request):
    head = f"POST {request.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(request.body) + request.body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length.split(b":")[1]))


async def load(port, requests, n_clients, on_way=None):
    """All requests by so many clients; the tally and the seconds in all."""
    tally, waiting = Tally(), list(requests)
    begin = time.perf_counter()
    clients = [asyncio.create_task(client(port, waiting, tally)) for _ in range(n_clients)]
    if on_way is not None:
        while len(waiting) > len(requests) // 2:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(on_way)
    await asyncio.gather(*clients)
    return tally, time.perf_counter() - begin


def figures(tally, seconds, requests):
    p50, p99 = np.percentile(tally.seconds, [50, 99]) * 1000
    return {
        "requests": len(requests),
        "requests_per_s": round(len(requests) / seconds, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "lost": len(requests) - tally.met["answered"],
        "worst_relative_difference": tally.worst,
        **{name.replace(" ", "_"): count for name, count in sorted(tally.met.items())},
    }


def report(name, found):
    print(f"{name:34}", "  ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--model", default="default")
    parser.add_argument("--texts", type=int, default=3000)
    options = parser.parse_args()
    rng = random.Random(0)
    texts = [" ".join(words) for words in tweets(options.texts)]
    elmo = Elmo.load(options.model)
    vectors = {
        pooling: np.stack([elmo.encode_one(text, pooling=pooling) for text in texts]) for pooling in set(POOLINGS)
    }
    word_vectors = [found.vectors for found in elmo.encode_words(texts[:500])]
    results = {}

    server = Server(options.model)
    results["seconds_to_start"] = round(server.seconds_to_start, 2)
    asyncio.run(load(server.port, singles(vectors, texts, 200, rng), 8))  # warm
    for n_clients in (1, 8, 64):
        requests = singles(vectors, texts, options.requests // 5 if n_clients > 1 else options.requests // 20, rng)
        found = asyncio.run(load(server.port, requests, n_clients))
        results[f"single_{n_clients}"] = report(f"one text, {n_clients} clients", figures(*found, requests))
    requests = mixed(vectors, word_vectors, texts, options.requests, rng)
    found = asyncio.run(load(server.port, requests, 64))
    results["mixed_64"] = report("mixed, 64 clients", figures(*found, requests))
    results["memory"] = {"1_worker": server.memory()}

    def kill_and_restart():
        nonlocal server
        server.end(signal.SIGKILL)
        server = Server(options.model, port=server.port)

    requests = mixed(vectors, word_vectors, texts, options.requests // 5, rng)
    found = asyncio.run(load(server.port, requests, 8, on_way=kill_and_restart))
    results["killed_8"] = report("killed and restarted, 8 clients", figures(*found, requests))
    results["seconds_to_restart"] = round(server.seconds_to_start, 2)
    server.end()

    server = Server(options.model, n_workers=2)
    asyncio.run(load(server.port, singles(vectors, texts, 200, rng), 8))
    requests = singles(vectors, texts, options.requests // 5, rng)
    found = asyncio.run(load(server.port, requests, 64))
    results["two_workers_64"] = report("one text, 64 clients, 2 workers", figures(*found, requests))
    results["memory"]["2_workers"] = server.memory()
    server.end()
    print("memory:", results["memory"])
    bad = [name for name, one in results.items() if isinstance(one, dict) and (one.get("lost") or one.get("wrong"))]
    finish("load_server", results)
    assert not bad, f"lost or wrong answers: {bad}"


if __name__ == "__main__":
    main()

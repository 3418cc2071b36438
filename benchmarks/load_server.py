"""`elmokit serve` under load: requests a second, how long each takes, and that none is lost, mixed up or changed.

    python benchmarks/load_server.py texts        texts of 10, 100, 1,000 and 4,000 words, 1, 8 and 64 clients
    python benchmarks/load_server.py mixed        10,000 requests, with long, huge, broken and aborted ones among them
    python benchmarks/load_server.py memory       20,000 requests of fresh text: the server's memory on the way
    python benchmarks/load_server.py ends         SIGTERM while texts are split, computed or written
    python benchmarks/load_server.py workers      killed with SIGKILL and started again; two workers

Each prints the rows of a Markdown table. A real server process on a real socket; N clients, each of which sends its
next request when it has its answer, in one asyncio loop of this process (so the client's own work is in the figures, on
the same processor). Texts are tweets. Every answer is compared with the vector that `Elmo` gives offline for the same
text alone: bits, and the greatest difference.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish, tweets

from elmokit import Elmo

CLIENTS = (1, 8, 64)
POOLINGS = ("mean", "mean", "mean", "max")
SHARES = {"one": 0.7, "list": 0.129, "words": 0.1, "long": 0.008, "huge": 0.003, "broken": 0.04, "aborted": 0.02}
TEXT_REQUESTS = {10: 400, 100: 80, 1000: 10, 4000: 3}
"""Requests of texts of a number of words that one client sends; more clients send more together."""
SMALL = ("one", "list", "words")
BROKEN = (
    (b'{"input": ', 400),
    (b'{"input": [[1, 2, 3]]}', 400),
    (b'{"input": ["a", 7, "b"]}', 400),
    (b'{"input": []}', 400),
    (b'{"input": "a", "pooling": "none"}', 400),
    (b'{"input": "a", "model": "another"}', 404),
    (b"\xff\xfe\x00", 400),
    (b'{"input": "' + b"a b " * 60_000 + b'"}', 413),
    (b" " * 5_000_000, 413),
)


@dataclass(frozen=True)
class Request:
    """A request, the status that it should get, and the vectors that its answer must hold."""

    kind: str
    path: str
    body: bytes
    expected: list = field(default_factory=list)
    status: int = 200


@dataclass
class Tally:
    """What the clients met: begin and end of every answered request by kind, and counts."""

    times: dict = field(default_factory=lambda: defaultdict(list))
    met: Counter = field(default_factory=Counter)
    worst: float = 0.0

    def check(self, request, answer):
        """Compare an answer with the offline vectors."""
        data = answer["data"]
        self.met["wrong"] += len(data) != len(request.expected)
        for item, expected in zip(data, request.expected, strict=False):
            written = item["vectors" if request.path.endswith("words") else "embedding"]
            vector = np.frombuffer(base64.b64decode(written), "<f4").reshape(expected.shape)
            scale = float(np.abs(expected).max(initial=0)) or 1.0
            difference = float(np.abs(vector - expected).max(initial=0)) / scale
            self.worst = max(self.worst, difference)
            self.met["same bits" if np.array_equal(vector, expected) else "other bits"] += 1
            self.met["wrong"] += difference > 1e-6

    def percentiles(self, kinds, beside=()):
        """p50 and p99 in milliseconds (None without requests), and the number; only those beside others, if named."""
        others = [span for kind in beside for span in self.times[kind]]
        spans = [span for kind in kinds for span in self.times[kind]]
        if beside:
            spans = [(a, b) for a, b in spans if any(begin < b and a < end for begin, end in others)]
        if not spans:
            return None, None, 0
        p50, p99 = np.percentile([b - a for a, b in spans], [50, 99]) * 1000
        return round(float(p50), 1), round(float(p99), 1), len(spans)


class Material:
    """Texts and their offline vectors, from which requests are made."""

    def __init__(self, model, n_texts, rng):
        self.rng, elmo, words = rng, Elmo.load(model), tweets(n_texts)
        self.texts = [" ".join(one) for one in words]
        stream = [word for one in words for word in one]
        self.long = [self.cut(stream, 1000) for _ in range(12)]
        self.huge = [self.cut(stream, 4000) for _ in range(4)]
        self.vectors = {pooling: elmo.encode(self.texts, pooling=pooling) for pooling in set(POOLINGS)}
        self.word_vectors = [one.vectors for one in elmo.encode_words(self.texts[:500])]
        self.long_vectors, self.huge_vectors = elmo.encode(self.long), elmo.encode(self.huge)

    def cut(self, stream, n_words):
        """A text of a number of words from somewhere in the tweets."""
        start = self.rng.randrange(max(1, len(stream) - n_words))
        return " ".join((stream[start : start + n_words] * (1 + n_words // len(stream)))[:n_words])

    def request(self, kind):
        """A request of a kind; what it asks for is drawn."""
        rng, size = self.rng, self.rng.randint(2, 16)
        if kind == "broken":
            body, status = rng.choice(BROKEN)
            return Request(kind, "/v1/embeddings", body, status=status)
        if kind == "words":
            place = rng.randrange(len(self.word_vectors))
            body = {"input": self.texts[place], "encoding_format": "base64"}
            return Request(kind, "/v1/words", json.dumps(body).encode(), [self.word_vectors[place]])
        if kind == "long":
            place = rng.randrange(len(self.long))
            return embeddings(kind, [self.long[place]], [self.long_vectors[place]])
        if kind in ("huge", "aborted") and rng.random() < 0.5:
            place = rng.randrange(len(self.huge))
            return embeddings(kind, [self.huge[place]], [self.huge_vectors[place]])
        pooling = rng.choice(POOLINGS)
        n = {"one": 1, "list": size, "huge": 400, "aborted": size}[kind]
        places = [rng.randrange(len(self.texts)) for _ in range(n)]
        return embeddings(kind, [self.texts[i] for i in places], [self.vectors[pooling][i] for i in places], pooling)

    def mixed(self, n):
        """N requests of all kinds."""
        return [self.request(kind) for kind in self.rng.choices(list(SHARES), list(SHARES.values()), k=n)]


def embeddings(kind, texts, expected, pooling="mean"):
    body = {"input": texts, "encoding_format": "base64", "pooling": pooling}
    return Request(kind, "/v1/embeddings", json.dumps(body).encode(), expected)


class Server:
    """`elmokit serve` as a process."""

    def __init__(self, model, *options, port=0):
        line = [sys.executable, "-m", "elmokit", "serve", "--model", model, "--port", str(port), *options]
        begin = time.perf_counter()
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True)
        self.port = int(self.process.stdout.readline().split("/")[2].rpartition(":")[2])
        self.seconds_to_start = time.perf_counter() - begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, how=signal.SIGTERM):
        """End politely, or with all its processes at once; the seconds it took."""
        begin = time.perf_counter()
        os.killpg(self.process.pid, signal.SIGKILL) if how == signal.SIGKILL else self.process.send_signal(how)
        self.process.wait(120)
        self.process.stdout.close()
        return time.perf_counter() - begin

    def memory_mb(self):
        """Resident megabytes of every process, pages that are shared divided by their users."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        lines = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in [str(self.process.pid), *children]]
        return [int(text.split("Pss:")[1].split()[0]) // 1024 for text in lines]

    def load(self, requests, n_clients, on_way=None):
        """Send all requests by so many clients; the tally and the seconds in all."""
        return asyncio.run(load(self.port, requests, n_clients, on_way))


async def load(port, requests, n_clients, on_way=None):
    tally, waiting = Tally(), list(requests)
    begin = time.perf_counter()
    clients = [asyncio.create_task(client(port, waiting, tally)) for _ in range(n_clients)]
    if on_way is not None:
        while len(waiting) > len(requests) // 2:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(on_way)
    await asyncio.gather(*clients)
    return tally, time.perf_counter() - begin


async def client(port, requests, tally):
    """Send requests one after the other over one connection, again where it broke or the server was busy."""
    reader = writer = None
    while requests:
        request = requests.pop()
        if request.kind == "aborted":
            await abort(port, request)
            tally.met["aborted"] += 1
            continue
        while True:
            begin = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                status, body, closes = await ask(reader, writer, request)
            except (OSError, EOFError):
                tally.met["broken connections"] += 1
                writer = None
                await asyncio.sleep(0.1)
                continue
            if closes:
                writer.close()
                writer = None
            if status == 429:
                tally.met["429"] += 1
                await asyncio.sleep(1)
                continue
            tally.met["answered"] += 1
            tally.met["wrong"] += status != request.status
            if status == 200:
                tally.times[request.kind].append((begin, time.perf_counter()))
                tally.check(request, json.loads(body))
            break
    if writer is not None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(reader, writer, request):
    head = f"POST {request.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(request.body) + request.body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split(b" ", 2)[1]), body, b"connection: close" in head


async def abort(port, request):
    """Send a request and hang up: in the middle, after it, with an orderly end or a reset."""
    dice = random.Random(len(request.body))
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {request.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(request.body)}\r\n\r\n".encode()
        sent = head + request.body
        writer.write(sent[: dice.choice([10, len(head) + 5, len(sent) // 2, len(sent), len(sent)])])
        await asyncio.sleep(dice.choice([0, 0.02, 0.2]))
        if dice.random() < 0.5:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


def checked(tally, requests):
    """Counts of an honest run: every request was answered, and rightly."""
    lost = len(requests) - tally.met["answered"] - tally.met["aborted"]
    assert (lost, tally.met["wrong"]) == (0, 0), (lost, tally.met)
    return {
        "lost": lost,
        "worst_relative_difference": tally.worst,
        **{k.replace(" ", "_"): n for k, n in tally.met.items()},
    }


def run_texts(options, results):
    """One text a request. Texts of a size are distinct windows of all tweets."""
    print("| words in the text | clients | requests/s | p50 | p99 |\n|---|---|---|---|---|")
    rng, elmo = random.Random(0), Elmo.load(options.model)
    stream = [word for one in tweets() for word in one]
    with Server(options.model, "--timeout", "600") as server:
        for n_words in options.words:
            starts = [rng.randrange(len(stream) - n_words) for _ in range(300 if n_words < 1000 else 16)]
            texts = [" ".join(stream[start : start + n_words]) for start in starts]
            pairs = list(zip(texts, elmo.encode(texts), strict=True))
            for n_clients in CLIENTS:
                n_requests = max(3, n_clients, int(TEXT_REQUESTS[n_words] * n_clients**0.5 * options.share))
                chosen = (rng.choice(pairs) for _ in range(n_requests))
                sent = [embeddings("one", [text], [vector]) for text, vector in chosen]
                tally, seconds = server.load(sent, n_clients)
                p50, p99, n = tally.percentiles(["one"])
                row = {"requests_per_s": round(n / seconds, 1), "p50_ms": p50, "p99_ms": p99, **checked(tally, sent)}
                results[f"{n_words}_words_{n_clients}_clients"] = row
                print(f"| {n_words:,} | {n_clients} | {n / seconds:.1f} | {p50:,.0f} ms | {p99:,.0f} ms |", flush=True)


def run_mixed(options, results):
    print(
        "| clients | requests/s | small: p50 | p99 | small beside huge: p50 | p99 | long: p50 | huge: p50 | same bits |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    material = Material(options.model, options.texts, random.Random(0))
    with Server(options.model, "--timeout", "600") as server:
        for n_clients in options.clients:
            requests = material.mixed(int(10_000 * options.share))
            tally, seconds = server.load(requests, n_clients)
            small, beside = tally.percentiles(SMALL), tally.percentiles(SMALL, beside=["huge"])
            long, huge = tally.percentiles(["long"]), tally.percentiles(["huge"])
            results[f"mixed_{n_clients}_clients"] = {
                "requests": len(requests),
                "requests_per_s": round(len(requests) / seconds, 1),
                "small": small,
                "small_beside_huge": beside,
                "long": long,
                "huge": huge,
                **checked(tally, requests),
                "memory_mb": server.memory_mb(),
            }
            cells = [
                f"{len(requests) / seconds:.0f}",
                *("" if ms is None else f"{ms:,.0f} ms" for ms in (*small[:2], *beside[:2], long[0], huge[0])),
            ]
            bits = f"{tally.met['same bits']:,} of {tally.met['same bits'] + tally.met['other bits']:,}"
            print(f"| {n_clients} | {' | '.join(cells)} | {bits} |", dict(tally.met), flush=True)


def run_memory(options, results):
    """Fresh words in every request, all routes, and texts that caches might keep without counting them."""
    print("| requests | memory |\n|---|---|")
    rng, n, step = random.Random(0), int(20_000 * options.share), max(1, int(2000 * options.share))

    def fresh(i):
        word = lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))  # noqa: E731
        text = " ".join(word() for _ in range(8))
        text = {0: " " * 200 + "\t" * (i % 50 + 1), 1: "".join(word() for _ in range(300))}.get(i % 50, text)
        path = ("/v1/embeddings", "/v1/embeddings", "/v1/words", "/v1/similar", "/explorer/read")[i % 5]
        body = {"/v1/similar": {"query": text, "texts": [text, word()]}, "/explorer/read": {"texts": [text]}}
        return Request("fresh", path, json.dumps(body.get(path, {"input": text})).encode())

    with Server(options.model) as server:
        Tally.check = lambda *_: None
        sizes = {0: server.memory_mb()[0]}
        for done in range(0, n, step):
            requests = [fresh(i) for i in range(done, done + step)]
            tally, _ = server.load(requests, 8)
            assert (tally.met["answered"], tally.met["wrong"]) == (step, 0), tally.met
            sizes[done + step] = server.memory_mb()[0]
            print(f"| {done + step:,} | {sizes[done + step]} MB |", flush=True)
    results["memory_mb"] = sizes
    half = list(sizes.values())[len(sizes) // 2]
    assert list(sizes.values())[-1] <= 1.05 * half + 5, f"memory grows: {sizes}"


def run_ends(options, results):
    """SIGTERM 0.5 s after a request was sent, with a grace time of 2 seconds."""
    print("| at work when SIGTERM came | seconds to the end |\n|---|---|")
    words = [word for one in tweets(3000) for word in one]
    cases = {
        "nothing": None,
        "a text of 4,000 words": ("/v1/embeddings", {"input": " ".join(words[:4000])}),
        "48,000 words in 2,000 texts": (
            "/v1/embeddings",
            {"input": [" ".join(words[i : i + 24]) for i in range(2000)]},
        ),
        "one text of 48,000 words": ("/v1/embeddings", {"input": "word " * 48_000}),
        "vectors of 900 words, as numbers": ("/v1/words", {"input": " ".join(words[:2000]), "layers": 1}),
        "3.9 MB without a space, to be split": ("/v1/embeddings", {"input": "()" * 1_950_000}),
        "5,700 words in the explorer": (
            "/explorer/word",
            {"texts": [" ".join(words[i : i + 570]) for i in range(10)], "sentence": 0, "word": 0},
        ),
    }
    for name, case in cases.items():
        with Server(options.model, "--grace", "2") as server:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                if case is not None:
                    body = json.dumps(case[1]).encode()
                    head = f"POST {case[0]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode() + body)
                time.sleep(0.5)
                seconds = server.end()
            results[name] = round(seconds, 2)
            print(f"| {name} | {seconds:.1f} |", flush=True)
            assert seconds < 2 + 5, "far beyond its grace time"


def run_workers(options, results):
    print("| | requests/s | p50 | p99 | memory |\n|---|---|---|---|---|")
    material = Material(options.model, options.texts, random.Random(0))
    requests = [material.request("one") for _ in range(int(2000 * options.share))]

    def report(name, server, tally, seconds):
        p50, p99, n = tally.percentiles(["one"])
        row = {"requests_per_s": round(n / seconds, 1), "p50_ms": p50, "p99_ms": p99, **checked(tally, requests)}
        results[name] = {**row, "memory_mb": server.memory_mb(), "seconds_to_start": round(server.seconds_to_start, 2)}
        print(f"| {name} | {n / seconds:.0f} | {p50:.0f} ms | {p99:.0f} ms | {server.memory_mb()} MB |", flush=True)

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(options.model))]
        report("1 worker, 64 clients", servers[0], *servers[0].load(requests, 64))

        def restart():
            servers[0].end(signal.SIGKILL)
            servers.append(stack.enter_context(Server(options.model, port=servers[0].port)))

        tally, seconds = servers[0].load(requests, 8, on_way=restart)
        report("killed and started again, 8 clients", servers[1], tally, seconds)
    with Server(options.model, "--workers", "2") as server:
        report("2 workers, 64 clients", server, *server.load(requests, 64))


RUNS = {"texts": run_texts, "mixed": run_mixed, "memory": run_memory, "ends": run_ends, "workers": run_workers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--share", type=float, default=1.0, help="of the requests")
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS, help="of mixed")
    parser.add_argument("--words", type=int, nargs="*", default=TEXT_REQUESTS, help="of texts")
    parser.add_argument("--model", default="default")
    parser.add_argument("--texts", type=int, default=3000)
    options = parser.parse_args()
    results = {"share": options.share}
    begin = time.perf_counter()
    RUNS[options.run](options, results)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    finish(f"load_server_{options.run}", results)


if __name__ == "__main__":
    main()

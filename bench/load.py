"""As many requests as a Grape answers: a load that costs less than the server does.

    python -m bench.load lookup|announce URL COUNT FLIGHT

Each connection has one request under way, made of bytes that are ready but for
a number; a reply is read as far as its length.  Prints requests a second and
the 99th percentile in milliseconds, as JSON.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

BODIES = {
    "lookup": '{"rid":"r","data":"bench:%08d"}',
    "announce": '{"rid":"r","data":["told:%08d",1337]}',
}
LENGTH = b"content-length:"


class Load:
    """Requests that differ in a number, shared by some connections."""

    def __init__(self, what: str, host: str, count: int) -> None:
        body = BODIES[what]
        head = f"POST /{what} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body % 0)}\r\n\r\n"
        self._request = (head + body).encode()
        self._left = count
        self._number = 0
        self.times: list[float] = []
        self.ended = asyncio.Event()

    def next(self) -> bytes:
        """The next request; nothing when all were given out."""
        self._left -= 1
        self._number += 1
        return self._request % self._number if self._left >= 0 else b""

    def again(self, count: int) -> None:
        self._left = count
        self.times.clear()
        self.ended.clear()

    def answered(self, seconds: float, *, last: bool) -> None:
        self.times.append(seconds)
        if last:
            self.ended.set()


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def go(self) -> bool:
        request = self._load.next()
        if request:
            self._begun = perf_counter()
            self._transport.write(request)
        return bool(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(LENGTH) + len(LENGTH)
        length, _, _ = head[at:].partition(b"\r\n")
        if len(body) < int(length):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._got
        self._got = b""
        seconds = perf_counter() - self._begun
        self._load.answered(seconds, last=not self.go())


async def run(what: str, url: str, count: int, flight: int) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    where = urlsplit(url)
    load = Load(what, where.netloc, count)
    connections = [
        (await loop.create_connection(lambda: Connection(load), where.hostname, where.port))[1]
        for _ in range(flight)
    ]
    for warm in (count // 4, count):
        load.again(warm)
        begun = perf_counter()
        for connection in connections:
            connection.go()
        while len(load.times) < warm:
            load.ended.clear()
            await load.ended.wait()
        seconds = perf_counter() - begun
    times = sorted(load.times)
    return len(times) / seconds, times[int(len(times) * 0.99)] * 1e3


if __name__ == "__main__":
    what, url, count, flight = sys.argv[1:]
    print(json.dumps(uvloop.run(run(what, url, int(count), int(flight)))))

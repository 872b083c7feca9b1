"""A host counts its connections and bytes for the node's metrics."""

import asyncio
import re

from tests.net.hosts import make_host

from shoal.metrics import Metrics
from shoal.net.measure import Measure
from shoal.net.stream import Stream


def read(metrics: Metrics, name: str) -> float:
    found = re.search(rf"^shoal_{re.escape(name)} (.*)$", metrics.text(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def swallow(stream: Stream) -> None:
    while await stream.read():
        continue
    await stream.close()


def test_what_happens_on_a_host_is_counted() -> None:
    async def main() -> None:
        async with asyncio.timeout(10), make_host(1) as a, make_host(2) as b:
            metrics = Metrics()
            Measure(b, metrics)
            ended = asyncio.Event()
            b.watchers.append(lambda event, _: ended.set() if event == "ended" else None)
            b.handle("/swallow", swallow)
            await b.listen("/ip4/127.0.0.1/tcp/0")
            async with await a.open(b.addresses, "/swallow") as stream:
                await stream.write(bytes(100_000))
                await stream.close_write()
                assert await stream.read() == b""
                assert read(metrics, "net_connections") == 1
                assert read(metrics, "net_inbound") == 1
                assert read(metrics, "net_connections_limit") == 1024
            labels = '{direction="in",security="/noise",muxer="/yamux/1.0.0"}'
            assert read(metrics, "net_connections_total" + labels) == 1
            standing = read(metrics, "net_received_bytes_total")
            assert standing > 100_000
            await a.aclose()
            await ended.wait()
            assert read(metrics, "net_connections") == 0
            assert read(metrics, "net_received_bytes_total") >= standing  # kept after the end
            assert read(metrics, "net_connection_seconds_count") == 1

    asyncio.run(main())

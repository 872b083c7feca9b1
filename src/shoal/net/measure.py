"""What a host counts for its node's metrics: connections, streams, bytes.

The places in use are those of the limits, read when somebody looks; so are the
bytes, for a counter on every read would cost more than it tells.
"""

from functools import partial

from shoal.metrics import Metrics
from shoal.net.connection import Connection
from shoal.net.host import Host

LASTED = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0)  # seconds: from a probe to a day
PLACES = {
    "connections": "connections that stand",
    "inbound": "connections that others opened",
    "handshakes": "inbound connections that have not proved who they are",
    "streams": "streams that stand",
    "memory": "bytes that came and were not read yet",
}


class Measure:
    """Counts what happens on one host from now on."""

    def __init__(self, host: Host, metrics: Metrics) -> None:
        self._host = host
        self._gone = {"received": 0, "sent": 0}  # bytes of the connections that have ended
        used, limits = host.limits.node.used, host.limits.node.limits
        for what, says in PLACES.items():
            name = "memory_bytes" if what == "memory" else what
            metrics.gauge(f"net_{name}", says, partial(used.__getitem__, what))
            metrics.gauge(
                f"net_{name}_limit", f"the most: {says}", partial(limits.__getitem__, what)
            )
        for way in self._gone:
            counter = metrics.counter(f"net_{way}_bytes_total", f"bytes {way}, as they travel")
            counter.read = partial(self._bytes, way)
        self._opened = metrics.counters(
            "net_connections_total", "connections made", "direction", "security", "muxer"
        )
        self._lasted = metrics.histogram("net_connection_seconds", "how long they stood", LASTED)
        host.watchers.append(self._watch)

    def _bytes(self, way: str) -> int:
        standing = sum(one.traffic[way] for one in self._host.connections)
        return self._gone[way] + standing

    def _watch(self, event: str, connection: Connection) -> None:
        about = connection.about
        if event == "connected":
            direction = "out" if about.initiator else "in"
            self._opened.of(direction, about.security, about.muxer).value += 1
        else:
            for way, count in connection.traffic.items():
                self._gone[way] += count
            self._lasted.observe(max(0.0, self._host.now - about.opened))

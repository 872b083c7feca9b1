"""What can be set about the DHTs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from shoal.config import setting
from shoal.dht import guard, lookup, table

MAINLINE_ROUTERS = (  # who is asked first by the command's public profile
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
)


@dataclass(frozen=True, slots=True)
class MainlineSettings:
    """BitTorrent's DHT."""

    section: ClassVar[str] = "mainline"
    port: int = setting(0, "UDP port to listen on; 0: any", least=0, most=65535)
    routers: Sequence[str] = setting((), "nodes to start from", public=MAINLINE_ROUTERS)
    server: bool = setting(True, "answer others (else only ask)")
    alpha: int = setting(lookup.ALPHA, "questions in flight", least=1, most=lookup.ALPHA_MAX)
    paths: int = setting(1, "disjoint paths of a lookup", least=1, most=lookup.PATHS_MAX)
    rate: float = setting(
        guard.RATE, "answers to one address prefix", unit="queries/s", least=1.0, most=1e7
    )
    questionable: float = setting(
        table.QUESTIONABLE,
        "silence after which a node is asked whether it lives",
        unit="s",
        least=1,
    )
    enforce_ids: bool = setting(False, "leave out nodes whose id is not bound to their address")

"""What can be set of BitTorrent."""

from dataclasses import dataclass
from typing import ClassVar

from shoal.config import setting


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """BitTorrent."""

    section: ClassVar[str] = "swarm"
    port: int = setting(0, "port for peers; 0 is any free one", least=0, most=65535)
    host: str = setting("", "local address for peers and the mainline DHT; else all of them")
    connections: int = setting(200, "peers at the same time", least=1, most=10_000)
    dialling: int = setting(30, "addresses dialled at the same time", least=1, most=1000)
    per_host: int = setting(64, "connections from one address", least=1, most=10_000)
    down: float = setting(0.0, "download limit; 0 is none", unit="bytes/s", least=0)
    up: float = setting(0.0, "upload limit; 0 is none", unit="bytes/s", least=0)
    allocation: str = setting(
        "sparse",
        "sparse: files grow as pieces come; full: their room is taken before the download",
        choices=("sparse", "full"),
    )
    piece_memory: int = setting(64 << 20, "pieces on their way", unit="bytes", least=1 << 20)

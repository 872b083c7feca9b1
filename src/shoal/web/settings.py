"""What can be set of the daemon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from shoal.config import setting

SERVICES = ("dht", "swarm")


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """The node that `shoal up` runs."""

    section: ClassVar[str] = "daemon"
    services: Sequence[str] = setting(
        SERVICES, "what starts with the node; others start when first used", choices=SERVICES
    )
    http: bool = setting(True, "serve the HTTP API on loopback, too, for who has the token")
    port: int = setting(0, "its port; 0: any free one", least=0, most=65535)

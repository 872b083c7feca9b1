"""Which address first: ranking, a head start for the better ones, and patience after failures.

Peers name many addresses and most of them lead nowhere.  The best of each
family is tried first and the others follow HEAD_START apart, until one
connection stands (RFC 8305, "Happy Eyeballs").  An address that has just failed is
left alone for a while, longer each time, unless nothing else is left.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shoal.peer.multiaddr import Multiaddr

HEAD_START = 0.25  # seconds between two attempts; RFC 8305, section 5
ATTEMPTS_MAX = 16  # addresses of one peer that a dial tries
BACKOFF = 5.0  # seconds after the first failure; doubles
BACKOFF_MAX = 300.0  # seconds
FAILURES_MAX = 4096  # addresses whose failures are remembered


def reach_of(address: Multiaddr) -> int:
    """0 this machine, 1 this network, 2 anywhere, 3 a name that has to be looked up."""
    ip = address.ip
    if ip is None:
        return 3
    if ip.is_loopback:
        return 0
    return 1 if ip.is_private or ip.is_link_local else 2


def rank(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    """The order of attempts: near before far, direct before relayed, the families in turn."""
    unique = sorted(
        dict.fromkeys(addresses),
        key=lambda one: (one.relay is not None, reach_of(one), len(one.parts)),
    )
    sixes = [one for one in unique if one.names[0] in ("ip6", "ip6zone", "dns6")]
    others = [one for one in unique if one not in sixes]
    mixed: list[Multiaddr] = []
    for index in range(max(len(sixes), len(others))):
        mixed += others[index : index + 1] + sixes[index : index + 1]
    return mixed[:ATTEMPTS_MAX]


@dataclass(slots=True)
class _Failure:
    until: float
    wait: float


class Backoff:
    """The addresses that failed lately."""

    def __init__(self) -> None:
        self._failures: dict[Multiaddr, _Failure] = {}

    def failed(self, address: Multiaddr, now: float) -> None:
        last = self._failures.pop(address, None)
        wait = BACKOFF if last is None else min(2 * last.wait, BACKOFF_MAX)
        while len(self._failures) >= FAILURES_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[address] = _Failure(now + wait, wait)

    def succeeded(self, address: Multiaddr) -> None:
        self._failures.pop(address, None)

    def ready(self, addresses: list[Multiaddr], now: float) -> list[Multiaddr]:
        """Those that may be tried; all of them if none may: the caller insists."""
        known = self._failures
        rested = [one for one in addresses if one not in known or known[one].until <= now]
        return rested or addresses

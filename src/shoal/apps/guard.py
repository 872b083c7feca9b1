"""How often the words of a code may be guessed.

A guess is an attempt whose proof was wrong.  So many of them, and the code is
dead.  Attempts under way count as if they were wrong, or a crowd could guess at
once; one that ends without a proof has learned nothing and counts only for its
address, which has to wait longer after each attempt that came to nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar

from shoal.config import setting

ADDRESSES_MAX = 1024  # that are remembered; the longest quiet goes first
BUSY = 0.25  # seconds to wait while others try
NETWORK_BITS = 64  # of an IPv6 address: what one household has


@dataclass(frozen=True, slots=True)
class SendSettings:
    """Sending by a code."""

    section: ClassVar[str] = "send"
    failures: int = setting(10, "wrong guesses after which a code is dead", least=1, most=1000)
    delay: float = setting(0.5, "after a first failed attempt; doubles", unit="s", least=0)
    delay_max: float = setting(30.0, "between two attempts, at the most", unit="s", least=0)
    receivers: int = setting(8, "that are served at the same time", least=1, most=1000)


@dataclass(slots=True)
class Visitor:
    """One address: how often it failed, and until when it has to wait."""

    failures: int = 0
    until: float = 0.0
    trying: bool = False


class Guard:
    """What was attempted on one code."""

    def __init__(self, settings: SendSettings | None = None) -> None:
        self.settings = settings or SendSettings()
        self.failures = 0
        self._trying = 0
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    @property
    def dead(self) -> bool:
        return self.failures >= self.settings.failures

    @property
    def left(self) -> int:
        """Wrong guesses before the code is dead."""
        return max(0, self.settings.failures - self.failures)

    def begin(self, address: str, now: float) -> float:
        """0: the attempt may begin, and has to be ended; else seconds to wait before."""
        visitor = self._visitor(address)
        if visitor.trying or self.failures + self._trying >= self.settings.failures:
            return max(BUSY, visitor.until - now)
        if visitor.until > now:
            return visitor.until - now
        visitor.trying = True
        self._trying += 1
        return 0.0

    def end(self, address: str, now: float, *, right: bool, guessed: bool) -> None:
        """The words were right; or wrong ones were proved; or it broke off without a proof."""
        visitor = self._visitor(address)
        visitor.trying = False
        self._trying -= 1
        if right:
            self._visitors.pop(address, None)
            return
        self.failures += guessed
        settings = self.settings
        wait = min(settings.delay * 2 ** min(visitor.failures, 30), settings.delay_max)
        visitor.until = now + wait
        visitor.failures += 1

    def _visitor(self, address: str) -> Visitor:
        visitor = self._visitors.setdefault(address, Visitor())
        self._visitors.move_to_end(address)
        if len(self._visitors) > ADDRESSES_MAX:
            idle = next(name for name, each in self._visitors.items() if not each.trying)
            del self._visitors[idle]
        return visitor


def household(ip: IPv4Address | IPv6Address | None) -> str:
    """What counts as one address; all that have none are one."""
    if isinstance(ip, IPv6Address):
        return f"{ip.exploded[: NETWORK_BITS // 4 + 3]}/{NETWORK_BITS}"
    return str(ip)

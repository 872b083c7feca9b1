"""What a node that answers strangers owes to everybody else.

Anyone can write any sender's address on a datagram.  So a node answers one
address prefix only so often; it never sends much more than it was sent
(else it would be a lens for attacks on that address); and it stores only for
those who show a token which was sent to their address a short while ago.
"""

from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

WINDOW = 5.0  # seconds over which queries are counted
RATE = 100.0  # queries a second from one prefix: many hosts can live behind one address
PREFIXES_MAX = 50_000  # prefixes counted in one window
AMPLIFICATION_MAX = 4  # a reply may be so many times as long as its query
ALLOWANCE = 20_000  # bytes beyond that for one prefix in a window: a BEP 44 value or two a second
TOKEN_LIFE = 300.0  # seconds; a token is good for one to two of these (BEP 5)
TOKEN_SIZE = 8  # bytes
SECRET_SIZE = 16  # bytes


def prefix_of(host: str) -> str:
    """The first 24 bits of an IPv4 address, about 48 of an IPv6 one."""
    if ":" not in host:
        return host.rpartition(".")[0]
    return ":".join(host.split(":")[:3])


class Guard:
    """Counts queries and bytes by address prefix."""

    def __init__(self, now: float, *, rate: float = RATE, allowance: int = ALLOWANCE) -> None:
        self.queries_max = max(1, int(rate * WINDOW))
        self.allowance = allowance
        self.refused = 0  # queries that were not answered
        self._queries: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._until = now + WINDOW

    def admits(self, host: str, now: float) -> bool:
        """Whether a query from there is answered."""
        if now >= self._until:
            self._until = now + WINDOW
            self._queries.clear()
            self._bytes.clear()
        prefix = prefix_of(host)
        count = self._queries.get(prefix, 0)
        if count >= self.queries_max or (not count and len(self._queries) >= PREFIXES_MAX):
            self.refused += 1
            return False
        self._queries[prefix] = count + 1
        return True

    def may_send(self, host: str, asked: int, reply: int) -> bool:
        """Whether a reply of so many bytes may follow a query of so many."""
        beyond = reply - asked * AMPLIFICATION_MAX
        if beyond <= 0:
            return True
        prefix = prefix_of(host)
        spent = self._bytes.get(prefix, 0) + beyond
        if spent > self.allowance:
            return False
        self._bytes[prefix] = spent
        return True


class Tokens:
    """Tokens prove that who stores has been answered at its address, about this very key."""

    def __init__(self, rng: "Random", now: float) -> None:
        self._rng = rng
        self._secret = rng.randbytes(SECRET_SIZE)
        self._former = self._secret
        self._until = now + TOKEN_LIFE

    def give(self, host: str, key: bytes, now: float) -> bytes:
        if now >= self._until:
            self._renew(now)
        return self._token(self._secret, host, key)

    def accepts(self, token: bytes, host: str, key: bytes, now: float) -> bool:
        if now >= self._until:
            self._renew(now)
        return any(
            compare_digest(token, self._token(secret, host, key))
            for secret in (self._secret, self._former)
        )

    def _renew(self, now: float) -> None:
        fresh = self._rng.randbytes(SECRET_SIZE)
        late = now >= self._until + TOKEN_LIFE  # the secret before this one has expired as well
        self._former = fresh if late else self._secret
        self._secret = fresh
        self._until = now + TOKEN_LIFE

    @staticmethod
    def _token(secret: bytes, host: str, key: bytes) -> bytes:
        return blake2b(key + host.encode(), key=secret, digest_size=TOKEN_SIZE).digest()

"""What may be stored under a key, and which of two values is better.

A key is `/namespace/rest`.  Each namespace has a validator; a value of a
namespace that has none is refused, for nobody could tell it from rubbish.
So whoever hands us a value can withhold it or show an old one, never forge it.

libp2p/specs, kad-dht, section "Entry validation".
"""

from collections.abc import Mapping
from typing import Protocol

from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import PublicKey

VALUE_MAX = 32 * 1024  # bytes of any value; IPNS allows 10 KiB, a public key has a few hundred
PK = b"/pk/"


class Validator(Protocol):
    """One namespace's rules."""

    def check(self, key: bytes, value: bytes, today: float) -> None: ...  # raises ProtocolError

    def better(self, one: bytes, other: bytes) -> bool: ...  # of two that were checked


class PublicKeys:
    """/pk/ID: the public key whose id that is."""

    def check(self, key: bytes, value: bytes, today: float) -> None:
        if PeerId(key.removeprefix(PK)) != PeerId.of(PublicKey.decode(value)):
            raise ProtocolError("this public key belongs to another id")

    def better(self, one: bytes, other: bytes) -> bool:
        return False  # there is only one


class Validators:
    """The rules of all namespaces, by their names."""

    def __init__(self, namespaces: Mapping[str, Validator]) -> None:
        self._namespaces = {name.encode(): rules for name, rules in namespaces.items()}

    def knows(self, key: bytes) -> bool:
        return _namespace(key) in self._namespaces

    def check(self, key: bytes, value: bytes, today: float) -> None:
        """Raises ProtocolError unless the value may lie there; `today` is the time of day."""
        rules = self._namespaces.get(_namespace(key))
        if rules is None:
            raise ProtocolError(f"values of the namespace {_namespace(key)[:40]!r} are not kept")
        if len(value) > VALUE_MAX:
            raise ProtocolError(f"value of {len(value)} bytes, at most {VALUE_MAX} are allowed")
        rules.check(key, value, today)

    def allows(self, key: bytes, value: bytes, today: float) -> bool:
        try:
            self.check(key, value, today)
        except ProtocolError:
            return False
        return True

    def better(self, key: bytes, one: bytes, other: bytes) -> bool:
        """Whether the first of two valid values should replace the second."""
        return self._namespaces[_namespace(key)].better(one, other)


def _namespace(key: bytes) -> bytes:
    """Empty for a key that has none."""
    start, _, rest = key.partition(b"/")
    name, slash, _ = rest.partition(b"/")
    return name if not start and slash else b""

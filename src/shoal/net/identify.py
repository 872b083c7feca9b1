"""Identify and ping: what peers tell each other about themselves.

Each side asks the other on a new connection and remembers the protocols and
addresses it names; when they change, the sender pushes the same message.  Ping sends 32
bytes and gets them back.

libp2p/specs identify/README.md and ping/ping.md.
"""

from collections.abc import Iterable

from shoal.codec import varint
from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import PublicKey
from shoal.peer.multiaddr import Multiaddr

IDENTIFY = "/ipfs/id/1.0.0"
PUSH = "/ipfs/id/push/1.0.0"
PING = "/ipfs/ping/1.0.0"
PING_SIZE = 32  # bytes

MESSAGE_MAX = 8 * 1024  # bytes of one message; go's limit
MESSAGES_MAX = 10  # on one stream; go writes two when the first would be long
OURS_MAX = 4096  # bytes: rust reads no more
NAMES_MAX = 512  # protocols and addresses that we remember of a peer


class Identity(Message):
    """What a peer says of itself; any field may be missing."""

    public_key: bytes = field(1)
    addresses: list[bytes] = field(2, most=NAMES_MAX)
    protocols: list[str] = field(3, most=NAMES_MAX)
    observed: bytes = field(4)
    version: str = field(5)
    agent: str = field(6)
    record: bytes = field(8)

    def listening(self, peer: PeerId) -> list[Multiaddr]:
        """The addresses that can be read and are the sender's own."""
        found = []
        for data in self.addresses:
            try:
                address = Multiaddr.decode(data).without_peer(peer)
            except ProtocolError:
                continue  # of a transport that we do not know
            if address.peer in (None, peer):
                found.append(address)
        return list(dict.fromkeys(found))

    def check(self, peer: PeerId) -> None:
        """The key it names must be that of the connection."""
        if self.public_key and not peer.belongs_to(PublicKey.decode(self.public_key)):
            raise ProtocolError("the peer identified itself with another key")


def describe(
    key: PublicKey,
    addresses: Iterable[Multiaddr],
    protocols: Iterable[str],
    observed: Multiaddr | None,
    *,
    agent: str,
    record: bytes = b"",
) -> bytes:
    """Our message with its length; addresses that would make it too long are left out."""
    identity = Identity(
        public_key=key.encode(),
        protocols=list(protocols),
        observed=observed.bytes if observed else b"",
        version="ipfs/0.1.0",
        agent=agent,
        record=record,
    )
    room = OURS_MAX - len(identity.encode())
    for address in addresses:
        room -= len(address.bytes) + 3
        if room < 0:
            break
        identity.addresses.append(address.bytes)
    return varint.encode_frame(identity.encode())


def read(data: bytes) -> Identity:
    """All messages of one stream, merged."""
    identity = Identity()
    at = count = 0
    while at < len(data):
        size, at = varint.decode(data, at)
        count += 1
        if size > MESSAGE_MAX or at + size > len(data) or count > MESSAGES_MAX:
            raise ProtocolError("identify messages that are too long, too many or cut short")
        identity.merge(memoryview(data)[at : at + size])
        at += size
    return identity

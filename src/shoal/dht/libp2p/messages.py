"""What peers of libp2p's DHT say to each other: one message for all questions and answers.

A question has a type and a key; the answer has the same type and names peers
closer to the key, and what was asked for.  On a stream each message has its
length in front, as a varint.

libp2p/specs, kad-dht, section "RPC messages".
"""

from shoal.codec.protobuf import Message, field
from shoal.codec.varint import encode_frame
from shoal.dht.questions import Verb
from shoal.errors import ProtocolError

PROTOCOL = "/ipfs/kad/1.0.0"
LAN_PROTOCOL = "/ipfs/lan/kad/1.0.0"

REQUEST_MAX = 64 * 1024  # bytes; the longest, an IPNS record of 10 KiB, is far below
REPLY_MAX = 4 * 1024 * 1024  # bytes; go-libp2p's bound, thousands of providers
KEY_MAX = 1024  # bytes; a namespace and an id have 50
CLOSER_MAX = 128  # peers; honest answers have 20, or 21
PROVIDERS_MAX = 4096  # peers
ADDRESSES_MAX = 64  # of one peer; go-libp2p sends about a dozen
CONNECTED = 1  # the only connection type that means something

PUT_VALUE, GET_VALUE, ADD_PROVIDER, GET_PROVIDERS, FIND_NODE, PING = range(6)
TYPES = {
    Verb.PUT_VALUE: PUT_VALUE,
    Verb.GET_VALUE: GET_VALUE,
    Verb.ADD_PROVIDER: ADD_PROVIDER,
    Verb.GET_PROVIDERS: GET_PROVIDERS,
    Verb.FIND_NODE: FIND_NODE,
    Verb.SAMPLE: FIND_NODE,  # nobody tells which keys it holds, only whom it knows
    Verb.PING: FIND_NODE,  # not every implementation answers PING any more
}


class RecordMessage(Message):
    """A value under its key; the time is that of its receipt, as text."""

    key: bytes = field(1)
    value: bytes = field(2)
    received: bytes = field(5)


class PeerMessage(Message):
    """Somebody, and where."""

    id: bytes = field(1)
    addresses: list[bytes] = field(2, most=ADDRESSES_MAX)
    connection: int = field(3)


class KadMessage(Message):
    """A question or an answer."""

    type: int = field(1, always=True)
    key: bytes = field(2)
    record: RecordMessage | None = field(3)
    closer: list[PeerMessage] = field(8, most=CLOSER_MAX)
    providers: list[PeerMessage] = field(9, most=PROVIDERS_MAX)
    cluster_level: int = field(10)  # obsolete; go-libp2p still sends it


def encode(message: KadMessage) -> bytes:
    """With its length in front."""
    return encode_frame(message.encode())


def decode(data: bytes | memoryview) -> KadMessage:
    """Without its length; ProtocolError if it is no message that we know."""
    message = KadMessage.decode(data)
    if message.type > PING:
        raise ProtocolError(f"kad message of the unknown type {message.type}")
    if len(message.key) > KEY_MAX:
        raise ProtocolError(f"kad key of {len(message.key)} bytes, at most {KEY_MAX} are allowed")
    return message

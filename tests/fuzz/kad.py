"""What strangers can say to libp2p's DHT."""

import contextlib
from random import Random

from tests.dht.test_libp2p_hostile import HERE, KEYS, PEER, PK, announce, make_core, question
from tests.dht.test_libp2p_messages import HELLO, PEER as NAMED, VECTORS

from shoal.dht.libp2p import ipns, messages
from shoal.dht.libp2p.messages import KadMessage, PeerMessage, RecordMessage
from shoal.dht.libp2p.replies import Asker
from shoal.dht.questions import Verb
from shoal.errors import LimitError
from shoal.peer.key import PrivateKey

Bytes = bytes | memoryview

_OWNER = PrivateKey.generate(Random(1))
_NAME, _RECORD = ipns.seal(_OWNER, b"/ipfs/x", sequence=1, ends=2e9)
_ANSWER = [PeerMessage(NAMED, [HERE.bytes], 1)]
MESSAGES = (
    *(message.encode() for message, _ in VECTORS.values()),
    announce(PEER, HERE).encode(),
    KadMessage(messages.FIND_NODE, HELLO, closer=_ANSWER).encode(),
    KadMessage(messages.GET_PROVIDERS, HELLO, closer=_ANSWER, providers=_ANSWER).encode(),
    KadMessage(messages.GET_VALUE, PK, RecordMessage(PK, KEYS[1].encode(), b"2026")).encode(),
    KadMessage(messages.PUT_VALUE, _NAME, RecordMessage(_NAME, _RECORD)).encode(),
)
RECORDS = (_RECORD,)


def node(data: Bytes) -> None:
    """A whole node: what it is asked, and what it is answered."""
    core = make_core()
    verb = (Verb.FIND_NODE, Verb.GET_VALUE, Verb.GET_PROVIDERS)[len(data) % 3]
    if len(data) % 2:
        core.read(question(verb), bytes(data), HERE, 1.0)
    else:
        with contextlib.suppress(LimitError):
            core.serve(bytes(data), Asker(PEER, HERE), 1.0)


def name(data: Bytes) -> None:
    ipns.read(_NAME, bytes(data))


def cbor(data: Bytes) -> None:
    ipns.decode_map(bytes(data))


MAPS = (ipns.EntryMessage.decode(_RECORD).data,)

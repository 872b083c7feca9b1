"""What services, callers and Grapes can be told."""

from contextlib import suppress
from random import Random

from tests.peer.keys import A

from shoal.errors import ProtocolError
from shoal.rpc import grenache, native
from shoal.rpc.native import Ask, Call, Cancel, Code, Failure, Result, Told
from shoal.rpc.record import Offer, ServiceRecord

Bytes = bytes | memoryview

_RECORD = ServiceRecord.seal(A, [Offer("fib", "1.2", 3), Offer("b", well=False)], 7)

REQUESTS = (
    grenache.encode_request("0a1b-2c", "rest:util:net", {"a": [1, 2.5, None, True, "\u20ac"]}),
    b'[7,"key"]',
)
REPLIES = (
    grenache.encode_reply("0a1b-2c", None, ["x", {"y": -1}]),
    grenache.encode_reply("r", "ERR_X", None),
    b'["r",{"code":1}]',
)
STREAMS = (b'["0a1b-2c","svc"]', b'[null,null,{"x":1}]', b'["r","svc",5]', b'{"foo":"b\xe4r"}')
GRAPE_ANSWERS = (
    b'["127.0.0.1:1337","tcp://10.0.0.1:5","x",7,"h:0"]',
    b"2",
    b'"%s"' % (b"a" * 40),
    b'{"v":"hello","k":null}',
    b"ERR_GRAPE_LOOKUP",
)
COMPRESSED = (grenache.compress(b"hello" * 50), grenache.compress(b""))
CALLS = (
    b"".join(
        native.encode(message)
        for message in (Call(1, "fib", [30, {"a": b"b"}]), Ask(2), Cancel(3), Result(4, [1.5]))
    ),
    native.encode(Failure(5, Code.BUSY, "no")) + native.encode(Told(6, _RECORD)),
)
RECORDS = (_RECORD,)


def request(data: Bytes) -> None:
    grenache.decode_request(bytes(data))


def reply(data: Bytes) -> None:
    grenache.decode_reply(bytes(data))


def stream(data: Bytes) -> None:
    """As the head of a stream, as its body, and as what stands in its place."""
    text = bytes(data).decode("utf-8", "surrogateescape")
    with suppress(ProtocolError):
        head = grenache.decode_head({"_gr": text, "_a": text, "_ar": text})
        assert head is not None
        grenache.decode_body(bytes(data), head)
    grenache.decode_refusal(bytes(data))


def grape_answer(data: Bytes) -> None:
    data = bytes(data)
    readers = (grenache.read_lookup, grenache.read_announce, grenache.read_put, grenache.read_get)
    readers[len(data) % 4](200, data)


def compressed(data: Bytes) -> None:
    grenache.decompress(bytes(data))


def calls(data: Bytes) -> None:
    """In two pieces, cut anywhere."""
    data = bytes(data)
    frames = native.Frames()
    cut = Random(len(data)).randrange(len(data) + 1)
    frames.receive(data[:cut])
    frames.receive(data[cut:])

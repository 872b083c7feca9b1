"""Good inputs to start from."""

from tests.peer.keys import A_ID, A
from tests.peer.test_id import VECTORS as PEER_ID_VECTORS
from tests.peer.test_multiaddr import VECTORS as MULTIADDR_VECTORS

from shoal.codec import multibase, multihash, varint
from shoal.codec.protobuf import Message, field
from shoal.peer.key import PrivateKey
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import PeerRecord


class Everything(Message):
    """A message with fields of all kinds, and itself inside."""

    number: int = field(1)
    delta: int = field(2, signed=True)
    flag: bool = field(3)
    blob: bytes = field(4)
    text: str = field(5)
    inner: "Everything | None" = field(6)
    numbers: list[int] = field(9)
    texts: list[str] = field(10, most=20)
    inners: list["Everything"] = field(2000)


_INNER = Everything(number=1, text="inner", numbers=[1, 300], inners=[Everything()])

VARINTS = tuple(varint.encode(number) for number in (0, 1, 127, 128, 300, 2**32, 2**63 - 1))
FRAMES = (b"\x05hello\x00\x02ab", b"\xac\x02" + b"a" * 300)
BENCODE = (
    b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
    b"d1:ad2:idd1:ali1ei-22ei0eee6:target20:mnopqrstuvwxyz123456e1:v4:SH01e",
    b"li1eli-5e0:lleedeee",
    b"d4:infod6:lengthi1234567890123e4:name4:file12:piece lengthi16384e6:pieces3:abcee",
)
MESSAGES = (
    Everything(2**64 - 1, -1, True, b"blob", "text", _INNER, [1, 2], ["a", "b"]).encode(),
    Everything(inner=Everything(inner=_INNER), inners=[_INNER, Everything(delta=5)]).encode(),
    bytes.fromhex("a006ff01a1060011223344556677a20603616263a506001122334a03010203"),
)
MULTIBASE = tuple(multibase.encode(b"yes mani !", base).encode() for base in multibase._BASES)
MULTIHASHES = tuple(multihash.digest(code, b"data") for code in multihash._HASHES)
PUBLIC_KEYS = tuple(bytes.fromhex(key) for key, _ in PEER_ID_VECTORS)
PRIVATE_KEYS = (A.encode(), PrivateKey("secp256k1", b"\1" * 32).encode())
PEER_IDS = (A_ID.bytes, multihash.sha256(b""))
PEER_ID_TEXTS = (str(A_ID).encode(), A_ID.cid().encode(), A_ID.cid("base36").encode())
MULTIADDRS = tuple(bytes.fromhex(data) for data in MULTIADDR_VECTORS.values())
MULTIADDR_TEXTS = tuple(text.encode() for text in MULTIADDR_VECTORS)
RECORDS = (PeerRecord.seal(A, [Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")], 1),)

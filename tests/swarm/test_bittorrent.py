"""The wire core speaks the BEPs, and no bytes of a peer do harm."""

import contextlib
import random

import pytest
from hypothesis import given, settings, strategies as st
from tests.swarm.contents import PIECE as PIECE_LENGTH
from tests.swarm.pairs import Cable, Node, run, torrent_of

from shoal.errors import ProtocolError
from shoal.swarm.allowed import allowed_fast
from shoal.swarm.bittorrent import EARLY_MAX, MESSAGE_MAX, PeerWire
from shoal.swarm.extensions import METADATA_COPIES
from shoal.swarm.merkle import HashRequest
from shoal.swarm.messages import (
    BITFIELD,
    BLOCK_HEADER,
    EXTENDED,
    HANDSHAKE,
    HASH_REQUEST,
    HAVE,
    HAVE_ALL,
    INTERESTED,
    NUMBERS,
    ONE,
    PIECE,
    REQUEST,
    THREE,
    Hello,
    encode_handshake,
    encode_message,
    encode_range,
)  # fmt: skip
from shoal.swarm.serving import QUEUE_MAX, REQUEST_MAX

THEIR_ID = b"-YY0000-abcdefghijkl"


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("knows", [True, False])
def test_a_content_passes_from_peer_to_peer(version, knows):
    torrent = torrent_of(300_000, version)
    seed, leech = Node(torrent, True, 1), Node(torrent, False, 2, knows=knows)
    assert run([leech], [Cable(leech, seed)], 30) < 5
    assert leech.complete


@pytest.mark.parametrize("step", [1, 7, 1000, 20_000])
def test_bytes_in_any_portions_give_the_same(step):
    torrent = torrent_of(70_000, "hybrid")
    seed, leech = Node(torrent, True, 1), Node(torrent, False, 2, knows=False)
    run([leech], [Cable(leech, seed, step=step)], 30)
    assert leech.complete


def test_a_v2_magnet_gets_its_piece_layers_from_a_peer():
    torrent = torrent_of(1_500_000, "v2", 16384)
    seed, leech = Node(torrent, True, 1), Node(torrent, False, 2, knows=False)
    run([leech], [Cable(leech, seed)], 30)
    assert leech.complete
    assert leech.session.torrent.layers == torrent.layers


def test_the_allowed_fast_set_is_the_one_of_the_bep():
    known = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]
    assert allowed_fast("80.4.4.200", b"\xaa" * 20, 1313, 7) == known[:7]
    assert allowed_fast("80.4.4.200", b"\xaa" * 20, 1313, 9) == known
    assert allowed_fast("::1", b"\xaa" * 20, 1313) == []
    assert len(allowed_fast("80.4.4.200", b"\xaa" * 20, 3)) == 3


def test_the_handshake_says_which_extensions_we_speak():
    shake = encode_handshake(b"h" * 20, b"p" * 20, v2=True)
    assert len(shake) == HANDSHAKE
    assert shake[20:28].hex() == "0000000000100014"
    assert encode_handshake(b"h" * 20, b"p" * 20, v2=False)[20:28].hex() == "0000000000100004"


def test_a_libtorrent_handshake_is_understood():
    body = (
        b"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_"
        b"holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei146e1:pi7003e4:reqqi2000e"
        b"1:v18:libtorrent/2.1.1.06:yourip4:\x7f\0\0\1e"
    )
    hello = Hello.decode(memoryview(body))
    assert hello is not None
    assert hello.numbers[b"ut_metadata"] == 2
    assert (hello.queue, hello.metadata_size, hello.port) == (2000, 146, 7003)
    assert hello.client == "libtorrent/2.1.1.0"
    assert Hello.decode(memoryview(b"garbage")) is None
    assert Hello.decode(memoryview(b"d1:m3:abc4:reqqi-5ee")).queue is None


class Talk:
    """A node that we send messages to by hand."""

    def __init__(self, *, seed: bool = True, version: str = "v1", knows: bool = True) -> None:
        self.node = Node(torrent_of(200_000, version), seed, knows=knows)
        self.wire = PeerWire(lambda each: self.node.session, "127.0.0.1")
        self.reasons: list[str] = []
        self.wire.shut = self.reasons.append
        self.say(encode_handshake(self.node.session.hashes[0], THEIR_ID, v2=False))
        self.heard()

    def say(self, data: bytes, now: float = 0.0) -> None:
        view = memoryview(data)
        while view:
            used = self.wire.receive(view, now)
            if not used:
                break
            view = view[used:]

    def heard(self) -> list[tuple[int, bytes]]:
        """What it wrote since: message number and body."""
        due = self.wire.deadline
        if due is not None and due <= 0:
            self.wire.tick(0.0)
        data = b"".join(bytes(part) for part in self.wire.out)
        self.wire.out.clear()
        if data.startswith(b"\x13"):
            data = data[HANDSHAKE:]
        found = []
        while data:
            length = int.from_bytes(data[:4], "big")
            found.append((data[4], data[5 : 4 + length]))
            data = data[4 + length :]
        return found


def request(piece: int, begin: int, length: int) -> bytes:
    return THREE.pack(13, REQUEST, piece, begin, length)


def test_a_seed_serves_what_it_is_asked_for():
    talk = Talk()
    talk.say(encode_message(INTERESTED) + request(1, 100, 50))
    kinds = dict(talk.heard())
    assert kinds[1] == b""  # unchoked at once: there was a free place
    assert kinds[PIECE][8:] == bytes(talk.node.data[PIECE_LENGTH + 100 : PIECE_LENGTH + 150])


@pytest.mark.parametrize(
    "wrong", [(0, 0, 0), (99, 0, 100), (0, PIECE_LENGTH, 1), (0, 0, REQUEST_MAX + 1), (6, 3392, 1)]
)
def test_an_impossible_request_is_rejected(wrong):
    talk = Talk()
    talk.say(encode_message(INTERESTED) + request(*wrong))
    assert [kind for kind, _ in talk.heard()] == [1, 16]


def test_a_choked_peer_gets_only_what_it_is_granted():
    talk = Talk()
    granted = talk.wire.remote.granted
    other = next(piece for piece in range(7) if piece not in granted)
    talk.say(request(other, 0, 10) + request(next(iter(granted)), 0, 10))
    assert sorted(kind for kind, _ in talk.heard()) == [PIECE, 16]


def test_a_flood_of_requests_is_bounded():
    talk = Talk()
    talk.wire.pause_writing()
    talk.say(encode_message(INTERESTED) + request(0, 0, 16384) * (QUEUE_MAX + 50))
    assert len(talk.wire.remote.uploads) == QUEUE_MAX
    assert sum(kind == 16 for kind, _ in talk.heard()) == 50


def test_a_cancelled_request_is_rejected_and_not_served():
    talk = Talk()
    talk.wire.pause_writing()
    talk.say(encode_message(INTERESTED) + request(0, 0, 16384) + request(1, 0, 16384))
    talk.say(THREE.pack(13, 8, 0, 0, 16384))
    talk.wire.resume_writing()
    talk.wire.tick(0.0)
    kinds = [kind for kind, _ in talk.heard()]
    assert kinds.count(PIECE) == 1
    assert kinds.count(16) == 1


BAD = {
    "a message that is too long": (MESSAGE_MAX + 1).to_bytes(4, "big") + b"\5",
    "have out of range": ONE.pack(5, HAVE, 7),
    "a bitfield of a wrong length": encode_message(BITFIELD, b"\0\0"),
    "payload on interested": encode_message(INTERESTED, b"x"),
    "a have that is cut short": encode_message(HAVE, b"\0\0"),
    "an extended message without a number": encode_message(EXTENDED),
    "metadata that is no dictionary": encode_message(EXTENDED, b"\2i5e"),
    "metadata without a type": encode_message(EXTENDED, b"\2de"),
    "a hash request that is too short": encode_message(HASH_REQUEST, b"\0" * 47),
    "a block that is too long": BLOCK_HEADER.pack(10 + REQUEST_MAX, PIECE, 0, 0),
    "hashes that nobody asked for": encode_message(
        22, encode_range(HashRequest(bytes(32), 0, 0, 2, 0)), bytes(64)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_the_rules_is_a_protocol_error(case):
    talk = Talk(seed=False)
    with pytest.raises(ProtocolError):
        talk.say(BAD[case])


def test_messages_of_unknown_extensions_are_passed_over():
    talk = Talk()
    talk.say(encode_message(99, b"abc") + encode_message(EXTENDED, b"\x55abc") + bytes(4))
    talk.say(encode_message(EXTENDED, b"\0garbage") + encode_message(9, b"\x1a\xe1"))
    assert talk.heard() == []


def test_a_wrong_or_foreign_handshake_is_refused():
    talk = Talk()
    for shake in (b"GET / HTTP/1.1\r\n" + bytes(60), b"\x13BitTorrent protoxxx" + bytes(48)):
        with pytest.raises(ProtocolError):
            PeerWire(lambda each: None, "").receive(memoryview(shake), 0.0)
    ours = talk.node.session
    foreign = encode_handshake(b"x" * 20, THEIR_ID, v2=False)
    with pytest.raises(ProtocolError, match="do not have"):
        PeerWire(lambda each: None, "").receive(memoryview(foreign), 0.0)
    same = encode_handshake(ours.hashes[0], ours.peer_id, v2=False)
    with pytest.raises(ProtocolError, match="ourselves"):
        PeerWire(lambda each: ours, "").receive(memoryview(same), 0.0)


def test_either_hash_of_a_hybrid_is_accepted_in_the_answer():
    node = Node(torrent_of(200_000, "hybrid"), True)
    first, second = node.session.hashes
    wire = PeerWire(lambda each: None, "", session=node.session, info_hash=first)
    answer = encode_handshake(second, THEIR_ID, v2=False)
    assert wire.receive(memoryview(answer), 0.0) == HANDSHAKE


def test_blocks_that_nobody_asked_for_end_the_connection():
    talk = Talk(seed=False)
    block = BLOCK_HEADER.pack(9 + 16384, PIECE, 0, 0) + bytes(16384)
    with pytest.raises(ProtocolError):
        talk.say(block * 300)
    assert talk.node.data == bytes(200_000)


def test_a_block_of_another_length_than_asked_is_refused():
    talk = Talk(seed=False)
    talk.say(encode_message(HAVE_ALL) + encode_message(1))
    piece, begin, _ = NUMBERS.unpack(next(body for kind, body in talk.heard() if kind == REQUEST))
    with pytest.raises(ProtocolError, match="length"):
        talk.say(BLOCK_HEADER.pack(9 + 100, PIECE, piece, begin) + bytes(100))


def test_early_messages_are_bounded():
    talk = Talk(seed=False, knows=False)
    with pytest.raises(ProtocolError, match="before the metadata"):
        talk.say(ONE.pack(5, HAVE, 1) * (EARLY_MAX + 1))


@pytest.mark.parametrize("size", [1 << 40, (32 << 20) + 1])
def test_a_metadata_bomb_is_refused(size):
    talk = Talk(seed=False, knows=False)
    hello = Hello({b"ut_metadata": 3}, metadata_size=size)
    with pytest.raises(ProtocolError):
        talk.say(encode_message(EXTENDED, b"\0", hello.encode()))


def test_wrong_metadata_is_refused_and_the_next_peer_asked():
    torrent = torrent_of(100_000)
    leech = Node(torrent, False, 2, knows=False)
    wire = PeerWire(lambda each: leech.session, "127.0.0.1")
    wire.receive(memoryview(encode_handshake(leech.session.hashes[0], THEIR_ID, v2=False)), 0.0)
    hello = Hello({b"ut_metadata": 3}, metadata_size=100)
    wire.receive(memoryview(encode_message(EXTENDED, b"\0", hello.encode())), 0.0)
    forged = b"d8:msg_typei1e5:piecei0e10:total_sizei100ee" + bytes(100)
    with pytest.raises(ProtocolError, match="another content"):
        wire.receive(memoryview(encode_message(EXTENDED, b"\2", forged)), 0.0)
    wire.closed(None)
    seed = Node(torrent, True, 1)
    run([leech], [Cable(leech, seed)], 30)
    assert leech.complete


def test_metadata_is_not_sent_without_end():
    talk = Talk()
    talk.say(encode_message(EXTENDED, b"\0", Hello({b"ut_metadata": 3}).encode()))
    ask = encode_message(EXTENDED, b"\2d8:msg_typei0e5:piecei0ee")
    for _ in range(100):
        talk.say(ask)
    answers = [body for kind, body in talk.heard() if b"msg_typei1e" in body]
    assert 1 < len(answers) <= 2 * METADATA_COPIES + 2


def test_silence_is_broken_by_a_keep_alive():
    talk = Talk()
    due = talk.wire.deadline
    assert due is not None
    talk.wire.tick(due)
    assert [bytes(part) for part in talk.wire.out] == [bytes(4)]


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_raises_nothing_but_protocol_errors(data, knows):
    talk = Talk(seed=knows, knows=knows)
    try:
        talk.say(data, 1.0)
    except ProtocolError:
        return
    talk.heard()


@pytest.mark.slow
def test_damaged_conversations_raise_nothing_but_protocol_errors():
    rng = random.Random(7)
    good = [
        encode_message(HAVE_ALL), encode_message(1), encode_message(INTERESTED), request(0, 0, 99),
        ONE.pack(5, HAVE, 3), ONE.pack(5, 17, 3), THREE.pack(13, 16, 0, 0, 16384),
        encode_message(EXTENDED, b"\0", Hello({b"ut_metadata": 3}, 250, 5000).encode()),
        BLOCK_HEADER.pack(9 + 50, PIECE, 0, 0) + bytes(50),
        encode_message(EXTENDED, b"\2d8:msg_typei0e5:piecei0ee"),
        encode_message(HASH_REQUEST, encode_range(HashRequest(bytes(32), 1, 0, 2, 0))),
    ]  # fmt: skip
    read = 0
    for _ in range(2000):
        talk = Talk(seed=rng.random() < 0.5, version="hybrid")
        stream = bytearray(b"".join(rng.choices(good, k=8)))
        for _ in range(rng.randrange(4)):
            stream[rng.randrange(len(stream))] = rng.randrange(256)
        with contextlib.suppress(ProtocolError):
            talk.say(bytes(stream))
            read += 1
    assert 0 < read < 2000  # some damage is a breach, some is not seen

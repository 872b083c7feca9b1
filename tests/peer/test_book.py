"""The book forgets in time, and a flood of peers does not wash away the good ones."""

from tests.peer.keys import A_ID, B_ID, A

from shoal.codec import multihash
from shoal.peer import book as book_module
from shoal.peer.book import CONFIRMED, FOR_EVER, HEARSAY, SCORE_HALF_LIFE, SWEEP, Book
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import PeerRecord

HERE = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")
THERE = Multiaddr.parse("/ip4/127.0.0.1/tcp/2")


def stranger(number: int) -> PeerId:
    return PeerId(multihash.sha256(number.to_bytes(8)))


def test_an_address_expires() -> None:
    book = Book()
    book.add(A_ID, [HERE], now=0)
    book.add(A_ID, [THERE], now=0, lifetime=CONFIRMED)
    assert book.addresses(A_ID, now=1) == [THERE, HERE]
    assert book.addresses(A_ID, now=HEARSAY) == [THERE]
    assert book.addresses(A_ID, now=CONFIRMED) == []


def test_hearsay_does_not_shorten_the_life_of_an_address() -> None:
    book = Book()
    book.add(A_ID, [HERE], now=0, lifetime=CONFIRMED)
    book.add(A_ID, [HERE], now=1)
    assert book.addresses(A_ID, now=CONFIRMED - 1) == [HERE]


def test_what_has_expired_is_forgotten_when_the_deadline_comes() -> None:
    book = Book()
    assert book.deadline is None
    book.add(A_ID, [HERE], now=0)
    book.add(B_ID, [HERE], now=0, lifetime=FOR_EVER)
    now = 0.0
    while now < HEARSAY + SWEEP:
        book.tick(now)
        assert book.deadline is not None
        now = book.deadline
    assert A_ID not in book
    assert B_ID in book
    book.forget(B_ID, HERE)
    book.tick(now + SWEEP)
    assert len(book) == 0
    assert book.deadline is None


def test_an_address_names_its_own_peer_or_nobody() -> None:
    book = Book()
    book.add(A_ID, [HERE.with_peer(A_ID), THERE.with_peer(B_ID)], now=0)
    assert book.addresses(A_ID, now=0) == [HERE]
    book.add(B_ID, [THERE.with_peer(A_ID)], now=0)
    assert B_ID not in book


def test_a_relayed_address_keeps_the_name_of_its_relay() -> None:
    book = Book()
    relayed = HERE.with_peer(B_ID) / "p2p-circuit"
    book.add(A_ID, [relayed.with_peer(A_ID)], now=0)
    assert book.addresses(A_ID, now=0) == [relayed]


def test_an_address_where_another_answered_is_taken_out() -> None:
    book = Book()
    book.add(A_ID, [HERE, THERE], now=0)
    book.forget(A_ID, HERE.with_peer(A_ID))
    book.forget(B_ID, HERE)
    assert book.addresses(A_ID, now=0) == [THERE]
    assert book.addresses(B_ID, now=0) == []


def test_the_addresses_of_a_peer_are_bounded_and_the_lasting_ones_stay() -> None:
    book = Book(addresses_max=3)
    book.add(A_ID, [HERE], now=0, lifetime=FOR_EVER)
    for port in range(100):
        book.add(A_ID, [Multiaddr.of("127.0.0.1", port)], now=port)
    assert len(book.addresses(A_ID, now=100)) == 3
    assert HERE in book.addresses(A_ID, now=100)


def test_a_flood_of_strangers_leaves_held_good_and_lasting_peers() -> None:
    book = Book(peers_max=64)
    held, good, lasting = stranger(-1 % 2**64), stranger(-2 % 2**64), stranger(-3 % 2**64)
    book.hold(held, now=0)
    book.judge(good, 5, now=0)
    book.add(lasting, [HERE], now=0, lifetime=FOR_EVER)
    for number in range(10_000):
        book.add(stranger(number), [HERE], now=1)
        assert len(book) <= 64
    assert held in book
    assert good in book
    assert lasting in book


def test_bad_peers_go_first() -> None:
    book = Book(peers_max=4)
    for number in range(4):
        book.add(stranger(number), [HERE], now=0)
    book.judge(stranger(2), -1, now=0)
    book.add(A_ID, [HERE], now=0)
    assert [number for number in range(4) if stranger(number) not in book] == [2]


def test_a_held_peer_outlives_its_addresses_until_it_is_released() -> None:
    book = Book()
    book.hold(A_ID, now=0)
    book.hold(A_ID, now=0)
    book.release(A_ID)
    book.tick(SWEEP)
    assert A_ID in book
    book.release(A_ID)
    book.release(A_ID)
    book.release(B_ID)
    book.tick(2 * SWEEP)
    assert A_ID not in book


def test_held_peers_may_exceed_the_limit() -> None:
    book = Book(peers_max=2)
    for number in range(5):
        book.hold(stranger(number), now=0)
    assert len(book) == 5


def test_a_score_halves_with_time_and_is_then_forgotten() -> None:
    book = Book()
    book.judge(A_ID, -8, now=0)
    assert book.score(A_ID, now=0) == -8
    assert book.score(A_ID, now=SCORE_HALF_LIFE) == -4
    book.judge(A_ID, 1, now=SCORE_HALF_LIFE)
    assert book.score(A_ID, now=SCORE_HALF_LIFE) == -3
    assert book.score(B_ID, now=0) == 0
    book.tick(SWEEP)
    assert A_ID in book
    book.tick(10 * SCORE_HALF_LIFE)
    assert A_ID not in book


def test_protocols_are_remembered_and_bounded() -> None:
    book = Book()
    book.set_protocols(A_ID, ["/a", "/b"], now=0)
    book.set_protocols(B_ID, ["/b"], now=0)
    assert book.protocols(A_ID) == ("/a", "/b")
    assert book.speakers("/b") == [A_ID, B_ID]
    assert book.speakers("/a") == [A_ID]
    book.set_protocols(A_ID, [f"/{number}" for number in range(1000)], now=0)
    assert len(book.protocols(A_ID)) == book_module.PROTOCOLS_MAX
    book.set_protocols(A_ID, ["/a", "/" * (book_module.PROTOCOL_MAX + 1)], now=0)
    assert book.protocols(A_ID) == ("/a",)
    assert book.protocols(stranger(1)) == ()


def test_a_signed_record_replaces_hearsay_and_older_records() -> None:
    book = Book()
    trusted = Multiaddr.parse("/ip4/127.0.0.1/tcp/3")
    book.add(A_ID, [trusted], now=0, lifetime=FOR_EVER)
    book.add(A_ID, [HERE], now=0)
    new, old = PeerRecord.seal(A, [THERE], 2), PeerRecord.seal(A, [HERE], 1)
    assert book.certify(new, now=0) == PeerRecord(A_ID, 2, (THERE,))
    assert book.addresses(A_ID, now=0) == [trusted, THERE]
    assert book.certify(old, now=0) is None
    assert book.addresses(A_ID, now=0) == [trusted, THERE]
    assert book.record(A_ID) == new
    assert book.record(B_ID) is None


def test_the_same_record_again_lengthens_its_life() -> None:
    book = Book()
    record = PeerRecord.seal(A, [HERE], 1)
    book.certify(record, now=0)
    book.certify(record, now=100)
    assert book.addresses(A_ID, now=CONFIRMED + 50) == [HERE]


def test_a_long_record_is_believed_but_not_kept() -> None:
    book = Book()
    long = [Multiaddr.parse(f"/dns/{letter * 400}/tcp/1") for letter in "abcdefghijkl"]
    assert book.certify(PeerRecord.seal(A, long, 1), now=0) is not None
    assert len(book.addresses(A_ID, now=0)) == len(long)
    assert book.record(A_ID) is None

"""The exchange gets every piece from whoever has it, and finds who lies."""

import random

import pytest

from shoal.errors import ProtocolError
from shoal.swarm.blame import LEFT_MAX
from shoal.swarm.exchange import UNASKED_MAX, Exchange
from shoal.swarm.layout import File, Layout
from shoal.swarm.pieces import BLOCK, Bitfield
from shoal.swarm.rate import Bucket, Budget
from shoal.swarm.remote import ASKED_FIRST, SNUB_FIRST, Remote, Signal

PIECE = 4 * BLOCK


class FakeLink:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.told: list[tuple[Signal, int]] = []
        self.closed = ""

    def ask(self, partial, blocks) -> None:
        self.asked += [(partial.piece, block * BLOCK, partial.length(block)) for block in blocks]

    def tell(self, signal, piece=0, begin=0, length=0) -> None:
        self.told.append((signal, piece))

    def close(self, reason) -> None:
        self.closed = reason


def make(pieces: int = 8, **more) -> Exchange:
    layout = Layout([File(("x",), pieces * PIECE)], PIECE, aligned=False)
    return Exchange(layout, random.Random(1), 0.0, **more)


def join(exchange: Exchange, *, fast: bool = True, has: Bitfield | None = None) -> Remote:
    remote = exchange.join(FakeLink(), f"10.0.0.{len(exchange.remotes)}", 0.0)
    remote.fast = fast
    exchange.has_pieces(remote, Bitfield.full(exchange.layout.count) if has is None else has)
    return remote


def answer(exchange: Exchange, remote: Remote, count: int = 10**6, byte: int = 0) -> None:
    asked, remote.link.asked = remote.link.asked[:count], remote.link.asked[count:]
    for piece, begin, length in asked:
        exchange.block(remote, piece, begin, memoryview(bytes([byte]) * length), 1.0)


def test_interest_is_shown_once_and_taken_back():
    exchange = make(2)
    remote = join(exchange)
    assert remote.link.told == [(Signal.INTERESTED, 0)]
    for piece in range(2):
        exchange.proven(piece, 0.0)
    assert remote.link.told[-1] == (Signal.NOT_INTERESTED, 0)
    assert exchange.complete


def test_requests_fill_the_pipeline_and_grow_with_it():
    exchange = make(200)
    remote = join(exchange)
    exchange.unchoked(remote, 0.0)
    assert len(remote.asked) == ASKED_FIRST
    answer(exchange, remote)
    exchange.requests.fill(remote, 1.0)
    assert len(remote.asked) == 2 * ASKED_FIRST


def test_the_peers_own_limit_on_requests_is_kept():
    exchange = make(200)
    remote = join(exchange)
    remote.queue = 5
    exchange.unchoked(remote, 0.0)
    assert len(remote.asked) == 5


def test_a_choked_peer_is_asked_only_for_allowed_pieces():
    exchange = make()
    remote = join(exchange)
    exchange.requests.fill(remote, 0.0)
    assert remote.link.asked == []
    exchange.allowed(remote, 3, 0.0)
    assert {piece for piece, _, _ in remote.link.asked} == {3}


def test_a_whole_piece_is_handed_out_to_be_proven():
    exchange = make(1)
    remote = join(exchange)
    exchange.unchoked(remote, 0.0)
    answer(exchange, remote, byte=7)
    assert [each.piece for each in exchange.finished] == [0]
    assert bytes(exchange.finished[0].data) == bytes([7]) * PIECE
    exchange.proven(0, 1.0)
    assert 0 in exchange.have
    assert exchange.partials.used == 0


def test_a_choke_frees_what_was_asked_for_others():
    exchange = make(1)
    a, b = join(exchange, fast=False), join(exchange)
    exchange.unchoked(a, 0.0)
    exchange.choked(a)
    exchange.unchoked(b, 0.0)
    assert len(b.link.asked) == 4
    answer(exchange, b)
    assert len(exchange.finished) == 1


def test_who_leaves_frees_what_was_asked():
    exchange = make(1)
    a, b = join(exchange), join(exchange)
    exchange.unchoked(a, 0.0)
    exchange.leave(a)
    exchange.leave(a)
    exchange.unchoked(b, 0.0)
    answer(exchange, b)
    assert len(exchange.finished) == 1


def test_a_block_that_two_peers_send_at_once_is_taken_once():
    exchange = make(1)
    a, b = join(exchange), join(exchange)
    exchange.unchoked(a, 0.0)
    piece, begin, length = a.link.asked[0]
    target = exchange.open_block(a, piece, begin, length, 0.5)
    assert target is not None
    target[:100] = b"a" * 100
    exchange.unchoked(b, 0.0)  # everything is asked: the end game
    assert (piece, begin, length) in b.link.asked
    exchange.block(b, piece, begin, memoryview(b"b" * length), 1.0)
    assert a.target is None  # what is still to come from the slower one is dropped
    exchange.close_block(a, 2.0)
    block = begin // BLOCK
    assert exchange.partials.get(0).senders[block] == b.key
    assert bytes(exchange.partials.get(0).buffer[begin : begin + 100]) == b"b" * 100


def test_the_end_game_cancels_at_the_others():
    exchange = make(1)
    a, b = join(exchange), join(exchange)
    exchange.unchoked(a, 0.0)
    exchange.unchoked(b, 0.0)
    answer(exchange, b, 1)
    assert [signal for signal, _ in a.link.told].count(Signal.CANCEL) == 1


def test_a_late_answer_is_no_offence_and_still_of_use():
    exchange = make(1)
    remote = join(exchange, fast=False)
    exchange.unchoked(remote, 0.0)
    exchange.choked(remote)
    answer(exchange, remote)
    assert remote.unasked == 0
    assert len(exchange.finished) == 1


def test_too_much_that_nobody_asked_for_is_an_offence():
    exchange = make()
    remote = join(exchange)
    data = memoryview(bytes(BLOCK))
    for _ in range(UNASKED_MAX // BLOCK):
        exchange.block(remote, 0, 0, data, 0.0)
    with pytest.raises(ProtocolError):
        exchange.block(remote, 0, 0, data, 0.0)


def test_a_bad_piece_from_one_peer_bans_it():
    exchange = make(1)
    remote = join(exchange)
    exchange.unchoked(remote, 0.0)
    answer(exchange, remote)
    exchange.failed(0, [b"x"] * 4, 1.0)
    assert remote.link.closed
    assert exchange.banned == {remote.address: "it sent a bad piece"}
    assert 0 in exchange.picker


def test_of_several_senders_the_one_whose_block_was_wrong_is_found():
    exchange = make(1)
    a, b, c = join(exchange), join(exchange), join(exchange)
    a.queue = b.queue = 2
    exchange.unchoked(a, 0.0)
    exchange.unchoked(b, 0.0)
    answer(exchange, a)
    answer(exchange, b)
    exchange.failed(0, [b"1", b"2", b"bad", b"4"], 1.0)
    assert not exchange.banned
    exchange.unchoked(c, 1.0)
    exchange.unchoked(a, 1.0)
    assert exchange.partials.get(0).sole == c.key  # now one peer alone answers for it
    answer(exchange, c)
    assert exchange.blamed(0)
    exchange.proven(0, 2.0, [b"1", b"2", b"3", b"4"])
    assert list(exchange.banned) == [b.address]


def test_who_sent_bad_data_and_left_is_banned_when_it_returns():
    exchange = make(1)
    a, b, c = join(exchange), join(exchange), join(exchange)
    a.queue = b.queue = 2
    exchange.unchoked(a, 0.0)
    exchange.unchoked(b, 0.0)
    answer(exchange, a)
    answer(exchange, b)
    exchange.leave(b)
    exchange.failed(0, [b"1", b"2", b"bad", b"4"], 1.0)
    exchange.unchoked(c, 1.0)
    answer(exchange, c)
    exchange.proven(0, 2.0, [b"1", b"2", b"3", b"4"])
    assert exchange.banned == {b.address: "it sent bad data"}
    with pytest.raises(ProtocolError, match="banned"):
        exchange.join(FakeLink(), b.address, 3.0)


def test_who_left_is_not_remembered_for_ever():
    exchange = make(LEFT_MAX + 8)
    for number in range(LEFT_MAX + 5):
        remote = exchange.join(FakeLink(), f"10.1.{number >> 8}.{number & 255}", 0.0)
        exchange.has_pieces(remote, Bitfield.full(exchange.layout.count))
        exchange.unchoked(remote, 0.0)
        answer(exchange, remote, 1)
        exchange.leave(remote)
    assert len(exchange._left) == LEFT_MAX


def test_a_peer_that_stops_sending_is_asked_around():
    exchange = make(1)
    a, b = join(exchange), join(exchange)
    exchange.unchoked(a, 0.0)
    exchange.tick(SNUB_FIRST + 1)
    assert a.snubs
    assert a.window() == 1
    exchange.unchoked(b, SNUB_FIRST + 1)
    answer(exchange, b)
    exchange.requests.fill(b, SNUB_FIRST + 2)  # idle again: now also what was asked of the other
    answer(exchange, b)
    assert len(exchange.finished) == 1


def test_memory_for_pieces_is_bounded():
    exchange = make(100, memory=10 * PIECE)
    remote = join(exchange)
    remote.pipeline = remote.queue = 1000
    exchange.unchoked(remote, 0.0)
    assert len(remote.asked) == 40
    assert exchange.partials.used == 10 * PIECE
    answer(exchange, remote)
    exchange.requests.fill(remote, 1.0)
    assert not remote.asked  # all of it waits to be proven
    exchange.proven(exchange.finished[0].piece, 1.0)
    assert len(remote.asked) == 4


def test_pieces_whose_senders_left_do_not_block_the_memory():
    exchange = make(8, memory=4 * PIECE)
    few = Bitfield(8)
    for piece in range(4):
        few.add(piece)
    a = join(exchange, has=few)
    exchange.unchoked(a, 0.0)
    answer(exchange, a, 3)
    exchange.leave(a)
    others = Bitfield(8)
    for piece in range(4, 8):
        others.add(piece)
    b = join(exchange, has=others)
    exchange.unchoked(b, 0.0)
    assert {piece for piece, _, _ in b.link.asked} == {4, 5, 6, 7}


def test_a_piece_too_large_for_memory_is_spilled_block_by_block():
    exchange = make(2, memory=2 * PIECE)
    remote = join(exchange)
    exchange.unchoked(remote, 0.0)
    answer(exchange, remote)
    assert len(exchange.spilled) == 8
    assert {each.data for each in exchange.finished} == {None}
    assert exchange.partials.used == 0


def test_a_download_limit_caps_what_is_asked():
    bucket = Bucket(4 * BLOCK, 0.0)
    exchange = make(100, budget=Budget([bucket]))
    remote = join(exchange)
    exchange.unchoked(remote, 0.0)
    assert len(remote.link.asked) == 4
    for second in range(1, 11):
        answer(exchange, remote)
        exchange.tick(float(second))
    assert exchange.down.total <= 11 * 4 * BLOCK


def test_a_piece_that_cannot_be_read_is_fetched_again():
    exchange = make(2, have=Bitfield.full(2))
    remote = join(exchange)
    assert not remote.link.told
    exchange.lost_piece(1)
    assert not exchange.complete
    exchange.unchoked(remote, 0.0)
    assert {piece for piece, _, _ in remote.link.asked} == {1}


def test_pieces_nobody_wants_are_not_fetched():
    exchange = make(4)
    remote = join(exchange)
    exchange.prioritize([0, 4, 0, 0])
    exchange.unchoked(remote, 0.0)
    assert {piece for piece, _, _ in remote.link.asked} == {1}
    answer(exchange, remote)
    exchange.proven(1, 1.0)
    assert exchange.complete
    assert not exchange.seeding
    exchange.prioritize([4, 4, 0, 0])
    exchange.requests.fill(remote, 2.0)
    assert {piece for piece, _, _ in remote.link.asked} == {0}


def test_a_rejected_request_goes_to_somebody_else():
    exchange = make(1)
    a, b = join(exchange), join(exchange)
    exchange.unchoked(a, 0.0)
    for piece, begin, _ in a.link.asked:
        exchange.rejected(a, piece, begin, 1.0)
    exchange.unchoked(b, 1.0)
    assert len(b.link.asked) == 4
    with pytest.raises(ProtocolError):
        exchange.rejected(a, 99, 0, 1.0)


def test_proven_pieces_are_announced_to_all_so_that_a_seed_sees_who_passes_on():
    exchange = make(2)
    seed, empty = join(exchange), join(exchange, has=Bitfield(2))
    exchange.proven(0, 1.0)
    assert (Signal.HAVE, 0) in empty.link.told
    assert (Signal.HAVE, 0) in seed.link.told


def test_copies_that_only_a_taker_has_do_not_make_a_piece_common():
    exchange = make(2)
    rider = join(exchange, has=Bitfield(2))
    exchange.has_piece(rider, 0, 0.0)
    assert exchange.picker.availability == [1, 0]
    rider.lent = exchange.credit.allowance + 1
    exchange.tick(1.0)
    exchange.has_piece(rider, 1, 1.0)
    assert exchange.picker.availability == [0, 0]
    rider.given = 100  # it does give, after all
    exchange.tick(2.0)
    exchange.leave(join(exchange, has=Bitfield(2)))
    assert exchange.picker.availability == [0, 0]  # it has everything: a seed is not counted

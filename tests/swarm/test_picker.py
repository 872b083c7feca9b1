"""The picker chooses rare pieces first, by turns of chance, and wanted ones before others."""

import random

from hypothesis import given, strategies as st

from shoal.swarm.picker import (
    COPIES_MAX,
    Order,
    Picker,
    endgame_blocks,
    file_priorities,
)
from shoal.swarm.pieces import BLOCK, Bitfield, Partial


def having(size: int, *pieces: int) -> Bitfield:
    field = Bitfield(size)
    for piece in pieces:
        field.add(piece)
    return field


def drain(picker: Picker, has: Bitfield) -> list[int]:
    order = []
    while (piece := picker.next(has)) is not None:
        picker.withdraw(piece)
        order.append(piece)
    return order


def test_rare_pieces_come_first():
    picker = Picker(4, random.Random(1))
    picker.counted([0, 1, 2], 1)
    picker.counted([0, 1], 1)
    picker.counted([0], 1)
    assert drain(picker, Bitfield.full(4)) == [3, 2, 1, 0]


def test_ties_are_broken_by_chance():
    firsts = {Picker(8, random.Random(seed)).next(Bitfield.full(8)) for seed in range(50)}
    assert len(firsts) == 8


def test_only_what_the_peer_has_is_picked():
    picker = Picker(50, random.Random(1))
    assert sorted(drain(picker, having(50, 3, 40))) == [3, 40]
    assert picker.next(having(50, 3, 40)) is None


def test_first_pieces_are_random_not_rare():
    seen = set()
    for seed in range(60):
        picker = Picker(10, random.Random(seed))
        picker.counted(range(1, 10), 1)
        seen.add(picker.next(Bitfield.full(10), at_random=True))
    assert len(seen) > 7


def test_higher_priorities_come_first_and_unwanted_never():
    picker = Picker(5, random.Random(1))
    picker.prioritize(3, 7)
    picker.prioritize(1, 0)
    picker.counted([3], 9)
    order = drain(picker, Bitfield.full(5))
    assert order[0] == 3
    assert 1 not in order
    picker.prioritize(1, 4)
    assert 1 not in picker
    picker.put_back(1)
    assert picker.next(Bitfield.full(5)) == 1


def test_a_random_first_piece_still_has_the_highest_priority():
    picker = Picker(20, random.Random(1))
    picker.prioritize(7, 7)
    assert picker.next(Bitfield.full(20), at_random=True) == 7


def test_a_stream_goes_in_order():
    picker = Picker(6, random.Random(1), Order.SEQUENTIAL)
    assert drain(picker, having(6, 1, 3, 5)) == [1, 3, 5]
    assert drain(picker, Bitfield.full(6)) == [0, 2, 4]
    picker.put_back(3)
    picker.put_back(2)
    picker.prioritize(3, 7)
    assert drain(picker, Bitfield.full(6)) == [3, 2]


def test_the_end_game_asks_the_least_asked_first_and_not_too_many():
    partial = Partial(0, 3 * BLOCK, None)
    partial.take(1, 3)
    partial.askers[0] = [1, 2]
    partial.askers[1] = list(range(10, 10 + COPIES_MAX))
    found = endgame_blocks([partial], Bitfield.full(1), 5, 9)
    assert [block for _, block in found] == [2, 0]
    assert endgame_blocks([partial], Bitfield.full(1), 1, 9) == []
    partial.sole = 1
    assert endgame_blocks([partial], Bitfield.full(1), 5, 9) == []


def test_a_piece_is_as_wanted_as_the_most_wanted_of_its_files():
    assert file_priorities([range(2), range(1, 3), range(4, 5)], [1, 7, 0], 6) == [1, 7, 7, 0, 0, 0]


@given(st.lists(st.tuples(st.sampled_from("+-wpb"), st.integers(0, 9)), max_size=60))
def test_the_rarest_waiting_piece_is_always_the_one_picked(steps):
    picker = Picker(10, random.Random(0))
    waiting = set(range(10))
    for kind, piece in steps:
        if kind in "+-":
            picker.counted([piece], 1 if kind == "+" else -1 if picker.availability[piece] else 0)
        elif kind == "w":
            picker.withdraw(piece)
            waiting.discard(piece)
        elif kind == "b":
            picker.put_back(piece)
            waiting.add(piece)
        else:
            picker.prioritize(piece, 1 + picker.availability[piece] % 7)
    assert len(picker) == len(waiting)
    order = drain(picker, Bitfield.full(10))
    rank = [(-picker.priority[piece], picker.availability[piece]) for piece in order]
    assert rank == sorted(rank)
    assert set(order) == waiting

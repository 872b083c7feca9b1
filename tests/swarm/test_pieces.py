"""Bitfields say who has what; a partial piece knows who was asked and who sent."""

import pytest
from hypothesis import given, strategies as st

from shoal.errors import ProtocolError
from shoal.swarm.pieces import BLOCK, Bitfield, Partial


def test_a_bitfield_is_most_significant_bit_first():
    has = Bitfield(10)
    assert has.add(0)
    assert has.add(9)
    assert not has.add(9)
    assert has.encode() == b"\x80\x40"
    assert list(has) == [0, 9]


def test_spare_bits_are_cleared_and_a_wrong_length_is_refused():
    assert len(Bitfield.decode(b"\xff\xff", 10)) == 10
    assert Bitfield.decode(b"\xff\xff", 10).complete
    for wrong in (b"", b"\xff", b"\xff\xff\xff"):
        with pytest.raises(ProtocolError):
            Bitfield.decode(wrong, 10)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_a_bitfield_is_a_set(ours, theirs):
    a, b = Bitfield(41), Bitfield(41)
    for piece in ours:
        a.add(piece)
    for piece in theirs:
        b.add(piece)
    assert set(a) == ours
    assert (a.common(b), a.lacks(b)) == (len(ours & theirs), len(theirs - ours))
    assert set(Bitfield.decode(a.encode(), 41)) == ours


def test_blocks_are_asked_once_and_again_when_given_up():
    partial = Partial(0, 2 * BLOCK + 5, None)
    assert [partial.length(block) for block in range(3)] == [BLOCK, BLOCK, 5]
    assert partial.take(1, 2) == [0, 1]
    assert partial.take(2, 9) == [2]
    assert partial.release(0, 1)
    assert not partial.release(0, 1)
    assert partial.take(2, 9) == [0]
    assert partial.arrived(0, 2) == []
    assert partial.left == 2


def test_the_others_who_were_asked_are_named_for_cancels():
    partial = Partial(0, BLOCK, None)
    partial.take(1, 1)
    partial.askers[0].append(2)
    assert partial.arrived(0, 2) == [1]
    assert partial.senders == [2]


def test_a_block_that_was_given_up_may_still_arrive():
    partial = Partial(0, 2 * BLOCK, None)
    partial.take(1, 1)
    partial.release(0, 1)
    assert partial.arrived(0, 1) == []
    assert partial.take(2, 9) == [1]

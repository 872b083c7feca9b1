"""Two sides with the same words agree; anybody else learns nothing."""

from random import Random

import pytest
from hypothesis import given, strategies as st

from shoal.apps.pake import Pake
from shoal.errors import ProtocolError

ALICE, BOB, EVE = b"alice", b"bob", b"eve"


def pair(ours=b"guitar-library", theirs=b"guitar-library", names=((ALICE, BOB), (ALICE, BOB))):
    receiver = Pake(ours, "/p", *names[0], is_sender=False, rng=Random(1))
    sender = Pake(theirs, "/p", *names[1], is_sender=True, rng=Random(2))
    return receiver, sender


def agree(receiver: Pake, sender: Pake) -> bool:
    receiver.receive(sender.share)
    sender.receive(receiver.share)
    assert receiver.check(sender.proof) == sender.check(receiver.proof)
    return receiver.check(sender.proof)


def test_the_same_words_make_the_same_key():
    assert agree(*pair())


def test_other_words_do_not():
    assert not agree(*pair(theirs=b"guitar-liberty"))


def test_who_stands_between_and_passes_on_the_shares_gains_nothing():
    assert not agree(*pair(names=((ALICE, EVE), (EVE, BOB))))


def test_a_proof_cannot_be_sent_back_to_who_made_it():
    receiver, sender = pair()
    assert agree(receiver, sender)
    assert not receiver.check(receiver.proof)


def test_a_share_sent_back_is_refused():
    receiver, _ = pair()
    with pytest.raises(ProtocolError):
        receiver.receive(receiver.share)


@pytest.mark.slow
@given(st.binary(max_size=40) | st.binary(min_size=33, max_size=33))
def test_garbage_raises_protocol_errors_only(data):
    receiver, _ = pair()
    try:
        receiver.receive(b"B" + data[1:] if len(data) == 33 else data)
    except ProtocolError:
        return
    assert not receiver.check(data)


def test_points_that_would_fix_the_key_are_refused():
    for y in (0, 1, 2**255 - 20):
        receiver, _ = pair()
        with pytest.raises(ProtocolError):
            receiver.receive(b"B" + y.to_bytes(32, "little"))

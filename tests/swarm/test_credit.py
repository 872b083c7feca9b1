"""Who gives nothing back is known by what it owes; a seed knows it by what is passed on."""

from shoal.swarm.credit import ALLOWANCE, Credit
from shoal.swarm.pieces import BLOCK
from shoal.swarm.remote import Remote


class FakeLink:
    """Nobody listens."""

    def ask(self, partial, blocks) -> None: ...

    def tell(self, signal, piece=0, begin=0, length=0) -> None: ...

    def close(self, reason) -> None: ...


def make(count: int = 3, pieces: int = 8) -> tuple[Credit, list[Remote], list[int]]:
    remotes = {key: Remote(key, FakeLink(), "", pieces, 0.0) for key in range(1, count + 1)}
    availability = [0] * pieces
    return Credit(remotes, availability, 2 * BLOCK), list(remotes.values()), availability


def test_everybody_may_owe_an_allowance_and_what_it_sends_pays_it_back():
    credit, (peer, *_), availability = make()
    availability[:] = [1] * 8
    for _ in range(credit.allowance // BLOCK):
        credit.sent(peer, 0, BLOCK, seeding=False)
    assert not credit.takes(peer)
    credit.sent(peer, 1, BLOCK, seeding=False)
    assert credit.takes(peer)
    peer.given += 1
    assert not credit.takes(peer)


def test_the_allowance_is_a_piece_or_more():
    assert make()[0].allowance == ALLOWANCE
    assert Credit({}, [], 1 << 20).allowance == 1 << 20


def test_what_a_seed_gives_is_not_lent():
    credit, (peer, *_), availability = make()
    availability[:] = [1] * 8
    for _ in range(100):
        credit.sent(peer, 0, BLOCK, seeding=True)
    assert not credit.takes(peer)


def test_a_rare_piece_has_to_appear_at_others():
    credit, (giver, rider, other), _ = make()
    credit.sent(giver, 0, BLOCK, seeding=True)
    credit.sent(rider, 1, BLOCK, seeding=True)
    credit.appeared(giver, 0)
    credit.appeared(rider, 1)  # that they have it themselves proves nothing
    assert credit.takes(giver)
    assert credit.takes(rider)
    credit.appeared(other, 0)
    assert not credit.takes(giver)
    assert credit.takes(rider)


def test_a_piece_that_two_got_speaks_for_neither():
    credit, (one, two, other), _ = make()
    credit.sent(one, 0, BLOCK, seeding=True)
    credit.sent(two, 0, BLOCK, seeding=True)
    credit.appeared(other, 0)
    assert (one.passed, two.passed) == (0, 0)

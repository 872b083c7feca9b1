"""What peers owe each other, and who only takes.

While we download, what we send to a peer is lent, and what it sends to us pays
it back.  Everybody may owe an ALLOWANCE, or else nobody could begin; who owes
more is a taker, and waits until nobody else wants the place.

A seed gets nothing back, but it can see whether a peer passes on: a piece that
nobody else had is entrusted to it, and must soon appear at others.  Who was
entrusted with several pieces that never appeared is a taker, too.  Only rare
pieces are evidence, so in an old swarm nobody is judged by it; peers that lie
for each other about what they have can escape it.

After Bharambe, Herley, Padmanabhan, "Analyzing and improving a BitTorrent
network's performance mechanisms" (2006), section 6 (block-level tit for tat).
"""

from collections.abc import Mapping, Sequence

from shoal.swarm.pieces import BLOCK
from shoal.swarm.remote import Remote

ALLOWANCE = 2 * BLOCK  # bytes that may be owed at least; a piece, where that is more
ENTRUSTED_LEAST = 1  # rare pieces given before a peer is judged by what it does with them
SEVERAL = 0  # no peer's key
PASSED_SHARE = 0.05  # of them that must appear at others


class Credit:
    """The accounts of one content's peers."""

    def __init__(
        self, remotes: Mapping[int, Remote], availability: Sequence[int], piece_length: int
    ) -> None:
        """`availability`: how many of the peers have each piece, seeds not counted."""
        self.allowance = max(ALLOWANCE, piece_length)
        self._remotes = remotes
        self._availability = availability
        self._entrusted: dict[int, int] = {}  # piece that was rare -> who got it from us

    def sent(self, remote: Remote, piece: int, length: int, *, seeding: bool) -> None:
        """A block goes to the peer."""
        if not seeding:
            remote.lent += length
        holder = self._entrusted.get(piece)
        if holder is None and not self._availability[piece]:
            self._entrusted[piece] = remote.key
            remote.entrusted += 1
        elif holder is not None and holder != remote.key:
            self._entrusted[piece] = SEVERAL  # who passed it on could not be told

    def appeared(self, remote: Remote, piece: int) -> None:
        """The peer has the piece: whoever was entrusted with it alone has passed it on."""
        holder = self._entrusted.get(piece)
        if holder in (None, remote.key):
            return
        del self._entrusted[piece]
        if holder in self._remotes:
            self._remotes[holder].passed += 1

    def debt(self, remote: Remote) -> int:
        return remote.lent - remote.given * BLOCK

    def takes(self, remote: Remote) -> bool:
        """It has shown that it gives nothing back."""
        if self.debt(remote) > self.allowance:
            return True
        keeps = remote.passed < PASSED_SHARE * remote.entrusted
        return remote.entrusted >= ENTRUSTED_LEAST and keeps

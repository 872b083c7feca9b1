"""Who sent bad data.

A piece is proven as a whole, and its blocks may come from several peers.  When
it fails, the hashes of its blocks are kept; the piece is fetched again from one
peer alone, and the good copy tells which block was wrong and who sent it.  One
who left meanwhile is found when it comes back: bans hold for its address.
"""

BLAMES_MAX = 64  # failed pieces remembered
LEFT_MAX = 1024  # peers remembered that gave something and left
STRIKES_MAX = 3  # pieces that failed with a peer's help before it is banned without proof


class Blame:
    """What is remembered of a piece that failed its hash, until a good copy tells who lied."""

    __slots__ = ("hashes", "senders")

    def __init__(self, senders: list[int | None], hashes: list[bytes]) -> None:
        self.senders = senders
        self.hashes = hashes  # of each bad block

    @property
    def suspects(self) -> list[int]:
        return list(dict.fromkeys(sender for sender in self.senders if sender is not None))

    def guilty(self, good: list[bytes]) -> list[int]:
        """Who sent blocks that differ from the good ones."""
        found = [
            sender
            for sender, bad, fine in zip(self.senders, self.hashes, good, strict=True)
            if sender is not None and bad != fine
        ]
        return list(dict.fromkeys(found))

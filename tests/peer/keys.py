"""The two identities of all vectors, and one slow key made once."""

import random

from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey


class Fixed(random.Random):
    """Chance that always draws the same byte, as the vectors do."""

    def __init__(self, byte: int) -> None:
        super().__init__(byte)
        self.byte = byte

    def randbytes(self, n: int) -> bytes:
        return bytes((self.byte,)) * n


A = PrivateKey.generate(Fixed(1))
B = PrivateKey.generate(Fixed(2))
A_ID = PeerId.of(A.public)
B_ID = PeerId.of(B.public)
A_PUBLIC = bytes.fromhex("080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
A_TEXT = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
B_TEXT = "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq"

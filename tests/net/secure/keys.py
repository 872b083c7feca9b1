"""Identities and chance whose bytes are known."""

import random

from shoal.peer.key import PrivateKey


class Scripted(random.Random):
    """Chance that gives the bytes it was told to."""

    def __new__(cls, *_: bytes) -> "Scripted":
        return super().__new__(cls)

    def __init__(self, *values: bytes) -> None:
        self.values = list(values)

    def randbytes(self, n: int) -> bytes:
        value = self.values.pop(0)
        assert len(value) == n
        return value


def identity(seed: int) -> PrivateKey:
    return PrivateKey.generate(Scripted(bytes([seed]) * 32))


A = identity(1)
B = identity(2)

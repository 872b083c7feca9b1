"""Inputs that are nearly right: seeds, cut, bent and joined by a seeded chance.

A decoder refuses noise at its first byte, so noise tests little.  What it
accepts becomes a seed too: that is how mutations add up and go deep.
"""

from collections.abc import Callable, Iterator
from random import Random

POOL_MAX = 200  # seeds at one time
SEED_MAX = 4096  # bytes of an accepted input that becomes a seed
EDGES = (0x00, 0x01, 0x20, 0x2D, 0x30, 0x39, 0x3A, 0x65, 0x7F, 0x80, 0xFE, 0xFF)  # limits, digits

Mutation = Callable[[Random, bytearray, list[bytes]], None]


def below(rng: Random, count: int) -> int:
    return int(rng.random() * count)  # twice as fast as randrange


def flip_a_bit(rng: Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[below(rng, len(data))] ^= 1 << below(rng, 8)


def set_a_byte(rng: Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[below(rng, len(data))] = below(rng, 256)


def set_an_edge(rng: Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[below(rng, len(data))] = EDGES[below(rng, len(EDGES))]


def step_a_byte(rng: Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        at = below(rng, len(data))
        data[at] = (data[at] + (1 if rng.random() < 0.5 else 255)) % 256


def insert_noise(rng: Random, data: bytearray, _: list[bytes]) -> None:
    at = below(rng, len(data) + 1)
    data[at:at] = rng.randbytes(1 + below(rng, 8))


def delete_a_run(rng: Random, data: bytearray, _: list[bytes]) -> None:
    at = below(rng, len(data) + 1)
    del data[at : at + 1 + below(rng, 8)]


def cut_the_end(rng: Random, data: bytearray, _: list[bytes]) -> None:
    del data[below(rng, len(data) + 1) :]


def repeat_a_run(rng: Random, data: bytearray, _: list[bytes]) -> None:
    at = below(rng, len(data) + 1)
    run = data[at : at + 1 + below(rng, 32)]
    data[at:at] = run * (1 + below(rng, 8))


def set_a_number(rng: Random, data: bytearray, _: list[bytes]) -> None:
    """A length field becomes huge, or just too long."""
    at = below(rng, len(data) + 1)
    size = (1, 2, 4, 8)[below(rng, 4)]
    data[at : at + size] = ((1 << below(rng, 8 * size)) - below(rng, 2)).to_bytes(size)


def splice_another(rng: Random, data: bytearray, pool: list[bytes]) -> None:
    other = pool[below(rng, len(pool))]
    data[below(rng, len(data) + 1) :] = other[below(rng, len(other) + 1) :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_a_bit,
    set_a_byte,
    set_an_edge,
    step_a_byte,
    insert_noise,
    delete_a_run,
    cut_the_end,
    repeat_a_run,
    set_a_number,
    splice_another,
)


class Inputs:
    """An endless, repeatable stream of inputs; tell it which ones were accepted."""

    def __init__(self, seed: str, seeds: tuple[bytes, ...]) -> None:
        self.rng = Random(seed)
        self.pool = [b"", *seeds]
        self._kept = len(self.pool)  # the first seeds stay for ever

    def __iter__(self) -> Iterator[bytes]:
        while True:
            data = bytearray(self.pool[below(self.rng, len(self.pool))])
            for _ in range(1 + below(self.rng, 3)):
                MUTATIONS[below(self.rng, len(MUTATIONS))](self.rng, data, self.pool)
            yield bytes(data)

    def accepted(self, data: bytes) -> None:
        if len(data) > SEED_MAX:
            return
        if len(self.pool) < POOL_MAX:
            self.pool.append(data)
        else:
            kept = self._kept
            self.pool[kept + below(self.rng, len(self.pool) - kept)] = data

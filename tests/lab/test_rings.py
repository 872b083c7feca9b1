"""Chord's lookups ask half of log2 n nodes, and meet the owner."""

import pytest

from shoal.lab.rings import chord


def test_questions_on_the_ring_are_as_published() -> None:
    row = chord(1, size=1000, lookups=100)
    assert row["questions"] == pytest.approx(5, rel=0.1)
    assert row["found"] == 1.0


def test_the_same_seed_gives_the_same_ring() -> None:
    assert chord(2, size=50, lookups=10) == chord(2, size=50, lookups=10)

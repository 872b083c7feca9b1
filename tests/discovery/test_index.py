"""A central index remembers who has what, forgets the silent and is never filled by one host."""

import random

from shoal.discovery.index import Index

KEY = b"k" * 20


def add(index: Index, host: str, port: int, *, complete: bool = False, now: float = 0.0) -> bool:
    return index.add(KEY, (host, port), identity=b"", complete=complete, now=now)


def test_it_names_the_others_and_not_the_asker() -> None:
    index = Index()
    for port in (1, 2, 3):
        add(index, "10.0.0.1", port, complete=port == 3)
    rng = random.Random(1)
    assert index.owners(KEY, 9, rng, but=("10.0.0.1", 1)) == [("10.0.0.1", 2), ("10.0.0.1", 3)]
    assert index.owners(KEY, 9, rng, but=("10.0.0.1", 3), complete=False) == [
        ("10.0.0.1", 1),
        ("10.0.0.1", 2),
    ]
    assert len(index.owners(KEY, 1, rng, but=("", 0))) == 1
    assert index.owners(b"other", 1, rng, but=("", 0)) == []


def test_it_counts_who_finished_once() -> None:
    index = Index()
    add(index, "10.0.0.1", 1)
    add(index, "10.0.0.1", 1, complete=True)
    index.finished(KEY)
    entry = index.entries[KEY]
    assert (entry.complete, entry.incomplete, entry.downloaded) == (1, 0, 1)
    index.remove(KEY, ("10.0.0.1", 1))
    assert (entry.complete, entry.incomplete) == (0, 0)


def test_the_silent_are_forgotten_and_the_others_stay() -> None:
    index = Index(life=10)
    add(index, "10.0.0.1", 1, now=0)
    add(index, "10.0.0.2", 1, now=0)
    add(index, "10.0.0.1", 1, now=8)
    index.expire(11)
    assert list(index.entries[KEY].owners) == [("10.0.0.1", 1)]
    index.expire(30)
    assert index.entries == {}
    assert index._hosts == {}


def test_every_limit_holds() -> None:
    index = Index(keys_max=1, owners_max=2, keys_per_host_max=1)
    assert add(index, "10.0.0.1", 1)
    assert not add(index, "10.0.0.1", 2)  # one host has had its share
    assert add(index, "10.0.0.2", 1)
    assert not add(index, "10.0.0.3", 1)  # the key has its owners
    assert not index.add(b"other", ("10.0.0.4", 1), identity=b"", complete=True, now=0)
    assert add(index, "10.0.0.2", 1, now=5)  # who is in may always say so again

"""A store owes nobody space, and what we publish is stored anew in time."""

import random

from hypothesis import given, strategies as st

from shoal.dht.store import RECORD_OVERHEAD, Publications, Store


def test_a_record_lives_until_it_expires() -> None:
    store = Store()
    assert store.put(b"key", "a", 1, now=0.0, lifetime=10.0)
    assert store.put(b"key", "b", 2, now=5.0, lifetime=10.0)
    assert [record.value for record in store.get(b"key", 9.0).values()] == [1, 2]
    assert [record.value for record in store.get(b"key", 10.0).values()] == [2]
    assert store.get(b"key", 15.0) == {}
    assert (len(store), store.size) == (0, 0)


def test_storing_again_renews() -> None:
    store = Store()
    store.put(b"key", "a", 1, now=0.0, lifetime=10.0)
    store.put(b"key", "a", 2, now=8.0, lifetime=10.0)
    assert [record.value for record in store.get(b"key", 17.0).values()] == [2]
    store.remove(b"key", "a")
    store.remove(b"key", "a")
    assert len(store) == 0


def test_a_crowded_key_loses_its_oldest_record() -> None:
    store = Store(per_key_max=3)
    for number in range(5):
        assert store.put(b"key", number, number, now=float(number), lifetime=100.0)
    assert list(store.get(b"key", 5.0)) == [2, 3, 4]


def test_keys_are_limited() -> None:
    store = Store(keys_max=2)
    assert store.put(b"1", "a", 0, now=0.0, lifetime=10.0)
    assert store.put(b"2", "a", 0, now=0.0, lifetime=10.0)
    assert not store.put(b"3", "a", 0, now=0.0, lifetime=10.0)
    assert store.put(b"2", "b", 0, now=0.0, lifetime=10.0)
    assert store.put(b"3", "a", 0, now=10.0, lifetime=10.0)


def test_bytes_are_limited() -> None:
    store = Store(bytes_max=2 * (RECORD_OVERHEAD + 100))
    assert store.put(b"1", "a", 0, now=0.0, lifetime=10.0, size=100)
    assert store.put(b"2", "a", 0, now=0.0, lifetime=10.0, size=100)
    assert not store.put(b"3", "a", 0, now=0.0, lifetime=10.0, size=1)
    assert not store.put(b"2", "a", 0, now=0.0, lifetime=10.0, size=101)
    assert store.put(b"2", "a", 0, now=0.0, lifetime=10.0, size=90)


def test_one_address_group_owns_so_many_records() -> None:
    store = Store(per_group_max=3)
    kept = [
        store.put(b"%d" % key, "a", 0, now=0.0, lifetime=10.0, group="evil") for key in range(9)
    ]
    assert kept == [True] * 3 + [False] * 6
    assert store.put(b"0", "a", 1, now=0.0, lifetime=10.0, group="evil")  # renewing is allowed
    assert store.put(b"x", "a", 1, now=0.0, lifetime=10.0, group="good")


@given(seed=st.integers(0, 2**16))
def test_the_books_balance_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    store = Store(keys_max=5, per_key_max=3, per_group_max=6, bytes_max=4000)
    now = 0.0
    for _ in range(200):
        now += rng.random()
        key, name = b"%d" % rng.randrange(8), rng.randrange(5)
        if rng.random() < 0.2:
            store.remove(key, name)
        else:
            store.put(
                key, name, 0, now, rng.random() * 9, size=rng.randrange(200), group=rng.randrange(3)
            )
        records = [record for records in store._keys.values() for record in records.values()]
        assert store.size == sum(record.size for record in records) <= 4000
        assert sum(store._groups.values()) == len(records)
        assert len(store) <= 5


def test_renewing_for_ever_takes_no_more_memory() -> None:
    store = Store()
    for number in range(20_000):
        store.put(b"key", "a", number, now=number / 1000, lifetime=1e9)
    assert len(store._expiry) < 4096


def test_publications_come_due_and_again() -> None:
    ours = Publications()
    assert ours.deadline is None
    ours.add(b"a", 1, now=0.0, interval=10.0)
    ours.add(b"b", 2, now=5.0, interval=10.0)
    assert ours.deadline == 10.0
    assert [publication.key for publication in ours.due(10.0)] == [b"a"]
    assert ours.deadline == 15.0
    ours.hurry(11.0)  # our address has changed
    assert [publication.key for publication in ours.due(11.0)] == [b"a", b"b"]
    ours.remove(b"a")
    ours.remove(b"a")
    assert len(ours) == 1

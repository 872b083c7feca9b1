"""A table keeps who lives, forgets who is silent, and belongs to no single owner."""

import random

from hypothesis import given, strategies as st

from shoal.dht.table import FAILURES_MAX, Contact, Table

K = 8


def key(position: int) -> bytes:
    return position.to_bytes(20)


def contact(position: int, address: object = None, group: object = None) -> Contact:
    return Contact(position, key(position), address or position, group)


def filled(seed: int, size: int = 500) -> tuple[Table, list[Contact]]:
    rng = random.Random(seed)
    table = Table(rng.getrandbits(160), k=K)
    contacts = [contact(rng.getrandbits(160)) for _ in range(size)]
    for known in contacts:
        table.answered(known, 0.0)
    return table, contacts


@given(seed=st.integers(0, 2**16), target=st.integers(0, 2**160 - 1), count=st.integers(1, 40))
def test_closest_is_what_sorting_everybody_gives(seed: int, target: int, count: int) -> None:
    table, _ = filled(seed, 100)
    expected = sorted(table, key=lambda known: known.position ^ target)[:count]
    found = sorted(table.closest(target, count), key=lambda known: known.position ^ target)
    assert found == expected


def test_closest_to_ourselves_and_to_a_full_bucket() -> None:
    table, _ = filled(1)
    own = sorted(table, key=lambda known: known.position ^ table.own)[:K]
    assert sorted(table.closest(table.own, K), key=lambda known: known.position ^ table.own) == own
    opposite = table.own ^ (1 << 159)
    assert table.closest(opposite, K) == table.full(160)
    assert table.full(1) is None


def test_a_bucket_holds_k_and_the_table_log_n() -> None:
    table, contacts = filled(2)
    assert K * 5 <= len(table) <= K * 10
    assert len(table) < len(contacts)


def test_those_who_live_keep_their_place_and_newcomers_are_spares() -> None:
    table = Table(0, k=K)
    elders = [contact(2**159 + n) for n in range(K)]
    for known in elders:
        assert table.answered(known, 0.0)
    assert not table.answered(contact(2**159 + 99), 1.0)
    assert list(table) == elders


def test_the_first_silence_lets_the_latest_spare_in() -> None:
    table = Table(0, k=K)
    for number in range(K + 3):
        table.answered(contact(2**159 + number), float(number))
    table.failed(2**159)
    assert table.find(2**159) is None
    assert table.find(2**159 + K + 2) is not None
    assert len(table) == K


def test_who_has_no_successor_gets_three_chances_and_is_named_to_nobody() -> None:
    table = Table(0, k=K)
    table.answered(contact(5), 0.0)
    for _ in range(FAILURES_MAX - 1):
        table.failed(5)
    assert len(table) == 1
    assert table.closest(5, K) == []
    table.answered(contact(5), 1.0)
    assert [known.position for known in table.closest(5, K)] == [5]
    for _ in range(FAILURES_MAX):
        table.failed(5)
    assert len(table) == 0


def test_nobody_takes_over_the_id_of_a_peer_that_lives() -> None:
    table = Table(0, k=K)
    table.answered(contact(5, "home"), 0.0)
    assert not table.answered(contact(5, "thief"), 1.0)
    assert table.find("thief") is None
    table.failed("home")
    assert table.answered(contact(5, "moved"), 2.0)
    assert table.find("home") is None


def test_one_address_has_one_place() -> None:
    table = Table(0, k=K)
    for position in range(1, 50):
        table.answered(contact(position, "one"), 0.0)
    assert [known.position for known in table] == [49]


def test_an_eclipse_from_one_group_gets_at_most_a_quarter_of_any_bucket() -> None:
    table = Table(0, k=K)
    rng = random.Random(3)
    for _ in range(5000):
        table.answered(contact(rng.getrandbits(rng.randint(1, 160)), group="10.0"), 0.0)
    assert 0 < len(table) <= K  # one bucketful in all
    for index, bucket in table._buckets.items():
        assert len(bucket.entries) <= K // 4, index
        assert len(bucket.spares) <= K // 4


def test_an_eclipse_cannot_enter_by_making_others_fail() -> None:
    table = Table(0, k=K)
    honest = [contact(2**159 + n, group=f"group {n}") for n in range(K)]
    for known in honest:
        table.answered(known, 0.0)
    for number in range(100):
        table.answered(contact(2**159 + 1000 + number, group="evil"), 0.0)
    for known in honest:
        table.failed(known.address)
    assert sum(known.group == "evil" for known in table) <= K // 4


def test_spares_are_limited() -> None:
    table = Table(0, k=K)
    for number in range(1000):
        table.answered(contact(2**159 + number), 0.0)
    assert len(table._buckets[160].spares) == K


def test_silent_and_failing_contacts_are_questionable() -> None:
    table = Table(0, k=K)
    table.answered(contact(1), 0.0)
    table.answered(contact(2), 500.0)
    table.answered(contact(4), 950.0)
    table.failed(4)
    assert [known.position for known in table.questionable(1000.0)] == [1, 4]
    assert table.heard(1, key(1), 1000.0)
    assert not table.heard(1, key(77), 1000.0)  # another id at a known address proves nothing
    assert [known.position for known in table.questionable(1000.0)] == [4]


def test_idle_buckets_and_targets_inside_them() -> None:
    table, _ = filled(4)
    rng = random.Random(5)
    for index in table.idle(1.0):
        target = table.inside(index, rng)
        assert (target ^ table.own).bit_length() == index
        table.touch(target, 2.0)
    assert table.idle(1.0) == []


def test_a_stranger_is_wanted_where_there_is_room() -> None:
    table = Table(0, k=K)
    assert table.wants(contact(2**159))
    assert not table.wants(contact(0))  # ourselves
    for number in range(K):
        table.answered(contact(2**159 + number), 0.0)
    assert not table.wants(contact(2**159 + 1))
    assert table.wants(contact(2**159 + 50))  # as a spare
    table.answered(contact(2**159 + 50), 0.0)
    assert not table.wants(contact(2**159 + 51))


def test_the_version_grows_whenever_closest_may_change() -> None:
    table = Table(0, k=K)
    versions = [table.version]
    table.answered(contact(7), 0.0)
    versions.append(table.version)
    table.failed(7)
    versions.append(table.version)
    table.answered(contact(7), 1.0)
    versions.append(table.version)
    assert versions == sorted(set(versions))
    table.answered(contact(7), 2.0)
    table.heard(7, key(7), 3.0)
    assert table.version == versions[-1]

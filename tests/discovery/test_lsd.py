"""Presence as BitTorrent has it (BEP 14)."""

from itertools import pairwise
from random import Random

import pytest

from shoal.discovery.lan import Found
from shoal.discovery.lsd import GROUPS, HASHES_MAX, HEARD_MAX, SIZE_MAX, Lsd, decode, encode
from shoal.errors import ProtocolError

HASH = bytes.fromhex("96b6d0a1c2e3f405162738495a6b7c8d9eaf4a08")
FROM_LIBTORRENT = (
    b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 7601\r\n"
    b"Infohash: 96b6d0a1c2e3f405162738495a6b7c8d9eaf4a08\r\ncookie: 7179b12f\r\n\r\n\r\n"
)
THEM = "192.168.1.5"


def run(node: Lsd, until: float) -> list[tuple[float, bytes]]:
    said = []
    while (now := node.deadline) <= until:
        node.tick(now)
        said += [(now, data) for data in node.out]
        node.out.clear()
    return said


def test_what_libtorrent_says_is_understood_and_said() -> None:
    assert decode(FROM_LIBTORRENT) == (7601, [HASH], "7179b12f")
    assert encode(GROUPS[0], 7601, [HASH], "7179b12f") == FROM_LIBTORRENT


def test_the_group_of_ipv6_stands_in_brackets() -> None:
    assert b"\r\nHost: [ff15::efc0:988f]:6771\r\n" in encode(GROUPS[1], 1, [HASH], "")


def test_headers_in_any_case_several_hashes_unknown_words_and_no_cookie() -> None:
    other = bytes(20)
    data = (
        b"BT-SEARCH * HTTP/1.1\r\nPORT:1\r\nX-New: thing\r\ninfohash: "
        + HASH.hex().upper().encode()
    )
    data += b"\r\nINFOHASH:" + other.hex().encode() + b"\r\nInfohash: " + HASH.hex().encode()
    assert decode(data) == (1, [HASH, other], "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"M-SEARCH * HTTP/1.1\r\n",
        FROM_LIBTORRENT.replace(b"7601", b"0"),
        FROM_LIBTORRENT.replace(b"7601", b"65536"),
        FROM_LIBTORRENT.replace(b"7601", b"+1"),
        FROM_LIBTORRENT.replace(b"Port", b"Part"),
        FROM_LIBTORRENT.replace(b"Infohash", b"Info"),
        FROM_LIBTORRENT.replace(b"96b6", b"96b"),
        FROM_LIBTORRENT.replace(b"96b6", b"9x b"),
        FROM_LIBTORRENT.replace(b"96b6", b"9\xffb6"),
        FROM_LIBTORRENT + b"x" * 2 * SIZE_MAX,
        encode(GROUPS[0], 1, [bytes([number]) * 20 for number in range(HEARD_MAX + 1)], ""),
    ],
)
def test_what_is_no_announcement_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_many_swarms_share_datagrams_that_fit_in_a_packet() -> None:
    node = Lsd(Random(1))
    hashes = [bytes([number]) * 20 for number in range(60)]
    for info_hash in hashes:
        node.join(info_hash, 6881, 0.0)
    node.tick(0.5)
    assert len(node.out) == 3
    assert max(map(len, node.out)) <= SIZE_MAX
    heard = [decode(data)[1] for data in node.out]
    assert [len(each) for each in heard] == [HASHES_MAX, HASHES_MAX, 10]
    assert sorted(each for part in heard for each in part) == hashes


def test_no_swarm_is_announced_twice_in_a_minute_whoever_comes() -> None:
    node = Lsd(Random(1))
    node.join(HASH, 6881, 0.0)
    times = []
    for second in range(1200):
        for number in range(5):
            words = encode(GROUPS[0], 1000 + second, [HASH], str(number))
            node.receive(words, f"10.0.0.{number}", float(second))
        times += [when for when, _ in run(node, second + 0.999)]
    assert all(later - earlier >= 59.999 for earlier, later in pairwise(times))
    assert len(times) >= 4


def test_a_newcomer_is_answered_and_found() -> None:
    node = Lsd(Random(1))
    node.join(HASH, 6881, 0.0)
    run(node, 200)
    found = node.receive(FROM_LIBTORRENT, THEM, 200.0)
    assert found == [Found(HASH, f"{THEM}:7601", (THEM, "7601"))]
    ((when, data),) = run(node, 210)
    assert when <= 200.5
    assert decode(data)[:2] == (6881, [HASH])
    assert node.receive(FROM_LIBTORRENT, THEM, 300.0) == []


def test_swarms_of_others_and_our_own_words_are_no_news() -> None:
    node = Lsd(Random(1))
    assert node.receive(FROM_LIBTORRENT, THEM, 0.0) == []
    node.join(HASH, 6881, 0.0)
    ((_, data),) = run(node, 10)
    assert node.receive(data, THEM, 11.0) == []
    node.leave(HASH)
    assert node.receive(FROM_LIBTORRENT, THEM, 12.0) == []
    assert run(node, 1000) == []


def test_who_accepts_nobody_listens_and_says_nothing() -> None:
    node = Lsd(Random(1))
    node.join(HASH, 0, 0.0)
    assert len(node.receive(FROM_LIBTORRENT, THEM, 1.0)) == 1
    assert run(node, 500) == []


def test_garbage_is_counted_and_forgotten() -> None:
    node = Lsd(Random(1))
    assert node.receive(b"garbage", THEM, 0.0) == []
    assert node.malformed == 1

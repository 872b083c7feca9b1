"""The messages of a transfer: they read back, and what is hostile is refused."""

import msgspec
import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.apps.parcel import (
    BLOCK,
    DIGEST,
    FILES_MAX,
    PART,
    SPANS_MAX,
    Accept,
    Claim,
    Hello,
    Item,
    Offer,
    Plan,
    Proof,
    Received,
    Refusal,
    Wait,
    check_claim,
    check_plan,
    decode,
    encode,
    other_names,
    part_name,
    pieces,
    span_of,
    spans,
)
from shoal.errors import ProtocolError

MESSAGES = [
    Hello(b"x" * 33), Wait(2.5), Proof(b"y" * 32), Refusal("no", "code"), Accept(), Received(),
    Offer([Item((b"a", "ü\n b".encode()), 7), Item((b"b",), 0)]),
    Claim(3, BLOCK + 1, b"d" * 2 * DIGEST), Plan({0: 5, 7: 0}),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_reads_back(message):
    assert decode(encode(message)) == message
    assert decode(memoryview(encode(message))) == message


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_breaks_off_is_refused(message):
    data = encode(message)
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            decode(data[:end])


@given(st.binary(max_size=200))
def test_garbage_raises_protocol_errors_only(data):
    message = attempt(decode, data)
    assert message is None or decode(encode(message)) == message


@pytest.mark.parametrize(
    "names",
    [
        [()],
        [(b"",)],
        [(b"..", b"etc", b"passwd")],
        [(b"a", b".")],
        [(b"/etc/passwd",)],
        [(b"a/../../b",)],
        [(b"a\0b",)],
        [(b"x" * 256,)],
        [(b"x" * 250,) * 5],
        [(b"a",) * 65],
        [(b"a",), (b"a",)],
        [(b"a",), (b"a", b"b")],
        [(b"a" + PART.encode(),)],
    ],
)
def test_a_name_that_leaves_the_folder_or_fits_no_disk_is_refused(names):
    offer = {"type": "offer", "items": [[list(parts), 1] for parts in names]}
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode(offer))


def test_names_that_a_disk_can_have_are_left_as_they_are():
    names = [(b" a b ",), ("ünïcödé 🐟".encode(),), (b"new\nline",), (b"...",), (b"\xff\xfe",)]
    offer = Offer([Item(parts, 1) for parts in names])
    assert decode(encode(offer)) == offer


def test_numbers_out_of_range_and_huge_offers_are_refused():
    bad = [
        {"type": "offer", "items": [[[b"a"], -1]]},
        {"type": "offer", "items": [[[b"a"], 1 << 63]]},
        {"type": "claim", "index": FILES_MAX, "size": 1, "digests": b""},
        {"type": "claim", "index": 0, "size": 1, "digests": bytes(DIGEST * SPANS_MAX + 1)},
        {"type": "wait", "seconds": 1e9},
        {"type": "wait", "seconds": float("nan")},
        {"type": "plan", "starts": {-1: 0}},
        {"type": "refusal", "reason": "x" * 201},
    ]
    for each in bad:
        with pytest.raises(ProtocolError):
            decode(msgspec.msgpack.encode(each))
    many = [[[b"%d" % number], 0] for number in range(FILES_MAX + 1)]
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode({"type": "offer", "items": many}))


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 1 << 40, 1 << 62])
def test_the_spans_of_a_claim_cover_it_and_are_few(size):
    assert -(-size // span_of(size)) <= SPANS_MAX
    if size <= 1 << 40:
        found = list(spans(size, size))
        assert sum(length for _, length in found) == size
        assert all(
            at == before[0] + before[1]
            for before, at in zip(found, [f[0] for f in found[1:]], strict=False)
        )


def test_a_claim_beyond_the_offer_or_without_its_digests_is_refused():
    items = [Item((b"a",), 10)]
    check_claim(Claim(0, 10, bytes(DIGEST)), items)
    for bad in (Claim(1, 1, bytes(DIGEST)), Claim(0, 11, bytes(DIGEST)), Claim(0, 10, b"")):
        with pytest.raises(ProtocolError):
            check_claim(bad, items)


def test_a_plan_that_fits_no_claim_is_refused():
    claims = {0: Claim(0, 10, bytes(DIGEST)), 1: Claim(1, 10, bytes(DIGEST), True)}
    check_plan(Plan({0: 10, 1: 10}), claims)
    check_plan(Plan({0: 0, 1: 0}), claims)
    for bad in ({2: 0}, {0: 11}, {1: 5}):
        with pytest.raises(ProtocolError):
            check_plan(Plan(bad), claims)


def test_pieces_leave_out_what_is_there_and_end_each_file():
    items = [Item((b"a",), 2 * BLOCK + 5), Item((b"b",), 0), Item((b"c",), 9), Item((b"d",), 3)]
    claims = {2: Claim(2, 9, bytes(DIGEST)), 3: Claim(3, 2, bytes(DIGEST))}
    found = [(p.index, p.at, p.length, p.last) for p in pieces(items, claims, {2: 9, 3: 2})]
    assert found == [
        (0, 0, BLOCK, False), (0, BLOCK, BLOCK, False), (0, 2 * BLOCK, 5, True),
        (1, 0, 0, True), (3, 2, 1, True),
    ]  # fmt: skip


def test_a_part_has_a_name_that_fits_and_a_taken_name_gets_a_number():
    assert part_name("a") == "a" + PART
    long = ["x" * 250, "x" * 249 + "y"]
    assert len({part_name(name) for name in long}) == 2
    assert all(len(part_name(name).encode()) <= 255 for name in long)
    names = other_names("a.txt")
    assert [next(names) for _ in range(3)] == ["a.txt", "a.1.txt", "a.2.txt"]

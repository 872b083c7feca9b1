"""Requests are read in any pieces; what is no HTTP, or could smuggle, is refused."""

import pytest
from hypothesis import given, strategies as st

from shoal.rpc import http
from shoal.rpc.http import HEAD_MAX, Requests, encode_reply

PLAIN = b"POST /lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
BARE = b"GET /x HTTP/1.0\r\n\r\n"
CHUNKED = (
    b"POST /put HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
)
TRAILED = CHUNKED[:-2] + b"X: y\r\n\r\n"
CLOSING = b"POST / HTTP/1.1\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"
ALL = PLAIN + BARE + CHUNKED + TRAILED + b"\r\n" + CLOSING


@given(size=st.integers(1, 60))
def test_requests_are_read_in_pieces_of_any_size(size: int) -> None:
    requests = Requests(100)
    found = []
    for start in range(0, len(ALL), size):
        found += requests.receive(ALL[start : start + size])
    assert [(each.method, each.path, each.body, each.keep) for each in found] == [
        ("POST", "/lookup", b"hello", True),
        ("GET", "/x", b"", False),
        ("POST", "/put", b"abc0123456789", True),
        ("POST", "/put", b"abc0123456789", True),
        ("POST", "/", b"", False),
    ]
    assert requests.idle


@pytest.mark.parametrize("request_", [PLAIN, CHUNKED])
def test_a_body_that_is_too_long_is_told(request_: bytes) -> None:
    (found,) = Requests(4).receive(request_)
    assert (found.body, found.keep) == (None, False)


def test_requests_before_garbage_are_read() -> None:
    requests = Requests(100)
    assert len(requests.receive(PLAIN + b"junk\r\n\r\n")) == 1
    assert requests.error is not None


def test_what_comes_after_garbage_is_not_kept() -> None:
    requests = Requests(100)
    for _ in range(3):
        assert requests.receive(b"junk\r\n\r\n" + PLAIN) == []
    assert requests.idle


def test_many_requests_at_once_are_cut_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cut copies what is left, so that all of them cost the square of what is cut."""
    whole = Requests(100).receive(PLAIN * 1000)
    monkeypatch.setattr(http, "PORTION", 50)
    assert Requests(100).receive(PLAIN * 1000) == whole
    assert len(whole) == 1000


@pytest.mark.parametrize(
    "data",
    [
        b"junk\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"x" * (HEAD_MAX + 1),
        b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_MAX + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 200,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x" * 20_000,
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    requests = Requests(100)
    assert requests.receive(data) == []
    assert requests.error is not None
    assert requests.receive(PLAIN) == []


@given(data=st.binary(max_size=200))
def test_garbage_raises_nothing(data: bytes) -> None:
    for start in (b"", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"):
        Requests(100).receive(start + data)


def test_a_client_that_waits_for_leave_is_seen() -> None:
    requests = Requests(10)
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert requests.receive(head) == []
    assert requests.expected


def test_a_reply_has_its_length_and_no_type() -> None:
    head, _, body = encode_reply(200, b"[]").partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2"
    assert body == b"[]"
    assert b"Connection: close" in encode_reply(999, b"", keep=False)

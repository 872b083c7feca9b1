"""What a text names is seen by its shape; what is not understood is told with all that is."""

import pytest

from shoal.apps.links import UNDERSTOOD, recognise
from shoal.errors import UsageError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("magnet:?xt=urn:btih:" + "0" * 40, "magnet"),
        ("MAGNET:?xt=urn:btmh:1220" + "0" * 64, "magnet"),
        ("C" * 40, "hash"),
        ("mfrggzdfmztwq2lkmfrggzdfmztwq2lk", "hash"),
        ("ab" * 32, "hash"),
        ("1220" + "ab" * 32, "hash"),
        ("https://example.org/x?y=1", "url"),
        ("http://127.0.0.1:1/x.torrent", "url"),
        ("some/where/x.torrent", "file"),
        ("7042-guitar-library.torrent", "file"),
        ("-", "file"),
        ("7042-guitar-library", "code"),
        ("7042 Guitar Library ", "code"),
    ],
)
def test_each_kind_is_recognised(text, kind):
    assert recognise(text).kind == kind
    assert kind in UNDERSTOOD


@pytest.mark.parametrize("text", ["", "no link", "0" * 39, "ftp://x/y", "8" * 32, "ipfs://x"])
def test_anything_else_is_told_what_is_understood(text):
    with pytest.raises(UsageError) as caught:
        recognise(text)
    assert all(words in caught.value.advice for words in UNDERSTOOD.values())

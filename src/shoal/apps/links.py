"""What a text names: the things that `shoal get` understands.

A text says by its shape what it is; nothing is looked up here.  Whoever wants a
file that is named like something else writes `./` in front.

Magnet links: BEP 9 and 52.  Codes: code.py.
"""

import re
from dataclasses import dataclass

from shoal.apps.code import is_code
from shoal.errors import UsageError

_HASH = re.compile(r"[0-9a-f]{40}|[a-z2-7]{32}|(1220)?[0-9a-f]{64}", re.IGNORECASE)

UNDERSTOOD = {
    "magnet": "a magnet link",
    "hash": "an info-hash (40 hex or 32 base32 digits; 64 or 68 hex digits for v2)",
    "url": "the http or https address of a .torrent file",
    "file": "a .torrent file, - for stdin",
    "code": "a code such as 7042-guitar-library",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A text and the kind of thing that it names: a key of UNDERSTOOD."""

    kind: str
    text: str


def recognise(text: str) -> Link:
    """UsageError, with all that is understood, when it is nothing of that."""
    text = text.strip()
    lower = text.lower()
    if lower.startswith("magnet:"):
        return Link("magnet", text)
    if lower.startswith(("http://", "https://")):
        return Link("url", text)
    if _HASH.fullmatch(text):
        return Link("hash", text)
    if text == "-" or lower.endswith(".torrent"):
        return Link("file", text)
    if is_code(text):
        return Link("code", text)
    error = UsageError(f"{text[:80]!r} is nothing that can be fetched")
    error.advice = f"what is understood: {'; '.join(UNDERSTOOD.values())}"
    raise error

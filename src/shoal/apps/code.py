"""A code to tell somebody over the phone: `7042-guitar-library`.

The number says where to look, and everybody may learn it.  The words are the
password: they never leave the machine, not even hashed (pake.py).  Two words out
of 2,048 are 22 bits; at most ten guesses make that enough (guard.py).

The words are the English list of BIP 39.  Its first four letters tell any two
apart, so four letters of a word will do.
"""

import hashlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from shoal.errors import UsageError

if TYPE_CHECKING:
    from random import Random

NUMBERS = range(1000, 10_000)  # four digits, drawn at random; what is typed may have other ones
WORDS = 2  # in a code that we draw
WORDS_MAX = 8  # in a code that somebody made up
LETTERS = 4  # by which any two words of the list differ
HOUR = 3600.0  # seconds for which a number is announced under one key of the DHT

_CODE = re.compile(rf"(\d{{1,6}})((?:[-_\s]+[a-z]+){{{WORDS},{WORDS_MAX}}})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Code:
    """Where to look, and the password."""

    number: int
    words: tuple[str, ...]

    @classmethod
    def draw(cls, rng: "Random") -> "Code":
        return cls(rng.choice(NUMBERS), tuple(rng.choice(word_list()) for _ in range(WORDS)))

    @classmethod
    def parse(cls, text: str) -> "Code":
        """A code as people type it: spaces for dashes, any case, four letters of a word."""
        found = _CODE.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{text[:80]!r} is no code such as 7042-guitar-library")
        words = re.split(r"[-_\s]+", found[2].lower())[1:]
        return cls(int(found[1]), tuple(map(completed, words)))

    def __str__(self) -> str:
        return "-".join([f"{self.number:04}", *self.words])

    @property
    def password(self) -> bytes:
        return "-".join(self.words).encode()

    def mistakes(self) -> dict[str, str]:
        """Words that are in no code of ours, each with the most similar one (or nothing)."""
        known = word_list()
        strange = [word for word in self.words if word not in known]
        return {word: next(iter(get_close_matches(word, known, n=1)), "") for word in strange}


def is_code(text: str) -> bool:
    return _CODE.fullmatch(text.strip()) is not None


def meeting_key(number: int, hour: int) -> bytes:
    """Where in the mainline DHT a number's senders are announced during an hour since 1970."""
    return hashlib.sha256(b"shoal send\0%d\0%d" % (number, hour)).digest()[:20]


def completed(word: str) -> str:
    """The one word that begins like this, or the word itself."""
    matches = [each for each in word_list() if each.startswith(word)]
    unique = len(matches) == 1 and len(word) >= LETTERS
    return matches[0] if unique else word


@cache
def word_list() -> tuple[str, ...]:
    return tuple(files("shoal.apps").joinpath("words.txt").read_text("ascii").split())

"""Names that strangers chose, made into paths that cannot hurt.

A torrent names its files.  Such a name may climb out of the folder (`..`),
begin at the root, hide its ending behind a right-to-left mark, or be a device
on another system.  Every part is cleaned on its own, the same way on every
system, so that a folder can be moved; names that are then equal (ignoring
case) are told apart by a number, and a folder keeps its name.

Nothing here touches a disk.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

PART_MAX = 240  # bytes; most file systems stop at 255, and we may add a number
PATH_MAX = 1024  # bytes of a whole path inside the content folder
DEPTH_MAX = 64  # folders inside each other; no honest torrent comes near

Parts = tuple[str, ...]

# Slashes and NUL would change the path; bidirectional and zero-width marks its look.
_REMOVED = re.compile("[/\\\\\0\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Controls, what Windows forbids, and bytes that were not UTF-8 (surrogates after decoding).
_REPLACED = re.compile('[\x01-\x1f\x7f-\x9f<>:"|?*\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|clock\$|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def safe_part(raw: bytes | str) -> str:
    """One part of a path, cleaned; never empty, never `.` or `..`."""
    text = raw if isinstance(raw, str) else bytes(raw).decode("utf-8", "surrogateescape")
    text = _REPLACED.sub("_", _REMOVED.sub("", text))
    text = unicodedata.normalize("NFC", text)
    if text in ("", ".", ".."):
        return "_"
    text = text.rstrip(". ") or "_"
    if _DEVICES.fullmatch(text):
        text = "_" + text
    return _shorten(text, PART_MAX)


def safe_parts(raw: Iterable[bytes | str]) -> Parts:
    """A whole path, cleaned; too deep or too long ones lose their middle."""
    parts = tuple(safe_part(part) for part in raw)
    if len(parts) > DEPTH_MAX:
        parts = (*parts[: DEPTH_MAX - 1], parts[-1])
    while len(parts) > 1 and len("/".join(parts).encode()) > PATH_MAX:
        parts = (*parts[:-2], parts[-1])
    return parts


def told_apart(paths: Sequence[Parts]) -> list[Parts]:
    """The same paths, each different from all others even where case is ignored."""
    folders = {_folded(path[:depth]) for path in paths for depth in range(1, len(path))}
    taken: set[Parts] = set()
    last: dict[Parts, int] = {}
    result = []
    for path in paths:
        folded = _folded(path)
        number = last.get(folded, 0)
        chosen = path
        while _folded(chosen) in taken or _folded(chosen) in folders:
            number += 1
            chosen = (*path[:-1], numbered(path[-1], number))
        last[folded] = number
        taken.add(_folded(chosen))
        result.append(chosen)
    return result


def _folded(path: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part.casefold()) for part in path)


def numbered(part: str, number: int) -> str:
    stem, dot, ending = part.rpartition(".")
    if not stem or len(ending) > 16:
        stem, dot, ending = part, "", ""
    return f"{stem}.{number}{dot}{ending}"


def _shorten(text: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    stem, dot, ending = text.rpartition(".")
    if not stem or len(ending) > 16:
        stem, dot, ending = text, "", ""
    room = limit - len((dot + ending).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + dot + ending

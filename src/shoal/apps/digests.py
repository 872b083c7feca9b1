"""Digests of what is on a disk: made and compared span by span, in the disk's threads."""

import hashlib
from typing import Any

from shoal.apps.parcel import BLOCK, DIGEST, Claim, spans


async def make_claim(
    disk: Any, path: str, index: int, claimed: int, size: int, *, whole: bool = False
) -> Claim:
    """That the first bytes of a file of this size are at a path."""
    digests = [await _digest(disk, path, at, length) for at, length in spans(claimed, size)]
    return Claim(index, claimed, b"".join(digests), whole)


async def agreed(disk: Any, path: str, claim: Claim, size: int) -> int:
    """How many bytes of a claim are the same in our file."""
    for number, (at, length) in enumerate(spans(claim.size, size)):
        theirs = claim.digests[number * DIGEST : (number + 1) * DIGEST]
        if await _digest(disk, path, at, length) != theirs:
            return 0 if claim.whole else at
    return claim.size


async def _digest(disk: Any, path: str, at: int, length: int) -> bytes:
    hashing = hashlib.sha256()
    for start in range(at, at + length, BLOCK):
        data = await disk.read(path, start, min(BLOCK, at + length - start))
        await disk.run(hashing.update, data)
    return hashing.digest()

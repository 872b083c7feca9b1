"""Tests of permissions, also when root runs them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534  # the user that owns nothing, on Linux


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so be somebody else."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)

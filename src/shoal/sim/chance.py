"""A net under determinism: the process's own sources of chance, seeded.

Code under test should take its chance from `host.rng`.  Libraries do not: they
call `random`, `secrets`, `uuid` or `os.urandom`.  While `seeded` lasts, all of
these follow from the seed.  OpenSSL's generator cannot be reached.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make the chance of this process a function of `seed`; afterwards it is as before."""
    source = random.Random(f"chance {seed}")
    module: Any = random  # SystemRandom, and so `secrets`, read its private name
    real_urandom, real_private, state = os.urandom, module._urandom, random.getstate()
    os.urandom = module._urandom = source.randbytes
    random.seed(f"global {seed}")
    try:
        yield
    finally:
        os.urandom, module._urandom = real_urandom, real_private
        random.setstate(state)

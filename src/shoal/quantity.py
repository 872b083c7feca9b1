"""Sizes, rates and durations as people write them.

    5M = 5,000,000 bytes      64KiB = 65,536 bytes      1.5G, 200 kB, 4096
    5M or 5M/s = 5,000,000 bytes a second
    250ms, 1.5s, 90, 10m, 2h, 1d

K, M, G and T are powers of 1,000, as on a disk or a line; with an i they are
powers of 1,024, as in memory (IEC 80000-13).
"""

import math
import re

NUMBER = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\s*")
COUNT = re.compile(r"\s*[+-]?[0-9]{1,19}(\.[0-9]{1,15})?\s*")
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
SECONDS = {
    "": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0
}  # fmt: skip
LARGEST = 2**63  # as TOML's integers; nothing that is set is larger
STEP = 1000.0  # between the units of a printed size


def parse_quantity(value: object, unit: str) -> float:
    """A number, or a text in its unit: B, B/s, s, or anything else for a plain count.

    ValueError says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("allowed is a number")
    if isinstance(value, int | float):
        return finite(value)
    if unit == "B":
        return parse_size(value)
    if unit == "B/s":
        return parse_rate(value)
    if unit == "s":
        return parse_duration(value)
    return parse_count(value)


def parse_count(text: str) -> float:
    match = COUNT.fullmatch(text)
    return finite(float(text) if match and match[1] else int(text) if match else math.nan)


def finite(value: float) -> float:
    if -LARGEST <= value < LARGEST:  # false for a NaN
        return value
    raise ValueError("allowed is a number")


def parse_size(text: str) -> int:
    """Bytes: `5M`, `64KiB`, `4096`."""
    match = NUMBER.fullmatch(text)
    letters = match[2].lower().removesuffix("b") if match else "?"
    step = 1024 if letters.endswith("i") else 1000
    letters = letters.removesuffix("i")
    if match is None or letters not in POWERS or (step == 1024 and not letters):
        raise ValueError("allowed is a size such as 4096, 64KiB or 5M")
    power: int = POWERS[letters]
    return round(float(match[1]) * float(step**power))


def parse_rate(text: str) -> int:
    """Bytes a second: `5M`, `5MB/s`."""
    try:
        return parse_size(text.strip().removesuffix("/s"))
    except ValueError:
        raise ValueError("allowed is a rate such as 500K, 5M or 5MiB/s") from None


def parse_duration(text: str) -> float:
    """Seconds: `250ms`, `1.5s`, `10m`, `2h`."""
    match = NUMBER.fullmatch(text)
    if match is None or match[2] not in SECONDS:
        raise ValueError("allowed is a duration such as 250ms, 30s, 10m or 2h")
    return float(match[1]) * SECONDS[match[2]]


def format_size(size: float) -> str:
    """`1.5 MB`: three digits that matter, in powers of 1,000."""
    for letter in ("", "k", "M", "G"):
        if abs(size) < STEP:
            return f"{size:.3g} {letter}B"
        size /= STEP
    return f"{size:,.3g} TB"


def format_rate(rate: float) -> str:
    return f"{format_size(rate)}/s"


def format_duration(seconds: float) -> str:
    """`250 ms`, `12 s`, `3 m 20 s`, `2 h 5 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} m"

"""Sizes, rates and durations are read as people write them."""

import pytest
from hypothesis import given, strategies as st

from shoal.quantity import format_duration, format_rate, format_size, parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("4096", "B", 4096),
        ("5M", "B", 5_000_000),
        ("64KiB", "B", 65_536),
        ("64Ki", "B", 65_536),
        ("1.5 GB", "B", 1_500_000_000),
        ("200k", "B", 200_000),
        ("5M/s", "B/s", 5_000_000),
        ("5MiB/s", "B/s", 5 * 2**20),
        ("250ms", "s", 0.25),
        ("90", "s", 90.0),
        ("2h", "s", 7200.0),
        ("10m", "s", 600.0),
        ("7", "", 7),
        ("-1.5", "", -1.5),
        (3, "B", 3),
    ],
)
def test_a_quantity_is_read(text: object, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == value


@pytest.mark.parametrize("unit", ["B", "B/s", "s", ""])
@pytest.mark.parametrize(
    "text", ["", "M", "5X", "5 5", "1e", "nan", "inf", "-5M", "iB", "5iB", True, None, [], "٣M"]
)
def test_what_is_no_quantity_is_refused(text: object, unit: str) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        parse_quantity(text, unit)


@given(text=st.text(max_size=12), unit=st.sampled_from(["B", "B/s", "s", ""]))
def test_any_text_is_read_or_refused_in_words(text: str, unit: str) -> None:
    refusal = ""
    try:
        parse_quantity(text, unit)
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith("allowed is") or refusal == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (5e6, "5 MB"), (2.5e12, "2.5 TB")],
)
def test_a_size_is_printed_with_three_digits(value: float, text: str) -> None:
    assert format_size(value) == text
    assert format_rate(value) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (12, "12 s"), (200, "3 m 20 s"), (7500, "2 h 5 m"), (59.9, "59.9 s")],
)
def test_a_duration_is_printed_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("unit", ["B", "s", ""])
@pytest.mark.parametrize("value", ["9" * 1_000_000, "9" * 400, 10**400, float("nan"), 1e300])
def test_a_number_beyond_reason_is_refused(value: object, unit: str) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        parse_quantity(value, unit)

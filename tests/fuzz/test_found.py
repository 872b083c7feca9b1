"""What the fuzzer found once stays mended, and every decoder survives a taste of it."""

from itertools import islice
from pathlib import Path

import pytest
from tests.fuzz.decoders import BY_NAME, DECODERS, Decoder
from tests.fuzz.mutate import Inputs
from tests.fuzz.run import Failure, found, run, try_one

TASTE = 500  # inputs for each decoder here; `make fuzz` has 200,000


def test_cases_that_were_found_stay_mended() -> None:
    for decoder, path in found():
        for as_view in (False, True):
            assert isinstance(try_one(decoder, path.read_bytes(), as_view), bool), path.name


@pytest.mark.parametrize("name", BY_NAME)
def test_seeds_are_accepted_and_mutations_are_accepted_or_refused(name: str) -> None:
    decoder = BY_NAME[name]
    assert len(decoder.seeds) > 0
    results = [
        try_one(decoder, seed, as_view) for seed in decoder.seeds for as_view in (False, True)
    ]
    assert [result for result in results if isinstance(result, Failure)] == []
    assert any(results), "no seed is a good input"
    assert run(name, 0, TASTE).failures == {}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(DECODERS)


def test_inputs_repeat_themselves() -> None:
    first, second = ([*islice(Inputs("seed", (b"abc",)), 1000)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 400


def test_an_exception_that_is_no_protocol_error_is_a_failure() -> None:
    def broken(data: bytes | memoryview) -> None:
        raise IndexError("out of range")

    result = try_one(Decoder("broken", broken, (b"",)), b"data", as_view=True)
    assert isinstance(result, Failure)
    assert result.error == "IndexError: out of range"
    assert result.data == b"data"


def test_a_failure_is_kept_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.run.FOUND", tmp_path)
    failure = Failure("bencode-raw", b"data", "IndexError: out of range", "place")
    failure.path.write_bytes(failure.data)
    assert list(found()) == [(BY_NAME["bencode-raw"], failure.path)]

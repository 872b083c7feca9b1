"""Codes: drawn at random, typed in many ways, recognised by their shape."""

from random import Random

import pytest

from shoal.apps.code import LETTERS, NUMBERS, Code, is_code, meeting_key, word_list
from shoal.errors import UsageError


def test_the_list_has_2048_words_that_four_letters_tell_apart():
    words = word_list()
    assert len(words) == 2048
    assert len({word[:LETTERS] for word in words}) == 2048
    assert all(word.isascii() and word.islower() and 3 <= len(word) <= 8 for word in words)


def test_a_drawn_code_reads_back():
    rng = Random(1)
    for _ in range(200):
        code = Code.draw(rng)
        assert code.number in NUMBERS
        assert Code.parse(str(code)) == code
        assert is_code(str(code))
        assert not code.mistakes()


@pytest.mark.parametrize(
    "text",
    ["7042-guitar-library", " 7042 Guitar  LIBRARY\n", "7042_guitar_library", "7042-guit-libr"],
)
def test_a_code_may_be_typed_in_many_ways(text):
    assert Code.parse(text) == Code(7042, ("guitar", "library"))


def test_a_word_that_is_in_no_list_stays_and_is_pointed_out():
    code = Code.parse("7042-guitarist-revenge")
    assert code.words == ("guitarist", "revenge")
    assert code.mistakes()["guitarist"] == "guitar"


@pytest.mark.parametrize(
    "text", ["", "7042", "7042-guitar", "guitar-library", "7042-gui7ar-library", "1" * 7 + "-a-b",
             "7042" + "-word" * 9]
)  # fmt: skip
def test_what_is_no_code_is_refused(text):
    assert not is_code(text)
    with pytest.raises(UsageError):
        Code.parse(text)


def test_a_meeting_key_depends_on_the_number_and_the_hour_alone():
    keys = {meeting_key(number, hour) for number in (1, 11) for hour in (1, 11)}
    assert len(keys) == 4
    assert all(len(key) == 20 for key in keys)

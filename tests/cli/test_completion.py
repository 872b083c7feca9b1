"""shoal completion: a real bash completes our commands with what it prints."""

import shutil
import subprocess

import pytest

from shoal.cli.completion import SHELLS, bash, collect, fish
from shoal.cli.main import COMMANDS, main


def test_every_command_and_verb_has_its_words() -> None:
    words = dict(collect())
    assert set(COMMANDS) <= set(words[""])
    assert set(COMMANDS) <= set(words)
    assert {"find", "put", "--trace"} <= set(words["dht"])
    assert "--salt" in words["dht put"]
    assert "--salt" not in words["dht find"]
    assert set(SHELLS) <= set(words["completion"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["shoal", "sha"], {"share"}),
        (["shoal", "dht", "pe"], {"peers"}),
        (["shoal", "dht", "put", "--se"], {"--secret", "--set"}),
        (["shoal", "--json", "torrent", "ch"], {"check"}),
        (["shoal", "nothing", "--js"], {"--json"}),
    ],
)
def test_bash_completes(typed: list[str], expected: set[str]) -> None:
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash here")
    line = f"COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; _shoal"
    script = f"{bash(dict(collect()))}\n{line}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    said = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=10)
    assert said.stderr == ""
    assert set(said.stdout.split()) == expected


def test_fish_is_told_each_word_in_its_place() -> None:
    lines = fish({"": ["dht"], "dht": ["put", "--trace"], "dht put": ["--salt"]}).splitlines()
    assert lines == [
        "complete -c shoal -n '__fish_use_subcommand' -f -a dht",
        "complete -c shoal -n '__fish_seen_subcommand_from dht' -f -a put",
        "complete -c shoal -n '__fish_seen_subcommand_from dht' -l trace",
        "complete -c shoal -n '__fish_seen_subcommand_from dht; "
        "and __fish_seen_subcommand_from put' -l salt",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "shoal" in capsys.readouterr().out

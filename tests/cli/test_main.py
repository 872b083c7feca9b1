"""The command says how it ended, by its code and in words; and it is quick to answer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shoal import __version__
from shoal.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
HEAVY = ["asyncio", "aiohttp", "OpenSSL", "ssl", "rich", "numpy", "sqlite3", "cryptography"]


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "probe", ("tests.cli.probe", "do as the test says"))


def run_probe(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cli.probe", "probe", *arguments]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": PATH}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def modules_after(code: str) -> list[str]:
    """Which of the heavy modules a fresh interpreter has loaded after this code."""
    code = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": PATH}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_help_loads_nothing_heavy() -> None:
    code = "from shoal.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert modules_after(code) == []


def test_importing_shoal_loads_nothing_heavy() -> None:
    assert modules_after("import shoal\nshoal.Config") == []


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


def test_no_argument_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: shoal")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"shoal {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: shoal {name}")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("x", 0),
        ("seven", 7),
        ("usage", 2),
        ("missing", 3),
        ("late", 3),
        ("away", 4),
        ("protocol", 1),
        ("file", 1),
        ("bug", 1),
        ("group", 3),
        ("interrupt", 130),
    ],
)
def test_the_exit_code_tells_how_it_ended(what: str, code: int) -> None:
    assert main(["probe", what]) == code


def test_an_error_says_what_happened_what_was_tried_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["probe", "away"])
    assert capsys.readouterr().err.splitlines() == [
        "shoal: The peer could not be reached at any address: peer X.",
        "  tried: 127.0.0.1:1: refused",
        "  tried: [::1]:1: refused",
        "  next: check that the peer runs and that its address and port are right.",
    ]


def test_with_json_an_error_is_an_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    main(["probe", "away", "--json"])
    said = capsys.readouterr()
    error = json.loads(said.out)
    assert (error["kind"], error["code"], len(error["tried"])) == ("UnreachableError", 4, 2)
    assert said.err == ""


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    main(["probe", "bug", "--debug"])
    assert "Traceback" in capsys.readouterr().err
    main(["probe", "bug"])
    assert "Traceback" not in capsys.readouterr().err


def test_options_of_every_command_stand_before_or_after_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--json", "--set", "a=1", "probe", "x", "--set", "b=2", "--profile", "local"])
    first = json.loads(capsys.readouterr().out)
    assert first["set"] == ["a=1", "b=2"]
    assert (first["json"], first["profile"], first["command"]) == (True, "local", "probe")
    main(["probe", "x"])
    assert "{" not in capsys.readouterr().out


def test_a_dash_and_what_follows_two_dashes_belong_to_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["probe", "-", "--", "--json", "-x"])
    assert capsys.readouterr().out == "- ['--json', '-x']\n"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["prob"], "did you mean `shoal probe`?"),
        (["zzzzzz"], "`shoal --help` lists them all."),
        (["probe"], "`shoal probe --help` shows what can be given."),
        (["probe", "x", "--count"], "`shoal probe --help` shows what can be given."),
    ],
)
def test_wrong_usage_is_told_in_words(
    arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"  next: {advice}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_closes_what_it_owns(number: signal.Signals) -> None:
    with run_probe("wait", "--json") as child:
        assert child.stdout
        assert json.loads(child.stdout.readline())["ready"] is True
        child.send_signal(number)
        rest, errors = child.communicate()
    assert child.returncode == 130, errors
    closed, ended = map(json.loads, rest.splitlines())
    assert closed == {"closed": True}
    assert (ended["error"], ended["code"]) == ("Interrupted", 130)


@pytest.mark.slow
def test_an_error_that_nobody_reads_keeps_its_code() -> None:
    with run_probe("away", "--json") as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        assert child.wait() == 4
        assert child.stderr.read() == ""


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_drama() -> None:
    with run_probe("lines") as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == "line 0\n"
        child.stdout.close()
        assert child.wait() == 1
        assert child.stderr.read() == ""


@pytest.mark.parametrize(("argument", "code"), [("one", 0), ("usage", 2), ("seven", 7)])
@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
def test_closed_streams_are_silence(closed: str, argument: str, code: int) -> None:
    redirections = " ".join(f"{number}>&-" for number in closed.split())
    command = f"exec {sys.executable} -m tests.cli.probe probe {argument} {redirections}"
    environment = {**os.environ, "PYTHONPATH": PATH}
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, timeout=10
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert "1" in closed or done.stdout == ("one []\n" if argument == "one" else "")


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--json", "--version"], ["probe", "x"], ["--json", "probe", "x"]]
)
def test_a_full_disk_behind_stdout_is_told(arguments: list[str], buffered: str) -> None:
    environment = {**os.environ, "PYTHONPATH": PATH, "PYTHONUNBUFFERED": buffered}
    command = [sys.executable, "-m", "tests.cli.probe", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 1
    assert done.stderr.startswith("shoal: No space left on device.\n")
    assert "Traceback" not in done.stderr


def test_the_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--json", "--version"], ["--version", "--json"]):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == {"version": __version__}


def test_a_home_that_is_a_file_is_not_blamed_on_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("")
    assert main(["up", "--home", str(tmp_path / "home")]) == 1
    assert "is a file, and a home is a folder" in capsys.readouterr().err

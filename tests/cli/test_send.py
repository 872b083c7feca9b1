"""shoal send and shoal get CODE, as people run them: two processes with homes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.cli.main import main

pytestmark = pytest.mark.slow
WAIT = 15


def environment(home: Path, **more: str) -> dict[str, str]:
    paths = os.pathsep.join(sys.path)
    return {**os.environ, "SHOAL_HOME": str(home), "PYTHONPATH": paths, **more}


@contextmanager
def sending(tmp_path: Path, *arguments: str, **more: object) -> Iterator[tuple]:
    """A sender that is ready: its process and its first line."""
    command = [sys.executable, "-m", "shoal", "send", "--json", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(tmp_path / "sender"), **more,
    )  # fmt: skip
    try:
        assert process.stdout
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def get(tmp_path: Path, *arguments: str, text: str | None = None, **more: str) -> tuple:
    """Exit code and events of a receiver."""
    command = [sys.executable, "-m", "shoal", "get", "--json", *arguments]
    ended = subprocess.run(
        command, capture_output=True, timeout=WAIT, input=text or "", text=True,
        env=environment(tmp_path / "receiver", **more), check=False,
    )  # fmt: skip
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "my album"
    for name in ("a", "with space", "ünï 🐟", "new\nline", "deep/er/x", "empty"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"" if name == "empty" else os.urandom(100_000))
    return root


def test_a_folder_arrives_as_it_was_by_its_code_alone(tmp_path, album):
    out = tmp_path / "out"
    with sending(tmp_path, str(album)) as (sender, ready):
        assert ready["ready"] is True
        assert ready["command"] == f"shoal get {ready['code']}"
        code, events = get(tmp_path, ready["code"], "-o", str(out))
        assert code == 0, events
        assert sender.wait(WAIT) == 0
    assert events[-1]["event"] == "complete"
    assert events[-1]["direct"] is True
    assert tree(out / "my album") == tree(album)


def test_stdin_is_sent_and_the_code_comes_by_stdin_or_environment(tmp_path):
    data = os.urandom(300_000)
    source = tmp_path / "source"
    source.write_bytes(data)
    for number, how in enumerate(("stdin", "environment")):
        out = tmp_path / str(number)
        with source.open("rb") as stdin:
            with sending(tmp_path, "-", "--name", "x.bin", stdin=stdin) as (sender, ready):
                given = (
                    {"text": ready["code"] + "\n"}
                    if how == "stdin"
                    else {"SHOAL_CODE": ready["code"]}
                )
                assert get(tmp_path, "-o", str(out), **given)[0] == 0
                assert sender.wait(WAIT) == 0
        assert (out / "x.bin").read_bytes() == data


def test_one_file_may_go_to_stdout(tmp_path):
    data = os.urandom(300_000)
    (tmp_path / "x").write_bytes(data)
    with sending(tmp_path, str(tmp_path / "x")) as (sender, ready):
        ended = subprocess.run(
            [sys.executable, "-m", "shoal", "get", ready["code"], "-o", "-"],
            capture_output=True, timeout=WAIT, env=environment(tmp_path / "receiver"), check=True,
        )  # fmt: skip
        assert ended.stdout == data
        assert sender.wait(WAIT) == 0


def test_other_words_are_refused_and_the_sender_is_told(tmp_path, album):
    with sending(tmp_path, str(album)) as (sender, ready):
        wrong = f"{ready['code'].split('-')[0]}-wrong-words"
        code, events = get(tmp_path, wrong, "-o", str(tmp_path / "out"))
        assert (code, events[-1]["kind"]) == (1, "RefusedError")
        told = json.loads(sender.stdout.readline())
        assert (told["event"], told["left"]) == ("guessed", 9)
        assert get(tmp_path, ready["code"], "-o", str(tmp_path / "out"))[0] == 0
        assert sender.wait(WAIT) == 0


def test_nobody_under_a_number_is_not_found(tmp_path):
    code, events = get(tmp_path, "1234-guitar-library", "--timeout", "0.5")
    assert (code, events[-1]["kind"]) == (3, "NotFoundError")


def test_mistakes_have_their_exit_codes(tmp_path, capsys):
    for arguments in (["send", str(tmp_path)], ["send", str(tmp_path), "--code", "nonsense"]):
        assert main([*arguments, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["kind"] == "UsageError"
    assert main(["send", str(tmp_path / "missing"), "--json"]) == 1


def test_it_is_found_by_the_dht_alone(tmp_path, album):
    command = [sys.executable, "-m", "shoal", "dht", "--json", "serve"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(tmp_path / "dht")
    ) as serving:
        try:
            node = json.loads(serving.stdout.readline())
            where = ["--no-lan", "--bootstrap", f"127.0.0.1:{node['port']}"]
            with sending(tmp_path, str(album), *where) as (sender, ready):
                code, events = get(tmp_path, ready["code"], "-o", str(tmp_path / "out"), *where)
                assert code == 0, events
                assert sender.wait(WAIT) == 0
        finally:
            serving.terminate()
    assert tree(tmp_path / "out" / "my album") == tree(album)


def test_two_senders_have_one_number_and_two_receivers_come_for_one(tmp_path, album):
    (tmp_path / "other").write_bytes(b"other")
    with (
        sending(tmp_path, str(tmp_path / "other"), "--code", "7042-other-words"),
        sending(tmp_path, str(album), "--code", "7042-guitar-library", "--keep") as (sender, ready),
    ):
        for number in range(2):
            code, events = get(tmp_path, ready["code"], "-o", str(tmp_path / str(number)))
            assert code == 0, events
            assert tree(tmp_path / str(number) / "my album") == tree(album)
        assert sender.poll() is None


def test_a_killed_receiver_goes_on_where_it_was(tmp_path):
    source = tmp_path / "big"
    with source.open("wb") as file:
        file.write(os.urandom(20_000_000))
        file.truncate(300_000_000)
    with sending(tmp_path, str(source)) as (sender, ready):
        peer = ["--peer", next(each for each in ready["addresses"] if "127.0.0.1" in each)]
        arguments = ["get", "--json", ready["code"], "-o", str(tmp_path / "out"), *peer]
        with subprocess.Popen(
            [sys.executable, "-m", "shoal", *arguments],
            stdout=subprocess.PIPE, env=environment(tmp_path / "receiver"),
        ) as receiver:  # fmt: skip
            while json.loads(receiver.stdout.readline()).get("done", 0) < 20_000_000:
                pass
            receiver.send_signal(signal.SIGKILL)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["big.shoal-part"]
        code, events = get(tmp_path, *arguments[2:])
        assert code == 0, events
        assert sender.wait(WAIT) == 0
    assert events[-1]["kept"] > 0
    assert (tmp_path / "out" / "big").read_bytes() == source.read_bytes()


def test_a_file_that_changed_is_told_on_both_sides(tmp_path, album):
    with sending(tmp_path, str(album)) as (sender, ready):
        (album / "a").write_bytes(b"changed")
        code, events = get(tmp_path, ready["code"], "-o", str(tmp_path / "out"))
        assert (code, events[-1]["kind"]) == (1, "StorageError")
        assert "my album/a: changed" in events[-1]["tried"][0]
        assert sender.wait(WAIT) == 1
    assert set(tree(album)) - set(tree(tmp_path / "out" / "my album")) == {"a"}


def test_a_terminal_sees_the_command_and_a_picture_of_the_code(tmp_path, album):
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "shoal", "send", str(album)]
    with subprocess.Popen(
        command, stdout=slave, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env=environment(tmp_path / "sender", TERM="xterm"),
    ) as sender:  # fmt: skip
        os.close(slave)
        seen = b""
        try:
            while "█" not in seen.decode(errors="ignore"):
                seen += os.read(master, 4096)
        finally:
            sender.terminate()
            os.close(master)
    assert b"shoal get " in seen

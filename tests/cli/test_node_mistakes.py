"""shoal up, ping and id say in one message what is wrong, and end with the code that fits."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.cli.main import main

NOBODY = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_HOME", str(tmp_path))
    monkeypatch.setenv("SHOAL_PROFILE", "local")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ("ping nonsense", 2, "nonsense"),
        ("ping 127.0.0.1:4001", 2, "neither an address nor the id"),
        ("ping /ip4/127.0.0.1/tcp/99999", 2, "65535"),
        ("ping /ip4/127.0.0.1/tcp/1 --count 0", 2, "--count"),
        ("ping /ip4/127.0.0.1/tcp/1 --timeout nan", 2, "--timeout"),
        ("ping /ip4/127.0.0.1/tcp/1 --timeout 0", 2, "--timeout"),
        ("ping", 2, "address"),
        ("ping /ip4/127.0.0.1/tcp/1", 4, "refused"),
        ("ping /ip4/127.0.0.1/udp/1/quic-v1", 4, "no transport"),
        ("ping /ip4/192.0.2.1/tcp/1", 4, "local"),
        ("ping /dns4/a..b/tcp/1", 4, "local"),
        (f"ping {NOBODY}", 4, "none is known"),
        ("up --listen nonsense", 2, "nonsense"),
        ("up --listen /ip4/192.0.2.1/tcp/0", 2, "local"),
        ("up --listen /ip4/127.0.0.1/udp/0", 2, "no transport"),
        ("up --listen /ip4/127.0.0.1/tcp/0/tls/ws", 2, "certificate"),
        (f"up --listen /ip4/127.0.0.1/tcp/0/p2p/{NOBODY}", 2, "another node"),
        ("up --set net.transports=morse", 2, "websocket"),
        ("up --set net.security=none", 2, "noise"),
        ("up --set net.muxers=", 2, "yamux"),
        ("up --set yamux.streams_max=-1", 2, "least"),
        ("id extra", 2, "extra"),
    ],
)
def test_a_mistake_is_named(
    arguments: str, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == code
    said = capsys.readouterr().err
    assert word in said
    assert "Traceback" not in said
    assert "next: " in said
    assert "mistake in Shoal" not in said


def test_a_busy_port_is_named(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--listen", f"/ip4/127.0.0.1/tcp/{taken}"]) == 2
    said = capsys.readouterr().err
    assert str(taken) in said
    assert "in use" in said
    assert "choose another port" in said


@pytest.mark.slow
def test_who_does_not_answer_is_unreachable(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", f"/ip4/127.0.0.1/tcp/{taken}", "--timeout", "0.3"]) == 4
    assert "within 0.3 s" in capsys.readouterr().err

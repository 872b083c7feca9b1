"""Torrent files are read from paths and from stdin; a link is no path, whatever its end."""

import asyncio
import io
import sys
from types import SimpleNamespace

import pytest
from tests.swarm.pairs import torrent_of

from shoal.cli import files
from shoal.cli.main import main
from shoal.disk import Disk


def test_a_dash_is_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = torrent_of(40_000).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert main(["torrent", "show", "-"]) == 0
    assert (torrent_of(40_000).hash_v1 or b"").hex() in capsys.readouterr().out


def test_a_missing_torrent_file_has_advice_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torrent", "show", "/nowhere/x.torrent"]) == 3
    assert "next: check the path" in capsys.readouterr().err


def test_a_link_whose_name_ends_as_a_file_is_a_link() -> None:
    link = f"magnet:?xt=urn:btih:{'a2' * 20}&dn=x.torrent"

    async def read() -> object:
        disk = Disk()
        try:
            return await files.read_link(disk, link)
        finally:
            await disk.close()

    assert asyncio.run(read()) == (link, b"")

"""A node remembers its transfers: paused, limited, cut off or changed, each goes on rightly."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shoal.config import Config
from shoal.errors import NotFoundError, StorageError, UsageError
from shoal.node import Node
from shoal.swarm.pieces import Bitfield
from shoal.swarm.progress import Wish
from shoal.swarm.transfer import Transfer

SIZE = 3_000_000
ABSENT = "magnet:?xt=urn:btih:" + "ab" * 20


@asynccontextmanager
async def node(home: Path) -> AsyncIterator[Node]:
    """One that goes on with what its home keeps."""
    config = Config(profile="local", home=str(home), dht=[])
    async with Node(config, keep=True, listen=[]) as node:
        assert node.home
        await node.swarm.keep_in(node.home)
        yield node


async def states(node: Node) -> dict[str, str]:
    for _ in range(200):
        found = {j.progress().name: j.progress().state for j in node.swarm.jobs.all.values()}
        if not {"metadata", "checking", "downloading"} & set(found.values()):
            break
        await asyncio.sleep(0.01)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (SIZE // 250))
    return path


def test_a_share_goes_on_after_a_restart_without_hashing(tmp_path: Path, file: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            shared = await first.share(str(file))
        async with node(tmp_path / "home") as second:
            (job,) = second.swarm.jobs.all.values()
            assert job.transfer
            assert job.transfer._known_good
            assert await states(second) == {"file": "seeding"}
            assert job.transfer.magnet == shared.magnet

    asyncio.run(run())


def test_a_share_whose_file_changed_waits_and_leaves_the_file(tmp_path: Path, file: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            await first.share(str(file))
        await asyncio.to_thread(file.write_bytes, b"new")
        async with node(tmp_path / "home") as second:
            (job,) = second.swarm.jobs.all.values()
            assert "changed" in job.problem
            again = await second.share(str(file))
            assert len(second.swarm.jobs.all) == 2
            assert again.name == "file"

    asyncio.run(run())
    assert file.read_bytes() == b"new"


def test_an_entry_that_names_too_many_files_waits_and_harms_nobody(
    tmp_path: Path, file: Path
) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            await first.share(str(file))
            (job,) = first.swarm.jobs.all.values()
            while not job.entry.seen:  # noqa: ASYNC110 (a note of another task)
                await asyncio.sleep(0.01)
            job.entry.paths.append(str(file))
            await first.swarm.jobs.limit(job, None, None)  # which saves it
        async with node(tmp_path / "home") as second:
            (job,) = second.swarm.jobs.all.values()
            assert job.transfer is None
            assert "changed" in job.problem

    asyncio.run(run())


def test_paused_stays_paused_and_resumes(tmp_path: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            await first.swarm.begin(ABSENT, str(tmp_path / "out"))
            job = first.swarm.jobs.find("abab")
            await first.swarm.pause(job)
            assert job.progress().state == "paused"
        async with node(tmp_path / "home") as second:
            job = second.swarm.jobs.find("abab")
            assert (job.transfer, second.swarm.opened) == (None, None)
            await second.swarm.jobs.resume(job)
            assert job.transfer
            await second.swarm.remove(job)
            assert second.swarm.jobs.all == {}
        async with node(tmp_path / "home") as third:
            assert third.swarm.jobs.all == {}

    asyncio.run(run())


def test_what_is_complete_and_not_served_is_remembered_as_such(tmp_path: Path, file: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "giver") as giver, node(tmp_path / "home") as taker:
            shared = await giver.share(str(file))
            peer = ("127.0.0.1", (await giver.swarm.open()).port)
            out = str(tmp_path / "out")
            await taker.get(shared.magnet, out, peers=[peer])
            again = await taker.swarm.begin(shared.magnet, out, Wish(seed=True))
            await again.done.wait()
            with pytest.raises(UsageError, match="already"):
                await taker.swarm.begin(shared.magnet, str(tmp_path / "other"))
            await taker.swarm.remove(taker.swarm.jobs.find("file"))
            await taker.get(shared.magnet, out, peers=[peer])
            await asyncio.sleep(0.1)
        async with node(tmp_path / "home") as later:
            assert await states(later) == {"file": "complete"}
            assert later.swarm.opened is None

    asyncio.run(run())
    assert (tmp_path / "out" / "file").read_bytes() == file.read_bytes()


def test_limits_are_kept_and_hold_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            transfer = await first.swarm.begin(ABSENT, str(tmp_path / "out"))
            await first.swarm.jobs.limit(first.swarm.jobs.find("ab"), 1000.0, None)
            assert transfer.wish.down == 1000.0
        async with node(tmp_path / "home") as second:
            job = second.swarm.jobs.find("ab")
            assert job.transfer
            assert (job.transfer.wish.down, job.transfer.wish.up) == (1000.0, None)

    asyncio.run(run())


def test_a_damaged_entry_is_left_out_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as first:
            await first.swarm.begin(ABSENT, str(tmp_path / "out"))
            assert first.home
            await first.home.save("transfers/" + "cd" * 20, b"{", 1)
        damaged = tmp_path / "home" / "transfers" / ("ef" * 20)
        damaged.write_bytes(b"nonsense")
        damaged.with_name(".DS_Store").write_bytes(b"a stranger's")
        with caplog.at_level(logging.WARNING):
            async with node(tmp_path / "home") as second:
                assert list(second.swarm.jobs.all) == ["ab" * 20]
        assert caplog.text.count("is left out") == 3
        assert damaged.exists()

    asyncio.run(run())


@pytest.mark.slow
def test_one_broken_transfer_leaves_the_others_alone(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with node(tmp_path / "giver") as giver, node(tmp_path / "home") as taker:
            shared = await giver.share(str(file))
            peer = ("127.0.0.1", (await giver.swarm.open()).port)
            await taker.swarm.begin(ABSENT, str(tmp_path / "out"))
            await shared.done.wait()

            async def fail(*_: object) -> Bitfield:
                raise StorageError("the disk fell out")

            monkeypatch.setattr(Transfer, "_what_is_here", fail)
            begun = await taker.swarm.begin(shared.magnet, str(tmp_path / "out"), peers=[peer])
            await begun.ended.wait()
            await asyncio.sleep(0.05)
            assert taker.swarm.jobs.find("file").problem == "the disk fell out"
            assert taker.swarm.jobs.find("ab").transfer

    asyncio.run(run())


def test_a_transfer_is_found_by_name_or_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    async def run() -> None:
        async with node(tmp_path / "home") as one:
            for digits in ("ab", "ac"):
                link = f"magnet:?xt=urn:btih:{digits * 20}&dn=name{digits}"
                await one.swarm.begin(link, str(tmp_path / "out"))
            assert one.swarm.jobs.find("nameac") is one.swarm.jobs.find("AC")
            with pytest.raises(UsageError, match="2 transfers"):
                one.swarm.jobs.find("a")
            for wrong in ("", "nothing"):
                with pytest.raises(NotFoundError):
                    one.swarm.jobs.find(wrong)

    asyncio.run(run())

"""A home survives crashes, second daemons, full disks and files of the future."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.nobody import as_nobody

from shoal.disk import Disk
from shoal.errors import (
    DiskFullError,
    LockedError,
    ReadOnlyError,
    ShoalError,
    StorageError,
    UsageError,
)
from shoal.home import FORMAT, Home, Kept
from shoal.sim.disk import PowerCut, SimDisk
from shoal.sim.world import World

ROOT = Path(__file__).parent.parent


def on(disk: Any, path: str = "/home/shoal") -> Home:
    return Home(disk, path)


def with_disk(body: Callable[[Disk], Awaitable[None]]) -> None:
    """Run a body with a real disk."""

    async def run() -> None:
        disk = Disk()
        try:
            await body(disk)
        finally:
            await disk.close()

    asyncio.run(run())


def secret() -> bytes:
    return b"a secret key"


def test_the_identity_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    async def body(disk: Disk) -> None:
        async with on(disk, f"{tmp_path}/home") as home:
            assert await home.identity(secret) == secret()
            assert await home.identity(lambda: b"another") == secret()
        async with on(disk, f"{tmp_path}/home") as home:
            assert await home.identity(lambda: b"another") == secret()

    with_disk(body)
    assert (tmp_path / "home" / "identity").stat().st_mode & 0o777 == 0o600


def test_tables_are_kept_under_their_names(tmp_path: Path) -> None:
    async def body(disk: Disk) -> None:
        path = f"{tmp_path}/home"
        async with on(disk, path) as home:
            assert await home.load("peers", 1) is None
            await home.save("peers", b"old", 1)
            await home.save("peers", b"new\nlines", 2)
            await home.save("sessions/1f2e", b"", 1)
            await home.save("sessions/0a", b"x", 1)
        async with on(disk, path) as home:
            assert await home.load("peers", 3) == Kept(2, b"new\nlines")
            assert await home.load("sessions", 1) is None
            assert await home.names() == ["peers"]
            assert await home.names("sessions") == ["sessions/0a", "sessions/1f2e"]
            await home.forget("sessions/0a")
            await home.forget("sessions/0a")
            assert await home.names("sessions") == ["sessions/1f2e"]
            assert await home.names("nothing") == []

    with_disk(body)


@pytest.mark.parametrize("name", ["", "../up", "/etc", "a/b/c", "lock", "x.new", "A", "a/", "a\n"])
def test_names_stay_inside_the_home(name: str) -> None:
    async def body() -> None:
        async with on(SimDisk(Random(1), delay=0)) as home:
            with pytest.raises(UsageError, match="name of a table"):
                await home.save(name, b"", 1)

    asyncio.run(body())


def test_a_closed_home_is_not_written() -> None:
    async def body() -> None:
        home = on(SimDisk(Random(1), delay=0))
        await home.open()
        await home.open()
        await home.aclose()
        await home.aclose()
        with pytest.raises(UsageError, match="not open"):
            await home.save("peers", b"", 1)

    asyncio.run(body())


# Crashes.


async def crashed_at(step: int, seed: int) -> tuple[bool, list[Kept | None], bytes]:
    """Cut the power so many steps into a save; say whether it was acknowledged, and what is left.

    The home is opened on the ruins, written once more and read again.
    """
    disk = SimDisk(Random(seed), delay=0)
    async with on(disk) as home:
        await home.identity(secret)
        await home.save("peers", b"old" * 1000, 1)
    done = False
    disk.cut_after = step
    try:
        async with on(disk) as home:
            await home.save("peers", b"new" * 1000, 2)
            await home.save("sessions/1", b"s", 1)
            done = True
    except PowerCut:
        pass
    disk.crash()
    left = []
    async with on(disk) as home:
        left.append(await home.load("peers", 2))
        assert not [name for name in await disk.list(home.path) if name.endswith(".new")]
        identity = await home.identity(lambda: b"another")
        await home.save("peers", b"newest", 2)
        left.append(await home.load("peers", 2))
    return done, left, identity


@pytest.mark.slow
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_content() -> None:
    old, new = Kept(1, b"old" * 1000), Kept(2, b"new" * 1000)
    met = []
    done, step = False, 0
    while not done:
        for seed in range(8):
            done, left, identity = asyncio.run(crashed_at(step, seed))
            assert left[0] in ([new] if done else [old, new])
            assert left[1] == Kept(2, b"newest")
            assert identity == secret()
            met.append(left[0])
        step += 1
    assert step > 20
    assert old in met
    assert new in met


def test_a_power_cut_at_any_step_of_the_first_start_leaves_one_identity() -> None:
    async def first(step: int, seed: int) -> bool:
        disk = SimDisk(Random(seed), delay=0)
        disk.cut_after = step
        shown = None
        try:
            async with on(disk) as home:
                shown = await home.identity(secret)
        except PowerCut:
            pass
        disk.crash()
        async with on(disk) as home:
            later = await home.identity(lambda: b"another")
        assert later in (secret(), b"another")
        assert shown is None or later == secret()  # once told, it stays
        return shown is not None

    finished = []
    for step in range(40):
        finished = [asyncio.run(first(step, seed)) for seed in range(8)]
        if all(finished):
            break
    assert all(finished)


CHILD = """
import asyncio, sys
from shoal.disk import Disk
from shoal.home import Home

async def main():
    async with Home(Disk(), sys.argv[1]) as home:
        await home.identity(lambda: b"a secret key")
        for n in range(10**9):
            await home.save("peers", b"%d " % n * 20_000, 1)
            print(n, flush=True)

asyncio.run(main())
"""


def start_child(path: Path) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, env=environ
    )
    assert child.stdout is not None
    return child


def killed_after(child: subprocess.Popen[str], lines: int) -> int:
    """Kill -9 once it has acknowledged so many saves; the last number that it printed."""
    assert child.stdout is not None
    for _ in range(lines):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    numbers = child.stdout.read().split()
    child.stdout.close()
    child.wait()
    return max([lines - 1, *map(int, numbers)])


@pytest.mark.slow
def test_kill_9_in_the_midst_of_saving_leaves_a_whole_table(tmp_path: Path) -> None:
    async def check(disk: Disk, last: int) -> None:
        async with on(disk, str(tmp_path)) as home:
            kept = await home.load("peers", 1)
            assert kept is not None
            number = int(kept.data.split()[0])
            assert kept.data == b"%d " % number * 20_000
            assert number in (last, last + 1)
            assert await home.identity(lambda: b"another") == secret()

    for lines in (1, 3, 8, 9, 20):
        last = killed_after(start_child(tmp_path), lines)
        with_disk(lambda disk, last=last: check(disk, last))


@pytest.mark.slow
def test_a_second_process_is_told_who_has_the_home(tmp_path: Path) -> None:
    child = start_child(tmp_path)
    try:
        assert child.stdout is not None
        child.stdout.readline()

        async def body(disk: Disk) -> None:
            with pytest.raises(LockedError, match=f"another process \\(process {child.pid}\\)"):
                await on(disk, str(tmp_path)).open()
            assert await on(disk, str(tmp_path)).load("identity", 1)  # reading is free

        with_disk(body)
    finally:
        killed_after(child, 0)

    async def after(disk: Disk) -> None:
        async with on(disk, str(tmp_path)) as home:  # the lock died with the process
            assert "peers" in await home.names()

    with_disk(after)


def test_two_homes_of_one_process_do_not_share_a_folder() -> None:
    async def body() -> None:
        disk = SimDisk(Random(1), delay=0)
        async with on(disk):
            with pytest.raises(LockedError, match=r"/home/shoal is used by another process \(proc"):
                await on(disk).open()
        async with on(disk):
            pass

    asyncio.run(body())


# One clear error, and nothing lost.


async def snapshot(disk: Any, path: str) -> dict[str, bytes]:
    return {name: await disk.read(f"{path}/{name}") for name in await disk.list(path)}


async def keeps_all(disk: Any, path: str, doing: Awaitable[object], error: type, why: str) -> bool:
    before = await snapshot(disk, path)
    with pytest.raises(error, match=why):
        await doing
    return await snapshot(disk, path) == before


def test_a_home_of_a_newer_format_is_left_alone() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        await disk.make_folder("/home/shoal")
        line = b"shoal-home %d something new\n" % (FORMAT + 1)
        await disk.replace("/home/shoal/peers", line)
        await disk.replace("/home/shoal/peers.3.new", b"of theirs")
        why = "/home/shoal/peers was written by a newer Shoal .*version 2.*: update Shoal or"
        assert await keeps_all(disk, "/home/shoal", on(disk).open(), StorageError, why)
        assert await keeps_all(disk, "/home/shoal", on(disk).load("peers", 1), StorageError, why)

    asyncio.run(body())


def test_a_table_of_a_newer_version_is_left_alone() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        async with on(disk) as home:
            await home.save("peers", b"from the future", 4)
        async with on(disk) as home:
            why = "newer Shoal .version 4, this one knows 3"
            assert await keeps_all(disk, home.path, home.load("peers", 3), StorageError, why)
            assert await keeps_all(disk, home.path, home.save("peers", b"", 3), StorageError, why)
            await home.save("other", b"fine", 3)

    asyncio.run(body())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"shoal-home 1 other 1 00000000\n",
        b"shoal-home 1 peers 1 00000000\nx",
        b"shoal-home 1 peers 1 0000\n",
        b"shoal-home 1\n",
        b"shoal-home 99999999999999999999999999 peers 1 00000000\n",
    ],
)
def test_a_damaged_table_is_named_and_left_alone(content: bytes) -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        await disk.make_folder("/home/shoal")
        await disk.replace("/home/shoal/peers", content)
        async with on(disk) as home:
            why = "/home/shoal/peers is damaged"
            assert await keeps_all(disk, home.path, home.load("peers", 1), StorageError, why)

    asyncio.run(body())


def test_a_damaged_identity_does_not_become_another_peer() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        async with on(disk) as home:
            await home.identity(secret)
            await disk.write("/home/shoal/identity", 40, [b"?"])
            assert await keeps_all(disk, home.path, home.identity(secret), StorageError, "checksum")

    asyncio.run(body())


def test_a_table_that_is_too_large_is_not_read() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        async with on(disk) as home:
            await disk.truncate("/home/shoal/peers", 2**40)
            with pytest.raises(StorageError, match="too large: 1,099,511,627,776 bytes"):
                await home.load("peers", 1)

    asyncio.run(body())


def test_a_full_disk_keeps_the_old_table() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        async with on(disk) as home:
            await home.save("peers", b"old", 1)
            disk.capacity = 1000
            doing = home.save("peers", bytes(2000), 1)
            why = "cannot write /home/shoal/peers: No space"
            assert await keeps_all(disk, home.path, doing, DiskFullError, why)
            await home.save("peers", b"small", 1)

    asyncio.run(body())


def test_a_full_disk_does_not_lock_its_owner_out() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        async with on(disk) as home:
            await home.identity(secret)
        disk.capacity = 0
        for _ in range(2):
            async with on(disk) as home:
                assert await home.identity(secret) == secret()

    asyncio.run(body())


def test_a_home_that_was_not_opened_in_time_is_free() -> None:
    async def body(steps: int) -> None:
        disk: Any = SimDisk(Random(steps), delay=0.001)
        async with on(disk) as home:
            await home.save("peers", b"x", 1)
        opening = asyncio.ensure_future(on(disk).open())
        for _ in range(steps):
            await asyncio.sleep(0.0003)
        if opening.cancel():
            with pytest.raises(asyncio.CancelledError):
                await opening
            async with on(disk):
                pass

    for steps in range(20):
        with World(steps) as world:
            world.run(body(steps))


def test_a_read_only_disk_is_named() -> None:
    async def body() -> None:
        disk: Any = SimDisk(Random(1), delay=0)
        disk.read_only = True
        with pytest.raises(ReadOnlyError, match="cannot make /home/shoal: Read-only"):
            await on(disk).open()
        disk.read_only = False
        async with on(disk) as home:
            await home.save("peers", b"old", 1)
        disk.read_only = True
        assert await keeps_all(disk, "/home/shoal", on(disk).open(), ReadOnlyError, "Read-only")
        assert await on(disk).load("peers", 1) == Kept(1, b"old")

    asyncio.run(body())


def test_a_read_only_folder_is_named() -> None:
    async def body(disk: Disk, folder: str) -> None:
        with as_nobody():
            with pytest.raises(ReadOnlyError, match="Permission denied"):
                await on(disk, f"{folder}/home").open()

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with_disk(lambda disk: body(disk, folder))
        os.chmod(folder, 0o755)


def test_failing_disks_never_lose_a_table() -> None:
    async def body(seed: int) -> int:
        disk: Any = SimDisk(Random(seed), delay=0)
        async with on(disk) as home:
            await home.save("peers", b"0", 1)
        acknowledged, failed = 0, 0
        for attempt in range(1, 30):
            disk.write_errors = disk.read_errors = 0.1
            if attempt % 7 == 0:
                disk.cut_after = disk.rng.randrange(20)
            try:
                async with on(disk) as home:
                    await home.save("peers", b"%d" % attempt, 1)
                acknowledged = attempt
            except (ShoalError, PowerCut):
                failed += 1
                disk.crash()
            disk.write_errors = disk.read_errors = 0.0
            disk.cut_after = None
            kept = await on(disk).load("peers", 1)
            assert kept is not None
            assert acknowledged <= int(kept.data) <= attempt
        return failed

    assert all(asyncio.run(body(seed)) for seed in range(10))

"""What a simulated disk keeps over a crash, and how it can be slow, full or failing."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from tests.test_disk import do_something

from shoal.errors import DiskFullError, ReadOnlyError, StorageError
from shoal.sim.disk import PowerCut, SimDisk
from shoal.sim.platter import CHANGES_MAX, PENDING_MAX, SECTOR, File, survivors

SEEDS = range(60)


def outcomes(before: Callable[[SimDisk], Awaitable[object]]) -> set[tuple[tuple[str, bytes], ...]]:
    """What a folder may hold when the power goes after `before`, over all seeds."""

    async def one(seed: int) -> tuple[tuple[str, bytes], ...]:
        disk = SimDisk(Random(seed), delay=0)
        await disk.make_folder("/f")
        await before(disk)
        disk.crash()
        return tuple([(name, await disk.read(f"/f/{name}")) for name in await disk.list("/f")])

    return {asyncio.run(one(seed)) for seed in SEEDS}


def test_what_was_synced_stays() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.write("/f/a", 0, [b"kept"])
        await disk.sync("/f/a")
        await disk.sync("/f")

    assert outcomes(before) == {(("a", b"kept"),)}


def test_a_replace_stays() -> None:
    assert outcomes(lambda disk: disk.replace("/f/a", b"kept")) == {(("a", b"kept"),)}


def test_a_new_file_may_vanish_until_its_folder_is_synced() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.write("/f/a", 0, [b"lost?"])
        await disk.sync("/f/a")

    assert outcomes(before) == {(), (("a", b"lost?"),)}


def test_bytes_may_be_lost_until_the_file_is_synced() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.write("/f/a", 0, [b"one"])
        await disk.sync("/f/a")
        await disk.sync("/f")
        await disk.write("/f/a", 0, [b"two"])

    assert outcomes(before) == {(("a", b"one"),), (("a", b"two"),)}


def test_an_unsynced_write_is_torn_at_sectors() -> None:
    whole = b"".join(bytes([65 + n]) * SECTOR for n in range(4))

    async def before(disk: SimDisk) -> None:
        await disk.truncate("/f/a", len(whole))
        await disk.sync("/f/a")
        await disk.sync("/f")
        await disk.write("/f/a", 0, [whole])

    found = {held[0][1] for held in outcomes(before)}
    assert len(found) > 5
    assert {bytes(len(whole)), whole, whole[:SECTOR] + bytes(3 * SECTOR)} <= found
    for content in found:
        for start in range(0, len(whole), SECTOR):
            sector = slice(start, start + SECTOR)
            assert content[sector] in (whole[sector], bytes(SECTOR))


def test_a_rename_may_come_through_without_the_bytes() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.replace("/f/a", b"old")
        await disk.write("/f/b", 0, [b"new"])
        await disk.rename("/f/b", "/f/a")  # the write without sync of many a program

    found = outcomes(before)
    assert {(("a", b"old"),), (("a", b"new"),), (("a", b""),)} <= found


def test_a_move_between_folders_may_leave_two_names_but_not_two_contents() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.make_folder("/g")
        await disk.replace("/g/a", b"x")
        await disk.rename("/g/a", "/f/a")
        await disk.sync("/f")

    assert outcomes(before) == {(("a", b"x"),)}


def test_a_removed_file_may_come_back() -> None:
    async def before(disk: SimDisk) -> None:
        await disk.replace("/f/a", b"x")
        await disk.remove("/f/a")

    assert outcomes(before) == {(), (("a", b"x"),)}


async def content(disk: SimDisk, path: str) -> dict[str, bytes | None]:
    """All that can be found below a folder."""
    found: dict[str, bytes | None] = {}
    for name in await disk.list(path):
        below = f"{path}/{name}"
        stat = await disk.stat(below)
        assert stat is not None
        if stat.is_folder:
            found[below] = None
            found |= await content(disk, below)
        else:
            found[below] = await disk.read(below)
    return found


async def sync_all(disk: SimDisk, path: str) -> None:
    for below in await content(disk, path):
        await disk.sync(below)
    await disk.sync(path)


def test_whatever_was_done_a_full_sync_keeps_it() -> None:
    async def body(seed: int) -> bool:
        rng = Random(seed)
        disk: Any = SimDisk(Random(seed), delay=0)
        await disk.make_folder("/f")
        for _ in range(3):
            for _ in range(20):
                await do_something(disk, "/f", rng)
            await sync_all(disk, "/f")
            before = await content(disk, "/f")
            disk.crash()
            assert await content(disk, "/f") == before
        for _ in range(20):
            await do_something(disk, "/f", rng)
        before = await content(disk, "/f")
        disk.crash()
        after = await content(disk, "/f")
        assert disk._room == disk._tree.room()
        return after != before

    changed = [asyncio.run(body(seed)) for seed in range(40)]
    assert 10 < sum(changed) < 40


def test_the_same_seed_tears_alike() -> None:
    def crash(seed: int) -> bytes:
        file = File()
        file.write(100, bytes(range(256)) * 40)
        file.truncate(9000)
        file.crash(Random(seed))
        return file.read(0, file.size)

    assert [crash(seed) for seed in SEEDS] == [crash(seed) for seed in SEEDS]
    assert len({crash(seed) for seed in SEEDS}) > 10


def test_survivors_are_none_all_the_first_few_or_any() -> None:
    found = {tuple(survivors(Random(seed), "abc")) for seed in range(200)}
    assert len(found) == 8


def test_much_that_waits_is_written_by_the_kernel_in_the_end() -> None:
    file = File()
    for _ in range(PENDING_MAX // 2**20 + 1):
        file.write(0, bytes(2**20))
    assert file._pending_bytes == 0

    async def many() -> int:
        disk = SimDisk(Random(1), delay=0)
        for n in range(CHANGES_MAX + 5):
            disk._tree.make_file(f"/{n}")
        disk._tree._changes.clear()  # none of the waiting ones comes through
        disk.crash()
        return len(await disk.list("/"))

    assert asyncio.run(many()) == 5


def test_the_power_can_go_at_any_step_and_nothing_is_written_after() -> None:
    async def one(steps: int) -> str:
        disk = SimDisk(Random(steps))
        await disk.replace("/a", b"old")
        disk.cut_after = steps
        try:
            await disk.replace("/a", b"new")
        except PowerCut:
            with pytest.raises(PowerCut):
                await disk.replace("/a", b"never")
            disk.crash()
        disk.cut_after = None
        return (await disk.read("/a")).decode()

    contents = [asyncio.run(one(steps)) for steps in range(6)]
    assert contents[0] == contents[1] == contents[2] == "old"
    assert contents[5] == "new"
    assert set(contents) == {"old", "new"}


def test_a_crash_stops_what_is_under_way_and_drops_locks() -> None:
    async def body() -> None:
        disk = SimDisk(Random(1))
        lock = await disk.lock("/lock")
        writing = asyncio.ensure_future(disk.write("/a", 0, [b"x"]))
        await asyncio.sleep(0)
        disk.crash()
        with pytest.raises(PowerCut):
            await writing
        assert await disk.stat("/a") is None
        held = await disk.lock("/lock")
        lock.release()  # of the life before: it frees nothing
        with pytest.raises(StorageError):
            await disk.lock("/lock")
        held.release()

    asyncio.run(body())


def test_a_full_disk_takes_what_fits() -> None:
    async def body() -> None:
        disk = SimDisk(Random(1), capacity=1000)
        await disk.write("/a", 0, [bytes(600)])
        assert await disk.free("/") == 400
        with pytest.raises(DiskFullError, match="cannot write /b: No space left on device"):
            await disk.write("/b", 0, [bytes(500)])
        assert (await disk.read("/b")) == bytes(400)
        await disk.write("/a", 0, [bytes(600)])  # over itself needs no room
        await disk.remove("/b")
        await disk.truncate("/a", 10**9)  # nor does a hole
        assert await disk.free("/") == 400
        with pytest.raises(DiskFullError):
            await disk.replace("/a", bytes(401))
        assert await disk.list("/") == ["a"]
        await disk.replace("/a", bytes(400))
        assert await disk.free("/") == 600
        with pytest.raises(DiskFullError):
            await disk.allocate("/a", 1001)
        await disk.truncate("/a", 500)
        await disk.allocate("/a", 900)  # the hole too
        assert await disk.free("/") == 100

    asyncio.run(body())


def test_a_disk_can_be_read_only_or_failing() -> None:
    async def body() -> None:
        disk = SimDisk(Random(1))
        await disk.replace("/a", b"x")
        disk.read_only = True
        for wait in (disk.write("/a", 0, [b"y"]), disk.remove("/a"), disk.make_folder("/b")):
            with pytest.raises(ReadOnlyError, match="Read-only"):
                await wait
        disk.read_only, disk.read_errors = False, 0.5
        failed = 0
        for _ in range(100):
            try:
                assert await disk.read("/a") == b"x"
            except StorageError:
                failed += 1
        assert 30 < failed < 70
        disk.read_errors, disk.write_errors = 0.0, 1.0
        with pytest.raises(StorageError, match="Input/output error"):
            await disk.sync("/a")

    asyncio.run(body())


def test_a_slow_disk_takes_its_time() -> None:
    async def body() -> float:
        disk = SimDisk(Random(1), delay=0.0)
        disk.rate = 1e6
        start = asyncio.get_running_loop().time()
        await disk.write("/a", 0, [bytes(20_000)])
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(body()) >= 0.019

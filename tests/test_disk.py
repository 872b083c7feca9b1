"""What code may rely on with any disk, the real one and the simulated one alike."""

import asyncio
import inspect
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.nobody import as_nobody

import shoal.disk as real
import shoal.sim.disk as simulated
from shoal.disk import CHUNKS_MAX, Disk
from shoal.errors import (
    DiskFullError,
    LockedError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UsageError,
)
from shoal.sim.disk import SimDisk

Body = Callable[[Disk, str], Awaitable[None]]
Play = Callable[[Body], None]


@pytest.fixture(params=["real", "simulated"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Run a body with a disk of each kind and a folder on it."""

    async def run(body: Body) -> None:
        is_real = request.param == "real"
        disk: Any = Disk() if is_real else SimDisk(Random(1))
        folder = str(tmp_path) if is_real else "/home/shoal"
        await disk.make_folder(folder)
        try:
            await body(disk, folder)
        finally:
            await disk.close()

    return lambda body: asyncio.run(run(body))


def test_both_disks_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(value)
            for name, value in vars(kind).items()
            if inspect.iscoroutinefunction(value) and not name.startswith("_")
        }

    known = methods(Disk)
    assert len(known) == 17
    assert {name: str(signature) for name, signature in methods(SimDisk).items()} == {
        name: str(signature).replace("shoal.disk", "shoal.sim.disk")
        for name, signature in known.items()
    }
    assert real.Stat._fields == simulated.Stat._fields
    assert real.FILE_MODE == simulated.FILE_MODE


def test_what_was_written_is_read(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        path = f"{folder}/file"
        await disk.write(path, 0, [b"hello ", bytearray(b"wide "), memoryview(b"world"), b""])
        assert await disk.read(path) == b"hello wide world"
        assert await disk.read(path, 6) == b"wide world"
        assert await disk.read(path, 6, 4) == b"wide"
        assert await disk.read(path, 11, 100) == b"world"
        assert await disk.read(path, 100) == b""
        assert await disk.read(path, 3, 0) == b""
        await disk.write(path, 6, [b"WIDE"])
        assert await disk.read(path) == b"hello WIDE world"

    play(body)


def test_more_chunks_than_one_call_of_the_kernel_takes(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        chunks = [bytes([n % 256]) * (n % 5) for n in range(3 * CHUNKS_MAX)]
        await disk.write(f"{folder}/file", 7, chunks)
        assert await disk.read(f"{folder}/file", 7) == b"".join(chunks)

    play(body)


def test_a_buffer_is_filled_up_to_the_end_of_the_file(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.write(f"{folder}/file", 0, [b"0123456789"])
        buffer = bytearray(4)
        assert await disk.read_into(f"{folder}/file", 2, buffer) == 4
        assert buffer == b"2345"
        assert await disk.read_into(f"{folder}/file", 8, memoryview(buffer)[1:]) == 2
        assert buffer == b"2895"
        assert await disk.read_into(f"{folder}/file", 10, buffer) == 0

    play(body)


def test_appending_goes_to_the_end(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.append(f"{folder}/log", [b"one "])
        await disk.append(f"{folder}/log", [b"two ", b"three"])
        assert await disk.read(f"{folder}/log") == b"one two three"

    play(body)


def test_a_grown_file_has_holes_and_a_cut_one_forgets(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        path = f"{folder}/file"
        await disk.truncate(path, 2**40)
        found = await disk.stat(path)
        assert found is not None
        assert found.size == 2**40
        await disk.write(path, 2**39, [b"far out"])
        assert await disk.read(path, 2**39 - 2, 11) == b"\0\0far out\0\0"
        await disk.truncate(path, 2**39 + 3)
        await disk.truncate(path, 2**39 + 10)
        assert await disk.read(path, 2**39) == b"far" + bytes(7)

    play(body)


def test_room_is_taken_and_what_is_there_stays(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        path = f"{folder}/file"
        await disk.write(path, 5000, [b"there"])
        for size, then in ((0, 5005), (5002, 5005), (70_000, 70_000)):
            await disk.allocate(path, size)
            found = await disk.stat(path)
            assert found is not None
            assert found.size == then
        assert (await disk.read(path, 4999, 7)) == b"\0there\0"

    play(body)


def test_a_replaced_file_has_only_the_new_content(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.replace(f"{folder}/file", b"the long old content")
        await disk.replace(f"{folder}/file", b"new")
        assert await disk.read(f"{folder}/file") == b"new"
        assert await disk.list(folder) == ["file"]

    play(body)


def test_replaces_at_the_same_time_leave_one_whole_content(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        contents = [bytes([n]) * 5000 for n in range(20)]
        await asyncio.gather(*[disk.replace(f"{folder}/file", data) for data in contents])
        assert await disk.read(f"{folder}/file") in contents
        assert await disk.list(folder) == ["file"]

    play(body)


def test_names_are_listed_moved_and_removed(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.make_folder(f"{folder}/a/b/c")
        await disk.make_folder(f"{folder}/a/b")
        await disk.write(f"{folder}/a/two", 0, [b"2"])
        await disk.write(f"{folder}/a/one", 0, [b"1"])
        assert await disk.list(f"{folder}/a") == ["b", "one", "two"]
        await disk.rename(f"{folder}/a/one", f"{folder}/a/two")
        await disk.rename(f"{folder}/a/two", f"{folder}/a/b/c/three")
        await disk.rename(f"{folder}/a/b", f"{folder}/moved")
        assert await disk.read(f"{folder}/moved/c/three") == b"1"
        await disk.remove(f"{folder}/moved/c/three")
        await disk.remove(f"{folder}/moved/c")
        assert await disk.list(f"{folder}/moved") == []
        assert await disk.list(f"{folder}/a") == []

    play(body)


def test_what_is_there_can_be_asked(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.write(f"{folder}/file", 0, [b"12345"])
        found = await disk.stat(f"{folder}/file")
        assert found is not None
        assert (found.size, found.is_folder) == (5, False)
        place = await disk.stat(folder)
        assert place is not None
        assert (place.size, place.is_folder) == (0, True)
        assert await disk.stat(f"{folder}/other") is None
        assert await disk.stat(f"{folder}/file/below") is None
        assert await disk.free(folder) > 0
        assert await disk.free(f"{folder}/not/yet") > 0
        await disk.sync(f"{folder}/file")
        await disk.sync(folder)

    play(body)


def test_what_is_missing_is_an_error_with_path_and_reason(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        gone = f"{folder}/gone"
        waits = [
            disk.read(gone),
            disk.read_into(gone, 0, bytearray(1)),
            disk.sync(gone),
            disk.list(gone),
            disk.remove(gone),
            disk.rename(gone, f"{folder}/new"),
            disk.write(f"{gone}/file", 0, [b"x"]),
            disk.replace(f"{gone}/file", b"x"),
        ]
        for wait in waits:
            with pytest.raises(MissingError, match=r"cannot \w+ .*/gone.*: No such file"):
                await wait

    play(body)


def test_what_cannot_be_done_is_a_storage_error(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.make_folder(f"{folder}/full")
        await disk.write(f"{folder}/full/file", 0, [b"x"])
        waits = [
            disk.remove(f"{folder}/full"),
            disk.write(f"{folder}/full", 0, [b"x"]),
            disk.rename(f"{folder}/full/file", f"{folder}/full"),
            disk.make_folder(f"{folder}/full/file"),
            disk.replace(f"{folder}/full", b"x"),
        ]
        for wait in waits:
            with pytest.raises(StorageError, match=f"cannot \\w+ {folder}/full"):
                await wait
        assert await disk.list(folder) == ["full"]

    play(body)


def test_a_lock_is_held_by_one(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        lock = await disk.lock(f"{folder}/lock")
        with pytest.raises(LockedError, match="/lock"):
            await disk.lock(f"{folder}/lock")
        lock.release()
        again = await disk.lock(f"{folder}/lock")
        lock.release()  # twice does no harm, not even to the next holder
        with pytest.raises(LockedError):
            await disk.lock(f"{folder}/lock")
        again.release()

    play(body)


def test_a_lock_that_nobody_waited_for_is_free(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        for _ in range(20):
            task = asyncio.ensure_future(disk.lock(f"{folder}/lock"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
        await disk.close()
        disk = reopened(disk)
        (await disk.lock(f"{folder}/lock")).release()
        await disk.close()

    play(body)


def test_other_blocking_work_runs_too(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        assert await disk.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await disk.run(divmod, 7, 0)
        with pytest.raises(StorageError, match=r"^bad piece$"):
            await disk.run(fail)

    play(body)


def fail() -> None:
    raise StorageError("bad piece")


def test_a_cancelled_call_happens_whole_or_not_at_all(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        contents = [b"%d" % n * 3000 for n in range(20)]
        for data in contents:
            task = asyncio.ensure_future(disk.replace(f"{folder}/file", data))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await disk.replace(f"{folder}/other", b"x")
        await disk.close()
        disk = reopened(disk)
        names = await disk.list(folder)
        assert names in (["other"], ["file", "other"])
        if "file" in names:
            assert await disk.read(f"{folder}/file") in contents
        await disk.close()

    play(body)


def reopened(disk: Any) -> Any:
    if isinstance(disk, Disk):
        return Disk()
    disk.crash()
    return disk


def test_a_closed_disk_says_so(play: Play) -> None:
    async def body(disk: Disk, folder: str) -> None:
        await disk.close()
        await disk.close()
        with pytest.raises(UsageError, match="closed"):
            await disk.read(f"{folder}/file")

    play(body)


# Both do the same, whatever is asked of them.


async def do_something(disk: Disk, folder: str, rng: Random) -> object:
    """One call drawn from the seed, most often on names that exist."""

    def path() -> str:
        return "/".join([folder, *rng.choices("abc", k=rng.choice((1, 1, 1, 2, 2, 3)))])

    offset, data = rng.randrange(3) * 10_000, rng.randbytes(rng.randrange(20_000))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: disk.read(path(), offset, rng.choice((-1, 0, 5000))),
        lambda: disk.read_into(path(), offset, bytearray(5000)),
        lambda: disk.write(path(), offset, [data, data]),
        lambda: disk.append(path(), [data]),
        lambda: disk.truncate(path(), rng.randrange(40_000)),
        lambda: disk.allocate(path(), rng.randrange(40_000)),
        lambda: disk.sync(path()),
        lambda: disk.replace(path(), data),
        lambda: disk.rename(path(), path()),
        lambda: disk.list(path()),
        lambda: disk.remove(path()),
        lambda: disk.make_folder(path()),
        lambda: disk.stat(path()),
    ]
    try:
        result = await rng.choice(calls)()
    except StorageError as error:
        return type(error)
    return result._replace(mtime_ns=0) if isinstance(result, real.Stat | simulated.Stat) else result


@pytest.mark.slow
def test_both_disks_answer_alike_to_whatever_is_asked(tmp_path: Path) -> None:
    async def body(seed: int) -> None:
        disks: list[tuple[Any, str]] = [
            (Disk(), f"{tmp_path}/{seed}"),
            (SimDisk(Random(0), delay=0), "/home"),
        ]
        answers = []
        for disk, folder in disks:
            rng = Random(seed)
            await disk.make_folder(folder)
            answers.append([await do_something(disk, folder, rng) for _ in range(60)])
            await disk.close()
        assert answers[0] == answers[1]

    for seed in range(20):
        asyncio.run(body(seed))


# What only the real one can show.


def test_the_loop_does_not_wait_for_the_disk() -> None:
    async def body() -> None:
        disk = Disk()
        gate = threading.Event()
        waiting = asyncio.ensure_future(disk.run(gate.wait, 10))
        await asyncio.sleep(0)
        gate.set()
        assert await waiting
        await disk.close()

    asyncio.run(body())


def test_files_are_made_with_the_mode_asked_for(tmp_path: Path) -> None:
    async def body() -> None:
        disk = Disk()
        await disk.replace(f"{tmp_path}/secret", b"x", 0o600)
        await disk.close()

    asyncio.run(body())
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_named() -> None:
    async def body() -> None:
        disk = Disk()
        with pytest.raises(DiskFullError, match="cannot write /dev/full: No space left"):
            await disk.write("/dev/full", 0, [b"x"])
        await disk.close()

    asyncio.run(body())


def test_a_replace_that_fails_leaves_the_old_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async def body() -> None:
        disk = Disk()
        await disk.replace(f"{tmp_path}/file", b"old")
        monkeypatch.setattr(os, "pwritev", no_room)
        with pytest.raises(DiskFullError):
            await disk.replace(f"{tmp_path}/file", b"new")
        monkeypatch.undo()
        assert await disk.read(f"{tmp_path}/file") == b"old"
        assert await disk.list(str(tmp_path)) == ["file"]
        await disk.close()

    asyncio.run(body())


def test_a_read_only_folder_is_named() -> None:
    async def body(folder: str) -> None:
        disk = Disk()
        await disk.write(f"{folder}/file", 0, [b"x"])
        os.chmod(folder, 0o555)
        os.chmod(f"{folder}/file", 0o444)
        with as_nobody():
            waits = [
                disk.write(f"{folder}/new", 0, [b"x"]),
                disk.write(f"{folder}/file", 0, [b"x"]),
                disk.replace(f"{folder}/file", b"x"),
                disk.remove(f"{folder}/file"),
                disk.make_folder(f"{folder}/deep/er"),
            ]
            for wait in waits:
                with pytest.raises(ReadOnlyError, match=r"cannot \w+ .*: Permission denied"):
                    await wait
            assert await disk.read(f"{folder}/file") == b"x"
        os.chmod(folder, 0o755)
        await disk.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(body(folder))

"""The simulated loop: time, hosts, crashes, and mistakes made loud."""

import asyncio

import pytest

from shoal.errors import DeadlockError, LivelockError, SimulationError
from shoal.sim.loop import START, SimLoop


def test_time_jumps_to_what_is_due() -> None:
    loop = SimLoop(1)

    async def main() -> None:
        await asyncio.sleep(3600)

    loop.run_until_complete(main())
    assert loop.now == START + 3600


def test_unmodified_asyncio_runs() -> None:
    async def main() -> list[int]:
        async def later(number: int) -> int:
            await asyncio.sleep(number)
            return number

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(later(number)) for number in range(5)]
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        return [task.result() for task in tasks]

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(main()) == [0, 1, 2, 3, 4]


def test_a_deadlock_names_the_seed() -> None:
    loop = SimLoop(77)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError) as caught:
        loop.run_until_complete(main())
    assert "seed 77" in caught.value.__notes__[0]
    loop.close()


def test_a_livelock_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.sim.loop.LIVELOCK", 10_000)
    loop = SimLoop(5)

    async def main() -> None:
        end = loop.time() + 1
        while loop.time() < end:  # noqa: ASYNC110 - the mistake itself
            await asyncio.sleep(0)

    with pytest.raises(LivelockError, match="at one moment"):
        loop.run_until_complete(main())
    loop.close()


def test_an_exception_that_nobody_handles_ends_the_run() -> None:
    loop = SimLoop(5)
    loop.call_later(1, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(asyncio.sleep(2))
    loop.close()


def test_the_host_is_inherited_by_tasks_and_callbacks() -> None:
    loop = SimLoop(1)
    network = loop.network
    host = network.host("a")
    seen = []

    async def child() -> None:
        seen.append(network.current.name)
        loop.call_later(1, lambda: seen.append(network.current.name))
        await asyncio.sleep(2)

    async def main() -> None:
        await host.run(child())
        seen.append(network.current.name)

    loop.run_until_complete(main())
    assert seen == ["a", "a", "home"]


def test_a_crash_runs_no_finally() -> None:
    loop = SimLoop(1)
    host = loop.network.host("a")
    said = []

    async def child() -> None:
        try:
            loop.call_later(3, said.append, "callback")
            await asyncio.sleep(3)
        finally:
            said.append("finally")

    async def main() -> None:
        host.spawn(child())
        await asyncio.sleep(1)
        host.crash()
        assert (host.epoch, host.alive) == (1, False)
        await asyncio.sleep(10)
        host.restart()
        assert await host.run(asyncio.sleep(1, "alive")) == "alive"

    loop.run_until_complete(main())
    assert said == []


def test_who_waits_for_a_host_that_crashes_is_told() -> None:
    loop = SimLoop(1)
    host = loop.network.host("a")

    async def main() -> None:
        loop.call_later(1, host.crash)
        await host.run(asyncio.sleep(2))

    with pytest.raises(SimulationError, match="host a crashed"):
        loop.run_until_complete(main())

"""Loop, tasks, timers: the same on the simulator, asyncio and uvloop."""

import asyncio
import contextvars
from typing import Any

import pytest
from tests.sim.conftest import Run


def test_callbacks_run_in_the_order_of_their_making(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        said: list[str] = []
        loop.call_later(0.02, said.append, "later")
        loop.call_soon(said.append, "soon")
        loop.call_soon(said.append, "then")
        loop.call_later(0.01, said.append, "sooner")
        loop.call_soon_threadsafe(said.append, "safe")
        await asyncio.sleep(0.05)
        return said

    assert run(main()) == ["soon", "then", "safe", "sooner", "later"]


def test_cancelled_handles_do_not_run(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        said: list[str] = []
        soon = loop.call_soon(said.append, "soon")
        later = loop.call_later(0.001, said.append, "later")
        soon.cancel()
        later.cancel()
        later.cancel()
        assert soon.cancelled()
        assert later.cancelled()
        await asyncio.sleep(0.01)
        return said

    assert run(main()) == []


def test_thousands_of_cancelled_timers_leave_the_others_alone(run: Run) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        handles = [loop.call_later(5, done.cancel) for _ in range(2000)]
        loop.call_later(0.01, done.set_result, 7)
        for handle in handles:
            handle.cancel()
        return int(await done)

    assert run(main()) == 7


def test_a_timer_knows_when(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + 60
        handle = loop.call_at(when, print)
        assert abs(handle.when() - when) < 0.01
        handle.cancel()

    run(main())


def test_context_variables_are_copied_into_callbacks_and_tasks(run: Run) -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        seen: list[str] = []

        async def child() -> None:
            seen.append(colour.get())
            colour.set("child")

        colour.set("red")
        loop.call_soon(lambda: seen.append(colour.get()))
        task = loop.create_task(child())
        colour.set("blue")
        other = contextvars.copy_context()
        other.run(colour.set, "green")
        loop.call_soon(lambda: seen.append(colour.get()), context=other)
        await task
        await asyncio.sleep(0)
        return [*seen, colour.get()]

    assert run(main()) == ["red", "red", "green", "blue"]


def test_timeouts_groups_and_shields(run: Run) -> None:
    async def main() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        with pytest.raises(ExceptionGroup):
            await together()
        return await asyncio.shield(asyncio.sleep(0.001, "done"))

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(5))
            group.create_task(fail())

    async def fail() -> None:
        raise ValueError

    assert run(main()) == "done"


@pytest.mark.slow
def test_wait_gather_and_as_completed(run: Run) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(asyncio.sleep(n / 10, n)) for n in (3, 1, 2)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert 1 in [task.result() for task in done]
        assert len(done) + len(pending) == 3
        assert await asyncio.gather(*tasks) == [3, 1, 2]
        again = [asyncio.create_task(asyncio.sleep(n / 10, n)) for n in (3, 1, 2)]
        assert [await each for each in asyncio.as_completed(again)] == [1, 2, 3]

    run(main())


def test_queues_locks_and_conditions(run: Run) -> None:
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        got: list[int] = []

        async def consume() -> None:
            for _ in range(10):
                got.append(await queue.get())
                queue.task_done()

        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            for number in range(10):
                await queue.put(number)
            await queue.join()
        return got

    assert run(main()) == list(range(10))


def test_executors_return_and_raise(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, pow, 2, 10) == 1024
        assert await asyncio.to_thread(len, "four") == 4
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)

    run(main())


def test_a_handler_gets_what_nobody_caught(run: Run) -> None:
    async def main() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, report: reports.append(report))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)
        assert loop.get_exception_handler() is not None
        loop.set_exception_handler(None)
        return reports

    (report,) = run(main())
    assert isinstance(report["exception"], ZeroDivisionError)
    assert report["message"].startswith("Exception in callback")


def test_abandoned_generators_are_closed(run: Run) -> None:
    said: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            said.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        generator = numbers()
        await anext(generator)
        main.generator = generator  # type: ignore[attr-defined] # closed by the runner

    run(main())
    assert said == ["closed", "closed"]


def test_task_factories_are_used(run: Run) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        made: list[Any] = []

        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **options)

        loop.set_task_factory(factory)
        assert loop.get_task_factory() is factory
        await asyncio.create_task(asyncio.sleep(0), name="one")
        loop.set_task_factory(None)
        await asyncio.create_task(asyncio.sleep(0))
        return len(made)

    assert run(main()) == 1


def test_a_closed_loop_refuses_work(run: Run) -> None:
    async def main() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        assert loop.is_running()
        assert not loop.is_closed()
        return loop

    loop = run(main())
    assert loop.is_closed()
    assert not loop.is_running()
    with pytest.raises(RuntimeError):
        loop.call_soon(print)
    loop.close()  # twice is fine


def test_cancelling_from_outside_reaches_the_deepest_wait(run: Run) -> None:
    async def main() -> list[str]:
        said: list[str] = []

        async def deep() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                said.append("cancelled")
                raise
            finally:
                said.append("cleaned")

        async def shallow() -> None:
            await deep()

        task = asyncio.create_task(shallow())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        return said

    assert run(main()) == ["cancelled", "cleaned"]

"""Parcels in a simulated world: lost packets, cut connections, crashes, full disks, crowds."""

import asyncio

import pytest
from tests.apps.parcels import (
    BLOCK,
    FILES,
    HOME,
    OUT,
    WRONG,
    Seller,
    check,
    content,
    fill,
    names,
    play,
    receive,
    world_of,
)  # fmt: skip

from shoal.apps.code import Code
from shoal.apps.guard import SendSettings
from shoal.errors import DiskFullError, LimitError, NotFoundError, RefusedError, UnreachableError

WINDOW = 256 * 1024  # bytes that a stream takes before anybody reads
pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("shoal.apps.parcel.BLOCK", BLOCK)


def test_a_parcel_arrives_although_packets_are_lost():
    async def scenario(world, alice, bob):
        world.links.loss = 0.02
        await fill(alice.disk)
        seller = Seller(alice)
        await seller.start()
        result = await bob.run(receive(bob, alice))
        await seller.task
        await check(bob.disk)
        assert (result.kept, result.size) == (0, sum(FILES.values()))
        assert result.address.startswith(f"/ip4/{alice.ip}/")
        assert len(seller.told("delivered")) == 1

    play(scenario)


def test_a_cut_connection_is_made_anew_and_nothing_is_sent_twice():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        seller = Seller(alice)
        await seller.start()
        bob.disk.delay = 0.05  # every call takes its time: the cut comes in the middle
        fetching = asyncio.ensure_future(bob.run(receive(bob, alice, patience=400)))
        await world.until(
            lambda: any(e.done > 40 * BLOCK for e in seller.events), within=300, every=0.01
        )
        world.partition([alice], [bob])
        await asyncio.sleep(300)
        world.heal()
        result = await fetching
        await check(bob.disk, files=files)
        assert result.kept > 20 * BLOCK

    files = {"big": 200 * BLOCK + 17}
    play(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_a_receiver_that_crashes_goes_on_and_keeps_only_what_is_right(seed):
    async def scenario():
        await fill(alice.disk, files=files)
        seller = Seller(alice)
        await seller.start()
        bob.disk.delay = 0.02
        bob.spawn(receive(bob, alice))
        await world.until(
            lambda: any(e.done > world.rng.randrange(1, 60) * BLOCK for e in seller.events),
            within=300,
        )
        bob.crash()
        await asyncio.sleep(world.rng.uniform(0.1, 5))
        bob.restart()
        for name in [name for name in await names(bob.disk, OUT) if not name.endswith("-part")]:
            whole = content(name.removeprefix("album/"), files[name.removeprefix("album/")])
            assert await bob.disk.read(f"{OUT}/{name}") == whole, "a name means all of it"
        await bob.run(receive(bob, alice))
        await check(bob.disk, files=files)

    files = {f"file {number}": 9 * BLOCK + number for number in range(8)}
    with world_of(seed) as world:
        alice, bob = world.host("alice"), world.host("bob")
        world.run(scenario())


def test_a_full_disk_is_told_to_both_and_loses_nothing():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        seller = Seller(alice)
        await seller.start()
        capacity, bob.disk.capacity = bob.disk.capacity, 50_000
        with pytest.raises(DiskFullError):
            await bob.run(receive(bob, alice))
        await asyncio.sleep(1)
        assert await bob.disk.stat(f"{OUT}/album/big") is None
        assert "DiskFullError" in seller.told("declined")[0].reason
        bob.disk.capacity = capacity
        await bob.run(receive(bob, alice))
        await check(bob.disk, files=files)

    files = {"big": 100_000}
    play(scenario)


def test_a_disk_that_fills_up_on_the_way_is_told_to_both():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        seller = Seller(alice)
        await seller.start()
        bob.disk.delay = 0.02
        fetching = asyncio.ensure_future(bob.run(receive(bob, alice)))
        await world.until(lambda: len(seller.told("progress")) > 5, within=300)
        bob.disk.capacity = 10 * BLOCK
        with pytest.raises(DiskFullError):
            await fetching
        await asyncio.sleep(5)
        assert seller.told("declined")
        assert not seller.task.done()

    files = {"big": 60 * BLOCK}
    play(scenario)


def test_two_receivers_get_it_at_the_same_time():
    async def scenario():
        await fill(alice.disk)
        seller = Seller(alice)
        await seller.start(times=2)
        await asyncio.gather(*(each.run(receive(each, alice)) for each in (bob, carol)))
        await seller.task
        await check(bob.disk)
        await check(carol.disk)

    with world_of() as world:
        alice, bob, carol = (world.host(name) for name in ("alice", "bob", "carol"))
        world.run(scenario())


def test_of_several_senders_under_one_number_the_right_one_is_found():
    async def scenario():
        sellers = []
        for number, host in enumerate(hosts):
            await fill(host.disk, files={f"of {number}": 1000})
            sellers.append(Seller(host, Code(7042, ("guitar", f"word{number}"))))
            await sellers[-1].start()
        await bob.run(receive(bob, *hosts, code=sellers[4].code))
        await check(bob.disk, files={"of 4": 1000})
        assert all(seller.sender.guard.left >= 9 for seller in sellers)

    with world_of() as world:
        hosts = [world.host() for _ in range(5)]
        bob = world.host("bob")
        world.run(scenario())


def test_wrong_words_end_soon_and_the_right_ones_still_work():
    async def scenario(world, alice, bob):
        await fill(alice.disk)
        seller = Seller(alice)
        await seller.start()
        began = world.time
        with pytest.raises(RefusedError, match="other words"):
            await bob.run(receive(bob, alice, code=WRONG))
        assert world.time - began < 10
        assert seller.told("guessed")[0].left == 9
        await bob.run(receive(bob, alice))
        await check(bob.disk)

    play(scenario)


def test_ten_wrong_guesses_kill_the_code_and_the_sender_is_told():
    async def scenario():
        await fill(alice.disk)
        seller = Seller(alice, settings=SendSettings(delay=0.1, delay_max=1.0))
        await seller.start()
        for number in range(10):
            guess = Code(7042, ("guitar", f"guess{number}"))
            with pytest.raises(RefusedError):
                await eve.run(receive(eve, alice, code=guess))
        with pytest.raises(LimitError, match="dead"):
            await seller.task
        assert [event.left for event in seller.told("guessed")] == list(range(9, -1, -1))
        assert await eve.disk.stat(OUT) is None

    with world_of() as world:
        alice, eve = world.host("alice"), world.host("eve")
        world.run(scenario())


@pytest.mark.slow
def test_a_crowd_of_guessers_has_ten_guesses_together():
    async def scenario():
        await fill(alice.disk)
        seller = Seller(alice)
        await seller.start()
        attempts = [
            host.run(receive(host, alice, code=Code(7042, ("guess", f"w{number}")), patience=30))
            for number, host in enumerate(crowd)
        ]
        ends = await asyncio.gather(*attempts, seller.task, return_exceptions=True)
        assert all(
            isinstance(end, RefusedError | NotFoundError | UnreachableError) for end in ends[:-1]
        )
        assert isinstance(ends[-1], LimitError)
        assert len(seller.told("guessed")) == 10

    with world_of() as world:
        alice = world.host("alice")
        crowd = [world.host() for _ in range(25)]
        world.run(scenario())


def test_nobody_and_nobody_reachable_are_told_apart():
    async def scenario(world, alice, bob):
        with pytest.raises(NotFoundError):
            await bob.run(receive(bob, patience=5))
        with pytest.raises(UnreachableError) as caught:
            await bob.run(receive(bob, alice, patience=5))
        assert list(caught.value.reasons) == [f"/ip4/{alice.ip}/tcp/4001"]

    play(scenario)


def test_a_file_that_changes_is_told_and_never_gets_its_name():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        seller = Seller(alice)
        await seller.start()
        await alice.disk.write(f"{HOME}/shorter", 0, [b"!"])
        await alice.disk.truncate(f"{HOME}/shorter", 10)
        await asyncio.sleep(0.1)
        await alice.disk.write(f"{HOME}/other", 7, [b"!"])
        await alice.disk.remove(f"{HOME}/gone")
        result = await bob.run(receive(bob, alice))
        await seller.task
        reasons = {each.partition(":")[0] for each in result.changed}
        assert reasons == {"album/shorter", "album/other", "album/gone"}
        assert set(seller.sender.changed) == reasons
        here = [name for name in await names(bob.disk, f"{OUT}/album") if "-part" not in name]
        assert here == ["same"]

    files = {"shorter": 3 * BLOCK, "other": 3 * BLOCK, "gone": 5, "same": 2 * BLOCK}
    play(scenario)


def test_what_is_there_is_not_sent_again_and_never_written_over():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        await fill(bob.disk, f"{OUT}/album", {"same": 50_000})
        for name in ("sized", "differs"):
            await bob.disk.write(
                f"{OUT}/album/{name}", 0, [b"mine" * (1 + 12_499 * (name == "differs"))]
            )
        seller = Seller(alice)
        await seller.start()
        result = await bob.run(receive(bob, alice))
        assert result.kept == 50_000
        for name in ("sized", "differs"):
            assert (await bob.disk.read(f"{OUT}/album/{name}")).startswith(b"minemine"[:4])
            assert await bob.disk.read(f"{OUT}/album/{name}.1") == content(name, 50_000)
        assert sorted(await names(bob.disk, f"{OUT}/album")) == [
            "differs", "differs.1", "same", "sized", "sized.1"
        ]  # fmt: skip

    files = {"same": 50_000, "sized": 50_000, "differs": 50_000}
    play(scenario)


def test_a_file_that_needs_another_name_takes_none_that_is_offered():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files=files)
        await bob.disk.make_folder(f"{OUT}/album")
        await bob.disk.write(f"{OUT}/album/a.txt", 0, [b"mine"])
        seller = Seller(alice)
        await seller.start()
        await bob.run(receive(bob, alice))
        assert await bob.disk.read(f"{OUT}/album/a.txt") == b"mine"
        assert await bob.disk.read(f"{OUT}/album/a.1.txt") == content("a.1.txt", 50_000)
        assert await bob.disk.read(f"{OUT}/album/a.2.txt") == content("a.txt", 70_000)

    files = {"a.1.txt": 50_000, "a.txt": 70_000}
    play(scenario)


def test_a_receiver_may_say_no_after_it_has_seen_the_names():
    async def scenario(world, alice, bob):
        async def no(items):
            assert len(items) == len(FILES)
            return False

        await fill(alice.disk)
        seller = Seller(alice)
        await seller.start()
        with pytest.raises(RefusedError):
            await bob.run(receive(bob, alice, accept=no))
        await asyncio.sleep(1)
        assert seller.told("declined")
        assert await bob.disk.stat(OUT) is None

    play(scenario)


def test_a_receiver_with_a_slow_disk_holds_the_sender_back():
    async def scenario(world, alice, bob):
        await fill(alice.disk, files={"big": 600 * BLOCK})
        seller = Seller(alice)
        await seller.start()
        bob.disk.rate = 4 * BLOCK  # bytes a second
        fetching = asyncio.ensure_future(bob.run(receive(bob, alice)))
        await world.until(lambda: seller.told("connected"), within=60)
        await asyncio.sleep(20)
        assert seller.told("progress")[-1].done < 20 * 4 * BLOCK + 2 * WINDOW + 10 * BLOCK
        fetching.cancel()
        seller.task.cancel()

    play(scenario)

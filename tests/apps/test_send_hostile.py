"""Who knows the words may still lie, and who does not know them may try everything."""

import asyncio
from contextlib import suppress

import pytest
from tests.apps.parcels import (
    BLOCK,
    CODE,
    OUT,
    Seller,
    check,
    content,
    fill,
    names,
    node_on,
    receive,
    world_of,
)

from shoal.apps.pake import PROOF_SIZE, Pake
from shoal.apps.parcel import (
    DIGEST,
    MESSAGE_MAX,
    PROTOCOL,
    WORD_MAX,
    Accept,
    Claim,
    Hello,
    Item,
    Offer,
    Plan,
    Proof,
    Received,
    Wait,
    encode,
)
from shoal.apps.talk import expect, say
from shoal.errors import LimitError, ProtocolError, RefusedError, ShoalError
from shoal.peer.multiaddr import Multiaddr

pytestmark = pytest.mark.usefixtures("small_blocks")
FILES = {"big": 40 * BLOCK, "small": 10}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("shoal.apps.parcel.BLOCK", BLOCK)


async def prove_as_sender(node, stream):
    """What an honest sender does."""
    hello = await expect(stream, Hello, WORD_MAX)
    pake = Pake(
        CODE.password, PROTOCOL, stream.peer.bytes, node.id.bytes, is_sender=True, rng=node.rng
    )
    pake.receive(hello.share)
    await say(stream, Hello(pake.share))
    proof = await expect(stream, Proof, WORD_MAX)
    assert pake.check(proof.proof)
    await say(stream, Proof(pake.proof))


async def prove_as_receiver(node, address):
    stream = await node.open(address, PROTOCOL)
    pake = Pake(
        CODE.password, PROTOCOL, node.id.bytes, stream.peer.bytes, is_sender=False, rng=node.rng
    )
    await say(stream, Hello(pake.share))
    hello = await expect(stream, Hello, WORD_MAX)
    pake.receive(hello.share)
    await say(stream, Proof(pake.proof))
    assert pake.check((await expect(stream, Proof, WORD_MAX)).proof)
    return stream


def fetch_from(behave, error=ProtocolError):
    """A receiver meets a sender that behaves like this; what it has afterwards."""

    async def lie(ready):
        async with node_on(mallory) as node:

            async def handle(stream):
                await behave(node, stream)
                await asyncio.sleep(100)

            node.handle(PROTOCOL, handle)
            ready.set()
            await asyncio.sleep(1000)

    async def scenario():
        ready = asyncio.Event()
        mallory.spawn(lie(ready))
        await ready.wait()
        with pytest.raises(error):
            await bob.run(receive(bob, mallory, patience=30))
        return await names(bob.disk, "/")

    with world_of() as world:
        mallory, bob = world.host("mallory"), world.host("bob")
        return world.run(scenario())


def offering(*messages, data=b""):
    async def behave(node, stream):
        await prove_as_sender(node, stream)
        for message in messages:
            await stream.write_message(message if isinstance(message, bytes) else encode(message))
            if isinstance(message, Offer):
                while not isinstance(await expect(stream, Claim | Accept, MESSAGE_MAX), Accept):
                    pass
        await stream.write(data)

    return behave


ONE = Offer([Item((b"a",), 100)])


@pytest.mark.parametrize("parts", [(b"..", b"a"), (b"/a",), (b"a", b"..", b"..", b"b")])
def test_a_name_that_climbs_out_of_the_folder_is_refused(parts):
    assert fetch_from(offering(Offer([Item(parts, 1)]))) == []


def test_a_plan_for_what_nobody_claimed_is_refused():
    assert fetch_from(offering(ONE, Plan({0: 100}))) == []


def test_more_bytes_than_were_offered_are_refused():
    data = (101).to_bytes(4, "big") + bytes(101)
    assert fetch_from(offering(ONE, Plan({}), data=data)) == ["out/a.shoal-part"]


def test_a_block_of_four_gigabytes_is_refused_before_it_is_read():
    huge = Offer([Item((b"a",), 1 << 33)])
    assert fetch_from(offering(huge, Plan({}), data=b"\xff" * 4)) == ["out/a.shoal-part"]


@pytest.mark.parametrize("end", [b"\0\0\0\0\0", b"\0\0\0\0\x09"])
def test_a_file_that_ends_too_early_or_strangely_never_gets_its_name(end):
    assert fetch_from(offering(ONE, Plan({}), data=end)) == ["out/a.shoal-part"]


def test_an_offer_that_is_too_long_is_refused_before_it_is_read():
    async def behave(node, stream):
        await prove_as_sender(node, stream)
        await stream.write(b"\xff\xff\xff\xff\x7f")  # the length of a message

    assert fetch_from(behave) == []


def test_a_message_out_of_turn_is_refused():
    assert fetch_from(offering(Received())) == []


def test_who_does_not_know_the_words_gets_one_guess_and_shows_no_name():
    async def behave(node, stream):
        hello = await expect(stream, Hello, WORD_MAX)
        pake = Pake(
            b"other-words", PROTOCOL, stream.peer.bytes, node.id.bytes, is_sender=True,
            rng=node.rng,
        )  # fmt: skip
        pake.receive(hello.share)
        await say(stream, Hello(pake.share))
        proofs.append(await expect(stream, Proof, WORD_MAX))
        await say(stream, Proof(bytes(PROOF_SIZE)))
        await say(stream, ONE)

    proofs: list[Proof] = []
    assert fetch_from(behave, RefusedError) == []
    assert len(proofs) == 1


def test_a_sender_that_says_nothing_or_wait_for_ever_holds_nobody_for_ever():
    async def silent(node, stream):
        await asyncio.sleep(1000)

    async def waits(node, stream):
        await say(stream, Wait(3600))

    for behave in (silent, waits):
        assert fetch_from(behave, ShoalError) == []


def test_those_who_make_us_wait_do_not_keep_us_from_the_right_one():
    async def wait(stream):
        await expect(stream, Hello, WORD_MAX)
        await say(stream, Wait(3600))

    async def rogue(host):
        async with node_on(host) as node:
            node.handle(PROTOCOL, wait)
            await asyncio.sleep(1000)

    async def scenario():
        await fill(alice.disk, files=FILES)
        seller = Seller(alice)
        await seller.start()
        for host in rogues:
            host.spawn(rogue(host))
        await bob.run(receive(bob, *rogues, alice, patience=20))
        return await bob.disk.stat(f"{OUT}/album")

    with world_of() as world:
        alice, bob = world.host("alice"), world.host("bob")
        rogues = [world.host(f"rogue{number}") for number in range(6)]
        assert world.run(scenario()) is not None


def send_to(*behaviours):
    """A sender meets receivers that behave like this, and an honest one afterwards."""

    async def as_mallory(behave, address):
        async with node_on(mallory) as node:
            await behave(node, address)

    async def scenario():
        await fill(alice.disk, files=FILES)
        seller = Seller(alice)
        await seller.start()
        address = Multiaddr.of(alice.ip, 4001)
        for behave in behaviours:
            await mallory.run(as_mallory(behave, address))
        await bob.run(receive(bob, alice))
        await seller.task
        await check(bob.disk, files=FILES)
        return seller

    with world_of() as world:
        alice, mallory, bob = world.host("alice"), world.host("mallory"), world.host("bob")
        return world.run(scenario())


def claiming(*messages):
    """Lie about what is there; the sender ends it."""

    async def behave(node, address):
        stream = await prove_as_receiver(node, address)
        offer = await expect(stream, Offer, MESSAGE_MAX)
        for message in messages:
            await stream.write_message(message if isinstance(message, bytes) else encode(message))
        with suppress(ShoalError):  # reset, or ended in good order
            while await stream.read():
                pass
        assert len(offer.items) == 2

    return behave


def test_claims_that_cannot_be_true_end_it_and_others_are_served():
    seller = send_to(
        claiming(Claim(0, 1 << 40, bytes(DIGEST))),
        claiming(Claim(5, 1, bytes(DIGEST))),
        claiming(Claim(0, 40 * BLOCK, bytes(DIGEST))),
        claiming(Claim(1, 5, bytes(DIGEST)), Claim(1, 5, bytes(DIGEST))),
        claiming(Received()),
        claiming(b"garbage"),
        claiming(b"\x85" * 50),
    )
    assert len(seller.told("lost")) == 7
    assert seller.sender.guard.left == 10


def test_wrong_digests_only_mean_that_all_of_it_is_sent():
    async def behave(node, address):
        stream = await prove_as_receiver(node, address)
        offer = await expect(stream, Offer, MESSAGE_MAX)
        index = [item.parts[-1] for item in offer.items].index(b"big")
        await say(stream, Claim(index, 40 * BLOCK, bytes(40 * DIGEST)))
        await say(stream, Accept())
        plan = await expect(stream, Plan, MESSAGE_MAX)
        assert plan.starts == {index: 0}
        length = int.from_bytes(await stream.readexactly(4), "big")
        assert await stream.readexactly(length) == content("big", 40 * BLOCK)[:length]

    send_to(behave)


def test_attempts_without_a_proof_are_no_guesses_but_have_to_wait():
    async def behave(node, address):
        for data in [encode(Hello(b"A" + bytes(32))), encode(Hello(b"")), b"", b"\xc1"] * 5:
            stream = await node.open(address, PROTOCOL)
            await stream.write_message(data)
            with suppress(ShoalError):
                answers.append(await expect(stream, Hello | Wait, WORD_MAX))

    answers: list[object] = []
    seller = send_to(behave)
    assert sum(isinstance(answer, Wait) for answer in answers) > 3
    assert seller.sender.guard.left == 10


def test_the_words_work_for_nobody_after_the_code_is_dead():
    async def scenario():
        await fill(alice.disk, files=FILES)
        seller = Seller(alice)
        await seller.start()
        seller.sender.guard.failures = 10
        with pytest.raises(RefusedError):
            await bob.run(receive(bob, alice))
        seller.sender._news.set()
        with pytest.raises(LimitError):
            await seller.task
        assert await bob.disk.stat(OUT) is None

    with world_of() as world:
        alice, bob = world.host("alice"), world.host("bob")
        world.run(scenario())

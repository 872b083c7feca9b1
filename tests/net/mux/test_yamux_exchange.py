"""Two cores exchange everything, however the bytes between them are cut."""

import random

import pytest
from tests.net.mux.pair import End, Recorder

from shoal.net.mux.channel import Channel
from shoal.net.mux.yamux import YamuxSettings


class Party:
    """One side: what it still has to say on each stream, and what it has heard."""

    def __init__(self, chance: random.Random, initiator: bool) -> None:
        self.chance = chance
        settings = YamuxSettings(window_max=2**20, growth_max=2**21, streams_max=64)
        self.end = End(initiator, settings=settings)
        self.own: list[tuple[Channel, Recorder]] = []
        self.said: dict[int, bytes] = {}
        self.left: dict[int, memoryview] = {}
        self.read: dict[int, int] = {}
        self.wire = bytearray()

    def channels(self) -> list[tuple[Channel, Recorder]]:
        return self.own + self.end.accepted

    def act(self, now: float) -> None:
        """Open, write, read or end something."""
        chance = self.chance
        if len(self.own) < 8 and chance.random() < 0.2:
            self.own.append(self.end.open())
        for channel, recorder in self.channels():
            key = id(channel)
            if key not in self.said:
                self.said[key] = chance.randbytes(chance.choice([0, 1, 5000, 700_000]))
                self.left[key] = memoryview(self.said[key])
                self.read[key] = 0
            self.write(channel, key)
            count = chance.randint(0, len(recorder.data) - self.read[key])
            if count:
                self.read[key] += count
                self.end.mux.consumed(channel, count, now)

    def write(self, channel: Channel, key: int) -> None:
        if self.left[key]:
            size = self.chance.choice([1, 100, 65536, 300_000])
            self.left[key] = self.left[key][self.end.mux.send(channel, self.left[key][:size]) :]
        elif not channel.write_ended:
            self.end.mux.end(channel, "write")

    @property
    def done(self) -> bool:
        return len(self.own) == 8 and all(
            not self.left.get(id(channel), b"x")
            and recorder.ends == [None]
            and self.read[id(channel)] == len(recorder.data)
            for channel, recorder in self.channels()
        )


def carry(chance: random.Random, source: Party, target: Party, now: float) -> None:
    source.wire += source.end.take()
    size = chance.choice([1, 11, 13, 1000, 65519, 10**6])
    chunk = bytes(source.wire[:size])
    del source.wire[:size]
    target.end.give(chunk, now)
    for channel in target.end.mux.channels.values():
        assert 0 <= channel.granted <= channel.window
        assert channel.granted + channel.unread <= channel.window


@pytest.mark.parametrize("seed", range(6))
def test_everything_arrives_and_no_window_is_exceeded(seed: int) -> None:
    chance = random.Random(seed)
    a, b = Party(chance, True), Party(chance, False)
    now = 0.0
    while not (a.done and b.done):
        now += chance.random() / 100
        a.act(now)
        b.act(now)
        carry(chance, a, b, now)
        carry(chance, b, a, now)
        assert now < 1000
    for one, other in ((a, b), (b, a)):
        numbers = {channel.id: recorder for channel, recorder in other.end.accepted}
        for channel, recorder in one.own:
            assert numbers[channel.id].data == one.said[id(channel)]
            [theirs] = [c for c, _ in other.end.accepted if c.id == channel.id]
            assert recorder.data == other.said[id(theirs)]
        assert one.end.mux.unread == 0
        assert not one.end.mux.channels

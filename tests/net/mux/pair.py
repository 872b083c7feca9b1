"""Two yamux cores and a pipe between them."""

from shoal.errors import ShoalError
from shoal.net.mux.channel import Channel
from shoal.net.mux.frames import HEADER
from shoal.net.mux.yamux import Yamux, YamuxSettings


class Recorder:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[ShoalError | None] = []
        self.writable_calls = 0

    def received(self, data: memoryview) -> None:
        self.data += data

    def ended(self, error: ShoalError | None) -> None:
        self.ends.append(error)

    def writable(self) -> None:
        self.writable_calls += 1


class End:
    """One core, and a recorder for each stream that the other side opens."""

    def __init__(
        self, initiator: bool, now: float = 0.0, settings: YamuxSettings | None = None
    ) -> None:
        self.mux = Yamux(initiator, now, settings, self._accept)
        self.accepted: list[tuple[Channel, Recorder]] = []

    def _accept(self, channel: Channel) -> Recorder:
        recorder = Recorder()
        self.accepted.append((channel, recorder))
        return recorder

    def open(self) -> tuple[Channel, Recorder]:
        recorder = Recorder()
        return self.mux.open_stream(recorder), recorder

    def take(self) -> bytes:
        data = b"".join(self.mux.out)
        self.mux.out.clear()
        return data

    def frames(self) -> list[tuple[int, int, int, int, bytes]]:
        """What would leave now: (kind, flags, stream, length, data)."""
        return split(self.take())

    def give(self, data: bytes, now: float = 0.0) -> None:
        assert self.mux.receive(memoryview(bytearray(data)), now) == len(data)


def split(data: bytes) -> list[tuple[int, int, int, int, bytes]]:
    frames = []
    at = 0
    while at < len(data):
        version, kind, flags, number, length = HEADER.unpack_from(data, at)
        assert version == 0
        at += HEADER.size
        body = data[at : at + length] if kind == 0 else b""
        at += len(body)
        frames.append((kind, flags, number, length, body))
    return frames


def pump(a: End, b: End, now: float = 0.0) -> None:
    """Carry bytes both ways until nobody has anything to say."""
    while a.mux.out or b.mux.out:
        b.give(a.take(), now)
        a.give(b.take(), now)


def connected(settings: YamuxSettings | None = None) -> tuple[End, End]:
    a, b = End(True, settings=settings), End(False, settings=settings)
    pump(a, b)
    return a, b

"""A Link's part in a call, without a Grape."""


class Names:
    """Names and ports, in memory."""

    def __init__(self) -> None:
        self.ports: dict[str, list[int]] = {}
        self.lookups = 0

    async def lookup(self, name: str, *, fresh: bool = False) -> list[str]:
        self.lookups += 1
        return [f"127.0.0.1:{port}" for port in self.ports.get(name, [])]

    async def announce(self, name: str, port: int) -> int:
        self.ports.setdefault(name, []).append(port)
        return 1

    async def withdraw(self, name: str, port: int) -> None:
        self.ports[name] = [each for each in self.ports[name] if each != port]

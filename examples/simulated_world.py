"""An hour passes in a simulated world, in no time: unmodified asyncio, virtual clock."""

import asyncio

from shoal.sim.loop import SimLoop


async def main() -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(3600)
    return loop.time() - began


with asyncio.Runner(loop_factory=lambda: SimLoop(seed=1)) as runner:
    print(f"{runner.run(main()):.0f} s have passed")

"""Where examples and blocks run: a folder and a home of their own, nothing beyond loopback."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
        "SHOAL_PROFILE": "local",
        "SHOAL_HOME": str(folder / "home"),
    }

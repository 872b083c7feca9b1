"""What the node says while it works, on stderr.

    error     something ended that should not have
    warning   something the user should know or can mend
    info      what happens to the node: peers come and go, transfers start and end   (-v)
    debug     why: each dial, lookup hop and refusal with its reason            (-vv, --debug)

Messages name their subject first and carry the figures that decide.  The time
is left out where a journal adds its own.
"""

import logging
import os
import sys

NAME = "shoal"  # of our handler: a second command in this process takes its place
LEVELS = [logging.WARNING, logging.INFO, logging.DEBUG]  # by the number of -v


def set_up(verbose: int, *, debug: bool = False) -> None:
    """Send what shoal says to stderr; other libraries are heard from WARNING on."""
    level = logging.DEBUG if debug else LEVELS[min(verbose, len(LEVELS) - 1)]
    time = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s.%(msecs)03d "
    form = f"{time}%(levelname)-7s %(name)s: %(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(form, datefmt="%H:%M:%S"))
    handler.set_name(NAME)
    root = logging.getLogger()
    for former in [each for each in root.handlers if each.name == NAME]:
        root.removeHandler(former)
    root.addHandler(handler)
    logging.getLogger("shoal").setLevel(level)

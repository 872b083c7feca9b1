"""A command for the tests: it fails, waits or writes as it is told."""

import asyncio
from argparse import ArgumentParser, Namespace

from shoal.cli.main import COMMANDS, main
from shoal.cli.output import Output
from shoal.errors import NotFoundError, ProtocolError, UnreachableError, UsageError

ERRORS = {
    "usage": UsageError("no such thing"),
    "missing": NotFoundError("nobody has abc"),
    "away": UnreachableError("peer X", {"127.0.0.1:1": "refused", "[::1]:1": "refused"}),
    "protocol": ProtocolError("a frame too long"),
    "late": TimeoutError(),
    "file": FileNotFoundError(2, "No such file or directory", "x.torrent"),
    "bug": ZeroDivisionError("division by zero"),
    "group": ExceptionGroup("tasks", [NotFoundError("in a group")]),
    "interrupt": KeyboardInterrupt(),
}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what")
    parser.add_argument("rest", nargs="*")


async def run(args: Namespace, output: Output) -> int | None:
    if args.what in ERRORS:
        raise ERRORS[args.what]
    if args.what == "lines":
        for number in range(100_000):
            output.show({"number": number}, f"line {number}")
    elif args.what == "wait":
        await wait(output)
    elif args.what == "seven":
        return 7
    else:
        output.show(vars(args), f"{args.what} {args.rest}")
    return None


async def wait(output: Output) -> None:
    output.ready({"port": 1}, "waiting")
    try:
        await asyncio.sleep(60)
    finally:
        output.show({"closed": True}, "closed")


COMMANDS["probe"] = ("tests.cli.probe", "do as the test says")

if __name__ == "__main__":
    raise SystemExit(main())

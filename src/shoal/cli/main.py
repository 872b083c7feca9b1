"""Which command runs, and how it ends.

A command is a row of COMMANDS: its name, the module that holds it and a line
of help.  The module is imported when its command runs and not before, so that
`shoal --help` costs little more than a bare interpreter.  A module has

    configure(parser)     adds the command's own arguments
    run(args, output)     does it: plain or async; the exit code, None for 0

Options that every command takes may stand before or after its name.
"""

import json
import os
import sys
from argparse import (
    PARSER,
    SUPPRESS,
    Action,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from inspect import iscoroutine
from typing import Any, NoReturn

from shoal import __version__
from shoal.cli.failure import OK
from shoal.cli.output import Output
from shoal.errors import UsageError

COMMANDS = {  # name -> the module that holds it, and what it does
    "api": ("shoal.cli.api", "print the description of the HTTP API of `shoal up`"),
    "call": ("shoal.cli.rpc", "call a named service of a peer or through a Grape"),
    "completion": ("shoal.cli.completion", "print what a shell needs to complete commands"),
    "demo": ("shoal.cli.demo", "the first minute: nodes on this machine share, store, call"),
    "lab": ("shoal.cli.lab", "run simulated worlds again: shoal lab replay"),
    "config": ("shoal.cli.config", "show each setting, its value and where it came from"),
    "doctor": ("shoal.cli.doctor", "find out what keeps this machine from its peers"),
    "get": ("shoal.cli.files", "fetch what a link, torrent or code names"),
    "dht": ("shoal.cli.find", "find and store by key in a distributed hash table"),
    "grape": ("shoal.cli.grape", "run a Grape: Grenache's DHT and its HTTP API"),
    "id": ("shoal.cli.node", "show the id of the node of this home"),
    "limit": ("shoal.cli.daemon", "bound the rates of the running node or of one transfer"),
    "pause": ("shoal.cli.daemon", "stop a transfer of the running node until it is resumed"),
    "peers": ("shoal.cli.daemon", "list who is connected to the running node"),
    "ping": ("shoal.cli.node", "measure the round trip to a peer"),
    "remove": ("shoal.cli.daemon", "stop a transfer for good; its files stay"),
    "resume": ("shoal.cli.daemon", "go on with a transfer that was paused"),
    "send": ("shoal.cli.send", "send files to another machine, by a short code"),
    "serve": ("shoal.cli.rpc", "offer a program as a named service"),
    "services": ("shoal.cli.rpc", "list the services that peers offer"),
    "share": ("shoal.cli.files", "serve files and folders to whoever has the link"),
    "status": ("shoal.cli.daemon", "show what the running node does"),
    "torrent": ("shoal.cli.torrent", "show, make or check torrent files"),
    "tracker": ("shoal.cli.tracker", "run a BitTorrent tracker, over HTTP and UDP"),
    "transfers": ("shoal.cli.daemon", "list the transfers of the running node"),
    "up": ("shoal.cli.node", "run a node"),
}
ENDINGS = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found in time,
4 not reachable, 130 interrupted"""
DEFAULTS: dict[str, Any] = {
    "json": False,
    "debug": False,
    "verbose": 0,
    "profile": None,
    "home": None,
    "config": None,
    "set": [],
}


class Parser(ArgumentParser):
    """argparse with the common options; a mistake is raised, where argparse ends the process.

    `error` is argparse's one way to change that, and subcommands are made of
    their parent's class: hence a subclass.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        add_common_options(self)

    def print_help(self, file: Any = None) -> None:
        """Ours fails on a full disk, where argparse's says nothing."""
        (file or sys.stdout).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        error = UsageError(message)
        error.advice = f"`{self.prog} --help` shows what can be given"
        raise error


class Version(Action):
    """Shows the version and ends; argparse's own knows no JSON and swallows what goes wrong."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest=SUPPRESS, nargs=0, help=settings.get("help"))

    def __call__(self, parser: ArgumentParser, namespace: Namespace, *_: Any) -> None:
        as_json = "--json" in namespace.given
        shown = json.dumps({"version": __version__}) if as_json else f"shoal {__version__}"
        sys.stdout.write(f"{shown}\n")
        parser.exit()


def add_common_options(parser: ArgumentParser) -> None:
    """What every command takes; absent ones leave the namespace alone, so a place is as good."""
    add = parser.add_argument_group("options of every command", argument_default=SUPPRESS)
    add.add_argument("--json", action="store_true", help="write JSON: one object, or one an event")
    add.add_argument("--debug", action="store_true", help="log everything; trace back failures")
    add.add_argument("-v", "--verbose", action="count", help="log more; twice: all of it")
    add.add_argument("--profile", metavar="NAME", help="public, or local: nothing beyond loopback")
    add.add_argument("--home", metavar="DIR", help="what the node keeps is here (SHOAL_HOME)")
    add.add_argument("--config", metavar="FILE", help="the settings file (HOME/config.toml)")
    add.add_argument(
        "--set", metavar="KEY=VALUE", action="append", help="one setting, as in the settings file"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    open_missing_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    output = Output(sys.stdout, sys.stderr, json="--json" in given, debug="--debug" in given)
    try:
        return output.finish(dispatch(given, output))
    except SystemExit as exit_:  # --help and --version
        return output.finish(exit_.code if isinstance(exit_.code, int) else OK)
    except (Exception, KeyboardInterrupt) as error:
        return output.fail(error)


def open_missing_streams() -> None:
    """Who starts us with `>&-` gets silence; else the next file or socket would be our stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def dispatch(given: list[str], output: Output) -> int:
    args = Namespace(**DEFAULTS, given=given)
    root = root_parser()
    if not given:
        root.print_help()
        return OK
    root.parse_args(given, args)
    name, *rest = args.command
    del args.given
    command = load(name)
    parser = Parser(prog=f"shoal {name}", description=sentence(COMMANDS[name][1]))
    command.configure(parser)
    args.command = name
    parser.parse_args(rest, args)
    output.json, output.debug = args.json, args.debug
    return start(command, args, output)


def root_parser() -> Parser:
    width = max(map(len, COMMANDS))
    rows = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    parser = Parser(
        prog="shoal",
        usage="shoal [options] COMMAND ...",
        description="One peer-to-peer node: connect, find, share, call.",
        epilog="\n".join(["commands:", *rows, "", ENDINGS]),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, help="show the version")
    parser.add_argument("command", metavar="COMMAND", nargs=PARSER, help=SUPPRESS)
    return parser


def load(name: str) -> Any:
    """The module of a command."""
    if name in COMMANDS:
        return import_module(COMMANDS[name][0])
    error = UsageError(f"there is no command {name!r}")
    near = get_close_matches(name, COMMANDS, n=1)
    error.advice = f"did you mean `shoal {near[0]}`?" if near else "`shoal --help` lists them all"
    raise error


def start(command: Any, args: Namespace, output: Output) -> int:
    import_module("shoal.cli.log").set_up(args.verbose, debug=args.debug)
    code = command.run(args, output)
    if iscoroutine(code):
        code = import_module("shoal.cli.loop").drive(code)
    return code or OK


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

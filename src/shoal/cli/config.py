"""shoal config: each setting, its value and where it came from."""

from argparse import ArgumentParser, Namespace

from shoal.cli.output import Output, cell
from shoal.cli.settings import load


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("key", nargs="*", metavar="KEY", help="only these; a section shows all its")
    parser.add_argument("--explain", action="store_true", help="also what each setting is")


def run(args: Namespace, output: Output) -> int:
    rows = [row for row in load(args).rows() if chosen(row["key"], args.key)]
    shown = [{**row, "value": cell(row["value"])} for row in rows]
    columns = ["key", "value", "unit", "origin", *(["says"] if args.explain else [])]
    output.table("settings", rows if output.json else shown, columns)
    return 0


def chosen(key: str, wanted: list[str]) -> bool:
    return not wanted or any(key == each or key.startswith(f"{each}.") for each in wanted)

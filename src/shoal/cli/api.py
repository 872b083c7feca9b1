"""shoal api: the description of the HTTP API that `shoal up` serves."""

import json
from argparse import ArgumentParser, Namespace

from shoal.cli.output import Output
from shoal.web.openapi import describe


def configure(parser: ArgumentParser) -> None:
    """It has no arguments of its own."""


def run(args: Namespace, output: Output) -> int:
    document = describe()
    output.show(document, json.dumps(document, indent=2))
    return 0

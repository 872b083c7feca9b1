"""The API's description fits the table of verbs, and its references lead somewhere."""

import json
import re

import pytest

from shoal.cli.main import main
from shoal.web.openapi import describe
from shoal.web.verbs import VERBS


def test_every_verb_is_described() -> None:
    document = describe()
    for name, verb in VERBS.items():
        path = document["paths"][f"/v1/{name}"]
        assert path["post"]["summary"]
        assert ("get" in path) == verb.looks
    names = [path[way]["operationId"] for path in document["paths"].values() for way in path]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    document = describe()
    used = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(used) <= set(document["components"]["schemas"])
    assert {"Status", "Moving", "Failure", "Get"} <= set(used)


def test_shoal_api_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(describe()))

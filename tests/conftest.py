"""The gate is deterministic: one hypothesis profile, no measured times, no public network."""

import os

import pytest
from hypothesis import settings
from tests import tally

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ci")

os.environ["SHOAL_PROFILE"] = "local"  # refuses to dial or announce beyond loopback


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not hasattr(terminalreporter.config, "workerinput"):  # xdist's workers report to us
        tally.append_pytest(terminalreporter.stats)

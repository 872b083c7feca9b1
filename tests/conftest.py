"""The gate is deterministic: one hypothesis profile, no measured times, no public network."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ci")

os.environ["SHOAL_PROFILE"] = "local"  # refuses to dial or announce beyond loopback

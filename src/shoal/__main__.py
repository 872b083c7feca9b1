"""The command, as `python -m shoal`."""

import sys

from shoal.cli.main import main

sys.exit(main())

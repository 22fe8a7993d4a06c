"""``python -m gateway.cli`` is ``gateway``, for where the command is not on the path."""

from __future__ import annotations

import sys

from gateway.cli.program import main

sys.exit(main())

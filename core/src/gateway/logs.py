"""Logging set-up."""

from __future__ import annotations

import logging
import sys


def configure_logging(level: str, log_format: str) -> None:
    """Log to standard output."""
    logging.basicConfig(level=level.upper(), stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

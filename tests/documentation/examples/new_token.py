"""A command: ``gateway new-token`` prints a value for ``gateway.admin.token``."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

from gateway import CommandRegistration, hookimpl

if TYPE_CHECKING:
    import argparse


@hookimpl
def gateway_register_commands() -> list[CommandRegistration]:
    return [
        CommandRegistration(name="new-token", summary="Print a random token.", add_arguments=add_arguments, run=run)
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bytes", type=int, default=32, help="how much chance goes into it")


def run(args: argparse.Namespace) -> int:
    sys.stdout.write(secrets.token_urlsafe(args.bytes) + "\n")
    return 0

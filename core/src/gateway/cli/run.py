"""``gateway run``: serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gateway
from gateway.cli.arguments import add_configuration_flags, log_level, port, worker_count
from gateway.logs import configure_logging

if TYPE_CHECKING:
    import argparse

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext

__all__ = ["add_arguments", "run"]

_FLAGS = {
    "log_level": "logging.level",
    "log_format": "logging.format",
    "host": "frontend.http.host",
    "port": "frontend.http.port",
}
"""Where in the configuration the value of a flag stands."""


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway run``."""
    add_configuration_flags(parser)
    parser.add_argument("--host", metavar="HOST", help="the address to listen on, over frontend.http.host")
    parser.add_argument("--port", type=port, metavar="PORT", help="the port to listen on, over frontend.http.port")
    parser.add_argument("--workers", type=worker_count, metavar="N|auto", help="how many processes serve")
    parser.add_argument(
        "--hot-reload", action="store_true", help="follow changes of the configuration file and of plugin files"
    )
    parser.add_argument("--log-level", type=log_level, metavar="LEVEL", help="debug, info, warn or error")
    parser.add_argument("--log-format", choices=("text", "json"), help="one line of text or one JSON object an event")
    parser.add_argument("--version", action="version", version=f"gateway {gateway.__version__}")


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Serve until told to stop.

    Raises:
        ConfigurationError: If it cannot start; with everything that is wrong.
    """
    from gateway.runtime.options import RunOptions  # noqa: PLC0415 - 'gateway --help' shows these flags and never runs
    from gateway.runtime.run import run as run_gateway  # noqa: PLC0415 - as above

    # What plugins say while they are loaded; what the configuration wants comes after it is read.
    configure_logging(args.log_level or "info", args.log_format or "text")
    options = RunOptions(
        path=args.config,
        flags={path: value for name, path in _FLAGS.items() if (value := getattr(args, name)) is not None},
        plugin_files=args.plugin_files,
        workers=args.workers,
        hot_reload=args.hot_reload,
    )
    return run_gateway(options)

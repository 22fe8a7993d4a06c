"""The program: finds the command, and says in one line each what went wrong.

Exit codes: 0, all is well; 1, it failed, or the answer is no; 2, the command line or the configuration cannot be used;
130, interrupted; 141, whoever read the output went away.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gateway.cli.arguments import UsageError, split_command
from gateway.cli.commands import BUILT_IN, DEFAULT_COMMAND
from gateway.cli.context import CommandContext
from gateway.cli.screen import Screen
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint

    from gateway.cli.commands import BuiltIn

__all__ = ["main"]

UNUSABLE = 2
INTERRUPTED = 130
READER_GONE = 141

_HELP_FLAGS = frozenset(("-h", "-help", "--help"))


def main(argv: Sequence[str] | None = None, *, entry_points: Iterable[EntryPoint] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: The words after ``gateway``; ``None`` takes those of the process.
        entry_points: Where plugins come from; ``None`` takes the installed distributions. ``gateway run`` always does.
    """
    points = tuple(entry_points) if entry_points is not None else None
    context = CommandContext(out=Screen.of(sys.stdout), err=Screen.of(sys.stderr), entry_points=points)
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv), context)
        sys.stdout.flush()
    except UsageError as error:
        context.err.line(str(error))
        return UNUSABLE
    except ConfigurationError as error:
        for problem in error.problems:
            context.err.line(str(problem))
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()
        return READER_GONE
    return code


def _run(words: Sequence[str], context: CommandContext) -> int:
    before, name, after = split_command(words)
    if name is None and not _HELP_FLAGS.isdisjoint(words):
        return _print_overview(words, context)
    if name == "help":
        return _run([*after, "--help"], context)
    if name is None:
        return _run_built_in(DEFAULT_COMMAND, words, context, prog="gateway")
    if name in BUILT_IN:
        return _run_built_in(BUILT_IN[name], [*before, *after], context)
    return _run_other(name, before, after, context)


def _run_built_in(built_in: BuiltIn, words: Sequence[str], context: CommandContext, *, prog: str | None = None) -> int:
    command = built_in.load()
    parser = built_in.parser(command, prog=prog)
    try:
        args = parser.read(words)
    except SystemExit:  # how argparse ends after --help and --version
        return 0
    return command.run(args, context)


def _run_other(name: str, before: Sequence[str], after: Sequence[str], context: CommandContext) -> int:
    from gateway.cli.plugin_commands import run_other  # noqa: PLC0415 - built-in commands start without plugins

    return run_other(name, before, after, context)


def _print_overview(words: Sequence[str], context: CommandContext) -> int:
    from gateway.cli.overview import print_overview  # noqa: PLC0415 - as above

    return print_overview(words, context)


def _abandon_output() -> None:
    """Point standard output nowhere, so that flushing it at exit does not complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

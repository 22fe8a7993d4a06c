"""Flags: read like those of the original gateway, with one dash or two, and explained when they are mistyped."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Parser",
    "UsageError",
    "add_configuration_flags",
    "add_json_flag",
    "log_level",
    "port",
    "split_command",
    "suggestion",
    "worker_count",
]

LEVELS = ("debug", "info", "warn", "error")
MAX_PORT = 65535

_VALUE_FLAGS = frozenset(("c", "config", "plugin", "workers", "log-level", "log-format", "host", "port"))
"""Flags that may stand before the command and are followed by a value."""

_ONE_DASH = re.compile(r"-[a-z][a-z-]+(=.*)?", re.DOTALL)
"""A long flag with one dash. ``-c./gateway.yaml`` is none: a flag's name has nothing but small letters and dashes."""


class UsageError(Exception):
    """The command line cannot be understood; the text is one line that says what to write instead."""


class Parser(argparse.ArgumentParser):
    """Reads the flags of one command; mistakes are raised, not printed.

    Args:
        prog: What was typed so far: ``gateway check``.
        summary: What the command does.
        usage: What may follow; ``None`` makes it of the flags.
        epilog: What is said below the flags.
        has_help: Whether ``--help`` prints what there is.
    """

    def __init__(
        self,
        prog: str,
        summary: str = "",
        *,
        usage: str | None = None,
        epilog: str | None = None,
        has_help: bool = True,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=summary,
            epilog=epilog,
            add_help=has_help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    @property
    def flags(self) -> list[str]:
        """The long flags, with their dashes."""
        return [flag for flag in self._option_string_actions if flag.startswith("--")]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what the words say.

        Raises:
            UsageError: If they cannot be understood.
        """
        args, surplus = self.read_known(words)
        if surplus:
            raise UsageError(self._explain(surplus, words))
        return args

    def read_known(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Return what the words say, and those that mean nothing here.

        Raises:
            UsageError: If the others cannot be understood.
        """
        return self.parse_known_args([self._with_two_dashes(word) for word in words])

    def error(self, message: str) -> NoReturn:
        """Raise what ``argparse`` would print.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.prog}: {message}; see '{self.prog} --help'")

    def takes(self, flag: str) -> bool:
        """Say whether there is a flag, given with its dashes."""
        return flag in self._option_string_actions

    def _with_two_dashes(self, word: str) -> str:
        """Return a word as ``argparse`` knows it: ``-config`` and ``-config=x`` are ``--config`` and ``--config=x``."""
        is_short = _ONE_DASH.fullmatch(word) is None or self.takes(word.partition("=")[0])
        return word if is_short else f"-{word}"

    def _explain(self, surplus: Sequence[str], words: Sequence[str]) -> str:
        see = f"see '{self.prog} --help'"
        flag = next((word.partition("=")[0] for word in surplus if word.startswith("-")), None)
        if flag is None:
            return f"{self.prog}: unexpected {surplus[0]!r}; {see}"
        is_as_typed = any(word.startswith(flag) for word in words)
        typed = flag if is_as_typed else flag[1:]
        dashes = "-" * (len(typed) - len(typed.lstrip("-")))
        remedy = suggestion(flag.lstrip("-"), [known[2:] for known in self.flags], prefix=dashes)
        return f"{self.prog}: unknown flag {typed!r}; {remedy or see}"


def split_command(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Return the flags before the command, the command, if there is one, and what follows it."""
    is_value = False
    for position, word in enumerate(words):
        if is_value:
            is_value = False
        elif word == "--":
            break
        elif word.startswith("-"):
            is_value = word.lstrip("-") in _VALUE_FLAGS
        else:
            return list(words[:position]), word, list(words[position + 1 :])
    return list(words), None, []


def suggestion(word: str, known: Sequence[str], *, prefix: str = "") -> str:
    """Return the question whether a known word was meant, or nothing if none is close."""
    from gateway.config.suggest import closest  # noqa: PLC0415 - only mistakes wait for that package

    close = closest(word, known)
    return f"did you mean '{prefix}{close}'?" if close is not None else ""


def add_configuration_flags(parser: Parser) -> None:
    """Add the flags that say which configuration it is about; those that the parser has already stay as they are."""
    if not parser.takes("--config"):
        names = ["--config"] if parser.takes("-c") else ["-c", "--config"]
        parser.add_argument(
            *names,
            type=Path,
            metavar="FILE",
            help="the configuration; without it gateway.yaml or configs/gateway.yaml, else what the plugins propose",
        )
    if not parser.takes("--plugin"):
        parser.add_argument(
            "--plugin",
            dest="plugin_files",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="a Python file that is a plugin too; may be repeated",
        )


def add_json_flag(parser: Parser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON, for machines")


# Values. What they raise is shown to people.


def log_level(text: str) -> str:
    """Return a level of ``logging.level``, however it is written.

    Raises:
        argparse.ArgumentTypeError: If there is no such level.
    """
    level = {"warning": "warn"}.get(text.lower(), text.lower())
    if level in LEVELS:
        return level
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(LEVELS)}")


def port(text: str) -> int:
    """Return a TCP port.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    if text.isdecimal() and int(text) <= MAX_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {MAX_PORT}")


def worker_count(text: str) -> int | Literal["auto"]:
    """Return how many workers there are to be.

    Raises:
        argparse.ArgumentTypeError: If it is neither a number from 1 nor ``auto``.
    """
    if text.lower() == "auto":
        return "auto"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 nor 'auto'")

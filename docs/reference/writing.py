"""What every generator of a page does: write it, or only say whether it is up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ROOT", "cell", "markdown", "write"]

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"`([^`<]+) <([^`>]+)>`_")


def write(target: Path, render: Callable[[], str], script: str, arguments: list[str]) -> int:
    """Write a page, or compare it; returns the exit code.

    Args:
        target: The page.
        render: Returns it.
        script: The generator.
        arguments: Of the command line: nothing, or ``--check``.
    """
    name = Path(script).name
    page = render()
    if arguments == ["--check"]:
        if target.is_file() and target.read_text(encoding="utf-8") == page:
            return 0
        sys.stderr.write(f"{target.name} is out of date; run: python docs/reference/{name}\n")
        return 1
    if arguments:
        sys.stderr.write(f"usage: {name} [--check]\n")
        return 2
    target.write_text(page, encoding="utf-8")
    return 0


def markdown(docstring: str) -> str:
    """Return the text of a docstring, with its code and links as Markdown has them."""
    return _LINK.sub(r"[\1](\2)", docstring).replace("``", "`")


def cell(docstring: str) -> str:
    """Return the text of a docstring in one line, for a table, without the full stop of a single sentence."""
    text = " ".join(markdown(docstring).split()).replace("|", "\\|")
    return text.removesuffix(".") if ". " not in text else text

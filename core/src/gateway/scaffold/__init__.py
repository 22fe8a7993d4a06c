"""What ``gateway new-plugin`` writes: a distribution with a plugin of one kind, its tests and its checks.

The templates are files whose names end in ``.in``. In names and texts ``@name@`` stands for the plugin, ``@package@``
for its package, ``@Class@`` for its component's class, ``@key@`` for its key in the YAML. Those in ``common`` belong to
every plugin; what a README says of its kind stands in the kind's ``usage.md``.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = ["COMMON", "MAX_NAME_LENGTH", "NAME", "described", "kinds", "write_plugin"]

COMMON = "common"
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_NAME_LENGTH = 24
"""With longer names the lines that they stand in would have to be broken."""
_SUFFIX = ".in"
_USAGE = "usage.md"


def kinds() -> list[str]:
    """Return the kinds of plugins there are templates for."""
    return sorted(entry.name for entry in _templates().iterdir() if entry.is_dir() and entry.name != COMMON)


def described(kind: str) -> str:
    """Return what one of the kind is called, as a sentence begins: ``A health checker``."""
    return f"{'An' if kind[0] in 'aeiou' else 'A'} {kind.replace('-', ' ')}"


def write_plugin(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a plugin's distribution.

    Args:
        kind: One of ``kinds()``.
        name: What the plugin is called: lower-case words joined by hyphens.
        folder: Where it goes; made now.

    Returns:
        The files, relative to the folder.

    Raises:
        FileExistsError: If there is anything already.
        ValueError: If the name is none.
    """
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        rule = f"at most {MAX_NAME_LENGTH} lower-case letters and digits, with single hyphens between words"
        msg = f"{name!r} cannot be a plugin's name; write {rule}"
        raise ValueError(msg)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    words = _words(name, kind)
    written = []
    for root in (_templates() / COMMON, _templates() / kind):
        for path, template in _files(root, ""):
            target = folder / _filled(path.removesuffix(_SUFFIX), words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(template.read_text(encoding="utf-8"), words), encoding="utf-8")
            written.append(target.relative_to(folder))
    return sorted(written)


def _words(name: str, kind: str) -> dict[str, str]:
    """Return what placeholders stand for, first the one whose text has others in it."""
    first, *others = name.split("-")
    capitalised = [word.capitalize() for word in others]
    return {
        "@usage@": (_templates() / kind / _USAGE).read_text(encoding="utf-8").rstrip(),
        "@name@": name,
        "@package@": f"gateway_{name.replace('-', '_')}",
        "@identifier@": name.replace("-", "_"),
        "@Class@": "".join([first.capitalize(), *capitalised]),
        "@key@": "".join([first, *capitalised]),
        "@a_kind@": described(kind),
    }


def _templates() -> Traversable:
    return resources.files(__name__) / "templates"


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{path}{entry.name}", entry


def _filled(text: str, words: dict[str, str]) -> str:
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text

"""What is looked at: installed plugins, the one of a folder, or a single file."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.pluginhost.discover import ENTRY_POINT_GROUP, file_candidate, installed_candidates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.pluginhost.discover import Candidate
    from gateway.pluginhost.plugin import Plugin

__all__ = ["NoSubjectError", "Subject", "find_subjects"]

_MANIFEST = "pyproject.toml"


class NoSubjectError(Exception):
    """There is no such plugin; the text says what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A plugin that is looked at.

    Attributes:
        candidate: The plugin, not imported yet.
        requires: What its distribution requires; ``None`` for a single file, which requires nothing.
        manifest: Its ``pyproject.toml``, where that is known.
        path: What has to be on ``sys.path`` to import it, if it is not installed.
        entry_point: Where it is found, if it is a distribution's.
    """

    candidate: Candidate
    requires: tuple[str, ...] | None = None
    manifest: Path | None = None
    path: Path | None = None
    entry_point: EntryPoint | None = None

    @property
    def plugin(self) -> Plugin:
        """What is known of it without importing it."""
        return self.candidate.plugin

    def files(self) -> list[Path]:
        """Return its Python files: those of its package, or its only module."""
        if self.plugin.file is not None:
            return [self.plugin.file]
        top = self.plugin.module.partition(".")[0]
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return []
        if spec is None:
            return []
        if spec.submodule_search_locations:
            return sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))
        return [Path(spec.origin)] if spec.origin is not None else []


def find_subjects(target: str | None, points: Iterable[EntryPoint] | None = None) -> list[Subject]:
    """Return the plugins that are asked about.

    Args:
        target: A distribution or plugin, a folder with a ``pyproject.toml``, or a Python file. ``None`` is the folder
            where it is asked, if it is that of a plugin, else everything that is installed.
        points: The entry points to take; ``None`` takes those of the installed distributions.

    Raises:
        NoSubjectError: If there is none.
    """
    if target is None:
        return _of_folder(Path()) if _is_plugin_folder(Path()) else _installed(points)
    path = Path(target)
    if path.suffix == ".py":
        if not path.is_file():
            raise NoSubjectError(f"there is no file {target!r}; check the path")
        return [Subject(candidate=file_candidate(path.resolve()))]
    if path.is_dir():
        return _of_folder(path)
    found = [subject for subject in _installed(points) if subject.plugin.answers_to(target)]
    if not found:
        names = ", ".join(sorted({subject.plugin.distribution for subject in _installed(points)}))
        raise NoSubjectError(f"{target!r} is neither an installed plugin nor a folder; installed are {names or 'none'}")
    return found


def _installed(points: Iterable[EntryPoint] | None) -> list[Subject]:
    points = list(entry_points(group=ENTRY_POINT_GROUP) if points is None else points)
    subjects = []
    for point in points:
        (candidate,) = installed_candidates([point])
        requires = tuple((point.dist.requires if point.dist is not None else None) or ())
        subjects.append(Subject(candidate=candidate, requires=requires, entry_point=point))
    return sorted(subjects, key=lambda subject: subject.plugin.name)


# A folder, installed or not.


def _is_plugin_folder(folder: Path) -> bool:
    return bool(_project(folder).get("entry-points", {}).get(ENTRY_POINT_GROUP))


def _project(folder: Path) -> dict[str, Any]:
    try:
        project: dict[str, Any] = tomllib.loads((folder / _MANIFEST).read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NoSubjectError(f"{folder / _MANIFEST} cannot be read: {error}") from error
    return project


def _of_folder(folder: Path) -> list[Subject]:
    folder = folder.resolve()
    project = _project(folder)
    points = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    if not points:
        remedy = f'add [project.entry-points.{ENTRY_POINT_GROUP}] with a line like: name = "package.plugin"'
        raise NoSubjectError(f"{folder / _MANIFEST} has no entry point in the group {ENTRY_POINT_GROUP!r}; {remedy}")
    source = folder / "src" if (folder / "src").is_dir() else folder
    if str(source) not in sys.path:
        sys.path.insert(0, str(source))
        importlib.invalidate_caches()
    distribution = _Unbuilt(project)
    subjects = []
    for name, value in points.items():
        point = EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)
        vars(point).update(dist=distribution)  # as importlib.metadata does, which has no other way
        (candidate,) = installed_candidates([point])
        subjects.append(
            Subject(
                candidate=candidate,
                requires=tuple(project.get("dependencies", ())),
                manifest=folder / _MANIFEST,
                path=source,
                entry_point=point,
            )
        )
    return subjects


class _Unbuilt:
    """What the discovery asks of a distribution, for one that is only a folder."""

    def __init__(self, project: dict[str, Any]) -> None:
        self.name = str(project.get("name", ""))
        self.version = str(project.get("version", ""))
        self.requires = list(project.get("dependencies", ()))

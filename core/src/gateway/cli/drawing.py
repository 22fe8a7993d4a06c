"""Chains as pictures: mermaid for documents, dot for Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.cli.chain import Link

__all__ = ["draw_dot", "draw_mermaid"]


def draw_mermaid(chains: Sequence[tuple[str, Sequence[Link]]]) -> str:
    """Return a flow chart for mermaid, a box around each route."""
    lines = ["flowchart LR"]
    for number, (title, chain) in enumerate(chains):
        lines.append(f'  subgraph r{number}["{_mermaid(title)}"]')
        lines += [
            f'    {name}["{_mermaid(link.name)}<br>{_mermaid(_below(link))}"]' for name, link in _named(number, chain)
        ]
        lines += [f"    {first} --> {second}" for first, second in _arrows(number, chain)]
        lines.append("  end")
    return "\n".join(lines) + "\n"


def draw_dot(chains: Sequence[tuple[str, Sequence[Link]]]) -> str:
    """Return a graph for Graphviz, a box around each route."""
    lines = ["digraph gateway {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (title, chain) in enumerate(chains):
        lines += [f"  subgraph cluster_r{number} {{", f'    label="{_dot(title)}";']
        lines += [
            f'    {name} [label="{_dot(link.name)}\\n{_dot(_below(link))}"];' for name, link in _named(number, chain)
        ]
        lines += [f"    {first} -> {second};" for first, second in _arrows(number, chain)]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _named(number: int, chain: Sequence[Link]) -> list[tuple[str, Link]]:
    return [(f"r{number}n{at}", link) for at, link in enumerate(chain)]


def _arrows(number: int, chain: Sequence[Link]) -> Iterator[tuple[str, str]]:
    """Yield what leads to what: one after the other; connectors are side by side, and each may reach each instance."""
    before: list[str] = []
    beside: list[str] = []
    kind = ""
    for name, link in _named(number, chain):
        kind_now = "found" if link.kind in ("instance", "discovery provider") else link.kind
        if kind_now != kind or kind_now not in ("connector", "found"):
            before, beside, kind = beside, [], kind_now
        yield from ((each, name) for each in before)
        beside.append(name)


def _below(link: Link) -> str:
    return f"{link.kind}, {link.stage}" if link.stage else link.kind


def _mermaid(text: str) -> str:
    """Return text as mermaid takes it in quotes: with entities for what means something there."""
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

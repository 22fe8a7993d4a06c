"""The cases of Autobahn's suite, as its package has them, made to run on Python 3.

The package ``autobahntestsuite`` is written for Python 2, and needs Twisted. Its cases use little of either: they talk
to an object that speaks WebSocket, which is ``fuzzer.Fuzzer`` here, and they take texts for bytes. So its sources are
read as latin-1, where each byte is a character of the same number, and stay texts; ``Fuzzer`` turns them into bytes
where they leave, and back where they arrive. What means something else in Python 2 is rewritten in the syntax tree as a
module is loaded. Nothing is written down, and nothing is imported for others: the modules know each other alone.
"""

from __future__ import annotations

import ast
import binascii
import builtins
import codecs
import hashlib
import importlib.util
import io
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tests.conformance.autobahn import deflate
from tests.conformance.autobahn.protocol import WebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.autobahn.fuzzer import Case

PACKAGE = "autobahntestsuite"
REMEDY = f"Autobahn's cases are not installed: pip install -c constraints.txt --no-build-isolation {PACKAGE}"

_NEEDS_TWISTED = frozenset({"case9_9_1"})
"""Modules that no case of the suite's list is in."""
_PRINT = re.compile(r"^([ \t]*)print\b(.*)$", re.MULTILINE)


def is_installed() -> bool:
    """Tell whether the package with the cases is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def load() -> dict[str, type[Case]]:
    """Return every case of the suite by its name, such as ``9.1.6``, in the suite's order.

    Raises:
        ModuleNotFoundError: If the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)  # finds it, and runs nothing of it: that would need Python 2
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(REMEDY)
    modules = _Modules(Path(spec.submodule_search_locations[0]))
    classes: list[type[Case]] = modules.load("__init__").__dict__["Cases"]
    return {each.__name__.removeprefix("Case").replace("_", "."): each for each in classes}


def section(name: str) -> int:
    """Return the section a case belongs to: 9 for ``9.1.6``."""
    return int(name.split(".", 1)[0])


class _Modules:
    """The modules of the package's folder ``case``, each loaded once, and what they import."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._loaded = {
            "autobahn.websocket.protocol": _module("protocol", WebSocketProtocol=WebSocketProtocol),
            "autobahn.websocket.compress": _module(
                "compress",
                PerMessageDeflateOffer=deflate.Offer,
                PerMessageDeflateResponse=deflate.Response,
                PerMessageDeflateResponseAccept=deflate.Accepted,
            ),
            "autobahn.websocket.utf8validator": _module("utf8validator", Utf8Validator=_Utf8Validator),
            "binascii": _module("binascii", b2a_hex=_hex, hexlify=_hex),
            "hashlib": _module("hashlib", sha1=_Sha1),
            "pkg_resources": _module("pkg_resources", resource_filename=lambda _, name: str(package / name)),
            **{name: _module(name) for name in _NEEDS_TWISTED},
        }
        self._builtins = {
            **vars(builtins),
            "__import__": self._import,
            "open": _open,
            "type": _type,
            "unichr": chr,
            "xrange": range,
        }

    def load(self, name: str) -> ModuleType:
        """Return a module of the folder."""
        if name not in self._loaded:
            self._loaded[name] = module = _module(name, __builtins__=self._builtins, _decode=_decode, _encode=_encode)
            path = self._path(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a syntax that Python 2 had nothing against
                code = compile(translate(path.read_bytes()), str(path), "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - it is a test suite that was installed to be run
        return self._loaded[name]

    def _path(self, name: str) -> Path:
        return self._package / "case" / f"{name}.py"

    def _import(self, name: str, *arguments: Any) -> ModuleType:
        """Import as Python 2 does: a neighbour before all others."""
        if name in self._loaded or self._path(name).is_file():
            return self.load(name)
        return builtins.__import__(name, *arguments)


def translate(source: bytes) -> ast.Module:
    """Return the syntax tree that does in Python 3 what a module does in Python 2."""
    text = _PRINT.sub(r"\1print(\2)", source.decode("latin-1"))
    tree: ast.Module = _Translation().visit(ast.parse(text))
    return ast.fix_missing_locations(tree)


class _Translation(ast.NodeTransformer):
    """Division of integers, and the methods that texts and bytes had both."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            node.op = ast.FloorDiv()
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("decode", "encode"):
            function = ast.Name(f"_{node.func.attr}", ast.Load())
            return ast.Call(function, [node.func.value, *node.args], node.keywords)
        return node


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _decode(octets: str, encoding: str) -> str:
    return octets.encode("latin-1").decode(encoding)


def _encode(text: str, encoding: str) -> str:
    return text.encode(encoding).decode("latin-1")


def _hex(octets: str) -> str:
    return binascii.hexlify(octets.encode("latin-1")).decode()


def _open(path: str, _mode: str) -> io.StringIO:
    return io.StringIO(Path(path).read_bytes().decode("latin-1"))


def _type(name: Any, bases: Sequence[type] = (), members: dict[str, Any] | None = None) -> type:
    """Make a class, where Python 2 lets ``object`` stand before other bases; or tell that of an object."""
    if members is None:
        return type(name)
    return type(name, tuple(base for base in bases if base is not object), members)


class _Sha1:
    """``hashlib.sha1`` of octets that are a text."""

    def __init__(self) -> None:
        self._hash = hashlib.sha1(usedforsecurity=False)

    def update(self, octets: str) -> None:
        self._hash.update(octets.encode("latin-1"))

    def digest(self) -> str:
        return self._hash.digest().decode("latin-1")


class _Utf8Validator:
    """Says whether octets are UTF-8 so far, and whether they end with a whole character."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def validate(self, octets: str) -> tuple[bool, bool]:
        try:
            self._decoder.decode(octets.encode("latin-1"))
        except UnicodeDecodeError:
            return False, False
        return True, not self._decoder.getstate()[0]

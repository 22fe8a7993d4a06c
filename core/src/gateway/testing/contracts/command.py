"""What a command of a plugin promises."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cli.arguments import Parser, UsageError, add_configuration_flags
from gateway.cli.commands import RESERVED
from gateway.errors import ConfigurationError, GatewayError
from gateway.pluginhost.check import check_offers
from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.registrations import CommandRegistration
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.imports import foreign_imports
from gateway.testing.contracts.leaks import expect_nothing_left

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

__all__ = ["CommandContract"]

_REFUSALS = (UsageError, ConfigurationError, GatewayError)
_COLOUR = re.compile(r"\x1b\[")


@dataclass(frozen=True)
class _Ran:
    """What a command did.

    Attributes:
        code: Its exit code, or the refusal that it raised.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
    """

    code: object
    out: str
    err: str


class CommandContract:
    """Extend it, name it ``Test...``, and say with which words it works.

    Attributes:
        plugin: The dotted name of the module with the hooks; or a registration by itself, of which then only that is
            checked.
        offer: The name of the command, if the plugin has several; ``None`` takes the only one.
    """

    plugin: ClassVar[str | CommandRegistration]
    offer: ClassVar[str | None] = None

    # To be overridden.

    def words(self) -> Sequence[str]:
        """Return what is typed after its name so that it succeeds; nothing by itself."""
        return ()

    def wrong_words(self) -> Sequence[Sequence[str]]:
        """Return what may be typed after its name and must fail, each as a list of words."""
        return ()

    @property
    def registration(self) -> CommandRegistration:
        """The registration it is about."""
        if isinstance(self.plugin, CommandRegistration):
            return self.plugin
        offers = collect_offers(build_manager(), self.plugin, importlib.import_module(self.plugin))
        commands = [offer for offer in offers if isinstance(offer, CommandRegistration)]
        found = [each for each in commands if self.offer is None or each.name == self.offer]
        names = [each.name for each in commands]
        expect(len(found) == 1, f"{self.plugin} offers the commands {names}; say which one by 'offer'")
        return found[0]

    # The offer.

    def test_the_offer_is_valid(self) -> None:
        """Its name is free and can be typed, and one line says what it does."""
        problems = [*check_offers([self.registration])]
        expect(not problems, "; ".join(problems))
        name, summary = self.registration.name, self.registration.summary
        expect(re.fullmatch(r"[a-z][a-z0-9-]*", name), f"{name!r} is hard to type; use lower-case letters and hyphens")
        expect(name not in RESERVED, f"{name!r} is a command of gateway itself, which stays in force")
        expect(
            summary and "\n" not in summary, "it has no summary of one line, which is what `gateway --help` says of it"
        )

    def test_the_module_imports_nothing_heavy(self) -> None:
        """Every plugin is imported for ``gateway --help``; libraries are for ``run``."""
        if isinstance(self.plugin, str):
            foreign = foreign_imports(self.plugin)
            expect(not foreign, f"{self.plugin} imports {', '.join(foreign)}; import it in what runs the command")

    # Its arguments.

    def test_its_arguments_are_explained(self) -> None:
        """``--help`` can be shown, and says of each argument what it is for."""
        parser = self._parser()
        try:
            shown = parser.format_help()
        except (ValueError, TypeError, KeyError) as error:
            raise AssertionError(f"--help failed: {error!r}; in help texts, write %% for a percent sign") from error
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
            name = "/".join(action.option_strings) or action.dest
            expect(action.help, f"{name} is not explained; add help='...'")
        expect(self.registration.summary in " ".join(shown.split()), "--help says not what it does")

    def test_declaring_its_arguments_does_nothing_else(self) -> None:
        """It is done for ``--help``, too, and more than once."""
        ran = self._run(lambda: [self._parser().format_help() for _ in range(2)] and 0)
        expect(not ran.out and not ran.err, f"add_arguments wrote {ran.out + ran.err!r}; leave that to run")

    def test_unknown_flags_are_refused(self) -> None:
        """A typing error must not go unnoticed."""
        with contextlib.suppress(UsageError):
            self._parser().read([*self.words(), "--unheard-of"])
            expect(is_so=False, why="the flag --unheard-of was accepted; do not take arguments for anything")

    # What it does.

    def test_it_succeeds(self) -> None:
        """With exit code 0, in plain text where the output is no terminal; nothing is left running."""
        with expect_nothing_left(by=f"the command {self.registration.name!r}"):
            ran = self._asked(self.words())
        expect(type(ran.code) is int, f"run returned {ran.code!r}; return the exit code, a number: {ran.err}")
        expect(ran.code == 0, f"its exit code is {ran.code}: {ran.err or ran.out}")
        expect(not _COLOUR.search(ran.out), "it writes colours where the output is no terminal; ask isatty() first")

    def test_what_is_wrong_fails(self) -> None:
        """With an exit code of 1 or 2, or a refusal, that says why; not with a traceback, and not with 0."""
        for words in self.wrong_words():
            ran = self._asked(words)
            if isinstance(ran.code, _REFUSALS):
                expect(str(ran.code).strip(), f"{words} was refused without a word why")
                continue
            expect(ran.code in (1, 2), f"{words} ended with {ran.code!r}; return 1, or raise a GatewayError")
            expect(ran.err.strip(), f"{words} failed and nothing on standard error says why")

    def test_whoever_reads_its_output_may_go_away(self) -> None:
        """``gateway ... | head`` is no bug: ``BrokenPipeError`` is let out, and answered by the command line."""

        class Gone(io.StringIO):
            was_asked = False

            def write(self, text: str) -> int:
                self.was_asked = True
                raise BrokenPipeError

        gone = Gone()
        ran = self._asked(self.words(), out=gone)
        is_right = isinstance(ran.code, BrokenPipeError) or not gone.was_asked
        expect(is_right, f"nobody read its output, and it ended with {ran.code!r}; let BrokenPipeError out")

    # Underneath.

    def _parser(self) -> Parser:
        parser = Parser(f"gateway {self.registration.name}", self.registration.summary)
        try:
            self.registration.add_arguments(parser)
            add_configuration_flags(parser)
        except Exception as error:
            raise AssertionError(f"add_arguments failed: {error!r}") from error
        return parser

    def _asked(self, words: Sequence[str], *, out: io.StringIO | None = None) -> _Ran:
        """Run it as the command line does."""

        def run() -> object:
            args: argparse.Namespace = self._parser().read(words)
            return self.registration.run(args)

        return self._run(run, out=out)

    def _run(self, run: Callable[[], object], *, out: io.StringIO | None = None) -> _Ran:
        written, errors = out or io.StringIO(), io.StringIO()
        code: object
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(errors):
            try:
                code = run()
            except (*_REFUSALS, BrokenPipeError) as error:
                code = error
            except SystemExit as error:
                raise AssertionError(f"it ended the process with {error.code!r}; return the exit code") from error
            except Exception as error:
                raise AssertionError(
                    f"it raised {error!r}; raise a GatewayError, whose text is shown by itself"
                ) from error
        return _Ran(code, written.getvalue(), errors.getvalue())

"""The contract of commands: one that keeps it, which is the one of ``gateway new-plugin``, and those that do not."""

# What is written from templates has no types here.
# mypy: disable-error-code="valid-type,misc,has-type"

import dataclasses
import re
import sys
import threading

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end, written

from gateway.testing import CommandContract

module = written("command", "tokens", "plugin")
(TOKENS,) = module.gateway_register_commands()
let_go = threading.Event()


class TokenContract(CommandContract):
    plugin = TOKENS

    def words(self):
        return ["2"]

    def wrong_words(self):
        return [["many"], ["0"]]


class TestTokens(TokenContract):
    """The reference."""


def otherwise(**fields):
    return dataclasses.replace(TOKENS, **fields)


def adds(*names, **keys):
    """Return a command with one more argument."""

    def add_arguments(parser):
        module.add_arguments(parser)
        parser.add_argument(*names, **keys)

    return otherwise(add_arguments=add_arguments)


def talks(parser):
    sys.stdout.write("let me see...\n")


def returns_nothing(args):
    module.run(args)


def in_colour(args):
    sys.stdout.write("\x1b[32mdone\x1b[0m\n")
    return 0


def ends_the_process(args):
    sys.exit(module.run(args))


def says_not_why(args):
    return 0 if args.count else 1


def lets_everything_pass(args):
    return 0


def raises(args):
    if not args.count:
        raise ZeroDivisionError
    return 0


def swallows(args):
    try:
        return module.run(args)
    except BrokenPipeError:
        return 0


def leaves_a_thread(args):
    threading.Thread(target=let_go.wait, name="left").start()
    return 0


@pytest.mark.parametrize(
    ("command", "check", "said"),
    [
        (otherwise(name="Print_Tokens"), "test_the_offer_is_valid", "hard to type"),
        (otherwise(name="routes"), "test_the_offer_is_valid", "a command of gateway itself"),
        (otherwise(summary=""), "test_the_offer_is_valid", "no summary"),
        (adds("--url"), "test_its_arguments_are_explained", "--url is not explained"),
        (adds("--url", help="100 % of it"), "test_its_arguments_are_explained", "write %% for a percent sign|bad"),
        (adds("--bytes", help="again"), "test_its_arguments_are_explained", "add_arguments failed"),
        (otherwise(add_arguments=talks), "test_declaring_its_arguments_does_nothing_else", "leave that to run"),
        (adds("rest", nargs="...", help="anything"), "test_unknown_flags_are_refused", "was accepted"),
        (returns_nothing, "test_it_succeeds", "return the exit code"),
        (in_colour, "test_it_succeeds", "writes colours"),
        (ends_the_process, "test_it_succeeds", "ended the process"),
        (leaves_a_thread, "test_it_succeeds", "left behind: thread left"),
        (says_not_why, "test_what_is_wrong_fails", "nothing on standard error says why"),
        (lets_everything_pass, "test_what_is_wrong_fails", "ended with 0"),
        (raises, "test_what_is_wrong_fails", "raise a GatewayError"),
        (swallows, "test_whoever_reads_its_output_may_go_away", "let BrokenPipeError out"),
    ],
)
def test_it_is_caught(command, check, said, monkeypatch):
    patience = {"leaks.SETTLE_S": 0.02}
    let_go.clear()
    try:
        told = told_in_the_end(said, lambda: breach(TokenContract, command, check), patience, monkeypatch)
        assert re.search(said, told)
    finally:
        let_go.set()

from __future__ import annotations

import re

import pytest


def test_a_plugins_command_runs_and_is_shown_in_the_help(gateway, minting):
    assert gateway("mint", "--user", "ann").out == "token for ann, configuration None, loud False\n"
    assert re.search(r"commands of plugins:\n  mint +Mint a token \(gateway-mint\)\n", gateway("--help").out)


def test_its_own_help_shows_its_flags_and_those_that_name_a_configuration(gateway, minting):
    for words in (["mint", "--help"], ["help", "mint"]):
        shown = gateway(*words)
        assert shown.code == 0
        assert "usage: gateway mint " in shown.out
        assert "--user" in shown.out
        assert "--config FILE" in shown.out


@pytest.mark.parametrize(
    "words", [["-c", "f.yaml", "mint"], ["mint", "-config", "f.yaml"], ["mint", "--config=f.yaml"]]
)
def test_it_is_told_which_configuration_was_named(gateway, minting, words):
    assert gateway(*words).out == "token for nobody, configuration f.yaml, loud False\n"


def test_its_own_flags_with_one_dash_stay_its_own(gateway, minting):
    assert gateway("mint", "-vv").out == "token for nobody, configuration None, loud True\n"


def test_it_works_where_the_configuration_is_wrong(gateway, minting, write):
    write("gateway: [\n")
    assert gateway("mint").code == 0


def test_its_mistyped_flags_are_explained(gateway, minting):
    told = gateway("mint", "--usr", "ann")
    assert (told.code, told.err) == (2, "gateway mint: unknown flag '--usr'; did you mean '--user'?\n")
    assert gateway("mnit").err == "gateway: unknown command 'mnit'; did you mean 'mint'?\n"


def test_its_bug_is_told_with_its_name(gateway, minting):
    failed = gateway("mint", "--fail", "bug")
    assert (failed.code, failed.out) == (1, "")
    assert "return 1 // 0" in failed.err
    assert failed.err.splitlines()[-1] == (
        "gateway mint: plugin 'mint' of gateway-mint 0.1.0 failed: "
        "ZeroDivisionError: integer division or modulo by zero"
    )


def test_its_refusal_is_told_in_one_line(gateway, minting):
    failed = gateway("mint", "--fail", "refusal")
    assert (failed.code, failed.err) == (1, "gateway mint: nobody may mint here\n")


def test_it_may_exit_by_itself(gateway, minting):
    with pytest.raises(SystemExit) as left:
        gateway("mint", "--fail", "exit")
    assert left.value.code == 7


def test_a_file_may_bring_commands(gateway, index, write):
    file = write(
        """
        from gateway import CommandRegistration

        hello = CommandRegistration(name="hello", run=lambda args: print("hello"))
        """,
        "greeting.py",
    )
    assert gateway("--plugin", file, "hello").out == "hello\n"
    assert gateway("hello", "--plugin", file).out == "hello\n"
    assert gateway("hello").code == 2


def test_a_plugin_may_have_a_config_flag_of_its_own(gateway, bare_index):
    bare_index.install(
        "gateway-own",
        """
        from gateway import CommandRegistration

        def add_arguments(parser):
            parser.add_argument("-c", "--count", type=int, default=1)
            parser.add_argument("--plugin", dest="which")

        own = CommandRegistration(
            name="own", add_arguments=add_arguments, run=lambda args: print(args.count, args.config, args.which)
        )
        """,
    )
    assert gateway("own", "-c", "3", "--config", "f.yaml", "--plugin", "x").code == 2  # there is no file x
    assert gateway("own", "-c", "3", "--config", "f.yaml").out == "3 f.yaml None\n"


def test_a_command_that_shadows_a_built_in_one_never_runs_and_is_told(gateway, index):
    index.install(
        "gateway-greedy",
        """
        from gateway import CommandRegistration

        greedy = CommandRegistration(name="routes", summary="Mine", run=lambda args: print("mine"))
        """,
    )
    assert "mine" not in gateway("routes").out
    shown = gateway("--help")
    assert shown.code == 0
    assert "Mine" not in shown.out
    message = (
        "the command 'routes' of plugin 'greedy' of gateway-greedy 0.1.0 has the name of a command of gateway itself"
    )
    assert message in shown.err
    listed = gateway("plugins")
    assert listed.code == 2
    assert message in listed.err


def test_two_commands_of_one_name_are_refused(gateway, minting):
    minting.install(
        "gateway-mint2",
        """
        from gateway import CommandRegistration

        mint = CommandRegistration(name="mint", run=lambda args: 0)
        """,
    )
    refused = gateway("mint")
    assert refused.code == 2
    assert "command 'mint' is offered by both gateway-mint 0.1.0" in refused.err


def test_a_command_whose_arguments_cannot_be_declared_is_told_with_its_name(gateway, bare_index):
    bare_index.install(
        "gateway-odd",
        """
        from gateway import CommandRegistration

        odd = CommandRegistration(name="odd", add_arguments=lambda parser: parser.add_flag("x"), run=lambda args: 0)
        """,
    )
    failed = gateway("odd")
    assert failed.code == 1
    assert "plugin 'odd' of gateway-odd 0.1.0 failed: AttributeError" in failed.err

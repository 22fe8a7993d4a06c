"""The command line: ``gateway`` runs, ``gateway check`` and its like say what would run.

- ``main`` is the program: it finds the command, and turns what goes wrong into lines on standard error and exit codes.
- ``commands`` lists the built-in commands, each in the module that has its name; ``plugin_commands`` finds those of
  plugins.
- ``arguments`` reads flags; ``screen`` prints for people, ``progress`` says what takes so long.
- ``describe``, ``settings`` and ``lookup`` say what is in a configuration, for tables and for JSON alike.
"""

from __future__ import annotations

from gateway.cli.program import main

__all__ = ["main"]

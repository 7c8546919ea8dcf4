"""The parser of one command, and settings of options that several commands have."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from ndg import __version__
from ndg.addresses import without_pieces
from ndg.escape import printable

KINDS: dict[str, dict[str, Any]] = {
    "--device": {"choices": ("auto", "cpu", "cuda"), "default": "auto"},
    "--layers": {"nargs": "+", "metavar": "PATH"},
    "--seeds": {"nargs": "+", "metavar": "N"},
    "--version": {"action": "version", "version": f"ndg {__version__}"},
    "run": {"metavar": "RUN", "nargs": "?", "default": "last"},
    "what": {"nargs": "*", "metavar": "CONFIG|KEY=VALUE"},
}
"""Settings of options that several commands have."""
SACRED = "write runs to this MongoDB database as sacred does, for Omniboard"
CONDITION: dict[str, Any] = {"metavar": "KEY=VALUE", "nargs": "*"}


class Parser(argparse.ArgumentParser):
    """The parser of one command; `choices` are listed by its help, before the example."""

    choices: tuple[str, ...] = ()
    arguments: ClassVar[Sequence[str]] = ()
    """Of the present command line."""
    commands: dict[str, Parser]

    def format_help(self) -> str:
        if not self.choices:
            return super().format_help()
        from ndg.commands.choices import text

        example, self.formatter_class = self.epilog, argparse.RawDescriptionHelpFormatter
        self.epilog = f"{text(self.choices)}\n\n{example}"
        help, self.epilog = super().format_help(), example
        return help

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:  # argparse would swallow the error of a full disk
            file.write(printable(message))
        else:
            super()._print_message(printable(message), file)

    def error(self, message: str) -> NoReturn:
        """Exit with a mistake of the user; the message has no password."""
        super().error(without_pieces(message, Parser.arguments))

    def add(self, name: str, help: str, **settings: Any) -> None:
        """Add an option, or an argument; `settings` are those of argparse."""
        self.add_argument(name, help=help, **KINDS.get(name, {}) | settings)

    def add_flag(self, name: str, help: str) -> None:
        """Add an option without a value."""
        self.add_argument(name, help=help, action="store_true")

    def add_number(self, name: str, help: str, metavar: str = "N", **settings: Any) -> None:
        """Add an option that takes a whole number."""
        self.add_argument(name, help=help, type=int, metavar=metavar, **settings)

"""Regular expressions of queries: those that cannot run away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

from ndg.errors import UserError

LENGTH: Final = 1_000
"""Characters of a pattern."""
STEPS: Final = 10**8
"""Steps that a search in one text may take, about a second."""

_LOOPS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_MANY = 20  # repetitions from which a bounded repeat counts as a loop


def check(pattern: str) -> None:
    """Raise UserError for no pattern, a long one, or one whose search may take exponential time."""
    if len(pattern) > LENGTH:
        raise UserError(f"a pattern has at most {LENGTH} characters; got {len(pattern)}; shorten it")
    try:
        compiled(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{pattern!r} is not a regular expression: {error}") from error
    for inside, name in _nodes(_parser.parse(pattern), 0):
        if name in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
            raise UserError(f"a pattern may not refer to its groups; got {pattern!r}; write the text out")
        if inside and name in (*_LOOPS, _constants.BRANCH):
            raise UserError(
                f"a pattern may not repeat what repeats or has alternatives, since its search may never end; got "
                f"{pattern!r}; write one level of * or +"
            )


@lru_cache(maxsize=64)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, where \\w and \\d mean ASCII in an ASCII pattern, as on a server."""
    return re.compile(pattern, re.ASCII if pattern.isascii() else 0)


def repeats(pattern: str) -> int:
    """The power of a text's length that a search takes at most."""
    loops = sum(name in _LOOPS for _, name in _nodes(_parser.parse(pattern), 0))
    return loops + (not pattern.startswith("^"))


def _nodes(tree: Any, inside: int) -> Iterator[tuple[int, Any]]:
    """Operators of a pattern, each with the number of loops around it.

    Short repeats are no loops.
    """
    for name, argument in tree:
        loop = name in _LOOPS and (argument[1] is _constants.MAXREPEAT or argument[1] >= _MANY)
        if loop or name not in _LOOPS:
            yield inside, name
        for below in _below(argument):
            yield from _nodes(below, inside + loop)


def _below(argument: Any) -> Iterator[Any]:
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _below(part)

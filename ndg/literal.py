"""Literals: a node with a truth value, such as "unit 3 of fc1 is off"."""

from __future__ import annotations

from typing import NamedTuple

NEGATION = "¬"
"""Sign before a literal that is off, in pictures and texts; `~` in keys and files."""


class Literal(NamedTuple):
    """The statement that `node` is on (`value` True) or off.

    `~a` is its negation.

    `code` is `2 * node + value`, so the negation of a code is `code ^ 1`. It is a tuple because graphs hold sets of
    millions of literals, and tuples are hashed in C.

    >>> literal = ndg.Literal(3, True)
    >>> ~literal
    Literal(node=3, value=False)
    >>> (~literal).code
    6
    """

    node: int
    value: bool = True

    @property
    def code(self) -> int:
        return 2 * self.node + self.value

    @classmethod
    def of(cls, code: int) -> Literal:
        """Literal with this code."""
        return cls(int(code) >> 1, bool(code & 1))

    def __invert__(self) -> Literal:
        return Literal(self.node, not self.value)


def whole_number(text: str) -> int | None:
    """Number that up to 19 decimal digits mean.

    None for another text.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else None

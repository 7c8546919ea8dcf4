"""Rules and expected errors, for all conformance suites."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

Subject = TypeVar("Subject")


class ConformanceError(AssertionError):
    """A rule of its kind that an object does not keep."""


def rule(holds: Any, text: str) -> None:
    """Raise ConformanceError with the text of a rule that does not hold."""
    if not holds:
        raise ConformanceError(text)


def equal(value: Any, expected: Any, text: str) -> None:
    """Raise ConformanceError, with both values, unless they are equal."""
    if not value == expected:
        raise ConformanceError(f"{text}: expected {expected!r}, got {value!r}")


@contextmanager
def refused(error: type[Exception], pattern: str = "") -> Iterator[None]:
    """A block that must raise this error with a message that the pattern finds."""
    try:
        yield
    except error as raised:
        rule(re.search(pattern, str(raised)), f"the message must match {pattern!r}; got {str(raised)!r}")
    else:
        raise ConformanceError(f"{error.__name__} must be raised, with a message like {pattern!r}; nothing was")


def named(*checks: Callable[[Subject], None]) -> dict[str, Callable[[Subject], None]]:
    """Checks by their names in words."""
    return {check.__name__.replace("_", " "): check for check in checks}


def run(checks: Mapping[str, Callable[[Subject], None]], subject: Subject) -> None:
    """Run all checks. Raises the first ConformanceError, with its check."""
    for name, check in checks.items():
        try:
            check(subject)
        except ConformanceError as error:
            raise ConformanceError(f"{name}: {error}") from error

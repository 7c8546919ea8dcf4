"""What all conformance suites use: rules, the error of a broken one, and errors that are expected."""

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


def equal(found: Any, expected: Any, text: str) -> None:
    """Raise ConformanceError, with both values, unless they are equal."""
    if not found == expected:
        raise ConformanceError(f"{text}: expected {expected!r}, got {found!r}")


@contextmanager
def refused(error: type[Exception], pattern: str = "") -> Iterator[None]:
    """A block that must raise this error with a message that the pattern finds."""
    try:
        yield
    except error as raised:
        rule(re.search(pattern, str(raised)), f"the message must match {pattern!r}; got {str(raised)!r}")
    else:
        raise ConformanceError(f"{error.__name__} must be raised, with a message like {pattern!r}; nothing was")


def run(checks: Mapping[str, Callable[[Subject], None]], subject: Subject) -> None:
    """Run all checks on an object. Raises the first ConformanceError, with the name of its check."""
    for name, check in checks.items():
        try:
            check(subject)
        except ConformanceError as error:
            raise ConformanceError(f"{name}: {error}") from error

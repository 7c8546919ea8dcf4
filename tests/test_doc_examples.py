"""Examples in the docstrings of the public API run, and each public name has one."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

import ndg
from tools.site import api

EXPORTS = api.exports()["ndg"]


def examples_of(value: Any, name: str, names: dict[str, Any]) -> doctest.DocTest:
    """Examples of a docstring, without those of members."""
    [found] = doctest.DocTestFinder(recurse=False, exclude_empty=False).find(value, name, module=False, globs=names)
    return found


def failures(examples: doctest.DocTest) -> str:
    """What the examples gave instead of what they say."""
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=report.append, clear_globs=False)
    return "".join(report)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Network, data, bits and graph of the docstring of `ndg`."""
    setting = examples_of(ndg, "ndg", {})
    assert not failures(setting)
    assert {"net", "data", "bits", "graph"} <= set(setting.globs)
    return setting.globs


@pytest.mark.parametrize("name", EXPORTS)
def test_the_examples_of_a_public_name_run(name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    found = examples_of(EXPORTS[name], name, dict(names))
    assert found.examples, f"the docstring of ndg.{name} has no example: lines that begin with >>>"
    assert not failures(found)


def test_a_wrong_example_is_noticed(names):
    def wrong() -> None:
        """One.

        >>> graph.examples
        301
        """

    assert "Got:\n    300" in failures(examples_of(wrong, "wrong", dict(names)))


def test_examples_are_code_in_the_reference():
    text = api.markdown("""First line.

        name    what it holds

        >>> 1 + 1  # <two>
        2

        After *it*.
    """)
    assert "```pycon\n>>> 1 + 1  # <two>\n2\n```\n" in text
    assert text.endswith("After \\*it\\*.")

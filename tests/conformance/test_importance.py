"""Every method of importance keeps the laws of `ndg.testing`; a new one in `IMPORTANCE` is tested without a line here.

Laws that a method promises are in its `METHOD`; `TRAITS` says what else the suite has to know of some.
"""

from pathlib import Path

import pytest

from ndg.importance.method import LAWS
from ndg.importance.score import IMPORTANCE
from ndg.testing import METHOD_CHECKS
from ndg.testing.scored import Subject

SMALL = {"permutations": 4, "budget": 0.2}
"""Options that make a method quick, where it has them."""

TRAITS = {
    "hrank": {"maps": True},
    "synflow": {"still": True},
    "magnitude": {"still": True},
    "shapley": {"sampled": True},
    "fast_ablation": {"sampled": True, "shared": True},
}


@pytest.mark.parametrize("name", IMPORTANCE)
@pytest.mark.parametrize("check", METHOD_CHECKS)
def test_a_method_keeps_the_laws(name, check):
    METHOD_CHECKS[check](Subject(name, options=SMALL, **TRAITS.get(name, {})))


def test_every_law_is_kept_by_some_method():
    assert {law for method in IMPORTANCE.values() for law in method.laws} == set(LAWS)


@pytest.mark.parametrize("method", IMPORTANCE)
def test_a_page_says_what_it_is_what_it_costs_and_when_it_misleads(method):
    pages = Path(__file__).parents[2] / "docs" / "importance"
    page = (pages / f"{method}.md").read_text(encoding="utf-8")
    assert f'"{method}"' in page
    for part in ("**Formula.**", "**Cost.**", "**Target and baseline.**", "**When it misleads.**", "**Source.**"):
        assert part in page
    assert f"[{method}]({method}.md)" in (pages / "README.md").read_text(encoding="utf-8")

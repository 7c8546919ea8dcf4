"""Damaged files, configs, filters and arguments end in a message: no traceback, no hang, no silent change."""

from __future__ import annotations

import pytest

from tests.fuzzing import harness
from tests.fuzzing.kinds import KINDS

CASES = {
    **dict.fromkeys(("bits", "unfinished bits", "graph document", "checkpoint", "journal"), 90),
    **dict.fromkeys(("graph", "causal graph", "counterfactual set", "arrays", "labels", "jsonl"), 60),
    **dict.fromkeys(("training log", "csv", "overrides", "record", "record document", "idx"), 30),
}
"""Damaged inputs of quick kinds; the others get fewer. `make fuzz` tries many more."""
FEWER = 15

TOLERANT = ("training log", "record", "record document")
"""Kinds of which a damaged file is left out with a warning, or mended."""


def numbers(name: str) -> range:
    return range(CASES.get(name, FEWER))


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_refused_or_changes_nothing(name: str):
    cases = list(harness.run(name, KINDS[name], numbers(name)))
    faults = [str(case) for case in cases if case.outcome in harness.FAULTS]
    assert not faults, "\n\n".join(faults[:3])
    assert any(case.outcome == harness.REFUSED for case in cases) or name in (
        "training log",
        "record",
        "record document",
    )


def test_over_a_thousand_inputs_are_tried():
    assert sum(len(numbers(name)) for name in KINDS) >= 1000


@pytest.mark.parametrize("outcome", harness.FAULTS)
def test_each_kind_of_fault_is_noticed(outcome: str):
    """A reader that ignores damage, fails or does not end."""

    def read(path):
        content = path.read_bytes()
        if content == b"sound":
            return content
        if outcome == harness.TRACEBACK:
            raise KeyError
        while outcome == harness.HANG:
            pass
        return content

    def make(folder):
        (folder / "file").write_bytes(b"sound")
        return folder / "file"

    kind = harness.Kind(make, lambda content, rng: b"damaged", read)
    [case] = harness.run("own", kind, range(1), seconds=1)
    assert case.outcome == outcome

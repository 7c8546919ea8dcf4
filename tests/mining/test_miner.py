"""Mined implications against a slow transcription of the definition."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, ConfigError, GraphError
from ndg.literal import Literal
from ndg.mining.criteria import Confidence, Paper
from ndg.mining.implications import Implications
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import mining as slow


@st.composite
def planted(draw) -> tuple[np.ndarray, int]:
    """Booleans with equal, negated, implied, constant and independent columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    examples, nodes = draw(st.sampled_from([1, 5, 63, 64, 65, 90])), draw(st.integers(1, 8))
    values = rng.random((examples, nodes)) < rng.choice([0.1, 0.5, 0.9], nodes)
    for column in range(1, nodes):
        other = rng.integers(column)
        match draw(st.sampled_from(["free", "equal", "negated", "implied", "noisy", "constant"])):
            case "equal":
                values[:, column] = values[:, other]
            case "negated":
                values[:, column] = ~values[:, other]
            case "implied":
                values[:, column] |= values[:, other]
            case "noisy":
                values[:, column] = values[:, other] ^ (rng.random(examples) < 0.05)
            case "constant":
                values[:, column] = rng.random() < 0.5
    return values, draw(st.integers(0, nodes))


def packed(values: np.ndarray, labels: int) -> BitMatrix:
    rest = values.shape[1] - labels
    return BitMatrix.from_bool(values, NodeSpace(labels, (LayerUnits("a", rest),) if rest else ()))


def as_dict(mined: Implications) -> dict:
    edges = zip(mined.antecedents, mined.consequents, mined.exceptions, strict=True)
    return {((p >> 1, bool(p & 1)), (q >> 1, bool(q & 1))): int(e) for p, q, e in edges}


@given(planted(), st.sampled_from([1.01, 2.0, 5.0, 20.0]))
@settings(max_examples=60, deadline=None)
def test_the_paper_criterion_finds_what_its_definition_says(table, alpha):
    values, labels = table
    mined = find(packed(values, labels), "paper", alpha=alpha)
    expected = slow.implications(values, labels, lambda *cells: slow.paper(*cells, alpha))
    assert as_dict(mined) == expected


@given(planted(), st.sampled_from([0.6, 0.9, 0.95, 1.0]), st.sampled_from([1, 5]))
@settings(max_examples=60, deadline=None)
def test_the_confidence_criterion_finds_what_its_definition_says(table, level, support):
    values, labels = table
    mined = find(packed(values, labels), "confidence", confidence=level, support=support)
    expected = slow.implications(values, labels, lambda *cells: slow.confidence(*cells, level, support))
    assert as_dict(mined) == expected


@given(planted(), st.floats(1.01, 50), st.floats(1.01, 50))
@settings(max_examples=40, deadline=None)
def test_raising_alpha_only_removes_implications(table, one, other):
    values, labels = table
    loose, strict = (as_dict(find(packed(values, labels), alpha=a)) for a in sorted((one, other)))
    assert strict.keys() <= loose.keys()


@given(planted(), st.sampled_from([Paper(2.0), Confidence(0.8, 2)]))
@settings(max_examples=40, deadline=None)
def test_every_implication_stands_with_its_contrapositive_and_the_counts_are_those_of_the_bits(table, rule):
    values, labels = table
    mined = find(packed(values, labels), rule)
    edges = as_dict(mined)
    assert all(edges[(b, not w), (a, not v)] == e for ((a, v), (b, w)), e in edges.items())
    assert (mined.on == values.sum(axis=0)).all()
    together = values[:, :labels].astype(int).T @ values
    assert (mined.with_label == together).all()
    for p, q, support in zip(mined.antecedents, mined.consequents, mined.support, strict=True):
        both = (values[:, p >> 1] == bool(p & 1)) & (values[:, q >> 1] == bool(q & 1))
        assert support == both.sum()


def test_in_a_binary_task_one_label_is_not_the_other():
    values = np.zeros((100, 3), bool)
    values[:50, 0], values[50:, 1] = True, True
    values[:, 2] = values[:, 0]
    edges = as_dict(find(packed(values, 2), alpha=5))
    assert {((0, True), (1, False)), ((1, False), (0, True))} <= edges.keys()


def test_exclusive_labels_of_many_do_not_imply_each_others_negation():
    values = np.eye(4, dtype=bool).repeat(50, axis=0)
    assert len(find(packed(values, 4), alpha=5)) == 0
    assert len(find(packed(values, 0), alpha=5)) == 12


def test_constants_are_listed_with_the_value_they_have_and_take_part_in_nothing():
    values = np.random.default_rng(0).random((200, 4)) < 0.5
    values[:, 1], values[:, 2] = True, False
    mined = find(packed(values, 1), alpha=1.01)
    assert mined.constants == (Literal(1, True), Literal(2, False))
    assert not set(mined.antecedents // 2) & {1, 2}


def test_the_margins_of_two_billion_examples_do_not_overflow():
    n = 2**31
    half = np.array([n // 2], np.int64)
    expected = (n // 2) * (n // 2) / (n * 4.0)
    assert Paper(4.0).holds(np.array([int(expected)]), half, half, n)
    assert not Paper(4.0).holds(np.array([int(expected) + 1]), half, half, n)
    full = np.array([n], np.int64)
    assert Paper(2.0).holds(np.array([2**30]), full, full, n)


def test_five_exceptions_in_a_hundred_pass_at_95_percent_for_every_hundred():
    for hundreds in range(1, 200):
        margin = np.array([100 * hundreds])
        rule = Confidence(0.95, 1)
        assert rule.holds(np.array([5 * hundreds]), margin, margin, 10**6)
        assert not rule.holds(np.array([5 * hundreds + 1]), margin, margin, 10**6)


def test_bad_requests_are_refused():
    bits = packed(np.ones((4, 2), bool), 1)
    with pytest.raises(ConfigError, match=r"known criterion; got 'papr'; nearest: paper"):
        find(bits, "papr")
    with pytest.raises(ConfigError, match=r"alpha must be above 1"):
        find(bits, alpha=1.0)
    with pytest.raises(ConfigError, match=r"confidence in \(0.5, 1\]"):
        find(bits, "confidence", confidence=0.2)
    with pytest.raises(BitsError, match="at least one example"):
        find(packed(np.ones((0, 2), bool), 1))


def test_implications_without_their_contrapositive_are_refused():
    mined = find(packed(np.random.default_rng(0).random((90, 3)) < 0.5, 1), alpha=1.01)
    facts = {f: getattr(mined, f) for f in mined.__dataclass_fields__}
    one = np.array([2], np.int32)
    with pytest.raises(GraphError, match="must come with its contrapositive"):
        Implications(**facts | {"antecedents": one, "consequents": one + 2, "exceptions": np.zeros(1, np.int64)})


FOUND = """
import hashlib
import numpy as np
from ndg.bits.matrix import BitMatrix
from ndg.mining.miner import find
from ndg.nodes import NodeSpace
values = np.random.default_rng(0).random((777, 50)) < 0.5
values[:, 1::2] |= values[:, ::2]
found = find(BitMatrix.from_bool(values, NodeSpace(50)), lambda e, p, q, n: e < 150)
columns = (found.antecedents, found.consequents, found.exceptions)
print(*(hashlib.sha256(column.tobytes()).hexdigest() for column in columns), len(found))
"""
COMPILED = f"""{FOUND}
from ndg.mining import hypergeometric, kernel, sifting
find(BitMatrix.from_bool(np.random.default_rng(0).random((90, 8)) < 0.5, NodeSpace(8)), alpha=1.01)
for function in (kernel.count_tile, sifting.sift, sifting.collect, sifting.arrange, hypergeometric._tally):
    print(sum(function.stats.cache_hits.values()), len(function.signatures))
"""


@pytest.mark.slow
def test_a_second_process_finds_the_compiled_functions_on_disk_and_a_machine_without_popcounts_the_same(
    tmp_path, capsys
):
    """A compiler for a processor without extensions gives the same counts."""
    exec(FOUND, {})
    host = capsys.readouterr().out
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    command, env = [sys.executable, "-c", COMPILED], os.environ | generic
    printed = [subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert int(host.split()[-1]) > 100
    assert [lines.partition("\n")[0] for lines in printed] == [host.strip()] * 2
    assert [lines.partition("\n")[2].split() for lines in printed] == [["0", "1"] * 5, ["1", "1"] * 5]

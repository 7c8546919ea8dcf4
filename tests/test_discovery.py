"""What mine and sweep take, and what they refuse."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import ndg
from ndg.bits.matrix import BitMatrix
from ndg.discovery import seconds_to_count
from ndg.errors import ConfigError
from ndg.mining.criteria import criterion
from ndg.mining.pairs import pairs_of
from ndg.nodes import LayerUnits, NodeSpace


@pytest.fixture
def bits():
    values = np.random.default_rng(0).random((500, 20)) < 0.4
    values[:, 1::2] |= values[:, ::2]
    return BitMatrix.from_bool(values, NodeSpace(2, (LayerUnits("x", 18),)))


def test_a_sweep_takes_alphas_names_criteria_and_functions(bits):
    function = lambda e, p, q, n: e == 0  # noqa: E731
    graphs = ndg.sweep(bits, [3, np.float64(5), "wilson", criterion("ratio", alpha=4), function])
    alone = [
        ndg.mine(bits, alpha=3),
        ndg.mine(bits, alpha=5),
        ndg.mine(bits, "wilson"),
        ndg.mine(bits, "ratio", alpha=4),
        ndg.mine(bits, function),
    ]
    assert graphs == alone


def test_the_provenance_travels(bits):
    assert ndg.mine(bits, provenance={"of": "me"}).provenance == {"of": "me"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: ndg.sweep(b, []), "a list of criteria or alphas, at least one; got"),
        (lambda b: ndg.mine(b, max_edges=-1), "must be at least 0; got -1"),
        (
            lambda b: ndg.mine(b, options=ndg.RunOptions(device="tpu")),
            "a device must be cpu, cuda or another of torch; got 'tpu'",
        ),
        (lambda b: ndg.mine(b, pairs=[]), "a list of at least one pair of layers; got"),
        (lambda b: ndg.mine(b, lambda e: e > 0), r"called with arrays \(exceptions, n\(p\), n\(~q\)\) and n"),
    ],
)
def test_bad_requests_are_refused(bits, call, message):
    with pytest.raises(ConfigError, match=message):
        call(bits)


UNTYPED = """
import numpy as np, ndg
b = ndg.BitMatrix.from_bool(np.random.default_rng(0).random((90, 4)) < 0.5, ndg.NodeSpace(4))
for call in (
    lambda: ndg.mine(b, alpha=[2, 5]),
    lambda: ndg.mine(b, support="5"),
    lambda: ndg.mine(b, pairs=3),
    lambda: ndg.mine("x.bits"),
    lambda: ndg.mine(b.to_bool()),
    lambda: ndg.sweep(b, 5),
):
    try:
        print("accepted", call())
    except ndg.errors.UserError as error:
        print(error)
"""


def test_values_of_another_type_are_refused_where_no_types_are_checked():
    """As users run it, without the checks of types that these tests run under."""
    done = subprocess.run([sys.executable, "-c", UNTYPED], capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    for message, line in zip(
        [
            "alpha of a criterion must be one number; got [2, 5]; ndg.sweep takes several",
            "support of a criterion must be one number; got '5'",
            "a list of at least one pair of layers; got 3",
            "a BitMatrix or a list of them; got str; make one with",
            "a BitMatrix or a list of them; got ndarray; make one with",
            "a sweep needs a list of criteria or alphas, at least one; got 5",
        ],
        told,
        strict=True,
    ):
        assert message in line


def test_the_estimate_of_counting_is_of_the_pairs_that_are_asked():
    assert seconds_to_count(0, 1000) == 0
    assert seconds_to_count(10**6, 1000) > 0


def test_pairs_are_counted_by_the_mask():
    nodes = NodeSpace(3, (LayerUnits("a", 4), LayerUnits("b", 5)), ("red",))
    assert pairs_of(nodes) == 13 * 12 // 2
    assert pairs_of(nodes, "within") == 3 + 6 + 10
    assert pairs_of(nodes, "between") == 78 - 19
    assert pairs_of(nodes, [("a", "label")]) == 12


def test_mining_leaves_the_number_of_torch_threads():
    before = torch.get_num_threads()
    words = np.random.default_rng(0).integers(0, 2**64, (20, 20), dtype=np.uint64)
    bits = BitMatrix(NodeSpace(20), words, 1280, np.zeros(0))
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            ndg.mine(bits, "ratio", alpha=2)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)

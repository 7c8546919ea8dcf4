"""Every counter finds the same implications as a slow reference."""

import itertools
from dataclasses import replace

import numba
import numpy as np
import pytest

from ndg.bits.matrix import BitMatrix, BitMatrixBuilder
from ndg.errors import ConfigError
from ndg.mining import miner
from ndg.mining.counters import Packed
from ndg.mining.criteria import criterion
from ndg.mining.dense import Dense
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import mining as slow
from tests.references.criteria import REFERENCES

RULES = {
    "paper": ({"alpha": 3.0}, lambda e, p, q, n: slow.paper(e, p, q, n, 3.0)),
    "ratio": ({"alpha": 3.0}, lambda e, p, q, n: REFERENCES["ratio"](e, p, q, n, 3.0)),
    "wilson": ({"bound": 0.6}, lambda e, p, q, n: REFERENCES["wilson"](e, p, q, n, 0.6)),
    "confidence": ({"confidence": 0.8, "support": 2}, lambda e, p, q, n: slow.confidence(e, p, q, n, 0.8, 2)),
}


def bits_of(values, labels=0):
    return BitMatrix.from_bool(values, NodeSpace(labels, (LayerUnits("x", values.shape[1] - labels),)))


def cases():
    rng = np.random.default_rng(0)
    for examples in (1, 63, 64, 65, 200):
        values = rng.random((examples, 13)) < rng.uniform(0.1, 0.9, 13)
        values[:, 1], values[:, 2] = values[:, 0], ~values[:, 0]  # equal and negated columns
        values[:, 3], values[:, 4] = False, True
        values[:, 6] &= values[:, 5]
        yield f"{examples} examples", values
    yield "one node", rng.random((100, 1)) < 0.5
    yield "two nodes", np.repeat(rng.random((100, 1)) < 0.5, 2, axis=1)
    yield "all on", np.ones((70, 5), bool)
    yield "all off", np.zeros((70, 5), bool)


def pairs_of(implications):
    nodes = implications.nodes
    texts = [text for name in nodes.nodes() for text in (f"~{name}", name)]
    ends = zip(implications.antecedents, implications.consequents, strict=True)
    return {(texts[p], texts[q]): int(e) for (p, q), e in zip(ends, implications.exceptions, strict=True)}


def slow_pairs(values, labels, rule):
    nodes = bits_of(values, labels).nodes
    found = slow.implications(values, labels, rule)
    return {tuple(("" if v else "~") + nodes.name(a) for a, v in ends): e for ends, e in found.items()}


WAYS = [
    "tile of 1024",
    "tile of 1",
    "tile of 3",
    "tile of 8",
    "dense",
    "dense tile of 5",
    "shards",
    "streamed",
    "mapped",
]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch, tmp_path):
    """Counter as a function from bits and a rule to implications."""

    def counter(shards, device):
        if "dense" in request.param:
            made = Dense.of(shards, "cpu")
            return replace(made, edge=5) if "tile" in request.param else made
        return (
            replace(Packed.of(shards), edge=int(request.param.split()[-1]))
            if "tile" in request.param
            else made_of(shards, device)
        )

    made_of = miner.counter_of
    monkeypatch.setattr(miner, "counter_of", counter)

    def run(values, labels, name, parameters):
        if request.param == "streamed":
            builder = BitMatrixBuilder(bits_of(values, labels).nodes)
            for start in range(0, len(values), 7):
                builder.append(values[start : start + 7])
            return find(builder.finish(np.full(values.shape[1] - labels, np.nan)), name, **parameters)
        if request.param == "mapped":
            return find(BitMatrix.open(bits_of(values, labels).save(tmp_path / f"bits{labels}")), name, **parameters)
        if request.param == "shards":
            cuts = np.split(values, [len(values) // 3, len(values) // 2])
            return find([bits_of(part, labels) for part in cuts], name, **parameters)
        return find(bits_of(values, labels), name, **parameters)

    return run


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("case", "values"), list(cases()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_way_finds_what_the_definition_says(way, name, case, values):
    parameters, rule = RULES[name]
    for labels in (0, min(3, values.shape[1] - 1)):
        assert pairs_of(way(values, labels, name, parameters)) == slow_pairs(values, labels, rule)


@pytest.mark.parametrize(("case", "values"), list(cases()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_way_finds_the_same_at_a_false_discovery_rate(way, case, values):
    plain = find(bits_of(values, 0), "fisher", confidence=0.8, support=2)  # test_criteria.py has its definition
    found = way(values, 0, "fisher", {"confidence": 0.8, "support": 2})
    assert pairs_of(found) == pairs_of(plain)
    assert found.criterion == plain.criterion


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_what_is_found(threads):
    values = np.random.default_rng(2).random((500, 300)) < 0.3
    values[:, 1::2] |= values[:, ::2]
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(min(threads, before))
        found = find(bits_of(values), alpha=3)
    finally:
        numba.set_num_threads(before)
    assert len(found) >= 300
    assert pairs_of(found) == pairs_of(find(bits_of(values), alpha=3))


def test_a_criterion_without_a_sieve_judges_every_pair():
    values = np.random.default_rng(3).random((90, 12)) < 0.4
    values[:, 5] |= values[:, 4]

    def no_exception(exceptions, antecedent, negation, examples):
        return (exceptions == 0) & (np.minimum(antecedent, negation) > 0)

    found = find(bits_of(values), no_exception)
    assert pairs_of(found) == slow_pairs(values, 0, lambda e, p, q, n: e == 0 and min(p, q) > 0)
    assert found.criterion["name"] == "callable"


def test_a_sweep_finds_under_each_rule_what_that_rule_finds_alone():
    values = np.random.default_rng(4).random((400, 40)) < 0.4
    values[:, ::3] |= values[:, 1::3][:, : values[:, ::3].shape[1]] if values[:, 1::3].shape[1] >= 14 else False
    values[:, 20] = values[:, 21] & (np.arange(400) > 3)
    rules = [criterion("paper", alpha=alpha) for alpha in (2, 5, 20, 100)] + [criterion("confidence", confidence=0.9)]
    together = miner.sweep(bits_of(values, 2), rules)
    assert len({len(found) for found in together}) > 1
    for rule, found in zip(rules, together, strict=True):
        alone = find(bits_of(values, 2), rule)
        assert pairs_of(found) == pairs_of(alone)
        assert found.criterion == rule.to_dict()


def test_a_sweep_of_many_rules_gives_each_its_own():
    values = np.random.default_rng(6).random((300, 30)) < 0.4
    values[:, 1::2] |= values[:, ::2]
    alphas = np.linspace(1.1, 8.0, 2 * miner.RULES + 5)
    together = miner.sweep(bits_of(values), [criterion("paper", alpha=alpha) for alpha in alphas])
    assert [len(found) for found in together] == [len(find(bits_of(values), alpha=alpha)) for alpha in alphas]


def test_a_function_of_one_direction_is_asked_about_both():
    """Precision of p -> q alone would depend on which node comes first."""
    values = np.random.default_rng(7).random((400, 20)) < np.linspace(0.02, 0.98, 20)
    order = np.random.default_rng(8).permutation(20)

    def precise(exceptions, antecedent, negation, examples):
        return exceptions <= 0.05 * antecedent

    here, there = find(bits_of(values), precise), find(bits_of(values[:, order]), precise)
    names = {(f"x:{place}", f"x:{node}") for place, node in enumerate(order)}
    renamed = dict(names)

    def old(text):
        return ("~" if text.startswith("~") else "") + renamed[text.removeprefix("~")]

    assert pairs_of(here) == {(old(p), old(q)): e for (p, q), e in pairs_of(there).items()}
    assert len(here) > 0


def test_raising_alpha_only_removes_implications():
    values = np.random.default_rng(5).random((300, 30)) < 0.4
    values[:, 7] |= values[:, 8]
    found = miner.sweep(bits_of(values), [criterion("paper", alpha=alpha) for alpha in (1.01, 2, 5, 50)])
    for looser, stricter in itertools.pairwise(found):
        assert set(pairs_of(stricter)) <= set(pairs_of(looser))


def test_an_absent_gpu_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(ConfigError, match="--device cuda needs a GPU that torch can use; got none; use --device cpu"):
        find(bits_of(np.ones((4, 2), bool)), device="cuda")

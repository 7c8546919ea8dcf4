"""Each suite of `ndg.testing` notices an object that breaks a rule, and says which."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ndg.activations.binarize import Binarizer
from ndg.activations.hooks import Trace
from ndg.errors import DataError
from ndg.executors import Serial
from ndg.importance.method import Method
from ndg.importance.methods.magnitude import METHOD as MAGNITUDE
from ndg.importance.scores import Scores
from ndg.mining.criteria import CustomCriterion, Sieve, criterion
from ndg.runs.store import connect
from ndg.testing import (
    ConformanceError,
    check_binarizer,
    check_criterion,
    check_executor,
    check_method,
    check_store,
)
from ndg.testing.checks import refused

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Broken:
    """The criterion of confidence, judged by another function, with another sieve if there is one."""

    judge: object
    own_sieve: Sieve | None = None

    @property
    def sieve(self) -> Sieve:
        return self.own_sieve or Sieve()

    def holds(self, exceptions, antecedent, negation, examples):
        return self.judge(exceptions, antecedent, negation, examples)

    def to_dict(self):
        return {"name": "broken"}


def by_antecedent(e, p, not_q, n):
    return np.broadcast_to(e <= 0.1 * p, e.shape)


def by_exceptions(e, p, not_q, n):
    return (e % 2 == 0) & (2 * e < np.minimum(p, not_q))


def independent_too(e, p, not_q, n):
    return e <= np.minimum(p, not_q)


def never(e, p, not_q, n):
    return np.zeros(e.shape, np.bool_)


def as_numbers(e, p, not_q, n):
    return (e == 0).astype(np.int64)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (by_antecedent, "symmetric: a pair and its contrapositive are judged alike"),
        (as_numbers, "symmetric: holds gives booleans; got int64"),
        (by_exceptions, "monotone: a pair that holds still holds with 1 exceptions fewer"),
        (independent_too, "independent literals do not imply each other"),
        (never, "no exception at all is an implication|equal columns imply each other"),
    ],
)
def test_a_broken_criterion_is_noticed(judge, message):
    with pytest.raises(ConformanceError, match=message):
        check_criterion(Broken(judge))


def test_a_sieve_that_drops_what_holds_is_noticed():
    rule = criterion("confidence", confidence=0.6, support=1)
    check_criterion(rule)
    strict = Broken(rule.holds, Sieve(support=1000))
    with pytest.raises(ConformanceError, match="sieved: what holds passes the sieve"):
        check_criterion(strict)


def test_a_criterion_from_outside_passes():
    rule = criterion("wilson", bound=0.9)
    check_criterion(CustomCriterion(rule.holds))


@pytest.mark.parametrize(
    ("binarizer", "message"),
    [
        (Binarizer(), "either a threshold or a fit"),
        (Binarizer(fit=lambda sample, q: np.quantile(sample, q)), "one threshold for each of 6 units"),
        (Binarizer(fit=lambda sample, q: np.arange(6) / 10), "permuting units permutes thresholds"),
        (Binarizer(fit=lambda sample, q: np.full(6, 1e9)), "on for some examples and off for others"),
        (Binarizer(fit=lambda sample, q: np.zeros(6, np.float32)), "thresholds are float64; got float32"),
    ],
)
def test_a_broken_binarizer_is_noticed(binarizer, message):
    with pytest.raises(ConformanceError, match=message):
        check_binarizer(binarizer)


class Backwards(Serial):
    """Adds the results from the last to the first."""

    def total(self, work, shared, tasks, label, **how):
        return super().total(work, shared, list(tasks)[::-1], label, **how)


class Swallowing(Serial):
    """Leaves out tasks that fail."""

    def total(self, work, shared, tasks, label, **how):
        done = []
        for task in tasks:
            try:
                work(shared, task)
            except DataError:
                continue
            done.append(task)
        return super().total(work, shared, done, label, **how)


class Forgetful(Serial):
    """Leaves the journal alone."""

    def total(self, work, shared, tasks, label, **how):
        return super().total(work, shared, tasks, label, **how | {"journal": None})


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (Backwards, "in order: results are added in the order of their tasks"),
        (Swallowing, "errors: DataError must be raised"),
        (Forgetful, "journal: a journal holds the result of each task once"),
    ],
)
def test_a_broken_executor_is_noticed(executor, message):
    with pytest.raises(ConformanceError, match=message):
        check_executor(executor())


class Loose:
    """A store of the file kind, of which a part is changed."""

    def __init__(self, store) -> None:
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)


class Overwriting(Loose):
    def insert(self, document):
        self.store.replace(document)
        return True


class Unsorted(Loose):
    def find(self, where=None, **how):
        return self.store.find(where, **{key: value for key, value in how.items() if key != "sort"})


class Deaf(Loose):
    """Answers every query on tags with everything."""

    def find(self, where=None, **how):
        return self.store.find({} if where and "tags" in where else where, **how)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Overwriting, "unique ids: inserting an id that is taken gives False"),
        (Unsorted, "sorting: sorting goes by a dotted path, null first"),
        (Deaf, "querying: the answer to"),
    ],
)
def test_a_broken_store_is_noticed(tmp_path, kind, message):
    stores = iter(range(1000))
    with pytest.raises(ConformanceError, match=message):
        check_store(lambda: kind(connect(tmp_path / f"{next(stores)}.db")))


def activations(model, loader, layers, settings) -> Scores:
    """Mean absolute activation of each unit of the first batch of the loader: not of its examples."""
    inputs = next(iter(loader))
    inputs = inputs[0] if isinstance(inputs, list | tuple) else inputs
    with Trace(model, list(layers)) as trace, torch.no_grad():
        model(inputs)
        values = {layer: trace[layer].flatten(2).mean(2) if layer == "conv" else trace[layer] for layer in layers}
    arrays = {layer: value.abs().mean(0).double().numpy() for layer, value in values.items()}
    whole = {layer: float(value.sum()) for layer, value in arrays.items()}
    return Scores("subject", arrays, whole, "", "zero", len(inputs), "activation")


def test_a_method_that_reads_the_loader_by_itself_is_noticed():
    method = Method(activations, title="first batch", source="none", measure="activation", baselines=("zero",))
    with pytest.raises(ConformanceError, match=r"one score per unit|loader batches: .*compute_batches"):
        check_method(method)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"laws": frozenset({"unread"})}, "unread unit: law unread: a unit that nothing reads scores 0"),
        ({"laws": frozenset({"honest"})}, "described: laws are among additive"),
        ({"title": ""}, "described: a method has a title and a source"),
        (
            {"run": lambda *given: scaled(MAGNITUDE.run(*given))},
            "loader batches: the batches of the loader change nothing",
        ),
    ],
)
def test_a_method_that_breaks_a_promise_is_noticed(change, message):
    with pytest.raises(ConformanceError, match=message):
        check_method(replace(MAGNITUDE, **change), "magnitude", still=True)


def scaled(scores: Scores) -> Scores:
    """Scores by a factor that the global generator draws."""
    factor = 1 + float(torch.rand(()))
    values = {layer: factor * value for layer, value in scores.values.items()}
    return replace(scores, values=values)


def test_a_check_of_an_error_can_fail():
    with pytest.raises(ConformanceError, match="DataError must be raised"), refused(DataError):
        pass
    with pytest.raises(ConformanceError, match="the message must match 'b'; got 'a'"), refused(DataError, "b"):
        raise DataError("a")
    with pytest.raises(ZeroDivisionError), refused(DataError):
        _ = 1 / 0


def test_the_suites_need_no_test_framework():
    code = "import sys, ndg.testing\nfor name in ndg.testing.__all__: getattr(ndg.testing, name)\n"
    code += "assert not {'pytest', 'hypothesis', 'beartype'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

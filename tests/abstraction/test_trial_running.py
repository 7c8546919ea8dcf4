"""Where and how a trial runs changes no integer: batch sizes, executors, interruptions."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import executors
from ndg.abstraction.study import _distinct
from ndg.abstraction.trial import TrialSettings, trial, trials
from ndg.activations.batches import compute_batches
from ndg.data.examples import Examples
from ndg.data.inputs import Numbers
from ndg.errors import ConfigError, ShapeError
from ndg.executors import Journal, Serial
from ndg.graph.ndg import NDG
from ndg.interventions.cache import Cache
from ndg.options import RunOptions
from ndg.run_study import count_batches, placed
from tests.interventions.test_passes import Counted
from tests.references.by_hand import EXAMPLES, SEED, ByHand, by_hand, examples, loader

EVERYTHING = TrialSettings(draws=3, curve=True, values="mean")
"""Settings under which all that a trial counts is counted."""


@pytest.fixture
def model() -> ByHand:
    return ByHand()


@pytest.fixture
def graph() -> NDG:
    return by_hand()


def counted(found):
    """All that a trial found, wherever it ran."""
    return {name: replace(result, executor="", reason="") for name, result in found.items()}


@pytest.mark.parametrize(("size", "batch"), [(1, 16), (7, 16), (EXAMPLES, 256), (7, 256)])
def test_the_users_batch_size_changes_nothing(model, graph, size, batch):
    expected, found = (
        trials(
            model,
            graph,
            batches,
            ["G.1"],
            fit=loader(),
            settings=EVERYTHING,
            options=RunOptions(seed=SEED, executor="serial", batch=rows),
        )
        for batches, rows in ((loader(), 16), (loader(size), batch))
    )
    assert counted(found) == counted(expected)


def test_ray_gives_the_same_integers_and_leaves_a_running_session_alone(ray_session, model, graph):
    expected = trials(model, graph, loader(), options=RunOptions(seed=SEED, executor="serial", batch=8))
    found = trials(model, graph, loader(7), options=RunOptions(seed=SEED, executor="ray", batch=8, timeout=120.0))
    assert counted(found) == counted(expected)
    assert {result.executor for result in found.values()} == {"ray"}
    assert ray_session.is_initialized()


def test_auto_takes_the_ray_session_that_is_larger_than_this_machine(ray_session, model, graph, monkeypatch):
    monkeypatch.setattr(executors, "_session_cpus", lambda: 10_000)
    expected = trials(model, graph, loader(), options=RunOptions(seed=SEED, executor="serial", batch=8))
    found = trials(model, graph, loader(), options=RunOptions(seed=SEED, batch=8, timeout=120.0))
    assert {result.executor for result in found.values()} == {"ray"}
    assert all(result.reason.startswith("ray: the Ray session of this process has") for result in found.values())
    assert counted(found) == counted(expected)


def test_an_error_in_a_ray_worker_is_the_error_that_serial_raises(ray_session, model, graph):
    model.decoder = nn.Linear(4, 5)
    with pytest.raises(ShapeError, match="the graph is of another network: it has 3 labels"):
        trial(model, graph, loader(), options=RunOptions(executor="ray", batch=16, timeout=120.0))


def test_auto_takes_threads_and_says_so(model, graph, monkeypatch):
    monkeypatch.setattr(executors, "available_cpus", lambda: 3)
    result = trial(model, graph, loader(7), "Q", options=RunOptions(batch=16, seed=SEED))
    assert (result.executor, result.reason) == ("threads", "threads: 3 at once on this machine")
    assert trial(model, graph, loader(7)).reason == "serial: there is one batch only"
    assert result.tally == trial(model, graph, loader(), "Q", options=RunOptions(seed=SEED, executor=Serial())).tally


def test_auto_says_why_it_is_serial(model, graph):
    model.encoder.register_forward_hook(lambda module, arguments, output, held=model.encoder: output)
    result = trial(model, graph, loader(7), "Q", options=RunOptions(batch=16, seed=SEED, threads=1))
    assert result.executor == "serial"
    assert result.reason == (
        "serial: each thread runs a copy of the network, and this one cannot be copied (_forward_hooks of Linear holds "
        "a module of the network itself); use a method in its place, or use the executor 'serial'"
    )


def test_an_iterator_that_does_not_tell_its_length_is_walked_once(model, graph):
    result = trial(model, graph, iter(loader(7)), "Q", options=RunOptions(seed=SEED))
    assert result.tally == trial(model, graph, loader(), "Q", options=RunOptions(seed=SEED, executor="serial")).tally


def test_a_cache_changes_nothing_and_runs_the_front_once(model, graph):
    front = model.encoder = Counted(model.encoder)

    def tried(**cache):
        options = RunOptions(executor="serial", batch=16, seed=SEED)
        settings = TrialSettings(curve=True)
        return counted(trials(model, graph, loader(), **cache, settings=settings, options=options))

    expected, cache = tried(), Cache()
    assert tried(cache=cache) == expected
    before = front.passes
    assert tried(cache=cache) == expected
    assert front.passes == before


class Killed(BaseException):
    """A process that ends, as far as a test can tell."""


@pytest.mark.parametrize(("batches", "executor"), [(1, "serial"), (2, "auto"), (3, "serial")])
def test_a_trial_that_was_killed_ends_with_the_same_integers(model, graph, tmp_path, batches, executor):

    def tried(batches, **how):
        options = RunOptions(seed=SEED, batch=20, **how)
        return trials(model, graph, batches, ["G.1"], fit=loader(), settings=EVERYTHING, options=options)

    expected = tried(loader(), executor="serial")
    path = tmp_path / "trial.jsonl"
    journal = Journal(path, "1234", json.loads)

    def killed():
        yield from loader(20)[:batches]
        raise Killed

    with pytest.raises(Killed):
        tried(killed(), executor="serial", journal=journal)
    assert len(path.read_bytes().splitlines()) == 1 + batches
    path.write_bytes(path.read_bytes()[:-9])  # it was writing
    found = tried(loader(), executor=executor, journal=journal)
    assert counted(found) == counted(expected)


def test_a_journal_of_another_study_is_refused(model, graph, tmp_path):
    journal = Journal(tmp_path / "trial.jsonl", "1234", json.loads)
    trial(model, graph, loader(), options=RunOptions(executor="serial", journal=journal))
    with pytest.raises(ConfigError, match="digest 1234; got those of digest 99"):
        trial(model, graph, loader(), options=RunOptions(executor="serial", journal=replace(journal, digest="99")))


def test_a_batch_is_sent_without_the_rows_that_it_is_cut_from():
    whole = torch.zeros(10_000, 8), torch.zeros(10_000, dtype=torch.int64)
    for given in (whole, {"x": whole[0], "labels": whole[1]}):
        batch = next(iter(compute_batches([given], 16)))
        assert len(pickle.dumps(batch)) < 8_000


def test_batches_of_the_loader_are_those_that_are_counted():
    inputs, true = examples()
    dataset = torch.utils.data.TensorDataset(inputs, true)
    for known in (
        loader(7),
        [{"x": inputs, "labels": true}],
        [inputs],
        torch.utils.data.DataLoader(dataset, batch_size=7),
        Examples(Numbers(inputs.reshape(EXAMPLES, 1, 1, 3)), true, torch.arange(EXAMPLES)).loader(7),
    ):
        assert count_batches(known, 16) == len(list(compute_batches(known, 16))) == 4
    assert count_batches(iter(loader(7)), 16) is None


def test_a_network_stays_where_it_is(model):
    meta = RunOptions(device="meta")
    for options in (RunOptions(), RunOptions(device="cpu"), RunOptions(executor="ray")):
        assert placed(model, options) is model
    assert placed(model, meta) is not model
    assert placed(model, meta).encoder.weight.is_meta
    assert not model.encoder.weight.is_meta
    with pytest.raises(ConfigError, match=r"'encoder.weight' is on the meta device, which holds shapes alone; load"):
        placed(model.to("meta"), replace(meta, executor="ray"))


@pytest.mark.parametrize("units", [1, 7, 8, 31, 32, 33, 70])
def test_equal_booleans_of_an_example_are_found_by_any_number_of_units(units):
    generator = np.random.default_rng(units)
    wanted = generator.random((60, units)) < 0.1
    rows = generator.choice([3, 2**31, 2**32 - 1], 60)
    first, which = _distinct(wanted, rows)
    pairs = [(int(row), *map(int, one)) for row, one in zip(rows, wanted, strict=True)]
    assert [pairs[index] for index in first] == sorted(set(pairs))
    assert [pairs[index] for index in first[which]] == pairs
    assert [pairs.index(pairs[index]) for index in first] == first.tolist()

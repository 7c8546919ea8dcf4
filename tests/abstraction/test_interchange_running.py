"""Interchange counts the same however it runs, and runs the network on with the sources' activations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import ndg
from ndg import seeds
from ndg.abstraction.interchange import interchange
from ndg.abstraction.interchange.study import FIELDS
from ndg.activations.hooks import Overwrite
from ndg.interventions.cache import Cache
from tests.abstraction.test_interchange import SEED, counted, planted
from tests.interventions.test_passes import images, tokens

SERIAL = ndg.RunOptions(executor="serial", batch=16, seed=SEED)


def whole_and_parts(model, graph, given, settings):
    """The counts at loader batches of 1, 7 and all."""
    columns = {key: torch.cat([batch[key] for batch in given]) for key in given[0]}
    rows = len(next(iter(columns.values())))
    found = []
    for size in (1, 7, rows):
        loader = [{key: column[at : at + size] for key, column in columns.items()} for at in range(0, rows, size)]
        found.append(counted(interchange(model, graph, loader, settings=settings, options=SERIAL)))
    return found


def graph_of(made, layers, reading="first"):
    model, loader = made()
    bits = ndg.extract(model, loader, layers=layers, settings=ndg.ReadingSettings(binarizer="median", tokens=reading))
    return model, ndg.mine(bits, alpha=1.2), loader


CASES = [
    (images, ["front", "second", "latent"], "first"),
    (images, ["second"], "first"),
    (tokens, ["act"], "first"),
    (tokens, ["act"], "mean"),
]


@pytest.mark.parametrize(("made", "layers", "reading"), CASES)
def test_loader_batches_and_held_sources_change_no_count(made, layers, reading, tmp_path):
    model, graph, loader = graph_of(made, layers, reading)
    given = [
        {key: column for key, column in batch.items() if key != "labels"}
        if isinstance(batch, dict)
        else {"x": batch[0]}
        for batch in loader
    ]
    settings = ndg.InterchangeSettings(pool=9, units={"two": [f"{layers[0]}:0", f"{layers[-1]}:2"]})
    one, *others = whole_and_parts(model, graph, given, settings)
    assert all(other == one for other in others)
    cache = Cache()
    for _ in range(2):
        again = interchange(model, graph, given, cache=cache, settings=replace(settings, budget=0), options=SERIAL)
        assert counted(again) == one
    assert np.array(one["two|graph"])[2, FIELDS.index("units")] == 2 * 40


def test_ray_counts_the_same(ray_session):
    model, graph, loader = graph_of(images, ["second", "latent"])
    alone = interchange(model, graph, loader, options=ndg.RunOptions(seed=SEED, executor="serial", batch=8))
    shared = interchange(model, graph, loader, options=ndg.RunOptions(seed=SEED, executor="ray", batch=8))
    assert shared == alone
    assert (alone.executor, shared.executor) == ("serial", "ray")


@pytest.mark.parametrize(("made", "layers", "reading"), CASES)
def test_the_network_runs_on_with_the_sources_activations(made, layers, reading):
    """Labels under the swap of whole units equal those of hooks that write them, example by example."""
    model, graph, loader = graph_of(made, layers, reading)
    result = interchange(
        model,
        graph,
        loader,
        settings=ndg.InterchangeSettings(sets=["layer"], controls=False),
        options=ndg.RunOptions(seed=SEED, executor="serial", batch=40),
    )
    inputs = {key: value for key, value in loader[0].items() if key != "labels"} if made is tokens else loader[0][0]
    call = (lambda: model(**inputs)) if made is tokens else (lambda: model(inputs))
    source = (seeds.words(SEED, "source", examples=np.arange(40), draws=1)[:, 0] % np.uint64(40)).astype(np.int64)
    seen = {}
    with torch.no_grad():
        handles = [
            model.get_submodule(layer).register_forward_hook(
                lambda module, arguments, output, layer=layer: seen.update({layer: output.clone()})
            )
            for layer in layers
        ]
        before = call().argmax(dim=1).numpy()
        for handle in handles:
            handle.remove()

        def given(layer: str):
            def change(output: Tensor) -> Tensor:
                values = seen[layer][source]
                if reading == "first" and output.ndim == 3:
                    return torch.cat([values[:, :1], output[:, 1:]], dim=1)
                return values

            return change

        from contextlib import ExitStack

        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(Overwrite(model, layer, given(layer)))
            after = call().argmax(dim=1).numpy()
    assert result.count("layer", "base_right", among="all") == int((after == before).sum())
    assert result.count("layer", "source_right", among="all") == int((after == before[source]).sum())
    assert result.count("layer", "differ", among="all") == int((before != before[source]).sum())


def test_a_journal_is_gone_on_with(tmp_path):
    from ndg.abstraction.counts import Counts
    from ndg.executors import Journal

    model, graph, loader = planted()
    journal = Journal(tmp_path / "journal", "study", Counts.from_dict)
    first = interchange(model, graph, loader, options=replace(SERIAL, journal=journal))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:3]))
    assert interchange(model, graph, loader, options=replace(SERIAL, journal=journal)) == first
    assert first == interchange(model, graph, loader, options=SERIAL)

"""Trials of layers of channels and of tokens, and the laws that hold for layers of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.abstraction.controls import GRAPH
from ndg.abstraction.trial import trial, trials
from ndg.activations.batches import compute_batches, fixed
from ndg.activations.hooks import Overwrite
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.intervention_sets import INTERVENTIONS, alternatives, choices
from ndg.interventions.passes import Passes
from tests.interventions.test_passes import ROWS, images, tokens
from tests.references.graph_cases import implications

SERIAL = ndg.RunOptions(executor="serial")

KINDS = [(images, "second", "first"), (images, "latent", "first"), (tokens, "act", "first"), (tokens, "act", "mean")]
kinds = pytest.mark.parametrize(("made", "layer", "reading"), KINDS)


def setting(made, layer: str, reading: str) -> tuple[nn.Module, list, NDG]:
    """A network that predicts every class, its examples with that as the true class but for every fifth, and a graph in
    which every class implies units and is implied by one."""
    model, given = made()
    inputs = {key: x for key, x in given[0].items() if key != "labels"} if made is tokens else given[0][0]
    with fixed(model):
        logits = model(**inputs) if made is tokens else model(inputs)
        model.out.bias -= logits.mean(dim=0)
        predicted = (logits - logits.mean(dim=0)).argmax(dim=1)
    true = torch.where(torch.arange(ROWS) % 5 == 4, (predicted + 1) % 3, predicted)
    loader = [{**inputs, "labels": true}] if made is tokens else [(inputs, true)]
    bits = ndg.extract(model, loader, layers=[layer], settings=ndg.ReadingSettings(binarizer="median", tokens=reading))
    units, values = bits.nodes.slice(layer), bits.to_bool()
    majority = values[:, :3].T.astype(int) @ values[:, units] * 2 > values[:, :3].sum(axis=0)[:, None]
    edges = []
    for label, of_label in enumerate(majority):
        literals = [2 * (units.start + unit) + int(on) for unit, on in enumerate(of_label)]
        implied = [(label + step) % len(literals) for step in range(4)]
        edges += [(2 * label + 1, literals[unit]) for unit in implied[:3]] + [(literals[implied[3]], 2 * label + 1)]
    return model, loader, NDG(replace(implications(values, bits.nodes, edges), thresholds=bits.thresholds))


def cut(loader: list, size: int) -> list:
    """The same examples in batches of that size."""
    whole = loader[0]
    if isinstance(whole, dict):
        return [{key: x[at : at + size] for key, x in whole.items()} for at in range(0, ROWS, size)]
    return [tuple(x[at : at + size] for x in whole) for at in range(0, ROWS, size)]


@kinds
def test_the_counts_are_those_of_a_pass_of_the_whole_network_for_each_example(made, layer, reading):
    """Each example alone fills a batch, its layer is replaced by hand, and no front is kept."""
    model, loader, graph = setting(made, layer, reading)
    found = trials(
        model,
        graph,
        loader,
        ["G.1", "G.2"],
        fit=loader,
        settings=ndg.TrialSettings(values="mean"),
        options=ndg.RunOptions(batch=8, executor="serial", seed=4),
    )
    way = substitution.fit("mean", model, graph, loader, [layer], options=ndg.RunOptions(batch=8))
    passes = Passes.of(model, graph, [layer])
    each = [passes.baseline(batch) for batch in compute_batches(cut(loader, 1), 1)]
    for name, result in found.items():
        choice = choices(INTERVENTIONS[name], graph, layer)
        correct = aligned = unchanged = named = 0
        for known in each:
            site, mask, true = known.neurons[layer], known.masks[layer], known.batch.labels.numpy()
            if known.predicted[0] != true[0]:
                continue
            other = alternatives(4, known.numbers, true, 3)
            chosen, values, _ = choice.of(true, other)
            booleans = np.where(chosen, values, known.bits[layer])
            everywhere = torch.ones(1, site.units, dtype=torch.bool)

            def change(output, site=site, mask=mask, booleans=booleans, known=known, everywhere=everywhere):
                return site.write(output, everywhere, way.values(site, booleans, known.numbers, output), mask)

            with fixed(model), Overwrite(model, layer, change):
                after = model(**known.batch.inputs) if made is tokens else model(known.batch.inputs)
            correct += 1
            aligned += int(after.argmax() == other[0])
            unchanged += int(after.argmax() == true[0])
            named += int(chosen.sum())
        tally = result.tally
        assert (tally.correct, tally.aligned, tally.unchanged) == (correct, aligned, unchanged)
        assert tally.neurons_set == named
        assert correct == ROWS * 4 // 5
        assert named > aligned > 0


@kinds
@pytest.mark.parametrize("values", ["mean", "resample"])
def test_laws_of_every_kind_of_layer_and_way_to_write(made, layer, reading, values):
    model, loader, graph = setting(made, layer, reading)
    settings = ndg.TrialSettings(values=values, draws=2, curve=True)
    options = ndg.RunOptions(executor="serial", batch=16)
    found = trials(model, graph, loader, ["G.2"], fit=loader, settings=settings, options=options)
    for result in found.values():
        assert result.values == values
        for tally in result.controls.values():
            assert tally.aligned + tally.changed + tally.unchanged == tally.correct
        assert result.tally.neurons_set > 0
        curve = result.curve
        binarised = [curve.points(order)[0] for order in curve.names]
        assert all(point == binarised[0] and not point["neurons_set"] for point in binarised)
    parts = cut(loader, 7)
    assert trials(model, graph, parts, ["G.2"], fit=loader, settings=settings, options=options) == found


@kinds
def test_an_empty_intervention_leaves_the_logits_bit_identical(made, layer, reading):
    model, loader, graph = setting(made, layer, reading)
    passes = Passes.of(model, graph, [layer])
    for batch in compute_batches(loader, 16):
        known = passes.baseline(batch)
        site, mask = known.neurons[layer], known.masks[layer]
        nobody = torch.zeros(batch.rows, site.units, dtype=torch.bool)
        logits, _ = passes.run(known, {layer: lambda x, m=mask, s=site, n=nobody: s.write(x, n, x * float("nan"), m)})
        assert torch.equal(logits[: batch.count], known.logits[: batch.count])


def test_ray_gives_the_same_integers_of_tokens(ray_session):
    model, loader, graph = setting(tokens, "act", "mean")
    settings = ndg.TrialSettings(values="resample", draws=2, curve=True)
    serial, parallel = (
        trial(
            model,
            graph,
            batches,
            fit=loader,
            settings=settings,
            options=ndg.RunOptions(executor=executor, batch=8, timeout=120.0),
        )
        for batches, executor in ((loader, "serial"), (cut(loader, 7), "ray"))
    )
    assert parallel == replace(serial, executor="ray", reason="ray: as requested")


def test_what_is_written_is_recorded_and_no_0_and_1_without_a_word():
    model, loader, graph = setting(images, "latent", "first")
    with pytest.raises(ConfigError, match=r"written as 'mean' are taken from fitting examples; got none; pass fit="):
        trial(model, graph, loader, options=SERIAL)
    bare = trial(model, graph, loader, settings=ndg.TrialSettings(values="boolean"), options=SERIAL)
    assert (bare.values, bare.values_examples, bare.values_reason) == ("boolean", 0, "as requested")
    fitted = trial(model, graph, loader, fit=loader, options=SERIAL).to_dict()
    assert (fitted["values"], fitted["values_examples"]) == ("mean", ROWS)
    assert fitted["values_reason"] == "auto: outputs have no bounds"
    way = substitution.fit("mean", model, graph, loader, ["latent"])
    given = trial(model, graph, loader, settings=ndg.TrialSettings(values=way), options=SERIAL)
    assert given.values_reason == "as given"
    by_name = trial(model, graph, loader, fit=loader, settings=ndg.TrialSettings(values="mean"), options=SERIAL)
    assert given.tally == by_name.tally
    half = ndg.mine(
        ndg.extract(model, loader, layers=["latent"], settings=ndg.ReadingSettings(binarizer="half")), alpha=1.01
    )
    assert (
        trial(model, half, loader, options=SERIAL).values_reason == "auto: 0 and 1 stand for the outputs of a sigmoid"
    )


def test_the_graphs_own_choice_is_a_control_of_itself():
    """A control graph that is the graph counts as it does; the empty graph sets nothing, as binarising alone."""
    model, loader, graph = setting(images, "second", "first")
    empty = graph.filter(min_precision=1.0, min_support=10**6)
    assert len(empty) == 0
    settings = ndg.TrialSettings(graphs={"same": graph, "empty": empty})
    for result in trials(model, graph, loader, fit=loader, settings=settings, options=SERIAL).values():
        same = result.controls["same"].to_dict()
        assert same == result.controls[GRAPH].to_dict() | {"graph_only": 0, "control_only": 0}
        for count in ("aligned", "changed", "unchanged", "neurons_set", "graph_only", "control_only"):
            assert getattr(result.controls["empty"], count) == getattr(result.controls["binarise"], count)

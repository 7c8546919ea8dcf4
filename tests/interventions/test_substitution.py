"""The values written for booleans are those of the definitions, for layers of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import ndg
from ndg.activations.batches import compute_batches
from ndg.errors import ConfigError, DataError
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes
from tests.interventions.test_passes import images, tokens

CASES = [(images, "second", "first"), (images, "latent", "first"), (tokens, "act", "first"), (tokens, "act", "mean")]


def setting(made, layer, reading):
    model, loader = made()
    graph = ndg.mine(
        ndg.extract(model, loader, layers=[layer], settings=ndg.ReadingSettings(binarizer="median", tokens=reading)),
        alpha=1.5,
    )
    known = [Passes.of(model, graph, [layer]).baseline(batch) for batch in compute_batches(loader, 16)]
    outputs = torch.cat([one.outputs[layer][: one.batch.count] for one in known])
    bits = np.concatenate([one.bits[layer] for one in known])
    return model, loader, graph, known[0], outputs, bits


def axis(site, array, unit):
    """What belongs to a unit and is read, of an array `[example, ...]`; the first tokens are no padding."""
    if (site.layout.kind, site.reading) == ("tokens", "first"):
        return array[:, :1, unit]
    return array[..., unit] if site.layout.kind == "tokens" else array[:, unit]


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_booleans_are_written_as_zero_and_one(made, layer, reading):
    model, _loader, graph, known, _outputs, bits = setting(made, layer, reading)
    way = substitution.fit("boolean", model, graph, None, [layer])
    site, output = known.neurons[layer], known.outputs[layer]
    values = way.values(site, known.bits[layer], known.numbers, output)
    assert values.shape == output.shape
    assert way.examples == 0
    for unit in range(site.units):
        for row in range(16):
            assert (axis(site, values, unit)[row] == float(bits[row, unit])).all()


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_means_are_those_of_the_examples_with_the_boolean(made, layer, reading):
    model, loader, graph, known, outputs, bits = setting(made, layer, reading)
    way = substitution.fit("mean", model, graph, loader, [layer], options=ndg.RunOptions(batch=16))
    site, output = known.neurons[layer], known.outputs[layer]
    rng = np.random.default_rng(0)
    wanted = rng.random((16, site.units)) < 0.5
    values = way.values(site, wanted, known.numbers, output)
    assert way.examples == len(bits)
    for unit in range(site.units):
        for row in range(16):
            among = bits[:, unit] == wanted[row, unit]
            expected = axis(site, outputs, unit)[among].mean(dim=0) if among.any() else axis(site, output, unit)[row]
            shift = axis(site, values, unit)[row] - expected
            assert shift.max() - shift.min() < 1e-5
            if site.layout.kind == "units" or (site.reading == "first" and site.layout.kind == "tokens"):
                assert shift.abs().max() < 1e-5


class Read(nn.Module):
    """A layer of any shape before the logits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.out = layer, nn.LazyLinear(3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        hidden = self.layer(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask[:, :, None]
        return self.out(hidden.flatten(1))


def masks(kind: str, rows: int, tokens: int) -> Tensor:
    made = torch.Generator().manual_seed(8)
    lengths = torch.randint(1, tokens + 1, (rows, 1), generator=made)
    place = torch.arange(tokens)[None]
    holes = torch.rand(rows, tokens, generator=made) < 0.5
    holes[:, 1] = True
    return {"right": place < lengths, "left": place >= tokens - lengths, "holes": holes}[kind].long()


def shapes() -> list:
    """Name, layer, inputs, and the readings of channels and tokens."""
    made = torch.Generator().manual_seed(6)
    found = [("units", nn.Linear(4, 6), {"input_ids": torch.randn(45, 4, generator=made)}, {})]
    for reading in ("max", "mean", "any"):
        maps = {"input_ids": torch.randn(45, 1, 7, 7, generator=made)}
        found.append((f"channels {reading}", nn.Conv2d(1, 6, 3), maps, {"channels": reading}))
        found.append((f"relu {reading}", nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU()), maps, {"channels": reading}))
    for reading in ("first", "mean"):
        for kind in ("right", "left", "holes"):
            given = {"input_ids": torch.randn(45, 5, 4, generator=made), "attention_mask": masks(kind, 45, 5)}
            found.append((f"tokens {reading} {kind}", nn.Linear(4, 6), given, {"tokens": reading}))
    return [pytest.param(*one[1:], id=one[0]) for one in found]


@pytest.mark.parametrize(("module", "inputs", "reading"), shapes())
@pytest.mark.parametrize(("values", "binarizer"), [("mean", "median"), ("resample", "median"), ("mean", "positive")])
def test_what_is_written_reads_back_as_its_boolean(module, inputs, reading, values, binarizer):
    torch.manual_seed(0)
    model = Read(module)
    with torch.no_grad():
        for one in module.parameters():
            one.normal_()
        model(**inputs)
    model.eval()
    fitting = [{key: x[:29] for key, x in inputs.items()}]
    graph = ndg.mine(
        ndg.extract(model, fitting, layers=["layer"], settings=ndg.ReadingSettings(binarizer=binarizer, **reading)),
        alpha=1.5,
    )
    way = substitution.fit(values, model, graph, fitting, ["layer"], options=ndg.RunOptions(batch=8))
    passes = Passes.of(model, graph, ["layer"])
    for batch in compute_batches([inputs], 16):
        known = passes.baseline(batch)
        site, mask, output = known.neurons["layer"], known.masks["layer"], known.outputs["layer"]
        wanted = np.random.default_rng(batch.start).random((batch.rows, site.units)) < 0.5
        numbers = np.arange(batch.rows) + batch.start
        written = site.write(
            output,
            torch.ones(batch.rows, site.units, dtype=torch.bool),
            way.values(site, wanted, numbers, output, mask),
            mask,
        )
        seen = way.seen["layer"][wanted.astype(int), np.arange(site.units)] > 0
        assert seen.mean() > 0.3
        assert np.array_equal(site.bits(written, mask)[seen], wanted[seen])


def test_zero_and_one_are_written_where_they_read_as_off_and_on():
    model, loader, graph, *_ = setting(images, "latent", "first")
    for level in (-0.01, 1.0):
        levels = np.array(graph.thresholds)
        levels[2] = level
        moved = NDG(replace(graph.implications, thresholds=levels))
        with pytest.raises(ConfigError, match=r"1 of 5 units of 'latent' have others, unit 2 .* write values='mean'"):
            substitution.fit("boolean", model, moved, None, ["latent"])
        assert substitution.fit("auto", model, moved, loader, ["latent"]).name == "mean"


def test_fitting_examples_are_there_and_in_order():
    model, loader, graph, *_ = setting(images, "latent", "first")
    shuffles = DataLoader(TensorDataset(*loader[0]), shuffle=True)
    for name in ("mean", "resample"):
        with pytest.raises(DataError, match="at least one fitting example"):
            substitution.fit(name, model, graph, [], ["latent"])
        with pytest.raises(DataError, match="shuffles them anew"):
            substitution.fit(name, model, graph, shuffles, ["latent"])
        with pytest.raises(ConfigError, match="at least 1 example; got batch=0"):
            substitution.fit(name, model, graph, loader, ["latent"], options=ndg.RunOptions(batch=0))


@pytest.mark.parametrize(("made", "layer", "reading"), CASES)
def test_resampled_values_are_those_of_an_example_with_the_boolean(made, layer, reading):
    model, loader, graph, known, outputs, bits = setting(made, layer, reading)
    way = substitution.fit("resample", model, graph, loader, [layer], options=ndg.RunOptions(seed=5, batch=16))
    site, output = known.neurons[layer], known.outputs[layer]
    wanted = np.random.default_rng(1).random((16, site.units)) < 0.5
    values = way.values(site, wanted, known.numbers, output)
    taken = set()
    for unit in range(site.units):
        for row in range(16):
            among = bits[:, unit] == wanted[row, unit]
            if not among.any():
                continue
            apart = (axis(site, outputs, unit) - axis(site, values, unit)[row]).reshape(len(bits), -1)
            same = (apart == 0).all(dim=1)
            if site.reading == "mean":  # tokens under another mask are shifted, all alike
                same = apart.amax(dim=1) - apart.amin(dim=1) < 1e-6
            assert same.numpy()[among].any()
            taken.add(int(np.flatnonzero(same.numpy() & among)[0]))
    assert len(taken) > 5
    part = way.values(site, wanted[4:9], known.numbers[4:9], output[4:9])
    assert torch.equal(part, values[4:9])  # the draw belongs to the example
    assert not torch.equal(way.values(site, wanted, known.numbers + 100, output), values)


def test_a_boolean_that_was_never_seen_leaves_the_activation():
    model, loader, graph, known, _, _ = setting(images, "latent", "first")
    graph = ndg.mine(ndg.extract(model, loader, layers=["latent"]), alpha=1.5)
    known = Passes.of(model, graph, ["latent"]).baseline(known.batch)
    for name in ("mean", "resample"):
        way = substitution.fit(name, model, graph, loader, ["latent"])
        never = ~known.bits["latent"].any(axis=0) & (way.seen["latent"][1] == 0)
        always = way.seen["latent"][0] == 0
        values = way.values(
            known.neurons["latent"], np.ones((16, 5), np.bool_) & ~always, known.numbers, known.outputs["latent"]
        )
        for unit in np.flatnonzero(never | always):
            assert torch.equal(values[:, unit], known.outputs["latent"][:, unit])


def test_the_choice_of_a_writing():
    model, loader, graph, *_ = setting(images, "latent", "first")
    assert substitution.choose("auto", graph, ["latent"]) == "mean"
    half = ndg.mine(
        ndg.extract(model, loader, layers=["latent"], settings=ndg.ReadingSettings(binarizer="half")), alpha=1.5
    )
    assert substitution.choose("auto", half, ["latent"]) == "boolean"
    with pytest.raises(ConfigError, match=r"boolean, mean, resample; got 'means'.*mean"):
        substitution.choose("means", graph, ["latent"])
    with pytest.raises(ConfigError, match="pass fit=LOADER"):
        substitution.fit("mean", model, graph, None, ["latent"])


def test_auto_writes_by_layer():
    """0 and 1 in a layer of sigmoids, means in a linear one, whatever other layers the graph has."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    loader = [torch.randn(40, 4)]
    graph = ndg.mine(ndg.extract(model, loader, layers=["1", "2"]), alpha=1.5)
    assert graph.binarizer == "1: half, 2: positive"
    alone = {layer: substitution.fit("auto", model, graph, loader, [layer]) for layer in ("1", "2")}
    assert {layer: way.name for layer, way in alone.items()} == {"1": "boolean", "2": "mean"}
    both = substitution.fit("auto", model, graph, loader, ["1", "2"])
    assert both.name == "boolean and mean"
    assert both.examples == alone["2"].examples
    batch = next(iter(compute_batches(loader, 16)))
    known = Passes.of(model, graph, ["1", "2"]).baseline(batch)
    for layer, way in alone.items():
        arguments = known.neurons[layer], known.bits[layer], known.numbers, known.outputs[layer]
        assert torch.equal(both.values(*arguments), way.values(*arguments))

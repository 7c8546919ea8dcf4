"""Passes in which layers are changed equal those of the whole network, for layers of every kind."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ndg
from ndg.activations.batches import compute_batches, fixed
from ndg.activations.hooks import Overwrite
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes, argmax, true_classes

OPTIONS = ndg.RunOptions(batch=16)

ROWS = 40


class Counted(nn.Sequential):
    """Counts its passes."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x)


class Images(nn.Module):
    """Channels, then units."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.front = Counted(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())
        self.latent = nn.Sequential(nn.Flatten(), nn.Linear(96, 5), nn.Sigmoid())
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.latent(self.second(self.front(x))))


class Tokens(nn.Module):
    """Token embeddings with a mask, a layer of tokens, the first token's logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Embedding(11, 6)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
        self.act = nn.Sequential(nn.Linear(6, 7), nn.ReLU())
        self.out = nn.Linear(7, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.layer(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.out(self.act(hidden).masked_fill(attention_mask[:, :, None] == 0, 0).sum(dim=1))


def images() -> tuple[Images, list]:
    x = torch.randn(ROWS, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return Images().eval(), [(x, torch.arange(ROWS) % 3)]


def tokens() -> tuple[Tokens, list]:
    made = torch.Generator().manual_seed(4)
    mask = (torch.arange(5)[None] < torch.randint(2, 6, (ROWS, 1), generator=made)).long()
    batch = {"input_ids": torch.randint(11, (ROWS, 5), generator=made), "attention_mask": mask}
    return Tokens().eval(), [{**batch, "labels": torch.arange(ROWS) % 3}]


def known_of(model: nn.Module, loader: list, layers: list[str], changed: list[str], **settings: object):
    bits = ndg.extract(
        model,
        loader,
        layers=layers,
        settings=ndg.ReadingSettings(binarizer="median", tokens=str(settings.pop("tokens", "first"))),
    )
    graph = ndg.mine(bits, alpha=1.5)
    passes = Passes.of(model, graph, changed, **settings)  # type: ignore[arg-type]
    return passes, passes.baseline(next(compute_batches(loader, 16))), bits


@pytest.mark.parametrize(
    ("made", "layers", "reading"),
    [(images, ["front", "second", "latent"], "first"), (tokens, ["act"], "first"), (tokens, ["act"], "mean")],
)
def test_the_untouched_pass_has_the_booleans_of_an_extraction(made, layers, reading):
    model, loader = made()
    passes, known, bits = known_of(model, loader, layers, layers[:1], tokens=reading)
    assert np.array_equal(known.nodes(passes.nodes), bits.to_bool()[:16])
    assert known.numbers.tolist() == list(range(16))
    assert np.array_equal(true_classes(known.batch, 3), np.arange(16) % 3)


@pytest.mark.parametrize("changed", [["front"], ["second"], ["latent"], ["front", "latent"], ["latent", "second"]])
def test_a_changed_pass_equals_that_of_the_whole_network(changed):
    model, loader = images()
    passes, known, _ = known_of(model, loader, ["front", "second", "latent"], changed)
    before = model.front.passes
    changes = {layer: lambda output: output.flip(1) * 2 for layer in changed}
    logits, bits = passes.run(known, changes, ["front", "second", "latent"])
    runs = model.front.passes - before
    assert runs == ("front" in changed)

    from contextlib import ExitStack

    with fixed(model), ExitStack() as stack:
        for layer, change in changes.items():
            stack.enter_context(Overwrite(model, layer, change))
        seen = {}
        for layer in ("front", "second", "latent"):
            stack.callback(
                model.get_submodule(layer)
                .register_forward_hook(lambda module, arguments, output, layer=layer: seen.update({layer: output}))
                .remove
            )
        expected = model(known.batch.inputs)
    assert torch.equal(logits, expected)
    for layer in seen:
        assert np.array_equal(bits[layer], known.neurons[layer].bits(seen[layer])[:16])


@pytest.mark.parametrize("made", [images, tokens])
def test_rows_of_a_batch_are_as_in_the_batch(made):
    model, loader = made()
    layer = "second" if made is images else "act"
    passes, known, _ = known_of(model, loader, [layer], [layer])
    rows = np.array([3, 3, 0, 15, 7])
    change = {layer: lambda output: output.flip(-1)}
    logits, bits = passes.run(known, change, [layer], rows=rows)
    whole, all_bits = passes.run(known, change, [layer])
    assert torch.allclose(logits, whole[rows], atol=1e-6)
    assert np.array_equal(bits[layer], all_bits[layer][rows])
    assert passes.tried["rows"]
    untouched, bits = passes.run(known, {}, [layer], rows=rows)
    assert torch.allclose(untouched, known.logits[rows], atol=1e-6)
    assert np.array_equal(bits[layer], known.bits[layer][rows])


class Centred(Images):
    """What comes before the layer depends on the other rows of the batch, so rows cannot be selected from it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.latent(self.second(self.front(x)) * torch.arange(len(x))[:, None, None, None]))


def test_rows_are_run_from_the_inputs_where_what_is_before_depends_on_their_place():
    _, loader = images()
    model = Centred().eval()
    graph = ndg.mine(
        ndg.extract(Images().eval(), loader, layers=["latent"], settings=ndg.ReadingSettings(binarizer="median")),
        alpha=1.5,
    )
    passes = Passes.of(model, graph, ["latent"])  # a probe would refuse this network
    known = passes.baseline(next(compute_batches(loader, 16)))
    rows = np.array([4, 2])
    logits, _ = passes.run(known, {}, rows=rows)
    selected = known.batch.inputs[np.concatenate([rows, [2] * 14])]
    assert torch.allclose(logits, model(selected)[:2], atol=1e-6)


def test_the_front_runs_once_with_a_cache_in_memory_or_on_disk():
    for budget in (1 << 20, 0):
        model, loader = images()
        cache = Cache(budget)
        passes, known, _ = known_of(model, loader, ["second", "latent"], ["latent"], cache=cache)
        before = model.front.passes
        again = passes.baseline(known.batch)
        logits, _ = passes.run(again, {"latent": lambda output: 1 - output})
        assert model.front.passes == before
        assert (cache.on_disk > 0) == (budget == 0)
        assert torch.equal(logits, passes.run(known, {"latent": lambda output: 1 - output})[0])
        assert len(pickle.loads(pickle.dumps(cache))._held) == 0


def test_an_unchanged_output_leaves_the_logits_bit_identical():
    model, loader = images()
    passes, known, _ = known_of(model, loader, ["second"], ["second"])
    nothing = torch.zeros(16, 6, dtype=torch.bool)
    site = known.neurons["second"]
    logits, _ = passes.run(known, {"second": lambda output: site.write(output, nothing, output * float("nan"))})
    assert torch.equal(logits, known.logits)
    assert np.array_equal(argmax(logits), known.predicted)


class After(Images):
    """A layer that runs after the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.after = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        self.after(logits)
        return logits


def test_what_cannot_be_changed_is_refused():
    model, loader = images()
    passes, known, bits = known_of(model, loader, ["second", "latent"], ["latent"])
    graph = ndg.mine(bits, alpha=1.5)
    with pytest.raises(LayerError, match="at least one layer; got none"):
        Passes.of(model, graph, [])
    with pytest.raises(GraphError, match="no layer 'front'"):
        Passes.of(model, graph, ["front"])
    with pytest.raises(ShapeError, match=r"1 to 16 rows.*got 17"):
        passes.run(known, {}, rows=np.zeros(17, np.int64))
    late, found = After().eval(), None
    bits = ndg.extract(late, loader, layers=["latent", "after"])
    with pytest.raises(LayerError, match="'after' runs after 'out' has given them"):
        found = Passes.of(late, ndg.mine(bits, alpha=1.5), ["after"]).baseline(known.batch)
    assert found is None
    other = nn.Sequential()
    other.second, other.latent, other.out = (
        nn.Conv2d(1, 5, 3),
        nn.Sequential(nn.Flatten(), nn.Linear(180, 5)),
        nn.ReLU(),
    )
    with pytest.raises(ShapeError, match="the graph is of another network: it has 6 units of 'second', the network 5"):
        Passes.of(other, graph, ["latent"], any_network=True).baseline(known.batch)
    every = ndg.mine(ndg.extract(*tokens(), layers=["act"], settings=ndg.ReadingSettings(tokens="every")), alpha=1.5)
    with pytest.raises(LayerError, match="every token is an example"):
        Passes.of(tokens()[0], every, ["act"])
    bare = next(compute_batches([loader[0][0]], 16))
    with pytest.raises(DataError, match="true labels"):
        true_classes(bare, 3)


class Beside(Images):
    """No module gives the logits; one layer runs beside the way to them, one reaches a single logit by a little."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.faint = nn.Linear(5, 4), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.latent(self.second(self.front(x)))
        logits = self.out(hidden) * 1.0
        self.aside(hidden)
        faint = torch.zeros_like(logits)
        faint[:, 2] = 1e-4 * self.faint(hidden).relu()[:, 0]
        return logits + faint


def test_a_layer_that_does_not_reach_the_logits_is_refused():
    _, loader = images()
    model = Beside().eval()
    bits = ndg.extract(
        model, loader, layers=["latent", "aside", "faint"], settings=ndg.ReadingSettings(binarizer="median")
    )
    graph, batch = ndg.mine(bits, alpha=1.5), next(compute_batches(loader, 16))
    for layer in ("latent", "faint"):
        Passes.of(model, graph, [layer]).baseline(batch)
    for changed in (["aside"], ["latent", "aside"]):
        with pytest.raises(
            LayerError, match="'aside' does not reach the logits, of which no bit changed in 16 examples"
        ):
            Passes.of(model, graph, changed).baseline(batch)
    plain, _ = images()
    own = ndg.mine(
        ndg.extract(plain, loader, layers=["out"], settings=ndg.ReadingSettings(binarizer="median")), alpha=1.5
    )
    with pytest.raises(LayerError, match="'out' is the logits; choose a layer on the way"):
        Passes.of(plain, own, ["out"]).baseline(batch)


def test_inputs_that_the_network_does_not_take_and_no_thread_are_refused():
    model, loader = images()
    graph = ndg.mine(ndg.extract(model, loader, layers=["latent"]), alpha=1.5)
    wide = next(compute_batches([loader[0][0].expand(-1, 2, -1, -1)], 16))
    with pytest.raises(DataError, match=r"Images given \{'inputs': \(16, 2, 8, 8\)\} raised RuntimeError: .*channels"):
        Passes.of(model, graph, ["latent"]).baseline(wide)
    with pytest.raises(ConfigError, match="at least 1 thread; got threads=0"):
        Passes.of(model, graph, ["latent"], 0)


def test_a_pass_of_an_extraction_is_not_run_again():
    from ndg.interventions.cache import PrefixCache

    model, loader = images()
    cache = Cache()
    front = PrefixCache(model, ("latent",), ("latent",), cache)
    bits = ndg.extract(
        model,
        loader,
        layers=["latent"],
        around=front,
        settings=ndg.ReadingSettings(binarizer="median"),
        options=OPTIONS,
    )
    graph = ndg.mine(bits, alpha=1.5)
    before = model.front.passes
    change = {"latent": lambda output: 1 - output}
    for batch in compute_batches(loader, 16):
        kept = Passes.of(model, graph, ["latent"], cache=cache)
        known = kept.baseline(batch)
        logits, read = kept.run(known, change, ["latent"])
        assert model.front.passes == before
        fresh = Passes.of(model, graph, ["latent"])
        again = fresh.baseline(batch)
        before = model.front.passes
        assert torch.equal(known.logits, again.logits)
        assert torch.equal(known.outputs["latent"], again.outputs["latent"])
        assert np.array_equal(known.nodes(kept.nodes), again.nodes(fresh.nodes))
        expected, seen = fresh.run(again, change, ["latent"])
        assert torch.equal(logits, expected)
        assert np.array_equal(read["latent"], seen["latent"])
    assert not {hook for module in model.modules() for hook in module._forward_hooks}


def test_channels_are_observed_anew():
    from ndg.interventions.cache import PrefixCache

    model, loader = images()
    cache = Cache()
    front = PrefixCache(model, ("second",), ("second",), cache)
    bits = ndg.extract(
        model,
        loader,
        layers=["second"],
        around=front,
        settings=ndg.ReadingSettings(binarizer="median"),
        options=OPTIONS,
    )
    passes = Passes.of(model, ndg.mine(bits, alpha=1.5), ["second"], cache=cache)
    known = passes.baseline(next(compute_batches(loader, 16)))
    assert known.neurons["second"].layout.kind == "channels"

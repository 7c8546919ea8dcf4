"""SNIP, GraSP, SynFlow and incoming magnitude: against loops over weights, whole Hessians and all paths."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from ndg.config import ResNet
from ndg.errors import ConfigError, DataError, LayerError
from ndg.importance.score import score
from ndg.models import build
from ndg.options import RunOptions
from tests.references import importance_cheap as reference

BATCH_4 = RunOptions(batch=4)


def dense(seed: int = 0, widths: tuple[int, ...] = (4, 5, 3, 3)) -> nn.Sequential:
    torch.manual_seed(seed)
    modules = [[nn.Linear(a, b), nn.Tanh()] for a, b in pairwise(widths)]
    return nn.Sequential(*(part for pair in modules for part in pair))[:-1]


def convolutional(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(4, 2, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3),
    ).eval()  # fmt: skip


def data(model: nn.Module, n: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (2, 4, 4) if isinstance(model[0], nn.Conv2d) else (4,)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, *shape, generator=generator), torch.randint(0, 3, (n,), generator=generator)


@pytest.mark.parametrize(("make", "layers"), [(dense, ["0", "2", "4"]), (convolutional, ["0", "1", "6"])])
def test_snip_is_the_sum_over_incoming_weights_one_by_one(make, layers):
    model = make()
    inputs, labels = data(model)
    found = score(model, [(inputs, labels)], layers, "snip", options=BATCH_4)
    for layer in layers:
        np.testing.assert_allclose(found[layer], reference.snip(model, layer, inputs, labels), rtol=1e-4)
        assert found.whole[layer] == pytest.approx(found[layer].sum())
    assert (found.target, found.facts["backward_passes"]) == ("true class", 2)


@pytest.mark.parametrize(("make", "layers"), [(dense, ["0", "2"]), (convolutional, ["0", "6"])])
def test_grasp_is_that_of_the_whole_hessian(make, layers):
    model = make().double()
    inputs, labels = data(model)
    found = score(model, [(inputs.double(), labels)], layers, "grasp", options=BATCH_4)
    for layer in layers:
        expected = reference.grasp(model, layer, inputs.double(), labels)
        np.testing.assert_allclose(found[layer], expected, rtol=1e-6, atol=1e-12)
    assert (found.facts["forward_passes"], found.facts["backward_passes"]) == (4, 6)


def test_grasp_is_half_of_what_the_squared_gradient_loses_to_first_order():
    model = dense().double()
    inputs, labels = data(model)
    inputs = inputs.double()

    def squared() -> float:
        loss = nn.functional.cross_entropy(model(inputs), labels)
        return sum(float(g.square().sum()) for g in torch.autograd.grad(loss, list(model.parameters())))

    found = score(model, [(inputs, labels)], "2", "grasp")["2"]
    for unit in range(3):
        weight, step = model[2].weight.data[unit].clone(), 1e-5
        changed = []
        for factor in (1 + step, 1 - step):
            model[2].weight.data[unit] = factor * weight
            changed.append(squared())
        model[2].weight.data[unit] = weight
        assert found[unit] == pytest.approx(-(changed[0] - changed[1]) / (2 * step) / 2, rel=1e-5)


def test_grasp_does_not_depend_on_the_layers_asked_for_and_reads_the_loader_twice():
    model = dense()
    both, one = (score(model, [data(model)], layers, "grasp") for layers in (["0", "2"], ["2"]))
    assert (both["2"] == one["2"]).all()
    with pytest.raises(DataError, match=r"grasp reads the loader twice, and an iterator can be read once"):
        score(model, iter([data(model)]), "2", "grasp")


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_synflow_is_the_share_of_all_paths(layer):
    model = dense(widths=(3, 4, 2, 3))
    weights = [model[place].weight.detach().double().numpy() for place in (0, 2, 4)]
    found = score(model, [torch.randn(2, 3)], str(2 * layer), "synflow")[str(2 * layer)]
    np.testing.assert_allclose(found, reference.synflow(weights, layer), rtol=1e-12)


def test_synflow_of_one_class_is_that_of_the_paths_to_it():
    model = dense(widths=(3, 4, 2, 3))
    weights = [model[place].weight.detach().double().numpy() for place in (0, 2, 4)]
    weights[2] = weights[2][1:2]
    found = score(model, [torch.randn(2, 3)], "0", "synflow", target=1)
    np.testing.assert_allclose(found["0"], reference.synflow(weights, 0), rtol=1e-12)


def test_synflow_is_conserved_finite_and_positive_on_a_resnet_18():
    model = build(ResNet(name="resnet"), (3, 32, 32), 10, 0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)
            module.running_mean.normal_()
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    found = score(model, [torch.randn(2, 3, 32, 32)], [*layers, "classifier"], "synflow")
    assert sum(len(found[layer]) for layer in layers) == 4800
    assert all((found[layer] > 0).all() and found.whole[layer] <= 1 + 1e-9 for layer in layers)
    assert found.whole["stem.conv"] == pytest.approx(1)
    assert found.whole["classifier"] == pytest.approx(1)
    # what enters a stage with a new shape goes through one of its two ways
    ways = found.whole["stages.1.0.conv2"] + found.whole["stages.1.0.shortcut.conv"]
    assert ways == pytest.approx(1)


@pytest.mark.parametrize(("depth", "gain"), [(200, 100.0), (180, 0.01)])
def test_synflow_of_deep_networks_does_not_overflow(depth, gain):
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(depth)))
    for module in model:
        module.weight.data *= gain
    found = score(model, [torch.randn(2, 8)], ["0", str(depth // 2), str(depth - 1)], "synflow")
    assert all(found.whole[layer] == pytest.approx(1) for layer in found.layers)
    assert abs(found.facts["log10_flow"]) > 308
    assert found.facts["forward_passes"] > 1


def test_synflow_beyond_double_precision_is_refused_and_a_network_without_flow_scores_zero():
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(300)))
    for module in model:
        module.weight.data.fill_(1e3)
    with pytest.raises(
        LayerError, match=r"the synaptic flow of a network fits double precision .* Sequential does not"
    ):
        score(model, [torch.randn(2, 8)], "0", "synflow")
    silent = dense()
    silent[2].weight.data.zero_()
    found = score(silent, [data(silent)], ["0", "2"], "synflow")
    assert not found["0"].any()
    assert found.facts["log10_flow"] is None


def test_synflow_passes_norms_embeddings_functions_and_attention():
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.norm = nn.Embedding(9, 8), nn.LayerNorm(8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.hidden, self.out = nn.Linear(8, 6), nn.Linear(6, 3)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.embedding(input_ids))
            x = x + self.attention(x, x, x, need_weights=False)[0]
            return self.out(torch.sigmoid(nn.functional.gelu(self.hidden(x)))[:, 0])

    torch.manual_seed(0)
    columns = {"input_ids": torch.randint(0, 9, (4, 5)), "attention_mask": torch.ones(4, 5, dtype=torch.int64)}
    other = {**columns, "input_ids": torch.randint(0, 9, (4, 5))}
    model = Text()
    found = score(model, [columns], ["hidden", "out"], "synflow")
    assert found.whole["hidden"] == pytest.approx(1)
    assert (found["hidden"] > 0).all()
    assert found.to_dict() == score(model, [other], ["hidden", "out"], "synflow").to_dict()


def test_incoming_magnitude_is_the_norm_of_the_rows():
    model = convolutional()
    found = score(model, [], ["0", "1", "3", "6"], "magnitude")
    weight = {layer: model[int(layer)].weight.detach().double() for layer in found.layers}
    np.testing.assert_allclose(found["0"], weight["0"].flatten(1).norm(dim=1), rtol=1e-9)
    np.testing.assert_allclose(found["1"], weight["1"].abs(), rtol=1e-9)
    np.testing.assert_allclose(found["6"], weight["6"].norm(dim=1), rtol=1e-9)
    # unit 0 of the transposed convolution reads channels 0 and 1, unit 1 reads 2 and 3
    np.testing.assert_allclose(found["3"], [weight["3"][:2].norm(), weight["3"][2:].norm()], rtol=1e-9)
    assert found.whole["0"] == pytest.approx(float(weight["0"].norm()))
    ones = score(model, [], "0", "magnitude", norm=1)
    np.testing.assert_allclose(ones["0"], weight["0"].flatten(1).abs().sum(1), rtol=1e-9)
    with pytest.raises(ConfigError, match=r"side incoming or outgoing and norm 1 or 2; got side='in', norm=2"):
        score(model, [], "0", "magnitude", side="in")


def test_an_embedding_gives_its_units_their_columns():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    found = score(model, [], "0", "magnitude")["0"]
    np.testing.assert_allclose(found, model[0].weight.detach().double().norm(dim=0), rtol=1e-9)
    ids, labels = torch.randint(0, 5, (6, 2)), torch.randint(0, 2, (6,))
    expected = nn.functional.cross_entropy(model(ids), labels)
    gradient = torch.autograd.grad(expected, model[0].weight)[0]
    product = (gradient * model[0].weight).abs().sum(dim=0)
    np.testing.assert_allclose(score(model, [(ids, labels)], "0", "snip")["0"], product.detach(), rtol=1e-5)


class Tied(nn.Module):
    """Two layers that share one weight, and one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.twice = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight, self.out = self.first.weight, nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x).tanh()).tanh()
        return self.out(self.twice(self.twice(x).tanh()))


def test_a_weight_that_two_layers_share_counts_in_each_by_what_it_does_there():
    model, apart = Tied(), Tied()
    apart.second.weight = nn.Parameter(apart.first.weight.detach().clone())
    inputs, labels = torch.randn(6, 4), torch.randint(0, 3, (6,))
    for method in ("snip", "grasp", "synflow"):
        layers = ["first", "second", "twice"]
        tied, free = (score(net, [(inputs, labels)], layers, method) for net in (model, apart))
        for layer in layers:
            np.testing.assert_allclose(tied[layer], free[layer], rtol=1e-5)
    assert model.second.weight is model.first.weight
    expected = reference.snip(apart, "twice", inputs, labels)  # both uses
    np.testing.assert_allclose(score(model, [(inputs, labels)], "twice", "snip")["twice"], expected, rtol=1e-4)


def test_recurrent_layers_on_the_way_see_the_leaves():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm, self.out = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(self.embed(x))[0][:, -1])

    torch.manual_seed(0)
    model, inputs, labels = Recurrent(), torch.randn(4, 6, 3), torch.tensor([0, 1, 1, 0])
    weights = list(model.lstm._flat_weights)
    expected = reference.snip(model, "embed", inputs, labels)
    np.testing.assert_allclose(score(model, [(inputs, labels)], "embed", "snip")["embed"], expected, rtol=1e-4)
    found = score(model, [(inputs, labels)], "embed", "synflow")["embed"]
    assert (found > 0).all()
    assert all(a is b for a, b in zip(model.lstm._flat_weights, weights, strict=True))


def test_half_precision_is_summed_in_wider_numbers():
    model = dense()
    inputs, labels = data(model)
    for method in ("snip", "magnitude"):
        whole = score(model, [(inputs, labels)], "2", method)["2"]
        half = score(dense().bfloat16(), [(inputs.bfloat16(), labels)], "2", method)["2"]
        np.testing.assert_allclose(half, whole, rtol=0.1)


def test_weights_that_are_computed_or_on_no_path_are_refused_by_name():
    model = dense()
    parametrizations.weight_norm(model[2])
    for method in ("snip", "grasp", "synflow"):
        with pytest.raises(LayerError, match=rf"{method} needs .* that of '2' is computed from other parameters"):
            score(model, [data(model)], "2", method)
        assert np.isfinite(score(model, [data(model)], "0", method)["0"]).all()
    np.testing.assert_allclose(
        score(model, [], "2", "magnitude")["2"], model[2].weight.detach().double().norm(dim=1), rtol=1e-6
    )

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.beside, self.out = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x) + self.beside(x).detach()

    for method in ("snip", "grasp", "synflow"):
        with pytest.raises(LayerError, match=rf"{method} needs a gradient path .* to those of 'beside' there is none"):
            score(Beside(), [(torch.randn(5, 4), torch.randint(0, 3, (5,)))], "beside", method)


def test_a_network_that_cannot_be_differentiated_twice_is_refused_by_grasp():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(4, 4), nn.Linear(6, 3)
            self.places = nn.Parameter(torch.randn(6, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.cdist(self.first(x), self.places, p=1.0))

    examples = [(torch.randn(5, 4), torch.randint(0, 3, (5,)))]
    assert np.isfinite(score(Model(), examples, "first", "snip")["first"]).all()
    with pytest.raises(
        LayerError, match=r"grasp differentiates the loss twice; this network cannot be: .* choose snip"
    ):
        score(Model(), examples, "first", "grasp")


def test_gates_have_the_weights_of_their_recurrent_layer_and_heads_have_none():
    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.gru, self.out = nn.GRU(4, 3, batch_first=True, bidirectional=True), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.gru(self.attention(x, x, x)[0])[0][:, -1])

    torch.manual_seed(0)
    model, examples = Memory(), [(torch.randn(2, 5, 4), torch.tensor([0, 1]))]
    both = torch.cat([model.gru.weight_ih_l0_reverse, model.gru.weight_hh_l0_reverse], dim=1).detach()
    found = score(model, [], "gru.gates_l0_reverse", "magnitude")["gru.gates_l0_reverse"]
    np.testing.assert_allclose(found, both.double().norm(dim=1), rtol=1e-9)
    nn.functional.cross_entropy(model(examples[0][0]), examples[0][1]).backward()
    parts = [model.gru.weight_ih_l0, model.gru.weight_hh_l0]
    expected = sum((part * part.grad).abs().sum(dim=1) for part in parts).detach()
    np.testing.assert_allclose(score(model, examples, "gru.gates_l0", "snip")["gru.gates_l0"], expected, rtol=1e-4)
    for method in ("grasp", "synflow"):
        assert np.isfinite(score(model, examples, "gru.gates_l0", method)["gru.gates_l0"]).all()
    for method in ("snip", "grasp", "synflow", "magnitude"):
        with pytest.raises(
            LayerError, match=rf"{method} needs layers with weights .*; 'attention.heads' has none; name"
        ):
            score(model, examples, "attention.heads", method)

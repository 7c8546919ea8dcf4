"""Importance of weights: definitions by hand, exact Taylor on a quadratic loss, parts of every kind of layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.efficiency import importance
from ndg.efficiency.observe import observe
from ndg.efficiency.parts import parts_of
from ndg.errors import ConfigError, DataError, LayerError
from ndg.options import RunOptions

OPTIONS = RunOptions(batch=8, progress=False)


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs[:, 0] - labels.to(outputs)).square().sum()


@pytest.fixture
def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 1, bias=False)).double()


def data(n: int = 20, width: int = 5, classes: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(n, width, generator=generator), torch.arange(n) % classes)]


def in_double(loader):
    return [(inputs.double(), labels) for inputs, labels in loader]


def test_second_order_is_exact_on_a_quadratic_loss(linear):
    """The loss without a weight, measured, minus the loss: what taylor2 says, to the last digits."""
    [(inputs, labels)] = loader = in_double(data())
    [part] = parts_of(linear)
    slopes = importance.slopes_of(linear, loader, [part], OPTIONS, second=True, loss=squared)
    said = importance.of_part(part, "taylor2", slopes=slopes)[0]
    with torch.no_grad():
        before = squared(linear(inputs), labels) / len(inputs)
        for place in range(5):
            kept = linear[0].weight[0, place].clone()
            linear[0].weight[0, place] = 0
            change = squared(linear(inputs), labels) / len(inputs) - before
            linear[0].weight[0, place] = kept
            assert said[place] == pytest.approx(abs(float(change)), rel=1e-9)
    assert slopes.exact
    assert slopes.examples == 20


def test_gradient_and_first_order_by_hand(linear):
    [(inputs, labels)] = loader = in_double(data())
    [part] = parts_of(linear)
    slopes = importance.slopes_of(linear, loader, [part], OPTIONS, loss=squared)
    errors = linear(inputs)[:, 0].detach() - labels
    gradient = (2 * errors[:, None] * inputs).mean(dim=0).numpy()
    weight = linear[0].weight.detach().numpy()
    np.testing.assert_allclose(importance.of_part(part, "gradient", slopes=slopes)[0], np.abs(gradient))
    np.testing.assert_allclose(importance.of_part(part, "taylor", slopes=slopes), np.abs(gradient * weight))


def test_the_estimated_diagonal_approaches_the_exact_one(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    parts = parts_of(model)
    exact = importance.slopes_of(model, in_double(data()), parts, OPTIONS, second=True)
    monkeypatch.setattr(importance, "EXACT", 0)
    monkeypatch.setattr(importance, "DRAWS", 400)
    estimate = importance.slopes_of(model, in_double(data()), parts, OPTIONS, second=True)
    assert (exact.exact, estimate.exact) == (True, False)
    for part in parts:
        error = np.abs(estimate.curvature(part) - exact.curvature(part)).mean()
        assert error < 0.2 * np.abs(exact.curvature(part)).mean()
        np.testing.assert_allclose(estimate.gradient(part), exact.gradient(part))


def test_activation_and_wanda_by_hand():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    [(inputs, _)] = loader = data()
    parts = parts_of(model)
    seen = observe(model, loader, parts, OPTIONS)
    with torch.no_grad():
        hidden = model[1](model[0](inputs))
    first, second = (part.weight.abs().numpy() for part in parts)
    expected = first * hidden.mean(dim=0).numpy()[:, None]  # after the ReLU, not before
    np.testing.assert_allclose(importance.of_part(parts[0], "activation", seen), expected, rtol=1e-5)
    rms = hidden.square().mean(dim=0).sqrt().numpy()
    np.testing.assert_allclose(importance.of_part(parts[1], "wanda", seen), second * rms, rtol=1e-5)
    np.testing.assert_array_equal(importance.of_part(parts[1], "magnitude"), second)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_wanda_of_a_convolution_pairs_weights_with_their_channel(kind, groups):
    """A channel that is always 0 has only unimportant weights, in every group."""
    torch.manual_seed(0)
    model = nn.Sequential(kind(4, 6, 3, groups=groups))
    inputs = torch.randn(6, 4, 5, 5)
    inputs[:, 1] = 0
    [part] = parts_of(model)
    importances = importance.of_part(part, "wanda", observe(model, [(inputs, torch.zeros(6))], [part], OPTIONS))
    shaped = importances.reshape(6, 4 // groups, 9)
    reads = slice(None) if groups == 1 else slice(0, 3)  # the units of the first group
    assert (shaped[reads, 1] == 0).all()
    assert (shaped[:, 0] > 0).all()
    assert (shaped[3:, 1] > 0).all() == (groups == 2)


def test_every_importance_is_one_number_per_weight_of_every_part():
    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.lstm = nn.LSTM(8, 3, num_layers=2, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(6, 4)
            self.out = nn.Linear(4, 3)

        def forward(self, words: Tensor) -> Tensor:
            tokens = self.embedding(words)
            tokens = tokens + self.attention(tokens, tokens, tokens)[0]
            states = self.gru(self.lstm(tokens)[0].transpose(0, 1))[0]
            return self.out(states[-1])

    torch.manual_seed(0)
    model = Everything()
    loader = [(torch.randint(0, 7, (10, 5)), torch.arange(10) % 3)]
    parts = parts_of(model)
    assert [part.name for part in parts[:6]] == [
        "embedding", "attention.query", "attention.key", "attention.value", "attention.output", "lstm.input_l0",
    ]  # fmt: skip
    assert len(parts) == 1 + 4 + 4 * 4 + 3 + 1
    seen = observe(model, loader, parts, OPTIONS)
    slopes = importance.slopes_of(model, loader, parts, OPTIONS, second=True)
    for kind in importance.KINDS:
        for part in parts:
            values = importance.of_part(part, kind, seen, slopes)
            assert values.shape == part.weight.shape
            assert np.isfinite(values).all()
            assert values.sum() > 0, (kind, part.name)
    weights = sum(part.weight.numel() for part in parts)
    assert weights == sum(tensor.numel() for name, tensor in model.named_parameters() if "bias" not in name)


def test_heads_are_rows_of_queries_and_columns_of_outputs():
    attention = nn.Sequential(nn.MultiheadAttention(6, 3))
    query, *_, output = parts_of(attention)
    assert torch.equal(query.head(query.weight, 1), attention[0].in_proj_weight[2:4])
    assert torch.equal(output.head(output.weight, 2), attention[0].out_proj.weight[:, 4:6])


def test_gates_agree_with_those_of_the_units():
    """The same numbers as the virtual layer `lstm.gates`, which runs step by step."""
    import ndg

    class Last(nn.Module):
        def __init__(self, kind: type[nn.Module]) -> None:
            super().__init__()
            self.rnn, self.out = kind(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.out(self.rnn(inputs)[0][:, -1])

    for kind in (nn.LSTM, nn.GRU):
        torch.manual_seed(0)
        model, loader = Last(kind), [(torch.rand(6, 5, 3), torch.arange(6) % 2)]
        parts = [part for part in parts_of(model) if part.layer == "rnn" and part.part != "candidate"]
        seen = observe(model, loader, parts_of(model), OPTIONS)
        scores = ndg.score(model, loader, ["rnn.gates"], "activation", options=OPTIONS)["rnn.gates"]
        units = {name: scores[place * 4 : place * 4 + 4] for place, name in enumerate(_order(kind))}
        for part in parts:  # sigmoids are positive, so their mean is the mean absolute activation
            np.testing.assert_allclose(seen[part.name].activation, units[part.part], rtol=1e-5)


def _order(kind: type[nn.Module]) -> tuple[str, ...]:
    from ndg.efficiency.parts import GATES

    return GATES[kind.__name__]


def test_what_cannot_be_measured_is_refused():
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(ConfigError, match="got 'size'"):
        importance.check_kinds(["size"])
    with pytest.raises(LayerError, match=r"'1' \(ReLU\) has none"):
        parts_of(model, ["1"])
    with pytest.raises(LayerError, match="Sequential has none"):
        parts_of(nn.Sequential(nn.ReLU()))
    with pytest.raises(DataError, match="needs true labels"):
        importance.slopes_of(model, [data()[0][0]], parts_of(model), OPTIONS)

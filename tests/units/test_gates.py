"""Gates of recurrent layers: step by step the layers give what they give at once, and gates are what they compute."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ndg import models
from ndg.activations.batches import forward
from ndg.config import GRU, LSTM
from ndg.data.inputs import TEXT, Form
from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.importance.score import score
from ndg.options import RunOptions
from ndg.units.resolve import resolve_layer

LAYERS = {
    "lstm": lambda **o: nn.LSTM(4, 3, **o),
    "projected": lambda **o: nn.LSTM(4, 3, proj_size=2, **o),
    "gru": lambda **o: nn.GRU(4, 3, **o),
    "rnn": lambda **o: nn.RNN(4, 3, **o),
    "relu": lambda **o: nn.RNN(4, 3, nonlinearity="relu", **o),
}
OPTIONS = [{}, {"batch_first": True}, {"bias": False}, {"num_layers": 2, "bidirectional": True, "batch_first": True}]


def made(name, **options):
    torch.manual_seed(0)
    return LAYERS[name](**options).double().eval()


def same(found, expected):
    if isinstance(expected, tuple):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_step_by_step_a_layer_gives_what_it_gives_at_once(name, options):
    layer = made(name, **options)
    x = torch.randn(6, 6, 4, dtype=torch.float64)
    path = "gates_l1_reverse" if "num_layers" in options else "gates"
    start = [torch.randn_like(state) for state in layer(x)[1]] if isinstance(layer, nn.LSTM) else None
    given = tuple(start) if start else torch.randn_like(layer(x)[1])
    for state in (None, given):
        expected = layer(x, state)
        with resolve_layer(layer, path).around():
            same(layer(x, state), expected)
    assert "forward" not in vars(layer)
    assert not layer._modules


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_packed_sequences_stay_packed_and_hold_no_gate_at_padding(name, sort):
    layer = made(name, num_layers=2, bidirectional=True)
    x, lengths = torch.randn(5, 3, 4, dtype=torch.float64), torch.tensor([5, 3, 1] if sort else [2, 5, 3])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=sort)
    expected, states = layer(packed)
    seen = []
    with resolve_layer(layer, "gates_l1").around():
        layer.gates_l1.register_forward_hook(lambda _, given, output: seen.append(output))
        found, last = layer(packed)
    same(last, states)
    assert torch.equal(found.batch_sizes, expected.batch_sizes)
    same(pad_packed_sequence(found), pad_packed_sequence(expected))
    there = torch.arange(5)[:, None] < lengths
    assert torch.equal(torch.stack(seen).ne(0).all(dim=2), there)


class Reading(nn.Module):
    """A recurrent layer or its cell over tokens, then the last state."""

    def __init__(self, kind: str, cell: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.cell = cell
        sizes = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
        self.layer = sizes[kind](4, 3, batch_first=True).double()
        if cell:
            one = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[kind](4, 3).double()
            one.load_state_dict({key.removesuffix("_l0"): value for key, value in self.layer.state_dict().items()})
            self.layer = one
        self.out = nn.Linear(3, 2).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.cell:
            return self.out(self.layer(x)[0][:, -1])
        state = None
        for step in x.unbind(1):
            state = self.layer(step, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


def lstm_by_hand(layer, x, written=None):
    """Gates [step, gate x unit] of one example and its last state; `written` sets some gates: (steps, unit, value)."""
    h, c, gates = torch.zeros(3, dtype=x.dtype), torch.zeros(3, dtype=x.dtype), []
    for step, token in enumerate(x):
        sums = layer.weight_ih_l0 @ token + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        values = torch.cat([sums[:6].sigmoid(), sums[6:9].tanh(), sums[9:].sigmoid()])
        values = _written(values, step, written)
        c = values[3:6] * c + values[:3] * values[6:9]
        h = values[9:] * c.tanh()
        gates.append(values)
    return torch.stack(gates), h


def gru_by_hand(layer, x, written=None):
    h, gates = torch.zeros(3, dtype=x.dtype), []
    for step, token in enumerate(x):
        new, old = layer.weight_ih_l0 @ token + layer.bias_ih_l0, layer.weight_hh_l0 @ h + layer.bias_hh_l0
        both = _written((new[:6] + old[:6]).sigmoid(), step, written)
        n = (new[6:] + both[:3] * old[6:]).tanh()
        values = _written(torch.cat([both, n]), step, written)
        h = (1 - values[3:6]) * values[6:] + values[3:6] * h
        gates.append(values)
    return torch.stack(gates), h


def rnn_by_hand(layer, x, written=None):
    h, gates = torch.zeros(3, dtype=x.dtype), []
    for step, token in enumerate(x):
        h = (layer.weight_ih_l0 @ token + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0).tanh()
        h = _written(h, step, written)
        gates.append(h)
    return torch.stack(gates), h


def _written(values, step, written):
    if written is None:
        return values
    values = values.clone()
    for unit in written:
        if unit < len(values):
            values[unit] = written[unit]
    return values


BY_HAND = {"lstm": lstm_by_hand, "gru": gru_by_hand, "rnn": rnn_by_hand}


@pytest.mark.parametrize("cell", [False, True], ids=["layer", "cell"])
@pytest.mark.parametrize("kind", BY_HAND)
def test_gates_are_those_of_the_equations(kind, cell):
    model, x = Reading(kind, cell), torch.randn(2, 5, 4, dtype=torch.float64)
    bare = model(x)
    with Tape(model, ["layer.gates"]) as tape:
        torch.testing.assert_close(tape.run(x), bare)
        view = tape["layer.gates"]
    for example in range(2):
        gates, _ = BY_HAND[kind](Reading(kind).layer, x[example])
        torch.testing.assert_close(view[example], gates.T.detach())


@pytest.mark.parametrize("kind", BY_HAND)
def test_ablation_of_gates_is_the_equations_with_those_gates_at_zero(kind):
    model, x = Reading(kind), torch.randn(3, 4, 4, dtype=torch.float64)
    scores = score(model, [x], "layer.gates", "ablation", options=RunOptions(batch=4))
    units = range(len(scores["layer.gates"]))

    def damage(written):
        ends = [BY_HAND[kind](model.layer, each, written)[1] for each in x]
        return (model(x) - model.out(torch.stack(ends))).norm(dim=1).mean().item()

    np.testing.assert_allclose(scores["layer.gates"], [damage({unit: 0.0}) for unit in units], rtol=1e-9, atol=1e-12)
    assert scores.whole["layer.gates"] == pytest.approx(damage(dict.fromkeys(units, 0.0)))


class Moved:
    """A hook that moves one gate at one step."""

    def __init__(self, unit: int, step: int, by: float) -> None:
        self.unit, self.step, self.by, self.seen = unit, step, by, 0

    def __call__(self, module, given, output):
        values = output.clone()
        values[:, self.unit] += self.by if self.seen == self.step else 0
        self.seen += 1
        return values


@pytest.mark.parametrize("kind", BY_HAND)
def test_gradients_are_those_of_a_small_change_of_one_gate_at_one_step(kind):
    model, x = Reading(kind), torch.randn(2, 4, 4, dtype=torch.float64)
    with Tape(model, ["layer.gates"]) as tape:
        gradients = tape.gradients(tape.run(x)[:, 0])["layer.gates"]
    small = 1e-6
    with torch.no_grad(), resolve_layer(model, "layer.gates").around():
        for unit in range(gradients.shape[1]):
            for step in range(4):
                ends = []
                for by in (small, -small):
                    handle = model.layer.gates.register_forward_hook(Moved(unit, step, by))
                    ends.append(model(x)[:, 0])
                    handle.remove()
                np.testing.assert_allclose((ends[0] - ends[1]) / (2 * small), gradients[:, unit, step], atol=1e-7)


def test_gradients_before_a_gru_are_those_of_the_layer_itself():
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.reading = nn.Linear(4, 4).double(), Reading("gru")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.reading(self.first(x))

    model, x = Embedded(), torch.randn(2, 4, 4, dtype=torch.float64)
    found = []
    for layers in (["first"], ["first", "reading.layer.gates"]):
        with Tape(model, layers) as tape:
            found.append(tape.gradients(tape.run(x)[:, 1])["first"])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("config", [LSTM, GRU])
def test_padding_of_texts_has_no_gates(config):
    form = Form(TEXT, (8,), 30, 0, 1)
    model = models.build(config(embedding=5, width=4, latent=3, depth=2), form, 3, seed=0)
    mask = (torch.arange(8) < torch.tensor([8, 3, 5])[:, None]).long()
    inputs = {"input_ids": torch.randint(2, 30, (3, 8)) * mask, "attention_mask": mask}
    layers = ["ahead.0.gates", "back.1.gates", "latent"]
    with torch.no_grad():
        bare = forward(model, inputs)
    with Tape(model, layers) as tape:
        logits = tape.run(inputs)
        torch.testing.assert_close(logits.detach(), bare, rtol=1e-5, atol=1e-5)
        gradients = tape.gradients(logits[:, 1])
        for layer in layers[:2]:
            out = (mask == 0)[:, None, :].expand_as(tape[layer])
            assert (tape[layer][out] == 0).all()
            assert (gradients[layer][out] == 0).all()
            assert (tape[layer][~out] != 0).all()
    # a longer row of padding changes nothing
    longer = {key: nn.functional.pad(column, (0, 4)) for key, column in inputs.items()}
    one, other = (score(model, [each], layers, "gndi", options=RunOptions(batch=4)) for each in (inputs, longer))
    for layer in layers:
        np.testing.assert_allclose(one[layer], other[layer], rtol=1e-4, atol=1e-7)


def test_each_layer_and_direction_has_gates_of_its_own_name():
    model = nn.Sequential(made("gru", num_layers=2, bidirectional=True))
    with pytest.raises(
        LayerError, match=r"'0' has gates_l0, gates_l0_reverse, gates_l1, gates_l1_reverse; got 'gates'"
    ):
        resolve_layer(model, "0.gates")
    with pytest.raises(LayerError, match=r"got 'gates_l2'; name one of them"):
        resolve_layer(model, "0.gates_l2")
    place = resolve_layer(model, "0.gates_l1_reverse")
    assert place.steps
    assert place.backwards
    assert not resolve_layer(model, "0.gates_l1").backwards
    assert resolve_layer(nn.Sequential(made("rnn")), "0.gates_l0").steps
    with pytest.raises(LayerError, match=r"'out' is Linear; in this network they are in: layer$"):
        resolve_layer(Reading("gru"), "out.gates")
    with pytest.raises(LayerError, match=r"there are none in this network"):
        resolve_layer(nn.Sequential(nn.Linear(2, 2)), "0.gates")


def test_both_directions_at_once():
    layer = made("lstm", bidirectional=True, batch_first=True)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out = layer, nn.Linear(6, 2).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.layer(x)[0][:, 0])

    model, x = Both(), torch.randn(3, 4, 4, dtype=torch.float64)
    bare = model(x)
    with Tape(model, ["layer.gates_l0", "layer.gates_l0_reverse"]) as tape:
        logits = tape.run(x)
        torch.testing.assert_close(logits, bare)
        gradients = tape.gradients(logits[:, 0])
    assert (gradients["layer.gates_l0"][:, :, 1:] == 0).all()  # the first token reads nothing after it
    assert (gradients["layer.gates_l0_reverse"] != 0).any(dim=1).all()  # and the way back has read all the others
    assert not layer._modules
    assert "forward" not in vars(layer)


def test_a_sequence_alone_is_refused():
    layer = made("gru")
    message = r"batches of sequences; got a sequence of shape \(5, 4\)"
    with resolve_layer(layer, "gates").around(), pytest.raises(LayerError, match=message):
        layer(torch.randn(5, 4, dtype=torch.float64))

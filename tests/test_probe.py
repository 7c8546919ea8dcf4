"""The probe refuses what cannot be measured example by example, by name and with the remedy, in every study alike."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import ndg
from ndg.errors import DataError, LayerError, ShapeError
from ndg.module_state import Identity, module_state
from ndg.probe import _probed, probe_loader

EXAMPLES = torch.randn(300, 12, generator=torch.Generator().manual_seed(0)), torch.arange(300) % 4


METHODS = "gndi", "conductance", "ablation"


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.out = nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)
        self.register_buffer("calls", torch.zeros(()))

    def between(self, h: torch.Tensor) -> torch.Tensor:
        return h

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.between(self.act(self.first(x))))


class Dropout(Dense):
    def between(self, h):
        return functional.dropout(h, 0.3)


class Quantised(Dense):
    def between(self, h):
        scale = h.abs().max() / 127
        return (h / scale).round() * scale


class Normed(Dense):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def between(self, h):
        return self.norm(h)


class Running(Dense):
    def between(self, h):
        self.calls = 0.9 * self.calls + h.mean()
        return h - self.calls


class Counting(Dense):
    def between(self, h):
        self.calls += 1
        return h


class Experts(Dense):
    """Two experts of a capacity: rows beyond it pass unchanged."""

    def between(self, h):
        first = h[:, 0] > h[:, 1]
        kept = torch.where(first, first.cumsum(0), (~first).cumsum(0)) <= max(0.55 * len(h), 8)
        return torch.where(kept[:, None], 2 * h, h)


class Crowded(Dense):
    """A batch of more than 100 rows loses its last row."""

    def between(self, h):
        return h if len(h) <= 100 else torch.cat([h[:-1], 0 * h[-1:]])


class LoudRow(Dense):
    """Outputs are scaled by the largest input of the batch, that of row 100."""

    def forward(self, x):
        return self.out(self.act(self.first(x))) / x.abs().max()


class Switched(Dense):
    noisy, kind, rate = False, "none", 0.0

    def between(self, h):
        return h + torch.randn_like(h) if self.noisy or self.kind == "noisy" or self.rate else h


class TimeMajor(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steps = nn.TransformerEncoderLayer(6, 2, 8) if kind == "transformer" else getattr(nn, kind)(6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.steps(x.transpose(0, 1))
        return self.out((h[0] if isinstance(h, tuple) else h)[-1])


def studies(model, layer, data):
    """Every kind of study that the probe protects."""
    graph = ndg.mine(ndg.extract(Dense().eval(), [EXAMPLES], layers=["act"]), "confidence", confidence=0.6, support=2)
    settings = ndg.TrialSettings(any_network=True, values="boolean")
    calls = [
        lambda: ndg.extract(model, data, layers=[layer]),
        *(
            lambda method=method: ndg.score(model, data, [layer], method)
            for method in ("gndi", "conductance", "ablation")
        ),
    ]
    if isinstance(model, Dense):
        calls.append(lambda: ndg.trial(model, graph, data, settings=settings))
    return calls


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Dropout, r"same outputs for the same inputs.*Dropout.*it draws random numbers; .*training=self.training"),
        (Running, r"same outputs for the same inputs.*it changes its buffer 'calls'"),
        (
            Quantised,
            r"depend on the other rows of the batch, first at 'out' \(Linear\); use statistics that are stored",
        ),
        (Normed, r"depend on the other rows of the batch, first at 'norm' \(BatchNorm1d\); .*track_running_stats=True"),
    ],
)
def test_outputs_that_depend_on_chance_or_on_other_rows_are_refused_in_every_study(make, message):
    model = make().eval()
    for study in studies(model, "act", [EXAMPLES]):
        with pytest.raises(LayerError, match=message):
            study()


@pytest.mark.parametrize("make", [Experts, Crowded, LoudRow])
def test_dependence_on_rows_that_only_a_whole_batch_shows_is_refused_in_every_study(make):
    inputs = EXAMPLES[0] / 10
    inputs[100] *= 100
    for study in studies(make().eval(), "act", [(inputs, EXAMPLES[1])]):
        with pytest.raises(LayerError, match=r"those of .* depend on the other rows of the batch, first at"):
            study()


def test_a_larger_batch_is_probed_again():
    model = Crowded().eval()
    for rows in (50, 100, 20):
        ndg.score(model, [tuple(column[:rows] for column in EXAMPLES)], ["act"], "activation")
    with pytest.raises(LayerError, match="depend on the other rows of the batch"):
        ndg.score(model, [EXAMPLES], ["act"], "activation")


@pytest.mark.parametrize(("flag", "value"), [("noisy", True), ("kind", "noisy"), ("rate", 0.1)])
def test_a_network_whose_attribute_changes_is_probed_again(flag, value):
    model = nn.Sequential(Switched()).eval()
    ndg.extract(model, [EXAMPLES], layers=["0.act"])
    setattr(model[0], flag, value)
    with pytest.raises(LayerError, match="draws random numbers"):
        ndg.extract(model, [EXAMPLES], layers=["0.act"])


@pytest.mark.parametrize(
    ("holder", "read", "switch"),
    [
        ({"rate": 0.0}, lambda it: it["rate"], lambda it: it.update(rate=0.5)),
        ([0.0], lambda it: it[0], lambda it: it.__setitem__(0, 0.5)),
        ([[(0.0,)]], lambda it: it[0][0][0], lambda it: it[0].__setitem__(0, (0.5,))),
        ({0.0}, lambda it: next(iter(it)), lambda it: (it.clear(), it.add(0.5))),
        (torch.zeros(()), float, lambda it: it.fill_(0.5)),
        (np.zeros(1), lambda it: it[0], lambda it: it.fill(0.5)),
        (SimpleNamespace(rate=0.0), lambda it: it.rate, lambda it: setattr(it, "rate", 0.5)),
        (SimpleNamespace(part={"rate": 0.0}), lambda it: it.part["rate"], lambda it: it.part.update(rate=0.5)),
    ],
)
def test_a_network_whose_config_changes_in_place_is_probed_again(holder, read, switch):
    class Configured(Dense):
        def between(self, h):
            return functional.dropout(h, read(self.holder))

    model = Configured().eval()
    model.holder = copy.deepcopy(holder)
    rows = []
    model.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    for _ in range(3):
        ndg.extract(model, [EXAMPLES], layers=["act"])
    assert rows.count(8) == 2
    switch(model.holder)
    with pytest.raises(LayerError, match="draws random numbers"):
        ndg.extract(model, [EXAMPLES], layers=["act"])


def test_a_function_at_the_address_of_a_freed_one_is_another():
    def functions():
        return (lambda h: h), (lambda h: h)

    freed, later = functions()
    first, second = Identity(freed), Identity(later)
    second._number = first._number
    assert first == Identity(freed)
    del freed
    assert hash(first) == hash(second)
    assert first != second
    assert second != first
    assert second not in {first: 0}


def test_states_of_a_network_are_hashable_bounded_and_end():
    model = Dense()
    model.own, model.long, model.deep = [], list(range(10**5)), [[[[[[[]]]]]]]
    model.own.append(model.own)
    model.parts = {
        "module": model,
        "type": int,
        "array": np.zeros(10**6),
        "odd": {(1, 2): {3, None}},
        "slots": object(),
    }
    first, second = module_state(model), module_state(model)
    assert first == second
    assert hash(tuple(first.items())) == hash(tuple(second.items()))
    assert len(repr(first)) < 20_000


def test_a_network_with_another_function_is_probed_again():
    model = Dense().eval()
    ndg.extract(model, [EXAMPLES], layers=["act"])
    model.act.forward = lambda h: h + torch.randn_like(h)
    with pytest.raises(LayerError, match="draws random numbers"):
        ndg.extract(model, [EXAMPLES], layers=["act"])


def test_a_network_that_counts_its_passes_is_probed_once():
    class CountingPasses(Dense):
        passes = 0

        def between(self, h):
            self.passes += 1
            return h

    model, rows = CountingPasses().eval(), []
    model.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    for _ in range(4):
        ndg.extract(model, [EXAMPLES], layers=["act"])
    assert rows.count(8) == 2
    model.passes = -1  # no part of the state by which a network is known
    ndg.extract(model, [EXAMPLES], layers=["act"])
    assert rows.count(8) == 2


def test_values_that_are_rounded_to_fixed_steps_pass():
    class Steps(Dense):
        def between(self, h):
            return (h * 64).round() / 64

    model = Steps().eval()
    probe_loader(model, [EXAMPLES], ["act"], 1)
    assert model in _probed


@pytest.mark.parametrize("method", METHODS)
def test_a_loader_that_can_be_read_once_is_probed_and_read_whole(method):
    with pytest.raises(LayerError, match="draws random numbers"):
        ndg.score(Dropout().eval(), iter([EXAMPLES]), ["act"], method)
    batches = [tuple(column[start : start + 100] for column in EXAMPLES) for start in (0, 100, 200)]
    scores = ndg.score(Dense().eval(), iter(batches), ["act"], method)
    assert scores.examples == 300


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN", "transformer"])
def test_layers_of_time_steps_are_refused_though_as_many_steps_as_examples_run(kind):
    data = [(torch.randn(40, 40, 6), torch.zeros(40, dtype=torch.long))]
    for study in studies(TimeMajor(kind).eval(), "steps", data):
        with pytest.raises(LayerError, match=r"first axis of a layer is the example; 'steps' gives .*batch_first=True"):
            study()


def test_a_network_that_reads_the_examples_as_time_steps_is_refused():
    class Whole(TimeMajor):
        def forward(self, x):
            return self.out(self.steps(x)[0].mean(dim=1))

    with pytest.raises(LayerError, match="depend on the other rows of the batch"):
        ndg.extract(Whole("GRU").eval(), [torch.randn(20, 5, 6)], layers=["steps"])


def test_a_buffer_that_counts_is_warned_about_once_and_restored(caplog):
    model = Counting().eval()
    probe_loader(model, [EXAMPLES], ["act"], 1)
    probe_loader(model, [EXAMPLES], ["act"], 1)
    (message,) = [record.message for record in caplog.records if "changes 'calls'" in record.message]
    assert message.startswith("a forward pass changes no buffer; Counting changes 'calls': its digest changes too")
    assert message.endswith("(any_network=True allows that); update buffers in training mode alone")
    assert model.calls == 0


@pytest.mark.parametrize("make", [Dense, Normed])
def test_a_probe_leaves_mode_random_state_and_buffers(make):
    model, state = make().train(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for loader in (iter([EXAMPLES]), [EXAMPLES]):
        with torch.inference_mode(), pytest.raises(LayerError) if make is Normed else nullcontext():
            probe_loader(model, loader, ["act"], 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_of_which_a_part_is_replaced_is_probed_again():
    network = Dense().eval()
    ndg.extract(network, [EXAMPLES], layers=["act"])
    network.act = nn.BatchNorm1d(8, track_running_stats=False)
    with pytest.raises(LayerError, match="depend on the other rows of the batch, first at 'act'"):
        ndg.extract(network, [EXAMPLES], layers=["act"])


def test_logits_of_more_rows_than_examples_are_refused():
    class Doubled(Dense):
        def forward(self, x):
            logits = super().forward(x)
            return torch.cat([logits.flip(1), logits])

    for study in studies(Doubled().eval(), "act", [EXAMPLES]):
        with pytest.raises(ShapeError, match=r"a row of logits for each example; got \d+ rows for \d+ examples"):
            study()


def test_a_network_is_probed_once_with_three_small_passes_and_two_of_a_compute_batch():
    model, rows = Dense().eval(), []
    model.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    ndg.extract(model, [EXAMPLES], layers=["act"])
    assert rows == [8, 8, 4, 256, 256, 256, 256]  # of the probe, and of the study
    ndg.score(model, [EXAMPLES], ["act"], "activation")
    assert rows.count(8) == 2
    assert model in _probed


@pytest.mark.parametrize("count", [1, 2, 3, 300])
def test_a_sound_network_passes_with_any_number_of_examples(count):
    inputs, labels = EXAMPLES
    for study in studies(Dense().eval(), "act", [(inputs[:count], labels[:count])])[:2]:
        study()


@pytest.mark.parametrize(
    ("inputs", "weights"),
    [("float32", "bfloat16"), ("float64", "float32"), ("float32", "float64"), ("int64", "float32")],
)
def test_inputs_of_another_dtype_than_the_weights_are_told(inputs, weights):
    model = Dense().eval().to(getattr(torch, weights))
    data = [(EXAMPLES[0].to(getattr(torch, inputs)), EXAMPLES[1])]
    for study in studies(model, "act", data):
        with pytest.raises(DataError, match=rf"inputs are torch.{inputs}, the weights torch.{weights}; pass inputs.to"):
            study()

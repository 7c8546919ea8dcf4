"""Compiled, checkpointed and inference-mode networks give the figures of the plain network, or are refused."""

import sys
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointFunction, checkpoint

import ndg
from ndg.activations.eager import eager
from ndg.errors import LayerError, ShapeError

METHODS = "gndi", "conductance", "fast_ablation", "ablation", "integrated", "gradient", "activation"
EXAMPLES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Checkpointed(Wrapped):
    def forward(self, x):
        return self.net[2](checkpoint(lambda x: self.net[1](self.net[0](x)), x, use_reentrant=True))


class Sparse(Wrapped):
    def forward(self, x):
        return self.net(x).to_sparse()


class Inference(Wrapped):
    @torch.inference_mode()
    def forward(self, x):
        return self.net(x)


def made_in_inference_mode() -> Wrapped:
    with torch.inference_mode():
        return Wrapped()


def compiled() -> nn.Module:
    model = torch.compile(Wrapped(), backend="eager")
    model(EXAMPLES[0])  # compiled before there are hooks
    return model


def part_compiled() -> nn.Module:
    model = Wrapped()
    model.net[1] = torch.compile(model.net[1], backend="eager")
    model(EXAMPLES[0])
    return model


def compiled_in_place() -> nn.Module:
    model = Wrapped()
    model.compile(backend="eager")
    model(EXAMPLES[0])
    return model


def figures(model: nn.Module, layer: str) -> list[np.ndarray]:
    data = [EXAMPLES]
    bits = ndg.extract(model, data, layers=[layer])
    graph = ndg.mine(bits, "confidence", confidence=0.6, support=2)
    trial = ndg.trial(model, graph, data, fit=data)
    return [bits.words, np.array(trial.controls["graph"].aligned)] + [
        ndg.score(model, data, [layer], method)[layer] for method in METHODS
    ]


@pytest.mark.parametrize(
    "make", [Checkpointed, Sparse, made_in_inference_mode, compiled, part_compiled, compiled_in_place]
)
def test_figures_are_those_of_the_plain_network(make):
    model = make().eval()
    layer = "_orig_mod.net.1" if make is compiled else "net.1"
    for found, expected in zip(figures(model, layer), figures(plain(), "1"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_a_forward_under_inference_mode_is_refused_by_scores(method):
    with pytest.raises(LayerError, match=r"'net.1' runs inside; call the network under torch.no_grad"):
        ndg.score(Inference().eval(), [EXAMPLES], ["net.1"], method)
    assert ndg.extract(Inference().eval(), [EXAMPLES], layers=["net.1"]).examples == 40


def test_a_sparse_layer_is_refused():
    class Layer(nn.Module):
        def forward(self, x):
            return x.to_sparse()

    class Dense(nn.Module):
        def forward(self, x):
            return x.to_dense()

    model = nn.Sequential(nn.Linear(6, 8), Layer(), Dense(), nn.Linear(8, 3)).eval()
    for study in (
        lambda: ndg.extract(model, [EXAMPLES], layers=["1"]),
        *(lambda method=method: ndg.score(model, [EXAMPLES], ["1"], method) for method in METHODS),
    ):
        with pytest.raises(LayerError, match="returns a dense tensor; '1' returns a sparse one"):
            study()


def test_threads_leave_eager_mode_together():
    sys.modules.get("torch._dynamo") or torch.compile(nn.Identity(), backend="eager")
    entered, left, seen = Barrier(2), Barrier(2), []

    def first() -> None:
        with eager():
            entered.wait(5)
        left.wait(5)

    thread = Thread(target=first)
    thread.start()
    with eager():
        entered.wait(5)
        left.wait(5)
        seen.append("apply" in vars(CheckpointFunction))
    thread.join()
    assert seen == [True]
    assert "apply" not in vars(CheckpointFunction)


def test_a_module_of_several_tensors_is_read_at_its_first_with_a_warning(caplog):
    class Pair(nn.Module):
        def forward(self, x):
            return x, 2 * x

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pair, self.out = nn.Linear(6, 8), Pair(), nn.Linear(8, 3)

        def forward(self, x):
            return self.out(sum(self.pair(self.first(x))))

    ndg.extract(Sum().eval(), [EXAMPLES], layers=["pair", "first"])
    (message,) = [record.message for record in caplog.records if "first tensor" in record.message]
    assert message.startswith("a layer is read at its first tensor; 'pair' returns 2, of shapes (8, 8), (8, 8)")


def test_a_tuple_of_two_tables_is_read_at_its_first_with_a_warning(caplog):
    class Two(Wrapped):
        def forward(self, x):
            hidden = self.net[1](self.net[0](x))
            return hidden, self.net[2](hidden)

    for _ in range(2):
        network = Two().eval()
        ndg.extract(network, [EXAMPLES], layers=["net.1"])
        ndg.extract(network, [EXAMPLES], layers=["net.1"])
    messages = [record.message for record in caplog.records if "first tensor of a tuple" in record.message]
    assert len(messages) == 2
    assert "Two returns several that could be, of shapes (8, 8), (8, 3); wrap it in a module" in messages[0]


def test_logits_are_read_by_name_before_position():
    from dataclasses import dataclass
    from typing import NamedTuple

    class Named(NamedTuple):
        hidden: torch.Tensor
        logits: torch.Tensor

    @dataclass
    class Record:
        hidden: torch.Tensor
        logits: torch.Tensor

    class Both(Wrapped):
        def __init__(self, kind) -> None:
            super().__init__()
            self.kind = kind

        def forward(self, x):
            hidden = self.net[1](self.net[0](x))
            return self.kind(hidden, self.net[2](hidden))

    for kind in (Named, Record, lambda hidden, logits: {"hidden": hidden, "logits": logits}):
        assert ndg.extract(Both(kind).eval(), [EXAMPLES], layers=["net.1"]).nodes.labels == 3
        expected = ndg.score(plain(), [EXAMPLES], ["1"])["1"]
        np.testing.assert_allclose(ndg.score(Both(kind).eval(), [EXAMPLES], ["net.1"])["net.1"], expected, rtol=1e-5)
    for kind, seen in (
        (lambda hidden, logits: [logits], r"a list of \(256, 3\)"),
        (lambda hidden, logits: {"scores": logits}, r"a dictionary of scores \(256, 3\)"),
        (lambda hidden, logits: (), "a tuple of nothing"),
    ):
        with pytest.raises(ShapeError, match=f"got {seen}; wrap the network"):
            ndg.extract(Both(kind).eval(), [EXAMPLES], layers=["net.1"])

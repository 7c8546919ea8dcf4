"""Odd outputs of networks and odd batches: they give the right value, or are refused in one clear sentence."""

import re
import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.errors import ConfigError, DataError, LayerError, NDGError, ShapeError

INPUTS, LABELS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of prototypes of torch
    CSR, NESTED = INPUTS.to_sparse_csr(), torch.nested.nested_tensor(list(INPUTS))
    QUANTISED = torch.quantize_per_tensor(INPUTS, 0.1, 0, torch.qint8)
OPTIONS = ndg.RunOptions(executor="serial")


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Users run without the type checker of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class Network(nn.Module):
    def __init__(self, change=lambda logits: logits) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dense, self.act, self.out = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(self.out(self.act(self.dense(x))))


GRAPH = ndg.mine(ndg.extract(Network().eval(), [(INPUTS, LABELS)], ["act"]), "confidence", confidence=0.6, support=2)


def studies(model, data):
    """Studies of every kind, as functions without arguments."""
    settings = ndg.TrialSettings(any_network=True)
    return [
        lambda: ndg.extract(model, data, ["act"], options=OPTIONS),
        lambda: ndg.trial(model, GRAPH, data, fit=data, settings=settings, options=OPTIONS),
        *(
            lambda method=method: ndg.score(model, data, ["dense"], method, options=OPTIONS)
            for method in ("gndi", "conductance", "ablation", "fast_ablation", "shapley", "activation", "snip", "lrp")
        ),
    ]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda z: z.to(torch.complex64), ShapeError, "logits are real numbers, of a floating-point type; got torch.c"),
        (lambda z: z > 0, ShapeError, "logits are real numbers, of a floating-point type; got torch.bool; wrap"),
        (lambda z: z.to(torch.float8_e4m3fn), ShapeError, "got torch.float8_e4m3fn; wrap the network in a module"),
        (lambda z: torch.quantize_per_tensor(z, 0.1, 0, torch.qint8), ShapeError, "got torch.qint8; wrap"),
        (lambda z: z.T, NDGError, "first axis of a layer is the example; 'Network' gives (3, 8) for 8 examples"),
        (lambda z: z[:-1], ShapeError, "a row of logits for each example; got "),
        (lambda z: z[:, :0], ShapeError, "a network returns logits of shape (example, class)"),
        (lambda z: z.to("meta"), LayerError, "some of Network are on the meta device, which holds shapes alone; load"),
        (lambda z: torch.nested.nested_tensor(list(z)), ShapeError, "got a nested tensor; wrap the network"),
        (lambda z: z.tolist(), ShapeError, "got a list of "),
        (lambda z: z.detach().numpy(), ShapeError, "got ndarray; wrap the network"),
        (lambda z: None, ShapeError, "got NoneType; wrap the network"),
    ],
)  # fmt: skip
def test_logits_that_are_none_are_refused_in_every_study(change, kind, message):
    for study in studies(Network(change).eval(), [(INPUTS, LABELS)]):
        with pytest.raises(kind, match=re.escape(message)):
            study()


def test_transposed_logits_are_refused_though_as_many_classes_as_examples_run():
    class Square(Network):
        def __init__(self) -> None:
            super().__init__(lambda logits: logits.T)
            self.out = nn.Linear(8, 40)

    for study in studies(Square().eval(), [(INPUTS, LABELS)]):
        with pytest.raises(LayerError, match=re.escape("'Square' gives (40, 8) for 8 examples and (40, 4) for 4")):
            study()


def test_whole_numbers_are_logits():
    model = Network(lambda logits: (100 * logits).long()).eval()
    bits = ndg.extract(model, [(INPUTS, LABELS)], ["act"])
    with torch.no_grad():
        want = model(INPUTS).argmax(dim=1)
    assert np.array_equal(bits.to_bool("label").argmax(axis=1), want.numpy())
    assert ndg.score(model, [(INPUTS, LABELS)], ["act"], "ablation")["act"].any()
    for method in ("gndi", "snip", "grasp"):
        with pytest.raises(LayerError, match="gradient path"):
            ndg.score(model, [(INPUTS, LABELS)], ["dense"], method)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((INPUTS.to_sparse(), LABELS), "tensors of a batch are dense and have values; inputs are sparse; give"),
        ((CSR, LABELS), "inputs are sparse; give inputs.to_dense()"),
        ((INPUTS, LABELS.to_sparse()), "labels are sparse; give labels.to_dense()"),
        ((INPUTS.to("meta"), LABELS), "inputs are on the meta device, without values; give tensors with values"),
        ((INPUTS, LABELS.to("meta")), "labels are on the meta device, without values; give tensors with values"),
        ((NESTED, LABELS), "inputs are nested; give inputs.to_padded_tensor(0.0)"),
        ((QUANTISED, LABELS), "inputs are quantised; give inputs.dequ"),
        ((INPUTS.tolist(), LABELS.tolist()), "got tuple (inputs: list, labels: list); make tensors of arrays"),
        (INPUTS.tolist(), "a loader gives (inputs, labels), inputs, or dictionaries of tensors"),
        ((INPUTS, LABELS.tolist()), "got tuple (inputs: Tensor, labels: list); make tensors of arrays"),
        ((LABELS, INPUTS), "a batch is (inputs, labels); got torch.int64 (40,) before torch.float32 (40, 6)"),
        ({"y": INPUTS, "labels": LABELS}, "of the network's forward, x; got y (missing a required argument: 'x'"),
        ({"x": INPUTS, "target": LABELS}, "got x, target (got an unexpected keyword argument 'target'); rename"),
        ({0: INPUTS, "labels": LABELS}, "parameters of the network's forward, x; got 0"),
        ((INPUTS.numpy().astype(object), LABELS), "got tuple (inputs: ndarray, labels: Tensor); make tensors"),
        ((INPUTS.to(torch.complex64), LABELS), "inputs have the dtype of the weights; inputs are torch.complex64"),
        ((INPUTS.to(torch.uint16), LABELS), "torch.uint16"),
        ((INPUTS.to(torch.float8_e5m2), LABELS), "torch.float8_e5m2"),
        ((INPUTS[:, :4], LABELS), "a network takes what its loader gives; Network given {'inputs': ("),
        ((INPUTS, LABELS, LABELS), "got tuple (inputs: tuple); make tensors of arrays"),
    ],
)  # fmt: skip
def test_odd_batches_are_refused_in_every_study(batch, message):
    for study in studies(Network().eval(), [batch]):
        with pytest.raises(DataError, match=re.escape(message)):
            study()


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: array[::-1].copy()[::-1],
        lambda array: np.asfortranarray(array),
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: np.ma.array(array),
        lambda array: array.astype(np.longdouble).astype(array.dtype),
    ],
)
def test_arrays_of_any_order_and_strides_are_read_alike(change):
    model = Network().eval()
    data, plain = [(change(INPUTS.numpy()), change(LABELS.numpy()))], [(INPUTS, LABELS)]
    bits, want = (ndg.extract(model, loader, ["act"]) for loader in (data, plain))
    assert np.array_equal(bits.to_bool(), want.to_bool())
    assert bits.correct == want.correct
    assert np.array_equal(ndg.score(model, data, ["act"])["act"], ndg.score(model, plain, ["act"])["act"])


@pytest.mark.parametrize("device", ["meta", torch.device("meta"), 3, "nowhere"])
def test_a_device_without_values_is_refused(device):
    options = ndg.RunOptions(device=device)
    settings = ndg.TrialSettings(any_network=True)
    data = [(INPUTS, LABELS)]
    for study in (
        lambda: ndg.extract(Network().eval(), [INPUTS], ["act"], options=options),
        lambda: ndg.score(Network().eval(), [INPUTS], ["act"], options=options),
        lambda: ndg.trial(Network().eval(), GRAPH, data, fit=data, settings=settings, options=options),
    ):
        with pytest.raises(ConfigError, match=r"a network (runs on a device that .*; leave|has values .* meta device)"):
            study()


@pytest.mark.parametrize("field", ["batch", "threads", "seed", "timeout"])
def test_true_is_no_number(field):
    with pytest.raises(ConfigError, match=f"{field} must be a .*number; got True"):
        ndg.RunOptions(**{field: True})

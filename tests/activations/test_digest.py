"""The digest of a network: the same wherever it lies, another with any weight changed; bits and graphs carry it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.activations.digest import source_of, weights_digest
from ndg.bits.matrix import BitMatrix, concatenate
from ndg.errors import BitsError
from ndg.nodes import NodeSpace


class Odd(nn.Module):
    """Buffers of all kinds: sparse, empty, without axes, boolean, half; and state that is told by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("empty", torch.zeros(0, 2))
        self.register_buffer("single", torch.tensor(2.0, dtype=torch.bfloat16))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)

    def get_extra_state(self) -> object:
        return object()

    def set_extra_state(self, state: object) -> None:
        pass

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs)


BATCHES = list(torch.randn(70, 4, generator=torch.Generator().manual_seed(0)).split(16))


def test_each_parameter_and_buffer_counts_and_a_copy_is_the_same():
    model = Odd()
    own = weights_digest(model)
    assert len(own) == 16
    assert weights_digest(copy.deepcopy(model).train()) == own
    found = {own}
    for name, change in {
        "linear.bias": lambda value: value + 1e-6,
        "sparse": lambda value: (2 * value).coalesce(),
        "empty": lambda value: torch.zeros(0, 3),
        "single": lambda value: value.float(),
        "mask": lambda value: ~value,
        "turned": lambda value: value.T,
    }.items():
        other = copy.deepcopy(model)
        place, _, last = name.rpartition(".")
        value = change(other.state_dict()[name])
        setattr(other.get_submodule(place), last, nn.Parameter(value) if place else value)
        found.add(weights_digest(other))
    assert len(found) == 7


def test_a_network_without_shapes_is_not_known():
    model = nn.Sequential(nn.LazyLinear(3))
    assert weights_digest(model) == ""
    bits = ndg.extract(model, BATCHES, ["0"])
    assert bits.network == ""
    assert "weights" not in ndg.mine(bits, alpha=2).provenance
    assert ndg.extract(model, BATCHES, ["0"]).network == weights_digest(model) != ""


def test_the_source_of_a_file_is_that_of_a_network_and_of_how_it_is_read():
    sources = {source_of(network, {"layers": layers}) for network in ("", "ab") for layers in (["0"], ["1"])}
    assert len(sources) == 4


def test_bits_and_graphs_carry_the_network_in_memory_and_in_files(tmp_path):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    own = weights_digest(model)
    bits = ndg.extract(model, BATCHES, ["1"])
    filed = ndg.extract(model, BATCHES, ["1"], file=tmp_path / "filed")
    again = ndg.extract(model, BATCHES, ["1"], file=tmp_path / "filed")
    saved = BitMatrix.open(bits.save(tmp_path / "saved"))
    labelled = bits.with_concepts({"even": np.arange(70) % 2 == 0})
    for one in (bits, filed, again, saved, labelled, bits + filed):
        assert one.network == own
        assert ndg.mine(one, alpha=2, provenance={"of": "me"}).provenance == {"of": "me", "weights": own}
    assert ndg.mine([bits, filed], alpha=2).provenance == {"weights": own}
    assert [graph.provenance for graph in ndg.sweep(bits, [2, 3])] == [{"weights": own}] * 2


def test_the_network_is_no_part_of_the_bits():
    nodes, values = NodeSpace(2), np.eye(2, dtype=np.bool_)
    plain, known = (BitMatrix.from_bool(values, nodes, network=name) for name in ("", "0123456789abcdef"))
    assert plain == known
    assert plain.digest == known.digest


def test_bits_of_several_networks_are_of_none(tmp_path):
    nodes, values = NodeSpace(2), np.eye(2, dtype=np.bool_)
    a, b, none = (BitMatrix.from_bool(values, nodes, network=name) for name in ("a" * 16, "b" * 16, ""))
    assert concatenate([a, a]).network == "a" * 16
    for parts in ([a, b], [a, none], [none, none]):
        assert concatenate(parts).network == ""
        assert ndg.mine(parts, alpha=2).provenance == {}


@pytest.mark.parametrize("network", ["mine", "0123456789ABCDEF", "a" * 15, "a" * 17])
def test_what_is_no_digest_is_refused(network):
    with pytest.raises(BitsError, match="must be 16 hexadecimal digits, the digest of its weights; got"):
        BitMatrix.from_bool(np.eye(2, dtype=np.bool_), NodeSpace(2), network=network)

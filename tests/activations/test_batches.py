"""Fixed compute batches: what is computed depends on the example and on nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndg.activations.batches import compute_batches, fixed, forward
from ndg.errors import DataError, ShapeError


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 16))
@settings(max_examples=40, deadline=None)
def test_batches_are_cut_at_multiples_of_their_size_and_padded_with_the_last_example(lengths, size):
    n = sum(lengths)
    inputs, labels = torch.arange(2 * n).reshape(n, 2).float(), torch.arange(n)
    loader = list(zip(inputs.split(lengths), labels.split(lengths), strict=True))
    batches = list(compute_batches(loader, size))
    assert [batch.start for batch in batches] == list(range(0, n, size))
    assert all(len(batch.inputs) == size for batch in batches)
    assert torch.cat([batch.inputs[: batch.count] for batch in batches]).equal(inputs)
    assert torch.cat([batch.labels for batch in batches]).equal(labels)
    last = batches[-1]
    assert (last.inputs[last.count :] == inputs[-1]).all()


def test_dictionaries_and_bare_inputs_are_loaders_too():
    x, y = torch.arange(10).reshape(5, 2), torch.arange(5)
    (one,) = compute_batches([{"input_ids": x, "labels": y}], 8)
    assert set(one.inputs) == {"input_ids"}
    assert one.inputs["input_ids"].shape == (8, 2)
    assert one.labels.equal(y)
    (two,) = compute_batches([x[:2], x[2:]], 8)
    assert two.labels is None
    assert two.inputs[:5].equal(x)
    (three,) = compute_batches([({"input_ids": x}, y)], 8)
    assert three.inputs["input_ids"][:5].equal(x)


def test_what_is_no_batch_is_refused():
    with pytest.raises(DataError, match=r"a loader gives \(inputs, labels\).*got str"):
        list(compute_batches(["text"]))
    with pytest.raises(ShapeError, match=r"one row per example; got \{'inputs': 3, 'labels': 2\}"):
        list(compute_batches([(torch.zeros(3, 1), torch.zeros(2))]))
    with pytest.raises(ShapeError, match=r"same shape per example.*pad to one length"):
        list(compute_batches([torch.zeros(3, 4), torch.zeros(3, 5)]))


def test_a_fixed_network_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model[0].eval()
    threads = torch.get_num_threads()
    seen = []

    def inside():
        with fixed(model, threads=1):
            seen.append((model.training, torch.is_grad_enabled(), torch.get_num_threads()))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        inside()
    assert seen == [(False, False, 1)]
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_logits_are_found_in_tensors_tuples_dictionaries_and_outputs():
    logits = torch.zeros(3, 2)

    class Wrapped(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.wrap = wrap

        def forward(self, x):
            return self.wrap(x)

    class Output:
        def __init__(self, logits):
            self.logits = logits

    for wrap in (lambda x: x, lambda x: (x, 1), lambda x: {"logits": x}, Output):
        assert forward(Wrapped(wrap), logits) is logits
    with pytest.raises(ShapeError, match=r"logits of shape \(example, class\).*got \(3,\)"):
        forward(Wrapped(lambda x: x[:, 0]), logits)
    with pytest.raises(ShapeError, match=r"got a dictionary of scores \(3, 2\)"):
        forward(Wrapped(lambda x: {"scores": x}), logits)

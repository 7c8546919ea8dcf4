"""Which examples are read: a seeded choice, uniform, in order, and the same for every batch size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

from ndg.activations.batches import compute_batches
from ndg.activations.sampling import chosen, count, draw, examples_of, only
from ndg.errors import ConfigError, DataError


class Unsized:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(7.0)[:, None])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_choice_is_of_the_asked_size_in_rising_order(examples, size, seed):
    numbers = draw(seed, "test", examples, size)
    assert len(numbers) == min(size, examples)
    assert (np.diff(numbers) > 0).all()
    assert numbers.min() >= 0
    assert numbers.max() < examples
    assert (draw(seed, "test", examples, size) == numbers).all()
    assert (chosen(seed, examples, size) is None) == (size >= examples)


def test_every_example_is_as_likely():
    times = np.zeros(20)
    for seed in range(2000):
        times[draw(seed, "test", 20, 5)] += 1
    assert abs(times / 2000 - 0.25).max() < 0.05
    with pytest.raises(ConfigError, match="max_examples is at least 1; got 0"):
        chosen(0, 20, 0)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_chosen_examples_come_in_order_whatever_the_batches(lengths, most, size):
    n = sum(lengths)
    inputs, labels = torch.arange(2 * n).reshape(n, 2).float(), torch.arange(n)
    numbers = draw(0, "test", n, most)
    loader = list(zip(inputs.split(lengths), labels.split(lengths), strict=True))
    batches = list(compute_batches(only(loader, numbers), size))
    assert torch.cat([batch.inputs[: batch.count] for batch in batches]).equal(inputs[numbers])
    assert torch.cat([batch.labels for batch in batches]).tolist() == numbers.tolist()
    assert [batch.number(row) for batch in batches for row in range(batch.count)] == numbers.tolist()


def test_a_loader_tells_how_many_examples_it_gives_or_is_counted():
    data = TensorDataset(torch.zeros(10, 2), torch.zeros(10))
    for loader, known in [
        ([torch.zeros(3, 1), torch.zeros(2, 1)], 5),
        ([(torch.zeros(3, 1), torch.zeros(3))], 3),
        ([{"x": torch.zeros(4, 1)}], 4),
        (DataLoader(data, 4), 10),
        (DataLoader(data, 4, drop_last=True), 8),
        (DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(range(6)), 4, False)), 6),
        (DataLoader(Stream(), 4), None),
        (Unsized([torch.zeros(3, 1)]), None),
    ]:
        assert examples_of(loader) == known
        assert count(loader) == sum(batch.count for batch in compute_batches(loader, 4))


def test_a_loader_that_gives_fewer_examples_than_it_said_is_refused():
    with pytest.raises(DataError, match=r"the loader gave 5, and said or showed before that it has more than 7"):
        list(only([torch.zeros(5, 1)], np.array([1, 7])))

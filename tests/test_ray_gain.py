"""The benchmark of Ray's gain compares the same integers, on the threads that it names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from benchmarks.ray_gain import Gain, gain, threaded


@dataclass(frozen=True)
class Study:
    base: int
    threads: int


def power(study: Study, task: int) -> int:
    return study.base**task


def on_threads(study: Study, task: int) -> int:
    """Not the same wherever it runs."""
    return study.threads


def test_the_three_ways_count_the_same(ray_session):
    before = torch.get_num_threads()
    found = gain(power, Study(3, 7), range(5), rounds=1)
    assert (found.equal, found.equal_threads, found.tasks, found.rounds) == (True, True, 5, 1)
    assert torch.get_num_threads() == before
    assert found.ratio == found.serial / found.ray > 0
    figures = found.figures()
    assert figures["ray_equals_serial"][0] is True
    assert figures["ray_gain_two_cores"][0] == found.ratio


def test_workers_run_on_one_thread_and_what_differs_is_seen(ray_session):
    found = gain(on_threads, Study(3, 7), range(2), rounds=1)
    assert (found.equal, found.equal_threads) == (True, False)
    assert threaded(Study(3, 7), 2) == Study(3, 2)
    assert threaded("a network", 2) == "a network"


def test_the_ratio_is_how_many_times_as_fast():
    assert Gain(3.0, 2.0, 1.5, True, True, 4, 1).ratio == pytest.approx(2.0)

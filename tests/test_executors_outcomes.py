"""Independent tasks: an outcome for each, also where some fail, here or in workers."""

from __future__ import annotations

import pytest

from ndg import executors
from ndg.errors import ConfigError, WorkerError
from ndg.executors.outcomes import outcomes


def root(shared: float, task: float) -> float:
    if task == -1:
        raise ConfigError("a root is of 0 or more; got -1")
    return float(shared * task**0.5 if task >= 0 else 1 / (task + 2))


@pytest.mark.parametrize("executor", ["serial", "ray"])
def test_a_task_that_fails_does_not_stop_the_others(executor, request):
    if executor == "ray":
        request.getfixturevalue("ray_session")
    chosen, _ = executors.choose(executor)
    ended = dict(outcomes(chosen, root, 3.0, [4.0, -1.0, -2.0, 9.0], "take fewer"))
    found = [ended[number] for number in range(4)]
    assert [outcome.result for outcome in found] == [6.0, None, None, 9.0]
    assert [outcome.reason for outcome in found] == [
        None,
        "a root is of 0 or more; got -1",
        "ZeroDivisionError: float division by zero",
        None,
    ]
    assert [outcome.mistake for outcome in found] == [False, True, False, False]


def test_an_interrupt_ends_them_all_and_keeps_what_was_done():
    def work(shared: None, task: int) -> int:
        if task == 2:
            raise KeyboardInterrupt
        return task

    ended = outcomes(executors.serial(), work, None, range(4), "")
    assert [(number, outcome.result) for number, outcome in (next(ended), next(ended))] == [(0, 0), (1, 1)]
    with pytest.raises(KeyboardInterrupt):
        next(ended)


def test_a_task_that_no_machine_could_run_is_refused(ray_session):
    greedy = executors.ray(task_cpus=64)
    with pytest.raises(WorkerError, match=r"needs 64 CPU at once; the Ray cluster has 2; take fewer, choose another"):
        list(outcomes(greedy, root, 3.0, [4.0], "take fewer"))

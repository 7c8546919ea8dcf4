"""Tasks that stand alone: outcomes in the order of the tasks, also where some fail, here or in workers."""

from __future__ import annotations

import pytest

from ndg import executors
from ndg.errors import ConfigError
from ndg.executors.outcomes import apart


def root(shared: float, task: float) -> float:
    if task == -1:
        raise ConfigError("a root is of 0 or more; got -1")
    return float(shared * task**0.5 if task >= 0 else 1 / (task + 2))


@pytest.mark.parametrize("executor", ["serial", "ray"])
def test_a_task_that_fails_does_not_stop_the_others(executor, request):
    if executor == "ray":
        request.getfixturevalue("ray_session")
    chosen, _ = executors.choose(executor)
    found = list(apart(chosen, root, 3.0, [4.0, -1.0, -2.0, 9.0], "roots"))
    assert [one.result for one in found] == [6.0, None, None, 9.0]
    assert [one.reason for one in found] == [
        None,
        "a root is of 0 or more; got -1",
        "ZeroDivisionError: float division by zero",
        None,
    ]
    assert [one.mistake for one in found] == [False, True, False, False]


def test_an_interrupt_ends_them_all_and_keeps_what_was_done():
    def work(shared: None, task: int) -> int:
        if task == 2:
            raise KeyboardInterrupt
        return task

    found = apart(executors.serial(), work, None, range(4), "numbers")
    assert [next(found).result, next(found).result] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(found)

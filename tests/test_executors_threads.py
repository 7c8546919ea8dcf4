"""Threads: a network for each, arrays shared, errors and interrupts that end a total, the thread's own torch state."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.activations.batches import fixed, forward
from ndg.activations.hooks import Overwrite
from ndg.cancellation import CancelledError, cancelled_by, check_cancelled
from ndg.errors import ShapeError, WorkerError
from ndg.executors import Journal, Serial, Threads
from ndg.executors.replicas import replica, why_not
from ndg.units.heads import unfused

MANY = Threads(8)


class Stateful(nn.Module):
    """Keeps what it saw, in an attribute and in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.latent = nn.Sigmoid()
        self.last = nn.Linear(16, 3)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        self.held = inputs
        self.seen += 1
        hidden = self.latent(self.first(self.held))
        return self.last(hidden * (self.held.sum(dim=1, keepdim=True) > 0))


@dataclass(frozen=True, eq=False)
class Study:
    """A network, large values, and state of its own."""

    model: nn.Module
    pool: np.ndarray
    tried: dict[str, Any] = field(default_factory=dict)


def changed(study: Study, task: int) -> np.ndarray:
    """Logits under a change that depends on the task, with state in the study."""
    network = study.tried.setdefault("network", study.model)
    assert network is study.model
    inputs = torch.linspace(-1, 1, 256).reshape(64, 4) * (task + 1)
    with fixed(network), Overwrite(network, "latent", lambda output: output + task):
        return forward(network, inputs).numpy() + study.pool[:3]


def test_many_threads_give_the_bits_of_serial_again_and_again():
    torch.manual_seed(0)
    study = Study(Stateful(), np.arange(10.0))
    expected = Serial().total(changed, study, range(40), "changes")
    for _ in range(20):
        assert np.array_equal(MANY.total(changed, study, range(40), "changes"), expected)
    assert not any(module._forward_hooks for module in study.model.modules())


def test_a_replica_shares_arrays_and_parameters_and_copies_modules_and_state():
    study = Study(Stateful(), np.arange(10.0))
    work, copied = replica((partial(changed, study), study))
    assert work.args[0] is copied
    assert copied.pool is study.pool
    assert copied.tried is not study.tried
    pairs = zip(copied.model.named_modules(), study.model.named_modules(), strict=True)
    assert all(name == other and module is not original for (name, module), (other, original) in pairs)
    assert all(one is other for one, other in zip(copied.model.parameters(), study.model.parameters(), strict=True))
    assert copied.model.seen is not study.model.seen
    assert replica(study.pool) is study.pool
    assert replica({"no": "network"}) == {"no": "network"}


def test_hooks_of_the_user_run_on_the_replica():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    calls = []
    model[0].register_forward_hook(lambda module, arguments, output: calls.append(module))
    copied = replica(model)
    copied(torch.zeros(1, 2))
    assert calls == [copied[0]]


class Outer(nn.Module):
    """Hooks by a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.inner.register_forward_hook(self.hook)

    def hook(self, module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        return output + id(self)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs)


def test_a_hook_that_is_a_method_belongs_to_the_replica():
    copied = replica(Outer())
    hook = next(iter(copied.inner._forward_hooks.values()))
    assert hook.__self__ is copied


def test_a_network_that_cannot_be_copied_is_refused_with_a_next_step():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_forward_hook(lambda module, arguments, output, held=model[0]: output)
    assert why_not(model) == (
        "each thread runs a copy of the network, and this one cannot be copied (_forward_hooks of Linear holds a "
        "module of the network itself); use a method in its place, or use the executor 'serial'"
    )
    locked = nn.Linear(2, 2)
    locked.lock = threading.Lock()
    with pytest.raises(WorkerError, match=r"'_thread.lock' object.*; remove what cannot be copied, or"):
        Threads(2).total(changed, Study(locked, np.zeros(3)), range(2), "locks")
    assert why_not(nn.Linear(2, 2)) is None


def test_a_function_that_holds_a_network_holds_the_replica():
    model = nn.Sequential(nn.Linear(2, 2))
    before = model[0].forward
    model[0].forward = lambda inputs: before(inputs)
    copied = replica(model)
    called = []
    copied[0].register_forward_hook(lambda *_: called.append(True))
    assert torch.equal(copied(torch.ones(1, 2)), model(torch.ones(1, 2)))
    assert called == [True]
    assert copied[0].forward.__closure__[0].cell_contents.__self__ is copied[0]

    held, function = replica((model, lambda: model))
    assert function() is held


def failing(shared: None, task: int) -> int:
    if task == 2:
        time.sleep(0.05)
    if task >= 2:
        raise ShapeError(f"task {task} has another shape")
    return task


def test_the_error_is_the_one_that_serial_raises():
    for _ in range(10):
        with pytest.raises(ShapeError, match="task 2 has"):
            MANY.total(failing, None, range(100), "fails")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ndg worker")]


@dataclass
class Journaled:
    """A number that a journal can hold."""

    value: int

    def __add__(self, other: Journaled) -> Journaled:
        return Journaled(self.value + other.value)

    def to_dict(self) -> dict[str, int]:
        return {"value": self.value}


def ten(shared: None, task: int) -> Journaled:
    if task < 0:
        raise KeyboardInterrupt
    return Journaled(10**task)


def test_a_total_that_was_killed_continues_from_its_journal(tmp_path):
    journal = Journal(tmp_path / "tens.jsonl", "1234", lambda document: Journaled(**document))
    with pytest.raises(KeyboardInterrupt):
        MANY.total(ten, None, [0, 1, 2, 3, -1, 5], "tens", journal=journal)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    journal.path.write_bytes(b"".join(lines[:3]) + lines[3][:-9])  # it was writing
    assert json.loads(lines[1])["result"]["value"] in (1, 10, 100, 1000, 100_000)
    assert MANY.total(ten, None, range(6), "tens", journal=journal) == Journaled(111_111)
    assert MANY.total(failing, None, [0, 1], "few") == 1


def test_at_most_two_tasks_per_thread_are_read_ahead():
    read, gate = [], threading.Event()

    def tasks():
        for task in range(100):
            read.append(task)
            if len(read) == 6:
                threading.Timer(0.2, gate.set).start()
            yield task

    most = []

    def wait(shared: None, task: int) -> int:
        gate.wait(10)
        most.append(len(read) - len(most))
        return 1

    assert Threads(3).total(wait, None, tasks(), "waits") == 100
    assert max(most) <= 2 * 3


def test_an_interrupt_of_the_caller_cancels_the_passes_that_run():
    began, ended = threading.Event(), []

    def endless(shared: nn.Module, task: int) -> int:
        try:
            began.set()
            while True:
                with fixed(shared):
                    time.sleep(0.001)
        except CancelledError:
            ended.append(task)
            raise

    def tasks():
        yield from (0, 1)
        began.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Threads(2).total(endless, nn.Linear(2, 2), tasks(), "endless")
    assert sorted(ended) == [0, 1]


def test_nothing_is_cancelled_outside_of_a_worker():
    event = threading.Event()
    event.set()
    check_cancelled()
    with pytest.raises(CancelledError), cancelled_by(event):
        check_cancelled()
    check_cancelled()


def state(shared: None, task: int) -> frozenset[Any]:
    seen = (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    return Seen({(*seen, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))})


class Seen(set):
    def __add__(self, other: Seen) -> Seen:
        return Seen(self | other)


def test_workers_have_their_torch_threads_and_the_callers_state():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.float16):
            found = Threads(2, task_cpus=2).total(state, None, range(8), "state")
        assert found == {(2, False, False, True, torch.float16)}
        assert torch.get_num_threads() == 3
        with torch.inference_mode():
            assert Threads(2).total(state, None, range(8), "state") == {(1, False, True, False, torch.bfloat16)}
    finally:
        torch.set_num_threads(before)


def test_the_fused_form_is_switched_for_each_thread():
    before = torch.backends.mha.get_fastpath_enabled
    inside, over = threading.Event(), threading.Event()

    def other() -> None:
        with unfused():
            inside.set()
            over.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert torch.backends.mha.get_fastpath_enabled()
    with unfused(), unfused():
        assert not torch.backends.mha.get_fastpath_enabled()
        over.set()
        thread.join()
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled is before

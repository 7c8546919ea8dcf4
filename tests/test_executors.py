"""Executors add up the same numbers, end what they started, and say what went wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import threading

import pytest
import torch

from ndg import executors
from ndg.errors import ConfigError, DataError, ShapeError, WorkerError
from ndg.executors import EXECUTORS, Executor, Ray, Serial, Threads, choose
from tests.child import script

TIMEOUT = 120.0


def power(shared: int, task: int) -> int:
    return shared**task


def spell(shared: str, task: int) -> str:
    """A `+` that does not commute; later tasks are the quicker ones."""
    if task == 0:
        sum(range(10**6))
    return f"{shared}{task} "


def fail(shared: None, task: int) -> int:
    raise ShapeError(f"task {task} has another shape")


def die(shared: None, task: int) -> int:
    os._exit(7)


@pytest.fixture(params=EXECUTORS)
def executor(request) -> Executor:
    if request.param == "ray":
        request.getfixturevalue("ray_session")
        return executors.ray(timeout=TIMEOUT)
    return EXECUTORS[request.param]()


def test_a_total_is_the_sum_over_all_tasks(executor):
    assert executor.total(power, 3, range(30), "powers") == sum(3**task for task in range(30))
    assert executor.total(power, 3, iter([2]), "powers", count=1, start=5) == 14
    assert executor.total(power, 3, [], "powers", start=5) == 5


def test_results_are_added_in_the_order_of_the_tasks(executor):
    assert executor.total(spell, "t", range(12), "words") == "".join(f"t{task} " for task in range(12))


def test_several_totals_share_a_session(executor):
    with executor.session():
        assert [executor.total(power, base, range(3), "powers") for base in (1, 2, 3)] == [3, 7, 13]


def test_an_error_of_the_work_comes_back_as_it_is(executor):
    with pytest.raises(ShapeError) as caught:
        executor.total(fail, None, range(3), "fails")
    assert re.fullmatch(r"task \d has another shape", str(caught.value))


def test_no_task_at_all_is_an_error(executor):
    with pytest.raises(DataError, match="needs at least one task; got none; check that the loader gives examples"):
        executor.total(power, 3, [], "powers")


def test_at_most_two_tasks_per_cpu_are_under_way(ray_session, monkeypatch):
    running = []
    real = ray_session.wait
    monkeypatch.setattr(ray_session, "wait", lambda given, **how: running.append(len(given)) or real(given, **how))
    Ray(timeout=TIMEOUT).total(power, 2, range(20), "powers")
    assert max(running) == 2 * 2


def test_shared_values_are_sent_once(ray_session, monkeypatch):
    put = []
    real = ray_session.put
    monkeypatch.setattr(ray_session, "put", lambda value: put.append(value) or real(value))
    Ray(timeout=TIMEOUT).total(power, 2, range(20), "powers")
    assert len(put) == 1


def test_a_running_session_is_used_and_not_ended(ray_session):
    with executors.ray().session():
        pass
    assert ray_session.is_initialized()


def test_a_worker_that_dies_is_an_error_that_says_so(ray_session):
    with pytest.raises(
        WorkerError, match=r"a Ray worker gave no answer to task 0, also when it was tried again: Worker"
    ):
        Ray(timeout=TIMEOUT).total(die, None, [1], "deaths")


def test_a_busy_cluster_is_given_up_after_the_time_out(ray_session):
    @ray_session.remote(num_cpus=2)
    class Hog:
        def ready(self) -> bool:
            return True

    hog = Hog.remote()
    assert ray_session.get(hog.ready.remote())
    try:
        with pytest.raises(WorkerError) as caught:
            Ray(timeout=1.0).total(power, 2, range(20), "powers")
    finally:
        ray_session.kill(hog)
    assert str(caught.value) == (
        "no Ray worker finished a task in 1 s: 4 tasks wait or run, each needs 1 CPU, the cluster has 2 and 0 free; "
        "raise the time-out, free the cluster, or use the executor 'serial'"
    )


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(WorkerError) as caught:
        Ray().total(power, threading.Lock(), [1], "powers")
    assert str(caught.value) == (
        "Ray sends the network to its workers by pickle, which failed: cannot pickle '_thread.lock' object; remove "
        "what cannot be pickled (open files, locks, connections) from the network, or use the executor 'serial'"
    )


def test_code_that_workers_cannot_import_is_named(ray_session, tmp_path, monkeypatch):
    path = tmp_path / "hidden.py"
    path.write_text("def work(shared, task):\n    return task\n")
    spec = importlib.util.spec_from_file_location("ndg_test_hidden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "ndg_test_hidden", module)
    with pytest.raises(
        WorkerError, match=r"must be able to import the network's code; it cannot: ModuleNotFoundError: No module"
    ):
        Ray(timeout=TIMEOUT).total(module.work, None, [1], "hidden")


def test_importing_executors_is_silent_and_without_ray(tmp_path):
    text = """
        import sys
        import ndg.executors
        print(sorted({"ray", "torch"} & set(sys.modules)))
    """
    assert script(text, folder=tmp_path).strip() == "[]"


def test_a_session_of_its_own_is_ended_and_a_network_of_the_script_reaches_the_workers(tmp_path):
    """A network defined in `__main__`, whose base class is in a module on a path added at run time."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "parts.py").write_text(
        "import torch\n\nclass Base(torch.nn.Module):\n    def forward(self, x):\n        return x + self.shift\n"
    )
    text = """
        import os, signal, sys
        import numpy as np, torch
        sys.path.append(os.path.abspath("elsewhere"))
        import parts
        from ndg import executors

        class Net(parts.Base):
            def __init__(self):
                super().__init__()
                self.shift = torch.nn.Parameter(torch.ones(2))

        def work(model, task):
            with torch.no_grad():
                return model(torch.full((2,), float(task))).sum().item()

        if __name__ == "__main__":
            import ray
            before = signal.getsignal(signal.SIGTERM)
            executor = executors.ray(cpus=1, timeout=120.0)
            print(executor.total(work, Net(), range(4), "sums"), ray.is_initialized())
            with executor.session():
                print(executor.total(work, Net(), range(4), "sums"), ray.is_initialized())
            print(ray.is_initialized(), signal.getsignal(signal.SIGTERM) == before)
            print("RAY_USAGE_STATS_ENABLED" in os.environ)
    """
    assert script(text, folder=tmp_path).splitlines() == ["20.0 False", "20.0 True", "False True", "False"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nothing_listens_is_told_at_once(tmp_path, address):
    text = f"""
        import operator
        from ndg import executors
        from ndg.errors import WorkerError

        try:
            executors.ray({address!r}).total(operator.add, 1, range(3), "sums")
        except WorkerError as error:
            print(error)
    """
    assert re.fullmatch(
        rf"Ray could not be reached at '{address}': .*refused; check `ray status`, or use the executor 'serial'",
        script(text, folder=tmp_path).strip(),
    )


def test_a_chosen_executor_comes_with_its_reason():
    assert choose("serial") == (Serial(), "serial: as requested")
    assert choose("threads", cpus=6, task_cpus=2) == (Threads(3, 2), "threads: as requested")
    chosen, reason = choose("ray", address="10.0.0.1:6379", timeout=9.0, cpus=3)
    assert (chosen, reason) == (Ray("10.0.0.1:6379", 9.0, 3), "ray: as requested")
    mine = Ray(cpus=5)
    assert choose(mine) == (mine, "ray: as given")
    assert choose("auto", address="here:1")[1] == "ray: an address was given, here:1"


def test_the_threads_of_a_given_executor_have_the_torch_threads_of_the_study():
    assert choose(Threads(3), task_cpus=2) == (Threads(3, 2), "threads: as given")


def test_auto_is_threads_where_two_tasks_fit_and_serial_elsewhere(monkeypatch):
    monkeypatch.setattr(executors, "_session_cpus", lambda: 0)
    assert choose("auto", cpus=4, task_cpus=2) == (Threads(2, 2), "threads: 2 at once on this machine")
    assert choose("auto", cpus=2, task_cpus=2) == (Serial(), "serial: 2 CPUs for tasks of 2 threads")
    assert choose("auto", cpus=1) == (Serial(), "serial: 1 CPU for tasks of 1 thread")


def test_auto_is_ray_where_its_session_is_larger_than_this_machine(monkeypatch):
    monkeypatch.setattr(executors, "_session_cpus", lambda: 8)
    assert choose("auto", cpus=8)[0] == Threads(8)
    chosen, reason = choose("auto", cpus=4)
    assert chosen == Ray(cpus=4)
    assert reason == "ray: the Ray session of this process has 8 CPUs, this machine 4"


@pytest.mark.parametrize("name", ["auto", "threads", Threads(3)])
def test_threads_are_not_for_a_network_on_another_device(name):
    chosen, reason = choose(name, model=torch.nn.Linear(2, 2, device="meta"), cpus=4)
    assert (chosen, reason) == (Serial(), "serial: the network is on meta, which one process uses best")


def test_an_unknown_executor_names_the_nearest():
    with pytest.raises(ConfigError, match="an executor is auto, serial, threads or ray; got 'Rai'; nearest: ray"):
        choose("Rai")


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_has_the_one_face(name):
    assert isinstance(EXECUTORS[name](), Executor)
    assert EXECUTORS[name]().name == name

"""A total that is killed goes on where it was, and its sum is that of one that was not."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.errors import ConfigError, OutputError
from ndg.executors import EXECUTORS, Executor, Journal, Ray, Serial
from ndg.executors.journal import opened
from tests.child import alive_process, begin, descendants, kill

TASKS = 9
DIGEST = "0123456789abcdef"


@dataclass(frozen=True)
class Words:
    """A sum that tells the order of its terms."""

    said: str
    hits: int

    def __add__(self, other: Words) -> Words:
        return Words(f"{self.said} {other.said}", self.hits + other.hits)

    def to_dict(self) -> dict[str, Any]:
        return {"said": self.said, "hits": self.hits}

    @classmethod
    def of(cls, read: dict[str, Any]) -> Words:
        return cls(**read)


def say(shared: str, task: int) -> Words:
    return Words(f"{shared}{task}é\n", task**40)


WHOLE = Serial().total(say, "t", range(TASKS), "words")


def journal(path: Path, digest: str = DIGEST, first: int = 0) -> Journal:
    return Journal(path, digest, Words.of, first)


def entries(path: Path) -> dict[int, Words]:
    with opened(journal(path)) as book:
        return {task: book.take(task) for task in range(100) if task in book}


def total(path: Path, executor: Executor | None = None, tasks: int = TASKS, **how: Any) -> tuple[Words, list[int]]:
    """The sum, and the tasks that were done for it in this process."""
    done = []

    def work(shared: str, task: int) -> Words:
        done.append(task)
        return say(shared, task)

    given = work if executor is None else say
    how = {"journal": journal(path), **how}
    return (executor or Serial()).total(given, "t", iter(range(tasks)), "words", count=tasks, **how), done


@pytest.fixture(params=EXECUTORS)
def executor(request) -> Executor:
    if request.param == "ray":
        request.getfixturevalue("ray_session")
        return Ray(timeout=120.0)
    return Serial()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> bytes:
    """The file of a total that was finished."""
    path = tmp_path_factory.mktemp("finished") / "words.jsonl"
    assert total(path)[0] == WHOLE
    return path.read_bytes()


def test_a_journal_changes_no_sum_and_holds_each_result_once(executor, tmp_path):
    path = tmp_path / "a" / "words.jsonl"
    assert total(path, executor) == (WHOLE, [])
    lines = path.read_bytes().splitlines()
    assert len(lines) == TASKS + 1
    assert entries(path) == {task: say("t", task) for task in range(TASKS)}


def test_a_finished_total_is_read_and_not_done_again(executor, tmp_path, finished):
    path = tmp_path / "words.jsonl"
    path.write_bytes(finished)
    assert executor.total(never, "t", range(TASKS), "words", journal=journal(path)) == WHOLE
    assert path.read_bytes() == finished


def never(shared: str, task: int) -> Words:
    raise AssertionError(f"task {task} was finished before")


@given(order=st.permutations(range(TASKS)), kept=st.integers(0, TASKS))
def test_after_any_tasks_in_any_order_the_others_are_done_and_the_sum_is_the_same(tmp_path_factory, order, kept):
    path = tmp_path_factory.mktemp("any") / "words.jsonl"
    with opened(journal(path)) as book:
        for task in order[:kept]:
            book.keep(task, say("t", task))
    assert total(path) == (WHOLE, sorted(order[kept:]))
    assert len(entries(path)) == TASKS


def test_ray_does_the_others_only(ray_session, tmp_path):
    path = tmp_path / "words.jsonl"
    with opened(journal(path)) as book:
        for task in (7, 0, 3):
            book.keep(task, say("t", task))
    assert total(path, Ray(timeout=120.0))[0] == WHOLE
    written = [int(number) for number in re.findall(r'{"task":(\d+)', path.read_text())]
    assert written[:3] == [7, 0, 3]
    assert sorted(written) == list(range(TASKS))


def test_a_file_that_ends_at_any_byte_is_gone_on_with(tmp_path, finished):
    path = tmp_path / "words.jsonl"
    edges = {at + by for at, byte in enumerate(finished) if byte == 10 for by in (-1, 0, 1, 2)}
    for end in sorted(edges | set(range(0, len(finished), 23))):
        path.write_bytes(finished[:end])
        sum_, done = total(path)
        whole = max(finished[:end].count(b"\n") - 1, 0)
        assert (sum_, done) == (WHOLE, list(range(whole, TASKS)))
        assert path.read_bytes() == finished


@pytest.mark.parametrize("where", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("spoil", [lambda byte: bytes([byte ^ 1]), lambda byte: b"\0" * 40, lambda byte: b""])
def test_what_follows_a_damaged_line_is_done_again(tmp_path, finished, where, spoil):
    path = tmp_path / "words.jsonl"
    at = int(len(finished) * where)
    path.write_bytes(finished[:at] + spoil(finished[at]) + finished[at + 1 :])
    before = finished[:at].count(b"\n") - 1
    assert total(path) == (WHOLE, list(range(before, TASKS)))
    assert path.read_bytes() == finished


def test_tasks_before_the_first_belong_to_the_start(tmp_path, finished):
    path = tmp_path / "words.jsonl"
    begun = say("t", 0)
    rest = Serial().total(say, "t", range(1, TASKS), "words", start=begun, journal=journal(path, first=1))
    assert rest == WHOLE
    assert sorted(entries(path)) == list(range(1, TASKS))
    assert total(path) == (WHOLE, [0])


def test_a_journal_of_another_study_is_refused_and_left_as_it_is(executor, tmp_path, finished):
    path = tmp_path / "words.jsonl"
    path.write_bytes(finished)
    with pytest.raises(ConfigError) as caught:
        executor.total(say, "t", range(TASKS), "words", journal=journal(path, "f" * 16))
    assert str(caught.value) == (
        f"a journal goes on with the study and data that it was begun with, digest {DIGEST}; got those of digest "
        f"{'f' * 16} for {path}; give the same settings, network and data, or remove it to begin anew"
    )
    assert path.read_bytes() == finished


def test_a_line_of_another_study_among_the_others_is_refused(tmp_path, finished):
    path = tmp_path / "words.jsonl"
    path.write_bytes(finished + journal(path, "f" * 16).line(3, say("t", 3).to_dict()))
    with pytest.raises(ConfigError, match=r"that it was begun with, digest f{16}; got those of digest 0123"):
        total(path)


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b'{"a": 1}\n{"b": 2}\n', b'{"journal":1\n'])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"begins with a line of its format, 1; .*notes\.txt does not; choose"):
        total(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("tasks", [4, 8])
def test_a_journal_of_more_tasks_than_there_are_is_refused(executor, tmp_path, finished, tasks):
    path = tmp_path / "words.jsonl"
    path.write_bytes(finished)
    with pytest.raises(ConfigError, match=rf"the one total that it is read for, which has {tasks}; .* has task 8; "):
        total(path, executor, tasks=tasks)


def test_two_cannot_write_to_one_journal(tmp_path):
    path = tmp_path / "words.jsonl"
    with opened(journal(path)), pytest.raises(OutputError, match="is being written by another process; wait for it"):
        total(path)


def test_a_journal_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"words\.jsonl cannot be written: .*; free space, or choose a folder"):
        total(tmp_path / "file" / "words.jsonl")


def test_a_full_disk_says_so_and_the_total_goes_on_later(tmp_path, monkeypatch):
    path = tmp_path / "words.jsonl"
    total(path, tasks=3)
    real = sys.modules["os"].write
    with monkeypatch.context() as full:
        full.setattr("ndg.executors.journal.os.write", lambda to, line: real(to, line[:-9]))
        with pytest.raises(OutputError, match=r"cannot be written: .*bytes were written; free space"):
            total(path)
    assert total(path) == (WHOLE, list(range(3, TASKS)))


def test_a_result_that_is_read_otherwise_than_it_was_written_is_our_mistake(tmp_path):
    broken = Journal(tmp_path / "words.jsonl", DIGEST, lambda read: Words(read["said"], 0))
    with pytest.raises(AssertionError, match="is not what was written"):
        Serial().total(say, "t", range(1, 3), "words", journal=broken)


def test_an_error_of_one_task_keeps_the_results_of_the_others(tmp_path):
    path = tmp_path / "words.jsonl"

    def until(shared: str, task: int) -> Words:
        if task == 5:
            raise KeyboardInterrupt
        return say(shared, task)

    with pytest.raises(KeyboardInterrupt):
        Serial().total(until, "t", range(TASKS), "words", journal=journal(path))
    assert total(path) == (WHOLE, list(range(5, TASKS)))


CHILD = """
import os, signal, sys, time
from dataclasses import asdict, dataclass
from pathlib import Path

from ndg import executors

path, name, pause, marks = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])


@dataclass(frozen=True)
class Words:
    said: str
    hits: int

    def __add__(self, other):
        return Words(f"{self.said} {other.said}", self.hits + other.hits)

    def to_dict(self):
        return asdict(self)


def say(shared, task):
    (marks / str(os.getpid())).touch()
    time.sleep(pause * (1 + 2 * (task % 3 == 0)))
    return Words(f"{shared}{task}é\\n", task**40)


def leave(number, frame):
    raise SystemExit(128 + number)


signal.signal(signal.SIGTERM, leave)
executor = executors.ray(cpus=2, timeout=120.0) if name == "ray" else executors.serial()
journal = executors.Journal(path, "0123456789abcdef", lambda read: Words(**read))
total = executor.total(say, "t", range(int(sys.argv[5])), "words", journal=journal)
print(total.hits)
"""


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(true: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)


def ended(child: subprocess.Popen[str]) -> str:
    _, errors = child.communicate(timeout=60)
    return errors


def test_a_process_that_is_killed_again_and_again_ends_with_the_same_sum(tmp_path):
    tasks, path, chance = 120, tmp_path / "words.jsonl", random.Random(5)
    killed = 0
    while killed < 5 and lines(path) < tasks - 10:
        child = begin(CHILD, path, "serial", 0.006, tmp_path, tasks, folder=tmp_path)
        more = lines(path) + chance.randint(1, 12)
        until(lambda child=child, more=more: lines(path) >= more or child.poll() is not None)
        time.sleep(chance.random() * 0.01)
        child.send_signal(signal.SIGKILL)
        ended(child)
        killed += child.returncode == -signal.SIGKILL
    assert killed >= 2
    expected = Serial().total(say, "t", range(tasks), "words")
    before = len(entries(path))
    found, done = total(path, tasks=tasks)
    assert found == expected
    assert len(done) == tasks - before


def alive(marks: Path) -> Iterator[int]:
    """Processes that did tasks and have not ended."""
    return (int(mark.name) for mark in marks.iterdir() if alive_process(int(mark.name)))


def test_workers_end_with_a_process_that_is_told_to_end_and_the_total_goes_on(ray_session, request, tmp_path):
    tasks = 400
    expected = Serial().total(say, "t", range(tasks), "words")
    children = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        folder = tmp_path / number.name
        (folder / "marks").mkdir(parents=True)
        given = (folder / "words.jsonl", "ray", 0.1, folder / "marks", tasks)
        children[number] = begin(CHILD, *given, folder=folder)
        request.addfinalizer(partial(kill, children[number]))
    waiting = dict(children)
    while waiting:
        time.sleep(0.02)
        for number, child in list(waiting.items()):
            assert child.poll() is None, child.communicate()
            if lines(tmp_path / number.name / "words.jsonl") <= 5:
                continue
            assert list(alive(tmp_path / number.name / "marks"))
            if number == signal.SIGINT:  # Ctrl-C in a terminal reaches all
                os.killpg(child.pid, number)
            else:
                child.send_signal(number)
            del waiting[number]
    codes = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}
    for number, child in children.items():
        path, marks = tmp_path / number.name / "words.jsonl", tmp_path / number.name / "marks"
        errors = ended(child)
        assert child.returncode == codes[number], errors
        until(lambda marks=marks: not list(alive(marks)))
        assert 5 <= len(entries(path)) < tasks
        assert total(path, Ray(timeout=120.0), tasks=tasks)[0] == expected
        assert total(path, tasks=tasks) == (expected, [])


AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes that try for a minute, which Ray fixes, to tell a GCS that their raylet has ended; `kill` ends them."""


@pytest.mark.ray
@pytest.mark.parametrize(("part", "tasks"), [("raylet", 400), ("gcs_server", 60)])
def test_a_ray_that_dies_ends_in_an_error_and_the_total_goes_on(part, tasks, request, tmp_path):
    path, marks = tmp_path / "words.jsonl", tmp_path / "marks"
    marks.mkdir()
    child = begin(CHILD, path, "ray", 0.1, marks, tasks, folder=tmp_path)
    request.addfinalizer(partial(kill, child))
    until(lambda: lines(path) > 5 or child.poll() is not None)
    begun = dict(descendants(child.pid))
    [found] = [pid for pid, command in begun.items() if command.split("\0")[0].endswith(f"/{part}")]
    os.kill(found, signal.SIGKILL)
    errors = ended(child)
    if child.returncode or part == "raylet":  # leased workers go on without a GCS
        assert child.returncode == 1, errors
        assert f"WorkerError: the Ray session of this process has lost its {part}, so no task can go on" in errors
        assert "go on with --resume" in errors
        assert 5 <= len(entries(path)) < tasks
    ends = [pid for pid, command in begun.items() if part == "raylet" or not command.startswith(AGENTS)]
    until(lambda: not any(alive_process(pid) for pid in ends))
    assert total(path, tasks=tasks)[0] == Serial().total(say, "t", range(tasks), "words")


def test_results_are_added_in_the_order_of_their_tasks():
    assert Serial().total(lambda shared, task: f"{shared}{task}", "t", range(3), "words", start="s") == "st0t1t2"

"""The laws of an executor: results add in the order of the tasks."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndg.errors import ConfigError, DataError
from ndg.executors import Executor, Journal
from ndg.testing.checks import equal, named, refused, rule, run

TASKS = 13


@dataclass(frozen=True)
class Words:
    """A text; `+` is not commutative, so the order of a sum is seen."""

    text: str

    def __add__(self, other: Words) -> Words:
        return Words(self.text + other.text)

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Words:
        return cls(document["text"])


def word(shared: str, task: int) -> Words:
    """One word of a task."""
    return Words(f"{shared}{task} ")


def failing(shared: int, task: int) -> Words:
    """A task fails that has this number."""
    if task == shared:
        raise DataError(f"task {task} cannot be done")
    return Words(f"{task} ")


def check_executor(subject: Executor) -> None:
    """Raise ConformanceError for an executor that breaks a law.

    Its workers must be able to import this package.
    """
    with subject.session():
        run(EXECUTOR_CHECKS, subject)


def expected(tasks: int = TASKS, start: str = "") -> Words:
    return Words(start + "".join(word("n", task).text for task in range(tasks)))


def in_order(subject: Executor) -> None:
    """Results are added after `start`, in the order of the tasks."""
    rule(isinstance(subject.name, str), "an executor has a name")
    for count in (TASKS, None):
        total = subject.total(word, "n", iter(range(TASKS)), "words", count=count)
        equal(total, expected(), "results are added in the order of their tasks")
    total = subject.total(word, "n", range(TASKS), "words", count=TASKS, start=Words("first "))
    equal(total, expected(start="first "), "`start` comes before the first result")


def sessions(subject: Executor) -> None:
    """A session inside another one and a total after it work as well."""
    with subject.session(), subject.session():
        equal(subject.total(word, "n", range(3), "words"), expected(3), "sessions may lie in each other")
    equal(subject.total(word, "n", range(3), "words"), expected(3), "a total may follow a session")


def nothing(subject: Executor) -> None:
    """Without a task the total is its start; without both there is none."""
    equal(subject.total(word, "n", [], "words", count=0, start=Words("a")), Words("a"), "no task adds nothing")
    with refused(DataError, "at least one task"):
        subject.total(word, "n", [], "words", count=0)


def errors(subject: Executor) -> None:
    """The total raises the error of a task; the executor works afterwards."""
    with refused(DataError, "task 5 cannot be done"):
        subject.total(failing, 5, range(TASKS), "words", count=TASKS)
    equal(subject.total(word, "n", range(3), "words"), expected(3), "a total works after one that failed")


def journal(subject: Executor) -> None:
    """A journal keeps each result once, and replaces finished work."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Journal(Path(folder) / "words.jsonl", "a study", Words.from_dict)
        equal(subject.total(word, "n", range(TASKS), "words", journal=kept), expected(), "a journal changes no sum")
        text = kept.path.read_text() if kept.path.is_file() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        tasks = sorted(line["task"] for line in lines if "task" in line)
        equal(tasks, list(range(TASKS)), "a journal holds the result of each task once")
        again = subject.total(failing, 0, range(TASKS), "words", journal=kept)
        equal(again, expected(), "finished tasks are read from the journal and not done again")
        with refused(ConfigError, "digest"):
            other = Journal(kept.path, "another study", Words.from_dict)
            subject.total(word, "n", range(TASKS), "words", journal=other)


def resumed(subject: Executor) -> None:
    """After a failure the total continues from the journal."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Journal(Path(folder) / "words.jsonl", "a study", Words.from_dict)
        with refused(DataError, f"task {TASKS - 1} cannot be done"):
            subject.total(failing, TASKS - 1, range(TASKS), "words", journal=kept)
        whole = Words("".join(f"{task} " for task in range(TASKS)))
        equal(subject.total(failing, -1, range(TASKS), "words", journal=kept), whole, "a total goes on by its journal")


EXECUTOR_CHECKS = named(in_order, sessions, nothing, errors, journal, resumed)

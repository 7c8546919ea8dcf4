"""Where nobody watches a bar, progress is told at times: how many of how many, and how long the rest takes."""

from __future__ import annotations

import io
import logging

import pytest

from ndg import progress
from ndg.executors import Serial
from ndg.progress import bar, left


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """What the time is: to be moved on by who reads it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def slow(count: int, clock: list[float], seconds: float):
    for item in range(count):
        clock[0] += seconds
        yield item


def test_progress_is_told_at_times_with_the_time_left(clock, caplog):
    with caplog.at_level(logging.INFO, logger="ndg"):
        assert list(bar(slow(10, clock, 12.0), "trial Q", total=14, done=4)) == list(range(10))
    assert caplog.messages == [
        "trial Q: batch 7 of 14, 84 s left",
        "trial Q: batch 10 of 14, 48 s left",
        "trial Q: batch 13 of 14, 12 s left",
    ]


def test_of_an_unknown_number_only_the_count_is_told(clock, caplog):
    with caplog.at_level(logging.INFO, logger="ndg"):
        list(bar(slow(3, clock, 40.0), "count pairs", unit="tile"))
    assert caplog.messages == [f"count pairs: tile {number}" for number in (1, 2, 3)]


def test_a_quick_total_says_nothing(caplog):
    with caplog.at_level(logging.INFO, logger="ndg"):
        Serial().total(lambda shared, task: task, None, range(5), "sums", count=5)
    assert not caplog.messages


def test_a_bar_begins_at_what_was_finished_before(monkeypatch, capsys):
    stream = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    monkeypatch.setattr(progress, "visible", lambda: True)
    shown = bar(iter("ab"), "trial Q", total=10, done=6)
    assert next(shown) == "a"
    assert "trial Q:  60%" in stream.getvalue()
    assert "6/10" in stream.getvalue()
    assert list(shown) == ["b"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s left"), (119, "119 s left"), (120, "2.0 min left"), (9000, "2.5 h left")]
)
def test_time_left_is_in_its_largest_sensible_unit(seconds, words):
    assert left(seconds) == words

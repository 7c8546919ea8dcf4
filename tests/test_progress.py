"""Where nobody watches a bar, progress is told at times: how many of how many, and how long the rest takes."""

from __future__ import annotations

import io
import logging

import pytest

from ndg import progress
from ndg.executors import Serial
from ndg.progress import Total, bar, left, whole


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


def test_total_progress_has_the_share_and_the_time_left_of_all_stages(clock):
    total = Total({"extract": 10.0, "trials": 30.0, "report": 10.0}, runs=2)
    assert str(total) == "0% in total, 100 s left"
    total.enter("extract")
    clock[0] += 5.0
    assert str(total) == "5% in total, 95 s left"
    clock[0] += 15.0  # twice as long as estimated: so will be the others
    total.enter("trials")
    assert str(total) == "10% in total, 3.0 min left"
    clock[0] += 30.0
    total.enter("unknown")
    assert str(total) == "25% in total, 2.5 min left"
    total.next_run()
    assert str(total) == "44% in total, 62 s left"  # of 90 seconds: nothing was reported


def test_a_stage_that_takes_longer_than_estimated_is_not_counted_twice(clock):
    total = Total({"extract": 10.0, "trials": 30.0})
    total.enter("extract")
    clock[0] += 500.0
    assert str(total) == "25% in total, 30 s left"


def test_without_estimates_the_time_left_is_told_after_the_first_stage(clock):
    total = Total({"gndi": 1.0, "ablation": 1.0, "lrp": 1.0, "snip": 1.0}, estimated=False)
    total.enter("gndi")
    clock[0] += 60.0
    assert str(total) == "0% in total"
    total.enter("ablation")
    assert str(total) == "25% in total, 3.0 min left"


def test_bars_and_messages_tell_the_total_progress(clock, caplog, monkeypatch):
    with caplog.at_level(logging.INFO, logger="ndg"), whole({"extract": 36.0, "trials": 324.0}):
        with whole({"gndi": 1.0, "snip": 1.0}):  # part of the larger total
            progress.enter("extract")
            list(bar(slow(1, clock, 36.0), "extract", total=1))
        progress.enter("trials")
        assert progress.in_total() == "10% in total, 5.4 min left"
        stream = io.StringIO()
        monkeypatch.setattr(progress.sys, "stderr", stream)
        monkeypatch.setattr(progress, "visible", lambda: True)
        list(bar(iter("ab"), "trial Q", total=2))
    assert caplog.messages == ["extract: batch 1 of 1, 0 s left; 10% in total, 5.4 min left"]
    assert not progress.in_total()

"""Counts add, and come back from their plain form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ndg.abstraction.counts import Counts
from ndg.errors import ShapeError


def test_counts_add_by_name():
    total = Counts({"a": np.array([1, 2])}) + Counts({"a": np.array([3, 4]), "b": np.array(5)})
    assert total == Counts({"a": np.array([4, 6]), "b": np.array(5)})
    assert total != Counts({"a": np.array([4, 6])})
    assert "b" in total
    assert "c" not in total
    assert total["b"] == 5


def test_counts_come_back_from_json():
    counts = Counts({"a": np.arange(6).reshape(2, 3), "n": np.array(7)})
    back = Counts.from_dict(json.loads(json.dumps(counts.to_dict())))
    assert back == counts
    assert hash(back) == hash(counts)


def test_packed_counts_come_back_from_json_with_every_shape():
    arrays = {"cube": np.arange(-3, 21).reshape(2, 3, 4), "one": np.array(2**62), "none": np.zeros((0, 5)), "": [7]}
    counts = Counts(arrays)
    back = Counts.unpacked(json.loads(json.dumps(counts.packed())))
    assert back == counts
    assert {name: array.shape for name, array in back.by_name.items()} == {
        "cube": (2, 3, 4),
        "one": (),
        "none": (0, 5),
        "": (1,),
    }


@pytest.mark.parametrize("text", ["no base64", "AAAA", "é"])
def test_other_bytes_are_no_packed_counts(text):
    with pytest.raises(ValueError, match="packed counts are compressed 64-bit integers as base64"):
        Counts.unpacked({"a": [[1], text]})


def test_counts_of_other_shapes_do_not_add():
    with pytest.raises(ShapeError, match=r"'a' has \(2,\) and \(3,\)"):
        Counts({"a": np.zeros(2)}) + Counts({"a": np.zeros(3)})

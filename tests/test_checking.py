"""Nested functions are checked by their own signature, although it is read once."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import Float, Int, TypeCheckError, jaxtyped

from ndg import escape
from ndg.bits import packing
from ndg.graph import verdicts
from tests import checking

check = jaxtyped(typechecker=checking.checked)


def made(number: int):
    """A function of that number; made anew each time."""

    @check
    def twice(values: Float[np.ndarray, " one"], *, more: int = number) -> Float[np.ndarray, " one"]:
        return values[:more] * number

    return twice


def of_kind(whole: bool):
    """Two functions of one name."""
    if whole:

        @check
        def same(values: Int[np.ndarray, " one"]) -> int:
            return len(values)
    else:

        @check
        def same(values: Float[np.ndarray, " one"]) -> int:
            return len(values)

    return same


def test_each_that_is_made_runs_itself_and_is_checked():
    values = np.ones(4)
    for number in (4, 9, 5):
        assert made(number)(values).tolist() == [number] * 4
        assert made(number)(values, more=4).tolist() == [number] * 4
        with pytest.raises(TypeCheckError, match="checking the parameters"):
            made(number)(np.ones((2, 2)))
        with pytest.raises(TypeCheckError, match="checking the return value"):
            made(number)(values, more=3)


def test_functions_of_one_name_have_signatures_of_their_own():
    for _ in range(2):
        assert of_kind(True)(np.ones(3, np.int64)) == of_kind(False)(np.ones(3)) == 3
        with pytest.raises(TypeCheckError):
            of_kind(True)(np.ones(3))
        with pytest.raises(TypeCheckError):
            of_kind(False)(np.ones(3, np.int64))


def test_a_signature_is_read_once():
    made(1)
    before = len(checking._known)
    made(2)
    made(3)
    assert len(checking._known) == before


def test_functions_that_name_a_shape_are_checked_and_others_are_left_alone():
    with pytest.raises(TypeCheckError, match="checking the parameters"):
        packing.cuts(np.ones((2, 2)))  # two axes instead of one
    with pytest.raises(TypeCheckError, match="checking the parameters"):
        verdicts.mcnemar(np.ones((2, 2), np.int64), np.ones(2, np.int64))  # the shape has a name of its own
    assert hasattr(packing.cuts, "__wrapped__")
    assert not hasattr(escape.printable, "__wrapped__")

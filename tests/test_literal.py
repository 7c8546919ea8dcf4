"""Laws of literals."""

from hypothesis import given
from hypothesis import strategies as st

from ndg.literal import Literal

literals = st.builds(Literal, st.integers(0, 10**6), st.booleans())


@given(literals)
def test_negating_twice_gives_the_literal_back(literal):
    assert ~~literal == literal != ~literal


@given(literals)
def test_the_code_of_a_negation_differs_in_the_lowest_bit(literal):
    assert (~literal).code == literal.code ^ 1
    assert Literal.of(literal.code) == literal

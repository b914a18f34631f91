"""The order of the polynomial system."""

import pytest

from moestat.errors import InputError
from moestat.theory import rbar
from moestat.theory.rbar import is_conjecture


def test_known_values_and_the_conjecture():
    assert [rbar(m) for m in range(1, 7)] == [1, 4, 6, 8, 10, 12]
    assert [is_conjecture(m) for m in range(1, 6)] == [False, False, False, True, True]


@pytest.mark.parametrize("m", [0, -1, 2.0, "2", True, None])
def test_what_is_no_number_of_atoms_is_refused(m):
    with pytest.raises(InputError, match="m must be a whole number of at least 1"):
        rbar(m)

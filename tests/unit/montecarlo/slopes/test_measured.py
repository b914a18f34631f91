"""What goes in: values by size and replication, with those that are missing counted."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.montecarlo.slopes import Measured


@pytest.fixture
def measured():
    return Measured.of({400: [0.1, np.nan, 0.3], 100: [1.0, 2.0], 1600: [np.inf, 0.0, 0.1, 0.2]})


def test_sizes_come_in_order(measured):
    assert measured.sizes.tolist() == [100, 400, 1600]
    assert [len(one) for one in measured.values] == [2, 3, 4]


def test_missing_values_are_counted_and_only_they(measured):
    assert measured.missing.tolist() == [0, 1, 0]


def test_a_table_is_the_same_study(measured):
    columns = [
        (n, value, which)
        for n, values, at in zip(measured.sizes, measured.values, measured.replications, strict=True)
        for value, which in zip(values, at, strict=True)
    ]
    same = Measured.from_columns(*zip(*columns[::-1], strict=True))
    for one, other, at in zip(same.values, measured.values, same.replications, strict=True):
        np.testing.assert_array_equal(one[np.argsort(at)], other)


def test_a_window_holds_its_ends(measured):
    assert measured.window(100, 400).sizes.tolist() == [100, 400]
    with pytest.raises(InputError, match=r"window must be two increasing sample sizes; got \(400, 100\)"):
        measured.window(400, 100)


def test_present_keeps_what_has_a_value(measured):
    present = measured.present(3)
    assert present.sizes.tolist() == [1600]
    assert measured.present(2).replications[1].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([100, 100], ([1.0], [1.0])), "sizes must be finite, larger than 1 and increasing, each once"),
        (([1, 100], ([1.0], [1.0])), "sizes must be finite, larger than 1 and increasing"),
        (([100, np.inf], ([1.0], [1.0])), "sizes must be finite"),
        (([["a"]], ([1.0],)), "sizes must be a row of numbers"),
        (([100, 200], ([1.0],)), "values must hold one array for each of the 2 sizes; got 1"),
        (([100], ([[1.0]],)), r"values of n=100 must be a row of numbers; got shape \(1, 1\)"),
        (([100], (["x"],)), "values of n=100 must be a row of numbers"),
        (([100], ([1.0, -0.5],)), "values of n=100 must not be negative, as losses are; got -0.5"),
        (([100], ([1.0, 2.0],), ([0],)), "replications of n=100 must be 2 integers"),
        (([100], ([1.0, 2.0],), ([0.5, 1.5],)), "replications of n=100 must be 2 integers"),
        (([100], ([1.0, 2.0],), ([3, 3],)), "replications of n=100 must differ"),
    ],
)
def test_bad_input(arguments, message):
    sizes, values, *replications = arguments
    given = [tuple(np.asarray(one) for one in group) for group in (values, *replications)]
    with pytest.raises(InputError, match=message):
        Measured(np.asarray(sizes), *given)


def test_columns_of_different_lengths():
    with pytest.raises(InputError, match="must be columns of one length"):
        Measured.from_columns([100, 200], [1.0], [0])

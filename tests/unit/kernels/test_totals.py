"""Compensated addition, against sums rounded once."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moestat.kernels import totals
from tests.unit.draws import few, normal
from tests.unit.kernels.twins import EPS


def added(parts):
    """Total, and what its roundings dropped, of the rows of parts (T, n)."""
    rows = np.zeros((3, parts.shape[1]))
    for part in parts:
        rows[0] += part
        totals.absorb(rows)
        assert not rows[0].any()
    return rows[1] + rows[2]


def exact(parts):
    return np.array([fsum(column) for column in parts.T])


def assert_rounded_once(parts):
    """The sum of the dropped parts is itself rounded: a second-order error of the size of all terms."""
    T = len(parts)
    slack = EPS * np.abs(exact(parts)) + T**2 * EPS**2 * np.abs(parts).sum(axis=0)
    assert (np.abs(added(parts) - exact(parts)) <= slack).all()


CANCELLING = {
    "large, small, minus large": [[1e16], [1.0], [-1e16]],
    "small before large": [[1.0], [1e100], [1.0], [-1e100]],  # where Kahan's own form returns 0
    "many small beside a large": [[1e16], *[[1.0]] * 1001, [-1e16]],
    "signs in turn": [[(-1.0) ** i / (i + 1)] for i in range(5000)],
}


@pytest.mark.parametrize("parts", CANCELLING.values(), ids=CANCELLING)
def test_nothing_is_lost_to_cancellation(parts):
    assert_rounded_once(np.array(parts))


def test_plain_sums_would_lose_it():
    assert np.sum(np.array(CANCELLING["small before large"])) != 2.0
    assert added(np.array(CANCELLING["small before large"])) == 2.0


@pytest.mark.parametrize("n", [1, 3, 8, 61])
def test_every_entry_is_a_sum_of_its_own(n):
    parts = normal(300, n, seed=1) * 10.0 ** np.random.default_rng(2).integers(-12, 12, (300, n))
    assert_rounded_once(np.vstack([parts, -parts[::2]]))


@few
@given(arrays(np.float64, (7, 2), elements=st.floats(-1e200, 1e200, allow_subnormal=False)))
def test_any_numbers(parts):
    assert_rounded_once(parts)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(bad):
    assert not np.isfinite(added(np.array([[1.0], [bad], [2.0]])))

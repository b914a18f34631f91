"""Equal rows merged: which are equal, their order, their weights, and what a fit makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import moestat as ms
from moestat.data import Data
from moestat.distinct import DISTINCT_ROWS, distinct_rows
from tests.traps.fits import quiet
from tests.unit.draws import few, normal

small = st.integers(-2, 2).map(float)


@few
@given(values=arrays(np.float64, (40, 2), elements=small), seed=st.integers(0, 99))
def test_rows_are_those_of_unique_with_their_counts(values, seed):
    """In the order of their values, whatever order they came in."""
    rows, counts = np.unique(values, axis=0, return_counts=True)
    order = np.random.default_rng(seed).permutation(40)
    found = distinct_rows((values[order][:, :1], values[order][:, 1:]), np.ones(40))
    np.testing.assert_array_equal(values[order][found.row], rows)
    np.testing.assert_array_equal(found.weight, counts)


def test_weights_are_added_in_an_order_of_their_own():
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1."""
    weight = np.array([0.1, 0.2, 0.3])
    totals = {
        float(distinct_rows((np.zeros((3, 1)),), weight[list(order)]).weight[0]) for order in ([0, 1, 2], [2, 1, 0])
    }
    assert len(totals) == 1


def test_minus_zero_is_zero_and_the_largest_numbers_are_told_apart():
    column = np.array([[0.0], [-0.0], [1e308], [-1e308], [5e-324]])
    np.testing.assert_array_equal(distinct_rows((column,), np.ones(5)).weight, [1, 2, 1, 1])


@pytest.mark.parametrize("repeated", [1, 5])
def test_more_than_the_limit_stay_as_they_are(repeated):
    rows = np.repeat(np.arange(20.0), repeated)[:, None]
    assert distinct_rows((rows,), np.ones(rows.size), limit=19) is None
    assert distinct_rows((rows,), np.ones(rows.size), limit=20).row.size == 20


def test_repetitions_that_begin_late_are_found_too_many():
    """The first rows look as if all were repeated."""
    rows = np.r_[np.zeros(60), np.arange(60.0)][:, None]
    assert distinct_rows((rows,), np.ones(120), limit=20) is None


# ------------------------------------------------------------------------------------ data
def test_merged_data_are_blocks_of_the_same_rows():
    X, y = np.array([[1.0], [2.0], [1.0]]), np.array([5.0, 6.0, 5.0])
    data = Data(X, y, offset=[1.0, 2.0, 1.0])
    (block,) = data.merged().blocks()
    np.testing.assert_array_equal(block.weight[:2], [2.0, 1.0])
    np.testing.assert_array_equal(data.coordinates.X.restore(block.X[1:, :2].T), [[1.0], [2.0]])
    assert data.merged().total_weight == data.total_weight == 3
    assert data.merged().n_rows == 2
    assert data.merged().merged().n_rows == 2


def test_merged_data_follow_the_coordinates():
    model = ms.MixtureOfExperts()
    data = model.data(np.round(normal(50, 2), 1), np.round(normal(50, seed=1), 1), np.round(normal(50, 1, seed=2), 1))
    assert data.merged().coordinates.same_as(data.coordinates)


def test_rows_that_differ_in_the_offset_or_the_gates_covariates_are_distinct():
    once = {"X": np.ones((3, 1)), "y": np.ones(3)}
    assert Data(**once).merged().n_rows == 1
    assert Data(**once, offset=[0.0, 1.0, 2.0]).merged().n_rows == 3
    assert Data(**once, Z=[[0.0], [1.0], [1.0]]).merged().n_rows == 2


def test_many_distinct_rows_are_fitted_as_they_are():
    data = Data(np.arange(DISTINCT_ROWS + 1.0), np.arange(DISTINCT_ROWS + 1.0))
    assert data.merged() is data


# ------------------------------------------------------------------------------------ fits
def rows(expert, seed=0, n=80):
    """Simple numbers, whose moments fall on borders of rounding, and repeated rows."""
    rng = np.random.default_rng(seed)
    X, Z = rng.integers(0, 5, (n, 2)).astype(float), rng.integers(-2, 3, (n, 1)).astype(float)
    y = rng.integers(0, 3, n) if expert == "multinomial" else np.round(X @ [1.0, -2.0] * np.sign(Z[:, 0] + 0.5), 0)
    return X, y + rng.integers(0, 3, n) * (expert == "gaussian"), Z


each_expert = pytest.mark.parametrize("expert", ["gaussian", "multinomial"])


@each_expert
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_changes_no_bit(expert, seed):
    model, (X, y, Z) = ms.MixtureOfExperts(expert=expert), rows(expert, seed)
    weight, order = np.resize([1.0, 0.1, 0.7], y.size), np.random.default_rng(seed).permutation(y.size)
    base, fit = (quiet(model, X[o], y[o], Z[o], weight[o], n_starts=3) for o in (slice(None), order))
    np.testing.assert_array_equal(fit.theta, base.theta)
    assert fit.llf == base.llf
    np.testing.assert_array_equal(fit.responsibilities(), base.responsibilities()[order])


@each_expert
@pytest.mark.parametrize("seed", range(3))
def test_repetitions_and_weights_change_no_bit(expert, seed):
    """A row of weight zero is no row."""
    model, (X, y, Z) = ms.MixtureOfExperts(expert=expert), rows(expert, seed)
    times = np.random.default_rng(seed).integers(0, 4, y.size)
    weighted = quiet(model, X, y, Z, times, n_starts=3)
    repeated = quiet(model, *(np.repeat(a, times, axis=0) for a in (X, y, Z)), n_starts=3)
    np.testing.assert_array_equal(repeated.theta, weighted.theta)
    assert (repeated.llf, repeated.nobs, repeated.aic) == (weighted.llf, weighted.nobs, weighted.aic)
    assert str(repeated.certificate) == str(weighted.certificate)


def test_results_keep_the_rows_of_the_caller():
    """Their number and their order, and passes over them agree with the certificate."""
    X, y, Z = (np.repeat(a, 2, axis=0)[::-1] for a in rows("gaussian"))
    fit = quiet(ms.MixtureOfExperts(), X, y, Z, n_starts=3)
    assert fit.responsibilities().shape == (160, 2)
    np.testing.assert_allclose(fit.responsibilities(), fit.responsibilities(X, y, Z), atol=1e-12)
    np.testing.assert_allclose(fit.predict(), fit.predict(X, Z), rtol=1e-12)
    assert fit.log_density(X, y, Z).sum() == pytest.approx(fit.llf, rel=1e-12)

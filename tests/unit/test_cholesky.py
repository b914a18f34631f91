"""Covariance matrices as distinct entries and as log-Cholesky numbers."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.cholesky import COVARIANCE, entries, factors, matrices, n_entries
from moestat.errors import InputError
from moestat.params import covariance_names, layout_of, parameters, product_names, slot_of

SIZES = [1, 2, 4]


def covariances(size, count=3):
    roots = np.random.default_rng(size).standard_normal((count, size, size))
    return roots @ roots.swapaxes(-1, -2) + 0.1 * np.eye(size)


@parameters
class Record:
    covariances: np.ndarray


def layout(size):
    slot = slot_of({"expert": 3, "covariance": n_entries(size)}, "expert", "covariance", support=COVARIANCE)
    return layout_of(Record, {}, covariances=slot)


@pytest.mark.parametrize("size", SIZES)
def test_a_record_holds_matrices_and_the_vector_log_cholesky_numbers(size):
    given = covariances(size)
    theta = layout(size).pack(Record(covariances=given))
    L = factors(theta.reshape(3, -1))
    np.testing.assert_allclose(L @ L.swapaxes(-1, -2), given, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(np.triu(L, 1), 0.0)
    np.testing.assert_allclose(layout(size).unpack(theta).covariances, given, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layout(size).natural(theta), entries(given).ravel(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_jacobian_is_the_derivative_of_the_entries(size):
    """Complex steps: `natural` is analytic."""
    built = layout(size)
    theta = built.pack(Record(covariances=covariances(size)))
    slot = built.entries[0][1]
    steps = 1e-30j * np.eye(theta.size)
    want = np.stack([slot.natural(theta + step).imag.ravel() for step in steps], axis=1) / 1e-30
    np.testing.assert_allclose(built.jacobian(theta), want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_units_of_a_coordinate_move_the_numbers_affinely():
    """So that a covariance of estimates is carried between coordinates by one matrix."""
    scale = np.array([3.0, 0.5, 20.0])
    given = covariances(3)
    here, there = (COVARIANCE.free(entries(m)) for m in (given, given * scale * scale[:, None]))
    i, j = np.tril_indices(3)
    want = np.where(i == j, here + np.log(scale[i]), here * scale[i])
    np.testing.assert_allclose(there, want, rtol=1e-12)


def test_only_variances_are_positive_by_definition():
    assert layout(2).positive.reshape(3, 3).tolist() == [[True, False, True]] * 3


@pytest.mark.parametrize(
    "bad", [np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[1.0, 0.5], [0.2, 1.0]]), np.array([[1.0, np.nan]] * 2)]
)
def test_what_is_no_covariance_is_refused(bad):
    with pytest.raises(InputError, match="must be symmetric and positive definite"):
        layout(2).pack(Record(covariances=np.stack([np.eye(2), np.eye(2), bad])))


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match=r"must have shape \(3, 2, 2\)"):
        layout(2).pack(Record(covariances=np.ones((3, 3))))


def test_entries_come_row_by_row_with_readable_names():
    np.testing.assert_array_equal(entries(matrices(np.arange(6.0))), np.arange(6.0))
    assert covariance_names(["a", "b"]) == ["a.variance", "a:b.covariance", "b.variance"]
    assert product_names(["a", "b"]) == ["a^2", "a:b", "b^2"]

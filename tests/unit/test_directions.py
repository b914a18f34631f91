"""Subspaces of the parameter space."""

from __future__ import annotations

import numpy as np
import pytest

from moestat.directions import complement, readable, supported_directions
from tests.unit.draws import normal

P = 6
ALL = np.ones(P, dtype=bool)
FIRST_HELD = np.arange(P) > 0

#: error of an orthogonal factorisation of a few rows of length P, in units of their size
TOLERANCE = 1e-14


def assert_orthonormal(rows):
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=TOLERANCE)


def assert_same_span(rows, others):
    projection, other = (np.linalg.pinv(r) @ r for r in (rows, others))
    np.testing.assert_allclose(projection, other, atol=10 * TOLERANCE)  # two pseudo-inverses


@pytest.mark.parametrize("repeats", [1, 2])
def test_when_all_may_move_the_span_stays(repeats):
    """Directions given twice span what they span once."""
    directions = normal(2, P)
    basis = supported_directions(np.tile(directions, (repeats, 1)), ALL)
    assert len(basis) == 2
    assert_orthonormal(basis)
    assert_same_span(basis, directions)


def test_combinations_that_move_a_held_parameter_are_left_out():
    """Two directions move it by 1 and by 2, so only twice the first minus the second is left."""
    directions = normal(2, P)
    directions[:, 0] = [1.0, 2.0]
    basis = supported_directions(directions, FIRST_HELD)
    assert len(basis) == 1
    assert_same_span(basis, 2 * directions[:1] - directions[1:])


def test_a_direction_of_held_parameters_alone_is_none():
    assert supported_directions(np.eye(P)[:1], FIRST_HELD).shape == (0, P)


def test_no_directions_have_no_support():
    assert supported_directions(np.zeros((0, P)), ALL).shape == (0, P)


@pytest.mark.parametrize("movable", [ALL, FIRST_HELD], ids=["all", "first held"])
@pytest.mark.parametrize("n_directions", [0, 1, 2])
def test_complement_fills_the_movable_space(n_directions, movable):
    """With the directions it is a basis of what may move, orthogonal, and moves nothing held."""
    inside = supported_directions(normal(n_directions, P) * movable, movable)
    basis = complement(inside, movable)
    assert_orthonormal(np.vstack([inside, basis.T]))
    assert basis.shape == (P, movable.sum() - n_directions)
    assert not basis[~movable].any()


def test_readable_directions_each_have_a_parameter_of_their_own():
    """The same span, in rows of length one, however the given rows are rotated."""
    directions = normal(3, P)
    rows = readable(directions)
    assert_same_span(rows, directions)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=TOLERANCE)
    own = (np.abs(rows) > TOLERANCE).sum(axis=0) == 1
    assert own.sum() == 3
    assert readable(directions[:0]).shape == (0, P)


def test_readable_directions_recover_single_parameters():
    axes = np.eye(P)[[1, 4]]
    turned = np.array([[0.6, 0.8], [-0.8, 0.6]]) @ axes
    np.testing.assert_allclose(np.sort(readable(turned), axis=0), np.sort(axes, axis=0), atol=TOLERANCE)


def test_a_basis_is_kept_and_cannot_be_spoilt():
    """Asked again it is the same array; other directions, or other parameters that may move, have their own."""
    directions = normal(2, P)
    basis = supported_directions(directions, ALL)
    assert supported_directions(directions.copy(), ALL.copy()) is basis
    with pytest.raises(ValueError, match="read-only"):
        basis[0, 0] = 1.0
    directions[0] += 1.0
    assert_same_span(supported_directions(directions, ALL), directions)
    assert len(supported_directions(directions, FIRST_HELD)) == 1

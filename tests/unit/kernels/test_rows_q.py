"""Hard assignments, and both parts of the expected log-likelihood Q."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from moestat.kernels import rows
from tests.unit.draws import normal
from tests.unit.kernels import twins
from tests.unit.kernels.twins import EPS, assert_same_sums

EXPERTS = (1, 2, 3, 8)
ROWS = (1, 8, 40, 300)

each_size = pytest.mark.parametrize(("K", "B"), [(K, B) for K in EXPERTS for B in ROWS])


def positive(B):
    return np.exp(normal(B, seed=7))


def e_step(H, E, weight, normalised=True):
    """What `combine` writes."""
    PI, R, D = np.empty((3, *H.shape))
    row = np.empty(weight.size)
    rows.combine(H, E, weight, normalised, PI, R, D, row, np.empty((3, weight.size)))
    return PI, R, D, row


def hardened(H, E, weight, normalised=True):
    """R, D and the sum that `harden` returns."""
    PI, R, D, row = e_step(H, E, weight, normalised)
    total = rows.harden(PI, weight, row, R, D)
    return total, R, D, PI


# ---------------------------------------------------------------------------------------- hard assignments
def harden(H, E, weight, normalised=True):
    """The twin: argmax over experts of log pi + log f."""
    joint = H + E - (special.logsumexp(H, axis=0) if normalised else 0.0)
    R = np.where(np.arange(len(H))[:, None] == joint.argmax(axis=0), weight, 0.0)
    PI = special.softmax(H, axis=0) if normalised else np.zeros_like(H)
    return float(weight @ joint.max(axis=0)), R, R - weight * PI


@pytest.mark.parametrize("normalised", [True, False])
@each_size
def test_harden_equals_its_twin(K, B, normalised):
    H, E, weight = normal(K, B, seed=1), 3 * normal(K, B, seed=2), positive(B)
    total, R, D, _ = hardened(H, E, weight, normalised)
    want, want_R, want_D = harden(H, E, weight, normalised)
    np.testing.assert_array_equal(R, want_R)
    np.testing.assert_allclose(D, want_D, rtol=0, atol=(K + 16) * EPS * weight.max())
    size = np.abs(H).max(axis=0) + np.abs(E).max(axis=0) + np.log(K) + 1.0  # the maxima that are cancelled
    assert_same_sums(total, want, weight @ size, terms=B + 8)


def test_a_tie_goes_to_the_lowest_index():
    H, E = (np.tile(normal(1, 40, seed=seed), (4, 1)) for seed in (1, 2))
    H[0] -= 1.0  # out of the tie
    _, R, _, _ = hardened(H, E, positive(40))
    np.testing.assert_array_equal(R[1], positive(40))
    assert not R[[0, 2, 3]].any()


def test_rows_of_weight_zero_are_not_assigned():
    weight = positive(40)
    weight[25:] = 0.0
    total, R, D, _ = hardened(normal(3, 40, seed=1), normal(3, 40, seed=2), weight)
    assert np.isfinite(total)
    assert not R[:, 25:].any()
    assert not D[:, 25:].any()


def test_a_switched_off_expert_is_assigned_nothing():
    H = normal(3, 40, seed=1)
    H[1] = -np.inf
    total, R, _, _ = hardened(H, normal(3, 40, seed=2), positive(40))
    assert np.isfinite(total)
    assert not R[1].any()


def test_a_single_expert_has_the_log_likelihood():
    H, E, weight = normal(1, 40, seed=1), normal(1, 40, seed=2), positive(40)
    total, R, _, _ = hardened(H, E, weight)
    np.testing.assert_array_equal(R[0], weight)
    assert_same_sums(total, weight @ E[0], weight @ np.abs(E[0]), terms=48)


def test_nan_reaches_the_sum():
    E = normal(2, 16, seed=2)
    E[1, 3] = np.nan
    assert np.isnan(hardened(normal(2, 16, seed=1), E, np.ones(16))[0])


# ---------------------------------------------------------------------------------------- Q
def gate_expectation(H, R, weight, normalised=True):
    PI, D = np.full((2, *H.shape), np.nan)
    value = rows.gate_expectation(H, R, weight, normalised, PI, D, np.full((2, weight.size), np.nan))
    return value, PI, D


@pytest.mark.parametrize("normalised", [True, False])
@each_size
def test_the_gates_part_equals_its_twin(K, B, normalised):
    weight = positive(B)
    H, R = 3 * normal(K, B, seed=3), e_step(normal(K, B, seed=1), normal(K, B, seed=2), weight)[1]
    value, PI, D = gate_expectation(H, R, weight, normalised)
    want = special.softmax(H, axis=0) if normalised else np.zeros_like(H)
    log_pi = special.log_softmax(H, axis=0) if normalised else H
    np.testing.assert_allclose(PI, want, rtol=(K + 16) * EPS)
    np.testing.assert_allclose(D, R - weight * want, rtol=0, atol=(K + 16) * EPS * weight.max())
    assert_same_sums(value, (R * log_pi).sum(), (R * (np.abs(H).max(axis=0) + np.log(K) + 1)).sum(), terms=K * B + 8)


@each_size
def test_the_experts_part_equals_its_twin(K, B):
    E, R = 3 * normal(K, B, seed=3), twins.combine(normal(K, B, seed=1), normal(K, B, seed=2), positive(B)).R
    assert_same_sums(rows.expert_expectation(E, R), (R * E).sum(), (R * np.abs(E)).sum(), terms=K * B)


def test_zero_times_minus_infinity_is_zero():
    """An expert that has no share of a row may be impossible there."""
    weight, off = np.ones(8), np.zeros((3, 8))
    R = np.array([np.full(8, 0.25), np.zeros(8), np.full(8, 0.75)])
    off[1] = -np.inf
    value, PI, _ = gate_expectation(off, R, weight)
    assert value == pytest.approx(-8 * np.log(2), rel=1e-15)
    assert not PI[1].any()
    assert rows.expert_expectation(off, R) == 0.0


def test_a_share_of_what_is_impossible_is_infinitely_bad():
    """A step that switches off an expert with rows of its own must not look like an improvement."""
    off = np.zeros((2, 8))
    off[1, 0] = -np.inf
    R = np.full((2, 8), 0.5)
    assert gate_expectation(off, R, np.ones(8))[0] == -np.inf
    assert rows.expert_expectation(off, R) == -np.inf


@pytest.mark.parametrize("part", [lambda V, R: gate_expectation(V, R, np.ones(8))[0], rows.expert_expectation])
def test_nan_reaches_either_part(part):
    V = np.zeros((2, 8))
    V[1, 3] = np.nan
    assert np.isnan(part(V, np.full((2, 8), 0.5)))

"""Changes of the data that a fit must not see, or must follow exactly."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import moestat as ms
from moestat.data import Data
from moestat.solvers import Problem
from moestat.starts import StartLaw
from tests.traps.fits import from_labels, numbers, quiet, relabelled, two_lines

#: the same on every machine and in every run
drawn = settings(
    derandomize=True, max_examples=25, deadline=None, database=None, phases=(Phase.explicit, Phase.generate)
)

exponents = st.integers(-400, 400)
seeds = st.integers(0, 2**16)

TURN = len(ms.starts.FAMILIES)
TWO = ms.MixtureOfExperts()


def rows(seed=0, n=60):
    """Two covariates of the experts, one of the gate, and rows around two planes."""
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(1.0, 2.0, (n, 2)), rng.normal(-1.0, 1.0, (n, 1))
    first = rng.random(n) < 1 / (1 + np.exp(-Z[:, 0] - 1))
    return X, np.where(first, 1 + X @ [2.0, -1.0], 4 - X @ [1.0, 0.5]) + 0.5 * rng.standard_normal(n), Z


def assert_same_fit(one, other, rtol=1e-8):
    assert other.llf == pytest.approx(one.llf, rel=1e-10)
    np.testing.assert_allclose(numbers(other.params), numbers(one.params), rtol=rtol, atol=rtol)
    assert other.certificate.status is one.certificate.status


# ------------------------------------------------------------------------------------ powers of two
def starts_of(model, *arrays):
    return [start.theta for start in islice(StartLaw.of(Problem.of(model, model.data(*arrays)), 0), TURN)]


@drawn
@given(seed=seeds, ky=exponents, kx=st.tuples(exponents, exponents), kz=exponents, n_experts=st.sampled_from([2, 3]))
def test_powers_of_two_change_no_bit(seed, ky, kx, kz, n_experts):
    """Units of the response and of every column that are powers of two leave working values, hence all else, alone."""
    X, y, Z = rows(seed)
    model = ms.MixtureOfExperts(n_experts=n_experts)
    unit_y, unit_X, unit_Z = 2.0**ky, np.exp2(kx), np.exp2([kz])
    scaled = X * unit_X, y * unit_y, Z * unit_Z
    for one, other in zip(starts_of(model, X, y, Z), starts_of(model, *scaled), strict=True):
        np.testing.assert_array_equal(one, other)
    base, fit = quiet(model, X, y, Z, n_starts=3), quiet(model, *scaled, n_starts=3)
    np.testing.assert_array_equal(fit.theta, base.theta)
    np.testing.assert_array_equal(fit.params.gate.intercepts, base.params.gate.intercepts)
    np.testing.assert_array_equal(fit.params.gate.slopes * unit_Z, base.params.gate.slopes)
    np.testing.assert_array_equal(fit.params.expert.intercepts / unit_y, base.params.expert.intercepts)
    np.testing.assert_array_equal(fit.params.expert.slopes * unit_X / unit_y, base.params.expert.slopes)
    np.testing.assert_array_equal(fit.params.expert.variances / unit_y / unit_y, base.params.expert.variances)
    assert list(fit.starts.n_iter) == list(base.starts.n_iter)
    np.testing.assert_array_equal(fit.certificate.eigenvalues, base.certificate.eigenvalues)
    jacobian = y.size * ky * np.log(2.0)
    assert fit.llf + jacobian == pytest.approx(base.llf, abs=1e-14 * (abs(jacobian) + abs(base.llf)) * 4)


@pytest.mark.parametrize("k", [-300, 7, 300])
@pytest.mark.parametrize("n_experts", [2, 3])
def test_the_unit_of_the_response_changes_no_step_of_a_start(n_experts, k):
    """The path of the default solver and its switch from EM to Newton, in working units to the last bit."""
    X, y, Z = rows(n=90)
    model = ms.MixtureOfExperts(n_experts=n_experts)
    base, fit = (quiet(model, X, y * unit, Z, n_starts=1) for unit in (1.0, 2.0**k))
    assert list(fit.trace.method) == list(base.trace.method)
    np.testing.assert_array_equal(fit.trace.gradient, base.trace.gradient)
    np.testing.assert_array_equal(fit.theta, base.theta)


@pytest.mark.parametrize("k", [-1000, -600, 490, 900])
def test_powers_of_two_to_the_ends_of_the_range_change_no_bit(k):
    """Columns may be as small or as large as doubles are; a response must have a variance."""
    X, y, Z = rows()
    base, fit = (ms.fit(TWO, X * unit, y, Z * unit, n_starts=2) for unit in (1.0, 2.0**k))
    np.testing.assert_array_equal(fit.theta, base.theta)
    assert fit.llf == base.llf


def test_powers_of_two_change_no_bit_of_class_probabilities():
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((80, 2)), rng.integers(3, size=80)
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    base, fit = ms.fit(model, X, labels), ms.fit(model, X * np.exp2([300, -300]), labels)
    assert fit.llf == base.llf
    np.testing.assert_array_equal(fit.params.expert.slopes * np.exp2([300, -300]), base.params.expert.slopes)


# ------------------------------------------------------------------------------------ rows
@pytest.mark.parametrize("seed", range(2))
def test_weights_and_order_of_rows_too_many_to_be_merged(seed):
    """Up to rounding."""
    X, y, Z = rows(seed, n=4200)
    order, times = np.random.default_rng(seed).permutation(y.size), np.resize([1, 2], y.size)
    base = ms.fit(TWO, X, y, Z, times, n_starts=2)
    repeated = (np.repeat(a[order], times[order], axis=0) for a in (X, y, Z))
    assert_same_fit(base, ms.fit(TWO, *repeated, n_starts=2))


@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_repetition(seed):
    X, y, Z = rows(seed)
    times = np.random.default_rng(seed).integers(1, 4, y.size)
    repeated = ms.fit(TWO, *(np.repeat(a, times, axis=0) for a in (X, y, Z)), n_starts=4)
    assert_same_fit(ms.fit(TWO, X, y, Z, times, n_starts=4), repeated, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_does_not_matter(seed):
    """Neither for the solution nor for how often starts find it: the starts follow the rows."""
    X, y, Z = rows(seed)
    order = np.random.default_rng(seed).permutation(y.size)
    base, fit = ms.fit(TWO, X, y, Z, n_starts=8), ms.fit(TWO, X[order], y[order], Z[order], n_starts=8)
    assert_same_fit(base, fit, rtol=0)


@pytest.mark.parametrize("block_rows", [8, 16, 40, 4096])
def test_the_width_of_the_tiles_does_not_matter(block_rows):
    X, y, Z = rows(n=100)
    base, fit = ms.fit(TWO, Data(X, y, Z), n_starts=4), ms.fit(TWO, Data(X, y, Z, block_rows=block_rows), n_starts=4)
    assert_same_fit(base, fit)
    assert list(fit.starts.family) == list(base.starts.family)
    np.testing.assert_allclose(fit.starts.loglik_short, base.starts.loglik_short, rtol=1e-9)


def test_memory_order_and_types_change_no_bit():
    X, y, Z = rows()
    base = ms.fit(TWO, X, y, Z, n_starts=2)
    others = (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist())
    for other in others:
        np.testing.assert_array_equal(ms.fit(TWO, other, y, Z, n_starts=2).theta, base.theta)


# ------------------------------------------------------------------------------------ units and origins
@pytest.mark.parametrize("seed", range(3))
def test_affine_changes_of_units_are_followed(seed):
    """Fahrenheit or Celsius: coefficients follow, the log-likelihood by the logarithm of the unit."""
    X, y, Z = rows(seed)
    base = ms.fit(TWO, X, y, Z, n_starts=4)
    fit = ms.fit(TWO, 1.8 * X + 32, 3.7 * y - 11, Z / 7 + 2, n_starts=4)
    assert fit.llf + y.size * np.log(3.7) == pytest.approx(base.llf, rel=1e-9)
    np.testing.assert_allclose(fit.params.expert.slopes * 1.8 / 3.7, base.params.expert.slopes, rtol=1e-7)
    np.testing.assert_allclose(fit.params.gate.slopes / 7, base.params.gate.slopes, rtol=1e-7)
    np.testing.assert_allclose(fit.params.expert.variances / 3.7**2, base.params.expert.variances, rtol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_regressions_follow_a_plane_added_to_the_response(seed):
    """y + a + b'x moves intercepts by a and slopes by b, and nothing else."""
    X, y, Z = rows(seed)
    b = np.array([3.0, -2.0])
    base = ms.fit(TWO, X, y, Z, n_starts=12)
    fit = ms.fit(TWO, X, y + 5 + X @ b, Z, n_starts=12)
    assert fit.llf == pytest.approx(base.llf, rel=1e-9)
    np.testing.assert_allclose(fit.params.expert.slopes - b, base.params.expert.slopes, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(fit.params.expert.intercepts - 5, base.params.expert.intercepts, rtol=1e-7, atol=1e-7)


def test_the_order_of_the_columns_is_followed():
    X, y, Z = rows()
    base, fit = ms.fit(TWO, X, y, Z, n_starts=4), ms.fit(TWO, X[:, ::-1], y, Z, n_starts=4)
    assert fit.llf == pytest.approx(base.llf, rel=1e-10)
    np.testing.assert_allclose(fit.params.expert.slopes[:, ::-1], base.params.expert.slopes, rtol=1e-8)


def test_an_offset_is_a_shift_of_the_response():
    X, y, Z = rows()
    offset = np.random.default_rng(3).standard_normal(y.size)
    assert_same_fit(ms.fit(TWO, X, y, Z, n_starts=4), ms.fit(TWO, X, y + offset, Z, offset=offset, n_starts=4))


def test_classes_in_another_order_keep_the_likelihood():
    """Another reference class is another way to write the same model."""
    data = ms.datasets.load("anes96")
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    renamed = data.y.map({"Democrat": "c", "Independent": "a", "Republican": "b"})
    base, fit = ms.fit(model, data.X, data.y), ms.fit(model, data.X, renamed)
    assert fit.llf == pytest.approx(base.llf, rel=1e-12)
    np.testing.assert_allclose(fit.predict()[:, [2, 0, 1]], base.predict(), rtol=1e-8)


# ------------------------------------------------------------------------------------ experts
@pytest.mark.parametrize(
    "solver",
    [None, "em_newton", ms.solvers.EM(rtol=None), ms.solvers.SQUAREM(rtol=None)],
    ids=["default", "em_newton", "em", "squarem"],
)
def test_experts_in_another_order_give_the_same_fit(solver):
    x, y = two_lines()
    resp = np.random.default_rng(1).dirichlet(np.ones(2), 80).T
    start = from_labels(TWO, x, y, None, resp)
    one, other = (ms.fit(TWO, x, y, start=relabelled(start, order), solver=solver) for order in ([0, 1], [1, 0]))
    assert_same_fit(one, other, rtol=1e-7)


def test_experts_that_cannot_be_relabelled_reach_the_same_maximum():
    """One family per expert: nothing is sorted, and the likelihood is the same."""
    x, y = two_lines()
    model = ms.MixtureOfExperts(expert=("gaussian", "gaussian"))
    one = ms.fit(model, x, y, n_starts=6)
    assert one.llf == pytest.approx(ms.fit(TWO, x, y, n_starts=6).llf, rel=1e-10)


# ------------------------------------------------------------------------------------ bounds
INACTIVE = [
    {"gate.slopes": 1e3},
    {"expert.variances": (1e-4, 1e4)},
    {"gate.slopes": 1e3, "gate.intercepts": 1e3, "expert.slopes": 1e3, "expert.intercepts": 1e3},
]


@pytest.mark.parametrize("bounds", INACTIVE, ids=["gate", "variances", "all lines"])
@pytest.mark.parametrize("seed", range(2))
def test_bounds_that_hold_nothing_back_change_nothing(seed, bounds):
    X, y, Z = rows(seed)
    base = ms.fit(TWO, X, y, Z, n_starts=6)
    fit = ms.fit(TWO, X, y, Z, n_starts=6, bounds=bounds)
    assert_same_fit(base, fit, rtol=1e-7)
    assert fit.certificate.optimum.bounds == ()


def test_bounds_with_nothing_to_hold_back_leave_the_motorcycle_gate_alone():
    """The same on data whose gate is nearly a step."""
    data = ms.datasets.load("mcycle")
    free, boxed = (ms.fit(TWO, data.X, data.y, n_starts=4, bounds=b) for b in (None, {"gate.slopes": 1e4}))
    assert boxed.llf == pytest.approx(free.llf, rel=1e-10)

"""Cosine gates: softmax gates of directions, whose redundant parameters are all declared."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.component import Dims
from moestat.errors import ConvergenceWarning, InputError
from moestat.gates import Cosine
from moestat.passes import Passes
from moestat.solvers import EMThenNewton, Problem, TrustRegionNewton
from tests.unit.draws import normal

PLAIN, PERTURBED = Cosine(), Cosine(perturbation=(0.5, 0.3))


def rows(n=300, d=2):
    X = normal(n, d, seed=1) + 0.2
    turned = normal(n, seed=2) < 2 * X[:, 0] / np.linalg.norm(X, axis=1)
    return X, np.where(turned, 1 + X[:, 0], -1 - X[:, 1]) + 0.3 * normal(n, seed=3)


def fit(gate, *data, K=2, **options):
    return ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=K), *data, **{"n_starts": 4, **options})


def directions(X, added):
    return X / (np.linalg.norm(X, axis=1, keepdims=True) + added)


def slopes_of(gate, theta, layout):
    """Differences of s_k = b_k / ((|b_k| + t1) tau) from the last one."""
    p = layout.unpack(theta)
    t1 = np.broadcast_to(gate.perturbation, 2)[0]
    s = p.slopes / (np.linalg.norm(p.slopes, axis=1, keepdims=True) + t1) / p.temperature
    return (s - s[-1])[:-1].ravel()


@pytest.mark.parametrize(("gate", "added"), [(PLAIN, 0.0), (PERTURBED, 0.3)])
def test_two_experts_make_the_softmax_gate_of_directions(gate, added):
    """Likelihood, coefficients and their standard errors, by the delta method through temperature and lengths."""
    X, y = rows()
    ours, plain = fit(gate, X, y), fit("softmax", X, y, directions(X, added))
    assert ours.llf == pytest.approx(plain.llf, abs=1e-7)
    layout = gate.layout(Dims(2, 2))
    theta = layout.pack(ours.params.gate)
    found = slopes_of(gate, theta, layout)
    np.testing.assert_allclose(found, plain.params.gate.slopes[0], rtol=1e-5)

    steps = 1e-6 * np.eye(theta.size)
    jac = np.array([slopes_of(gate, theta + e, layout) - slopes_of(gate, theta - e, layout) for e in steps]).T / 2e-6
    natural = jac @ np.linalg.inv(layout.jacobian(theta))  # covariances are of the natural parameters
    names = ours.all_names[: theta.size]
    covariance = ours.cov_params(allow_singular=True).reindex(index=names, columns=names).fillna(0.0).to_numpy()
    expected = plain.cov_params().loc[["gate[1].z1", "gate[1].z2"], ["gate[1].z1", "gate[1].z2"]]
    np.testing.assert_allclose(natural @ covariance @ natural.T, expected, rtol=1e-4)


@pytest.mark.parametrize("gate", [PLAIN, PERTURBED], ids=["plain", "perturbed"])
@pytest.mark.parametrize(("K", "d"), [(2, 1), (2, 2), (2, 4), (3, 2), (3, 4), (4, 2), (5, 4)])
def test_invariances_are_complete_whatever_the_sizes(gate, K, d):
    """Rank of the scores' outer product; also where there are at most as many experts as covariates."""
    X, y = normal(400, d, seed=K), normal(400, seed=d)
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    problem = Problem.of(model, model.data(X, y))
    theta = 0.5 * normal(problem.layout.size, seed=9)
    matrix = Passes(problem.passes.terms, problem.passes.source).outer_products(theta).matrix
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    eigenvalues = np.linalg.eigvalsh(matrix / scale / scale[:, None])
    invariances = problem.passes.terms.invariances(theta)
    rank = np.linalg.matrix_rank(invariances)
    assert rank == len(invariances)
    # a parameter without effect has a column of zeros, which no scale makes one
    dead = int((np.diag(matrix) < 1e-20).sum())
    assert (eigenvalues < 1e-12).sum() == rank, (eigenvalues[: rank + 1], dead)


@pytest.mark.parametrize(("K", "d"), [(2, 2), (2, 4), (3, 4), (4, 2)])
def test_canonical_directions_have_length_one_on_the_smallest_sphere(K, d):
    layout = PLAIN.layout(Dims(K, d))
    theta = normal(layout.size, seed=3)
    canonical = layout.unpack(PLAIN.canonical(layout, theta))
    np.testing.assert_allclose(np.linalg.norm(canonical.slopes, axis=1), 1.0, rtol=1e-12)
    s = canonical.slopes / canonical.temperature
    centre = np.linalg.lstsq(s[:-1] - s[-1], -np.ones(K - 1), rcond=None)[0] if d >= K else None
    assert canonical.temperature >= layout.unpack(theta).temperature * (1 - 1e-12)
    if K == 2:
        np.testing.assert_allclose(canonical.slopes[0], -canonical.slopes[1], atol=1e-12)
    assert centre is None or np.isfinite(centre).all()


@pytest.mark.parametrize(("gate", "K", "d"), [(PLAIN, 2, 4), (PLAIN, 3, 4), (PERTURBED, 3, 2)])
def test_constraints_hold_the_canonical_form(gate, K, d):
    """To first order, and as many as there are invariances."""
    layout = gate.layout(Dims(K, d))
    theta = gate.canonical(layout, normal(layout.size, seed=3))
    held = gate.constraints(layout, theta)
    assert len(held) == len(gate.invariances(layout, theta)[0])
    for e in 1e-6 * np.eye(layout.size):
        moved = (gate.canonical(layout, theta + e) - gate.canonical(layout, theta - e)) / 2e-6
        np.testing.assert_allclose(held @ moved, 0.0, atol=1e-8)


def test_one_scale_of_all_covariates_is_nothing_to_the_plain_gate():
    X, y = rows()
    here, there = fit("cosine", X, y), fit("cosine", 1e4 * X, y)
    assert there.llf == pytest.approx(here.llf, abs=1e-8)
    np.testing.assert_allclose(there.gate_weights(1e4 * X), here.gate_weights(X), atol=1e-6)


@pytest.mark.parametrize("gate", [PLAIN, PERTURBED], ids=["plain", "perturbed"])
def test_a_row_of_zeros_has_cosines_of_zero(gate):
    X, y = rows()
    X[:5] = 0.0
    results = fit(gate, X, y)
    b = results.params.gate.intercepts
    np.testing.assert_allclose(results.gate_weights(X[:1])[0], np.exp(b) / np.exp(b).sum(), rtol=1e-12)


def test_without_covariates_there_is_no_angle():
    with pytest.raises(InputError, match=r"the cosine gate measures angles.*gate='softmax'"):
        ms.fit(ms.MixtureOfExperts(gate="cosine"), None, normal(20, seed=1))


@pytest.mark.parametrize("bad", [-0.1, (0.1,), (0.1, -1.0), np.inf, "0.1", (0.1, 0.1, 0.1), True, None])
def test_perturbations_are_one_or_two_numbers(bad):
    with pytest.raises(InputError, match=r"perturbation must be a number of at least 0, or two"):
        Cosine(perturbation=bad)


# --------------------------------------------------------------------------------------- bounds and far origins
def angled():
    """Rows whose expert depends on the angle of the covariates."""
    X = normal(400, 2, seed=4)
    cosine = X[:, 0] / np.linalg.norm(X, axis=1)
    first = normal(400, seed=5) < 2.0 * cosine
    return X, np.where(first, 2.0 + X[:, 0], -2.0 - X[:, 1]) + 0.4 * normal(400, seed=6)


def test_a_box_for_the_slopes_needs_one_for_the_temperature():
    """Directions in one quadrant: their differences grow by a falling temperature alone."""
    X, y = angled()
    box = {"gate.slopes": (0.1, 0.2)}
    with pytest.warns(ConvergenceWarning, match="not converged"):
        assert fit("cosine", X, y, bounds=box).params.gate.temperature < 1e-4
    bounded = fit("cosine", X, y, bounds={**box, "gate.temperature": (0.05, 20.0)})
    assert bounded.certificate.status is ms.Status.AT_BOUND
    assert bounded.params.gate.temperature == pytest.approx(0.05)


@pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")
@pytest.mark.parametrize("K", [2, 3])
def test_bounds_that_let_a_direction_vanish_end_in_a_verdict(K):
    """In the corner of such a box one b is zero, on no sphere, and invariances come and go."""
    X, y = angled()
    for box in ((0.0, 1.0), (-0.5, 0.5)):
        results = fit("cosine", X, y, K=K, bounds={"gate.slopes": box})
        assert np.isfinite(results.llf)
        slopes = results.params.gate.slopes
        assert (slopes >= box[0] - 1e-12).all()
        assert (slopes <= box[1] + 1e-12).all()


def test_a_vanished_direction_stays():
    layout = PLAIN.layout(Dims(3, 2))
    theta = normal(layout.size, seed=7)
    theta[layout.index("slopes")[1]] = 0.0
    canonical = PLAIN.canonical(layout, theta)
    np.testing.assert_array_equal(canonical[layout.index("slopes")[1]], 0.0)
    assert canonical[layout.index("temperature")] == theta[layout.index("temperature")]
    np.testing.assert_array_equal(PLAIN.canonical(layout, canonical), canonical)


@pytest.mark.parametrize("gate", [PLAIN, PERTURBED], ids=["plain", "perturbed"])
def test_far_from_the_origin_steps_are_many(gate):
    """More than the default solver makes; given them it ends at a maximum."""
    X, y = angled()
    with pytest.warns(ConvergenceWarning, match="not converged"):
        fit(gate, X + 60.0, y, n_starts=2)
    patient = EMThenNewton(newton=TrustRegionNewton(max_iter=5000))
    assert fit(gate, X + 10.0, y, n_starts=2, solver=patient).certificate.trusted

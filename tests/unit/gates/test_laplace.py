"""Laplace gate: its limits, its centres, and covariates in any units."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError, NotIdentifiedWarning, ScaleWarning, SeparationWarning
from moestat.gates import Laplace, Temperature
from tests.unit.draws import normal


def weights(gate, Z, **gate_params):
    K, d = len(gate_params["intercepts"]), Z.shape[1]
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    expert = {"intercepts": np.zeros(K), "slopes": np.zeros((K, d)), "variances": np.ones(K)}
    return model.gate_weights(model.params(gate=gate_params, expert=expert), Z)


def two_lines(x, seed=1, slope=2.0):
    """Two lines over the standardised covariate, the first more often on the right."""
    w = (x - x.mean()) / x.std()
    rng = np.random.default_rng(seed)
    first = rng.random(x.size) < 1 / (1 + np.exp(-slope * w))
    return np.where(first, 1 + w, -1 - w) + 0.5 * rng.standard_normal(x.size)


def test_far_centres_make_a_linear_gate():
    """Centres t u_k with |u_k| = 1 and intercepts b_k + t: softmax with slopes u_k, up to O(1 / t)."""
    Z, b = normal(50, 3, seed=1), np.array([0.3, -0.2, 0.0])
    u = normal(3, 3, seed=2)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    linear = weights("softmax", Z, intercepts=b, slopes=u)
    gaps = [np.abs(weights("laplace", Z, intercepts=b + t, centres=t * u) - linear).max() for t in (1e3, 1e6)]
    assert gaps[0] < 1e-2
    assert gaps[1] < 1e-5


def test_smoothing_changes_no_logit_by_more_than_itself():
    """By all of it at the centre, by its square over twice the distance far out."""
    Z = np.array([[0.0], [3.0]])
    h = np.log(weights(Laplace(smoothing=0.1), Z, intercepts=np.zeros(2), centres=[[0.0], [30.0]]))
    sharp = np.log(weights(Laplace(smoothing=1e-12), Z, intercepts=np.zeros(2), centres=[[0.0], [30.0]]))
    np.testing.assert_allclose(
        (h - sharp)[:, 1] - (h - sharp)[:, 0], [0.1 - 0.01 / 60, 0.01 / 6 - 0.01 / 54], rtol=1e-3
    )


@pytest.mark.parametrize("bad", [0.0, -0.1, np.inf, np.nan, "0.1", True, None])
def test_smoothing_must_be_a_length(bad):
    with pytest.raises(InputError, match="smoothing must be a finite number larger than 0"):
        Laplace(smoothing=bad)


def test_without_covariates_there_is_no_distance():
    with pytest.raises(InputError, match=r"the laplace gate measures distances.*gate='softmax'"):
        ms.fit(ms.MixtureOfExperts(gate="laplace"), None, normal(20, seed=1))


def test_a_centre_with_all_rows_on_one_side_is_called_flat():
    """Centres far outside on both sides make logits linear: centres and intercepts trade off."""
    x = np.random.default_rng(5).uniform(-1.5, 1.5, 900)
    rng = np.random.default_rng(6)
    first = rng.random(x.size) < 1 / (1 + np.exp(-4.0 * x))  # steeper than the 2 that this gate reaches
    y = np.where(first, 3 + x, -3 - x) + 0.3 * rng.standard_normal(x.size)
    model = ms.MixtureOfExperts(gate="laplace")
    with pytest.warns((NotIdentifiedWarning, SeparationWarning)):
        results = ms.fit(
            model,
            x,
            y,
            start=model.params(
                gate={"intercepts": [0.0, 0.0], "centres": [[8.0], [-8.0]]},
                expert={"intercepts": [3.0, -3.0], "slopes": [[1.0], [-1.0]], "variances": [0.1, 0.1]},
            ),
        )
    assert results.certificate.status in (ms.Status.FLAT_MAXIMUM, ms.Status.RUNAWAY)
    said = " ".join(results.certificate.optimum.flat + results.certificate.optimum.runaway)
    assert "gate[1].x1" in said
    assert "expert" not in said
    assert "not available" in results.summary().as_text()


def test_a_shift_of_the_covariates_moves_the_centres():
    X = 2.0 * normal(300, seed=3)
    y = two_lines(X)
    here, there = (ms.fit(ms.MixtureOfExperts(gate="laplace"), x, y, n_starts=6) for x in (X, X + 1950.0))
    assert there.llf == pytest.approx(here.llf, abs=1e-6)
    np.testing.assert_allclose(there.params.gate.centres - 1950.0, here.params.gate.centres, atol=1e-4)


@pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")
@pytest.mark.parametrize("gate", ["laplace", "hierarchical(laplace, laplace)"])
def test_covariates_in_the_thousands_are_warned_of_once(gate):
    """Steps see few rows and have many maxima, which a certificate need not find fault with."""
    x = 5000.0 + 1000.0 * normal(200, seed=4)
    model = ms.MixtureOfExperts(gate=gate, n_experts=3)
    with pytest.warns(ScaleWarning, match="vary by about .*: its weights are steps.*Scale the cov") as caught:
        ms.fit(model, x, two_lines(x), n_starts=2)
    assert sum(issubclass(one.category, ScaleWarning) for one in caught) == 1


def test_one_expert_and_a_temperature_have_no_unit_to_be_warned_of():
    """A temperature is the unit of the logits."""
    assert not Temperature(Laplace()).concerns(np.array([1000.0]))
    assert not Laplace().concerns(np.array([20.0]))
    x = 1000.0 * normal(50, seed=4)
    ms.fit(ms.MixtureOfExperts(gate="laplace", n_experts=1), x, two_lines(x))


@pytest.mark.filterwarnings("ignore::moestat.errors.ScaleWarning")
@pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")
@pytest.mark.parametrize("scale", [1e-4, 25.0, 2e4])
def test_in_any_units_the_fit_is_no_worse_than_without_covariates(scale):
    """Equal centres make constant weights, so that this gate holds the constant one."""
    x = 3.0 * scale + scale * normal(400, seed=4)
    y = two_lines(x)
    laplace = ms.fit(ms.MixtureOfExperts(gate="laplace"), x, y)
    constant = ms.fit(ms.MixtureOfExperts(), x, y, np.zeros((x.size, 0)))
    assert laplace.llf > constant.llf - 1e-6
    assert laplace.certificate.optimum.fine_gradient < 1e-8


@pytest.mark.parametrize("seed", [1, 3])
def test_a_centre_that_runs_off_is_no_separation(seed):
    """Log odds of slope 2 are the steepest this gate has: rows of such a truth draw the centres to infinity."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 2))
    first = rng.random(300) < 1 / (1 + np.exp(-2 * X[:, 0]))
    y = np.where(first, 1 + X[:, 0], -1 - X[:, 0]) + 0.3 * rng.normal(size=300)
    with pytest.warns(SeparationWarning, match="a centre goes to infinity, towards a logit linear") as caught:
        results = ms.fit(ms.MixtureOfExperts(gate="laplace"), X, y, n_starts=3)
    assert not any("separates" in str(one.message) for one in caught)
    assert results.certificate.status is ms.Status.RUNAWAY
    text = str(results.certificate)
    assert "a centre goes to infinity" in text.splitlines()[0]
    assert "separat" not in text


def test_an_expert_that_a_gate_switches_off_is_no_limit_of_centres():
    assert not ms.gates.Softmax().far


@pytest.mark.parametrize("gate", [Laplace(), Temperature(Laplace()), "hierarchical(laplace, laplace)"], ids=str)
def test_a_smoothing_that_is_not_small_beside_the_covariates_is_warned_of(gate):
    """Also where the unit of the logits is free: a length stays one."""
    gate = ms.MixtureOfExperts(gate=gate, n_experts=3).gate
    assert not gate.concerns(np.array([0.2, 0.001]))
    (words,) = gate.concerns(np.array([0.01, 0.001]))
    assert "smoothing=0.01, 1 times what the covariates vary by, about 0.01" in words
    assert "Take smoothing=0.0001" in words

"""Gates with noise in their logits: closed forms, limits, errors of the draws, load of experts, bad settings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit, ndtr, softmax

import moestat as ms
from moestat.errors import InputError
from moestat.gates import Gumbel, NoisyTopK, Softmax, TopK
from moestat.gates.noisy import _above, normal_draws, normal_quantile
from tests.unit.draws import normal

K = 3
SOFTMAX = {"slopes": [[1.5, -0.5], [-1.0, 2.0], [0.0, 0.0]], "intercepts": [0.3, -0.2, 0.0]}
EXPERT = {"slopes": np.eye(3)[:, :2], "intercepts": [0.0, 2.0, -2.0], "variances": [0.3, 0.2, 0.4]}


def weights(gate, params, Z, n_experts=K):
    model = ms.MixtureOfExperts(gate=gate, n_experts=n_experts)
    expert = {name: value[:n_experts] for name, value in EXPERT.items()}
    return model.gate_weights(model.params(gate=params, expert=expert), Z)


def of_two(gate, D):
    """Weight of the first of two experts whose logits differ by D."""
    params = {"slopes": [[1.0, 0.0], [0.0, 0.0]], "intercepts": [0.0, 0.0]}
    return weights(gate, params, np.stack([D, 0.0 * D], axis=1), n_experts=2)[:, 0]


@pytest.fixture
def Z():
    return normal(200, 2, seed=0)


@pytest.fixture
def D():
    return np.array([-6.0, -2.5, -0.7, 0.4, 1.0, 3.0, 5.0])


def rows(n=300):
    X = normal(n, 1, seed=1)
    y = np.where(normal(n, seed=2) < 2 * X[:, 0], 2 + X[:, 0], -2 - X[:, 0]) + 0.3 * normal(n, seed=3)
    return X, y


def fit(gate, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.errors.ConvergenceWarning)
        return ms.fit(ms.MixtureOfExperts(gate=gate), *rows(), n_starts=4, **settings)


# --------------------------------------------------------------------------------------- Gumbel
def test_gumbel_max_is_softmax(Z):
    np.testing.assert_allclose(weights(Gumbel(tau=0), SOFTMAX, Z), weights(Softmax(), SOFTMAX, Z), rtol=1e-14)
    none, plain = fit("gumbel(tau=0)"), fit("softmax")
    assert none.llf == pytest.approx(plain.llf, rel=1e-12)
    np.testing.assert_allclose(none.bse.to_numpy(), plain.bse.to_numpy(), rtol=1e-6)


def test_a_small_temperature_is_near_softmax(Z):
    """What is left is the error of the draws and a difference of order tau^2."""
    plain = weights(Softmax(), SOFTMAX, Z)
    gaps = [np.abs(weights(Gumbel(tau=tau, n_draws=4096), SOFTMAX, Z) - plain).max() for tau in (0.4, 0.2, 0.1)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] < 0.004


def test_two_experts_at_temperature_one(D):
    """The mean of 1 / (1 + exp(-D - l)) over a logistic l, by partial fractions."""
    e = np.exp(D)
    expected = 1.0 - (e * (D - 1.0) + 1.0) / (e - 1.0) ** 2
    np.testing.assert_allclose(of_two(Gumbel(tau=1.0, n_draws=2**14), D), expected, atol=3e-4)


def test_a_large_temperature_makes_weights_equal(Z):
    np.testing.assert_allclose(weights(Gumbel(tau=1e6), SOFTMAX, Z), 1.0 / K, atol=1e-5)


def test_logits_that_grow_with_the_temperature_are_those_of_softmax(Z):
    large = {name: 1e6 * np.asarray(value) for name, value in SOFTMAX.items()}
    np.testing.assert_allclose(weights(Gumbel(tau=1e6), large, Z), weights(Softmax(), SOFTMAX, Z), atol=1e-5)


def test_far_spread_noise_takes_the_same_averages(Z):
    """Below a temperature the noise's exponentials are not had on their own; both ways meet there."""
    noise = ms.gates.gumbel.gumbel_draws(64, K, 0)
    border = np.ptp(noise, axis=1).max() / ms.gates.gumbel.FARTHEST
    below, above = (weights(Gumbel(tau=border * (1 + side)), SOFTMAX, Z) for side in (-1e-9, 1e-9))
    np.testing.assert_allclose(below, above, rtol=1e-5)


# --------------------------------------------------------------------------------------- noisy top-K
def test_without_noise_it_is_topk(Z):
    for n in (1, 2):
        noisy = weights(NoisyTopK(n_active=n, scale=1e-9), SOFTMAX, Z)
        np.testing.assert_allclose(noisy, weights(TopK(n_active=n), SOFTMAX, Z), atol=1e-7)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_one_of_two_active_is_probit(D, scale):
    expected = ndtr(D / (scale * np.sqrt(2.0)))
    np.testing.assert_allclose(of_two(NoisyTopK(n_active=1, scale=scale, n_draws=4096), D), expected, atol=2e-4)


def test_all_active_is_softmax_of_noisy_logits(D):
    """One normal variable is left of the noise of two; Gauss and Hermite's rule averages over it."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    expected = expit(D[:, None] + 0.8 * np.sqrt(2.0) * nodes) @ mass / mass.sum()
    np.testing.assert_allclose(of_two(NoisyTopK(n_active=2, scale=0.8, n_draws=4096), D), expected, atol=2e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_weights_are_the_mean_over_plain_draws(n):
    logits, rng = np.array([0.8, 0.0, -0.5, 0.4]), np.random.default_rng(1)
    noisy = logits + 0.7 * rng.standard_normal((200_000, 4))
    on = noisy >= np.sort(noisy, axis=1)[:, [4 - n]]
    expected = softmax(np.where(on, noisy, -np.inf), axis=1).mean(axis=0)
    value = np.empty((4, 1))
    NoisyTopK(n_active=n, scale=0.7, n_draws=4096).log_weights(logits[:, None].copy(), np.empty(0), value)
    np.testing.assert_allclose(np.exp(value[:, 0]), expected, atol=4e-3)  # four standard errors of the plain mean


@pytest.mark.parametrize(("gate", "bound"), [(Gumbel, 0.01), (NoisyTopK, 0.003)])
def test_more_draws_have_less_error(Z, gate, bound):
    """Root mean squares over seeds; with evenly spread points four times the draws more than halve them."""
    setting = {"tau": 0.5} if gate is Gumbel else {"scale": 0.7}
    exact = weights(gate(n_draws=2**14, **setting), SOFTMAX, Z)

    def error(n):
        found = [weights(gate(n_draws=n, seed=seed, **setting), SOFTMAX, Z) - exact for seed in range(8)]
        return np.sqrt(np.mean(np.square(found)))

    few, more = error(64), error(256)
    assert few < bound
    assert more < 0.5 * few


def test_noise_above_a_bar_is_drawn_to_full_precision():
    """The quantile by which it is drawn, from the middle far into the tail."""
    levels = np.logspace(-290, np.log10(0.5), 400)
    start = np.array([normal_quantile(a) for a in levels])
    assert np.abs(ndtr(-start) / levels - 1).max() < 1e-4
    cut, mass, hazard, e, rho = np.empty((5, 400))
    bar = np.linspace(-5.0, 35.0, 400)
    share = np.full(400, 0.3)
    _above(bar, np.zeros(400), np.zeros(400), share, 1.0, True, cut, mass, hazard, e, rho)
    np.testing.assert_allclose(mass, ndtr(-bar), rtol=1e-12)  # SciPy's far tail is good to 2e-13
    np.testing.assert_allclose(ndtr(-e), 0.3 * ndtr(-bar), rtol=1e-12)  # SciPy's far tail is good to 2e-13
    step = 1e-6
    ends = np.empty((2, 400))
    for end, side in zip(ends, (-step, step), strict=True):
        _above(bar + side, np.zeros(400), np.zeros(400), share, 1.0, True, cut, mass, hazard, end, rho.copy())
    np.testing.assert_allclose(rho, (ends[1] - ends[0]) / (2 * step), atol=1e-7)


def test_draws_are_the_same_for_all_rows(Z):
    """A row's weights do not depend on its company."""
    for gate in (Gumbel(), NoisyTopK(scale=0.7)):
        alone = np.concatenate([weights(gate, SOFTMAX, z[None]) for z in Z[:5]])
        np.testing.assert_allclose(alone, weights(gate, SOFTMAX, Z)[:5], rtol=1e-13)


# --------------------------------------------------------------------------------------- fits
def test_experts_keep_their_draws():
    """With other labels averages differ by their error, so that a fit must not relabel its experts at its end."""
    for gate in ("gumbel", "noisy_topk(n_active=1, scale=1)"):
        results = fit(gate)
        assert results.certificate.status in (ms.Status.STRICT_MAXIMUM, ms.Status.RUNAWAY)
        assert results.certificate.optimum.gradient < 1e-8


def test_a_temperature_that_falls_to_zero_is_named():
    """Where softmax is the truth, and the likelihood rises as the temperature falls."""
    rng = np.random.default_rng(3)
    model = ms.MixtureOfExperts(gate="gumbel(tau=None)")
    results = None
    for _ in range(6):
        X = rng.normal(size=(300, 1))
        y = np.where(rng.random(300) < expit(3 * X[:, 0]), 2 + X[:, 0], -2.0) + 0.3 * rng.normal(size=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ms.errors.ConvergenceWarning)
            results = ms.fit(model, X, y, n_starts=4)
        if results.params.gate.temperature < 0.1001:
            break
    assert results.params.gate.temperature == pytest.approx(0.1)
    assert "tau=0" in results.certificate.optimum.towards


# --------------------------------------------------------------------------------------- load
def test_importance_and_load_add_up():
    for gate, each in (("topk(n_active=1)", 1), ("noisy_topk(n_active=1, scale=1.0)", 1), ("softmax", 2)):
        table = fit(gate).expert_load()
        assert table.loc[[1, 2], "importance"].sum() == pytest.approx(300)
        assert table.loc[[1, 2], "load"].sum() == pytest.approx(300 * each)
        for name in ("importance", "load"):
            found = table.loc[[1, 2], name]
            assert table.loc["cv", name] == pytest.approx(found.std(ddof=0) / found.mean())


def test_load_counts_rows_that_select_an_expert():
    results = fit("topk(n_active=1)")
    X, _ = rows()
    on = results.gate_weights() > 0
    np.testing.assert_array_equal(results.expert_load().loc[[1, 2], "load"], on.sum(axis=0))
    np.testing.assert_array_equal(results.expert_load(X[:50]).loc[[1, 2], "load"], on[:50].sum(axis=0))


def test_load_under_noise_is_the_chance_to_be_selected():
    gate = NoisyTopK(n_active=2, scale=0.7, n_draws=1024)
    model = ms.MixtureOfExperts(gate=gate, n_experts=4)
    Z = normal(5, 2, seed=4)
    slopes, intercepts = normal(4, 2, seed=5), normal(4, seed=6)
    expert = {"slopes": np.zeros((4, 2)), "intercepts": np.zeros(4), "variances": np.ones(4)}
    params = model.params(gate={"slopes": slopes, "intercepts": intercepts}, expert=expert)
    source = model.data(Z, np.zeros(5))
    terms, block = model.terms(source.schema), next(source.blocks())
    local = model.to_theta(params, source.schema, source.coordinates)[terms.gate_columns]
    value = np.empty((4, block.weight.size))
    terms.gate.value(local, block, value)
    found = terms.gate.chances(local, block, value)[:, :5].T
    noisy = (Z @ slopes.T + intercepts)[:, None] + 0.7 * np.random.default_rng(2).standard_normal((40_000, 4))
    expected = (noisy >= np.sort(noisy, axis=2)[:, :, [2]]).mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=0.01)  # four standard errors of the plain mean


# --------------------------------------------------------------------------------------- bad settings
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gumbel(tau=-0.5), "tau must be a finite number of at least 0"),
        (lambda: Gumbel(tau=np.inf), "tau must be a finite number"),
        (lambda: Gumbel(tau=True), "tau must be a finite number"),
        (lambda: Gumbel(n_draws=60), "n_draws must be a power of two.*got 60"),
        (lambda: Gumbel(n_draws=0), "n_draws must be a power of two"),
        (lambda: Gumbel(n_draws=16.0), "n_draws must be a power of two"),
        (lambda: Gumbel(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: Gumbel("softmax"), "inner of the gumbel gate must be a gate"),
        (lambda: NoisyTopK(scale=-0.1), "scale must be a finite number larger than 0.*got -0.1"),
        (lambda: NoisyTopK(scale=0.0), "Without noise it is the topk gate"),
        (lambda: NoisyTopK(scale=np.nan), "scale must be a finite number"),
        (lambda: NoisyTopK(n_active=0), "n_active must be a whole number of at least 1"),
        (lambda: NoisyTopK(n_draws=12), "n_draws must be a power of two"),
        (lambda: fit("noisy_topk(n_active=3)"), "n_active must be at most n_experts=2"),
        (lambda: fit("noisy_topk(n_active=1)"), "only the ratio of logits and noise is determined"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_draws_fill_the_law():
    draws = normal_draws(1024, 2, 5)
    assert np.abs(draws.mean(axis=0)).max() < 0.01
    np.testing.assert_allclose(draws.std(axis=0), 1.0, atol=0.02)

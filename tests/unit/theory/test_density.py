"""Distances of densities against closed forms, and against other ways to integrate."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, poisson

import moestat as ms
from moestat.errors import InputError
from moestat.theory import hellinger, kullback_leibler, mixing_measure, total_variation


def one_normal(mean, variance):
    """A single expert: the law N(mean, variance), whatever the covariate."""
    model = ms.MixtureOfExperts(n_experts=1)
    expert = {"slopes": [[0.0]], "intercepts": [mean], "variances": [variance]}
    return model, model.params(gate={"slopes": [[0.0]], "intercepts": [0.0]}, expert=expert)


@pytest.mark.parametrize(
    ("m", "s", "n", "t"), [(0, 1, 0.5, 1), (0, 1, 0, 3), (1, 0.1, -2, 2), (0, 1, 1e-4, 1), (0, 1, 30, 1)]
)
def test_two_normal_laws(m, s, n, t):
    p, q = one_normal(m, s**2), one_normal(n, t**2)
    affinity = np.sqrt(2 * s * t / (s**2 + t**2)) * np.exp(-((m - n) ** 2) / (4 * (s**2 + t**2)))
    expected = np.sqrt(-np.expm1(np.log(affinity)))
    assert float(hellinger(q, p)) == pytest.approx(expected, rel=1e-9)
    kl = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    assert float(kullback_leibler(q, p)) == pytest.approx(kl, rel=1e-9)


@pytest.mark.parametrize("gap", [1e-6, 0.1, 1.0, 5.0])
def test_total_variation_of_two_normals_of_one_variance(gap):
    expected = 2 * norm.cdf(gap / 2) - 1
    assert float(total_variation(one_normal(gap, 1.0), one_normal(0.0, 1.0))) == pytest.approx(expected, rel=1e-9)


def mixture(slope, level):
    model = ms.MixtureOfExperts(n_experts=2)
    expert = {"slopes": [[1.0], [-1.0]], "intercepts": [level, 0.0], "variances": [0.04, 1.0]}
    return model, model.params(gate={"slopes": [[slope], [0.0]], "intercepts": [-1.0, 0.0]}, expert=expert)


def density(law, x):
    model, params = law
    weights = model.gate_weights(params, [[x]])[0]
    e = params.expert
    return lambda y: float(weights @ norm.pdf(y, e.slopes[:, 0] * x + e.intercepts, np.sqrt(e.variances)))


def at(function, p, q, x):
    return float(function(q, p, covariates=[[x]]))


@pytest.mark.parametrize("x", [0.0, 0.4, 1.0])
def test_mixtures_against_other_quadratures(x):
    p, q = mixture(3.0, 0.0), mixture(4.0, 0.2)
    f, g = density(p, x), density(q, x)
    options = {"points": [-1.0, -0.5, 0.0, 0.2, 0.5, 1.0, 1.5], "limit": 400, "epsabs": 1e-13}
    tv = 0.5 * quad(lambda y: abs(f(y) - g(y)), -12, 12, **options)[0]
    assert at(total_variation, p, q, x) == pytest.approx(tv, rel=1e-7)
    kl = quad(lambda y: f(y) * np.log(f(y) / g(y)), -12, 12, **options)[0]
    assert at(kullback_leibler, p, q, x) == pytest.approx(kl, rel=1e-8)
    with mpmath.workdps(20):
        own = mpmath.quad(lambda y: (mpmath.sqrt(f(float(y))) - mpmath.sqrt(g(float(y)))) ** 2, np.linspace(-8, 8, 33))
    assert at(hellinger, p, q, x) == pytest.approx(float(mpmath.sqrt(own / 2)), rel=1e-8)


@pytest.mark.parametrize("function", [hellinger, total_variation, kullback_leibler])
def test_the_mean_over_a_uniform_covariate(function):
    p, q = mixture(3.0, 0.0), mixture(4.0, 0.2)
    found = function(q, p, "uniform")
    rows = (np.arange(400)[:, None] + 0.5) / 400
    assert found.method == "quadrature"
    assert found.value == pytest.approx(float(function(q, p, rows)), rel=1e-5)
    assert found.error < 1e-8
    drawn = function(q, p, lambda rng, n: rng.random((n, 1)), n_draws=1500, seed=3)
    assert drawn.method == "monte carlo"
    assert abs(drawn.value - found.value) < 4 * drawn.error


def test_a_normal_covariate_in_two_dimensions():
    """The gate is flat, so the distance is one of a linear difference of means: its mean has a closed form."""
    model = ms.MixtureOfExperts(n_experts=1)

    def law(slopes):
        gate = {"slopes": [[0.0, 0.0]], "intercepts": [0.0]}
        return model, model.params(gate=gate, expert={"slopes": [slopes], "intercepts": [0.0], "variances": [1.0]})

    found = kullback_leibler(law([0.3, 0.4]), law([0.0, 0.0]), "normal")
    assert found.value == pytest.approx(0.25 / 2, rel=1e-9)


def test_three_covariates_are_drawn():
    model = ms.MixtureOfExperts(n_experts=1)

    def law(slope):
        gate = {"slopes": np.zeros((1, 3)), "intercepts": [0.0]}
        return model, model.params(
            gate=gate, expert={"slopes": [[slope, 0, 0]], "intercepts": [0.0], "variances": [1.0]}
        )

    found = kullback_leibler(law(1.0), law(0.0), "normal", n_draws=2000)
    assert found.method == "monte carlo"
    assert abs(found.value - 0.5) < 4 * found.error


def test_classes_and_counts_are_summed():
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    flat = {"slopes": [[0.0]], "intercepts": [0.0]}
    p, q = (
        (model, model.params(gate=flat, expert={"slopes": [[[0.0], [0.0]]], "intercepts": [logits]}))
        for logits in ([0.0, np.log(2.0)], [np.log(2.0), 0.0])
    )
    assert float(total_variation(q, p)) == pytest.approx(0.25, rel=1e-12)
    assert float(kullback_leibler(q, p)) == pytest.approx(0.25 * np.log(0.5) + 0.5 * np.log(2), rel=1e-12)
    counts = ms.MixtureOfExperts(expert="poisson", n_experts=1)
    a, b = (
        (counts, counts.params(gate=flat, expert={"slopes": [[0.0]], "intercepts": [np.log(rate)]}))
        for rate in (3.0, 5.0)
    )
    k = np.arange(80)
    assert float(total_variation(b, a)) == pytest.approx(
        0.5 * np.abs(poisson.pmf(k, 3) - poisson.pmf(k, 5)).sum(), rel=1e-9
    )
    assert float(hellinger(b, a)) == pytest.approx(np.sqrt(1 - np.exp(-0.5 * (np.sqrt(3) - np.sqrt(5)) ** 2)), rel=1e-9)


def test_other_responses_are_drawn_with_a_standard_error():
    model = ms.MixtureOfExperts(expert="multivariate_gaussian", n_experts=1)

    def law(level):
        expert = {"slopes": [[[0.0], [0.0]]], "intercepts": [[level, 0.0]], "covariances": [np.eye(2)]}
        return model, model.params(gate={"slopes": [[0.0]], "intercepts": [0.0]}, expert=expert)

    found = kullback_leibler(law(0.5), law(0.0), np.zeros((300, 1)))
    assert found.method == "monte carlo"
    assert 0 < found.error < 0.01
    assert abs(found.value - 0.125) < 4 * found.error
    near = hellinger(law(0.5), law(0.0), np.zeros((300, 1)))
    assert near.value == pytest.approx(np.sqrt(1 - np.exp(-1 / 32)), rel=5e-3)


def test_a_split_atom_and_a_shifted_gate_have_the_same_density():
    law = mixture(3.0, 0.0)
    model, params = law
    moved = model.params(
        gate={"slopes": params.gate.slopes + 7.0, "intercepts": params.gate.intercepts - 2.0}, expert=params.expert
    )
    for function in (hellinger, total_variation, kullback_leibler):
        assert float(function((model, moved), law)) < 1e-12
    assert float(hellinger(mixing_measure(model, moved), mixing_measure(model, params))) < 1e-12


def test_what_cannot_be_compared():
    p = mixture(1.0, 0.0)
    with pytest.raises(InputError, match="covariates must be 'uniform', 'normal'"):
        hellinger(p, p, "cauchy")
    with pytest.raises(InputError, match="covariates must be finite rows with 1 columns"):
        hellinger(p, p, np.zeros((3, 2)))
    with pytest.raises(InputError, match="fitted must be a fit, a mixing measure or a pair"):
        hellinger(3, p)
    with pytest.raises(InputError, match="n_draws must be a whole number of at least 2"):
        hellinger(p, p, n_draws=1)
    classes = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    q = (
        classes,
        classes.params(
            gate={"slopes": [[0.0]], "intercepts": [0.0]}, expert={"slopes": [[[0.0]]], "intercepts": [[0.0]]}
        ),
    )
    with pytest.raises(InputError, match="same kind of response"):
        hellinger(q, p)

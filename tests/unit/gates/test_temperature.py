"""The temperature gate: its limits, its ray, what is reported of it, and temperatures that depend on something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import moestat as ms
from moestat.component import Dims
from moestat.errors import InputError
from moestat.gates import Activation, AdaptiveTemperature, Constant, Gate, Laplace, Softmax, Temperature, TopK
from moestat.solvers import Problem
from moestat.typing import FloatArray

K = 3
SOFTMAX = {"slopes": [[1.5, -0.5], [-1.0, 2.0], [0.0, 0.0]], "intercepts": [0.3, -0.2, 0.0]}
EXPERT = {"slopes": np.eye(3)[:, :2], "intercepts": [0.0, 2.0, -2.0], "variances": [0.3, 0.2, 0.4]}


def weights(gate: ms.gates.Gate, params: dict, Z: FloatArray) -> FloatArray:
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    return model.gate_weights(model.params(gate=params, expert=EXPERT), Z)


@pytest.fixture
def Z() -> FloatArray:
    return np.random.default_rng(0).standard_normal((200, 2))


def around(tau: float) -> dict:
    return {"inner": SOFTMAX, "temperature": tau}


# --------------------------------------------------------------------------------------- limits
def test_one_is_the_inner_gate(Z: FloatArray) -> None:
    expected = weights(Softmax(), SOFTMAX, Z)
    np.testing.assert_allclose(weights(Temperature(), around(1.0), Z), expected, rtol=1e-14)
    np.testing.assert_allclose(weights(Temperature(tau=1.0), SOFTMAX, Z), expected, rtol=1e-14)


def test_infinity_is_uniform_and_zero_takes_the_largest(Z: FloatArray) -> None:
    np.testing.assert_allclose(weights(Temperature(), around(1e12), Z), 1 / K, rtol=1e-10)
    hard = np.eye(K)[weights(Softmax(), SOFTMAX, Z).argmax(axis=1)]
    np.testing.assert_allclose(weights(Temperature(), around(1e-12), Z), hard, atol=1e-12)


def test_a_held_temperature_is_a_scale(Z: FloatArray) -> None:
    scaled = {name: 2.0 * np.asarray(value) for name, value in SOFTMAX.items()}
    np.testing.assert_allclose(weights(Temperature(tau=0.5), SOFTMAX, Z), weights(Softmax(), scaled, Z), rtol=1e-13)


def test_without_slopes_it_depends_on_nothing(Z: FloatArray) -> None:
    same = {**around(0.7), "log_slopes": [0.0, 0.0]}
    gate = Temperature(depends_on="covariates")
    np.testing.assert_allclose(weights(gate, same, Z), weights(Temperature(), around(0.7), Z), rtol=1e-14)
    adaptive = {**around(0.7), "entropy": 0.0}
    np.testing.assert_allclose(
        weights(AdaptiveTemperature(), adaptive, Z), weights(Temperature(), around(0.7), Z), rtol=1e-13
    )


def test_undecided_rows_are_sharpened(Z: FloatArray) -> None:
    """With a negative slope the weights are sharper where the inner ones have much entropy, the same at log K."""
    plain, sharp = (weights(AdaptiveTemperature(), {**around(1.0), "entropy": a}, Z) for a in (0.0, 2.0))
    assert (sharp.max(axis=1) >= plain.max(axis=1) - 1e-12).all()  # entropy below log K: a positive slope cools


# --------------------------------------------------------------------------------------- the ray
@pytest.fixture(scope="module")
def fitted() -> tuple[ms.Results, ms.Results]:
    """The same rows by a softmax gate, and by one with a temperature."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 2))
    model = ms.MixtureOfExperts(gate=Softmax(), n_experts=K)
    y = model.sample(model.params(gate=SOFTMAX, expert=EXPERT), X, rng)
    softmax, temperature = (
        ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=K), X, y, n_starts=6) for gate in ("softmax", "temperature")
    )
    return softmax, temperature


def test_on_the_ray_the_fit_is_that_of_the_inner_gate(fitted: tuple[ms.Results, ms.Results]) -> None:
    softmax, temperature = fitted
    assert temperature.certificate.trusted
    assert temperature.llf == pytest.approx(softmax.llf, rel=1e-10)
    assert temperature.df_model == softmax.df_model
    np.testing.assert_allclose(temperature.bse.to_numpy(), softmax.bse.to_numpy(), rtol=1e-5)


def test_nobody_is_shown_a_standard_error_of_tau(fitted: tuple[ms.Results, ms.Results]) -> None:
    _, results = fitted
    assert "gate.temperature" not in results.bse
    row = results.table().loc["gate.temperature"]
    assert row["estimate"] == 1.0
    assert row["role"] == "reference"
    assert np.isnan(row["std_err"]) or row["std_err"] == 0.0
    text = results.summary().as_text()
    assert "temperature     1.0000  reference" in text
    assert "Gate: inner[1]" in text


def test_all_points_of_the_ray_have_one_ratio() -> None:
    gate = Temperature()
    layout = gate.layout(Dims(K, 2))
    theta = np.random.default_rng(2).standard_normal(layout.size)
    reading = gate.reading(layout, theta)
    raw, ratio, unit = reading.raw, reading.ratio, reading.unit
    assert ratio.temperature == 1.0
    np.testing.assert_allclose(ratio.inner.slopes, raw.inner.slopes / raw.temperature)
    np.testing.assert_allclose(unit.inner.slopes / unit.temperature, ratio.inner.slopes)
    length = (unit.inner.slopes**2).sum() + (unit.inner.intercepts**2).sum() + unit.temperature**2
    assert length == pytest.approx(1.0)


def test_where_the_temperature_is_identified_there_is_no_reading() -> None:
    gate = AdaptiveTemperature()
    nested = Temperature(gate)  # of two temperatures only the product counts: a ray, but no ratio of slopes
    layout = nested.layout(Dims(K, 2))
    with pytest.raises(InputError, match="only their ratio is identified"):
        nested.reading(layout, np.zeros(layout.size))
    assert gate.invariances(gate.layout(Dims(K, 2)), np.ones(11))[0].shape[0] == 3  # the softmax gate's own


def test_a_fixed_temperature_leaves_the_translations() -> None:
    """The canonical form of the inner gate is reached although the ray is barred."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 1))
    model = ms.MixtureOfExperts(gate="temperature", n_experts=2, fixed={"gate.temperature": 0.5})
    truth = {"inner": {"slopes": [[2.0], [0.0]], "intercepts": [0.5, 0.0]}, "temperature": 0.5}
    expert = {"slopes": [[3.0], [-3.0]], "intercepts": [0.0, 1.0], "variances": [0.2, 0.2]}
    y = model.sample(model.params(gate=truth, expert=expert), X, rng)
    results = ms.fit(model, X, y, n_starts=4)
    assert results.params.gate.temperature == 0.5
    np.testing.assert_allclose(results.params.gate.inner.slopes[-1], 0.0, atol=1e-12)
    np.testing.assert_allclose(results.params.gate.inner.intercepts[-1], 0.0, atol=1e-12)
    free = ms.fit(ms.MixtureOfExperts(gate="softmax", n_experts=2), X, y, n_starts=4)
    assert results.llf == pytest.approx(free.llf, rel=1e-10)
    np.testing.assert_allclose(results.params.gate.inner.slopes * 2.0, free.params.gate.slopes, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_badly_scaled_covariates_change_nothing(scale: float) -> None:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 1))
    y = np.where(
        rng.random(300) < 1 / (1 + np.exp(-2 * X[:, 0])), 3 * X[:, 0], -2 * X[:, 0]
    ) + 0.3 * rng.standard_normal(300)
    model = ms.MixtureOfExperts(gate="temperature(depends_on='covariates')", n_experts=2)
    plain, scaled = (ms.fit(model, covariates, y, n_starts=4) for covariates in (X, 1950.0 * scale + scale * X))
    assert scaled.llf == pytest.approx(plain.llf, rel=1e-8)


# --------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize("tau", [1e-200, 9e-9, 1.1e8, 1e200])
@pytest.mark.parametrize(
    "gate", [Temperature, lambda tau: Activation("tanh", tau=tau)], ids=["temperature", "activation"]
)
def test_tau_is_of_a_size_that_can_divide_logits(gate: Any, tau: float) -> None:
    with pytest.raises(InputError, match="tau must lie between 1e-08 and 1e\\+08"):
        gate(tau=tau)


@pytest.mark.parametrize("gate", ["temperature(tau={})", "activation(tau={})"])
@pytest.mark.parametrize("tau", [1e-8, 1e8])
@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
def test_a_fit_with_the_most_extreme_tau_ends(gate: str, tau: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), rng.normal(size=100)
    assert np.isfinite(ms.fit(ms.MixtureOfExperts(gate=gate.format(tau)), X, y, n_starts=2).llf)


@pytest.mark.parametrize("depends_on", [None, "covariates"])
@pytest.mark.parametrize("log_tau", [-1e4, -500.0])
def test_next_to_zero_it_has_finite_derivatives(depends_on: str | None, log_tau: float) -> None:
    """A trust region may step there on its way; top-2 of three, whose third expert has minus infinity."""
    rng = np.random.default_rng(0)
    model = ms.MixtureOfExperts(gate=Temperature(TopK(), depends_on=depends_on), n_experts=3)
    passes = Problem.of(model, model.data(rng.normal(size=(50, 2)), rng.normal(size=50))).passes
    theta = rng.normal(size=passes.terms.size)
    theta[9] = log_tau
    sums = passes.hessian(theta)
    assert all(np.isfinite(part).all() for part in (sums.loglik, sums.score, sums.hessian))


@pytest.mark.parametrize("tau", [0, -1.0, np.inf, np.nan, "warm", True])
def test_tau_is_positive(tau: object) -> None:
    with pytest.raises(InputError, match="tau must be a finite number larger than zero"):
        Temperature(tau=tau)  # type: ignore[arg-type]


def test_other_settings_say_what_they_take() -> None:
    with pytest.raises(InputError, match="adaptive_temperature gate"):
        Temperature(depends_on="entropy")
    with pytest.raises(InputError, match="leave one out"):
        Temperature(tau=0.5, depends_on="covariates")
    with pytest.raises(InputError, match=r"must be a gate, such as Softmax\(\)"):
        Temperature("softmax")  # type: ignore[arg-type]


def test_entropy_needs_a_gate_with_covariates():
    with pytest.raises(InputError, match=r"inner must be a gate with covariates; got a constant one"):
        AdaptiveTemperature(Constant())


@pytest.mark.parametrize("inner", [Laplace(), Activation("tanh", tau=0.5), Softmax(), Temperature()], ids=repr)
def test_a_superfluous_covariate_leaves_the_temperature_open(inner: Gate, Z: FloatArray) -> None:
    """Whether or not the inner gate can mix covariates: log tau is a predictor, and a relation vanishes in it."""
    gate = Temperature(inner, depends_on="covariates")
    layout = gate.layout(Dims(K, 3))
    relation = np.array([1.0, 1.0, -1.0, -1.0])  # x3 = 1 + x1 - x2
    own = np.concatenate([layout.index("temperature").ravel(), layout.index("log_slopes")])
    open_ = np.zeros(layout.size)
    open_[own] = relation
    assert any(np.array_equal(direction, open_) for direction in gate.null_directions(layout, relation[None]))
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    expert = {"slopes": np.zeros((K, 3)), "intercepts": np.zeros(K), "variances": np.ones(K)}
    theta = 0.5 * np.random.default_rng(5).standard_normal(layout.size)
    X = np.column_stack([Z, 1.0 + Z[:, 0] - Z[:, 1]])
    here, there = (
        model.gate_weights(model.params(gate=layout.unpack(at), expert=expert), X) for at in (theta, theta + 3 * open_)
    )
    np.testing.assert_allclose(there, here, rtol=1e-11)


def test_an_extreme_adaptive_temperature_has_finite_derivatives() -> None:
    """On the way to a limit the search may come there; a Hessian that is not a number would stop it with an error."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((50, 2)), rng.standard_normal(50)
    model = ms.MixtureOfExperts(gate=AdaptiveTemperature(), n_experts=K)
    problem = Problem.of(model, model.data(X, y))
    for level, slope in ((-700.0, 0.0), (700.0, 0.0), (-300.0, 1e4), (300.0, -1e6)):
        theta = 0.3 * rng.standard_normal(problem.layout.size)
        gate = problem.passes.terms.n_gate
        theta[gate - 2 : gate] = level, slope
        sums = problem.passes.hessian(theta)
        assert np.isfinite(sums.loglik)
        assert np.isfinite(sums.score).all()
        assert np.isfinite(sums.hessian).all()


@pytest.mark.parametrize("tau", [1e-6, 1e-12, 1e-20, 1e-100])
def test_towards_zero_the_likelihood_is_that_of_the_largest(tau: float, Z: FloatArray) -> None:
    """Huge logits do not round the densities away."""
    y = np.random.default_rng(1).standard_normal(len(Z))
    hard = weights(Softmax(), SOFTMAX, Z).argmax(axis=1)
    means = np.array(EXPERT["intercepts"]) + Z @ np.array(EXPERT["slopes"]).T
    expected = stats.norm.logpdf(y, means[np.arange(len(Z)), hard], np.sqrt(np.array(EXPERT["variances"])[hard])).sum()
    model = ms.MixtureOfExperts(gate=Temperature(), n_experts=K)
    loglik = model.loglik(model.params(gate=around(tau), expert=EXPERT), Z, y)
    np.testing.assert_allclose(loglik, expected, rtol=1e-4 if tau == 1e-6 else 1e-13)

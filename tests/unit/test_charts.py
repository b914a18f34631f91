"""Charts: derivatives in their coordinates, the way to a limit, and fits that go there."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.bounds import check_bounds
from moestat.charts import Chart, contrasts
from moestat.errors import NotIdentifiedError, SeparationWarning
from moestat.solvers import Problem


@pytest.fixture(params=["activation('sigmoid')", "activation('silu')", "adaptive_temperature"])
def problem(request):
    rng = np.random.default_rng(4)
    model = ms.MixtureOfExperts(gate=request.param, n_experts=3)
    return Problem.of(model, model.prepare(model.data(rng.normal(size=(60, 2)), rng.normal(size=60))))


@pytest.fixture
def theta(problem):
    return 0.5 * np.random.default_rng(5).normal(size=problem.layout.size)


def test_contrasts_are_orthogonal_and_end_with_the_mean():
    for size in (1, 2, 5):
        turn = contrasts(size)
        np.testing.assert_allclose(turn @ turn.T, np.eye(size), atol=1e-15 * size)
        np.testing.assert_allclose(turn[-1], size**-0.5)


def test_derivatives_are_those_along_moves(problem, theta):
    """Against central differences of the log-likelihood, whose error is of the order of the step's square."""
    sums, chart, h = problem.passes.hessian(theta), problem.chart, 1e-4
    unit = np.eye(theta.size)

    def value(step):
        return problem.passes.loglik(chart.move(theta, step))

    score = [(value(h * e) - value(-h * e)) / (2 * h) for e in unit]
    np.testing.assert_allclose(chart.score(theta, sums.score), score, atol=1e-5)
    here = value(0.0 * unit[0])

    def mixed(a, b):
        return (value(h * (a + b)) - value(h * (a - b)) - value(h * (b - a)) + value(-h * (a + b))) / (2 * h) ** 2

    second = [[mixed(a, b) for a in unit] for b in unit]
    tolerance = 1e-15 * abs(here) / h**2 + 1e-4
    np.testing.assert_allclose(chart.hessian(theta, sums.score, sums.hessian), second, atol=tolerance)


def test_directions_and_steps_are_inverse(problem, theta):
    rows = np.random.default_rng(6).normal(size=(3, theta.size))
    chart = problem.chart
    np.testing.assert_allclose(chart.directions(theta, chart.steps(theta, rows)), rows, atol=1e-12)


def test_moves_add_up(problem, theta):
    """Coordinates are global: two steps are one."""
    one, other = np.random.default_rng(7).normal(size=(2, theta.size))
    twice = problem.chart.move(problem.chart.move(theta, one), other)
    np.testing.assert_allclose(twice, problem.chart.move(theta, one + other), atol=1e-12)


def test_the_way_to_the_limit_is_straight(problem, theta):
    """Ever smaller temperatures, other coordinates as they are: the log-likelihood settles."""
    levels = np.array([-3.0, -4.0, -5.0, -6.0])
    step = np.eye(theta.size)[problem.chart.driver]
    along = [problem.passes.loglik(problem.chart.move(theta, (t - theta @ step) * step)) for t in levels]
    changes = np.abs(np.diff(along))
    assert (changes[1:] < 0.6 * changes[:-1]).all()  # by a factor of e, or its square


@pytest.mark.parametrize(
    ("bounds", "bent"),
    [(None, True), ({"gate.temperature": (0.01, 100.0)}, True), ({"gate.slopes": 9.0}, False)],
)
def test_a_box_around_what_moves_together_rules_the_chart_out(bounds, bent):
    model = ms.MixtureOfExperts(gate="activation('sigmoid')", n_experts=2)
    X = np.random.default_rng(0).normal(size=(30, 2))
    data = model.data(X, X[:, 0])
    box = check_bounds(model, data.schema, bounds)
    assert Problem.of(model, model.prepare(data, bounded=tuple(box)), box).chart.bent == bent


@pytest.mark.parametrize("gate", ["softmax", "activation('relu')", "activation('sigmoid', tau=0.5)", "temperature"])
def test_gates_without_such_a_limit_have_a_straight_chart(gate):
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    data = model.data(np.random.default_rng(0).normal(size=(30, 2)), np.arange(30.0))
    assert not Problem.of(model, model.prepare(data)).chart.bent


def test_a_straight_chart_adds():
    theta = np.arange(3.0)
    np.testing.assert_array_equal(Chart.straight(3).move(theta, 0.1 * theta), theta + 0.1 * theta)


# --------------------------------------------------------------------------------------- fits that go to the limit
def drawn(seed):
    """Rows of a softmax gate, whose linear logits are a limit of both gates."""
    rng = np.random.default_rng(seed)
    model = ms.MixtureOfExperts(gate="softmax", n_experts=2)
    expert = {"intercepts": [2.0, -2.0], "slopes": [[3.0, 1.0], [-3.0, 0.5]], "variances": [0.3, 0.3]}
    truth = model.params(gate={"intercepts": [0.3, 0.0], "slopes": [[2.0, -1.5], [0.0, 0.0]]}, expert=expert)
    X = rng.standard_normal((400, 2))
    return X, model.sample(truth, X, rng)


@pytest.fixture(scope="module", params=["activation('sigmoid')", "activation('silu')", "adaptive_temperature"])
def at_the_limit(request):
    X, y = drawn(3)
    with pytest.warns(SeparationWarning, match="shrink together"):
        return request.param, ms.fit(ms.MixtureOfExperts(gate=request.param, n_experts=2), X, y), X, y


def limit_logits(gate, params, X):
    """Logits (n, K) of the limit that finite parameters are near."""
    if gate == "adaptive_temperature":
        scale = params.temperature
        u = (X @ params.inner.slopes.T + params.inner.intercepts) / scale
        # two weights are 1/2 +- t/4 with t the difference of inner logits: log 2 - H = t^2 / 8
        return u * np.exp(params.entropy * scale**2 * (u[:, 0] - u[:, 1]) ** 2 / 8.0)[:, None]
    mean = params.slopes.mean(axis=0)
    z = X @ mean
    s = 1.0 / (1.0 + np.exp(-z))
    slope = s * (1.0 - s) if "sigmoid" in gate else s + z * s * (1.0 - s)
    return (slope[:, None] * (X @ (params.slopes - mean).T) + params.intercepts) / params.temperature


def test_the_supremum_is_the_likelihood_of_the_limit(at_the_limit):
    """What the limiting gate gives at the same parameters differs from it by the square of the last temperature."""
    gate, results, X, y = at_the_limit
    optimum = results.certificate.optimum
    assert optimum.status is ms.Status.RUNAWAY
    assert optimum.limit >= results.llf
    h, e = limit_logits(gate, results.params.gate, X), results.params.expert
    residuals = y[:, None] - e.intercepts - X @ e.slopes.T
    b = -0.5 * (np.log(2 * np.pi * e.variances) + residuals**2 / e.variances)
    rows = np.logaddexp.reduce(h + b, axis=1) - np.logaddexp.reduce(h, axis=1)
    assert rows.sum() == pytest.approx(optimum.limit, abs=y.size * float(results.params.gate.temperature) ** 2)


def test_most_starts_agree_on_the_limit_and_the_certificate_names_it(at_the_limit):
    """They used to give up on the way, each at a height of its own."""
    certificate = at_the_limit[1].certificate
    assert certificate.n_starts == 20  # no rescue was needed
    assert certificate.n_reached >= 10
    assert certificate.optimum.towards in str(certificate)
    assert certificate.status is not ms.Status.NOT_CONVERGED


def test_what_goes_to_the_limit_has_no_standard_error(at_the_limit):
    """The gate's parameters are the limit's times powers of a temperature that stands for zero; experts have theirs."""
    _, results, _, _ = at_the_limit
    with pytest.raises(NotIdentifiedError):
        _ = results.bse
    errors = results.standard_errors(allow_singular=True)
    gate = errors.index.str.startswith("gate")
    assert errors[gate & (errors.to_numpy() != 0.0)].isna().all()
    assert (errors[~gate] > 0.0).all()


def test_bounds_on_the_temperature_give_a_maximum_on_them():
    X, y = drawn(3)
    model = ms.MixtureOfExperts(gate="activation('sigmoid')", n_experts=2)
    results = ms.fit(model, X, y, bounds={"gate.temperature": (0.01, 100.0)})
    assert results.certificate.status is ms.Status.AT_BOUND
    assert results.certificate.trusted

"""What holds for every registered gate with a likelihood at every front door."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.gates import GATES
from tests.unit.draws import normal

every_gate = pytest.mark.parametrize("gate", [name for name, gate in GATES.items() if gate.sums_to_one])
pytestmark = pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")


def rows(n=160):
    X = normal(n, 2, seed=1)
    y = np.where(normal(n, seed=2) < 2 * X[:, 0] - X[:, 1], 2 + X[:, 0], -2 + X[:, 1]) + 0.4 * normal(n, seed=3)
    return X, y


@every_gate
def test_one_expert_is_least_squares(gate):
    """There is nothing to share out: the gate has no parameters to speak of, in estimates, summary and files."""
    X, y = rows()
    results = ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=1), X, y)
    design = np.column_stack([np.ones(len(X)), X])
    coef = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(results.params.expert.intercepts, coef[:1], rtol=1e-8)
    np.testing.assert_allclose(results.params.expert.slopes[0], coef[1:], rtol=1e-8)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.df_model == 4
    assert not [name for name in results.bse.index if name.startswith("gate")]
    assert "none (one expert)" in results.summary().as_text()
    np.testing.assert_array_equal(results.gate_weights(X), np.ones((len(X), 1)))
    assert results.sample(X).shape == y.shape


@every_gate
def test_a_bare_name_is_fitted_saved_and_sampled(gate, tmp_path):
    X, y = rows()
    results = ms.fit(ms.MixtureOfExperts(gate=gate), X, y, n_starts=4)
    again = ms.load(results.save(tmp_path / "fit"))
    assert again.summary().as_text() == results.summary().as_text()
    np.testing.assert_array_equal(again.predict(X), results.predict(X))
    params = results.params
    assert results.model.loglik(params, X, y) == pytest.approx(results.llf, abs=1e-8)


@every_gate
def test_facade_and_formula_take_the_name(gate):
    X, y = rows()
    here = ms.fit(ms.MixtureOfExperts(gate=gate), X, y, n_starts=3, seed=0)
    facade = ms.MoERegressor(gate=gate, n_starts=3, random_state=0).fit(X, y)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y})
    formula = ms.moe("y ~ a + b", frame, gate=gate, n_experts=2).fit(n_starts=3, seed=0)
    assert facade.results_.llf == pytest.approx(here.llf, abs=1e-8)
    assert formula.llf == pytest.approx(here.llf, abs=1e-8)


@every_gate
def test_samples_follow_the_weights(gate):
    """Frequencies of 4000 draws of each row, within five standard errors of the gate's weights."""
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    X, y = rows()
    fitted = ms.fit(model, X, y, n_starts=2).params
    expert = {"intercepts": [100.0, -100.0], "slopes": np.zeros((2, 2)), "variances": [1.0, 1.0]}
    gate_fields = {name: getattr(fitted.gate, name) for name in fitted.gate.__dataclass_fields__}
    params = model.params(gate=gate_fields, expert=expert)
    few, repeats = X[:5], 4000
    drawn = model.sample(params, np.repeat(few, repeats, axis=0), np.random.default_rng(1)).reshape(5, repeats)
    pi = model.gate_weights(params, few)[:, 0]
    assert (np.abs((drawn > 0).mean(axis=1) - pi) < 5 * np.sqrt(pi * (1 - pi) / repeats) + 1e-9).all()

"""Recovery from default starts, gate by gate: rows drawn from a truth that the search does not see."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.errors import ConvergenceWarning
from moestat.gates import Laplace

pytestmark = pytest.mark.slow

SETS, ROWS = 100, 600

#: What the gate's truth is, over two covariates of standard deviation 2; experts are two planes that cross.
TRUTHS = {
    "softmax(transform='tanh')": {"intercepts": [0.3, 0.0], "slopes": [[2.0, -1.5], [0.0, 0.0]]},
    "softmax(transform='sin')": {"intercepts": [0.3, 0.0], "slopes": [[2.0, -1.5], [0.0, 0.0]]},
    "laplace": {"intercepts": [0.3, 0.0], "centres": [[-2.0, 0.0], [1.5, 1.0]]},
    "quadratic": {
        "intercepts": [-0.5, 0.0],
        "slopes": [[1.0, -0.5], [0.0, 0.0]],
        "quadratic": [[0.3, -0.1, 0.1], [0.0, 0.0, 0.0]],
    },
    "quadratic(linear=False)": {"intercepts": [-1.0, 0.0], "quadratic": [[0.5, -0.2, 0.1], [0.0, 0.0, 0.0]]},
    "cosine": {"intercepts": [0.3, 0.0], "slopes": [[0.8, 0.6], [-0.8, -0.6]], "temperature": 0.7},
    "cosine(perturbation=0.5)": {"intercepts": [0.3, 0.0], "slopes": [[0.4, 0.3], [0.0, 0.0]], "temperature": 0.2},
    "sigmoid": {"intercepts": [0.5, -0.5], "slopes": [[1.5, 0.0], [0.0, -1.5]]},
    "norga": {"intercepts": [0.3, -0.3], "slopes": [[0.8, 0.0], [-0.4, 0.5]]},
}


def rows_of(gate: str, seed: int, n: int = ROWS):
    """A model, its true parameters, and rows drawn from them."""
    rng = np.random.default_rng([seed, 17])
    model = ms.MixtureOfExperts(gate=gate, n_experts=2)
    expert = {"intercepts": [1.0, -1.0], "slopes": [[1.0, 0.5], [-1.0, 0.5]], "variances": [0.3, 0.5]}
    truth = model.params(gate=TRUTHS[gate], expert=expert)
    X = 2.0 * rng.standard_normal((n, 2))
    return model, truth, X, model.sample(truth, X, rng)


@cache
def fitted(gate: str, seed: int):
    model, truth, X, y = rows_of(gate, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return ms.fit(model, X, y), model.loglik(truth, X, y)


@pytest.mark.parametrize("gate", TRUTHS)
def test_the_fit_is_at_least_as_likely_as_the_truth(gate):
    """In every data set: a search that finds less has not found the maximum."""
    gains = [results.llf - truth for results, truth in (fitted(gate, seed) for seed in range(SETS))]
    assert min(gains) >= 0.0


@pytest.mark.parametrize("gate", TRUTHS)
def test_nearly_all_fits_end_certified(gate):
    """At a strict maximum, declared directions apart: at least 95 of 100."""
    status = [fitted(gate, seed)[0].certificate.status for seed in range(SETS)]
    assert status.count(ms.Status.STRICT_MAXIMUM) >= 0.95 * SETS


@pytest.mark.parametrize(("share", "most"), [(0.1, 0.3), (0.01, 0.01)])
def test_smoothing_of_the_laplace_gate_hardly_matters(share, most):
    """Against a thousandth of the covariates' spread: centres move by less than a quarter of their standard error."""
    for seed in range(20):
        _, _, X, y = rows_of("laplace", seed)
        spread = X.std()
        with warnings.catch_warnings():  # of a supremum with a centre at infinity, a little higher
            warnings.simplefilter("ignore", ConvergenceWarning)
            models = (ms.MixtureOfExperts(gate=Laplace(smoothing=s * spread)) for s in (0.001, share))
            fine, coarse = (ms.fit(model, X, y) for model in models)
        assert abs(fine.llf - coarse.llf) < most
        error = fine.bse[[f"gate[{k}].{x}" for k in (1, 2) for x in ("x1", "x2")]].to_numpy()
        apart = np.abs(fine.params.gate.centres - coarse.params.gate.centres).ravel()
        assert (apart < 0.25 * error).all()

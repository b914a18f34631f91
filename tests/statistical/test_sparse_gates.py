"""Recovery from default starts of gates that switch experts off: the search does not see the truth."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.errors import ConvergenceWarning

pytestmark = pytest.mark.slow

#: Data sets by number of experts: fewer where a fit takes ten seconds.
SETS = {2: 20, 3: 10}
ROWS = 800

#: The scores' truth over two covariates of standard deviation 2; experts are planes that cross.
SCORES = {
    2: {"intercepts": [0.2, 0.0], "slopes": [[1.4, -1.0], [0.0, 0.0]]},
    3: {"intercepts": [0.2, -0.2, 0.0], "slopes": [[1.4, -1.0], [-1.0, -1.0], [0.0, 0.0]]},
}
GATES = ["sparsemax", "entmax(alpha=1.5)", "threshold"]

case = pytest.mark.parametrize(("gate", "n_experts"), [(gate, K) for gate in GATES for K in SCORES])


@cache
def fitted(gate: str, n_experts: int, seed: int):
    """A fit, the truth's log-likelihood, and the share of weights that are zero in truth."""
    rng = np.random.default_rng([seed, 17])
    model = ms.MixtureOfExperts(gate=gate, n_experts=n_experts)
    expert = {
        "intercepts": [1.0, -1.0, 0.0][:n_experts],
        "slopes": [[1.0, 0.5], [-1.0, 0.5], [0.0, -1.5]][:n_experts],
        "variances": [0.3, 0.5, 0.4][:n_experts],
    }
    truth = model.params(gate=SCORES[n_experts], expert=expert)
    X = 2.0 * rng.standard_normal((ROWS, 2))
    y = model.sample(truth, X, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return ms.fit(model, X, y), model.loglik(truth, X, y), (model.gate_weights(truth, X) == 0.0).mean()


@case
def test_the_truth_is_sparse(gate, n_experts):
    """Otherwise the next would say little."""
    assert np.mean([fitted(gate, n_experts, seed)[2] for seed in range(SETS[n_experts])]) > 0.2


@case
def test_the_fit_is_at_least_as_likely_as_the_truth(gate, n_experts):
    """In every data set: also where it ended at a kink."""
    gains = [
        results.llf - truth for results, truth, _ in (fitted(gate, n_experts, seed) for seed in range(SETS[n_experts]))
    ]
    assert min(gains) >= 0.0


@pytest.mark.parametrize("n_experts", SCORES)
def test_below_order_two_nearly_all_fits_end_certified(n_experts):
    """Weights leave zero with slope zero: all but one in twenty."""
    status = [fitted("entmax(alpha=1.5)", n_experts, seed)[0].certificate.status for seed in range(SETS[n_experts])]
    assert status.count(ms.Status.STRICT_MAXIMUM) >= 0.95 * SETS[n_experts]


@pytest.mark.parametrize("n_experts", SCORES)
def test_fits_of_sparsemax_end_at_maxima_or_at_kinks(n_experts):
    """At a kink the gradient is not zero, so that the certificate cannot call it converged."""
    allowed = (ms.Status.STRICT_MAXIMUM, ms.Status.NOT_CONVERGED)
    for seed in range(SETS[n_experts]):
        assert fitted("sparsemax", n_experts, seed)[0].certificate.status in allowed


@pytest.mark.parametrize("n_experts", SCORES)
def test_fits_of_the_threshold_gate_end_at_ties(n_experts):
    """All but one in twenty."""
    status = [fitted("threshold", n_experts, seed)[0].certificate.status for seed in range(SETS[n_experts])]
    assert status.count(ms.Status.AT_TIES) >= 0.95 * SETS[n_experts]

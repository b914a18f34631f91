"""The Gaussian gate finds the truth of arXiv:2305.07572 from default starts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms

pytestmark = pytest.mark.slow

SHARES = np.array([0.3, 0.4, 0.3])
SPREADS = np.array([0.042824, 0.0175, 0.01])
SLOPES = np.array([0.017324 / 0.042824, -0.0125 / 0.0175, 0.0])
#: centres, intercepts and variances of Model 1 (no centre is zero) and Model 2 (one is)
TRUTHS = {
    "model 1": ([-0.1, 0.1, 0.5], [0.340454, -0.328571, 0.2], [0.00887672, 0.02642857, 0.0175]),
    "model 2": ([0.0, 0.1, 0.5], [0.3, -0.328571, 0.2], [0.00116766, 0.02642857, 0.0175]),
}
ROWS, DATA_SETS = 1000, 50


def drawn(name, seed):
    centres, intercepts, variances = map(np.array, TRUTHS[name])
    rng = np.random.default_rng(seed)
    z = rng.choice(3, size=ROWS, p=SHARES)
    x = centres[z] + np.sqrt(SPREADS[z]) * rng.standard_normal(ROWS)
    return x[:, None], intercepts[z] + SLOPES[z] * x + np.sqrt(variances[z]) * rng.standard_normal(ROWS)


def truth(model, name):
    centres, intercepts, variances = map(np.array, TRUTHS[name])
    gate = {"log_weights": np.log(SHARES), "centres": centres[:, None], "covariances": SPREADS[:, None, None]}
    if model.gate.likelihood == "conditional":
        gate = model.gate.of_gaussians(**gate)
    expert = {"intercepts": intercepts, "slopes": SLOPES[:, None], "variances": variances}
    return model.params(gate=gate, expert=expert)


@pytest.mark.parametrize("first_seed", [0, DATA_SETS])
@pytest.mark.parametrize("likelihood", ["joint", "conditional"])
@pytest.mark.parametrize("name", TRUTHS)
def test_default_starts_reach_the_truth(name, likelihood, first_seed):
    """At least as likely as the truth on all data sets, and certified on 19 of 20."""
    model = ms.MixtureOfExperts(gate=ms.gates.Gaussian(likelihood=likelihood), n_experts=3)
    higher, certified = 0, 0
    for seed in range(first_seed, first_seed + DATA_SETS):
        X, y = drawn(name, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ms.errors.ConvergenceWarning)
            fitted = ms.fit(model, X, y, seed=seed)
        higher += fitted.llf >= model.loglik(truth(model, name), X, y)
        certified += fitted.certificate.trusted
    print(f"{name}, {likelihood}: {higher} at least as likely as the truth, {certified} certified, of {DATA_SETS}")
    assert higher == DATA_SETS
    assert certified >= 0.95 * DATA_SETS

"""Recovery from default starts: every family's fit is at least as likely as the truth, and certified."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import moestat as ms

pytestmark = pytest.mark.slow

DATA_SETS = 100
ROWS = 400


def truth(expert, fields):
    model = ms.MixtureOfExperts(expert=expert, n_experts=2)
    gate = {"intercepts": [0.2, 0.0], "slopes": [[1.5], [0.0]]}
    return model, model.params(gate=gate, expert=fields)


CROSSING = {"intercepts": [0.3, 1.6], "slopes": [[0.5], [-0.4]]}
FAMILIES = {
    "poisson": ("poisson", CROSSING, None),
    "rates": ("poisson", CROSSING, lambda rng: {"exposure": rng.uniform(0.5, 4.0, ROWS)}),
    "binomial": (
        "binomial",
        {"intercepts": [-1.0, 1.0], "slopes": [[1.0], [0.5]]},
        lambda rng: {"exposure": rng.integers(5, 30, ROWS)},
    ),
    "gamma": ("gamma", CROSSING | {"dispersions": [0.1, 0.3]}, None),
    "gamma(dispersion='common')": ("gamma(dispersion='common')", CROSSING | {"dispersion": 0.2}, None),
    "zero-inflated": ("zero, poisson", ({}, {"intercepts": [1.0], "slopes": [[0.5]]}), None),
    "contaminated": (
        "known('laplace', loc=1.0), gaussian",
        ({}, {"intercepts": [-1.0], "slopes": [[2.0]], "variances": [0.25]}),
        None,
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_fit_is_at_least_as_likely_as_the_truth(name):
    expert, fields, known = FAMILIES[name]
    model, params = truth(expert, fields)
    lower, certified = [], 0
    for seed in range(DATA_SETS):
        rng = np.random.default_rng([seed, len(name)])
        X = rng.standard_normal((ROWS, 1))
        terms = {} if known is None else known(rng)
        y = model.sample(params, X, rng, **terms)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ms.ConvergenceWarning)
            results = ms.fit(model, X, y, **terms)
        if results.llf < model.loglik(params, X, y, **terms):
            lower.append(seed)
        certified += results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert lower == []
    assert certified >= 0.95 * DATA_SETS

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
BENT = {"intercepts": [0.0, 1.0], "slopes": [[2.0], [-1.5]], "variances": [0.1, 0.2]}
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
    "tanh": ("gaussian(form='tanh')", BENT | {"scales": [1.5, 2.0]}, None),
    "sigmoid": ("gaussian(form='sigmoid')", BENT | {"scales": [3.0, -2.0]}, None),
    "gelu": ("gaussian(form='gelu')", BENT | {"scales": [1.0, -1.0]}, None),
    "relu": ("gaussian(form='relu')", BENT | {"scales": [1.0, -1.0]}, None),
    "polynomial": ("gaussian(form='polynomial')", BENT | {"powers": [[[0.7]], [[-0.5]]]}, None),
    "zero-inflated": ("zero, poisson", ({}, {"intercepts": [1.0], "slopes": [[0.5]]}), None),
    "contaminated": (
        "known('laplace', loc=1.0), gaussian",
        ({}, {"intercepts": [-1.0], "slopes": [[2.0]], "variances": [0.25]}),
        None,
    ),
}

#: Share of fits that are certified; a maximum of ReLU means may lie at a kink, where no gradient vanishes.
CERTIFIED = {"relu": 0.7}


@pytest.mark.timeout(1200)
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
    print(f"{name}: {certified} of {DATA_SETS} certified")
    assert certified >= CERTIFIED.get(name, 0.95) * DATA_SETS

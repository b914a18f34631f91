"""Recovery from default starts of temperature, activation and hierarchical gates: the search does not see the truth."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.errors import ConvergenceWarning

pytestmark = pytest.mark.slow

ROWS, SETS = 800, 100

LINEAR = {"intercepts": [0.3, 0.0], "slopes": [[2.0, -1.5], [0.0, 0.0]]}

#: Where an activation saturates in one expert while it still rises in the other, and where an activation has its hinge
#: on two lines that cross. With slopes such as (1.5, -1), (-1, 1.5) 800 rows hardly tell a temperature: the standard
#: error of its logarithm is 0.6 to 0.7 for gelu and silu, and 3 of 20 fits of sigmoid, 2 of silu end at a limit.
LEVEL = {"intercepts": [-0.5, 0.0], "slopes": [[3.0, -2.0], [-3.0, 0.0]]}
HINGED = {"intercepts": [-0.25, 0.0], "slopes": [[1.0, 3.0], [-2.5, 0.0]]}

#: Weights that stay undecided where the entropy of the inner ones is spent: a slope of the temperature's logarithm on
#: the entropy of -2 has a standard error of 0.4. With `LINEAR` and a slope of 1.5 log tau is as good as quadratic in
#: the inner logits where it matters, and none of the first three sets had a finite maximum.
SHARP = {"intercepts": [-0.75, 0.0], "slopes": [[3.0, 1.5], [0.0, 0.0]]}

LEFT = {"intercepts": [0.5, 0.0], "slopes": [[0.0, 2.0], [0.0, 0.0]]}

#: Centres of Laplace gates, apart by several logits.
AROUND = {"intercepts": [0.3, 0.0], "centres": [[-1.5, 0.5], [1.5, -0.5]]}
BESIDE = {"intercepts": [0.0, 0.0], "centres": [[0.0, 1.5], [0.0, -1.5]]}
NEAR = {"intercepts": [0.2, 0.0], "centres": [[-0.6, 0.2], [0.6, -0.2]]}

#: The gate's truth over two standard normal covariates.
TRUTHS = {
    "temperature": {"inner": LINEAR, "temperature": 0.7},
    "temperature(depends_on='covariates')": {"inner": LINEAR, "temperature": 1.0, "log_slopes": [0.5, -0.3]},
    "adaptive_temperature": {"inner": SHARP, "temperature": 1.0, "entropy": -2.0},
    "activation('sigmoid')": LEVEL | {"temperature": 0.15},
    "activation('tanh')": LEVEL | {"temperature": 0.5},
    "activation('gelu')": HINGED | {"temperature": 0.3},
    "activation('silu')": HINGED | {"temperature": 0.3},
    "activation('sigmoid', tau=0.15)": LEVEL,
    "constant": {"intercepts": [0.8, 0.0]},
    "hierarchical": {"outer": LINEAR, "group": (LEFT, LEFT)},
    "hierarchical(constant(weights=(0.5, 0.5)), groups=(1, 2))": {"outer": {}, "group": ({}, LINEAR)},
    "hierarchical(softmax, laplace)": {"outer": LINEAR, "group": (BESIDE, BESIDE)},
    "hierarchical(laplace, laplace)": {"outer": AROUND, "group": (BESIDE, BESIDE)},
    "hierarchical(softmax, (hierarchical(groups=(1, 2)), softmax), groups=(3, 2))": {
        "outer": LINEAR,
        "group": ({"outer": LEFT, "group": ({}, LEFT)}, LEFT),
    },
    "temperature(laplace)": {"inner": NEAR, "temperature": 0.3},
}

#: Numbers of experts, where not two.
N_EXPERTS = {
    "hierarchical": 4,
    "hierarchical(constant(weights=(0.5, 0.5)), groups=(1, 2))": 3,
    "hierarchical(softmax, laplace)": 4,
    "hierarchical(laplace, laplace)": 4,
    "hierarchical(softmax, (hierarchical(groups=(1, 2)), softmax), groups=(3, 2))": 5,
}

#: Data sets of gates that take seconds, and of these what share may end uncertified and how many below the truth.
#: Laplace gates within groups often have a supremum higher still, with a centre at infinity: of 20 sets, 15 of
#: `hierarchical(softmax, laplace)` ended certified and one 78 below the truth, 16 of `hierarchical(laplace, laplace)`
#: and none.
FEWER = {gate: 20 for gate in TRUTHS if "laplace" in gate or "groups=(3, 2)" in gate}
UNCERTIFIED = {"hierarchical(softmax, laplace)": 0.3, "hierarchical(laplace, laplace)": 0.25}
BELOW = {"hierarchical(softmax, laplace)": 1}


def n_sets(gate: str) -> int:
    return FEWER.get(gate, SETS)


def rows_of(gate: str, seed: int):
    """A model, its true parameters, and rows drawn from them."""
    rng = np.random.default_rng([seed, 23])
    K = N_EXPERTS.get(gate, 2)
    model = ms.MixtureOfExperts(gate=gate, n_experts=K)
    slopes = np.stack([np.linspace(3, -3, K), np.cos(np.arange(K))], axis=1)
    expert = {"intercepts": np.linspace(2, -2, K), "slopes": slopes, "variances": np.full(K, 0.3)}
    truth = model.params(gate=TRUTHS[gate], expert=expert)
    X = rng.standard_normal((ROWS, 2))
    return model, truth, X, model.sample(truth, X, rng)


@cache
def fitted(gate: str, seed: int):
    """Results, and the log-likelihood of the truth."""
    model, truth, X, y = rows_of(gate, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return ms.fit(model, X, y), model.loglik(truth, X, y)


@pytest.mark.parametrize("gate", TRUTHS)
def test_the_fit_is_at_least_as_likely_as_the_truth(gate):
    gains = [results.llf - truth for results, truth in (fitted(gate, seed) for seed in range(n_sets(gate)))]
    assert sum(gain < 0.0 for gain in gains) <= BELOW.get(gate, 0)


@pytest.mark.parametrize("gate", TRUTHS)
def test_nearly_all_fits_end_certified(gate):
    """At a strict maximum, declared directions apart."""
    trusted = [fitted(gate, seed)[0].certificate.trusted for seed in range(n_sets(gate))]
    assert len(trusted) - sum(trusted) <= UNCERTIFIED.get(gate, 0.05) * len(trusted)

"""Recovery from default starts of temperature, activation and hierarchical gates: the search does not see the truth."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.errors import ConvergenceWarning

pytestmark = pytest.mark.slow

ROWS = 800

#: Number of data sets; fewer where a fit takes seconds.
SETS = 100
FEWER = {"adaptive_temperature": 5, "hierarchical": 40}

LINEAR = {"intercepts": [0.3, 0.0], "slopes": [[2.0, -1.5], [0.0, 0.0]]}
LEVEL = {"intercepts": [-0.5, 0.0], "slopes": [[3.0, -2.0], [-3.0, 0.0]]}
HINGED = {"intercepts": [-0.25, 0.0], "slopes": [[1.0, 3.0], [-2.5, 0.0]]}
SHARP = {"intercepts": [-0.75, 0.0], "slopes": [[3.0, 1.5], [0.0, 0.0]]}
LEFT = {"intercepts": [0.5, 0.0], "slopes": [[0.0, 2.0], [0.0, 0.0]]}

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
}

#: The compact space that theory assumes. Without it the likelihood of these gates often rises towards a limit, where
#: temperature and slopes tend to zero, or to each other, together.
COMPACT = {"gate.temperature": (0.01, 100.0)}
BOUNDED = (
    "adaptive_temperature",
    "activation('sigmoid')",
    "activation('tanh')",
    "activation('gelu')",
    "activation('silu')",
)

#: Share of the data sets whose fit may end at no certified maximum. The adaptive temperature is often best at infinity,
#: as a quadratic form of vanishing logits.
UNCERTIFIED = {"adaptive_temperature": 0.8}


def n_sets(gate: str) -> int:
    """So many that a study takes no more than two minutes or so."""
    return FEWER.get(gate, 20 if gate.startswith("activation") else SETS)


def rows_of(gate: str, seed: int):
    """A model, its true parameters, and rows drawn from them."""
    rng = np.random.default_rng([seed, 23])
    K = 4 if gate == "hierarchical" else 3 if "groups" in gate else 2
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
        return ms.fit(model, X, y, bounds=COMPACT if gate in BOUNDED else None), model.loglik(truth, X, y)


@pytest.mark.parametrize("gate", TRUTHS)
def test_the_fit_is_at_least_as_likely_as_the_truth(gate):
    gains = [results.llf - truth for results, truth in (fitted(gate, seed) for seed in range(n_sets(gate)))]
    assert min(gains) >= 0.0


@pytest.mark.parametrize("gate", TRUTHS)
def test_nearly_all_fits_end_certified(gate):
    """At a strict maximum, declared directions apart, or one on the bounds."""
    trusted = [fitted(gate, seed)[0].certificate.trusted for seed in range(n_sets(gate))]
    assert len(trusted) - sum(trusted) <= UNCERTIFIED.get(gate, 0.05) * len(trusted)

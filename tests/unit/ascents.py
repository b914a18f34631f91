"""Problems to climb, of many kinds, and the law that every climb obeys."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import moestat as ms
from moestat.experts import Gaussian
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

#: every stopping rule off but the number of steps
STEPS = {"rtol": None, "atol": None, "xtol": None, "gtol": None}

#: two sums of the same logarithms in another order; also what a solver forgives itself
ROUND_OFF = 1e-12

KINDS = ("gaussian", "common", "multinomial", "mixed", "held")


def a_problem(seed):
    """Problem number ``seed`` of a family that goes round experts, numbers of them, weights and held fields."""
    kind, K = KINDS[seed % 5], 2 + seed % 3
    rows = sample(K, n=120, d=2, seed=seed, expert="multinomial" if kind == "multinomial" else "gaussian")
    families = {"common": Gaussian(variance="common"), "mixed": ("gaussian",) * K}
    model = ms.MixtureOfExperts(
        expert=families.get(kind, rows.model.expert),
        n_experts=K,
        fixed={"expert.variances": 0.3, "gate.slopes": 0.0} if kind == "held" else None,
    )
    weight = np.random.default_rng(seed).gamma(1.0, size=120) if seed % 2 else None
    return problem_of(model, rows.X, rows.y, None, weight)


def anywhere(problem, seed=0, scale=0.5):
    """Admissible parameters drawn around zero."""
    return problem.admit(scale * normal(problem.layout.size, seed=seed))


def assert_never_falls(trace):
    """What is climbed: the log-likelihood, unless the solver says otherwise."""
    falls = [-min(b.climbed - a.climbed, 0.0) for a, b in pairwise(trace)]
    assert max(falls) <= ROUND_OFF * abs(trace[-1].climbed)
    assert trace[-1].climbed > trace[0].climbed

"""Passes of every expert beside those of the Gaussian, in one run: ``make bench ARGS="-k experts"``."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

import moestat as ms
from moestat.experts import EXPERTS
from moestat.solvers import Problem
from tests.benchmarks.timing import fastest

N = 20_000
SHAPES = [(1, 2), (5, 2), (5, 4)]
PASSES = ("loglik", "score", "em", "hessian")

#: Times of the linear Gaussian's that a pass may take.
BOUND = 2.5

#: Every family of numbers or counts with parameters, and how many responses it is tried on.
CASES = [
    ("gaussian(variance='common')", 1),
    *((f"gaussian(form={form!r})", 1) for form in ("polynomial", "tanh", "sigmoid", "gelu", "relu")),
    ("multivariate_gaussian", 1),
    ("multivariate_gaussian", 2),
    ("poisson", 1),
    ("binomial", 1),
    ("gamma", 1),
    ("constant", 1),
    ("gaussian, noise", 1),
]

#: (expert, pass) with bounds of their own: what they pay for, and how much.
EXCEPTIONS = {
    **dict.fromkeys(
        [("binomial", "loglik"), ("binomial", "score"), ("binomial", "em")],
        (4.0, "deviances of successes and of failures, four exponentials and logarithms where a square is enough"),
    ),
    **dict.fromkeys(
        [("gamma", "score"), ("gamma", "em"), ("gamma", "hessian")],
        (5.5, "a logarithm and an exponential of every row, and twice the derivatives; no closed-form M-step"),
    ),
    **dict.fromkeys(
        [("gaussian(form='gelu')", name) for name in PASSES],
        (5.0, "the error function, which is computed afresh by value, score and curvature"),
    ),
    **dict.fromkeys(
        [("multivariate_gaussian", "score"), ("multivariate_gaussian", "hessian")],
        (3.0, "products of matrices of any size where one response needs numbers; a fixed cost per tile"),
    ),
}


class Case(NamedTuple):
    """The passes of an expert over rows, and parameters to take them at."""

    problem: Problem
    theta: np.ndarray

    def run(self, name):
        return getattr(self.problem.passes, name)(self.theta)


@cache
def case(expert, m, d, K):
    rng = np.random.default_rng([d, K])
    X, y = rng.normal(size=(N, d)), rng.normal(size=(N, m)).squeeze()
    known = {}
    if expert.startswith(("poisson", "binomial")):
        y = rng.poisson(2.0, N)
    if expert == "gamma":
        y = np.exp(y)
    if expert == "binomial":
        known["exposure"] = np.full(N, 20)
    families = tuple(expert.split(", ")) * (K // 2) if "," in expert else expert
    model = ms.MixtureOfExperts(expert=families, n_experts=K)
    problem = Problem.of(model, model.data(X, y, **known))
    return Case(problem, 0.3 * rng.normal(size=problem.passes.terms.size))


def test_every_family_is_timed():
    """All but class labels, which have no Gaussian beside them, and laws without parameters."""
    timed = {name.split("(")[0] for names, _ in CASES for name in names.split(", ")}
    assert timed == set(EXPERTS) - {"multinomial", "known", "zero"}


@pytest.mark.parametrize(("d", "K"), SHAPES)
@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(("expert", "m"), CASES)
def test_pass_against_the_linear_gaussian(expert, m, name, d, K):
    """Per response, no pass takes more than a stated multiple of the same pass with linear Gaussian experts."""
    own, plain = case(expert, m, d, K), case("gaussian", 1, d, K)
    times, seconds, _ = fastest(lambda: own.run(name), lambda: plain.run(name))
    bound, why = EXCEPTIONS.get((expert, name), (BOUND, ""))
    cost = f"{times / m:6.2f} per response  {seconds / N / K * 1e9:6.1f} ns per row and expert"
    print(f"\n{name:8s} {expert:28s} m={m} d={d} K={K}: {cost}  (figure <= {bound}{why and ': ' + why})")
    assert times / m <= bound

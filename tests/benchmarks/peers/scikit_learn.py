"""The model that scikit-learn has too: a mixture of normal laws of several responses, without covariates."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import moestat as ms
from moestat.solvers import EM, Problem, solve
from tests.benchmarks.measure import Found, NotMeasured
from tests.benchmarks.peers.whole_fits import beside, fastest, told

#: Iterations over which one is timed.
ITERATIONS = 20


@dataclass(frozen=True)
class Laws:
    """Rows (n, m), and the start of both: equal weights, centres (K, m), unit covariances."""

    Y: np.ndarray
    centres: np.ndarray

    @property
    def size(self) -> str:
        return f"n={len(self.Y):,}, m={self.Y.shape[1]}, K={len(self.centres)}"

    @property
    def covariances(self) -> np.ndarray:
        return np.stack([np.eye(self.Y.shape[1])] * len(self.centres))

    def mixture(self, **rules: Any) -> GaussianMixture:
        K = len(self.centres)
        start = {"weights_init": np.full(K, 1 / K), "means_init": self.centres, "precisions_init": self.covariances}
        return GaussianMixture(K, reg_covar=0.0, **start, **rules)

    @property
    def model(self) -> ms.MixtureOfExperts:
        return ms.MixtureOfExperts(gate="constant", expert="multivariate_gaussian", n_experts=len(self.centres))

    def params(self) -> Any:
        expert = {"intercepts": self.centres, "covariances": self.covariances}
        slopes = np.zeros((*self.centres.shape, 0))
        return self.model.params(gate={"intercepts": np.zeros(len(self.centres))}, expert=expert | {"slopes": slopes})


def laws(n: int, m: int, K: int) -> Laws:
    """Round clouds, of which some overlap."""
    rng = np.random.default_rng([n, m, K])
    centres = 4.0 * rng.normal(size=(K, m))
    Y = centres[rng.integers(0, K, n)] + rng.normal(size=(n, m))
    return Laws(Y, centres + 0.5 * rng.normal(size=(K, m)))


def iterations(quick: bool) -> Iterator[Found]:
    """One EM iteration of each. With exact M-steps both have the same log-likelihood after twenty.

    The default is timed, in which our gate takes a Newton step where scikit-learn's weights are a mean.
    """
    for n, m, K in ((10_000, 2, 3),) if quick else ((10_000, 2, 3), (100_000, 2, 3), (100_000, 5, 4)):
        rows = laws(n, m, K)
        problem = Problem.of(rows.model, rows.model.prepare(rows.model.data(None, rows.Y)))
        source = problem.passes.source
        theta = rows.model.to_theta(rows.params(), source.schema, source.coordinates)
        rules = {"max_iter": ITERATIONS, "rtol": None, "gtol": None}
        exact = solve(problem, EM(m_step="exact", **rules), theta)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose
            mixture, theirs = fastest(partial(rows.mixture(max_iter=ITERATIONS, tol=0.0).fit, rows.Y))
        solution, own = fastest(partial(solve, problem, EM(**rules), theta))
        apart = abs(exact.loglik + problem.shift - float(mixture.score(rows.Y)) * n)
        if not exact.n_iter == solution.n_iter == mixture.n_iter_ == ITERATIONS or apart > 1e-9 * n:
            raise NotMeasured(f"{rows.size}: after {solution.n_iter} iterations log-likelihoods are {apart:.1e} apart.")
        note = (
            f"{told(theirs / ITERATIONS)} beside {told(own / ITERATIONS)}; log-likelihoods {apart:.0e} apart after 20"
        )
        yield Found(rows.size, theirs / own, note)


def whole_fits(quick: bool) -> Iterator[Found]:
    """To a tolerance at which scikit-learn ends near the maximum."""
    for n, m, K in ((10_000, 2, 3),) if quick else ((10_000, 2, 3), (10_000, 5, 4), (100_000, 5, 4)):
        rows = laws(n, m, K)
        ours = partial(ms.fit, rows.model, None, rows.Y, start=rows.params())
        ours()
        mixture, seconds = fastest(partial(rows.mixture(max_iter=100_000, tol=1e-9).fit, rows.Y))
        loglik = float(mixture.score(rows.Y)) * n
        yield beside(rows.size, n, fastest(ours, 5), loglik, seconds, mixture.n_iter_)

"""Rows and parameters for moestat, for NumPy and for the hand-fused kernels."""

from __future__ import annotations

import numpy as np

import moestat as ms
from moestat.solvers import Problem

N = 200_000


class Case:
    """One data set with parameters for moestat, for NumPy and for the fused kernels."""

    def __init__(self, d, K, n=N):
        rng = np.random.default_rng([d, K])
        X, y = rng.normal(size=(n, d)), rng.normal(size=n)
        self.data = ms.MixtureOfExperts(n_experts=K).data(X, y)
        self.problem = Problem.of(ms.MixtureOfExperts(n_experts=K), self.data)
        self.gate = rng.normal(size=(K, d + 1)) / np.sqrt(d + 1)
        self.coef = rng.normal(size=(K, d + 1)) / np.sqrt(d + 1)
        self.log_variance = np.log(0.5 + rng.random(K))
        self.F, self.y = np.column_stack([np.ones(n), X]), y
        terms = self.problem.passes.terms
        self.theta = np.zeros(terms.size)
        self.theta[terms.gate_columns] = self.gate
        self.theta[terms.expert_columns] = np.column_stack([self.coef, self.log_variance])

    def tiles(self):
        return self.data._X, self.data._Y, np.stack(self.data._weight)

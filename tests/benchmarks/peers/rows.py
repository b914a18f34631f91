"""Rows that all programs fit, and the responsibilities that all begin with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks import numpy_em


@dataclass(frozen=True)
class Rows:
    """Covariates (n, d), response (n,), and responsibilities (n, K) of the start."""

    X: np.ndarray
    y: np.ndarray
    resp: np.ndarray

    @property
    def size(self) -> str:
        (n, d), K = self.X.shape, self.resp.shape[1]
        return f"n={n:,}, d={d}, K={K}"

    @property
    def design(self) -> np.ndarray:
        return np.column_stack([np.ones(self.y.size), self.X])

    def start(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gate and experts' coefficients (K, 1 + d), and variances (K,): the M-step of the responsibilities."""
        F = self.design
        return numpy_em.m_step(F, self.y, self.resp, np.zeros((self.resp.shape[1], F.shape[1])))


def planes(n: int, d: int, K: int, seed: int = 0) -> Rows:
    """Planes that overlap behind a softmax gate; every second label of the start is right, others are drawn."""
    rng = np.random.default_rng([seed, n, d, K])
    X = rng.normal(size=(n, d))
    F = np.column_stack([np.ones(n), X])
    gate, coef = rng.normal(size=(K, d + 1)), 2.0 * rng.normal(size=(K, d + 1))
    label = (F @ gate.T + rng.gumbel(size=(n, K))).argmax(axis=1)
    y = (F * coef[label]).sum(axis=1) + rng.normal(size=n)
    first = np.where(rng.random(n) < 0.5, label, rng.integers(0, K, n))
    own = np.arange(K) == first[:, None]
    return Rows(X, y, np.where(own, 0.9, 0.1 / (K - 1)))

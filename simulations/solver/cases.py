"""The data sets and models of the solver's studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import moestat as ms


@dataclass(frozen=True)
class Case:
    """A model on a data set; Z None means that the gate sees the experts' covariates."""

    name: str
    n_experts: int
    X: Any
    y: Any
    Z: Any = None

    @property
    def model(self) -> ms.MixtureOfExperts:
        """Gaussian experts behind a softmax gate."""
        return ms.MixtureOfExperts(n_experts=self.n_experts)


def benchmark_rows(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lines behind a steep gate: the truth of Nguyen, Nguyen and Ho (2023), arXiv 2305.03288, x uniform."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(n,)))
    x = rng.uniform(size=n)
    first = rng.random(n) < 1 / (1 + np.exp(-(-8 + 25 * x)))
    return x, np.where(first, rng.normal(15 - 20 * x, 0.3), rng.normal(-5 + 20 * x, 0.4))


def _known(name: str, n_experts: int, *, constant_gate: bool = False) -> Case:
    data = ms.datasets.load(name)
    gate = "constant gate" if constant_gate else "gate"
    Z = np.empty((len(data.y), 0)) if constant_gate else data.Z
    return Case(f"{name}, K = {n_experts}, {gate}", n_experts, data.X, data.y, Z)


def _mcycle() -> Case:
    """Quadratic experts and a linear gate in standardised time."""
    data = ms.datasets.load("mcycle")
    times = np.asarray(data.X, dtype=float)[:, 0]
    t = (times - times.mean()) / times.std(ddof=1)
    return Case("mcycle, K = 4, quadratic", 4, np.column_stack([t, t**2]), data.y, t)


def _overspecified() -> Case:
    x, y = benchmark_rows(1, 1000)
    return Case("benchmark of two lines, K = 3, n = 1000", 3, x, y)


def _three_planes() -> Case:
    rng = np.random.default_rng(3)
    model = ms.MixtureOfExperts(n_experts=3)
    X = rng.standard_normal((600, 4))
    expert = {
        "slopes": 2 * rng.standard_normal((3, 4)),
        "intercepts": rng.standard_normal(3),
        "variances": [0.2, 0.5, 1],
    }
    truth = model.params(gate={"slopes": rng.standard_normal((3, 4)), "intercepts": [0.5, 0, 0]}, expert=expert)
    return Case("three planes, d = 4, n = 600", 3, X, model.sample(truth, X, rng))


CASES: tuple[Callable[[], Case], ...] = (
    lambda: _known("tone", 2),
    lambda: _known("co2", 2, constant_gate=True),
    lambda: _known("co2", 2),
    lambda: _known("ethanol", 2),
    lambda: _known("ethanol", 3),
    lambda: _known("faithful", 3),
    lambda: _known("tempanomalies", 3),
    _mcycle,
    _overspecified,
    _three_planes,
)

"""A protocol, a law and a gate of a user's own; and protocols that go wrong. Workers import them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import moestat as ms
from moestat.certificate import Status
from moestat.gates.translated import Translated, log_mass
from moestat.montecarlo import CovariateLaw, End, FittedModel, Protocol, Task, Truth
from moestat.params import axes, layout_of, own_columns, parameters
from moestat.theory.moments import Moments


@parameters
class CauchyParams:
    """Intercepts (K,), up to a common shift, and centres (K, d)."""

    intercepts: np.ndarray = axes("expert", label="const")
    centres: np.ndarray = axes("expert", "feature")


@dataclass(frozen=True)
class Cauchy(Translated):
    """Weights proportional to exp(b_k) / (width^2 + |x - c_k|^2)."""

    width: float = 1.0
    name: ClassVar[str] = "cauchy"

    def layout(self, dims):
        return layout_of(CauchyParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout):
        return own_columns(layout.index("intercepts"), layout.index("centres"))

    def value(self, local, block, out):
        out[:] = local[:, :1] - np.log(self._ray(local, block)[1])

    def jac(self, local, block, value, out):
        r, D = self._ray(local, block)
        out[:, 0] = 1.0
        out[:, 1:] = 2.0 * r / D[:, None]

    def curv(self, local, block, value, weights, out):
        r, D = self._ray(local, block)
        out[:, 1:, 1:] += np.einsum("kb,kub,kvb->kuv", 4.0 * weights / D**2, r, r)
        out[:, 1:, 1:] -= 2.0 * (weights / D).sum(axis=1)[:, None, None] * np.eye(len(block.Z) - 1)

    def _ray(self, local, block):
        r = block.Z[1:] - local[:, 1:, None]
        return r, self.width**2 + (r**2).sum(axis=1)

    def start(self, layout, block, resp, schema):
        share = resp + 1e-3 * block.weight / len(resp)
        return CauchyParams(intercepts=log_mass(resp), centres=share @ block.Z[1:].T / share.sum(axis=1, keepdims=True))

    def shifts(self, layout):
        return {"common shift of the gate's intercepts": layout.index("intercepts")}


@dataclass(frozen=True)
class Triangular(CovariateLaw):
    """Independent and triangular on (-1, 1)."""

    name: ClassVar[str] = "triangular"

    def draw(self, rng, n, d):
        return rng.triangular(-1.0, 0.0, 1.0, (n, d))

    def spread(self, u):
        v = u[:, :-1]
        return np.where(v < 0.5, np.sqrt(2 * v) - 1, 1 - np.sqrt(2 * (1 - v)))

    def moments(self, d):
        return Moments(0.0, np.sqrt(1 / 6))

    def to_plain(self):
        return {"law": self.name}


def gaussian_truth(n_experts: int = 2, spread: float = 1.5) -> Truth:
    """Experts that cross, and a gate between them."""
    model = ms.MixtureOfExperts(n_experts=n_experts)
    k = np.arange(n_experts) - (n_experts - 1) / 2
    gate = {"intercepts": np.zeros(n_experts), "slopes": (2 * k)[:, None]}
    expert = {"intercepts": spread * k, "slopes": -k[:, None], "variances": 0.1 + 0.05 * np.arange(n_experts)}
    return Truth(model, model.params(gate=gate, expert=expert))


def loglik_of(model: ms.MixtureOfExperts, params: Any, task: Task) -> float:
    """Of parameters on the data of a task."""
    return float(model.loglik(params, task.X, task.y))


@dataclass(frozen=True)
class Fixed(Protocol):
    """Ends where it is told to: at the truth; and may warn and fail at some data sets."""

    name: str = "fixed"
    fits: tuple[str, ...] | None = None
    fails_below: float = -np.inf
    warns_above: float = np.inf
    how: str = "raise"
    kind: ClassVar[str] = "fixed"

    def fit(self, task: Task) -> End:
        first = float(task.X[0, 0])
        if first > self.warns_above:
            warnings.warn(f"the first covariate is {first:.3f}", RuntimeWarning, stacklevel=2)
        if first < self.fails_below:
            if self.how == "exit":
                os._exit(3)
            raise ZeroDivisionError(f"by {first:.3f} in {object()}")
        loglik = loglik_of(task.truth.model, task.truth.params, task)
        return End(task.truth.params, loglik, Status.STRICT_MAXIMUM, 0.0, 1.0, 1, 1, 1, 0, True)


@dataclass(frozen=True)
class Wrong(Protocol):
    """Gives back something that is no end."""

    name: str = "wrong"
    fits: tuple[str, ...] | None = None
    what: str = "none"
    kind: ClassVar[str] = "wrong"

    def fit(self, task: Task) -> Any:
        return None

    def fit_many(self, tasks: Any) -> Any:
        return [] if self.what == "few" else [None] * len(tasks)


def task_of(fitted: FittedModel, truth: Truth, n: int, number: int, d: int = 1, **ends: Any) -> Task:
    """A data set of the truth, to be fitted."""
    rng = np.random.default_rng([number, n])
    X = rng.uniform(-2, 2, (n, d))
    return Task(fitted, truth, truth.schema, X, truth.draw(X, rng), ends, 1, ("test", number))

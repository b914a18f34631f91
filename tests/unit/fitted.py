"""Fits that several tests look at, each made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import moestat as ms
from moestat.experts import Gaussian
from moestat.results import Results


@dataclass(frozen=True)
class Fitted:
    """Results with the rows they came from."""

    results: Results
    X: Any
    y: Any
    Z: Any

    @property
    def model(self) -> ms.MixtureOfExperts:
        return self.results.model

    @property
    def arrays(self) -> tuple[Any, Any, Any]:
        """X, y and Z as arrays without names; classes as codes."""
        classes = self.results.schema.classes
        y = np.asarray(self.y)
        codes = y if classes is None else np.searchsorted(np.array(classes), y)
        return np.asarray(self.X), codes, None if self.Z is None else np.asarray(self.Z)


def fit(X, y, Z=None, *, n_starts=4, **model) -> Fitted:
    return Fitted(ms.fit(ms.MixtureOfExperts(**model), X, y, Z, n_starts=n_starts), X, y, Z)


# --------------------------------------------------------------------------------------- rows
def two_lines(n=120):
    """Rows around two crossing lines."""
    rng = np.random.default_rng(7)
    x = rng.normal(2.0, 1.5, n)
    y = np.where(rng.random(n) < 0.6, 1.0 + 2.0 * x, 4.0 - x) + rng.normal(0.0, 0.6, n)
    return pd.DataFrame({"x1": x}), pd.Series(y, name="y")


def three_planes(n=240):
    """Rows around three planes in two covariates; a third covariate says which."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"age": rng.normal(40.0, 10.0, n), "dose": rng.normal(0.0, 2.0, n)})
    z = rng.normal(0.0, 1.0, n)
    logits = np.stack([0.5 + z, 0.3 - z, np.zeros(n)], axis=1)
    which = (logits + rng.gumbel(size=(n, 3))).argmax(axis=1)
    slopes = np.array([[0.1, 2.0], [-0.1, -1.0], [0.0, 0.5]])[which]
    mean = np.array([0.0, 12.0, -8.0])[which] + (slopes * X.to_numpy()).sum(axis=1)
    return X, pd.Series(mean + rng.normal(0.0, 0.7, n), name="effect"), pd.DataFrame({"severity": z})


def rows_of(name, *columns):
    """Columns ``X``, ``y``, ``Z`` of a data set, as many as are asked for."""
    data = ms.datasets.load(name)
    return tuple(getattr(data, column) for column in columns)


def no_columns(n):
    """Covariates of a constant gate."""
    return np.empty((n, 0))


# --------------------------------------------------------------------------------------- fits
CASES: dict[str, Callable[[], Fitted]] = {
    "gate": lambda: fit(*rows_of("co2", "X", "y"), n_experts=2),
    "constant gate": lambda: fit(*rows_of("co2", "X", "y"), no_columns(28), n_experts=2, n_starts=8),
    "common variance": lambda: fit(*rows_of("tone", "X", "y"), n_experts=2, expert=Gaussian(variance="common")),
    "three experts": lambda: fit(*three_planes(), n_experts=3),
    "mixed": lambda: fit(*two_lines(), n_experts=2, expert=("gaussian", Gaussian(variance="common"))),
    "held": lambda: fit(*two_lines(), n_experts=2, fixed={"gate.slopes": 0.0, "expert.variances": [0.4, 0.3]}),
    "one expert": lambda: fit(*three_planes()[:2], n_experts=1),
    "classes": lambda: fit(*rows_of("anes96", "X", "y", "Z"), n_experts=2, expert="multinomial", n_starts=3),
    "one classifier": lambda: fit(*rows_of("anes96", "X", "y"), n_experts=1, expert="multinomial", n_starts=1),
}
#: Those with a numerical response.
NUMERICAL = [name for name in CASES if not name.startswith(("classes", "one classifier"))]


@cache
def fitted(name: str) -> Fitted:
    return CASES[name]()

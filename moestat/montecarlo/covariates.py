"""Laws of the covariates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any, ClassVar

import numpy as np
from scipy.stats import norm, qmc

from moestat.errors import InputError
from moestat.montecarlo.reading import Table
from moestat.theory.moments import Moments
from moestat.typing import FloatArray


class CovariateLaw(ABC):
    """Independent rows from one law, or a fixed design.

    A law of one's own has ``draw``, ``spread``, ``moments`` and ``to_plain``.
    """

    name: ClassVar[str]
    #: Whether the first rows of a larger sample can be a smaller one.
    nests: ClassVar[bool] = True

    @abstractmethod
    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        """Rows (n, d)."""

    @abstractmethod
    def spread(self, u: FloatArray) -> FloatArray:
        """Rows (m, d) that go with points u (m, d + 1) spread evenly over the unit cube."""

    @abstractmethod
    def moments(self, d: int) -> Moments:
        """Means and standard deviations of the population."""

    @abstractmethod
    def to_plain(self) -> dict[str, Any]:
        """What the draws depend on."""

    def check(self, d: int) -> None:
        """Refuse a number of covariates that the law cannot have."""

    def points(self, m: int, d: int) -> FloatArray:
        """Rows (m, d) that stand for the population, the same every time: quantiles, or a Sobol sequence."""
        if d == 1:
            u = (np.arange(m) + 0.5) / m
            return self.spread(np.column_stack([u, _golden(m)]))
        return self.spread(np.clip(qmc.Sobol(d + 1, rng=0).random(m), 1e-6, 1 - 1e-6))


def _golden(m: int) -> FloatArray:
    """Points spread evenly over (0, 1) in an order that has nothing to do with their number."""
    return np.asarray((np.arange(m) + 0.5) * (sqrt(5.0) - 1.0) / 2.0 % 1.0)


@dataclass(frozen=True)
class Uniform(CovariateLaw):
    """Independent and uniform on an interval."""

    low: float = 0.0
    high: float = 1.0
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"high must be larger than low={self.low:g}; got {self.high:g}.")

    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        return rng.uniform(self.low, self.high, (n, d))

    def spread(self, u: FloatArray) -> FloatArray:
        return self.low + (self.high - self.low) * u[:, :-1]

    def moments(self, d: int) -> Moments:
        return Moments((self.low + self.high) / 2, (self.high - self.low) / sqrt(12.0))

    def to_plain(self) -> dict[str, Any]:
        return {"law": self.name, "low": float(self.low), "high": float(self.high)}


@dataclass(frozen=True)
class Normal(CovariateLaw):
    """Independent and normal."""

    mean: float = 0.0
    sd: float = 1.0
    name: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise InputError(f"sd must be larger than 0; got {self.sd:g}.")

    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        return rng.normal(self.mean, self.sd, (n, d))

    def spread(self, u: FloatArray) -> FloatArray:
        return np.asarray(norm.ppf(u[:, :-1], self.mean, self.sd))

    def moments(self, d: int) -> Moments:
        return Moments(self.mean, self.sd)

    def to_plain(self) -> dict[str, Any]:
        return {"law": self.name, "mean": float(self.mean), "sd": float(self.sd)}


@dataclass(frozen=True)
class Grid(Uniform):
    """A fixed design of one covariate: n points at equal distances, both ends among them."""

    name: ClassVar[str] = "grid"
    nests: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        return np.linspace(self.low, self.high, n)[:, None]

    def check(self, d: int) -> None:
        if d != 1:
            raise InputError(f"a grid has one covariate; the truth has {d}. Use law = 'uniform'.")


@dataclass(frozen=True)
class Mixture(CovariateLaw):
    """Every row from one of several laws, chosen at random."""

    laws: tuple[CovariateLaw, ...]
    weights: tuple[float, ...]
    name: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        if not self.laws or len(self.laws) != len(self.weights) or not all(w > 0 for w in self.weights):
            raise InputError("a mixture has components, each with a weight larger than 0.")
        if any(not law.nests for law in self.laws):
            raise InputError("a fixed grid is no component of a mixture; use law = 'uniform'.")

    @property
    def shares(self) -> FloatArray:
        """Weights divided by their sum."""
        weights = np.array(self.weights)
        return np.asarray(weights / weights.sum())

    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        chosen = rng.choice(len(self.laws), n, p=self.shares)
        drawn = np.stack([law.draw(rng, n, d) for law in self.laws])
        return np.asarray(drawn[chosen, np.arange(n)])

    def spread(self, u: FloatArray) -> FloatArray:
        chosen = np.searchsorted(np.cumsum(self.shares)[:-1], u[:, -1], side="right")
        spread = np.stack([law.spread(u) for law in self.laws])
        return np.asarray(spread[chosen, np.arange(len(u))])

    def moments(self, d: int) -> Moments:
        own = [law.moments(d) for law in self.laws]
        means = np.array([np.broadcast_to(m.mean, (d,)) for m in own])
        squares = np.array([np.broadcast_to(m.sd, (d,)) for m in own]) ** 2 + means**2
        mean = self.shares @ means
        return Moments(mean, np.sqrt(self.shares @ squares - mean**2))

    def check(self, d: int) -> None:
        for law in self.laws:
            law.check(d)

    def to_plain(self) -> dict[str, Any]:
        components = [
            law.to_plain() | {"weight": w} for law, w in zip(self.laws, map(float, self.weights), strict=True)
        ]
        return {"law": self.name, "components": components}


@dataclass(frozen=True)
class FromDataset(CovariateLaw):
    """Rows of a real data set, drawn with replacement."""

    dataset: str
    columns: tuple[str, ...]
    name: ClassVar[str] = "dataset"

    def __post_init__(self) -> None:
        rows = self.rows
        if not np.isfinite(rows).all():
            raise InputError(f"columns {list(self.columns)} of {self.dataset!r} have gaps; choose columns without.")

    @cached_property
    def rows(self) -> FloatArray:
        """The covariates (m, d)."""
        from moestat.datasets import load

        frame = load(self.dataset).frame
        missing = [name for name in self.columns if name not in frame.columns]
        if missing or not self.columns:
            raise InputError(f"columns must be some of {list(frame.columns)}; got {list(self.columns)}.")
        try:
            return frame[list(self.columns)].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"columns {list(self.columns)} of {self.dataset!r} must hold numbers.") from None

    def draw(self, rng: np.random.Generator, n: int, d: int) -> FloatArray:
        return np.asarray(self.rows[rng.integers(len(self.rows), size=n)])

    def spread(self, u: FloatArray) -> FloatArray:
        return np.asarray(self.rows[(u[:, 0] * len(self.rows)).astype(np.int64)])

    def moments(self, d: int) -> Moments:
        return Moments.of(self.rows)

    def check(self, d: int) -> None:
        if d != len(self.columns):
            raise InputError(f"the truth has {d} covariates; columns names {len(self.columns)}.")

    def to_plain(self) -> dict[str, Any]:
        return {"law": self.name, "dataset": self.dataset, "columns": list(self.columns)}


# --------------------------------------------------------------------------------------- reading
def read_covariates(table: Table) -> CovariateLaw:
    """A law from its table in a study file."""
    law = table.choice("law", list(LAWS))
    found = LAWS[law](table)
    table.done()
    return found


def _interval(kind: type[Uniform]) -> Callable[[Table], CovariateLaw]:
    def read(table: Table) -> CovariateLaw:
        low, high = table.number("low", 0.0), table.number("high", 1.0)
        if not low < high:
            raise InputError(f"{table.at('high')} must be larger than low={low:g}; got {high:g}.")
        return kind(low, high)

    return read


def _normal(table: Table) -> CovariateLaw:
    return Normal(table.number("mean", 0.0), table.number("sd", 1.0, above=0.0))


def _mixture(table: Table) -> CovariateLaw:
    components = table.tables("components")
    weights = tuple(component.number("weight", above=0.0) for component in components)
    for component in components:
        component.choice("law", ["uniform", "normal"])
    return Mixture(tuple(read_covariates(component) for component in components), weights)


def _dataset(table: Table) -> CovariateLaw:
    name, columns = table.text("dataset"), table.texts("columns")
    try:
        return FromDataset(name, columns)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None


#: Laws by their name in a study file.
LAWS: Mapping[str, Callable[[Table], CovariateLaw]] = {
    "uniform": _interval(Uniform),
    "normal": _normal,
    "grid": _interval(Grid),
    "mixture": _mixture,
    "dataset": _dataset,
}

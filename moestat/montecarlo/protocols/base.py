"""What a protocol is given, and what it gives back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from moestat.certificate import Status
from moestat.data import Schema
from moestat.errors import InputError
from moestat.model import MoEParams
from moestat.montecarlo import seeds
from moestat.montecarlo.canonical import digest_of, plain
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.reading import Table
from moestat.montecarlo.truth import Truth
from moestat.solvers import Problem
from moestat.typing import FloatArray

#: What stands for the truth among the end points that a protocol starts from.
TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Task:
    """One data set to be fitted.

    Parameters
    ----------
    fit : FittedModel
    truth : Truth
    schema : Schema
    X : ndarray (n, d)
    y : ndarray (n,) or (n, m)
    ends : mapping of str to End
        Where the protocols of ``polish_from`` ended on the same data; those that failed are missing.
    seed, purpose
        From which `rng` and `seed_of` make their streams.
    """

    fit: FittedModel
    truth: Truth
    schema: Schema
    X: FloatArray
    y: FloatArray
    ends: Mapping[str, End]
    seed: int
    purpose: tuple[str | int, ...]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.X)

    def rng(self, word: str) -> np.random.Generator:
        """A stream of this protocol's own."""
        return seeds.stream(self.seed, *self.purpose, word)

    def seed_of(self, word: str) -> int:
        """A number for what wants one."""
        return seeds.number(self.seed, *self.purpose, word)

    def problem(self, bounded: bool = True) -> Problem:
        """The task of maximising the likelihood, in working coordinates."""
        bounds = self.fit.checked_bounds(self.schema) if bounded else {}
        model = self.fit.model
        rows = self.fit.rows(self.X, self.y, self.schema).merged()
        return Problem.of(model, model.prepare(rows, bounded=tuple(bounds)), bounds)


@dataclass(frozen=True, eq=False)
class End:
    """Where a protocol ended.

    Parameters
    ----------
    params : MoEParams
        In the user's units.
    loglik : float
        A sum over rows, in nats.
    status : Status
        The kind of point, whatever the protocol thought of it.
    gradient : float
        Infinity norm of the score per row, in standardised coordinates.
    smallest_eigenvalue : float
        Of the information per row, modulo invariances and active bounds.
    n_iter : int
        Steps of the run that ended here.
    n_starts, n_reached : int
        Starts, and how many of them ended at this likelihood.
    n_bounds : int
        Parameters on a bound of the parameter space.
    trusted : bool
        Whether it is a strict maximum, and no start went higher.
    shortfall : float
        By how much the log-likelihood lies below what it should not: the ends of other protocols, say.
    notes : tuple of str
        What else there is to say.
    """

    params: MoEParams
    loglik: float
    status: Status
    gradient: float
    smallest_eigenvalue: float
    n_iter: int
    n_starts: int
    n_reached: int
    n_bounds: int
    trusted: bool
    shortfall: float = 0.0
    notes: tuple[str, ...] = ()


class Protocol(ABC):
    """A way to fit; a frozen dataclass whose fields are its settings.

    A protocol of one's own has a ``kind``, the fields ``name`` and ``fits``, and `fit`; ``read`` makes it of a table in
    a study file. What depends on chance takes `Task.rng`.
    """

    kind: ClassVar[str]
    name: str
    #: Names of the models it is for; all when None.
    fits: tuple[str, ...] | None
    #: Protocols whose end points, and `TRUTH`, are starts too.
    polish_from: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, task: Task) -> End:
        """Fit one data set."""

    def fit_many(self, tasks: Sequence[Task]) -> list[End]:
        """Fit data sets of one size; the same ends as one by one."""
        return [self.fit(task) for task in tasks]

    @classmethod
    def read(cls, table: Table, name: str, fits: tuple[str, ...] | None) -> Protocol:
        """Made of a table in a study file; a class that says nothing else takes fields of plain numbers and texts."""
        settings = {
            field.name: table.take(field.name, field.default)
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]
            if field.name not in ("name", "fits")
        }
        return cls(name=name, fits=fits, **settings)  # type: ignore[call-arg]

    def to_plain(self) -> dict[str, Any]:
        """What the ends depend on."""
        return {"kind": self.kind} | {
            field.name: plain(getattr(self, field.name))
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if field.name != "fits"
        }

    @property
    def digest(self) -> str:
        """Of its settings."""
        return digest_of(self.to_plain())

    def applies_to(self, fit: FittedModel) -> bool:
        """Whether a study runs it on this model."""
        return self.fits is None or fit.name in self.fits

    def check(self, fit: FittedModel, truth: Truth, sizes: Sequence[int]) -> None:
        """Refuse models that it cannot fit to samples of these sizes."""


def check_near_truth(what: str, fit: FittedModel, truth: Truth) -> None:
    """Starts near the truth need a model that holds it: its gate and experts, maybe with other settings."""
    own, true = fit.model, truth.model
    way_out = "Name the models it is for with fits = [...], or leave the truth out."
    if type(own.gate) is not type(true.gate) or own.expert != true.expert:
        raise InputError(
            f"{what}: the truth is no start for {fit.name!r}, which has another gate or other experts. {way_out}"
        )
    if own.n_experts < true.n_experts:
        raise InputError(
            f"{what}: the truth has {true.n_experts} experts, and is no start for {fit.name!r} with {own.n_experts}. "
            f"{way_out}"
        )

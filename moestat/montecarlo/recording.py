"""What is written down of an end point: one number for each column, known before the first fit."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from moestat.errors import InputError
from moestat.model import MixtureOfExperts, MoEParams
from moestat.montecarlo.covariates import CovariateLaw
from moestat.montecarlo.fits import FittedModel
from moestat.montecarlo.protocols import End
from moestat.montecarlo.reading import Table, at, shown
from moestat.montecarlo.truth import Truth
from moestat.spelling import suggestion
from moestat.syntax import expression
from moestat.theory import (
    LossParts,
    MixingMeasure,
    align,
    hellinger,
    kullback_leibler,
    measure_distance,
    mixing_measure,
    total_variation,
    voronoi_loss,
)
from moestat.theory.kinds import check_alike
from moestat.theory.options import Options
from moestat.typing import FloatArray

#: Distances of densities by their name in a study file; each takes fit, truth and rows of covariates.
DISTANCES: dict[str, Callable[..., Any]] = {
    "hellinger": hellinger,
    "total_variation": total_variation,
    "kullback_leibler": kullback_leibler,
}
#: A distance of mixing measures.
MEASURE = "measure"

#: Short names of losses: what is behind the colon, and the options that it stands for.
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "published": {"variant": "published"},
    "sharp": {"variant": "sharp"},
    "merged": {"variant": "merged"},
    "raw": {"coordinates": "raw"},
}

#: A longer text is no loss.
MAX_LENGTH = 200

#: Numbers of every end point.
BASE = (
    "loglik",
    "gradient",
    "smallest_eigenvalue",
    "n_iter",
    "n_starts",
    "n_reached",
    "n_bounds",
    "trusted",
    "n_warnings",
    "shortfall",
)
#: Gain of log-likelihood over the reference fit, where there is one.
GAIN = "gain"


@dataclass(frozen=True)
class Loss:
    """A Voronoi loss with its options, by the name in the study: ``voronoi``, ``voronoi:sharp``, ``voronoi(r=2.0)``."""

    label: str

    def __post_init__(self) -> None:
        Options.of(self.options)

    @cached_property
    def options(self) -> dict[str, Any]:
        """Arguments of `moestat.theory.voronoi_loss`."""
        name, _, variant = self.label.partition(":")
        if name == "voronoi" and variant in VARIANTS and (variant or ":" not in self.label):
            return VARIANTS[variant]
        try:
            tree = expression(self.label if len(self.label) <= MAX_LENGTH else "")
        except SyntaxError:
            tree = ast.Constant(None)
        match tree:
            case ast.Call(func=ast.Name(id="voronoi"), args=[], keywords=settings):
                literals = {s.arg: s.value.value for s in settings if s.arg and isinstance(s.value, ast.Constant)}
                if len(literals) == len(settings):
                    return literals
        known = [f"voronoi:{name}" for name in VARIANTS if name]
        raise InputError(
            f"a loss is 'voronoi', one of {known}, or has options, as \"voronoi(cells='fixed')\"; "
            f"got {shown(self.label)}.{suggestion(self.label[:MAX_LENGTH], known)}"
        )

    def parts(self, fitted: MixingMeasure, truth: MixingMeasure) -> LossParts:
        """The loss with all its summands."""
        found: LossParts = voronoi_loss(fitted, truth, parts=True, **self.options)
        return found


@dataclass(frozen=True)
class Record:
    """What to write down.

    Parameters
    ----------
    losses : tuple of str
        Such as ``("voronoi", "voronoi:sharp")``; with every summand, and the deviations of every coordinate in exact
        and in over-covered cells.
    distances : tuple of str
        Some of "hellinger", "total_variation", "kullback_leibler" and "measure".
    reference : str, optional
        The fit whose log-likelihood is taken off; under the first protocol of the kind "mle", else under the same.
    distance_points : int
        Covariates that distances of densities are averaged over.
    estimates : bool
        Whether the coordinates of aligned atoms are written down too, where as many are fitted as there are.
    """

    losses: tuple[str, ...] = ("voronoi",)
    distances: tuple[str, ...] = ()
    reference: str | None = None
    distance_points: int = 64
    estimates: bool = True

    def __post_init__(self) -> None:
        for label in self.losses:
            Loss(label)
        for name in self.distances:
            if name not in (*DISTANCES, MEASURE):
                raise InputError(
                    f"distances are {sorted((*DISTANCES, MEASURE))}; got {name!r}."
                    f"{suggestion(name, (*DISTANCES, MEASURE))}"
                )


def read_record(table: Table) -> Record:
    """From its table in a study file."""
    losses, distances = table.texts("losses", ("voronoi",)), table.texts("distances", ())
    reference = table.text("reference") if table.has("reference") else None
    points = table.whole("distance_points", 64, least=8, most=100_000)
    estimates = table.flag("estimates", True)
    table.done()
    with at(table.path):
        return Record(losses, distances, reference, points, estimates)


class Recorder:
    """Turns end points of one fitted model into numbers.

    Parameters
    ----------
    record : Record
    fit : FittedModel
    truth : Truth
    covariates : CovariateLaw

    Raises
    ------
    InputError
        When a loss or a distance is not known between this model and the truth.
    """

    def __init__(self, record: Record, fit: FittedModel, truth: Truth, covariates: CovariateLaw) -> None:
        self._record, self._fit, self._truth = record, fit, truth
        d = truth.n_features
        self._moments = covariates.moments(d)
        self._points = (
            covariates.points(record.distance_points, d) if set(record.distances) & DISTANCES.keys() else None
        )
        labels = record.losses if fit.losses is None else fit.losses
        self._losses = tuple(Loss(label) for label in labels)
        if fit.objective != "likelihood" and set(record.distances) & DISTANCES.keys():
            raise InputError(
                f"{fit.name!r} is a fit by {fit.objective}, which has no density; record.distances can be ['measure']."
            )
        layout = fit.model.layout(truth.schema)
        self._check(layout.unpack(np.zeros(layout.size)))

    @cached_property
    def truth(self) -> MixingMeasure:
        """The true mixing measure."""
        return mixing_measure(self._truth.model, self._comparable(self._truth.params), moments=self._moments)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers: those of every end point, then those of this model."""
        base = (*BASE, GAIN) if self._record.reference is not None else BASE
        return (*base, *self._names)

    def of(self, end: End, beside: dict[str, float]) -> FloatArray:
        """The numbers (C,) of an end point; ``beside`` are those that it does not know itself."""
        own = {name: float(getattr(end, name)) for name in BASE if hasattr(end, name)} | beside
        own |= dict(self._measured(end.params))
        return np.array([own[name] for name in self.columns])

    def true_values(self) -> dict[str, float]:
        """What the aligned estimates estimate, by column."""
        return dict(_atoms(self.truth)) if self._aligned else {}

    # ------------------------------------------------------------------------------- the parts
    def _check(self, params: MoEParams) -> None:
        if self._losses or MEASURE in self._record.distances:
            check_alike(self._measure(params), self.truth)
        self._aligned = self._record.estimates and self._can_be_aligned(params)
        self._names = [name for name, _ in self._measured(params)]

    def _can_be_aligned(self, params: MoEParams) -> bool:
        if self._fit.model.n_experts != self._truth.model.n_experts or not self._losses:
            return False
        try:
            self._atoms_of(self._measure(params))
        except InputError:
            return False
        return True

    def _measure(self, params: MoEParams) -> MixingMeasure:
        return mixing_measure(self._fit.model, self._comparable(params))

    def _comparable(self, params: MoEParams) -> MoEParams:
        """Least squares know no variances: those of both measures are one."""
        if self._fit.objective == "likelihood" or not hasattr(params.expert, "variances"):
            return params
        return replace(params, expert=replace(params.expert, variances=np.ones_like(params.expert.variances)))

    def _measured(self, params: MoEParams) -> Iterator[tuple[str, float]]:
        fitted = self._measure(params) if self._losses or MEASURE in self._record.distances else None
        for number, loss in enumerate(self._losses):
            assert fitted is not None
            parts = loss.parts(fitted, self.truth)
            yield loss.label, parts.loss
            for one in parts.summands:
                name = one.name if one.kind == one.name else f"{one.kind}: {one.name}"
                yield f"{loss.label}/{name}", float(one.values.sum())
            if number == 0:
                yield from _deviations(parts, self._fit.model, fitted)
        for name in self._record.distances:
            yield name, self._distance(name, params, fitted)
        if self._aligned and fitted is not None:
            yield from self._atoms_of(fitted)

    def _distance(self, name: str, params: MoEParams, fitted: MixingMeasure | None) -> float:
        if name == MEASURE:
            assert fitted is not None
            return float(measure_distance(fitted, self.truth, coordinates="standardised"))
        pairs = (self._fit.model, params), (self._truth.model, self._truth.params)
        return float(DISTANCES[name](*pairs, self._points).value)

    def _atoms_of(self, fitted: MixingMeasure) -> list[tuple[str, float]]:
        options = self._losses[0].options | {"coordinates": "raw"}
        return list(_atoms(align(fitted, self.truth, by="assignment", **options)))


def _deviations(parts: LossParts, model: MixtureOfExperts, fitted: MixingMeasure) -> Iterator[tuple[str, float]]:
    """Errors of each coordinate: the largest in exact cells, the largest and the mean by mass in over-covered ones."""
    J = parts.summands[0].values.size
    sizes = np.bincount(parts.cells, minlength=J)
    yield from ((f"cell/{j + 1}", float(size)) for j, size in enumerate(sizes))
    over = sizes[parts.cells] > 1
    masses = fitted.masses
    for name, errors in parts.errors.items():
        yield f"deviation/exact: {name}", float(errors[~over].max()) if (~over).any() else np.nan
        yield f"deviation/over-covered: {name}", float(errors[over].max()) if over.any() else np.nan
        mean = float(masses[over] @ errors[over] / masses[over].sum()) if over.any() else np.nan
        yield f"mean deviation/over-covered: {name}", mean


def _atoms(measure: MixingMeasure) -> Iterator[tuple[str, float]]:
    """Logarithms of masses, the last one's taken off, and coordinates of all atoms."""
    logs = measure.log_masses - measure.log_masses[-1]
    yield from ((f"estimate/log_mass[{k + 1}]", float(value)) for k, value in enumerate(logs[:-1]))
    for coordinate in measure.coordinates:
        rows = measure[coordinate.name]
        for k, row in enumerate(rows, start=1):
            for i, value in enumerate(row, start=1):
                index = f"{k}" if row.size == 1 else f"{k},{i}"
                yield f"estimate/{coordinate.name}[{index}]", float(value)

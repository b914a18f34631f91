"""What a figure shows: the rows, if there are any, and rows made up along a covariate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from moestat.coordinates import Affine, Blend, ColumnMap
from moestat.errors import InputError, NotIdentifiedError, RankDeficientWarning
from moestat.frames.columns import Levels, as_frame
from moestat.frames.typical import Typical, codes, typical
from moestat.query import known_covariates
from moestat.spelling import suggestion
from moestat.typing import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:
    from moestat.results import Results

#: Points along a curve.
GRID = 200

#: Points drawn; of more rows, this many are drawn at random. The eye sees no more, and drawing stays fast.
MOST_POINTS = 3000

#: Other covariates whose values an axis label lists; of more it says that they are typical.
LISTED = 2


@dataclass(frozen=True, eq=False)
class Line:
    """Rows along one covariate, with the others at typical values.

    ``places`` (G,) are on the horizontal axis; those of a categorical covariate number its ``levels``.
    """

    name: str
    places: FloatArray
    levels: tuple[Any, ...] | None
    rows: pd.DataFrame


@dataclass(frozen=True)
class Curves:
    """Values (G, K, ...) along a line with pointwise 95 % limits, or without where the data do not determine them."""

    value: FloatArray
    limits: tuple[FloatArray, FloatArray] | None


@dataclass(frozen=True, eq=False)
class Scene:
    """A fit with the rows to show.

    Parameters
    ----------
    results : Results
    experts, gate : tuple of str
        Covariates of either, as the caller knows them: columns of a formula's data, or of X and Z.
    typical, levels : mapping
        What the covariates are held at and how far they reach; levels of the categorical ones.
    rows : DataFrame or None
        Covariates of the rows.
    y, offset, weight : ndarray or None
    framed : bool
        The covariates are columns that the formula reads.
    """

    results: Results
    experts: tuple[str, ...]
    gate: tuple[str, ...]
    typical: Mapping[str, Typical]
    levels: Levels
    rows: pd.DataFrame | None
    y: AnyArray | None
    offset: FloatArray
    weight: FloatArray
    framed: bool

    @staticmethod
    def of(results: Results, X: Any = None, y: Any = None, Z: Any = None, offset: Any = None) -> Scene:
        """The scene of the given rows, or of those of the fit, or of none when a loaded fit holds none."""
        responses = results.schema.responses
        if len(responses) != 1:
            raise InputError(f"pictures show one response; this model has {len(responses)}, {list(responses)}.")
        if X is None and y is None and Z is None:
            if offset is not None:
                raise InputError("offset goes with rows: pass X and y as well, or leave it out.")
            return _without_rows(results) if results.source is None else _of_the_fit(results)
        design = results.design
        if design is not None and Z is None and design.reads(X, results.schema.features, results.schema.gate_features):
            return _of_frame(results, as_frame("X", X), y, offset)
        return _of_arrays(results, X, y, Z, offset)

    @property
    def n_experts(self) -> int:
        """Number of experts."""
        return self.results.model.n_experts

    @property
    def covariates(self) -> tuple[str, ...]:
        """The experts' covariates, then what the gate has beside them."""
        return tuple(dict.fromkeys([*self.experts, *self.gate]))

    # ------------------------------------------------------------------------------- rows
    @cached_property
    def resp(self) -> FloatArray:
        """Responsibilities of the rows, (n, K)."""
        if self.rows is None or self.y is None:
            raise InputError("rows are needed for responsibilities: pass X and y; a loaded fit holds none.")
        X, Z = self.ask(self.rows)
        return self.results.responsibilities(X, self.y, Z, offset=self.offset)

    @property
    def has_rows(self) -> bool:
        """Whether there are rows with responses."""
        return self.rows is not None and self.y is not None

    @cached_property
    def shown(self) -> IntArray:
        """Rows that are drawn, in their order."""
        n = 0 if self.rows is None else len(self.rows)
        if n <= MOST_POINTS:
            return np.arange(n)
        return np.sort(np.random.default_rng(0).choice(n, MOST_POINTS, replace=False))

    def places(self, name: str) -> FloatArray:
        """Where the rows lie on the axis of a covariate; around the number of the level of a categorical one."""
        assert self.rows is not None
        column, known = self.rows[name].to_numpy(), self.levels[name]
        if known is None:
            return column.astype(float)
        return codes(column, known) + np.random.default_rng(1).uniform(-0.3, 0.3, len(column))

    # ------------------------------------------------------------------------------- made-up rows
    def pick(self, along: Any, names: tuple[str, ...]) -> str:
        """The covariate that ``along`` means among these."""
        if not names:
            raise InputError("a figure along a covariate needs one; this model has none.")
        if along is None:
            return names[0]
        if isinstance(along, str) and along in names:
            return along
        if isinstance(along, int | np.integer) and not isinstance(along, bool) and 0 <= along < len(names):
            return names[int(along)]
        hint = suggestion(along, names) if isinstance(along, str) else ""
        raise InputError(f"along must be one of {list(names)}, or its position; got {along!r}.{hint}")

    def line(self, along: Any, names: tuple[str, ...], points: int = GRID) -> Line:
        """Rows along one of these covariates, the others at typical values."""
        name = self.pick(along, names)
        known, middle = self.levels[name], self.typical[name]
        values = np.linspace(middle.low, middle.high, points) if known is None else np.array(known, dtype=object)
        places = values if known is None else np.arange(len(known), dtype=float)
        return Line(name, places, known, self.typical_rows(len(values)).assign(**{name: values}))

    def typical_rows(self, n: int) -> pd.DataFrame:
        """Rows with all covariates at typical values."""
        return pd.DataFrame({name: [self.typical[name].value] * n for name in self.covariates}, index=range(n))

    def held(self, names: tuple[str, ...], *free: str) -> str:
        """In words, at which values the other ones of these covariates are held."""
        others = [name for name in names if name not in free]
        words = [f"{name} at {_short(self.typical[name].value)}" for name in others]
        if len(others) > LISTED:
            words = [f"{len(others)} other covariates at typical values"]
        return ", ".join([*words, *([f"offset at {self.mean_offset:.3g}"] if self._has_offset else [])])

    @property
    def _has_offset(self) -> bool:
        """Whether curves depend on a known term."""
        named = self.results.design is not None and (self.results.design.offset or self.results.design.exposure)
        return bool(self.offset.any() or named)

    def ask(self, rows: pd.DataFrame) -> tuple[Any, Any]:
        """X and Z that results are asked about."""
        if self.framed:
            return rows, None
        X = rows[list(self.experts)].to_numpy(dtype=float)
        return X, rows[list(self.gate)].to_numpy(dtype=float)

    @property
    def mean_offset(self) -> float:
        """The offset of the curves."""
        return float(np.average(self.offset, weights=self.weight)) if self.offset.size else 0.0

    # ------------------------------------------------------------------------------- what the model says there
    def expert_means(self, rows: pd.DataFrame) -> Curves:
        """Means, or class probabilities, of the experts with limits."""
        X, Z = self.ask(rows)
        results, known = self.results, self.mean_offset
        return _curves(
            lambda: results.get_expert_means(X, Z, offset=known), lambda: results.expert_means(X, Z, offset=known)
        )

    def gate_weights(self, rows: pd.DataFrame) -> Curves:
        """Gate weights with limits."""
        X, Z = self.ask(rows)
        results = self.results
        return _curves(lambda: results.get_gate_weights(X, Z), lambda: results.gate_weights(X, Z))

    def mean(self, rows: pd.DataFrame) -> FloatArray:
        """Means, or class probabilities, of the mixture."""
        with _quiet():
            return self.results.predict(*self.ask(rows), offset=self.mean_offset)

    def density(self, rows: pd.DataFrame, y: FloatArray) -> FloatArray:
        """p(y | x), one value per row."""
        X, Z = self.ask(rows)
        with _quiet():
            return self.results.density(X, y, Z, offset=self.mean_offset)

    def responsibilities(self, rows: pd.DataFrame, y: FloatArray) -> FloatArray:
        """Responsibilities of made-up rows, (n, K)."""
        X, Z = self.ask(rows)
        with _quiet():
            return self.results.responsibilities(X, y, Z, offset=self.mean_offset)


def _quiet() -> Any:
    """Other covariates at typical values may break a relation that all rows keep; curves say so by lacking bands."""
    return warnings.catch_warnings(action="ignore", category=RankDeficientWarning)


def _curves(with_errors: Any, without: Any) -> Curves:
    with _quiet():
        try:
            estimated = with_errors()
        except NotIdentifiedError:
            return Curves(without(), None)
    return Curves(estimated.value, estimated.limits())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


# --------------------------------------------------------------------------------------- where rows come from
def _of_the_fit(results: Results) -> Scene:
    """The rows of the fit, back in the user's units."""
    source = results.source
    assert source is not None
    plain = source.in_coordinates(source.moments)
    at = plain.coordinates
    parts = [(b.X[1:], b.Z[1:], b.Y, b.offset[None], b.weight[None], b.weight > 0) for b in plain.blocks()]
    X, Z, Y, offset, weight = (np.concatenate([p[i][:, p[5]].T for p in parts]) for i in range(5))
    known, y = offset[:, 0] * at.y.scale[0], at.y.restore(Y)[:, 0]
    classes = results.schema.classes
    labels = y if classes is None else np.array(classes, dtype=object)[y.astype(np.int64)]
    if results.frame is not None and results.design is not None:
        columns = list(dict.fromkeys([*results.design.expert_columns, *results.design.gate_columns]))
        return _framed(results, results.frame[columns], labels, known, weight[:, 0])
    return _arrayed(results, at.X.restore(X), at.Z.restore(Z), labels, known, weight[:, 0])


def _of_frame(results: Results, frame: pd.DataFrame, y: Any, offset: Any) -> Scene:
    design = results.design
    assert design is not None
    scored = y is None and design.has_response(frame)
    _, _, y, known = design.rows(frame, y=y, offset=offset, scored=scored)
    columns = list(dict.fromkeys([*design.expert_columns, *design.gate_columns]))
    y = None if y is None else np.asarray(y)
    return _framed(results, frame[columns], y, _known_term(results, known, len(frame)), np.ones(len(frame)))


def _of_arrays(results: Results, X: Any, y: Any, Z: Any, offset: Any) -> Scene:
    if X is None and Z is None and not results.schema.features:
        X = np.empty((len(y), 0))
    covariates, gate = known_covariates(results.schema, X, Z)
    n = len(covariates)
    y = None if y is None else np.asarray(y).reshape(n, -1)[:, 0]
    return _arrayed(results, covariates, gate, y, _known_term(results, offset, n), np.ones(n))


def _known_term(results: Results, offset: Any, n: int) -> FloatArray:
    """The offset of every row, zero without one; a fit with an offset cannot be shown without."""
    if offset is None and results.source is not None and results.source.uses_offset:
        raise InputError("offset is needed: the model was fitted with one, and the points move with it.")
    return np.zeros(n) if offset is None else np.broadcast_to(np.asarray(offset, dtype=float), (n,))


def _framed(results: Results, rows: pd.DataFrame, y: Any, offset: FloatArray, weight: FloatArray) -> Scene:
    """Rows of the columns of a formula."""
    design = results.design
    assert design is not None
    levels = {name: design.levels[name] for name in rows.columns}
    numbers = {name: rows[name].astype(float) if known is None else rows[name] for name, known in levels.items()}
    middle = {name: typical(column.to_numpy(), levels[name], weight) for name, column in numbers.items()}
    table = pd.DataFrame(numbers, index=rows.index).reset_index(drop=True)
    return Scene(
        results, design.expert_columns, design.gate_columns, middle, levels, table, y, offset, weight, framed=True
    )


def _arrayed(results: Results, X: FloatArray, Z: FloatArray, y: Any, offset: FloatArray, weight: FloatArray) -> Scene:
    """Rows of arrays; a column of X and one of Z that have one name are one covariate if they have the same values."""
    experts = results.schema.features
    known = dict(zip(experts, X.T, strict=True))
    gate = tuple(
        f"{name} (gate)" if name in known and not np.array_equal(known[name], column) else name
        for name, column in zip(results.schema.gate_features, Z.T, strict=True)
    )
    table = pd.DataFrame({**known, **dict(zip(gate, Z.T, strict=True))}, index=range(len(X)))
    middle = {name: typical(table[name].to_numpy(), None, weight) for name in table.columns}
    levels: Levels = dict.fromkeys(middle)
    return Scene(results, experts, gate, middle, levels, table, y, offset, weight, framed=False)


def _without_rows(results: Results) -> Scene:
    """Curves of a loaded fit: a formula knows the ranges of its columns, coordinates about where theirs are."""
    design, nothing = results.design, np.empty(0)
    if design is not None and design.readable:
        experts, gate = design.expert_columns, design.gate_columns
        missing = [name for name in (*experts, *gate) if name not in design.typical]
        if missing:
            raise InputError(f"this file does not say where {missing} lie: pass X, a data frame with these columns.")
        middle, levels = design.typical, design.levels
    else:
        experts, gate = results.schema.features, results.schema.gate_features
        middle = {**_reach(results.coordinates.Z, gate), **_reach(results.coordinates.X, experts)}
        levels = dict.fromkeys(middle)
    framed = design is not None and design.readable
    return Scene(results, experts, gate, middle, levels, None, None, nothing, nothing, framed)


def _reach(at: ColumnMap, names: tuple[str, ...]) -> dict[str, Typical]:
    """About where columns lie: two powers of two, near the standard deviation, either side of near the mean."""
    standard = at.standard if isinstance(at, Blend) else at
    assert isinstance(standard, Affine)
    low, high = standard.location - 2 * standard.scale, standard.location + 2 * standard.scale
    ends = zip(names, standard.location.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Typical(*where) for name, *where in ends}

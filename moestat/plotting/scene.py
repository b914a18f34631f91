"""What a figure shows: the rows, if there are any, and rows made up along a covariate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from moestat.errors import InputError, NotIdentifiedError, RankDeficientWarning
from moestat.frames.columns import Levels
from moestat.frames.typical import Typical, codes
from moestat.spelling import suggestion
from moestat.typing import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:
    from moestat.results import Results

#: Points along a curve.
GRID = 200

#: Points drawn; of more rows, this many are drawn at random. The eye sees no more, and drawing stays fast.
MOST_POINTS = 3000

#: Of what is drawn at random; rows made with the same seed would show patterns, so it is none that people choose.
SEED = 0x6D6F6573746174

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
class Known:
    """Known terms of the rows: offsets (n,), without the logarithms of the exposures, and exposures (n,), if any."""

    offset: FloatArray
    exposure: FloatArray | None = None

    def middle(self, weight: FloatArray) -> tuple[float, float]:
        """Those of the curves: the mean offset, and the median exposure, which is whole where exposures are."""
        offset = float(np.average(self.offset, weights=weight)) if self.offset.size else 0.0
        if self.exposure is None:
            return offset, 1.0
        order = np.argsort(self.exposure)
        half = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
        return offset, float(self.exposure[order[half]])


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
    y, weight : ndarray or None
    known : Known
        Offsets and exposures of the rows.
    framed : bool
        The covariates are columns that the formula reads.
    asked : DataFrame or None
        What the model is asked about in place of the rows: these at the edge of what the fit saw, where a formula
        cannot be computed beyond.
    """

    results: Results
    experts: tuple[str, ...]
    gate: tuple[str, ...]
    typical: Mapping[str, Typical]
    levels: Levels
    rows: pd.DataFrame | None
    y: AnyArray | None
    known: Known
    weight: FloatArray
    framed: bool
    asked: pd.DataFrame | None = None

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
        X, Z = self.ask(self.rows if self.asked is None else self.asked)
        return self.results.shares(X, self.y, Z, offset=self.known.offset, exposure=self.known.exposure)

    @property
    def has_rows(self) -> bool:
        """Whether there are rows with responses."""
        return self.rows is not None and self.y is not None

    @property
    def n_beyond(self) -> int:
        """Number of rows beyond what the formula can be computed for."""
        if self.rows is None or self.asked is None:
            return 0
        return int((self.rows[self.asked.columns].to_numpy() != self.asked.to_numpy()).any(axis=1).sum())

    @cached_property
    def shown(self) -> IntArray:
        """Rows that are drawn, in their order."""
        n = 0 if self.rows is None else len(self.rows)
        if n <= MOST_POINTS:
            return np.arange(n)
        return np.sort(np.random.default_rng(SEED).choice(n, MOST_POINTS, replace=False))

    def places(self, name: str) -> FloatArray:
        """Where the rows lie on the axis of a covariate; around the number of the level of a categorical one."""
        assert self.rows is not None
        column, known = self.rows[name].to_numpy(), self.levels[name]
        if known is None:
            return column.astype(float)
        return codes(column, known) + np.random.default_rng(SEED).uniform(-0.3, 0.3, len(column))

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

    def held(self, names: tuple[str, ...], *free: str, offset: bool = True) -> str:
        """In words, at which values the other ones of these covariates are held; the gate knows no offset."""
        others = [name for name in names if name not in free]
        words = [f"{name} at {_short(self.typical[name].value)}" for name in others]
        if len(others) > LISTED:
            words = [f"{len(others)} other covariates at typical values"]
        return ", ".join([*words, *(self._held_terms() if offset else [])])

    def _held_terms(self) -> list[str]:
        """In words, at which known terms the curves are drawn; only what they depend on."""
        design, (offset, exposure) = self.results.design, self._middle
        words = []
        if self.known.offset.any() or (design is not None and design.offset):
            words.append(f"offset at {offset:.3g}")
        if self.known.exposure is not None or (design is not None and design.exposure):
            words.append(f"exposure at {exposure:.3g}")
        return words

    def ask(self, rows: pd.DataFrame) -> tuple[Any, Any]:
        """X and Z that results are asked about."""
        if self.framed:
            return rows, None
        X = rows[list(self.experts)].to_numpy(dtype=float)
        return X, rows[list(self.gate)].to_numpy(dtype=float)

    @cached_property
    def _middle(self) -> tuple[float, float]:
        return self.known.middle(self.weight)

    @property
    def terms(self) -> dict[str, Any]:
        """The offset and the exposure of the curves."""
        return dict(zip(("offset", "exposure"), self._middle, strict=True))

    @property
    def support(self) -> tuple[float, float]:
        """Between which numbers responses lie at the exposure of the curves."""
        return self.results.model.expert.support(self._middle[1])

    @cached_property
    def level_responses(self) -> FloatArray:
        """Responses (n,) as they would be at the offset and the exposure of the curves.

        A known term that shifts the mean of an expert shifts them; one of log links, or an exposure, multiplies them.
        """
        assert self.y is not None
        assert self.rows is not None
        y, known, (X, Z) = self.y.astype(float), self.known, self.ask(self.rows)
        if known.exposure is None and not known.offset.any():
            return y
        results, shift = self.results, self._middle[0] - known.offset
        here = {"offset": known.offset, "exposure": known.exposure}
        with _quiet():
            moved = results.expert_means(X, Z, **self.terms) - results.expert_means(X, Z, **here)
            if any(np.allclose(column, shift, rtol=1e-6, atol=1e-9 * np.ptp(y)) for column in moved.T):
                return np.asarray(y + shift)
            own = results.predict(X, Z, **here)
            ratio = np.divide(results.predict(X, Z, **self.terms), own, out=np.ones_like(own), where=own > 0)
        return np.asarray(y * ratio)

    # ------------------------------------------------------------------------------- what the model says there
    @property
    def spread(self) -> FloatArray | None:
        """Standard deviations of the noise of the experts (K,); None when some have no variance."""
        expert = self.results.params.expert
        members = getattr(expert, "members", (expert,))
        known = [getattr(m, "variances", getattr(m, "variance", None)) for m in members]
        variances = [v for v in known if v is not None and np.isfinite(v).all()]
        if len(variances) < len(known):
            return None
        return np.asarray(np.sqrt(np.broadcast_to(np.hstack(variances), self.n_experts)))

    def expert_means(self, rows: pd.DataFrame) -> Curves:
        """Means, or class probabilities, of the experts with limits."""
        X, Z = self.ask(rows)
        results, terms = self.results, self.terms
        return _curves(lambda: results.get_expert_means(X, Z, **terms), lambda: results.expert_means(X, Z, **terms))

    def gate_weights(self, rows: pd.DataFrame) -> Curves:
        """Gate weights with limits."""
        X, Z = self.ask(rows)
        results = self.results
        return _curves(lambda: results.get_gate_weights(X, Z), lambda: results.gate_weights(X, Z))

    def mean(self, rows: pd.DataFrame) -> FloatArray:
        """Means, or class probabilities, of the mixture."""
        with _quiet():
            return self.results.predict(*self.ask(rows), **self.terms)

    def density(self, rows: pd.DataFrame, y: FloatArray) -> FloatArray:
        """p(y | x), one value per row."""
        X, Z = self.ask(rows)
        with _quiet():
            return self.results.density(X, y, Z, **self.terms)

    def responsibilities(self, rows: pd.DataFrame, y: FloatArray) -> FloatArray:
        """Responsibilities of made-up rows, (n, K)."""
        X, Z = self.ask(rows)
        with _quiet():
            return self.results.responsibilities(X, y, Z, **self.terms)


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

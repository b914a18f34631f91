"""Every summand of a Voronoi loss, for a reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Summand:
    """A norm's share of the loss, by true atom (J,); ``over`` says whether it is of over-covered cells."""

    name: str
    over: bool
    values: FloatArray

    @property
    def kind(self) -> str:
        """Exact cells, over-covered cells, or the masses."""
        return self.name if self.name in ("masses", "within groups") else "over-covered" if self.over else "exact"


@dataclass(frozen=True, eq=False, repr=False)
class LossParts:
    """A Voronoi loss with its summands; made by `voronoi_loss` with ``parts=True``.

    Attributes
    ----------
    loss : float
    log_loss : float
        Its logarithm, which is finite where masses overflow; minus infinity of a loss of zero.
    summands : tuple of Summand
        The masses, the norms of exact cells and those of over-covered ones, each by true atom. They add up to the loss;
        of a top-K gate the loss is the sum of the largest cells only.
    cells : ndarray of int (K,)
        The true atom of every fitted one, counted from 0.
    t0 : float
        The translation of the logarithms of masses.
    t1 : ndarray (p,)
        The translation of the gate's coordinates, in the units of the comparison.
    errors : dict of ndarray (K,)
        The length of each coordinate's error, by name, after the translation: what per-coordinate rates are about.
    n_active : int
        How many cells are summed.
    within : dict of LossParts
        Of hierarchies: by fitted and true group, the loss between their measures.
    conjectured : bool
        Whether exponents of cells of four atoms or more enter, which nobody has proved; see `rbar`.
    """

    loss: float
    log_loss: float
    summands: tuple[Summand, ...]
    cells: IntArray
    t0: float
    t1: FloatArray
    errors: dict[str, FloatArray]
    n_active: int
    within: dict[tuple[int, int], LossParts]
    conjectured: bool

    @property
    def by_cell(self) -> FloatArray:
        """Sums of all summands by true atom (J,)."""
        return np.asarray(np.sum([one.values for one in self.summands], axis=0))

    def of(self, kind: str) -> float:
        """Sum of the summands of a kind: ``"masses"``, ``"exact"``, ``"over-covered"`` or ``"within groups"``."""
        return float(sum(one.values.sum() for one in self.summands if one.kind == kind))

    def __repr__(self) -> str:
        J = self.summands[0].values.size
        sizes = np.bincount(self.cells, minlength=J)
        shown = [one for one in self.summands if one.kind == one.name or one.values.any()]
        names = [self._title(one) for one in shown]
        width = max(map(len, names))
        heads = "".join(f"{f'atom {j + 1} ({n} fitted)':>20}" for j, n in enumerate(sizes))
        lines = [f"Voronoi loss {self.loss:.6g}", " " * width + heads]
        for name, one in zip(names, shown, strict=True):
            lines.append(f"{name:{width}}" + "".join(f"{x:20.4g}" for x in one.values))
        if self.conjectured:
            lines.append("Exponents of cells of four atoms and more are a conjecture.")
        return "\n".join(lines)

    def _title(self, one: Summand) -> str:
        if one.kind == one.name:
            return one.name
        everything = len(one.name.split(" + ")) == len(self.errors) > 1
        return f"{one.kind}: {'all coordinates' if everything else one.name}"

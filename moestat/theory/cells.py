"""Which true atom every fitted one belongs to, and the fitted measure laid over the true one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from moestat.errors import InputError
from moestat.theory.measure import MixingMeasure
from moestat.theory.options import Options
from moestat.theory.pairs import Pair, Solved
from moestat.theory.units import in_common_units
from moestat.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Cells:
    """Voronoi cells; made by `voronoi_cells`.

    Attributes
    ----------
    labels : ndarray of int (K,)
        The true atom of every fitted one, counted from 0.
    sizes : ndarray of int (J,)
        How many fitted atoms each true one has; 0 for a true atom that is not covered.
    t0 : float
        Translation of the logarithms of masses at which the loss is smallest.
    t1 : ndarray (p,)
        Translation of the gate's coordinates.
    """

    labels: IntArray
    sizes: IntArray
    t0: float
    t1: FloatArray

    def members(self, j: int) -> IntArray:
        """The fitted atoms of a true one."""
        return np.flatnonzero(self.labels == j)


def voronoi_cells(fitted: MixingMeasure, truth: MixingMeasure, **options: Any) -> Cells:
    """The Voronoi cells of the true atoms, at the translation where the loss is smallest.

    Parameters
    ----------
    fitted, truth : MixingMeasure
    **options
        Those of `voronoi_loss` but ``parts``: cells, cell_metric, coordinates and the others.

    Returns
    -------
    Cells
        An atom that is equally near to several is given to the first.
    """
    solved = _solved(fitted, truth, Options.of(options))
    sizes = np.bincount(solved.cells, minlength=truth.size)
    return Cells(solved.cells, sizes.astype(np.int64), _log(solved.factor), solved.t)


def align(fitted: MixingMeasure, truth: MixingMeasure, *, by: str = "cells", **options: Any) -> MixingMeasure:
    """The fitted measure translated and ordered so that it can be read beside the true one.

    Parameters
    ----------
    fitted, truth : MixingMeasure
    by : {"cells", "assignment"}
        Order by cells, those of one cell by decreasing mass; or the one-to-one assignment of least total distance,
        for as many fitted atoms as true ones.
    **options
        Those of `voronoi_loss`.

    Returns
    -------
    MixingMeasure
        In the units of the comparison, with the true total mass. It has no parameters behind it any more.
    """
    chosen = Options.of(options)
    if by not in ("cells", "assignment"):
        raise InputError(f"by must be 'cells' or 'assignment'; got {by!r}.")
    if by == "assignment" and fitted.size != truth.size:
        raise InputError(
            f"by='assignment' needs as many fitted atoms as true ones, {truth.size}; got {fitted.size}. Use by='cells'."
        )
    solved = _solved(fitted, truth, chosen)
    own, shift = solved.pair.fitted, solved.pair.rules.shift
    atoms = own.atoms.copy()
    atoms[:, shift] -= solved.t
    logs = own.log_masses
    if chosen.mass == "matched":
        logs = logs - logsumexp(logs) + logsumexp(solved.pair.truth.log_masses)
    order = np.lexsort((-logs, solved.cells))
    if by == "assignment":
        order = linear_sum_assignment(np.linalg.norm(solved.pair.truth.atoms[:, None] - atoms, axis=2))[1]
    inner = tuple(own.inner[k] for k in order) if own.inner else ()
    return replace(own, log_masses=logs[order], atoms=atoms[order], inner=inner, origin=None)


def _solved(fitted: MixingMeasure, truth: MixingMeasure, options: Options) -> Solved:
    return Pair.of(*in_common_units(fitted, truth, options.coordinates), options).solve()


def _log(factor: float) -> float:
    return float(np.log(factor)) if factor > 0 else -np.inf

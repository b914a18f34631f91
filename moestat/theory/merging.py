"""Atoms merged into one, with the moments of what they were.

Masses add up, and coordinates are averaged by mass. A mixture of several locations is wider than one of them, and one
whose gate slopes and locations vary together leans; to first order

    nu = mean(nu_i) + var(b_i),      a = mean(a_i) + cov(beta_1i, b_i)

for experts N(y; a'x + b, nu), the second under gates whose slopes interact with the experts'. So merged atoms
converge at the parametric rate where those that share a true one do not [arXiv 2510.12744; the corrections are
recalled, not verified there, and follow from the identities d2/db2 = 2 d/dnu and d2/dbeta_1 db = d/da].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from moestat.errors import InputError
from moestat.theory import search
from moestat.theory.entries import gate_loss
from moestat.theory.measure import MixingMeasure
from moestat.theory.rules import corrections
from moestat.typing import IntArray


def merge(measure: MixingMeasure, labels: Sequence[int] | IntArray) -> MixingMeasure:
    """The measure whose atoms with equal labels have become one.

    Parameters
    ----------
    measure : MixingMeasure
        Standardise it first where merged atoms are to be compared in standard units: means by mass depend on the origin
        of the covariates.
    labels : sequence of int (K,)
        Of every atom, such as ``voronoi_cells(G, G0).labels``. Merged atoms come in the order of the labels.

    Returns
    -------
    MixingMeasure
        With as many atoms as there are labels, and no parameters behind it.

    Raises
    ------
    InputError
        When there is not one label per atom, when the atoms are groups, or when families differ within a label.
    """
    cells = np.asarray(labels)
    if cells.shape != (measure.size,) or not np.issubdtype(cells.dtype, np.integer):
        raise InputError(f"labels must be {measure.size} whole numbers, one per atom; got {labels!r}.")
    if measure.inner:
        raise InputError("groups of a hierarchy are not merged; merge the measures within them, measure.inner[g].")
    codes = np.unique(cells, return_inverse=True)[1].astype(np.int64)
    logs = np.array([logsumexp(measure.log_masses[codes == j]) for j in range(codes.max() + 1)])
    rows = corrections(measure, gate_loss(measure.gate))
    shares = np.exp(measure.log_masses - logs[codes])
    atoms = np.array([search.merged(rows, measure.atoms, shares, codes, j, 1.0) for j in range(logs.size)])
    if np.isnan(atoms).sum() > np.isnan(measure.atoms).sum():
        raise InputError("experts of different families have no common atom; give them different labels.")
    return replace(measure, log_masses=logs, atoms=atoms, origin=None)

"""Subspaces of the parameter space: what leaves the density unchanged, and the rest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.linalg import qr

from moestat.typing import BoolArray, FloatArray


def supported_directions(directions: FloatArray, movable: BoolArray) -> FloatArray:
    """Orthonormal basis of the combinations of ``directions`` that move only movable parameters."""
    if not len(directions):
        return directions
    return _supported(np.ascontiguousarray(directions).tobytes(), movable.tobytes())


# straight directions are the same at every step: the M-step's, the Newton step's and the certificate's are kept
@lru_cache(maxsize=4)
def _supported(entries: bytes, mask: bytes) -> FloatArray:
    """`supported_directions`, read-only."""
    movable = np.frombuffer(mask, dtype=bool)
    directions = np.frombuffer(entries).reshape(-1, movable.size)
    outside = directions[:, ~movable]
    combos = np.eye(len(directions))
    if outside.size:
        _, s, vt = np.linalg.svd(outside.T, full_matrices=True)
        rank = int((s > 1e-12 * max(s[0], 1e-300)).sum()) if s.size else 0
        combos = vt[rank:]
    inside = combos @ directions
    if len(inside):
        _, s, vt = np.linalg.svd(inside, full_matrices=False)
        inside = vt[s > 1e-12 * s[0]]
    inside.setflags(write=False)
    return inside


def row_space(rows: FloatArray) -> FloatArray:
    """Orthonormal basis of the space that the rows span."""
    if not len(rows):
        return rows
    _, s, vt = np.linalg.svd(rows, full_matrices=False)
    kept: FloatArray = vt[s > 1e-12 * max(s[0], 1e-300)]
    return kept


def complement(inside: FloatArray, movable: BoolArray) -> FloatArray:
    """Orthonormal basis (P, m) of the movable directions that are orthogonal to the rows of ``inside``."""
    index = np.flatnonzero(movable)
    rows = inside[:, index]
    orthogonal = np.linalg.qr(rows.T, mode="complete")[0] if len(rows) else np.eye(index.size)
    basis = np.zeros((movable.size, index.size - len(rows)))
    basis[index] = orthogonal[:, len(rows) :]
    return basis


def readable(directions: FloatArray) -> FloatArray:
    """Rows of length one that span the same space, each with a parameter that no other row moves."""
    if not len(directions):
        return directions
    own = qr(directions, mode="r", pivoting=True)[1][: len(directions)]
    rows = np.linalg.solve(directions[:, own], directions)
    unit: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def fine_units(hessian: FloatArray, rows: float) -> FloatArray:
    """Units (P,) of the parameters, finer than one where a row tells more than one about them.

    The round-off of a score grows with the information, so scores are compared with zero in these units.
    """
    units: FloatArray = 1.0 / np.sqrt(np.maximum(-np.diag(hessian) / rows, 1.0))
    return units

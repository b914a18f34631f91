"""Quadratic functions that vanish on rows whose covariates are linearly related.

A relation r(x) = r_0 + r_1' x that is zero in every row is so times any linear function: a gate with quadratic logits
leaves all these products open, not the relation alone.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import null_space

from moestat.typing import FloatArray, IntArray


def vanishing_forms(relations: FloatArray) -> FloatArray:
    """Symmetric matrices (m, 1 + d, 1 + d) of the quadratic forms in (1, x) that relations (r, 1 + d) make zero."""
    p = relations.shape[1]
    products = np.einsum("ra,ub->ruab", relations, np.eye(p)).reshape(-1, p, p)
    return np.asarray(0.5 * (products + products.swapaxes(1, 2)))


def combined_without(rows: FloatArray, unwanted: FloatArray) -> FloatArray:
    """Combinations of rows (m, q) in which what they bring along, unwanted (m, k), cancels."""
    return null_space(unwanted.T).T @ rows if unwanted.size else rows


def one_for_each(columns: IntArray, rows: FloatArray, size: int) -> FloatArray:
    """Directions (K m, P) that move the parameters of one expert, at its columns (K, q), along one of rows (m, q)."""
    out = np.zeros((len(columns), len(rows), size))
    for directions, own in zip(out, columns, strict=True):
        directions[:, own] = rows
    return out.reshape(-1, size)

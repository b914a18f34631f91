"""Weighted least squares out of moments, or out of triangular factors where these are ill-conditioned.

A row of moments holds the lower triangle of the features' Gram matrix, then features times residuals and products of
residuals.
"""

from __future__ import annotations

import numpy as np

from moestat.typing import FloatArray

#: Smallest reciprocal condition of an expert's scaled Gram matrix that normal equations are trusted with.
MIN_RCOND = 1e-9


def unpack(row: FloatArray, p: int) -> tuple[FloatArray, FloatArray, float]:
    """Gram matrix of p features, cross moments and square of the residuals from one row of moments."""
    n = p * (p + 1) // 2
    return gram_of(row, p), row[n : n + p], float(row[n + p])


def gram_of(row: FloatArray, p: int) -> FloatArray:
    """Gram matrix (p, p) of the features."""
    gram = np.empty((p, p))
    lower = np.tril_indices(p)
    gram[lower] = row[: p * (p + 1) // 2]
    gram.T[lower] = row[: p * (p + 1) // 2]
    return gram


def solve(gram: FloatArray, cross: FloatArray) -> FloatArray:
    """Solution of gram @ step = cross; minimum norm along directions that the scaled matrix does not see."""
    scale = _equilibrate(gram)
    eigenvalues, vectors = np.linalg.eigh(gram * scale[:, None] * scale)
    kept = eigenvalues > 1e-14 * max(eigenvalues[-1], 1e-300)
    inverse = np.where(kept, 1.0 / np.where(kept, eigenvalues, 1.0), 0.0)
    return scale * (vectors @ (inverse * (vectors.T @ (scale * cross))))


def solve_factored(factor: FloatArray, cross: FloatArray) -> FloatArray:
    """Least-squares solution from the triangular factor of the features and the turned residuals."""
    return np.asarray(np.linalg.lstsq(factor, cross, rcond=1e-14)[0])


def ill_conditioned(moments: FloatArray, p: int) -> bool:
    """Whether any Gram matrix is too poorly conditioned for normal equations."""
    return any(_reciprocal_condition(gram_of(row, p)) < MIN_RCOND for row in moments)


def _reciprocal_condition(gram: FloatArray) -> float:
    """Of the scaled matrix, without features that are zero in every row: those lose nothing."""
    seen = np.flatnonzero(np.diag(gram) > 0)
    if not seen.size:
        return 0.0
    gram = gram[np.ix_(seen, seen)]
    scale = _equilibrate(gram)
    eigenvalues = np.linalg.eigvalsh(gram * scale[:, None] * scale)
    return float(eigenvalues[0] / eigenvalues[-1])


def _equilibrate(gram: FloatArray) -> FloatArray:
    diagonal = np.diag(gram)
    return 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))

"""Covariance matrices as distinct entries, and as unconstrained numbers by their Cholesky factor.

    Gamma = L L',   free: log L_ii on the diagonal, L_ij below it        [Pinheiro and Bates 1996, log-Cholesky]

A matrix of size m has m (m + 1) / 2 distinct entries, in the order (0,0), (1,0), (1,1), (2,0), ... of its lower
triangle; the free numbers come in the same order. Every set of numbers is a positive definite matrix and back, and
what multiplies a coordinate's unit is added to a logarithm or multiplies numbers below the diagonal.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from moestat.params import Support
from moestat.typing import BoolArray, FloatArray, IntArray


def size_of(entries: int) -> int:
    """Size of a symmetric matrix with so many distinct entries."""
    return int(np.sqrt(2 * entries))


def n_entries(size: int) -> int:
    """Number of distinct entries of a symmetric matrix."""
    return size * (size + 1) // 2


@cache
def lower_indices(size: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the distinct entries; they are asked for at every pass."""
    i, j = np.tril_indices(size)
    return i, j


def matrices(entries: FloatArray) -> FloatArray:
    """Symmetric matrices (..., m, m) of their distinct entries (..., p)."""
    m = size_of(entries.shape[-1])
    i, j = lower_indices(m)
    out = np.empty((*entries.shape[:-1], m, m), dtype=entries.dtype)
    out[..., i, j] = entries
    out[..., j, i] = entries
    return out


def entries(matrices: FloatArray) -> FloatArray:
    """Distinct entries (..., p) of symmetric matrices (..., m, m)."""
    i, j = lower_indices(matrices.shape[-1])
    return np.asarray(matrices[..., i, j])


def diagonal(size: int) -> BoolArray:
    """Which of the distinct entries lie on the diagonal."""
    i, j = lower_indices(size)
    return np.asarray(i == j)


def factors(free: FloatArray) -> FloatArray:
    """Lower triangular factors L (..., m, m) of free numbers (..., p)."""
    m = size_of(free.shape[-1])
    i, j = lower_indices(m)
    out = np.zeros((*free.shape[:-1], m, m), dtype=free.dtype)
    out[..., i, j] = np.where(i == j, np.exp(free), free)
    return out


def free_of(covariance: FloatArray) -> FloatArray:
    """Free numbers (..., p) of covariance matrices (..., m, m)."""
    L = np.linalg.cholesky(covariance)
    i, j = np.tril_indices(L.shape[-1])
    below = L[..., i, j]
    return np.asarray(np.where(i == j, np.log(np.where(i == j, below, 1.0)), below))


def _free(covariance: FloatArray) -> FloatArray:
    return free_of(matrices(covariance))


def _natural(free: FloatArray) -> FloatArray:
    L = factors(free)
    return entries(L @ L.swapaxes(-1, -2))


def _jacobian(covariance: FloatArray) -> FloatArray:
    """Derivative of the distinct entries in the free numbers: (..., p, p)."""
    L = np.linalg.cholesky(matrices(covariance))
    m = L.shape[-1]
    columns = []
    for i, j in zip(*lower_indices(m), strict=True):
        turned = np.zeros_like(L)  # dL L', with L_ii = exp(free)
        turned[..., i, :] = L[..., :, j] * (L[..., i, i, None] if i == j else 1.0)
        columns.append(entries(turned + turned.swapaxes(-1, -2)))
    return np.stack(columns, axis=-1)


def _positive_definite(covariance: FloatArray) -> bool:
    if not np.isfinite(covariance).all():
        return False
    try:
        np.linalg.cholesky(matrices(covariance))
    except np.linalg.LinAlgError:
        return False
    return True


def _symmetric(matrices: FloatArray) -> bool:
    return bool(np.allclose(matrices, matrices.swapaxes(-1, -2), rtol=1e-10, atol=0.0))


#: Covariance matrices: (m, m) in a record, distinct entries in tables, log-Cholesky numbers while fitting.
COVARIANCE = Support(
    "covariance",
    _free,
    _natural,
    _jacobian,
    _positive_definite,
    "must be symmetric and positive definite",
    record=matrices,
    entries=entries,
    fits=_symmetric,
    record_shape=lambda shape: (*shape[:-1], size_of(shape[-1]), size_of(shape[-1])),
    positive=lambda shape: np.broadcast_to(diagonal(size_of(shape[-1])), shape),
)

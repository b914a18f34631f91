"""Linear discriminants: logits that tell labelled rows apart, as a start for gates that must split the rows."""

from __future__ import annotations

import numpy as np

from moestat.typing import FloatArray


def discriminants(F: FloatArray, resp: FloatArray) -> FloatArray:
    """Coefficients (K, f) of linear discriminants of experts as likely as each other, for features (f, B), one first.

    Experts have the weighted means m_k of the features, and one covariance matrix S; logits are m_k'S^-1 (z - m_k / 2).
    """
    mass = resp.sum(axis=1)
    share = resp / np.maximum(mass, np.finfo(float).tiny)[:, None]
    Z = F[1:]
    means = share @ Z.T
    centre = np.average(Z, axis=1, weights=resp.sum(axis=0))
    means = np.where(mass[:, None] > 0, means, centre)
    apart = Z[None] - means[:, :, None]
    spread = np.einsum("kub,kvb,kb->uv", apart, apart, resp) / mass.sum()
    slopes = means @ np.linalg.pinv(spread, hermitian=True)
    return np.column_stack([-0.5 * (slopes * means).sum(axis=1), slopes])

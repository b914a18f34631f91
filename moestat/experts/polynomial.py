"""Gaussian expert with a polynomial mean.

    f_k(y | x) = N(y; b_k + sum_u sum_{q <= p} a_kuq x_u^q, sigma_k^2)

The mean is linear in the powers of the covariates, so that the M-step stays least squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from typing import ClassVar

import numpy as np

from moestat.component import Dims
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block
from moestat.errors import InputError
from moestat.experts.curved import CurvedGaussian
from moestat.kernels import jit
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray

HIGHEST_DEGREE = 20


@parameters
class PolynomialParams:
    """intercepts (K,), slopes (K, d), coefficients of higher powers (K, d, p - 1); variances (K,) or one for all."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    powers: FloatArray = axes("expert", "feature", "power")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True, repr=False)
class PolynomialGaussian(CurvedGaussian):
    """Normal law whose mean is a sum of powers of each covariate."""

    form: str = "polynomial"

    mixable: ClassVar[bool] = False

    def _check_form(self) -> None:
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if not whole or not 2 <= self.degree <= HIGHEST_DEGREE:
            raise InputError(
                f"degree must be a whole number from 2 to {HIGHEST_DEGREE} (form='linear' is of degree 1); "
                f"got {self.degree!r}."
            )

    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features, "power": self.degree - 1}
        return layout_of(PolynomialParams, sizes, variances=self._variances(sizes))

    def columns(self, layout: Layout) -> IntArray:
        coefficients = (layout.index(name) for name in ("intercepts", "slopes", "powers"))
        return own_columns(*coefficients, self._variance_columns(layout))

    def predictors(self, layout: Layout) -> IntArray:
        return np.zeros((0, 0), dtype=np.int64)

    def features(self, block: Block) -> FloatArray:
        """Ones, covariates, then the higher powers of each."""
        p, B = block.X.shape
        out = np.empty((p + (p - 1) * (self.degree - 1), B))
        _fill_powers(block.X, self.degree, out)
        return out

    def rescale(self, params: PolynomialParams, covariates: ColumnMap, response: Affine) -> PolynomialParams:
        assert isinstance(covariates, Affine)
        old = np.concatenate([params.slopes[..., None], params.powers], axis=2)
        new = np.zeros_like(old)
        intercepts = params.intercepts.copy()
        m, s = covariates.location, covariates.scale  # x = m + s * new
        for q in range(1, self.degree + 1):
            intercepts = intercepts + old[..., q - 1] @ m**q
            for r in range(1, q + 1):
                new[..., r - 1] += old[..., q - 1] * comb(q, r) * m ** (q - r) * s**r
        unit = response.scale[0]
        return replace(
            params,
            intercepts=(intercepts - response.location[0]) / unit,
            slopes=new[..., 0] / unit,
            powers=new[..., 1:] / unit,
            variances=params.variances / unit / unit,
        )


# --------------------------------------------------------------------------------------- kernels


@jit
def _fill_powers(X: FloatArray, degree: int, out: FloatArray) -> None:
    """Rows of X (p, B), then squares, cubes, ... of its second row, of its third, and so on.

    A power is the product of the one below it with the covariate; out is (p + (p - 1) (degree - 1), B).
    """
    p, B = X.shape
    for u in range(p):
        x = X[u]
        o = out[u]
        for j in range(B):
            o[j] = x[j]
    row = p
    for u in range(1, p):
        x = X[u]
        for q in range(2, degree + 1):
            below = out[u if q == 2 else row - 1]
            o = out[row]
            for j in range(B):
                o[j] = below[j] * x[j]
            row += 1

"""Gaussian expert for several responses.

    f_k(y | x) = N_m(y; A_k x + b_k, Sigma_k)        [Jordan and Xu 1995; Chen, Xu and Chi 1999]

Covariances are maximum-likelihood ones (divided by the number of rows, not by degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.experts.least_squares import gram_of, ill_conditioned, solve, solve_factored
from moestat.normal import ROUNDING_FLOOR, VARIANCE_FLOOR, Normals, Shape
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray

#: Smallest variance a start may have, as a share of the response's variance in the sketch.
START_VARIANCE = 1e-3


@parameters
class MultivariateParams:
    """intercepts b (K, m), slopes A (K, m, d) and covariances of m responses.

    The covariances are matrices (K, m, m), variances (K, m) when diagonal; without the axis of the experts when common.
    """

    intercepts: FloatArray = axes("expert", "response", label="const")
    slopes: FloatArray = axes("expert", "response", "feature")
    covariances: FloatArray = axes("expert", "covariance")


@dataclass(frozen=True)
class MultivariateGaussian(Expert):
    """Normal law of several responses with linear means.

    Parameters
    ----------
    shape : {"full", "diagonal"}
        Shape of the covariances; with diagonal ones the responses are independent within an expert.
    covariance : {"own", "common"}
        One covariance per expert, or one for all.
    """

    shape: str = "full"
    covariance: str = "own"
    laws: Normals | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str] = "multivariate_gaussian"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    scales_response: ClassVar[bool] = True
    several_responses: ClassVar[bool] = True
    closed_form: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.shape == "spherical":
            raise InputError("shape must be 'full' or 'diagonal': responses have units of their own; got 'spherical'.")
        _ = self._shape  # complains about the rest

    @property
    def _shape(self) -> Shape:
        return Shape(self.shape, self.covariance)

    @property
    def spreads(self) -> tuple[str, ...]:
        return ("covariances",)

    @property
    def _laws(self) -> Normals:
        assert self.laws is not None, "the functions of rows are those of a bound expert"
        return self.laws

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features, "response": dims.n_responses}
        return layout_of(
            MultivariateParams, {**sizes, "covariance": 0}, covariances=self._shape.slot(sizes, "response")
        )

    def columns(self, layout: Layout) -> IntArray:
        K = len(layout.index("intercepts"))
        covariances = self._shape.columns(layout.index("covariances"), K)
        return own_columns(self.predictors(layout).reshape(K, -1), covariances)

    def predictors(self, layout: Layout) -> IntArray:
        intercepts, slopes = layout.index("intercepts"), layout.index("slopes")
        return np.concatenate([intercepts[..., None], slopes], axis=2).reshape(-1, 1 + slopes.shape[2])

    def bind(self, layout: Layout) -> MultivariateGaussian:
        _, m, d = layout.index("slopes").shape
        return replace(self, laws=Normals(self._shape, m, 1 + d))

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        bounds = np.full(layout.size, -np.inf)
        floors = self._shape.floors(spread, ROUNDING_FLOOR if alone else VARIANCE_FLOOR)
        bounds[layout.index("covariances")] = floors
        return bounds

    def rescale(self, params: MultivariateParams, covariates: ColumnMap, response: Affine) -> MultivariateParams:
        unit = response.scale
        means = params.intercepts + covariates.gain(params.slopes)
        return replace(
            params,
            slopes=covariates.slopes(params.slopes) / unit[:, None],
            intercepts=(means - response.location) / unit,
            covariances=self._shape.rescale(params.covariances, unit),
        )

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self._laws.value(local, block.X, block.Y, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self._laws.jac(local, block.X, block.Y, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self._laws.curv(local, block.X, block.Y, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self._laws.pull(local, block.X, block.Y, weights, out)

    # ------------------------------------------------------------------------------- M-step
    def features(self, block: Block) -> FloatArray:
        return block.X

    def residual_moments(self, local: FloatArray, block: Block, resp: FloatArray, out: FloatArray) -> None:
        self._laws.residual_moments(local, block.X, block.Y, resp, out)

    def ill_conditioned(self, local: FloatArray, moments: FloatArray) -> bool:
        return ill_conditioned(moments, self._laws.n_features)

    def least_squares_rows(self, local: FloatArray, block: Block) -> FloatArray:
        residuals = block.Y - self._laws.coefficients(local) @ block.X
        return np.concatenate([np.broadcast_to(block.X, (len(local), *block.X.shape)), residuals], axis=1)

    def m_step(
        self, local: FloatArray, moments: FloatArray, factors: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        laws = self._laws
        m, p = laws.size, laws.n_features
        new, mass = local.copy(), moments[:, 0].copy()
        cross, square = laws.split(moments)
        score, scatter = laws.score(local, cross, square, mass), square.copy()
        for k, row in enumerate(moments):
            if factors is None:
                gram = gram_of(row, p)
                step = np.stack([solve(gram, one) for one in cross[k]])
                scatter[k] -= step @ cross[k].T
            else:
                R = factors[k]
                step = solve_factored(R[:p, :p], R[:p, p:]).T
                scatter[k] = R[p:, p:].T @ R[p:, p:]
            new[k, : m * p] += step.ravel()
        if self.covariance == "common":
            scatter[:], mass[:] = scatter.sum(axis=0), mass.sum()
        for k in np.flatnonzero(mass > 0).tolist():
            new[k, m * p :] = self._shape.free(scatter[k] / mass[k])
        return new, score

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> MultivariateParams:
        total = block.weight.sum()
        spread = block.weight @ (block.Y - (block.Y @ block.weight / total)[:, None]).T ** 2 / total
        coef, covariances = [], []
        for weight in resp:
            root = np.sqrt(weight)
            B = np.linalg.lstsq((block.X * root).T, (block.Y * root).T, rcond=1e-7)[0].T
            residuals = (block.Y - B @ block.X) * root
            coef.append(B)
            covariances.append(residuals @ residuals.T / max(weight.sum(), 1e-300))
        floor = START_VARIANCE * np.diag(np.where(spread > 0, spread, 1.0))
        every = np.stack(covariances) + floor
        return MultivariateParams(
            intercepts=np.stack(coef)[..., 0],
            slopes=np.stack(coef)[..., 1:],
            covariances=self._shape.nearest(every if self.covariance == "own" else every.mean(axis=0)),
        )

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.asarray(self._laws.coefficients(local) @ block.X)
        return out[:, 0] if len(block.Y) == 1 else out

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        (m, B), p = block.Y.shape, len(block.X)
        out = np.zeros((*local.shape, m, B))
        for i in range(m):
            out[:, i * p : (i + 1) * p, i] = block.X
        return out[:, :, 0] if m == 1 else out

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        noise = rng.standard_normal((chosen.size, len(block.Y)))
        turned = np.einsum("bij,bj->ib", self._laws.factors(local)[chosen], noise)
        means = self._laws.coefficients(local) @ block.X
        return np.asarray(means[chosen, :, np.arange(chosen.size)].T + turned)

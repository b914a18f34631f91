"""Gaussian gate.

    pi_k(x) = w_k N(x; c_k, Gamma_k) / sum_l w_l N(x; c_l, Gamma_l)        [Xu, Jordan and Hinton 1995]

The *conditional* likelihood of y given x sees these weights only. They are a softmax of quadratic logits,

    h_k(x) = a_k + b_k' x + x' Q_k x,   Q_k = -Gamma_k^{-1} / 2,   b_k = Gamma_k^{-1} c_k,

and adding one quadratic function to all of them changes no weight: from y given x the centres and covariances are not
identified, only differences of (a, b, Q) are. Every such difference belongs to some Gaussians, as a common part makes
every -Q_k positive definite. So the conditional gate is parametrised by (a, b, Q), in which its part of the
likelihood is concave. With a common covariance Q drops out, and what remains is the softmax gate.

The *joint* likelihood of (x, y), sum_k w_k N(x; c_k, Gamma_k) f_k(y | x) with sum_k w_k = 1, identifies all of
(w, c, Gamma), and its M-step has a closed form [Nguyen, Nguyen, Nguyen and Ho 2024, arXiv 2305.07572]. It is the
likelihood of other data, never to be compared with a conditional one.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np

from moestat.cholesky import diagonal, entries, lower_indices, matrices, n_entries
from moestat.component import Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.related import combined_without, one_for_each, vanishing_forms
from moestat.gates.softmax import SoftmaxParams
from moestat.gates.translation import Groups, common_shifts, last_at_zero, last_of_each
from moestat.kernels.linear import feature_products, linear_predictor
from moestat.normal import NO_MASS, Normals, Shape, check_choice
from moestat.params import Layout, axes, layout_of, own_columns, parameters, shared_columns, slot_of
from moestat.typing import FloatArray, IntArray

#: Smallest variance a start may have, as a share of the covariate's variance in the sketch.
START_VARIANCE = 1e-2


@parameters
class GaussianLogitsParams:
    """Quadratic logits, defined up to a common function: intercepts a (K,), slopes b (K, d) and quadratics.

    The quadratics are coefficients of x1^2, x1:x2, x2^2, x1:x3, ... (K, d (d + 1) / 2); of the squares alone (K, d)
    when covariances are diagonal; of the squared length (K,) when they are spherical.
    """

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    quadratics: FloatArray = axes("expert", "product")


@parameters
class JointParams:
    """log_weights (K,) up to a constant, centres c (K, d) and covariances.

    The covariances are matrices (K, d, d); variances (K, d) when diagonal and (K,) when spherical; without the axis of
    the experts when common.
    """

    log_weights: FloatArray = axes("expert", label="log weight")
    centres: FloatArray = axes("expert", "feature", label="centre")
    covariances: FloatArray = axes("expert", "covariance")


@dataclass(frozen=True, repr=False)
class Gaussian(Gate):
    """Weights proportional to w_k N(x; c_k, Gamma_k).

    Parameters
    ----------
    shape : {"full", "diagonal", "spherical"}
        Shape of the covariances. Spherical ones have one variance for all covariates, in the units given.
    covariance : {"own", "common"}
        One covariance per expert, or one for all.
    likelihood : {"conditional", "joint"}
        Of y given x, like every other gate; or of x and y together. Only the joint one identifies centres and
        covariances; `gaussians` gives some that fit a conditional gate.

    Notes
    -----
    Predictions, intervals and samples are those of y given x in either case. The log-likelihood of a joint fit, with
    its AIC, BIC and ICL, is one of (x, y): it cannot be compared with those of conditional fits. To compare, sum
    ``log_density``, which is conditional always.

    References
    ----------
    Xu, Jordan and Hinton (1995), An alternative model for mixtures of experts, NIPS 7.
    Nguyen, Nguyen, Nguyen and Ho (2024), Towards convergence rates for parameter estimation in Gaussian-gated
    mixture of experts, arXiv 2305.07572.
    """

    shape: str = "full"
    covariance: str = "own"
    likelihood: str = "conditional"

    name: ClassVar[str] = "gaussian"
    equivariant: ClassVar[bool] = True

    def __new__(cls, shape: str = "full", covariance: str = "own", likelihood: str = "conditional") -> Gaussian:
        # the two likelihoods are different maps with different parameters
        if cls is Gaussian:
            cls = JointGaussian if likelihood == "joint" else ConditionalGaussian
        return object.__new__(cls)

    def __getnewargs__(self) -> tuple[str, str, str]:
        return self.shape, self.covariance, self.likelihood

    def __post_init__(self) -> None:
        check_choice("likelihood", self.likelihood, ("conditional", "joint"))
        _ = self._shape  # complains about the others

    def __repr__(self) -> str:
        return f"Gaussian(shape={self.shape!r}, covariance={self.covariance!r}, likelihood={self.likelihood!r})"

    @property
    def _shape(self) -> Shape:
        return Shape(self.shape, self.covariance)

    @property
    def isotropic(self) -> bool:  # type: ignore[override]
        return self.shape == "spherical"

    @abstractmethod
    def groups(self, layout: Layout) -> Groups:
        """Flat positions that may move together, by what they are in words."""

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return last_at_zero(theta, self.groups(layout))

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        return common_shifts(layout, self.groups(layout))

    def pinned(self, layout: Layout) -> IntArray:
        return last_of_each(self.groups(layout))


# --------------------------------------------------------------------------------------- y given x
@dataclass(frozen=True, repr=False)
class ConditionalGaussian(Gaussian):
    """The Gaussian gate of y given x: a softmax of quadratic logits."""

    known_features: ClassVar[bool] = True

    @property
    def _linear(self) -> bool:
        return self.covariance == "common"

    def layout(self, dims: Dims) -> Layout:
        _check_covariates(dims)
        sizes = {"expert": dims.n_experts, "feature": dims.n_features, "product": n_entries(dims.n_features)}
        if self._linear:
            return layout_of(SoftmaxParams, sizes)
        quadratics = {
            "full": slot_of(sizes, "expert", "product"),
            "diagonal": slot_of(sizes, "expert", "feature", label="squared"),
            "spherical": slot_of(sizes, "expert", label="squared length"),
        }
        return layout_of(GaussianLogitsParams, sizes, quadratics=quadratics[self.shape])

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(*(layout.index(name) for name, _ in layout.entries))

    def groups(self, layout: Layout) -> Groups:
        of = {"intercepts": "intercepts", "slopes": "slopes on covariate", "quadratics": "quadratic coefficient"}
        out: dict[str, IntArray] = {}
        for name, _ in layout.entries:
            index = layout.index(name)
            each = index.reshape(len(index), -1).T
            numbers = [f" {u}" for u in range(1, len(each) + 1)] if index.ndim > 1 else [""]
            out |= {f"the gate's {of[name]}{u}": group for u, group in zip(numbers, each, strict=True)}
        return out

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        columns = self.columns(layout)
        if self._linear:
            return one_for_each(columns, relations, layout.size)
        forms = vanishing_forms(relations)
        Q = forms[:, 1:, 1:]
        kept = self._coefficients(Q)
        rows = np.hstack([forms[:, 0, :1], 2.0 * forms[:, 0, 1:], kept.reshape(len(Q), -1)])
        beyond_shape = (Q - self._forms(kept, Q.shape[-1])).reshape(len(Q), -1)
        return one_for_each(columns, combined_without(rows, beyond_shape), layout.size)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        linear_predictor(local, self.features(block), out)

    def features(self, block: Block) -> FloatArray:
        """Ones, covariates, and their products as far as the shape has them."""
        Z = block.Z
        if self._linear:
            return Z
        if self.shape != "full":
            squares = Z[1:] * Z[1:]
            return np.vstack([Z, squares if self.shape == "diagonal" else squares.sum(axis=0)])
        p, B = Z.shape
        out = np.empty((p + n_entries(p - 1), B))
        out[:p] = Z
        feature_products(Z[1:], 0, B, out[p:])
        return out

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        # flat gates are safe starts: exact gate steps from hard labels separate at once
        flat = layout.unpack(np.zeros(layout.size))
        return replace(flat, intercepts=_log_mass(resp))

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        intercepts, slopes = params.intercepts + covariates.gain(params.slopes), covariates.slopes(params.slopes)
        if self._linear:
            return SoftmaxParams(intercepts=intercepts, slopes=slopes)
        # x' Q x with x = R z + m: R' Q R, 2 R' Q m and m' Q m
        Q = self._forms(params.quadratics, covariates.size)
        centre = covariates.gain(Q)
        turned = covariates.slopes(covariates.slopes(Q).swapaxes(-1, -2))
        return GaussianLogitsParams(
            intercepts=intercepts + covariates.gain(centre),
            slopes=slopes + 2 * covariates.slopes(centre),
            quadratics=self._coefficients(turned),
        )

    def _forms(self, quadratics: FloatArray, d: int) -> FloatArray:
        """Symmetric Q (K, d, d) of what the record holds."""
        if self.shape != "full":
            return self._shape.matrices(quadratics, d)
        return matrices(np.where(diagonal(d), quadratics, 0.5 * quadratics))

    def _coefficients(self, forms: FloatArray) -> FloatArray:
        """What the record holds of symmetric Q (K, d, d)."""
        if self.shape != "full":
            return self._shape.nearest(forms)
        return np.asarray(entries(forms) * np.where(diagonal(forms.shape[-1]), 1.0, 2.0))

    # ------------------------------------------------------------------------------- in terms of Gaussians
    def of_gaussians(self, log_weights: Any, centres: Any, covariances: Any) -> Any:
        """Parameters of the gate with these Gaussians.

        Parameters
        ----------
        log_weights : array-like (K,)
        centres : array-like (K, d)
        covariances : array-like
            Matrices (K, d, d), or what the shape needs of them: (K, d) or (K,); one for all when common.

        Returns
        -------
        GaussianLogitsParams, or SoftmaxParams when the covariance is common
        """
        centres = np.asarray(centres, dtype=np.float64)
        K, d = centres.shape
        given = self._shape.matrices(np.asarray(covariances, dtype=np.float64), d)
        precisions = np.linalg.inv(np.broadcast_to(given, (K, d, d)))
        slopes = np.einsum("kuv,kv->ku", precisions, centres)
        constants = log_weights + 0.5 * np.linalg.slogdet(precisions)[1] - 0.5 * (slopes * centres).sum(axis=1)
        if self._linear:
            return SoftmaxParams(intercepts=constants, slopes=slopes)
        return GaussianLogitsParams(
            intercepts=constants, slopes=slopes, quadratics=self._coefficients(-0.5 * precisions)
        )

    def gaussians(self, params: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log weights (K,), centres (K, d) and covariances (K, d, d) of Gaussians with these gate weights.

        One choice of many: the precisions are -2 Q_k and a multiple of the identity that makes them positive definite.
        """
        K, d = params.slopes.shape
        forms = np.zeros((K, d, d)) if self._linear else self._forms(params.quadratics, d)
        curved = -2.0 * forms
        smallest = min(float(np.linalg.eigvalsh(curved).min()), 0.0)
        spread = float(np.abs(curved).max()) or 1.0
        precisions = curved + (spread - smallest) * np.eye(d)
        centres = np.linalg.solve(precisions, params.slopes[..., None])[..., 0].astype(np.float64)
        constants = 0.5 * np.linalg.slogdet(precisions)[1] - 0.5 * (params.slopes * centres).sum(axis=1)
        return params.intercepts - constants, centres, np.linalg.inv(precisions).astype(np.float64)


# --------------------------------------------------------------------------------------- x and y together
@dataclass(frozen=True, repr=False)
class JointGaussian(Gaussian):
    """The Gaussian gate of x and y together: w_k N(x; c_k, Gamma_k), with weights that sum to one.

    Local parameters of an expert: all log weights, its centre, the numbers of its covariance.
    """

    likelihood: str = "joint"

    normalised: ClassVar[bool] = False
    closed_form: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        _check_covariates(dims, always=True)
        sizes = {"expert": dims.n_experts, "feature": dims.n_features}
        return layout_of(JointParams, {**sizes, "covariance": 0}, covariances=self._shape.slot(sizes, "feature"))

    def columns(self, layout: Layout) -> IntArray:
        log_weights = layout.index("log_weights")
        K = log_weights.size
        covariances = self._shape.columns(layout.index("covariances"), K)
        return own_columns(shared_columns(K, log_weights), layout.index("centres"), covariances)

    def groups(self, layout: Layout) -> Groups:
        return {"the gate's log weights": layout.index("log_weights")}

    def _laws(self, d: int) -> Normals:
        return _laws(self.shape, self.covariance, d)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        K = len(local)
        self._laws(len(block.Z) - 1).value(local[:, K:], block.Z[:1], block.Z[1:], out)
        above = local[0, :K] - local[0, :K].max()
        out += (above - np.log(np.exp(above).sum()))[:, None]

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        K = len(local)
        out[:, :K] = (np.eye(K) - _shares(local[0, :K]))[:, :, None]
        self._laws(len(block.Z) - 1).jac(local[:, K:], block.Z[:1], block.Z[1:], out[:, K:])

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        K, mass = len(local), weights.sum(axis=1)
        out[:, :K] += mass[:, None] * (np.eye(K) - _shares(local[0, :K]))
        self._laws(len(block.Z) - 1).pull(local[:, K:], block.Z[:1], block.Z[1:], weights, out[:, K:])

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        K, mass = len(local), weights.sum(axis=1)
        share = _shares(local[0, :K])
        out[:, :K, :K] -= mass[:, None, None] * (np.diag(share) - np.outer(share, share))
        self._laws(len(block.Z) - 1).curv(local[:, K:], block.Z[:1], block.Z[1:], weights, out[:, K:, K:])

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> JointParams:
        x, mass = block.Z[1:], np.maximum(resp.sum(axis=1), 1e-300)
        overall = _covariances(x, block.weight[None], block.weight.sum(keepdims=True))[1][0]
        centres, covariances = _covariances(x, resp, mass)
        if self.covariance == "common":
            covariances = np.einsum("k,kuv->uv", mass / mass.sum(), covariances)
        spread = np.diag(overall)
        covariances = covariances + START_VARIANCE * np.diag(np.where(spread > 0, spread, 1.0))
        return JointParams(log_weights=_log_mass(resp), centres=centres, covariances=self._shape.nearest(covariances))

    def m_step(self, layout: Layout, theta: FloatArray, score: FloatArray, rows: float) -> FloatArray:
        """Shares, means and covariances, which the score holds along with the present parameters."""
        log_weights, centres = layout.index("log_weights"), layout.index("centres")
        K, d = centres.shape
        local = theta[self.columns(layout)][:, K:]
        L = self._laws(d).factors(local)
        mass = score[log_weights] + rows * _shares(theta[log_weights])
        new, seen = theta.copy(), mass > NO_MASS * rows
        new[log_weights] = np.log(np.maximum(mass, NO_MASS * rows) / rows)
        # the score of a centre is Gamma^{-1} sum r (x - c)
        shift = np.einsum("kuv,kwv,kw->ku", L, L, score[centres]) / np.where(seen, mass, 1.0)[:, None]
        new[centres[seen]] += shift[seen]
        scatter = self._scatter(L, score[layout.index("covariances")], mass)
        moved = mass[:, None, None] * shift[:, :, None] * shift[:, None, :]
        if self.covariance == "common":
            new[layout.index("covariances").ravel()] = self._shape.free(
                (scatter - moved[seen].sum(axis=0)) / rows
            ).ravel()
        else:
            index = layout.index("covariances").reshape(K, -1)
            for k in np.flatnonzero(seen):
                new[index[k]] = self._shape.free((scatter[k] - moved[k]) / mass[k])
        return new

    def _scatter(self, L: FloatArray, score: FloatArray, mass: FloatArray) -> FloatArray:
        """sum r (x - c) (x - c)', of each expert or of all when common; as far as the shape sees it."""
        d = L.shape[-1]
        if self.covariance == "common":
            L, mass = L[0], mass.sum()
        if self.shape == "spherical":  # the score is (sum r |u|^2 - d mass) / 2
            trace = (2 * score + d * mass) / d
            return np.asarray(trace[..., None, None] * L @ L.swapaxes(-1, -2))
        if self.shape == "diagonal":
            squares = 2 * score + mass[..., None]
            return np.asarray(L * squares[..., None, :] * L)
        # the score is the lower triangle of L^{-T} sum r u u', times L_ii on the diagonal, less the mass there
        i, j = lower_indices(d)
        T = np.zeros_like(L)
        T[..., i, j] = np.where(i == j, (score + mass[..., None]) / np.where(i == j, L[..., i, j], 1.0), score)
        lower = np.tril(L.swapaxes(-1, -2) @ T)
        square = lower + np.tril(lower, -1).swapaxes(-1, -2)
        return np.asarray(L @ square @ L.swapaxes(-1, -2))

    def lower_bounds(self, layout: Layout, spread: FloatArray) -> FloatArray:
        bounds = np.full(layout.size, -np.inf)
        bounds[layout.index("covariances")] = self._shape.floors(spread)
        return bounds

    def rescale(self, params: JointParams, covariates: ColumnMap) -> JointParams:
        assert isinstance(covariates, Affine)
        return JointParams(
            log_weights=params.log_weights,
            centres=covariates.apply(params.centres),
            covariances=self._shape.rescale(params.covariances, covariates.scale),
        )


@cache
def _laws(shape: str, covariance: str, d: int) -> Normals:
    return Normals(Shape(shape, covariance), d, 1)


def _check_covariates(dims: Dims, always: bool = False) -> None:
    if dims.n_features == 0 and (always or dims.n_experts > 1):
        raise InputError(
            "the gaussian gate needs covariates: its weights are densities of them, and got none. Give the gate "
            "columns (Z), or use gate='softmax', whose weights are then constant."
        )


def _shares(log_weights: FloatArray) -> FloatArray:
    """Weights that sum to one."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def _log_mass(resp: FloatArray) -> FloatArray:
    """Logits (K,) of constant weights, from responsibilities."""
    mass = resp.sum(axis=1)
    return np.asarray(np.log(np.maximum(mass, 1e-3 * mass.sum() / mass.size) / mass.sum()))


def _covariances(x: FloatArray, resp: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted means (K, d) and covariances (K, d, d) of columns x (d, n)."""
    centres = resp @ x.T / mass[:, None]
    gap = x - centres[:, :, None]
    return centres, np.einsum("kb,kub,kvb->kuv", resp, gap, gap) / mass[:, None, None]

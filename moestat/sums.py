"""Records of additive statistics: what each kind of pass adds up.

A record takes tile after tile (`add`) and offers its totals as properties. Partial sums are added in the
order of the tiles, and nothing of size (n, K) is kept.
"""

from __future__ import annotations

from math import fsum
from typing import Protocol

import numpy as np

from moestat.kernels import information, linear, rows
from moestat.terms import Terms, Tile
from moestat.typing import FloatArray, IntArray


class Sums(Protocol):
    """A record of additive statistics."""

    def add(self, tile: Tile) -> None:
        """Add one tile's contribution."""


class LoglikSums:
    """Log-likelihood."""

    def __init__(self) -> None:
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        self._parts.append(tile.loglik)

    @property
    def loglik(self) -> float:
        return fsum(self._parts)


class ShareSums:
    """Mass of each expert (rows) and entropy of the responsibilities (nats)."""

    def __init__(self, terms: Terms) -> None:
        self._entropy: list[float] = []
        self.mass = np.zeros(terms.n_experts)

    def add(self, tile: Tile) -> None:
        self._entropy.append(rows.entropy(tile.R, tile.block.weight))
        self.mass += tile.R.sum(axis=1)

    @property
    def entropy(self) -> float:
        return fsum(self._entropy)


class ScoreSums:
    """Log-likelihood and score."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local_gate, self._local_expert = theta[terms.gate_columns], theta[terms.expert_columns]
        self._gate, self._expert = np.zeros_like(self._local_gate), np.zeros_like(self._local_expert)
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        terms, block = self._terms, tile.block
        self._parts.append(tile.loglik)
        terms.gate.pull(self._local_gate, block, tile.H, tile.D, self._gate)
        terms.expert.pull(self._local_expert, block, tile.E, tile.R, self._expert)

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def score(self) -> FloatArray:
        """Derivative of the log-likelihood in the unconstrained parameters (P,), a sum over rows."""
        out = np.zeros(self._terms.size)
        self._terms.scatter(self._terms.gate_columns, self._gate, out)
        self._terms.scatter(self._terms.expert_columns, self._expert, out)
        return out


class GateInformation:
    """Minus the Hessian of the gate's part of Q, for any gate."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.gate_columns]
        K, q = self._local.shape
        self._mean = np.zeros((_up4(terms.n_gate),) * 2)
        self._products = np.zeros((K, _up4(q), _up4(q)))
        self._curvature = np.zeros((K, q, q))

    def add(self, tile: Tile) -> None:
        terms, weight = self._terms, tile.block.weight
        K, q = self._local.shape
        B = weight.size
        J, J_rows = tile.buffers.jacobian("gate_jac", 1 if terms.gate.known_features else K, q, B)
        terms.gate.jac(self._local, tile.block, tile.H, J)
        U = tile.buffers.get("gate_mean", self._mean.shape[0], B)
        W = tile.buffers.get("gate_local", self._products.shape[1], B)
        information.add_weighted_outer(terms.gate_columns, tile.PI, weight, J_rows, U, W, self._mean, self._products)
        terms.gate.curv(self._local, tile.block, tile.H, tile.D, self._curvature)

    @property
    def matrix(self) -> FloatArray:
        n, q = self._terms.n_gate, self._local.shape[1]
        out = -_symmetric(self._mean)[:n, :n]
        local = _symmetric(self._products)[:, :q, :q] - self._curvature
        self._terms.scatter_matrix(self._terms.gate_columns, local, out)
        return out


class LinearGateInformation:
    """The same for logits that are linear in known features: one product of pair weights and features."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        K, q = terms.gate_columns.shape
        self._pairs = np.zeros((_up4(K * (K - 1) // 2), _up4(q * (q + 1) // 2)))

    def add(self, tile: Tile) -> None:
        F = self._terms.gate.features(tile.block)
        information.add_feature_products(tile.R, tile.PI, tile.block.weight, F, False, True, self._pairs)

    @property
    def matrix(self) -> FloatArray:
        return _information_of_pairs(self._terms, self._pairs)


def _information_of_pairs(terms: Terms, pairs: FloatArray) -> FloatArray:
    """Gate information (Pg, Pg) from its off-diagonal blocks; see `kernels.information.add_feature_products`."""
    columns = terms.gate_columns
    K, q = columns.shape
    below = np.zeros((K, K, q, q))
    below[np.tril_indices(K, -1)] = pairs[: K * (K - 1) // 2][:, _lower_index(q)]
    blocks = below + below.transpose(1, 0, 2, 3)
    blocks[np.arange(K), np.arange(K)] = -blocks.sum(axis=1)
    out = np.zeros((terms.n_gate,) * 2)
    np.add.at(out, (columns[:, None, :, None], columns[None, :, None, :]), blocks)
    return out


class ExpertInformation:
    """Minus the Hessian of the experts' part of Q (Pe, Pe)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self._curvature = np.zeros((*self._local.shape, self._local.shape[1]))

    def add(self, tile: Tile) -> None:
        self._terms.expert.curv(self._local, tile.block, tile.E, tile.R, self._curvature)

    @property
    def matrix(self) -> FloatArray:
        terms = self._terms
        out = np.zeros((terms.size - terms.n_gate,) * 2)
        terms.scatter_matrix(terms.expert_columns - terms.n_gate, -self._curvature, out)
        return out


class ExpertMoments:
    """Weighted moments of the experts' features and residuals, for a closed-form M-step.

    With gate logits linear in the very same features, the gate's information comes out of the same product.
    """

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self._residuals = self._products = np.zeros((0, 0))
        self._n_products = 0
        self.shared = False

    def add(self, tile: Tile) -> None:
        terms, block = self._terms, tile.block
        F = terms.expert.features(block)
        if not self._products.size:
            self._allocate(tile, F)
        information.add_feature_products(tile.R, tile.PI, block.weight, F, True, self.shared, self._products)
        terms.expert.residual_moments(self._local, block, tile.R, self._residuals)

    def _allocate(self, tile: Tile, F: FloatArray) -> None:
        gate, K, q = self._terms.gate, self._terms.n_experts, F.shape[0]
        self.shared = gate.known_features and gate.features(tile.block) is F
        self._n_products = q * (q + 1) // 2
        rows = K + (K * (K - 1) // 2 if self.shared else 0)
        self._products = np.zeros((_up4(rows), _up4(self._n_products)))
        self._residuals = np.zeros((K, self._n_products + q + 1))

    @property
    def moments(self) -> FloatArray:
        """(K, q (q + 1) / 2 + q + 1): products of features, features times residuals, squared residuals."""
        out = self._residuals.copy()
        n = self._n_products
        out[:, :n] = self._products[: len(out), :n]
        return out

    @property
    def gate_information(self) -> FloatArray:
        return _information_of_pairs(self._terms, self._products[self._terms.n_experts :])


class EMSums:
    """Everything one generalised EM step needs; see `moestat.solvers.em`."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local_gate, self.local_expert = theta[terms.gate_columns], theta[terms.expert_columns]
        self._information = (LinearGateInformation if terms.gate.known_features else GateInformation)(terms, theta)
        self._gate = np.zeros_like(self._local_gate)
        self._expert = np.zeros_like(self.local_expert)
        self._curvature = ExpertInformation(terms, theta)
        self._moments = ExpertMoments(terms, theta)
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        terms, block = self._terms, tile.block
        self._parts.append(tile.loglik)
        terms.gate.pull(self._local_gate, block, tile.H, tile.D, self._gate)
        if terms.expert.closed_form:
            self._moments.add(tile)
        else:
            terms.expert.pull(self.local_expert, block, tile.E, tile.R, self._expert)
            self._curvature.add(tile)
        if not self._moments.shared:
            self._information.add(tile)

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def gate_score(self) -> FloatArray:
        out = np.zeros(self._terms.n_gate)
        self._terms.scatter(self._terms.gate_columns, self._gate, out)
        return out

    @property
    def gate_information(self) -> FloatArray:
        """Minus the Hessian of the gate's part of Q (Pg, Pg)."""
        return self._moments.gate_information if self._moments.shared else self._information.matrix

    @property
    def moments(self) -> FloatArray:
        """Moments for the experts' closed-form M-step; see `ExpertMoments`."""
        return self._moments.moments

    @property
    def expert_score(self) -> FloatArray:
        """Score of the experts, (Pe,); with a closed form it comes out of the moments."""
        terms = self._terms
        local = self._expert
        if terms.expert.closed_form:
            local = terms.expert.m_step(self.local_expert, self.moments)[1]
        out = np.zeros(terms.size - terms.n_gate)
        terms.scatter(terms.expert_columns - terms.n_gate, local, out)
        return out

    @property
    def score(self) -> FloatArray:
        return np.concatenate([self.gate_score, self.expert_score])

    @property
    def expert_information(self) -> FloatArray:
        """Minus the Hessian of the experts' part of Q, (Pe, Pe); only without a closed form."""
        return self._curvature.matrix


class _Derivatives:
    """Jacobians of one tile and the rows sqrt(w) A, sqrt(w) U of `kernels.information`."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self.local_gate, self.local_expert = theta[terms.gate_columns], theta[terms.expert_columns]

    def of(self, tile: Tile) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """A and U, and the rows of both Jacobians."""
        terms, weight, buffers = self._terms, tile.block.weight, tile.buffers
        K, B = terms.n_experts, weight.size
        experts = 1 if terms.gate.known_features else K
        Jg, gate_rows = buffers.jacobian("gate_jac", experts, self.local_gate.shape[1], B)
        Je, expert_rows = buffers.jacobian("expert_jac", K, self.local_expert.shape[1], B)
        A, U = buffers.get("mean", _up4(terms.size), B), buffers.get("gate_mean", _up4(terms.n_gate), B)
        terms.gate.jac(self.local_gate, tile.block, tile.H, Jg)
        terms.expert.jac(self.local_expert, tile.block, tile.E, Je)
        information.mean_derivatives(
            terms.gate_columns, terms.expert_columns, tile.PI, tile.R, weight, Jg, Je, A, U, buffers.get("roots", 2, B)
        )
        return A, U, gate_rows, expert_rows


class HessianSums:
    """Log-likelihood, score and the exact Hessian of the observed log-likelihood."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._derivatives = _Derivatives(terms, theta)
        self._qg, self._qe = terms.gate_columns.shape[1], terms.expert_columns.shape[1]
        gate, expert = _up4(self._qg), _up4(self._qe)
        K, P = terms.n_experts, terms.size
        self._parts: list[float] = []
        self.score = np.zeros(P)
        self._outer = np.zeros((_up4(P),) * 2)
        self._gate_outer = np.zeros((_up4(terms.n_gate),) * 2)
        self._gate = np.zeros((K, gate, gate))
        self._cross = np.zeros((K, expert, gate))
        self._expert = np.zeros((K, expert, expert))
        self._gate_curvature = np.zeros((K, self._qg, self._qg))
        self._expert_curvature = np.zeros((K, self._qe, self._qe))

    def add(self, tile: Tile) -> None:
        terms, block, d = self._terms, tile.block, self._derivatives
        A, U, gate_rows, expert_rows = d.of(tile)
        W = tile.buffers.get("local", max(self._gate.shape[1], self._expert.shape[1]), block.weight.size)
        self._parts.append(tile.loglik)
        information.add_scores(A, U[: terms.n_gate], block.weight, self.score)
        linear.add_lower_products(A, A, self._outer)
        linear.add_lower_products(U, U, self._gate_outer)
        information.add_local_products(
            tile.D, tile.R, gate_rows, expert_rows, terms.gate.known_features, W, self._gate, self._cross, self._expert
        )
        terms.gate.curv(d.local_gate, block, tile.H, tile.D, self._gate_curvature)
        terms.expert.curv(d.local_expert, block, tile.E, tile.R, self._expert_curvature)

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives of the log-likelihood (P, P), a sum over rows."""
        terms, qg, qe = self._terms, self._qg, self._qe
        P, n = terms.size, terms.n_gate
        out = -_symmetric(self._outer)[:P, :P]
        out[:n, :n] += _symmetric(self._gate_outer)[:n, :n]
        terms.scatter_matrix(terms.gate_columns, _symmetric(self._gate)[:, :qg, :qg] + self._gate_curvature, out)
        terms.scatter_matrix(terms.expert_columns, _symmetric(self._expert)[:, :qe, :qe] + self._expert_curvature, out)
        cross = np.zeros((P, P))
        at = terms.expert_columns[:, :, None], terms.gate_columns[:, None, :]
        np.add.at(cross, at, self._cross[:, :qe, :qg])
        out += cross + cross.T
        return 0.5 * (out + out.T)


class OuterProductSums:
    """Sum over rows of weight * score score' (P, P)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._derivatives = _Derivatives(terms, theta)
        self._outer = np.zeros((_up4(terms.size),) * 2)

    def add(self, tile: Tile) -> None:
        A, U, _, _ = self._derivatives.of(tile)
        information.subtract_gate(A, U[: self._terms.n_gate])
        linear.add_lower_products(A, A, self._outer)

    @property
    def matrix(self) -> FloatArray:
        return _symmetric(self._outer)[: self._terms.size, : self._terms.size]


class FactorSums:
    """Triangular factors (K, p + 1, p + 1) of each expert's weighted least-squares rows, by updating QR."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self.factors = np.zeros((0, 0, 0))

    def add(self, tile: Tile) -> None:
        rows_ = self._terms.expert.least_squares_rows(self._local, tile.block)
        if not self.factors.size:
            self.factors = np.zeros((len(rows_), rows_.shape[1], rows_.shape[1]))
        weighted = (rows_ * np.sqrt(tile.R)[:, None]).transpose(0, 2, 1)
        for k, matrix in enumerate(weighted):
            self.factors[k] = np.linalg.qr(np.vstack([self.factors[k], matrix]), mode="r")[: matrix.shape[1]]


def _up4(n: int) -> int:
    return (n + 3) // 4 * 4


def _symmetric(lower: FloatArray) -> FloatArray:
    """Full matrices from their lower triangles."""
    strict = np.tril(lower, -1)
    return np.tril(lower) + np.swapaxes(strict, -1, -2)


def _lower_index(n: int) -> IntArray:
    """Position of entry (i, j) in the order (0,0), (1,0), (1,1), (2,0), ..., for either triangle."""
    i, j = np.indices((n, n))
    high, low = np.maximum(i, j), np.minimum(i, j)
    index: IntArray = high * (high + 1) // 2 + low
    return index

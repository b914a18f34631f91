"""Records of additive statistics: what each kind of pass adds up.

A record takes tile after tile (`add`), or what others took behind these (`merge`), and offers its totals as
properties. Partial sums are added in the order of the tiles, compensated so that thousands of tiles lose nothing, and
nothing of size (n, K) is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import fsum
from typing import Protocol, Self

import numpy as np

from moestat.component import Gate
from moestat.gate_information import Division, GateInformation, information_of, of_pairs
from moestat.kernels import information, linear, rows
from moestat.terms import Terms, Tile
from moestat.totals import Additive, Total, symmetric, up4
from moestat.typing import FloatArray, IntArray

#: How a gate's information is added up: see `moestat.gate_information`.
Way = Callable[[Gate, IntArray, FloatArray], GateInformation]


class Sums(Protocol):
    """A record of additive statistics."""

    def add(self, tile: Tile) -> None:
        """Add one tile's contribution."""

    def merge(self, later: Self) -> None:
        """Add those of another record, whose tiles follow."""


class LoglikSums(Additive):
    """Log-likelihood."""

    def __init__(self) -> None:
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        self._parts.append(tile.loglik)

    @property
    def loglik(self) -> float:
        return fsum(self._parts)


class ShareSums(Additive):
    """Mass of each expert (rows) and entropy of the responsibilities (nats)."""

    def __init__(self, terms: Terms) -> None:
        self._entropy: list[float] = []
        self._mass = Total((terms.n_experts,))

    def add(self, tile: Tile) -> None:
        self._entropy.append(rows.entropy(tile.R, tile.block.weight))
        self._mass.parts[0][:] = tile.R.sum(axis=1)
        self._mass.take()

    @property
    def mass(self) -> FloatArray:
        return self._mass.values[0]

    @property
    def entropy(self) -> float:
        return fsum(self._entropy)


class ScoreSums(Additive):
    """Log-likelihood and score."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local_gate, self._local_expert = theta[terms.gate_columns], theta[terms.expert_columns]
        self._total = Total(self._local_gate.shape, self._local_expert.shape)
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        terms, block, (gate, expert) = self._terms, tile.block, self._total.parts
        self._parts.append(tile.loglik)
        terms.gate.pull(self._local_gate, block, tile.H, tile.D, gate)
        terms.expert.pull(self._local_expert, block, tile.E, tile.R, expert)
        self._total.take()

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def score(self) -> FloatArray:
        """Derivative of the log-likelihood in the unconstrained parameters (P,), a sum over rows."""
        out, (gate, expert) = np.zeros(self._terms.size), self._total.values
        self._terms.scatter(self._terms.gate_columns, gate, out)
        self._terms.scatter(self._terms.expert_columns, expert, out)
        return out


class GateCurvature(Additive):
    """Score and minus the Hessian of the gate's part of Q, in the gate's own way or the one given."""

    def __init__(self, terms: Terms, theta: FloatArray, way: Way = information_of) -> None:
        self._sum = way(terms.gate, terms.gate_columns, theta[: terms.n_gate])

    def add(self, tile: Tile) -> None:
        self._sum.add(Division(tile.block, tile.H, tile.PI, tile.block.weight, tile.D, tile.buffers.part(0)))

    def merge(self, later: Self) -> None:
        self._sum.merge(later._sum)

    @property
    def score(self) -> FloatArray:
        return self._sum.score

    @property
    def matrix(self) -> FloatArray:
        return self._sum.matrix


class ExpertInformation(Additive):
    """Minus the Hessian of the experts' part of Q (Pe, Pe)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self._total = Total((*self._local.shape, self._local.shape[1]))

    def add(self, tile: Tile) -> None:
        self._terms.expert.curv(self._local, tile.block, tile.E, tile.R, self._total.parts[0])
        self._total.take()

    @property
    def matrix(self) -> FloatArray:
        terms = self._terms
        out = np.zeros((terms.size - terms.n_gate,) * 2)
        terms.scatter_matrix(terms.expert_columns - terms.n_gate, -self._total.values[0], out)
        return out


class ExpertMoments(Additive):
    """Weighted moments of the experts' features and residuals, for a closed-form M-step.

    With gate logits linear in the very same features, the gate's information comes out of the same product.
    """

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self._total: Total  # made when the first tile shows the features
        self._n_products = 0
        self.shared = False

    def add(self, tile: Tile) -> None:
        terms, block = self._terms, tile.block
        F = terms.expert.features(block)
        if not self._n_products:
            self._allocate(tile, F)
        products, residuals = self._total.parts
        information.add_feature_products(tile.R, tile.PI, block.weight, F, True, self.shared, products)
        terms.expert.residual_moments(self._local, block, tile.R, residuals)
        self._total.take()

    def _allocate(self, tile: Tile, F: FloatArray) -> None:
        gate, K, q, m = self._terms.gate, self._terms.n_experts, F.shape[0], len(tile.block.Y)
        self.shared = gate.known_features and gate.features(tile.block) is F
        self._n_products = q * (q + 1) // 2
        rows = K + (K * (K - 1) // 2 if self.shared else 0)
        self._total = Total((up4(rows), up4(self._n_products)), (K, self._n_products + m * q + m * (m + 1) // 2))

    @property
    def moments(self) -> FloatArray:
        """(K, q (q + 1) / 2 + m q + m (m + 1) / 2): products of features, with residuals, and of residuals."""
        products, out = self._total.values
        n = self._n_products
        out[:, :n] = products[: len(out), :n]
        return out

    @property
    def gate_information(self) -> FloatArray:
        terms = self._terms
        return of_pairs(terms.gate_columns, self._total.values[0][terms.n_experts :], terms.n_gate)


class EMSums(Additive):
    """Everything one generalised EM step needs; see `moestat.solvers.em`."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms, self._theta = terms, theta
        self._local_gate, self.local_expert = theta[terms.gate_columns], theta[terms.expert_columns]
        self._score = Total(self._local_gate.shape, self.local_expert.shape)
        self._moments = ExpertMoments(terms, theta)
        self._parts: list[float] = []
        self._classification: list[float] = []

    # the next two are not always needed, and small problems would notice
    @cached_property
    def _curvature(self) -> ExpertInformation:
        return ExpertInformation(self._terms, self._theta)

    @cached_property
    def _information(self) -> GateCurvature:
        return GateCurvature(self._terms, self._theta)

    def add(self, tile: Tile) -> None:
        terms, block, (gate, expert) = self._terms, tile.block, self._score.parts
        self._parts.append(tile.loglik)
        if tile.classification is not None:
            self._classification.append(tile.classification)
        if terms.expert.closed_form:
            self._moments.add(tile)
        else:
            terms.expert.pull(self.local_expert, block, tile.E, tile.R, expert)
            self._curvature.add(tile)
        if self._general:
            self._information.add(tile)
        else:
            terms.gate.pull(self._local_gate, block, tile.H, tile.D, gate)
        self._score.take()

    @property
    def _general(self) -> bool:
        """Whether the gate's information is neither in the experts' moments nor left out."""
        return not self._moments.shared and not self._terms.gate.closed_form

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def classification(self) -> float | None:
        """Classification log-likelihood, when rows were assigned whole to their likeliest expert."""
        return fsum(self._classification) if self._classification else None

    @property
    def climbed(self) -> float:
        """What the pass's kind of EM climbs: the classification log-likelihood where there is one."""
        return fsum(self._classification or self._parts)

    @property
    def gate_score(self) -> FloatArray:
        if self._general:
            return self._information.score
        out = np.zeros(self._terms.n_gate)
        self._terms.scatter(self._terms.gate_columns, self._score.values[0], out)
        return out

    @property
    def gate_information(self) -> FloatArray:
        """Minus the Hessian of the gate's part of Q (Pg, Pg); only without a closed form."""
        return self._moments.gate_information if self._moments.shared else self._information.matrix

    @cached_property  # asked for when all tiles are in, and more than once
    def moments(self) -> FloatArray:
        """Moments for the experts' closed-form M-step; see `ExpertMoments`."""
        return self._moments.moments

    @cached_property
    def closed_form(self) -> tuple[FloatArray, FloatArray]:
        """The experts' maximiser of Q and their score here, (K, q) each, out of the moments."""
        return self._terms.expert.m_step(self.local_expert, self.moments)

    @property
    def expert_score(self) -> FloatArray:
        """Score of the experts, (Pe,); with a closed form it comes out of the moments."""
        terms = self._terms
        local = self._score.values[1]
        if terms.expert.closed_form:
            local = self.closed_form[1]
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


class GateQ(Additive):
    """The gate's part of Q, sum R log pi, at parameters other than those of the responsibilities R.

    Q is the expected log-likelihood of rows and labels, which an M-step maximises. Tiles come from the old
    parameters; ``theta`` are the new ones.
    """

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.gate_columns]
        self._information = GateCurvature(terms, theta)
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        gate, block, B = self._terms.gate, tile.block, tile.block.weight.size
        H, PI, D = tile.buffers.get("new_gate", 3, self._terms.n_experts, B)
        gate.value(self._local, block, H)
        scratch = tile.buffers.get("new_gate_scratch", 2, B)
        self._parts.append(rows.gate_expectation(H, tile.R, block.weight, gate.normalised, PI, D, scratch))
        self._information.add(tile._replace(H=H, PI=PI, D=D))

    @property
    def value(self) -> float:
        return fsum(self._parts)

    @property
    def score(self) -> FloatArray:
        """Derivative (Pg,)."""
        return self._information.score

    @property
    def information(self) -> FloatArray:
        """Minus the Hessian (Pg, Pg)."""
        return self._information.matrix


class ExpertQ(Additive):
    """The experts' part of Q, sum R log f, at other parameters; see `GateQ`."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._local = theta[terms.expert_columns]
        self._information = ExpertInformation(terms, theta)
        self._score = Total(self._local.shape)
        self._parts: list[float] = []

    def add(self, tile: Tile) -> None:
        expert, block = self._terms.expert, tile.block
        E = tile.buffers.get("new_expert", self._terms.n_experts, block.weight.size)
        expert.value(self._local, block, E)
        self._parts.append(rows.expert_expectation(E, tile.R))
        expert.pull(self._local, block, E, tile.R, self._score.parts[0])
        self._score.take()
        self._information.add(tile._replace(E=E))

    @property
    def value(self) -> float:
        return fsum(self._parts)

    @property
    def score(self) -> FloatArray:
        """Derivative (Pe,)."""
        terms = self._terms
        out = np.zeros(terms.size - terms.n_gate)
        terms.scatter(terms.expert_columns - terms.n_gate, self._score.values[0], out)
        return out

    @property
    def information(self) -> FloatArray:
        """Minus the Hessian (Pe, Pe)."""
        return self._information.matrix


class _Derivatives:
    """Jacobians of one tile and the rows sqrt(w) A, sqrt(w) U of `kernels.information`."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self.local_gate, self.local_expert = theta[terms.gate_columns], theta[terms.expert_columns]

    def of(
        self, tile: Tile, curvature: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """A and U, and the rows of both Jacobians; the gate's curvature (K, q, q) is added to, when asked for."""
        terms, weight, buffers = self._terms, tile.block.weight, tile.buffers
        K, B = terms.n_experts, weight.size
        experts = 1 if terms.gate.known_features else K
        Jg, gate_rows = buffers.jacobian("gate_jac", experts, self.local_gate.shape[1], B)
        Je, expert_rows = buffers.jacobian("expert_jac", K, self.local_expert.shape[1], B)
        A, U = buffers.get("mean", up4(terms.size), B), buffers.get("gate_mean", up4(terms.n_gate), B)
        if curvature is None:
            terms.gate.jac(self.local_gate, tile.block, tile.H, Jg)
        else:
            terms.gate.jac_and_curv(self.local_gate, tile.block, tile.H, tile.D, Jg, curvature)
        terms.expert.jac(self.local_expert, tile.block, tile.E, Je)
        information.mean_derivatives(
            terms.gate_columns, terms.expert_columns, tile.PI, tile.R, weight, Jg, Je, A, U, buffers.get("roots", 2, B)
        )
        return A, U, gate_rows, expert_rows


class HessianSums(Additive):
    """Log-likelihood, score and the exact Hessian of the observed log-likelihood."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._derivatives = _Derivatives(terms, theta)
        qg, qe = terms.gate_columns.shape[1], terms.expert_columns.shape[1]
        gate, expert, K, P = up4(qg), up4(qe), terms.n_experts, terms.size
        self._parts: list[float] = []
        self._total = Total(
            (P,),
            (up4(P),) * 2,
            (up4(terms.n_gate),) * 2,
            (K, gate, gate),
            (K, expert, gate),
            (K, expert, expert),
            (K, qg, qg),
            (K, qe, qe),
        )

    def add(self, tile: Tile) -> None:
        terms, block, d = self._terms, tile.block, self._derivatives
        score, outer, gate_outer, gate, cross, expert, gate_curvature, expert_curvature = self._total.parts
        A, U, gate_rows, expert_rows = d.of(tile, gate_curvature)
        W = tile.buffers.get("local", max(gate.shape[1], expert.shape[1]), block.weight.size)
        self._parts.append(tile.loglik)
        information.add_scores(A, U[: terms.n_gate], block.weight, score)
        linear.add_lower_products(A, A, outer)
        linear.add_lower_products(U, U, gate_outer)
        information.add_local_products(
            tile.D, tile.R, gate_rows, expert_rows, terms.gate.known_features, W, gate, cross, expert
        )
        terms.expert.curv(d.local_expert, block, tile.E, tile.R, expert_curvature)
        self._total.take()

    @property
    def loglik(self) -> float:
        return fsum(self._parts)

    @property
    def score(self) -> FloatArray:
        """Derivative of the log-likelihood (P,), a sum over rows."""
        return self._total.values[0]

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives of the log-likelihood (P, P), a sum over rows."""
        terms, P, n = self._terms, self._terms.size, self._terms.n_gate
        _, outer, gate_outer, gate, local_cross, expert, gate_curvature, expert_curvature = self._total.values
        qg, qe = gate_curvature.shape[1], expert_curvature.shape[1]
        out = -symmetric(outer)[:P, :P]
        out[:n, :n] += symmetric(gate_outer)[:n, :n]
        terms.scatter_matrix(terms.gate_columns, symmetric(gate)[:, :qg, :qg] + gate_curvature, out)
        terms.scatter_matrix(terms.expert_columns, symmetric(expert)[:, :qe, :qe] + expert_curvature, out)
        cross = np.zeros((P, P))
        at = terms.expert_columns[:, :, None], terms.gate_columns[:, None, :]
        np.add.at(cross, at, local_cross[:, :qe, :qg])
        out += cross + cross.T
        return 0.5 * (out + out.T)


class OuterProductSums(Additive):
    """Sum over rows of weight * score score' (P, P)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._derivatives = _Derivatives(terms, theta)
        self._outer = Total((up4(terms.size),) * 2)

    def add(self, tile: Tile) -> None:
        A, U, _, _ = self._derivatives.of(tile)
        information.subtract_gate(A, U[: self._terms.n_gate])
        linear.add_lower_products(A, A, self._outer.parts[0])
        self._outer.take()

    @property
    def matrix(self) -> FloatArray:
        return symmetric(self._outer.values[0])[: self._terms.size, : self._terms.size]


class FactorSums:
    """Triangular factors (K, p + m, p + m) of each expert's weighted least-squares rows, by updating QR."""

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
            self._append(k, matrix)

    def _append(self, k: int, matrix: FloatArray) -> None:
        self.factors[k] = np.linalg.qr(np.vstack([self.factors[k], matrix]), mode="r")[: matrix.shape[1]]

    def merge(self, later: Self) -> None:
        for k, matrix in enumerate(later.factors):
            self._append(k, matrix)

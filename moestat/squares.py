"""Least squares on tiles of rows: what a pass over the data adds up when a regression function is fitted.

    m(x) = sum_k pi_k(x) mu_k(x),   RSS = sum_i w_i (y_i - m(x_i))^2

What is raised is -n/2 log(RSS / n), a monotone function of the sum of squares and, but for a constant, the
log-likelihood of normal errors whose variance has been maximised out. Its differences are free of the response's unit
and comparable with those of likelihoods, so that solvers, starts and certificate need no other tolerances here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from math import log

import numpy as np

from moestat.buffers import Buffers
from moestat.data import Block
from moestat.errors import InputError
from moestat.kernels import information, linear, squares
from moestat.passes import Passes
from moestat.sums import EMSums, HessianSums, LoglikSums, ScoreSums
from moestat.terms import Terms, Tile
from moestat.totals import Additive, Total, symmetric, up4
from moestat.typing import FloatArray

#: Smallest mean square, as a share of the response's variance, that is told from zero: below it residuals are rounding.
ROUNDING_FLOOR = 1e-14


class MeanTerms(Terms):
    """A gate and experts of which only the means count.

    Tiles hold, of each row: E the means, R weight times gate weight, ``residual`` e = y - m, ``row`` -e^2 / 2, and D
    weight * e * dm / dh. There is no posterior: masses are those of the gate.
    """

    def tiles(
        self, theta: FloatArray, blocks: Iterable[Block], buffers: Buffers | None = None, hard: bool = False
    ) -> Iterator[Tile]:
        """Residuals on block after block."""
        K, to_one = self.n_experts, self.gate.sums_to_one
        local_gate, local_expert = theta[self.gate_columns], theta[self.expert_columns]
        buffers = Buffers() if buffers is None else buffers
        for block in blocks:
            B = block.weight.size
            H, M, PI, R, D = buffers.get("rows", 5, K, B)
            row, residual, *_ = buffers.get("each", 2, B)
            self.gate.value(local_gate, block, H)
            self.expert.value(local_expert, block, M)
            scratch = buffers.get("scratch", 2, B)
            total = squares.combine(H, M, block.Y[0], block.weight, to_one, PI, R, D, row, residual, scratch)
            yield Tile(block, H, M, PI, R, D, row, total, buffers, residual=residual)

    def total(self, local_gate: FloatArray, block: Block, E: FloatArray, buffers: Buffers) -> float:
        """-RSS / 2 of one block, whose experts' means (K, B) are known."""
        H, PI, R, D = buffers.get("total_rows", 4, *E.shape)
        scratch = buffers.get("total_scratch", 4, block.weight.size)
        self.gate.value(local_gate, block, H)
        y, to_one = block.Y[0], self.gate.sums_to_one
        return float(squares.combine(H, E, y, block.weight, to_one, PI, R, D, scratch[0], scratch[1], scratch[2:]))


# --------------------------------------------------------------------------------------- records
class SquaresScore(ScoreSums):
    """-RSS / 2 and its derivative."""

    def add(self, tile: Tile) -> None:
        super().add(tile._replace(R=_pulls(tile)))


class MeanDerivatives:
    """Derivatives of the regression function of one tile, in rows of sqrt(weight)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self.local_gate, self.local_expert = theta[terms.gate_columns], theta[terms.expert_columns]

    def of(self, tile: Tile, turned: bool) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """A and U of `kernels.squares.derivatives`, and the rows of both Jacobians."""
        terms, buffers, B = self._terms, tile.buffers, tile.block.weight.size
        experts = 1 if terms.gate.known_features else terms.n_experts
        Jg, gate_rows = buffers.jacobian("gate_jac", experts, self.local_gate.shape[1], B)
        Je, expert_rows = buffers.jacobian("expert_jac", terms.n_experts, self.local_expert.shape[1], B)
        terms.gate.jac(self.local_gate, tile.block, tile.H, Jg)
        terms.expert.jac(self.local_expert, tile.block, tile.E, Je)
        A, U = buffers.get("mean", up4(terms.size), B), buffers.get("gate_mean", up4(terms.n_gate), B)
        squares.derivatives(
            terms.gate_columns,
            terms.expert_columns,
            tile.PI,
            tile.E,
            _residual(tile),
            tile.block.weight,
            terms.gate.sums_to_one,
            turned,
            Jg,
            Je,
            A,
            U,
            buffers.get("means", 3, B),
        )
        return A, U, gate_rows, expert_rows


class SquaresHessian(HessianSums):
    """-RSS / 2, its derivative and its exact Hessian."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        super().__init__(terms, theta)
        self._means = MeanDerivatives(terms, theta)

    def add(self, tile: Tile) -> None:
        terms, block, means, pulls = self._terms, tile.block, self._means, _pulls(tile)
        A, U, gate_rows, expert_rows = means.of(tile, turned=True)
        score, outer, gate_outer, gate, cross, expert, gate_curvature, expert_curvature = self._total.parts
        W = tile.buffers.get("local", max(gate.shape[1], expert.shape[1]), block.weight.size)
        self._parts.append(tile.loglik)
        linear.add_lower_products(A, A, outer)
        linear.add_lower_products(U, U, gate_outer)
        information.add_local_products(
            tile.D, pulls, gate_rows, expert_rows, terms.gate.known_features, W, gate, cross, expert
        )
        expert[:] = 0.0  # products of an expert's own derivatives are those of a density
        terms.gate.curv(means.local_gate, block, tile.H, tile.D, gate_curvature)
        terms.expert.curv(means.local_expert, block, tile.E, pulls, expert_curvature)
        self._add_score(tile, pulls, score)
        self._total.take()

    def _add_score(self, tile: Tile, pulls: FloatArray, score: FloatArray) -> None:
        terms, means = self._terms, self._means
        gate, expert = np.zeros_like(means.local_gate), np.zeros_like(means.local_expert)
        terms.gate.pull(means.local_gate, tile.block, tile.H, tile.D, gate)
        terms.expert.pull(means.local_expert, tile.block, tile.E, pulls, expert)
        terms.scatter(terms.gate_columns, gate, score)
        terms.scatter(terms.expert_columns, expert, score)


class ProductSums(Additive):
    """Sums over rows of weight * dm dm', and of the same times e^2 (P, P)."""

    def __init__(self, terms: Terms, theta: FloatArray) -> None:
        self._terms = terms
        self._means = MeanDerivatives(terms, theta)
        self._total = Total((up4(terms.size),) * 2, (up4(terms.size),) * 2)

    def add(self, tile: Tile) -> None:
        A, _, _, _ = self._means.of(tile, turned=False)
        plain, weighted = self._total.parts
        linear.add_lower_products(A, A, plain)
        A *= _residual(tile)
        linear.add_lower_products(A, A, weighted)
        self._total.take()

    @property
    def plain(self) -> FloatArray:
        return self._matrix(0)

    @property
    def weighted(self) -> FloatArray:
        return self._matrix(1)

    def _matrix(self, which: int) -> FloatArray:
        P = self._terms.size
        return symmetric(self._total.values[which])[:P, :P]


def _residual(tile: Tile) -> FloatArray:
    assert tile.residual is not None
    return tile.residual


def _pulls(tile: Tile) -> FloatArray:
    """What -RSS / 2 has to do with each mean (K, B): weight * e * pi."""
    out = tile.buffers.get("pulls", *tile.R.shape)
    np.multiply(tile.R, _residual(tile), out=out)
    return out


# --------------------------------------------------------------------------------------- what is maximised
@dataclass(frozen=True)
class Sum:
    """-RSS / 2 alone."""

    loglik: float


@dataclass(frozen=True)
class Profile:
    """-n/2 log(RSS / n + floor) and its derivatives, from those of -RSS / 2."""

    sums: Sum | LoglikSums | SquaresScore | SquaresHessian
    rows: float
    floor: float

    @cached_property
    def mean_square(self) -> float:
        """RSS / n + floor."""
        return -2.0 * self.sums.loglik / self.rows + self.floor

    @property
    def loglik(self) -> float:
        return -0.5 * self.rows * log(self.mean_square) if np.isfinite(self.mean_square) else -np.inf

    @property
    def score(self) -> FloatArray:
        """Derivative (P,)."""
        assert not isinstance(self.sums, Sum | LoglikSums)
        return self.sums.score / self.mean_square

    @property
    def hessian(self) -> FloatArray:
        """Second derivatives (P, P)."""
        assert isinstance(self.sums, SquaresHessian)
        score = self.score
        return self.sums.hessian / self.mean_square + (2.0 / self.rows) * np.outer(score, score)


@dataclass(frozen=True)
class Matrix:
    """A matrix that a pass has summed up."""

    matrix: FloatArray


@dataclass(frozen=True)
class SquaresPasses(Passes):
    """The passes of least squares; ``loglik`` is -n/2 log(RSS / n) in working units."""

    @property
    def floor(self) -> float:
        return ROUNDING_FLOOR * float(self.source.moments.y.scale[0]) ** 2

    def _profile(self, sums: Sum | LoglikSums | SquaresScore | SquaresHessian) -> Profile:
        unit = float(self.source.coordinates.y.scale[0])
        return Profile(sums, self.source.total_weight, self.floor / unit**2)

    @property
    def has_em(self) -> bool:
        return False

    def level(self, total: float) -> float:
        return self._profile(Sum(total)).loglik

    def loglik(self, theta: FloatArray) -> float:
        """-n/2 log(RSS / n)."""
        return self.level(self.reduce(LoglikSums, theta).loglik)

    def rss(self, theta: FloatArray) -> float:
        """Sum of weighted squared residuals, in working units."""
        return -2.0 * self.reduce(LoglikSums, theta).loglik

    def told(self, theta: FloatArray) -> float:
        """Sum of weighted squared residuals, in the user's units."""
        return float(self.source.coordinates.y.scale[0]) ** 2 * self.rss(theta)

    def score(self, theta: FloatArray) -> Profile:
        """The same and its derivative."""
        return self._profile(self.reduce(partial(SquaresScore, self.terms, theta), theta))

    def hessian(self, theta: FloatArray) -> Profile:
        """The same, its derivative and its exact Hessian."""
        return self._profile(self.reduce(partial(SquaresHessian, self.terms, theta), theta, self._second_order_height))

    def products(self, theta: FloatArray) -> ProductSums:
        """Sums of weight * dm dm', and of weight * e^2 dm dm'."""
        return self.reduce(partial(ProductSums, self.terms, theta), theta, self._second_order_height)

    def outer_products(self, theta: FloatArray) -> Matrix:
        """Sum of weight * score score' over rows, the mean square taken as known."""
        square = self._profile(self.reduce(LoglikSums, theta)).mean_square
        return Matrix(self.products(theta).weighted / square**2)

    def em(self, theta: FloatArray) -> EMSums:
        """Least squares have no EM."""
        raise InputError(
            "EM and its kin maximise likelihoods; a sum of squares is minimised by solver='newton'. "
            "Leave solver out, or fit with objective='likelihood'."
        )

"""Passes over the data: every one is a sum.

A pass evaluates gate and expert on tile after tile and adds what each contributes to a record. The records
only need the tiles in their order, so the rows may be in memory, in files or elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from moestat.buffers import Buffers
from moestat.data import Block, BlockSource
from moestat.sums import (
    EMSums,
    ExpertInformation,
    ExpertQ,
    FactorSums,
    GateQ,
    HessianSums,
    LoglikSums,
    OuterProductSums,
    ScoreSums,
    ShareSums,
    Sums,
)
from moestat.terms import Terms
from moestat.typing import FloatArray

S = TypeVar("S", bound=Sums)


class FirstOrder(Protocol):
    """What is maximised, and its derivative (P,): sums over rows."""

    @property
    def loglik(self) -> float: ...
    @property
    def score(self) -> FloatArray: ...


class SecondOrder(FirstOrder, Protocol):
    """The same with its second derivatives (P, P)."""

    @property
    def hessian(self) -> FloatArray: ...


class OuterProducts(Protocol):
    """Sum of weight * score score' over rows (P, P)."""

    @property
    def matrix(self) -> FloatArray: ...


#: Numbers that the buffers of one tile may hold: a narrower tile costs more in calls than it saves in cache.
CACHE_DOUBLES = 2**18


@dataclass(frozen=True)
class Passes:
    """The passes of one model over one source; ``theta`` is the unconstrained vector in working coordinates.

    With ``hard`` every row belongs whole to its likeliest expert: sums over responsibilities become sums over
    these assignments. The log-likelihood stays that of the mixture.
    """

    terms: Terms
    source: BlockSource
    buffers: Buffers = field(default_factory=Buffers, repr=False)
    hard: bool = False

    @property
    def floor(self) -> float:
        """Of least squares, what is added to the mean square, in the units of the raw response."""
        return 0.0

    @property
    def has_em(self) -> bool:
        """Whether there is an EM that climbs the same."""
        return True

    def level(self, total: float) -> float:
        """What is maximised, from the sum over rows of what `Terms.total` gives of blocks."""
        return total

    def told(self, theta: FloatArray) -> float:
        """What is maximised, as a reader knows it: here as it is, up to a constant."""
        return self.loglik(theta)

    @property
    def hardened(self) -> Passes:
        """The same passes with hard assignments."""
        return replace(self, hard=True)

    def reduce(self, record: S, theta: FloatArray, height: int | None = None) -> S:
        """Add every tile of the source to a record, in order.

        ``height`` is how many numbers per row the pass keeps; it narrows the tiles to what the cache holds.
        """
        height = 5 * self.terms.n_experts if height is None else height
        rows_at_once = max(64, CACHE_DOUBLES // height // 64 * 64)
        blocks = _split(self.source.blocks(), rows_at_once)
        for tile in self.terms.tiles(theta, blocks, self.buffers, self.hard):
            record.add(tile)
        return record

    @property
    def _second_order_height(self) -> int:
        """Derivatives of all parameters, and the experts' own."""
        local = self.terms.gate_columns.shape[1] + self.terms.expert_columns.shape[1]
        return int(self.terms.size + self.terms.n_experts * local)

    def loglik(self, theta: FloatArray) -> float:
        """Log-likelihood at theta, a sum in nats and in working units of the response."""
        return self.reduce(LoglikSums(), theta).loglik

    def shares(self, theta: FloatArray) -> ShareSums:
        """Masses of the experts and entropy of the responsibilities."""
        return self.reduce(ShareSums(self.terms), theta)

    def score(self, theta: FloatArray) -> FirstOrder:
        """Log-likelihood and score."""
        return self.reduce(ScoreSums(self.terms, theta), theta)

    def em(self, theta: FloatArray) -> EMSums:
        """Everything that one generalised EM step needs."""
        return self.reduce(EMSums(self.terms, theta), theta)

    def hessian(self, theta: FloatArray) -> SecondOrder:
        """Log-likelihood, score and exact Hessian."""
        return self.reduce(HessianSums(self.terms, theta), theta, self._second_order_height)

    def outer_products(self, theta: FloatArray) -> OuterProducts:
        """Sum of weight * score score' over rows."""
        return self.reduce(OuterProductSums(self.terms, theta), theta, self._second_order_height)

    def gate_q(self, old: FloatArray, new: FloatArray) -> GateQ:
        """The gate's part of Q at ``new``, with the responsibilities at ``old``."""
        return self.reduce(GateQ(self.terms, new), old)

    def expert_q(self, old: FloatArray, new: FloatArray) -> ExpertQ:
        """The experts' part of Q at ``new``, with the responsibilities at ``old``."""
        return self.reduce(ExpertQ(self.terms, new), old)

    def expert_information(self, theta: FloatArray) -> ExpertInformation:
        """Minus the Hessian of the experts' part of Q."""
        return self.reduce(ExpertInformation(self.terms, theta), theta)

    def factors(self, theta: FloatArray) -> FactorSums:
        """Triangular factors of the experts' weighted least-squares problems."""
        return self.reduce(FactorSums(self.terms, theta), theta)


def _split(blocks: Iterable[Block], width: int) -> Iterator[Block]:
    """The same rows in narrower blocks, copied so that they are contiguous."""
    for block in blocks:
        pieces = -(-block.weight.size // width)
        if pieces == 1:
            yield block
            continue
        even = -(-block.weight.size // (8 * pieces)) * 8
        for first in range(0, block.weight.size, even):
            part = slice(first, first + even)
            X = np.ascontiguousarray(block.X[:, part])
            Z = X if block.Z is block.X else np.ascontiguousarray(block.Z[:, part])
            exposure = None if block.exposure is None else block.exposure[part]
            Y = np.ascontiguousarray(block.Y[:, part])
            yield Block(X, Z, Y, block.offset[part], block.weight[part], exposure)

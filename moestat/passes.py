"""Passes over the data: every one is a sum.

A pass evaluates gate and expert on tile after tile and adds what each contributes to a record. The records
only need the tiles in their order, so the rows may be in memory, in files or elsewhere. Many rows fall into parts, each
with a record of its own, which are merged in order: how many threads there are changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

import numpy as np

from moestat.buffers import Shelf
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
from moestat.threads import in_order
from moestat.typing import FloatArray

S = TypeVar("S", bound=Sums)

#: The number of a tile's part, its block, and its columns there where it is not the whole block.
Place = tuple[int, Block, slice | None]


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
CACHE_DOUBLES = 2**17

#: Numbers that a pass keeps of the rows of one part, were they all kept: about half a millisecond's work. What is less
#: than two parts for each of two threads is the work of one.
PART_DOUBLES = 2**19


@dataclass(frozen=True)
class Passes:
    """The passes of one model over one source; ``theta`` is the unconstrained vector in working coordinates.

    With ``hard`` every row belongs whole to its likeliest expert: sums over responsibilities become sums over
    these assignments. The log-likelihood stays that of the mixture.
    """

    terms: Terms
    source: BlockSource
    shelf: Shelf = field(default_factory=Shelf, repr=False)
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

    def reduce(self, make: Callable[[], S], theta: FloatArray, height: int | None = None) -> S:
        """The sums over every tile of the source, in order, in a record of the kind that ``make`` makes.

        ``height`` is how many numbers per row the pass keeps. It narrows the tiles to what the cache holds, and says
        how many rows make a part: parts may be summed by threads, and are merged in their order.
        """
        height = 5 * self.terms.n_experts if height is None else height
        width = max(64, CACHE_DOUBLES // height // 64 * 64)
        rows = max(width, PART_DOUBLES // height)
        tiles = _tiles(self.source.blocks(), width, rows)
        if self.source.n_rows <= rows:  # as below, but small problems would notice
            return self._sums(make, theta, tiles)
        parts = (part for _, part in groupby(tiles, key=itemgetter(0)))
        work = partial(self._sums, make, theta)
        if getattr(self.source, "keeps_blocks", False):
            return _merged(in_order(work, [list(part) for part in parts]))
        return _merged(map(work, parts))

    def _sums(self, make: Callable[[], S], theta: FloatArray, tiles: Iterable[Place]) -> S:
        """One record of these tiles."""
        record, buffers = make(), self.shelf.take()
        try:
            blocks = (_cut(block, columns) for _, block, columns in tiles)
            for tile in self.terms.tiles(theta, blocks, buffers, self.hard):
                record.add(tile)
        finally:
            self.shelf.put(buffers)
        return record

    @property
    def _second_order_height(self) -> int:
        """Derivatives of all parameters, and the experts' own."""
        local = self.terms.gate_columns.shape[1] + self.terms.expert_columns.shape[1]
        return int(self.terms.size + self.terms.n_experts * local)

    def loglik(self, theta: FloatArray) -> float:
        """Log-likelihood at theta, a sum in nats and in working units of the response."""
        return self.reduce(LoglikSums, theta).loglik

    def shares(self, theta: FloatArray) -> ShareSums:
        """Masses of the experts and entropy of the responsibilities."""
        return self.reduce(partial(ShareSums, self.terms), theta)

    def score(self, theta: FloatArray) -> FirstOrder:
        """Log-likelihood and score."""
        return self.reduce(partial(ScoreSums, self.terms, theta), theta)

    def em(self, theta: FloatArray) -> EMSums:
        """Everything that one generalised EM step needs."""
        return self.reduce(partial(EMSums, self.terms, theta), theta)

    def hessian(self, theta: FloatArray) -> SecondOrder:
        """Log-likelihood, score and exact Hessian."""
        return self.reduce(partial(HessianSums, self.terms, theta), theta, self._second_order_height)

    def outer_products(self, theta: FloatArray) -> OuterProducts:
        """Sum of weight * score score' over rows."""
        return self.reduce(partial(OuterProductSums, self.terms, theta), theta, self._second_order_height)

    def gate_q(self, old: FloatArray, new: FloatArray) -> GateQ:
        """The gate's part of Q at ``new``, with the responsibilities at ``old``."""
        return self.reduce(partial(GateQ, self.terms, new), old)

    def expert_q(self, old: FloatArray, new: FloatArray) -> ExpertQ:
        """The experts' part of Q at ``new``, with the responsibilities at ``old``."""
        return self.reduce(partial(ExpertQ, self.terms, new), old)

    def expert_information(self, theta: FloatArray) -> ExpertInformation:
        """Minus the Hessian of the experts' part of Q."""
        return self.reduce(partial(ExpertInformation, self.terms, theta), theta)

    def factors(self, theta: FloatArray) -> FactorSums:
        """Triangular factors of the experts' weighted least-squares problems."""
        return self.reduce(partial(FactorSums, self.terms, theta), theta)


def _tiles(blocks: Iterable[Block], width: int, rows: int) -> Iterator[Place]:
    """Where tiles of at most this width lie, with so many rows to a part; a tile goes with its first row."""
    before = 0
    for block in blocks:
        size = block.weight.size
        if size <= width:
            yield before // rows, block, None
        else:
            even = -(-size // (8 * -(-size // width))) * 8
            for first in range(0, size, even):
                yield (before + first) // rows, block, slice(first, first + even)
        before += size


def _cut(block: Block, part: slice | None) -> Block:
    """The same rows, or part of them, copied so that they are contiguous."""
    if part is None:
        return block
    X = np.ascontiguousarray(block.X[:, part])
    Z = X if block.Z is block.X else np.ascontiguousarray(block.Z[:, part])
    exposure = None if block.exposure is None else block.exposure[part]
    Y = np.ascontiguousarray(block.Y[:, part])
    return Block(X, Z, Y, block.offset[part], block.weight[part], exposure)


def _merged(records: Iterator[S]) -> S:
    """The first record, with all others added."""
    total = next(records)
    for record in records:
        total.merge(record)
    return total

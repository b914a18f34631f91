"""Random gates: weights that are averages over noise in the logits.

    pi_k(x) = E w_k(u(x) + noise),    here the average over draws of the noise that are the same for every row,

so that the weights are a function of the covariates, and one that has derivatives. The draws are a scrambled Sobol
sequence; how many there are decides how near the average is to the expectation. Root mean squared errors of weights
over seeds, for two to eight experts whose logits have standard deviation 1.5: 0.03 with 16 draws, 0.015 with 32 and
0.008 with 64 for the Gumbel gate at tau = 0.5, and 0.008, 0.004 and 0.002 for the noisy top-2 gate.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from scipy.stats import qmc

from moestat.component import Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.nested import SOFTMAX, add_jacobian, check_inner, curved, pulled
from moestat.gates.wrapper import Wrapper
from moestat.params import Layout, shared_columns
from moestat.typing import FloatArray, IntArray

#: Step of the five-point differences that give second derivatives out of exact first ones.
STEP = 2e-3


@dataclass(frozen=True)
class Averaged(Wrapper):
    """Weights averaged over noise in an inner gate's logits.

    The average ties every weight to every logit, so each row of ``columns`` lists all parameters.
    """

    inner: Gate = SOFTMAX
    n_draws: int = field(default=64, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    # of the bound gate
    places: IntArray | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)
        if not _is_whole(self.n_draws) or self.n_draws < 1 or int(self.n_draws).bit_count() != 1:
            raise InputError(f"n_draws must be a power of two, as 16 or 64 are; got {self.n_draws!r}.")
        if not _is_whole(self.seed) or self.seed < 0:
            raise InputError(f"seed must be a whole number of at least 0; got {self.seed!r}.")

    # ------------------------------------------------------------------------------- what a random gate is
    @abstractmethod
    def log_weights(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        """Write log pi (K, B) at logits U (K, B) and own unconstrained parameters (p,)."""

    @abstractmethod
    def slopes(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        """Write d log pi_k / d u_l, and behind these d log pi_k / d own, to out (K, K + p, B)."""

    # ------------------------------------------------------------------------------- parameters
    def columns(self, layout: Layout) -> IntArray:
        return shared_columns(len(self.inner.columns(self._inner(layout))), np.arange(layout.size))

    def bind(self, layout: Layout) -> Self:
        inner = self._inner(layout)
        return replace(self, inner=self.inner.bind(inner), places=self.inner.columns(inner))

    # ------------------------------------------------------------------------------- logits
    def _inside(self, local: FloatArray, block: Block) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """The inner gate's columns, local parameters and logits, and the own parameters."""
        assert self.places is not None
        inner = local[0, self.places]
        U = np.empty((len(inner), block.weight.size))
        self.inner.value(inner, block, U)
        return self.places, inner, U, self._last(local[0])

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, _, U, own = self._inside(local, block)
        self.log_weights(U, own, out)

    def _slopes(self, U: FloatArray, own: FloatArray) -> FloatArray:
        out = np.empty((len(U), len(U) + own.size, U.shape[1]))
        self.slopes(U, own, out)
        return out

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        places, inner, U, own = self._inside(local, block)
        K, G = len(U), self._slopes(U, own)
        J = self._flat(places, inner, block, U, local.shape[1])
        out[:] = np.einsum("klb,lpb->kpb", G[:, :K], J)
        out[:, local.shape[1] - own.size :] += G[:, K:]

    def _flat(self, places: IntArray, inner: FloatArray, block: Block, U: FloatArray, size: int) -> FloatArray:
        """Derivatives (K, P, B) of the inner logits in all parameters."""
        J = np.zeros((len(U), size, U.shape[1]))
        add_jacobian(self.inner, places, inner, block, U, J)
        return J

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # booked on the first expert, here and below: all have the same columns
        places, inner, U, own = self._inside(local, block)
        along = _contract(weights, self._slopes(U, own))
        K = len(U)
        np.add.at(out[0], places, pulled(self.inner, inner, block, U, along[:K]))
        out[0, local.shape[1] - own.size :] += along[K:].sum(axis=1)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        places, inner, U, own = self._inside(local, block)
        K, P, target = len(U), local.shape[1], out[0]
        bend = curved(self.inner, inner, block, U, _contract(weights, self._slopes(U, own))[:K])
        for columns, one in zip(places, bend, strict=True):
            np.add.at(target, (columns[:, None], columns[None, :]), one)
        J = np.zeros((K + own.size, P, U.shape[1]))
        J[:K] = self._flat(places, inner, block, U, P)
        for i in range(own.size):
            J[K + i, P - own.size + i] = 1.0
        S = self._bends(U, own, weights)
        for row, left in zip(S, J, strict=True):
            target += left @ np.einsum("lb,lpb->pb", row, J).T

    def _bends(self, U: FloatArray, own: FloatArray, weights: FloatArray) -> FloatArray:
        """sum_k weights_k d2 log pi_k in logits and own parameters (K + p, K + p, B), by differences of slopes."""
        n = len(U) + own.size
        out = np.zeros((n, n, U.shape[1]))
        for i in range(n):
            for share, reach in ((8.0, STEP), (-8.0, -STEP), (-1.0, 2 * STEP), (1.0, -2 * STEP)):
                there, mine = U, own
                if i < len(U):
                    there = U.copy()
                    there[i] += reach
                else:
                    mine = own.copy()
                    mine[i - len(U)] += reach
                out[i] += share / (12.0 * STEP) * _contract(weights, self._slopes(there, mine))
        return 0.5 * (out + out.transpose(1, 0, 2))

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(self._inner(layout), block, resp, schema)


@lru_cache(maxsize=64)
def uniform_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Points (n_draws, n_experts) inside the unit cube, evenly spread."""
    points: FloatArray = qmc.Sobol(n_experts, seed=np.random.default_rng(seed)).random(n_draws)
    inside: FloatArray = np.clip(points, 1e-12, 1.0 - 1e-12)
    inside.setflags(write=False)
    return inside


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _contract(weights: FloatArray, G: FloatArray) -> FloatArray:
    """sum_k weights_k G_k, (K + p, B)."""
    found: FloatArray = np.einsum("kb,klb->lb", weights, G)
    return found

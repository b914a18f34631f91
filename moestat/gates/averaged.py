"""Random gates: weights that are averages over noise in the logits.

    pi_k(x) = E w_k(u(x) + noise),    here the average over draws of the noise that are the same for every row,

so that the weights are a function of the covariates, and one that has derivatives. The draws are a scrambled Sobol
sequence; how many there are decides how near the average is to the expectation. Root mean squared errors of weights
over eight seeds, for two, three, four and eight experts whose logits have standard deviation 1.5, from the smallest to
the largest: 0.021 to 0.029 with 16 draws, 0.010 to 0.017 with 32 and 0.005 to 0.010 with 64 for the Gumbel gate at
tau = 0.5; 0.006 to 0.007, 0.003 to 0.004 and 0.001 to 0.002 for the noisy top-2 gate with scale 0.7.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import scipy  # scipy.stats takes half a second, and loads where it is first named

from moestat.charts import Chart
from moestat.component import Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gate_information import Division, Forms
from moestat.gates.nested import SOFTMAX, add_jacobian, check_inner, curved, pulled
from moestat.gates.wrapper import Wrapper, forms_over_softmax
from moestat.kernels import jit
from moestat.params import Layout, shared_columns
from moestat.typing import FloatArray, IntArray

#: What stands for minus infinity: no noise lifts it, and its square is a number.
SWITCHED_OFF = -1e100


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
    @property
    def averages(self) -> bool:
        """Whether weights are averages over draws, and not a closed form."""
        return True

    @property
    def tells_ties(self) -> bool:
        # where the inner logits jump, the average does too, but at its own ties none is known
        return self.continuous

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        # each expert has draws of its own: with other labels averages differ by their error
        return not self.averages and self.inner.exchangeable

    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        return np.arange(mass.size) if self.averages else self.inner.order(mass, kinds)

    @abstractmethod
    def log_weights(self, U: FloatArray, own: FloatArray, out: FloatArray) -> None:
        """Write log pi (K, B) at logits U (K, B) and own unconstrained parameters (p,)."""

    @abstractmethod
    def derivatives(
        self, U: FloatArray, own: FloatArray, value: FloatArray, weights: FloatArray, G: FloatArray, S: FloatArray
    ) -> None:
        """Write those of log pi, which are ``value`` (K, B), in the logits and, behind these, in own parameters.

        The first ones go to G (K, K + p, B). The second ones, summed over experts with weights (K, B), go to S as
        entries (n, B) of a symmetric matrix, (0,0), (1,0), (1,1), ...; where S has no room they are not wanted.
        """

    #: smallest value of the own parameter, which stands for zero, and what the gate is there
    least: ClassVar[float]
    limit: ClassVar[str]

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
        self.log_weights(np.maximum(U, SWITCHED_OFF), own, out)

    def _derivatives(
        self, U: FloatArray, own: FloatArray, value: FloatArray, weights: FloatArray, second: bool
    ) -> tuple[FloatArray, FloatArray]:
        K, m, B = len(U), len(U) + own.size, U.shape[1]
        G, S = np.empty((K, m, B)), np.empty((m * (m + 1) // 2 if second else 0, B))
        self.derivatives(np.maximum(U, SWITCHED_OFF), own, value, weights, G, S)
        return G, S

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        places, inner, U, own = self._inside(local, block)
        G, _ = self._derivatives(U, own, value, value, second=False)
        out[:] = np.einsum("klb,lpb->kpb", G, self._predictors(places, inner, block, U, own, local.shape[1]))

    def _predictors(
        self, places: IntArray, inner: FloatArray, block: Block, U: FloatArray, own: FloatArray, size: int
    ) -> FloatArray:
        """Derivatives (K + p, P, B) of inner logits and own parameters in all parameters."""
        K, p = len(U), own.size
        J = np.zeros((K + p, size, U.shape[1]))
        add_jacobian(self.inner, places, inner, block, U, J[:K])
        J[np.arange(K, K + p), np.arange(size - p, size)] = 1.0
        return J

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # booked on the first expert, here and below: all have the same columns
        places, inner, U, own = self._inside(local, block)
        K, along = len(U), _contract(weights, self._derivatives(U, own, value, weights, second=False)[0])
        np.add.at(out[0], places, pulled(self.inner, inner, block, U, along[:K]))
        out[0, local.shape[1] - own.size :] += along[K:].sum(axis=1)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        places, inner, U, own = self._inside(local, block)
        G, S = self._derivatives(U, own, value, weights, second=True)
        target = out[0]
        bend = curved(self.inner, inner, block, U, _contract(weights, G)[: len(U)])
        for columns, one in zip(places, bend, strict=True):
            np.add.at(target, (columns[:, None], columns[None, :]), one)
        J = self._predictors(places, inner, block, U, own, local.shape[1])
        for each, k, l in zip(S, *np.tril_indices(len(J)), strict=True):
            product = (each * J[k]) @ J[l].T
            target += product if k == l else product + product.T

    # ------------------------------------------------------------------------------- M-step
    def forms(self, columns: IntArray) -> Forms | None:
        return forms_over_softmax(self, columns)

    def form_features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        _, _, U, own = self._inside(local, tile.block)
        # sum_k pi_k d2 log pi_k = - sum_k pi_k g_k g_k', so that nothing else is left of the information
        G = np.empty((len(U), len(U) + own.size, U.shape[1]))
        self.derivatives(U, own, tile.logits, tile.gap + tile.mass * tile.share, G, second)
        np.negative(second, out=second)
        first[:] = _contract(tile.gap, G)

    # ------------------------------------------------------------------------------- start and limits
    def lower_bounds(self, layout: Layout, spread: FloatArray) -> FloatArray:
        inner = self.inner.lower_bounds(self._inner(layout), spread)
        return np.concatenate([inner, np.full(self.n_own, -np.inf)])

    def chart(self, layout: Layout) -> Chart:
        if not self.n_own:
            return self.inner.chart(layout)
        n = layout.size
        return Chart(np.eye(n), np.zeros(n), n - 1, float(np.log(self.least)), self.limit)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(self._inner(layout), block, resp, schema)


@lru_cache(maxsize=64)
def uniform_draws(n_draws: int, n_experts: int, seed: int) -> FloatArray:
    """Points (n_draws, n_experts) inside the unit cube, evenly spread."""
    points: FloatArray = scipy.stats.qmc.Sobol(n_experts, seed=np.random.default_rng(seed)).random(n_draws)
    inside: FloatArray = np.clip(points, 1e-12, 1.0 - 1e-12)
    inside.setflags(write=False)
    return inside


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _contract(weights: FloatArray, G: FloatArray) -> FloatArray:
    """sum_k weights_k G_k, (K + p, B)."""
    found: FloatArray = np.einsum("kb,klb->lb", weights, G)
    return found


@jit
def less_products(weights: FloatArray, G: FloatArray, S: FloatArray) -> None:
    """Take sum_k weights_k G_k G_k' off the lower entries S of a symmetric matrix."""
    at = 0
    for i in range(G.shape[1]):
        for l in range(i + 1):
            s = S[at]
            for k in range(G.shape[0]):
                w, g, h = weights[k], G[k, i], G[k, l]
                for j in range(s.size):
                    s[j] -= w[j] * g[j] * h[j]
            at += 1

"""Score of a gate's part of Q and minus its Hessian, summed over tiles: what an M-step of the gate needs.

A gate shares out the weight w of a row, so that its part of Q is sum_k R_k log pi_k with sum_k R_k = w. Its
information is a sum over rows of

    w (sum_k pi_k u_k u_k' - U U') - sum_k (R_k - w pi_k) d2 h_k,    u_k = d h_k,  U = sum_k pi_k u_k,

and its score is sum_k (R_k - w pi_k) u_k. They are had together, in one of four ways. `General` forms the Jacobian.
`Pairs`, for logits that are linear in known features, and `Predicted`, for those that depend on linear predictors of
common features, multiply weights by products of features. A gate made of gates adds up the informations of its parts,
of which each shares out a weight of its own.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

import numpy as np

from moestat.buffers import Buffers
from moestat.component import Gate
from moestat.data import Block
from moestat.kernels import information
from moestat.kernels.linear import add_weighted_products, contract, pull_linear
from moestat.totals import Additive, Total, lower_index, symmetric, up4
from moestat.typing import FloatArray, IntArray


class Division(NamedTuple):
    """How one block's rows are shared out: logits and weights (K, B), what there is to share, and what is missing.

    ``mass`` (B,) is w, ``gap`` (K, B) is R - w pi. Both are of a part of a gate when the gate is made of parts.
    """

    block: Block
    logits: FloatArray
    share: FloatArray
    mass: FloatArray
    gap: FloatArray
    buffers: Buffers


class Forms(NamedTuple):
    """Q as a function of linear predictors: where its second derivatives go.

    ``features`` (q, B) of a block are those of every predictor. ``positions`` (m, q) are the flat positions of the
    predictors' coefficients, -1 where one has none. In the predictors, the information of a row is a sum over n
    weights times ``matrices`` (n, m, m).
    """

    positions: IntArray
    matrices: FloatArray


class GateInformation(Protocol):
    """A sum over tiles that ends in a vector (P,) and a matrix (P, P)."""

    def add(self, tile: Division) -> None:
        """Add one tile's contribution."""

    def merge(self, later: Self) -> None:
        """Add those of another one of the same gate and parameters, whose tiles follow."""

    @property
    def score(self) -> FloatArray:
        """Derivative of the gate's part of Q."""

    @property
    def matrix(self) -> FloatArray:
        """Minus its Hessian."""


def information_of(gate: Gate, columns: IntArray, theta: FloatArray) -> GateInformation:
    """The cheapest way there is for a bound gate, with parameters theta (P,) at these columns (K, q)."""
    own = gate.information(columns, theta)
    if own is not None:
        return own
    if gate.known_features:
        return Pairs(gate, columns, theta)
    forms = gate.forms(columns)
    return General(gate, columns, theta) if forms is None else Predicted(gate, columns, theta, forms)


class General(Additive):
    """For any gate, by its Jacobian."""

    def __init__(self, gate: Gate, columns: IntArray, theta: FloatArray) -> None:
        self._gate, self._columns, self._local, self._size = gate, columns, theta[columns], theta.size
        K, q = columns.shape
        self._total = Total((K, q), (up4(theta.size),) * 2, (K, up4(q), up4(q)), (K, q, q))

    def add(self, tile: Division) -> None:
        gate, B, buffers = self._gate, tile.mass.size, tile.buffers
        score, mean, products, curvature = self._total.parts
        K, q = self._local.shape
        J, J_rows = buffers.jacobian("gate_jac", 1 if gate.known_features else K, q, B)
        gate.jac_and_curv(self._local, tile.block, tile.logits, tile.gap, J, curvature)
        contract(tile.gap, J, score)
        U = buffers.get("gate_mean", mean.shape[0], B)
        W = buffers.get("gate_local", products.shape[1], B)
        information.add_weighted_outer(self._columns, tile.share, tile.mass, J_rows, U, W, mean, products)
        self._total.take()

    @property
    def score(self) -> FloatArray:
        return _gathered(self._columns, self._total.values[0], self._size)

    @property
    def matrix(self) -> FloatArray:
        n, q = self._size, self._local.shape[1]
        _, mean, products, curvature = self._total.values
        out = -symmetric(mean)[:n, :n]
        local = symmetric(products)[:, :q, :q] - curvature
        np.add.at(out, (self._columns[:, :, None], self._columns[:, None, :]), local)
        return out


class Pairs(Additive):
    """For logits that are linear in known features: one product of pair weights and features."""

    def __init__(self, gate: Gate, columns: IntArray, theta: FloatArray) -> None:
        self._gate, self._columns, self._size = gate, columns, theta.size
        K, q = columns.shape
        self._total = Total((K, q), (up4(K * (K - 1) // 2), up4(q * (q + 1) // 2)))

    def add(self, tile: Division) -> None:
        F, (score, out) = self._gate.features(tile.block), self._total.parts
        pull_linear(tile.gap, F, score)
        information.add_feature_products(tile.gap, tile.share, tile.mass, F, False, True, out)
        self._total.take()

    @property
    def score(self) -> FloatArray:
        return _gathered(self._columns, self._total.values[0], self._size)

    @property
    def matrix(self) -> FloatArray:
        return of_pairs(self._columns, self._total.values[1], self._size)


class Predicted(Additive):
    """For logits that depend on linear predictors: one product of the gate's own weights and features."""

    def __init__(self, gate: Gate, columns: IntArray, theta: FloatArray, forms: Forms) -> None:
        self._gate, self._local, self._size, self._forms = gate, theta[columns], theta.size, forms
        m, q = forms.positions.shape
        self._total = Total((m, q), (up4(len(forms.matrices)), up4(q * (q + 1) // 2)))

    def add(self, tile: Division) -> None:
        (score, out), F, B = self._total.parts, self._gate.form_features(tile.block), tile.mass.size
        first = tile.buffers.get("slopes", len(score), B)
        second = tile.buffers.get("bends", len(self._forms.matrices), B)
        self._gate.form_weights(self._local, tile, first, second)
        pull_linear(first, F, score)
        add_weighted_products(second, F, out)
        self._total.take()

    @property
    def score(self) -> FloatArray:
        # coefficients that are not there go to the last row
        return _gathered(self._forms.positions, self._total.values[0], self._size + 1)[:-1]

    @property
    def matrix(self) -> FloatArray:
        forms, (_, sums) = self._forms, self._total.values
        products = sums[: len(forms.matrices)][:, lower_index(forms.positions.shape[1])]
        out = np.zeros((self._size + 1,) * 2)
        at = forms.positions[:, None, :, None], forms.positions[None, :, None, :]
        np.add.at(out, at, np.tensordot(forms.matrices, products, axes=(0, 0)))
        return out[:-1, :-1]


def _gathered(columns: IntArray, local: FloatArray, size: int) -> FloatArray:
    """Flat vector of local parts (K, q)."""
    out = np.zeros(size)
    np.add.at(out, columns, local)
    return out


def lower_forms(m: int) -> FloatArray:
    """Matrices (n, m, m) for weights that are the entries of a symmetric matrix: (0,0), (1,0), (1,1), (2,0), ..."""
    i, j = np.tril_indices(m)
    out = np.zeros((i.size, m, m))
    out[np.arange(i.size), i, j] = out[np.arange(i.size), j, i] = 1.0
    return out


def of_pairs(columns: IntArray, pairs: FloatArray, size: int) -> FloatArray:
    """Information (P, P) from its off-diagonal blocks; see `kernels.information.add_feature_products`."""
    K, q = columns.shape
    below = np.zeros((K, K, q, q))
    below[np.tril_indices(K, -1)] = pairs[: K * (K - 1) // 2][:, lower_index(q)]
    blocks = below + below.transpose(1, 0, 2, 3)
    blocks[np.arange(K), np.arange(K)] = -blocks.sum(axis=1)
    out = np.zeros((size, size))
    np.add.at(out, (columns[:, None, :, None], columns[None, :, None, :]), blocks)
    return out

"""Weights that are sparse by themselves: what sparsemax and entmax share.

    pi(x) = argmax_p  p't(x) + H_alpha(p),    H_alpha(p) = (1 - sum_k p_k^alpha) / (alpha (alpha - 1))

over the simplex, with the logits t of any inner gate as scores and Tsallis' entropy H_alpha, Shannon's in the limit
alpha = 1 (Peters, Niculae and Martins 2019, eq. (10)). For alpha > 1

    pi_k = [(alpha - 1) t_k - tau]_+^(1 / (alpha - 1)),    tau such that they sum to one,

and experts whose score is too far below the others' have weight zero. A number added to all scores of a row changes
nothing, so whatever moves the inner gate's parameters without effect on its own weights has none on these. A factor
on all scores is something else than a power of the weights: a temperature round such a gate has no ray.

Logits are log pi. Their derivatives are infinite at the edge of the support, and meet with weights that vanish there:
`moestat.kernels.entmax` adds up their products.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from moestat.component import Dilation, Dims, Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gate_information import Division, Forms
from moestat.gates.nested import SOFTMAX, add_jacobian, check_inner, curved, is_number, pulled
from moestat.gates.translated import log_mass
from moestat.gates.wrapper import Wrapper, forms_over_softmax
from moestat.kernels import entmax
from moestat.params import POSITIVE, Layout, axes, layout_of, parameters, part, shared_columns
from moestat.typing import FloatArray, IntArray

#: alpha that a search begins with, where it is estimated
START_ALPHA = 1.5


@parameters
class EntmaxParams:
    """The inner gate's record and the excess alpha - 1."""

    inner: Any = part()
    excess: FloatArray = axes(support=POSITIVE, label="excess")


@dataclass(frozen=True)
class Tsallis(Wrapper):
    """Weights argmax_p p't + H_alpha(p) of an inner gate's logits t.

    The level tau ties every weight to every score, so each row of ``columns`` lists all parameters.
    """

    inner: Gate = SOFTMAX
    # of the bound gate
    places: IntArray | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)

    @property
    @abstractmethod
    def held(self) -> float | None:
        """alpha, or None where it is a parameter."""

    @property
    def n_own(self) -> int:
        return int(self.held is None)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        # below two a weight leaves the support with slope zero
        return self.inner.smooth and self.held is not None and self.held < 2.0

    @property
    def tells_ties(self) -> bool:
        return False  # experts come and go at weight zero as well

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        inner = self.inner.layout(dims)
        return layout_of(EntmaxParams, {}, inner=inner) if self.n_own else inner

    def columns(self, layout: Layout) -> IntArray:
        return shared_columns(len(self.inner.columns(self._inner(layout))), np.arange(layout.size))

    def bind(self, layout: Layout) -> Self:
        inner = self._inner(layout)
        return replace(self, inner=self.inner.bind(inner), places=self.inner.columns(inner))

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout) if self.held == 1.0 else None

    # ------------------------------------------------------------------------------- logits
    def _beta(self, local: FloatArray) -> float:
        """alpha - 1, within what double precision can tell from its limits."""
        return float(np.exp(np.clip(local[0, -1], -40.0, 40.0))) if self.held is None else self.held - 1.0

    def _scores(self, local: FloatArray, block: Block) -> tuple[IntArray, FloatArray, FloatArray]:
        """The inner gate's columns, local parameters and logits."""
        assert self.places is not None
        inner = local[0, self.places]
        T = np.empty((len(inner), block.weight.size))
        self.inner.value(inner, block, T)
        return self.places, inner, T

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, _, T = self._scores(local, block)
        entmax.log_weights(T, self._beta(local), out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        places, inner, T = self._scores(local, block)
        beta = self._beta(local)
        out[:] = 0.0
        add_jacobian(self.inner, places, inner, block, T, out)
        if self.n_own:
            out[:, -1] = beta * self._in_beta(value, beta)[0]
        inverse, share = np.empty((2, *value.shape))
        entmax.slopes(value, beta, inverse, share)
        entmax.centred(share, inverse, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # booked on the first expert, here and below: all have the same columns
        places, inner, T = self._scores(local, block)
        beta, w = self._beta(local), np.empty_like(value)
        entmax.pulled_back(value, beta, weights, w)
        np.add.at(out[0], places, pulled(self.inner, inner, block, T, w))
        if self.n_own:
            out[0, -1] += beta * (w * self._in_beta(value, beta)[0]).sum()

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.jac_and_curv(local, block, value, weights, np.empty((*local.shape, block.weight.size)), out)

    def jac_and_curv(
        self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, J: FloatArray, out: FloatArray
    ) -> None:
        places, inner, T = self._scores(local, block)
        beta, target = self._beta(local), out[0]
        self.jac(local, block, value, J)
        w, square, cross = np.empty((3, *value.shape))
        entmax.pulled_back(value, beta, weights, w)
        entmax.bends(value, beta, weights, w, square, cross)
        for each, own in zip(square, J, strict=True):
            target += (each * own) @ own.T
        bend = curved(self.inner, inner, block, T, w)
        for columns, own in zip(places, bend, strict=True):
            np.add.at(target, (columns[:, None], columns[None, :]), own)
        if self.n_own:
            first, second = self._in_beta(value, beta)
            turn = beta * sum(own @ each for own, each in zip(J, cross, strict=True))
            target[-1] += turn
            target[:, -1] += turn
            target[-1, -1] += beta**2 * (w * second).sum() + beta * (w * first).sum()

    def forms(self, columns: IntArray) -> Forms | None:
        return forms_over_softmax(self, columns)

    def form_features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def form_weights(self, local: FloatArray, tile: Division, first: FloatArray, second: FloatArray) -> None:
        beta, free = self._beta(local), bool(self.n_own)
        entmax.form_weights(tile.logits, beta, tile.share, tile.mass, tile.gap, free, first, second)

    @staticmethod
    def _in_beta(value: FloatArray, beta: float) -> tuple[FloatArray, FloatArray]:
        first, second = np.empty((2, *value.shape))
        entmax.in_beta(value, beta, first, second)
        return first, second

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """The inner gate's, for responsibilities so shared out that its constant scores have the true shares."""
        beta = (START_ALPHA if self.held is None else self.held) - 1.0
        mass, log_share = resp.sum(axis=1), log_mass(resp)
        scores = np.expm1(beta * log_share) / beta if beta else log_share
        tilted = np.exp(scores)
        tilted *= mass.sum() / tilted.sum()
        tilt = np.divide(tilted, mass, out=np.zeros_like(mass), where=mass > 0)
        inner = self.inner.start(self._inner(layout), block, resp * tilt[:, None], schema)
        return layout.build(inner=inner, excess=beta) if self.n_own else inner


def check_alpha(alpha: Any) -> None:
    """Refuse a held alpha that is not a number from one on."""
    if alpha is not None and not (is_number(alpha) and alpha >= 1):
        raise InputError(
            "alpha must be a finite number from 1 (softmax) on, 2 being sparsemax, or None to estimate it; "
            f"got {alpha!r}."
        )

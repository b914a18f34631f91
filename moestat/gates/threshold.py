"""Threshold gate: as many experts as a row needs.

    h_k(x) = u_k(x) if k is in A(x), else -inf          pi = softmax(h)

with the logits u of any inner gate. A(x) holds either the fewest experts whose weights softmax(u) reach a given mass
together, the largest first, or those whose logit is within a given margin of the largest. Where top-K has a fixed
number of experts, here rows on which the inner gate is sure have few and others have many (the rule of nucleus
sampling, Holtzman et al. 2020; of dynamic routing, Huang et al. 2024).

The likelihood jumps where the set changes: it has a maximum among the parameters of one pattern of sets, and ascent may
end at the edge of a pattern.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from moestat.component import Dilation, Dims, Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.nested import SOFTMAX, add_jacobian, check_inner, is_number, pulled
from moestat.gates.wrapper import Wrapper
from moestat.kernels import jit
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray

#: The mass to reach when nothing is said.
MASS = 0.9

#: A sum of weights that reaches the mass up to this, relatively, reaches it.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Threshold(Wrapper):
    """The inner gate with its leading experts only, as many as reach a mass or lie within a margin.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    mass : float, optional
        The smallest set of largest weights whose sum is at least this, in (0, 1]; 1 keeps all experts. Of equal
        weights those of lower index come first. 0.9 when neither this nor the margin is given.
    margin : float, optional
        Experts whose logit is at least the largest less this, which is not negative.

    Notes
    -----
    The log-likelihood is not continuous in the gate's parameters, and a maximum may lie at a jump, where the gradient
    is not zero and standard errors mean little. `Sparsemax` and `Entmax` switch experts off continuously.

    References
    ----------
    Holtzman, Buys, Du, Forbes and Choi (2020), The curious case of neural text degeneration, ICLR, arXiv 1904.09751.
    Huang et al. (2024), Harder tasks need more experts: dynamic routing in MoE models, ACL, arXiv 2403.07652.
    """

    inner: Gate = SOFTMAX
    mass: float | None = None
    margin: float | None = None

    name: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)
        if self.mass is not None and self.margin is not None:
            raise InputError(
                f"mass={self.mass!r} and margin={self.margin!r} are two rules for which experts stay; leave one out."
            )
        if self.mass is not None and not (is_number(self.mass) and 0 < self.mass <= 1):
            raise InputError(f"mass must be a number in (0, 1], where 1 keeps all experts; got {self.mass!r}.")
        if self.margin is not None and not (is_number(self.margin) and self.margin >= 0):
            raise InputError(
                f"margin must be a number from 0 on, a difference of logits; got {self.margin!r}. With 0 only the "
                "leading expert stays, and its equals."
            )

    @property
    def _mass(self) -> float:
        return MASS if self.mass is None else self.mass

    @property
    def _is_dense(self) -> bool:
        return self.margin is None and self._mass == 1.0

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return self._is_dense and self.inner.continuous

    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.inner.known_features

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        return self.inner.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.inner.columns(layout)

    def bind(self, layout: Layout) -> Threshold:
        return replace(self, inner=self.inner.bind(layout))

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout) if self._is_dense else None

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.inner.value(local, block, out)
        if self.margin is not None:
            _keep_within(out, self.margin)
        elif not self._is_dense:
            _keep_mass(out, self._mass * (1.0 - ROUNDING))

    def features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.inner.jac(local, block, self._unmasked(local, block, value), out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.pull(local, block, self._unmasked(local, block, value), weights, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.curv(local, block, self._unmasked(local, block, value), weights, out)

    def _unmasked(self, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
        """The inner gate's logits; one that is linear in its parameters does not look at them."""
        if self.inner.known_features:
            return value
        out = np.empty_like(value)
        self.inner.value(local, block, out)
        return out

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """One scoring step of the dense inner gate from its own start.

        Constant scores would rank the experts alike in all rows, and leave the last ones without any.
        """
        start = self.inner.start(layout, block, resp, schema)
        if self._is_dense:
            return start
        theta = layout.pack(start)
        return layout.unpack(theta + _scoring_step(self.inner.bind(layout), layout, theta, block, resp))


def _scoring_step(gate: Gate, layout: Layout, theta: FloatArray, block: Block, resp: FloatArray) -> FloatArray:
    """Fisher scoring on sum resp log softmax(h), of least length where it is not identified."""
    columns = gate.columns(layout)
    local, value = theta[columns], np.empty(resp.shape)
    gate.value(local, block, value)
    pi = softmax(value, axis=0)
    expected = resp.sum(axis=0) * pi
    score, J = np.zeros(theta.size), np.zeros((len(resp), theta.size, block.weight.size))
    np.add.at(score, columns, pulled(gate, local, block, value, resp - expected))
    add_jacobian(gate, columns, local, block, value, J)
    J -= (pi[:, None] * J).sum(axis=0)
    information = sum((weight * own) @ own.T for weight, own in zip(expected, J, strict=True))
    step: FloatArray = np.linalg.lstsq(information, score, rcond=1e-10)[0]
    return step


# --------------------------------------------------------------------------------------- kernels


@jit
def _keep_within(H: FloatArray, margin: float) -> None:
    """Logits (K, B) that are below a row's largest by more than the margin become -inf."""
    K, B = H.shape
    for j in range(B):
        top = H[0, j]
        for k in range(1, K):
            top = max(top, H[k, j])
        for k in range(K):
            if H[k, j] < top - margin:
                H[k, j] = -np.inf


@jit
def _keep_mass(H: FloatArray, mass: float) -> None:
    """The same beyond the largest weights whose sum reaches the mass."""
    K, B = H.shape
    order = np.empty(K, np.int64)
    weight = np.empty(K)
    for j in range(B):
        for k in range(K):  # by insertion, equals in their order
            at = k
            while at > 0 and H[order[at - 1], j] < H[k, j]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = k
        total = 0.0
        for i in range(K):
            weight[i] = np.exp(H[order[i], j] - H[order[0], j])
            total += weight[i]
        reached = 0.0
        for i in range(K):
            if reached >= mass * total:
                H[order[i], j] = -np.inf
            reached += weight[i]

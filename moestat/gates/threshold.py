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

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from moestat.component import Dilation, Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.masked import Masked
from moestat.gates.nested import SOFTMAX, add_jacobian, check_inner, is_number, jacobian, pulled
from moestat.gates.topk import TopK
from moestat.kernels import jit
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray

#: The mass to reach when nothing is said.
MASS = 0.9

#: A sum of weights that reaches the mass up to this, relatively, reaches it.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Threshold(Masked):
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

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout) if self._is_dense else None

    # ------------------------------------------------------------------------------- one expert alone
    def leaves_one(self, n_experts: int) -> bool:
        """Whether the leading expert alone has each row, but for equals: its weight among all is at least 1/K."""
        return self.margin == 0 or (self.margin is None and self._mass * n_experts <= 1.0)

    @property
    def leader(self) -> TopK:
        """The gate that it is there."""
        return TopK(self.inner, n_active=1)

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        return self.leader.relaxations(n_experts) if self.leaves_one(n_experts) else super().relaxations(n_experts)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        one = self.leaves_one(len(self.inner.columns(layout)))
        return self.leader.canonical(layout, theta) if one else super().canonical(layout, theta)

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        one = self.leaves_one(len(self.inner.columns(layout)))
        return self.leader.invariances(layout, theta) if one else super().invariances(layout, theta)

    # ------------------------------------------------------------------------------- the mask
    def mask(self, local: FloatArray, block: Block, value: FloatArray) -> None:
        if self.margin is not None:
            _keep_within(value, self.margin)
        elif not self._is_dense:
            _keep_mass(value, self._mass * (1.0 - ROUNDING))

    # ------------------------------------------------------------------------------- ties
    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        if self.leaves_one(len(local)):
            return self.leader.closest(local, block)
        U = np.empty((len(local), block.weight.size))
        self.inner.value(local, block, U)
        order = np.argsort(-U, axis=0, kind="stable")
        ranked = np.take_along_axis(U, order, axis=0)
        if self.margin is not None:
            count = (ranked[0] - ranked <= self.margin).sum(axis=0)
            leaves, comes = self.margin - (ranked[0] - ranked), ranked[0] - ranked - self.margin
            swaps = np.full_like(ranked, np.inf)
        else:
            before = np.cumsum(softmax(ranked, axis=0), axis=0) - softmax(ranked, axis=0)
            count = (before < self._mass * (1.0 - ROUNDING)).sum(axis=0)
            leaves, comes = self._mass - before, before - self._mass
            swaps = np.vstack([-np.diff(ranked, axis=0), np.full_like(ranked[:1], np.inf)])
        return _nearest(order, count, leaves, comes, swaps)

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        U = np.empty((len(local), 1))
        self.inner.value(local, block, U)
        u, slope = U[:, 0], np.zeros(len(local))
        if on >= 0 and off >= 0:
            slope[on], slope[off] = 1.0, -1.0
            return float(u[on] - u[off]), self._along(local, block, U, slope)
        expert, sign = (on, 1.0) if on >= 0 else (off, -1.0)
        if self.margin is not None:
            slope[expert] += sign
            slope[u.argmax()] -= sign
            return sign * float(self.margin + u[expert] - u.max()), self._along(local, block, U, slope)
        share = softmax(u)
        ahead = (u > u[expert]) | ((u == u[expert]) & (np.arange(u.size) < expert))
        before = float(share[ahead].sum())
        slope[:] = sign * share * (before - ahead)
        return sign * (self._mass - before), self._along(local, block, U, slope)

    def _along(self, local: FloatArray, block: Block, U: FloatArray, slope: FloatArray) -> FloatArray:
        """Derivative (K, q) of what has this slope (K,) in the logits of one row."""
        J = np.broadcast_to(jacobian(self.inner, local, block, U), (*local.shape, 1))[:, :, 0]
        return slope[:, None] * J

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """One scoring step of the dense inner gate from its own start.

        Constant scores would rank the experts alike in all rows, and leave the last ones without any.
        """
        if self.leaves_one(len(resp)):
            return self.leader.start(layout, block, resp, schema)
        start = self.inner.start(layout, block, resp, schema)
        if self._is_dense:
            return start
        theta = layout.pack(start)
        return layout.unpack(theta + _scoring_step(self.inner.bind(layout), layout, theta, block, resp))


def _nearest(
    order: IntArray, count: IntArray, leaves: FloatArray, comes: FloatArray, swaps: FloatArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """The smallest margin of each row: of its last expert to leave, of the next to come, or of the two to change."""
    K, row = len(order), np.arange(count.size)
    last, following = count - 1, np.minimum(count, K - 1)
    full = count == K
    margins = np.stack(
        [
            np.where(last > 0, leaves[last, row], np.inf),  # the first never leaves
            np.where(full, np.inf, comes[following, row]),
            np.where(full, np.inf, swaps[last, row]),
        ]
    )
    kind = margins.argmin(axis=0)
    on, off = order[last, row], order[following, row]
    return margins.min(axis=0), np.where(kind == 1, -1, on), np.where(kind == 0, -1, off)


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

"""Top-K gate: only the experts with the largest logits share a row.

    h_k(x) = u_k(x) if u_k(x) is among the n_active largest, else -infinity        pi = softmax(h)

round the logits u of any inner gate [Shazeer et al. 2017, sec. 2.1; Nguyen, Akbarian and Ho 2024, arXiv 2309.13850].
Ties go to the expert with the lower number. The ranking may leave out the intercepts, as in the second of these
papers: with ``rank_on="score"`` u is ranked without them, and they come in afterwards.

With all experts active it is the inner gate. Where the ranking changes, weights jump, and the likelihood with them: it
is a smooth function on each of very many small regions of the parameters, on which every row keeps its experts, and
its maximum mostly lies on the border of one, at a switching tie.

With one active expert the weights are zero or one. The likelihood then knows the gate by its switching surface alone,
moves of which that reach no row change nothing; slopes and intercepts have neither a score nor standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import null_space

from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.discriminants import discriminants
from moestat.gates.masked import Masked
from moestat.gates.nested import SOFTMAX, check_inner, jacobian
from moestat.kernels import jit
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray

#: What may be ranked.
RANKED = ("logit", "score")

#: What the flat directions of a gate with one active expert are called.
SURFACE = "moves of the gate that take its switching surface past no row"


@dataclass(frozen=True)
class TopK(Masked):
    """Weights of an inner gate, shared out among the experts with the largest logits alone.

    Parameters
    ----------
    inner : Gate
        A gate with a conditional law of its own.
    n_active : int, optional
        How many experts share a row; 2 when left out, or 1 where there is but one.
    rank_on : {"logit", "score"}
        What is ranked: the logits, or the logits without their intercepts.

    References
    ----------
    Shazeer et al. (2017), Outrageously large neural networks: the sparsely-gated mixture-of-experts layer,
    arXiv 1701.06538.
    Nguyen, Akbarian, Yan and Ho (2024), Statistical perspective of top-K sparse softmax gating mixture of experts,
    arXiv 2309.13850.
    """

    inner: Gate = SOFTMAX
    n_active: int | None = None
    rank_on: str = "logit"
    # of the bound gate: the local columns of intercepts, where these are left out of the ranking
    intercepts: IntArray | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str] = "topk"

    def __post_init__(self) -> None:
        check_inner(self.name, "inner", self.inner)
        check_active(self.n_active)
        if self.rank_on not in RANKED:
            raise InputError(
                f"rank_on must be 'logit' or 'score' (the logit without its intercept); got {self.rank_on!r}."
            )

    def active(self, n_experts: int) -> int:
        """Number of experts that share a row."""
        return active_of(self.n_active, n_experts)

    def layout(self, dims: Dims) -> Layout:
        self.active(dims.n_experts)
        layout = self.inner.layout(dims)
        if self.rank_on == "score":
            self._intercepts(layout)
        return layout

    def bind(self, layout: Layout) -> TopK:
        columns = self._intercepts(layout) if self.rank_on == "score" else None
        return replace(self, inner=self.inner.bind(layout), intercepts=columns)

    def _intercepts(self, layout: Layout) -> IntArray:
        """Local columns that hold intercepts."""
        named = [(slot, at) for path, slot, at in layout.leaves() if path.split(".")[-1] == "intercepts"]
        if not named:
            raise InputError(
                f"rank_on='score' leaves the intercepts out of the ranking, and the {self.inner.name} gate has none. "
                "Use rank_on='logit'."
            )
        flat = np.concatenate([np.arange(at, at + slot.size) for slot, at in named])
        columns = self.inner.columns(layout)
        return np.flatnonzero(np.isin(columns, flat).all(axis=0))

    # ------------------------------------------------------------------------------- covariates
    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.inner.mixable and self.rank_on == "logit"

    def predictors(self, layout: Layout) -> IntArray:
        return super().predictors(layout) if self.mixable else np.zeros((0, 0), dtype=np.int64)

    def coordinates(self, moments: Affine) -> Affine:
        allowed = self.inner.coordinates(moments)
        # a shift of the covariates moves slopes into the intercepts, which scores leave out
        return allowed if self.rank_on == "logit" else allowed.without_location()

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        if self.rank_on == "score":  # for the same reason, none with a constant
            relations = null_space(relations[:, :1].T).T @ relations
        return super().null_directions(layout, relations)

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """Linear discriminants where the inner gate has linear logits: it need not split the rows at its own start."""
        record = self.inner.start(layout, block, resp, schema)
        if not self.inner.known_features:
            return record
        theta = layout.pack(record)
        theta[self.inner.columns(layout)] = discriminants(self.inner.features(block), resp)
        return layout.unpack(theta)

    # ------------------------------------------------------------------------------- the mask
    def mask(self, local: FloatArray, block: Block, value: FloatArray) -> None:
        n = self.active(len(value))
        if n == len(value):
            return
        _keep_largest(value.copy() if self.intercepts is None else self._scores(local, block), n, value)

    def _scores(self, local: FloatArray, block: Block) -> FloatArray:
        """What is ranked (K, B)."""
        bare = local
        if self.intercepts is not None:
            bare = local.copy()
            bare[:, self.intercepts] = 0.0
        score = np.empty((len(local), block.weight.size))
        self.inner.value(bare, block, score)
        return score

    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        n, score = self.active(len(local)), self._scores(local, block)
        if n == len(local):
            nobody = np.zeros(block.weight.size, dtype=np.int64)
            return np.full(block.weight.size, np.inf), nobody, nobody
        kept = score.copy()
        _keep_largest(score, n, kept)
        on = np.isfinite(kept)
        lowest, highest = np.where(on, score, np.inf), np.where(on, -np.inf, score)
        leaves, comes = lowest.argmin(axis=0), highest.argmax(axis=0)
        return lowest.min(axis=0) - highest.max(axis=0), leaves, comes

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        score = self._scores(local, block)
        J = np.broadcast_to(jacobian(self.inner, local, block, score), (*local.shape, block.weight.size))[:, :, 0]
        slope = np.zeros(local.shape)
        slope[on], slope[off] = J[on], -J[off]
        if self.intercepts is not None:
            slope[:, self.intercepts] = 0.0
        return float(score[on, 0] - score[off, 0]), slope

    def ties(self, local: FloatArray, block: Block, within: float) -> list[tuple[int, int]]:
        score = self._scores(local, block)
        kept = score.copy()
        _keep_largest(score, self.active(len(local)), kept)
        on, off = np.isfinite(kept[:, 0]), ~np.isfinite(kept[:, 0])
        near = score - score.T <= within
        return [(int(k), int(l)) for k, l in np.argwhere(near & on[:, None] & off)]

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        """The inner gate, then ever fewer active experts."""
        stages, n = [self.inner], (n_experts + self.active(n_experts)) // 2
        while n > self.active(n_experts):
            stages.append(replace(self, n_active=n))
            n = (n + self.active(n_experts)) // 2
        return tuple(stages)

    # ------------------------------------------------------------------------------- what is not identified
    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout)

    def _by_surface(self, layout: Layout) -> bool:
        """Whether one expert alone has each row."""
        return self.active(len(self.inner.columns(layout))) == 1

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = self.inner.canonical(layout, theta)
        dilation = self.dilation(layout)
        size = float(np.abs(out).max(initial=0.0))
        if not self._by_surface(layout) or dilation is None or not dilation.scaled.all() or size == 0.0:
            return out
        return self.inner.canonical(layout, dilation.apply(out, -np.log(size)))  # the surface has no steepness

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        if not self._by_surface(layout):
            return self.inner.invariances(layout, theta)
        return np.eye(layout.size), (SURFACE,) * layout.size


def check_active(n: Any) -> None:
    """Refuse what is no number of experts."""
    if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
        raise InputError(f"n_active must be a whole number of at least 1, the experts that share a row; got {n!r}.")


def active_of(n_active: int | None, n_experts: int) -> int:
    """Number of experts that share a row, of so many."""
    if n_active is not None and n_active > n_experts:
        raise InputError(f"n_active must be at most n_experts={n_experts}; got {n_active}. Leave it out for two.")
    return min(2, n_experts) if n_active is None else int(n_active)


# --------------------------------------------------------------------------------------- kernels


@jit
def _keep_largest(score: FloatArray, n: int, value: FloatArray) -> None:
    """Minus infinity in value (K, B) where fewer than K - n of the column's scores are beaten; ties by number."""
    K, B = score.shape
    ahead = np.empty(B)
    for k in range(K):
        own = score[k]
        for j in range(B):
            ahead[j] = 0.0
        for l in range(K):
            other = score[l]
            if l < k:
                for j in range(B):
                    ahead[j] += 1.0 if other[j] >= own[j] else 0.0
            elif l > k:
                for j in range(B):
                    ahead[j] += 1.0 if other[j] > own[j] else 0.0
        v = value[k]
        for j in range(B):
            v[j] = v[j] if ahead[j] < n else -np.inf

"""Gates and experts written against the contract in plain NumPy, as a user would write them.

Each is short and slow on purpose: whatever the passes compute for these, they compute for anything that keeps
the contract. Between them they use all of it: sharing, coupling, masks, nesting, padding, joint likelihoods.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp
from scipy.special import softmax as normalised_exp

from moestat.component import Component, Dilation, Dims, Expert, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, part, shared_columns
from moestat.typing import FloatArray, IntArray


# --------------------------------------------------------------------------------------- shared pieces
def jacobian(component: Component, local: FloatArray, block: Block, value: FloatArray) -> FloatArray:
    """J (K, q, B) of any component, also of one that writes a single row for all experts."""
    K, q = local.shape
    J = np.empty((1 if component.known_features else K, q, block.weight.size))
    component.jac(local, block, value, J)
    return np.broadcast_to(J, (K, q, block.weight.size))


def entry(layout: Layout, name: str) -> Layout:
    """Layout of a nested record."""
    nested = dict(layout.entries)[name]
    assert isinstance(nested, Layout)
    return nested


def log_mass(resp: FloatArray) -> FloatArray:
    """Logits (K,) of constant weights, from responsibilities."""
    mass = resp.sum(axis=1)
    return np.log(np.maximum(mass, 1e-3 * mass.mean()) / mass.sum())


class Translated(Gate):
    """A gate whose weights do not change when all parameters of a group move together."""

    @abstractmethod
    def groups(self, layout: Layout) -> dict[str, IntArray]:
        """Flat positions that may move together, and what they are in words."""

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        for group in self.groups(layout).values():
            out[group] -= theta[group[-1]]
        return out

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        groups = self.groups(layout)
        directions = np.zeros((len(groups), layout.size))
        for direction, group in zip(directions, groups.values(), strict=True):
            direction[group] = 1.0
        return directions, tuple(f"common shift of {name}" for name in groups)

    def pinned(self, layout: Layout) -> IntArray:
        return np.array([group[-1] for group in self.groups(layout).values()])


# --------------------------------------------------------------------------------------- own parameters
@parameters
class LaplaceParams:
    """centres c (K, e) and intercepts b (K,)."""

    centres: FloatArray = axes("expert", "feature")
    intercepts: FloatArray = axes("expert", label="const")


@dataclass(frozen=True)
class Laplace(Translated):
    """h_k = b_k - sqrt(|z - c_k|^2 + eps^2)."""

    smoothing: float = 0.1

    name: ClassVar[str] = "laplace"

    def layout(self, dims: Dims) -> Layout:
        return layout_of(LaplaceParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("centres"))

    def groups(self, layout: Layout) -> dict[str, IntArray]:
        return {"the gate's intercepts": layout.index("intercepts")}

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, distance = self._ray(local, block)
        out[:] = local[:, :1] - distance

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        out[:, 0] = 1.0
        out[:, 1:], _ = self._ray(local, block)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        ray, distance = self._ray(local, block)
        scaled = weights / distance
        out[:, 1:, 1:] += np.einsum("kb,kub,kvb->kuv", scaled, ray, ray)
        out[:, 1:, 1:] -= scaled.sum(axis=1)[:, None, None] * np.eye(len(block.Z) - 1)

    def _ray(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """(z - c_k) / distance (K, e, B) and the smoothed distance (K, B)."""
        gap = block.Z[1:] - local[:, 1:, None]
        distance = np.sqrt((gap**2).sum(axis=1) + self.smoothing**2)
        return gap / distance[:, None], distance

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> LaplaceParams:
        centres = (resp @ block.Z[1:].T) / resp.sum(axis=1, keepdims=True)
        return LaplaceParams(centres=centres, intercepts=log_mass(resp))


# --------------------------------------------------------------------------------------- coupled experts
@parameters
class EntmaxParams:
    """slopes (K, e) and intercepts (K,) of the scores."""

    slopes: FloatArray = axes("expert", "feature")
    intercepts: FloatArray = axes("expert", label="const")


@dataclass(frozen=True)
class Entmax(Translated):
    """Sparse weights pi_k = max(t_k / 2 - tau, 0)^2 of linear scores t, with tau such that they sum to one.

    tau ties every weight to every score, so each row of ``columns`` lists all parameters.
    """

    name: ClassVar[str] = "entmax"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        return layout_of(EntmaxParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        own = self.predictors(layout)
        return shared_columns(len(own), own)

    def predictors(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def groups(self, layout: Layout) -> dict[str, IntArray]:
        return {f"the scores' coefficient {u}": group for u, group in enumerate(self.predictors(layout).T)}

    def _roots(self, local: FloatArray, block: Block) -> FloatArray:
        """Square roots (K, B) of the weights; zero off the support."""
        half = 0.5 * local[0].reshape(len(local), -1) @ block.Z
        half -= half.max(axis=0)
        sorted_ = -np.sort(-half, axis=0)
        count = np.arange(1.0, len(half) + 1)[:, None]
        mean = np.cumsum(sorted_, axis=0) / count
        spread = np.cumsum(sorted_**2, axis=0) / count - mean**2
        tau = mean - np.sqrt(np.maximum(1.0 / count - spread, 0.0))  # if the support were the first ``count``
        size = (tau <= sorted_).sum(axis=0)
        return np.maximum(half - np.take_along_axis(tau, size[None] - 1, axis=0), 0.0)

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        with np.errstate(divide="ignore"):
            out[:] = 2.0 * np.log(self._roots(local, block))

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _, _, slope = self._slope(local, block)
        out[:] = np.einsum("klb,ub->klub", slope, block.Z).reshape(out.shape)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        on, share, slope = self._slope(local, block)
        roots = self._roots(local, block)
        inverse = on / np.where(on, roots, 1.0)
        # d share_l / d t_m, times the sum of the roots
        both = share[:, None] * share
        turn = on.sum(axis=0) * both - on[:, None] * share - share[:, None] * on
        turn[np.diag_indices(len(local))] += on
        turn /= 2.0 * roots.sum(axis=0)
        c = weights * on
        bend = -0.5 * np.einsum("kb,klb,kmb->klmb", c, slope, slope) - np.einsum("kb,lmb->klmb", c * inverse, turn)
        out += np.einsum("klmb,ub,vb->klumv", bend, block.Z, block.Z).reshape(out.shape)

    def _slope(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Support (K, B) as 0 and 1, 2 d tau / d t_l (K, B), d h_k / d t_l (K, K, B); 0 off the support."""
        roots = self._roots(local, block)
        on = (roots > 0).astype(float)
        share = roots / roots.sum(axis=0)
        slope = np.eye(len(local))[:, :, None] - share
        return on, share, slope * (on / np.where(on, roots, 1.0))[:, None]

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> EntmaxParams:
        # with constant scores 2 sqrt(pi), tau is zero
        return EntmaxParams(
            slopes=np.zeros(layout.index("slopes").shape), intercepts=2.0 * np.exp(0.5 * log_mass(resp))
        )

    def rescale(self, params: EntmaxParams, covariates: ColumnMap) -> EntmaxParams:
        return EntmaxParams(
            slopes=covariates.slopes(params.slopes),
            intercepts=params.intercepts + covariates.gain(params.slopes),
        )


# --------------------------------------------------------------------------------------- joint likelihood
@parameters
class JointGaussianParams:
    """log weights (K,) up to a constant, centres c (K, e) and variances v (K,)."""

    log_weights: FloatArray = axes("expert", label="log weight")
    centres: FloatArray = axes("expert", "feature")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True)
class JointGaussian(Translated):
    """h_k = log w_k + log N(z; c_k, v_k I) with weights w = softmax(log_weights): the law of (z, y) together.

    The weights sum to one over all experts, so each row of ``columns`` lists all log weights.
    """

    name: ClassVar[str] = "joint_gaussian"
    normalised: ClassVar[bool] = False

    def layout(self, dims: Dims) -> Layout:
        return layout_of(JointGaussianParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        log_weights = layout.index("log_weights")
        every = shared_columns(log_weights.size, log_weights)
        return own_columns(every, layout.index("centres"), layout.index("variances"))

    def groups(self, layout: Layout) -> dict[str, IntArray]:
        return {"the log weights": layout.index("log_weights")}

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        K, e = len(local), len(block.Z) - 1
        log_weights = local[0, :K] - logsumexp(local[0, :K])
        _, square, variance = self._standardised(local, block)
        out[:] = log_weights[:, None] - 0.5 * (e * np.log(2 * np.pi * variance) + square)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        K, e = len(local), len(block.Z) - 1
        pull, square, _ = self._standardised(local, block)
        out[:, :K] = (np.eye(K) - normalised_exp(local[0, :K]))[:, :, None]
        out[:, K:-1] = pull
        out[:, -1] = 0.5 * (square - e)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        K, e = len(local), len(block.Z) - 1
        pull, square, variance = self._standardised(local, block)
        total = weights.sum(axis=1)
        w = normalised_exp(local[0, :K])
        out[:, :K, :K] -= total[:, None, None] * (np.diag(w) - np.outer(w, w))
        out[:, K:-1, K:-1] -= (total / variance[:, 0])[:, None, None] * np.eye(e)
        cross = np.einsum("kb,kub->ku", weights, pull)
        out[:, K:-1, -1] -= cross
        out[:, -1, K:-1] -= cross
        out[:, -1, -1] -= 0.5 * (weights * square).sum(axis=1)

    def _standardised(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(z - c_k) / v_k (K, e, B), |z - c_k|^2 / v_k (K, B) and v_k (K, 1)."""
        K, variance = len(local), np.exp(local[:, -1:])
        gap = block.Z[1:] - local[:, K:-1, None]
        return gap / variance[:, None], (gap**2).sum(axis=1) / variance, variance

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> JointGaussianParams:
        mass = resp.sum(axis=1)
        centres = (resp @ block.Z[1:].T) / mass[:, None]
        square = ((block.Z[1:] - centres[:, :, None]) ** 2).mean(axis=1)
        return JointGaussianParams(
            log_weights=log_mass(resp), centres=centres, variances=(resp * square).sum(axis=1) / mass
        )


# --------------------------------------------------------------------------------------- gates round a gate
@parameters
class TemperatureParams:
    """The inner gate's record and one temperature for all experts."""

    inner: Any = part()
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")


@dataclass(frozen=True)
class Temperature(Gate):
    """h_k = inner_k / tau. Local parameters: those of the inner gate, then log tau, shared by all rows."""

    inner: Gate

    name: ClassVar[str] = "temperature"

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.inner.equivariant

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.inner.mixable

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        return self.inner.exchangeable

    def layout(self, dims: Dims) -> Layout:
        return layout_of(TemperatureParams, {}, inner=self.inner.layout(dims))

    def columns(self, layout: Layout) -> IntArray:
        inner = self.inner.columns(entry(layout, "inner")) + layout.start_of("inner")
        return own_columns(inner, shared_columns(len(inner), layout.index("temperature")))

    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(entry(layout, "inner")) + layout.start_of("inner")

    def bind(self, layout: Layout) -> Temperature:
        return replace(self, inner=self.inner.bind(entry(layout, "inner")))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        inner, tau = self._split(local)
        self.inner.value(inner, block, out)
        out /= tau

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        inner, tau = self._split(local)
        out[:, :-1] = jacobian(self.inner, inner, block, tau * value) / tau
        out[:, -1] = -np.where(np.isfinite(value), value, 0.0)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        inner, tau = self._split(local)
        own, slope = np.zeros((*inner.shape, inner.shape[1])), np.zeros(inner.shape)
        self.inner.curv(inner, block, tau * value, weights / tau, own)
        self.inner.pull(inner, block, tau * value, weights / tau, slope)
        out[:, :-1, :-1] += own
        out[:, :-1, -1] -= slope
        out[:, -1, :-1] -= slope
        out[:, -1, -1] += (weights * np.where(np.isfinite(value), value, 0.0)).sum(axis=1)

    @staticmethod
    def _split(local: FloatArray) -> tuple[FloatArray, float]:
        return np.ascontiguousarray(local[:, :-1]), float(np.exp(local[0, -1]))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> TemperatureParams:
        inner = self.inner.start(entry(layout, "inner"), block, resp, schema)
        return TemperatureParams(inner=inner, temperature=np.ones(()))

    @property
    def _ray(self) -> bool:
        """Logits that are linear in the parameters only show parameters / tau."""
        return self.inner.known_features

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        inner, log_tau = theta[:-1], theta[-1:]
        if self._ray:
            inner, log_tau = inner * np.exp(-log_tau), np.zeros(1)
        return np.concatenate([self.inner.canonical(entry(layout, "inner"), inner), log_tau])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        directions, names = self.inner.invariances(entry(layout, "inner"), theta[:-1])
        directions = np.pad(directions, ((0, 0), (0, 1)))
        if self._ray:
            ray = np.append(theta[:-1], 1.0)  # d/dt of (e^t inner, log tau + t)
            directions, names = (
                np.vstack([directions, ray]),
                (*names, "common scale of the logits and the temperature"),
            )
        return directions, names

    def pinned(self, layout: Layout) -> IntArray:
        inner = self.inner.pinned(entry(layout, "inner"))
        return np.append(inner, layout.index("temperature")) if self._ray else inner

    def rescale(self, params: TemperatureParams, covariates: ColumnMap) -> TemperatureParams:
        return replace(params, inner=self.inner.rescale(params.inner, covariates))


@dataclass(frozen=True)
class TopK(Gate):
    """The inner gate with only its ``n_active`` largest logits switched on; ties go to the lowest index."""

    inner: Gate
    n_active: int = 2

    name: ClassVar[str] = "topk"

    @property
    def known_features(self) -> bool:  # type: ignore[override]
        return self.inner.known_features

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return self.inner.equivariant

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return self.inner.mixable

    @property
    def exchangeable(self) -> bool:  # type: ignore[override]
        return self.inner.exchangeable

    def layout(self, dims: Dims) -> Layout:
        return self.inner.layout(dims)

    def columns(self, layout: Layout) -> IntArray:
        return self.inner.columns(layout)

    def predictors(self, layout: Layout) -> IntArray:
        return self.inner.predictors(layout)

    def bind(self, layout: Layout) -> TopK:
        return replace(self, inner=self.inner.bind(layout))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        self.inner.value(local, block, out)
        rank = np.argsort(np.argsort(-out, axis=0, kind="stable"), axis=0)
        out[rank >= self.n_active] = -np.inf

    def features(self, block: Block) -> FloatArray:
        return self.inner.features(block)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        self.inner.jac(local, block, self._unmasked(local, block), out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        self.inner.curv(local, block, self._unmasked(local, block), weights, out)

    def _unmasked(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        self.inner.value(local, block, out)
        return out

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        return self.inner.start(layout, block, resp, schema)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self.inner.canonical(layout, theta)

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        return self.inner.invariances(layout, theta)

    def pinned(self, layout: Layout) -> IntArray:
        return self.inner.pinned(layout)

    def dilation(self, layout: Layout) -> Dilation | None:
        return self.inner.dilation(layout)

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        return self.inner.rescale(params, covariates)


# --------------------------------------------------------------------------------------- gates of gates
@dataclass(frozen=True)
class Groups:
    """One record of the inner gate per group."""

    members: tuple[Any, ...]


@parameters
class HierarchicalParams:
    """The outer gate's record over the groups, and the inner gates' records, one per group."""

    outer: Any = part()
    inner: Any = part()


@dataclass(frozen=True)
class Branch:
    """One group as the bound gate sees it: its leaves, its inner gate, and that gate's columns and size."""

    leaves: slice
    gate: Gate
    columns: IntArray
    size: int


@dataclass(frozen=True)
class Hierarchical(Gate):
    """Weights outer_g(z) * inner_{k|g}(z) of experts in groups: h_k = outer_g + inner_k - LSE(inner of g).

    Local parameters of a leaf: its group's of the outer gate, then all parameters of its group's inner gate,
    then padding (derivative zero) up to the largest group.
    """

    outer: Gate
    inner: Gate
    groups: tuple[int, ...]
    outer_width: int = field(default=0, repr=False, compare=False)
    branches: tuple[Branch, ...] = field(default=(), repr=False, compare=False)

    name: ClassVar[str] = "hierarchical"
    exchangeable: ClassVar[bool] = False

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        if sum(self.groups) != dims.n_experts:
            raise InputError(f"groups must sum to n_experts={dims.n_experts}; got {self.groups}.")
        inner = Layout(
            lambda **members: Groups(tuple(members.values())),
            tuple((str(g), self.inner.layout(Dims(size, dims.n_features))) for g, size in enumerate(self.groups)),
        )
        outer = self.outer.layout(Dims(len(self.groups), dims.n_features))
        return layout_of(HierarchicalParams, {}, outer=outer, inner=inner)

    def columns(self, layout: Layout) -> IntArray:
        outer = self.outer.columns(entry(layout, "outer"))
        ranges = [np.arange(low, high) for low, high in self._spans(layout)[1:]]
        rows = [np.concatenate(pair) for pair in zip(outer, ranges, strict=True)]
        width = max(row.size for row in rows)
        padded = [np.pad(row, (0, width - row.size), mode="edge") for row in rows]
        return np.repeat(padded, self.groups, axis=0)

    def bind(self, layout: Layout) -> Hierarchical:
        outer, *inners = self._layouts(layout)
        stops = np.cumsum(self.groups)
        branches = tuple(
            Branch(slice(stop - size, stop), self.inner.bind(own), self.inner.columns(own), own.size)
            for stop, size, own in zip(stops, self.groups, inners, strict=True)
        )
        width = self.outer.columns(outer).shape[1]
        return replace(self, outer=self.outer.bind(outer), outer_width=width, branches=branches)

    def _layouts(self, layout: Layout) -> list[Layout]:
        """Layouts of the outer gate and of each group's inner gate, in the order of the flat vector."""
        inner = entry(layout, "inner")
        return [entry(layout, "outer"), *(entry(inner, str(g)) for g in range(len(self.groups)))]

    def _spans(self, layout: Layout) -> list[tuple[int, int]]:
        """Flat (start, stop) of the same."""
        stops = np.cumsum([own.size for own in self._layouts(layout)])
        return list(zip([0, *stops[:-1]], stops, strict=True))

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        outer = self._outer_value(local, block)
        for g, branch in enumerate(self.branches):
            _, inner = self._inner_value(branch, local, block)
            out[branch.leaves] = outer[g] + inner - logsumexp(inner, axis=0)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        width = self.outer_width
        outer = jacobian(self.outer, self._outer_local(local), block, self._outer_value(local, block))
        out[:] = 0.0
        for g, branch in enumerate(self.branches):
            flat, share = self._inner_jac(branch, local, block)
            out[branch.leaves, :width] = outer[g]
            out[branch.leaves, width : width + branch.size] = flat - np.einsum("lb,lub->ub", share, flat)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        for g, branch in enumerate(self.branches):
            for place, k in enumerate(range(branch.leaves.start, branch.leaves.stop)):
                self._add_outer_curv(g, local, block, weights[k], out[k])
                self._add_inner_curv(branch, place, local, block, weights[k], out[k])

    def _add_outer_curv(self, g: int, local: FloatArray, block: Block, c: FloatArray, out: FloatArray) -> None:
        own, width = self._outer_local(local), self.outer_width
        weights, bend = np.zeros((len(own), c.size)), np.zeros((len(own), width, width))
        weights[g] = c
        self.outer.curv(own, block, self._outer_value(local, block), weights, bend)
        out[:width, :width] += bend[g]

    def _add_inner_curv(
        self, branch: Branch, place: int, local: FloatArray, block: Block, c: FloatArray, out: FloatArray
    ) -> None:
        own, value = self._inner_value(branch, local, block)
        flat, share = self._inner_jac(branch, local, block)
        weights = -c * share
        weights[place] += c
        bend = np.zeros((*own.shape, own.shape[1]))
        branch.gate.curv(own, block, value, weights, bend)
        mine = slice(self.outer_width, self.outer_width + branch.size)
        target = out[mine, mine]
        np.add.at(target, (branch.columns[:, :, None], branch.columns[:, None, :]), bend)
        mean = np.einsum("lb,lub->ub", share, flat)
        target += np.einsum("b,ub,vb->uv", c, mean, mean) - np.einsum("lb,lub,lvb->uv", c * share, flat, flat)

    def _outer_local(self, local: FloatArray) -> FloatArray:
        first = [branch.leaves.start for branch in self.branches]
        return np.ascontiguousarray(local[first, : self.outer_width])

    def _outer_value(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(self.groups), block.weight.size))
        self.outer.value(self._outer_local(local), block, out)
        return out

    def _inner_value(self, branch: Branch, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """Local parameters and logits of one group's inner gate."""
        own = local[branch.leaves.start, self.outer_width + branch.columns]
        out = np.empty((len(own), block.weight.size))
        branch.gate.value(own, block, out)
        return own, out

    def _inner_jac(self, branch: Branch, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """Derivatives (leaves, size, B) in the group's flat vector, and the weights (leaves, B) within it."""
        own, value = self._inner_value(branch, local, block)
        flat = np.zeros((len(own), branch.size, block.weight.size))
        for target, columns, J in zip(flat, branch.columns, jacobian(branch.gate, own, block, value), strict=True):
            np.add.at(target, columns, J)
        return flat, normalised_exp(value, axis=0)

    # ------------------------------------------------------------------------------- the rest, part by part
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> HierarchicalParams:
        outer, *inners = self._layouts(layout)
        parts = np.split(resp, np.cumsum(self.groups)[:-1])
        totals = np.stack([part.sum(axis=0) for part in parts])
        members = (self.inner.start(own, block, part, schema) for own, part in zip(inners, parts, strict=True))
        return HierarchicalParams(outer=self.outer.start(outer, block, totals, schema), inner=Groups(tuple(members)))

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return np.concatenate([gate.canonical(own, theta[low:high]) for gate, own, low, high in self._parts(layout)])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        rows, names = [np.zeros((0, layout.size))], []
        for i, (gate, own, low, high) in enumerate(self._parts(layout)):
            directions, words = gate.invariances(own, theta[low:high])
            rows.append(np.pad(directions, ((0, 0), (low, layout.size - high))))
            names += [f"{word} ({f'group {i}' if i else 'groups'})" for word in words]
        return np.vstack(rows), tuple(names)

    def pinned(self, layout: Layout) -> IntArray:
        return np.concatenate([gate.pinned(own) + low for gate, own, low, _ in self._parts(layout)])

    def _parts(self, layout: Layout) -> list[tuple[Gate, Layout, int, int]]:
        gates = [self.outer, *[self.inner] * len(self.groups)]
        layouts, spans = self._layouts(layout), self._spans(layout)
        return [(gate, own, *span) for gate, own, span in zip(gates, layouts, spans, strict=True)]


# --------------------------------------------------------------------------------------- experts
@parameters
class BackgroundParams:
    """means m (K,) and variances v (K,)."""

    means: FloatArray = axes("expert", label="mean")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True)
class Background(Expert):
    """N(y; m_k, v_k), blind to covariates: fewer local parameters than a regression, so padded beside one."""

    name: ClassVar[str] = "background"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True  # it depends on no covariate at all
    scales_response: ClassVar[bool] = True

    def layout(self, dims: Dims) -> Layout:
        return layout_of(BackgroundParams, {"expert": dims.n_experts})

    def columns(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("means"), layout.index("variances"))

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, square = self._standardised(local, block)
        out[:] = -0.5 * (np.log(2 * np.pi) + local[:, 1:] + square)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        pull, square = self._standardised(local, block)
        out[:, 0] = pull
        out[:, 1] = 0.5 * (square - 1.0)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        pull, square = self._standardised(local, block)
        cross = (weights * pull).sum(axis=1)
        out[:, 0, 0] -= weights.sum(axis=1) * np.exp(-local[:, 1])
        out[:, 0, 1] -= cross
        out[:, 1, 0] -= cross
        out[:, 1, 1] -= 0.5 * (weights * square).sum(axis=1)

    @staticmethod
    def _standardised(local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """(y - m_k) / v_k and (y - m_k)^2 / v_k, (K, B)."""
        gap, variance = block.Y[0] - local[:, :1], np.exp(local[:, 1:])
        return gap / variance, gap**2 / variance

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> BackgroundParams:
        mass = resp.sum(axis=1)
        means = resp @ block.Y[0] / mass
        return BackgroundParams(means=means, variances=(resp * (block.Y[0] - means[:, None]) ** 2).sum(axis=1) / mass)

    def rescale(self, params: BackgroundParams, covariates: ColumnMap, response: Affine) -> BackgroundParams:
        return BackgroundParams(
            means=(params.means - response.location[0]) / response.scale[0],
            variances=params.variances / response.scale[0] ** 2,
        )

    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.repeat(local[:, :1], block.weight.size, axis=1)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.zeros((*local.shape, block.weight.size))
        out[:, 0] = 1.0
        return out

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        return (local[chosen, 0] + np.exp(0.5 * local[chosen, 1]) * rng.standard_normal(chosen.size))[None]

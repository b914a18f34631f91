"""Hierarchical gate: experts in groups, a gate over the groups and a gate within each.

    pi_k(x) = omega_g(x) rho_{k|g}(x),    h_k = u_g + v_k - log sum_{l in g} exp(v_l)        for expert k of group g

with logits u of the outer gate, one per group, and v of the group's inner gate. Either may be of any kind, also
hierarchical itself, so that trees of any depth can be written: softmax-softmax is the model of Jordan and Jacobs
(1994); softmax-Laplace and Laplace-Laplace are those of Nguyen et al. (2024, arXiv 2410.02935). The outer
gate's own normaliser is common to all experts and cancels. A group of one expert has no inner gate, and a single
group no outer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gate_information import Division, GateInformation, information_of
from moestat.gates.constant import Constant, GivenWeightsParams
from moestat.gates.nested import SOFTMAX, check_inner, curved, jacobian, pulled
from moestat.kernels import jit, vexp, vlog
from moestat.kernels.linear import weighted_gram
from moestat.params import Layout, layout_of, parameters, part
from moestat.typing import FloatArray, IntArray

#: The gate of one expert: it has no parameters.
ALONE = Constant(weights=(1.0,))


@dataclass(frozen=True)
class GroupParams:
    """One record per group, of its inner gate."""

    members: tuple[Any, ...]


@parameters
class HierarchicalParams:
    """The outer gate's record over the groups, and the records of the groups' own gates."""

    outer: Any = part()
    group: Any = part()


@dataclass(frozen=True)
class GroupedLayout(Layout):
    """A layout that knows the sizes of the groups."""

    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    """The outer gate, or a group's inner one: its layout, its place in the flat vector, and its experts."""

    gate: Gate
    layout: Layout
    place: slice
    experts: slice


@dataclass(frozen=True, eq=False)
class Branch:
    """The outer gate, or a group's inner one, as the bound gate sees it: the bound gate, its place and its experts.

    ``own`` (n, q) are the columns of its parameters among themselves, ``columns`` those among an expert's local ones.
    """

    gate: Gate
    place: slice
    experts: slice
    own: IntArray
    columns: IntArray

    @staticmethod
    def of(one: Part, first: int) -> Branch:
        """Of a part whose parameters begin at ``first`` among an expert's local ones."""
        own = one.gate.columns(one.layout)
        return Branch(one.gate.bind(one.layout), one.place, one.experts, own, first + own)


@dataclass(frozen=True)
class Hierarchical(Gate):
    """Weights of groups times weights within groups.

    Parameters
    ----------
    outer : Gate
        Gate over the groups. ``Constant(weights=(0.5, 0.5))`` holds the groups' weights.
    inner : Gate or tuple of Gate
        Gate within each group: one kind for all groups, or one gate per group. May be hierarchical.
    groups : tuple of int, optional
        Number of experts in each group, in the order of the experts; two groups of nearly equal size when left out.

    References
    ----------
    Jordan and Jacobs (1994), Hierarchical mixtures of experts and the EM algorithm, Neural Computation 6.
    Nguyen et al. (2024), On expert estimation in hierarchical mixture of experts: beyond softmax gating functions,
    arXiv 2410.02935.
    """

    outer: Gate = SOFTMAX
    inner: Gate | tuple[Gate, ...] = SOFTMAX
    groups: tuple[int, ...] | None = None
    # of the bound gate: the outer gate, of whose parameters each expert has its group's, and the groups
    trunk: Branch | None = field(default=None, repr=False, compare=False)
    branches: tuple[Branch, ...] = field(default=(), repr=False, compare=False)

    name: ClassVar[str] = "hierarchical"
    exchangeable: ClassVar[bool] = False  # within groups, and groups as wholes: see `order`

    def __post_init__(self) -> None:
        check_inner(self.name, "outer", self.outer)
        if isinstance(self.inner, list):
            object.__setattr__(self, "inner", tuple(self.inner))
        for gate in self._inner_gates:
            check_inner(self.name, "inner", gate)
        if self.groups is not None:
            object.__setattr__(self, "groups", _checked(self.groups))
            if isinstance(self.inner, tuple) and len(self.inner) != len(self.groups):
                raise InputError(
                    f"inner must be one gate, or one for each of the {len(self.groups)} groups; got {len(self.inner)}."
                )

    @property
    def _inner_gates(self) -> tuple[Gate, ...]:
        return self.inner if isinstance(self.inner, tuple) else (self.inner,)

    @property
    def _all(self) -> tuple[Gate, ...]:
        return self.outer, *self._inner_gates

    @property
    def equivariant(self) -> bool:  # type: ignore[override]
        return all(gate.equivariant for gate in self._all)

    @property
    def mixable(self) -> bool:  # type: ignore[override]
        return all(gate.mixable for gate in self._all)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return all(gate.smooth for gate in self._all)

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        return all(gate.continuous for gate in self._all)

    @property
    def tells_ties(self) -> bool:
        return all(gate.tells_ties for gate in self._all)

    def relaxations(self, n_experts: int) -> tuple[Gate, ...]:
        """All gates relaxed together; those with fewer stages wait at themselves for the others."""
        sizes = self.sizes(n_experts)
        outer, inner = self._gates(sizes)
        parts = [(outer, len(sizes)), *zip(inner, sizes, strict=True)]
        stages = [(*gate.relaxations(size), gate) for gate, size in parts]
        longest = max(map(len, stages)) - 1
        steps = ([own[min(i, len(own) - 1)] for own in stages] for i in range(longest))
        return tuple(replace(self, outer=top, inner=tuple(inner)) for top, *inner in steps)

    def concerns(self, spread: FloatArray) -> tuple[str, ...]:
        return tuple(dict.fromkeys(words for gate in self._all for words in gate.concerns(spread)))

    def blurs(self, spread: FloatArray) -> tuple[str, ...]:
        return tuple(dict.fromkeys(words for gate in self._all for words in gate.blurs(spread)))

    # ------------------------------------------------------------------------------- parameters
    def sizes(self, n_experts: int) -> tuple[int, ...]:
        """Number of experts in each group."""
        if self.groups is None:
            n_groups = len(self.inner) if isinstance(self.inner, tuple) else min(2, n_experts)
            if n_groups > n_experts:
                raise InputError(f"inner must have at most n_experts={n_experts} gates, one per group; got {n_groups}.")
            return tuple(len(group) for group in np.array_split(np.arange(n_experts), n_groups))
        if sum(self.groups) != n_experts:
            raise InputError(
                f"groups must add up to n_experts={n_experts}; {self.groups} add up to {sum(self.groups)}. Change "
                "either of them, or leave groups out for two groups of nearly equal size."
            )
        return self.groups

    def _gates(self, sizes: tuple[int, ...]) -> tuple[Gate, tuple[Gate, ...]]:
        """The gate over the groups and the gates within them; one alone needs none."""
        each = self.inner if isinstance(self.inner, tuple) else (self.inner,) * len(sizes)
        inner = tuple(gate if size > 1 else ALONE for gate, size in zip(each, sizes, strict=True))
        return self.outer if len(sizes) > 1 else ALONE, inner

    def layout(self, dims: Dims) -> Layout:
        sizes = self.sizes(dims.n_experts)
        outer, inner = self._gates(sizes)
        groups = (gate.layout(Dims(size, dims.n_features)) for gate, size in zip(inner, sizes, strict=True))
        nested = Layout(_record, tuple((str(g), layout) for g, layout in enumerate(groups)))
        whole = layout_of(HierarchicalParams, {}, outer=outer.layout(Dims(len(sizes), dims.n_features)), group=nested)
        return GroupedLayout(whole.build, whole.entries, sizes)

    def _parts(self, layout: Layout) -> tuple[Part, tuple[Part, ...]]:
        """The outer gate, and the inner gates of the groups."""
        assert isinstance(layout, GroupedLayout)
        outer, inner = self._gates(layout.groups)
        top, nested = layout.part("outer"), layout.part("group")
        layouts = [nested.part(str(g)) for g in range(len(inner))]
        ends = top.size + np.cumsum([0, *(own.size for own in layouts)])
        stops = np.cumsum([0, *layout.groups])
        parts = zip(inner, layouts, pairwise(ends.tolist()), pairwise(stops.tolist()), strict=True)
        groups = tuple(Part(gate, own, slice(*place), slice(*experts)) for gate, own, place, experts in parts)
        return Part(outer, top, slice(0, top.size), slice(0, len(inner))), groups

    def levels(self, layout: Layout) -> tuple[Part, tuple[Part, ...]]:
        """The gate over the groups and those within them, each with its layout, its place and its experts."""
        return self._parts(layout)

    def columns(self, layout: Layout) -> IntArray:
        # an expert depends on its group's share of the outer gate, and on all of its group's gate by the normaliser
        outer, groups = self._parts(layout)
        own = outer.gate.columns(outer.layout)
        rows = [np.append(row, np.arange(g.place.start, g.place.stop)) for row, g in zip(own, groups, strict=True)]
        width = max(row.size for row in rows)
        padded = np.array([np.pad(row, (0, width - row.size)) for row in rows], dtype=np.int64)
        return np.repeat(padded, [_size(group) for group in groups], axis=0)

    def predictors(self, layout: Layout) -> IntArray:
        outer, groups = self._parts(layout)
        found = [one.gate.predictors(one.layout) + one.place.start for one in (outer, *groups)]
        rows = [own for own in found if len(own)]
        return np.concatenate(rows) if rows and self.mixable else super().predictors(layout)

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        return self._each(layout, lambda one: one.gate.null_directions(one.layout, relations))

    def _each(self, layout: Layout, rows: Callable[[Part], FloatArray]) -> FloatArray:
        """Rows (r, P) of the outer gate and of the groups' gates, each in its place."""
        outer, groups = self._parts(layout)
        found = [np.zeros((0, layout.size))]
        for one in (outer, *groups):
            if one.layout.size:
                found.append(np.pad(rows(one), ((0, 0), (one.place.start, layout.size - one.place.stop))))
        return np.vstack(found)

    def bind(self, layout: Layout) -> Hierarchical:
        outer, groups = self._parts(layout)
        trunk = Branch.of(outer, 0)
        branches = tuple(Branch.of(group, trunk.own.shape[1]) for group in groups)
        return replace(self, trunk=trunk, branches=branches)

    def coordinates(self, moments: Affine) -> Affine:
        allowed = [gate.coordinates(moments) for gate in self._all]
        for each in (moments, moments.without_location()):
            if all(each.same_as(own) or moments.same_as(own) for own in allowed):
                return each
        return Affine.identity(moments.size)

    def rescale(self, params: HierarchicalParams, covariates: ColumnMap) -> HierarchicalParams:
        def carried(gate: Gate, record: Any) -> Any:
            return record if isinstance(record, GivenWeightsParams) else gate.rescale(record, covariates)

        members = params.group.members
        each = self.inner if isinstance(self.inner, tuple) else (self.inner,) * len(members)
        inner = tuple(carried(gate, member) for gate, member in zip(each, members, strict=True))
        return HierarchicalParams(outer=carried(self.outer, params.outer), group=GroupParams(inner))

    # ------------------------------------------------------------------------------- logits
    @property
    def _stem(self) -> Branch:
        assert self.trunk is not None, "bind the gate first"
        return self.trunk

    @cached_property
    def _starts(self) -> IntArray:
        """First expert of every group."""
        return np.array([branch.experts.start for branch in self.branches])

    def _outer(self, local: FloatArray) -> FloatArray:
        """Local parameters (G, w) of the outer gate."""
        return local[self._starts, : self._stem.own.shape[1]]

    @staticmethod
    def _inner(branch: Branch, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """Local parameters and logits (n, B) of a group's gate; a linear one does not look at its logits."""
        own = local[branch.experts.start, branch.columns]
        value = np.empty((len(own), block.weight.size))
        if not branch.gate.known_features:
            branch.gate.value(own, block, value)
        return own, value

    def _levels(self, value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logits (G, B) of the outer gate and weights (K, B) within groups, both out of the logits."""
        outer, share = np.empty((len(self.branches), value.shape[1])), np.empty_like(value)
        _levels(value, self._starts, outer, share)
        return outer, share

    def _divided(self, weights: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Sums (G, B) of weights over groups, and what of the weights (K, B) is not shared out within them."""
        totals, gaps = np.empty((len(self.branches), weights.shape[1])), np.empty_like(weights)
        _divide(weights, share, self._starts, totals, gaps)
        return totals, gaps

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        outer = np.empty((len(self.branches), block.weight.size))
        self._stem.gate.value(self._outer(local), block, outer)
        for branch in self.branches:
            if branch.columns.size:
                branch.gate.value(local[branch.experts.start, branch.columns], block, out[branch.experts])
        _attach(outer, self._starts, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        outer, share = self._levels(value)
        self._write_trunk(local, block, outer, out)
        for branch in self.branches:
            own, logits = self._inner(branch, local, block)
            self._write_leaves(branch, jacobian(branch.gate, own, block, logits), share, out)

    def _write_trunk(self, local: FloatArray, block: Block, outer: FloatArray, out: FloatArray) -> None:
        trunk, width = jacobian(self._stem.gate, self._outer(local), block, outer), self._stem.own.shape[1]
        for g, branch in enumerate(self.branches):
            out[branch.experts, :width] = trunk[0 if len(trunk) == 1 else g]

    def _write_leaves(self, branch: Branch, J: FloatArray, share: FloatArray, out: FloatArray) -> None:
        own = branch.experts
        _centre(J, branch.columns, share[own], self._stem.own.shape[1], out[own])

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        # of the outer gate booked on the first expert of each group: the others have the same columns
        outer, share = self._levels(value)
        totals, gaps = self._divided(weights, share)
        out[self._starts, : self._stem.own.shape[1]] += pulled(
            self._stem.gate, self._outer(local), block, outer, totals
        )
        for branch in self.branches:
            if branch.columns.size:
                own, logits = self._inner(branch, local, block)
                along = pulled(branch.gate, own, block, logits, gaps[branch.experts])
                _add_rows(branch.columns, along, out[branch.experts])

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        outer, share = self._levels(value)
        totals, gaps = self._divided(weights, share)
        self._bend_trunk(local, block, outer, totals, out)
        for total, branch in zip(totals, self.branches, strict=True):
            if branch.columns.size:
                own, logits = self._inner(branch, local, block)
                J = jacobian(branch.gate, own, block, logits)
                self._bend_leaves(branch, (own, block, logits), J, share, gaps, total, out)

    def jac_and_curv(
        self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, J: FloatArray, out: FloatArray
    ) -> None:
        outer, share = self._levels(value)
        totals, gaps = self._divided(weights, share)
        self._write_trunk(local, block, outer, J)
        self._bend_trunk(local, block, outer, totals, out)
        for total, branch in zip(totals, self.branches, strict=True):
            own, logits = self._inner(branch, local, block)
            leaves = jacobian(branch.gate, own, block, logits)
            self._write_leaves(branch, leaves, share, J)
            if branch.columns.size:
                self._bend_leaves(branch, (own, block, logits), leaves, share, gaps, total, out)

    def _bend_trunk(
        self, local: FloatArray, block: Block, outer: FloatArray, totals: FloatArray, out: FloatArray
    ) -> None:
        width = self._stem.own.shape[1]
        if not self._stem.gate.known_features:
            bend = curved(self._stem.gate, self._outer(local), block, outer, totals)
            out[self._starts, :width, :width] += bend

    def _bend_leaves(
        self,
        branch: Branch,
        at: tuple[FloatArray, Block, FloatArray],
        J: FloatArray,
        share: FloatArray,
        gaps: FloatArray,
        total: FloatArray,
        out: FloatArray,
    ) -> None:
        target, columns = out[branch.experts.start], branch.columns
        if not branch.gate.known_features:
            along = curved(branch.gate, *at, gaps[branch.experts])
            np.add.at(target, (columns[:, :, None], columns[:, None, :]), along)
        _add_variance(J, columns, share[branch.experts], -total, self._stem.own.shape[1], target)

    def information(self, columns: IntArray, theta: FloatArray) -> GateInformation:
        return Parts(self, columns, theta)

    # ------------------------------------------------------------------------------- ties
    def closest(self, local: FloatArray, block: Block) -> tuple[FloatArray, IntArray, IntArray]:
        """Of all gates the one that is nearest to a switch; a group goes by its largest expert."""
        H, inside = np.empty((len(local), block.weight.size)), np.zeros((len(local), block.weight.size))
        self.value(local, block, H)
        for branch in self.branches:
            if branch.columns.size:
                branch.gate.value(local[branch.experts.start, branch.columns], block, inside[branch.experts])
        largest = np.stack([one.experts.start + inside[one.experts].argmax(axis=0) for one in self.branches])
        rows = np.arange(block.weight.size)
        found: list[tuple[FloatArray, IntArray, IntArray]] = []
        if not self._stem.gate.continuous:
            margin, leaves, comes = self._stem.gate.closest(self._outer(local), block)
            on, off = (np.where(g >= 0, largest[g, rows], -1) for g in (leaves, comes))
            found.append((margin, on, off))
        for branch in self.branches:
            if not branch.gate.continuous:
                margin, leaves, comes = branch.gate.closest(local[branch.experts.start, branch.columns], block)
                on, off = (np.where(k >= 0, branch.experts.start + k, -1) for k in (leaves, comes))
                alive = np.isfinite(H[branch.experts]).any(axis=0)  # a group that is off has nothing to switch
                found.append((np.where(alive, margin, np.inf), on, off))
        margins, leave, come = (np.stack(each) for each in zip(*found, strict=True))
        first = margins.argmin(axis=0)
        return margins[first, rows], leave[first, rows], come[first, rows]

    def tie(self, local: FloatArray, block: Block, on: int, off: int) -> tuple[float, FloatArray]:
        groups = [self._group(k) for k in (on, off)]
        slope = np.zeros(local.shape)
        branch = self.branches[max(groups)]
        if min(groups) in (-1, max(groups)) and not branch.gate.continuous:
            first = branch.experts.start
            within = (k - first if k >= 0 else -1 for k in (on, off))
            margin, own = branch.gate.tie(local[first, branch.columns], block, *within)
            np.add.at(slope[first], branch.columns, own)
        else:
            margin, own = self._stem.gate.tie(self._outer(local), block, *groups)
            slope[self._starts, : own.shape[1]] = own
        return margin, slope

    def _group(self, k: int) -> int:
        """The group of an expert; -1 of none."""
        return int(np.searchsorted(self._starts, k, side="right")) - 1

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> HierarchicalParams:
        outer, groups = self._parts(layout)
        totals = np.stack([resp[one.experts].sum(axis=0) for one in groups])
        members = (one.gate.start(one.layout, block, resp[one.experts], schema) for one in groups)
        top = outer.gate.start(outer.layout, block, totals, schema)
        return HierarchicalParams(outer=top, group=GroupParams(tuple(members)))

    # ------------------------------------------------------------------------------- what is not identified
    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        outer, groups = self._parts(layout)
        return np.concatenate([one.gate.canonical(one.layout, theta[one.place]) for one in (outer, *groups)])

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        outer, groups = self._parts(layout)
        names = []
        for g, one in enumerate((outer, *groups)):
            words = one.gate.invariances(one.layout, theta[one.place])[1]
            names += [f"{word}, {f'within group {g}' if g else 'over the groups'}" for word in words]
        return self._each(layout, lambda one: one.gate.invariances(one.layout, theta[one.place])[0]), tuple(names)

    def pinned(self, layout: Layout) -> IntArray:
        outer, groups = self._parts(layout)
        return np.concatenate([one.gate.pinned(one.layout) + one.place.start for one in (outer, *groups)])

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        return self._each(layout, lambda one: one.gate.constraints(one.layout, theta[one.place]))

    def dilation(self, layout: Layout) -> Dilation | None:
        outer, groups = self._parts(layout)
        # a single level is a gate of its own; on two, logits within groups and their logarithmic sums grow apart
        if len(groups) > 1 and any(_size(group) > 1 for group in groups):
            return None
        level = groups[0] if len(groups) == 1 else outer
        own = level.gate.dilation(level.layout)
        return None if own is None else own.embedded(layout.size, level.place.start)

    # ------------------------------------------------------------------------------- labels
    def order(self, mass: FloatArray, kinds: IntArray) -> IntArray:
        """Experts by decreasing mass within groups, and groups of one structure by decreasing mass."""
        sizes = self.sizes(mass.size)
        outer, inner = self._gates(sizes)
        stops = np.cumsum(sizes)
        within, structures = [], []
        for gate, size, stop in zip(inner, sizes, stops, strict=True):
            own = slice(stop - size, stop)
            order = gate.order(mass[own], kinds[own])
            within.append(stop - size + order)
            structures.append((gate, tuple(kinds[own][order].tolist())))
        alike = np.array([structures.index(structure) for structure in structures])
        groups = outer.order(np.array([mass[order].sum() for order in within]), alike)
        return np.concatenate([within[g] for g in groups])

    def permute(self, layout: Layout, theta: FloatArray, order: IntArray) -> FloatArray:
        outer, groups = self._parts(layout)
        starts = np.array([one.experts.start for one in groups])
        old = np.searchsorted(starts, order[starts], side="right") - 1  # the group whose experts take each place
        pieces = [outer.gate.permute(outer.layout, theta[outer.place], old)]
        for one, g in zip(groups, old, strict=True):
            within = order[one.experts] - starts[g]
            pieces.append(one.gate.permute(one.layout, theta[groups[g].place], within))
        return np.concatenate(pieces)

    def copies(self, old: Layout, new: Layout, rng: np.random.Generator) -> IntArray:
        """Experts of a group copy those of the group in its place."""
        pairs = list(zip(self._parts(old)[1], self._parts(new)[1], strict=False))
        sizes = [[_size(one) for one in self._parts(layout)[1]] for layout in (old, new)]
        if len(sizes[0]) != len(sizes[1]) or any(_size(one) > _size(more) for one, more in pairs):
            raise InputError(
                f"groups of {sizes[1]} experts cannot copy those of {sizes[0]}: as many groups are needed, none of "
                "them smaller. Set groups in the gate of the model."
            )
        drawn = (more.gate.copies(one.layout, more.layout, rng) if _size(one) > 1 else 0 for one, more in pairs)
        starts = (np.full(_size(more), one.experts.start) for one, more in pairs)
        return np.concatenate([start + own for start, own in zip(starts, drawn, strict=True)])

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        if split not in (0.0, 1.0):
            raise InputError(
                "copies share no mass under a temperature round a hierarchical gate: groups are normalised before it."
            )
        outer, groups = self._parts(old)
        pieces = [theta[outer.place]]
        for one, more in zip(groups, self._parts(new)[1], strict=True):
            if _size(one) > 1:
                within = copied[more.experts] - one.experts.start
                pieces.append(more.gate.enlarge(one.layout, more.layout, theta[one.place], within, split))
            else:
                pieces.append(np.zeros(more.layout.size))  # the copies of a single expert share its group equally
        return np.concatenate(pieces)

    def adopt(self, layout: Layout, theta: FloatArray, child: int, parent: int) -> FloatArray:
        outer, groups = self._parts(layout)
        starts = [one.experts.start for one in groups]
        to, of = (int(np.searchsorted(starts, k, side="right")) - 1 for k in (child, parent))
        one, out = groups[to], theta.copy()
        if _size(one) == 1:
            out[outer.place] = outer.gate.adopt(outer.layout, theta[outer.place], to, of)
            return out
        # from another group no logits can be had: those of a neighbour give a share of what the own group has
        model = parent - one.experts.start if to == of else int(child == one.experts.start)
        own = one.gate.adopt(one.layout, theta[one.place], child - one.experts.start, model)
        out[one.place] = own
        return out


class Parts:
    """Score and information: every gate shares out what the one above it hands down, so that Q is a sum over gates."""

    def __init__(self, whole: Hierarchical, columns: IntArray, theta: FloatArray) -> None:
        self._whole, self._local, self._size = whole, theta[columns], theta.size
        self._parts = (whole._stem, *whole.branches)
        self._sums = [information_of(one.gate, one.own, theta[one.place]) for one in self._parts]

    def add(self, tile: Division) -> None:
        whole, block, buffers = self._whole, tile.block, tile.buffers
        G, (K, B) = len(whole.branches), tile.share.shape
        outer, omega, gap, mass = buffers.get("groups", 4, G, B)
        share, within = buffers.get("within", 2, K, B)
        _levels(tile.logits, whole._starts, outer, share)
        _hand_down(tile.share, tile.mass, tile.gap, share, whole._starts, omega, gap, mass, within)
        self._sums[0].add(Division(block, outer, omega, tile.mass, gap, buffers.part(0)))
        for g, branch in enumerate(whole.branches):
            if branch.columns.size:
                own, (_, logits) = branch.experts, whole._inner(branch, self._local, block)
                down = Division(block, logits, share[own], mass[g], within[own], buffers.part(g + 1))
                self._sums[g + 1].add(down)

    def merge(self, later: Parts) -> None:
        for own, other in zip(self._sums, later._sums, strict=True):
            own.merge(other)

    @property
    def score(self) -> FloatArray:
        out = np.zeros(self._size)
        for one, own in zip(self._parts, self._sums, strict=True):
            out[one.place] = own.score
        return out

    @property
    def matrix(self) -> FloatArray:
        out = np.zeros((self._size, self._size))
        for one, own in zip(self._parts, self._sums, strict=True):
            out[one.place, one.place] = own.matrix
        return out


def _record(**members: Any) -> GroupParams:
    return GroupParams(tuple(members.values()))


def _size(one: Part | Branch) -> int:
    """Number of experts."""
    return int(one.experts.stop - one.experts.start)


def _checked(groups: Any) -> tuple[int, ...]:
    entries = tuple(groups) if isinstance(groups, tuple | list) else ()
    whole = all(isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 1 for size in entries)
    if not entries or not whole:
        raise InputError(
            f"groups must be whole numbers of at least 1, the sizes of the groups as in (2, 3); got {groups!r}."
        )
    return tuple(int(size) for size in entries)


# --------------------------------------------------------------------------------------- kernels


@jit
def _log_sum(V: FloatArray, top: FloatArray, total: FloatArray) -> None:
    """Largest entry of each column of V (n, B), and the sum of exp(V - top); entries may be -inf."""
    v = V[0]
    for j in range(top.size):
        top[j] = max(v[j], -1e300)  # a group that is switched off has a sum of zero
        total[j] = 0.0
    for k in range(1, V.shape[0]):
        v = V[k]
        for j in range(top.size):
            top[j] = max(top[j], v[j])
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(top.size):
            total[j] += vexp(v[j] - top[j])


@jit
def _attach(outer: FloatArray, starts: IntArray, V: FloatArray) -> None:
    """V[k] = outer + V[k] - LSE(V) over the groups that begin at ``starts``."""
    G, B = outer.shape
    top = np.empty(B)
    total = np.empty(B)
    for g in range(G):
        own = V[starts[g] : (starts[g + 1] if g + 1 < G else V.shape[0])]
        u = outer[g]
        if own.shape[0] == 1:
            own[0] = u
            continue
        _log_sum(own, top, total)
        for j in range(B):
            top[j] = u[j] - (top[j] + vlog(total[j]))
        for k in range(own.shape[0]):
            v = own[k]
            for j in range(B):
                v[j] += top[j]


@jit
def _levels(H: FloatArray, starts: IntArray, outer: FloatArray, share: FloatArray) -> None:
    """outer = LSE(H) over each group, which is the outer gate's logit, and share = softmax(H) within it."""
    G, B = outer.shape
    total = np.empty(B)
    for g in range(G):
        first, last = starts[g], starts[g + 1] if g + 1 < G else H.shape[0]
        top = outer[g]
        if last - first == 1:
            top[:] = H[first]
            share[first] = 1.0
            continue
        _log_sum(H[first:last], top, total)
        for k in range(first, last):
            v = H[k]
            o = share[k]
            for j in range(B):
                o[j] = vexp(v[j] - top[j])
        for j in range(B):
            top[j] = top[j] + vlog(total[j]) if total[j] > 0.0 else -np.inf
            total[j] = 1.0 / total[j] if total[j] > 0.0 else 0.0
        for k in range(first, last):
            o = share[k]
            for j in range(B):
                o[j] *= total[j]


@jit
def _divide(c: FloatArray, share: FloatArray, starts: IntArray, totals: FloatArray, gaps: FloatArray) -> None:
    """totals = sum of c over each group, and gaps = c - share * total."""
    G, B = totals.shape
    for g in range(G):
        first, last = starts[g], starts[g + 1] if g + 1 < G else c.shape[0]
        t = totals[g]
        t[:] = c[first]
        for k in range(first + 1, last):
            x = c[k]
            for j in range(B):
                t[j] += x[j]
        for k in range(first, last):
            x = c[k]
            s = share[k]
            o = gaps[k]
            for j in range(B):
                o[j] = x[j] - s[j] * t[j]


@jit
def _hand_down(
    PI: FloatArray,
    mass: FloatArray,
    D: FloatArray,
    share: FloatArray,
    starts: IntArray,
    omega: FloatArray,
    gap: FloatArray,
    below: FloatArray,
    within: FloatArray,
) -> None:
    """Weights omega (G, B) of groups and their gaps; what they get to share out, R_g, and the gaps (K, B) within."""
    G, B = omega.shape
    _divide(D, share, starts, gap, within)
    for g in range(G):
        first, last = starts[g], starts[g + 1] if g + 1 < G else PI.shape[0]
        o = omega[g]
        o[:] = PI[first]
        for k in range(first + 1, last):
            p = PI[k]
            for j in range(B):
                o[j] += p[j]
        r = below[g]
        d = gap[g]
        for j in range(B):
            r[j] = max(mass[j] * o[j] + d[j], 0.0)


@jit
def _add_rows(columns: IntArray, values: FloatArray, out: FloatArray) -> None:
    """out[k, columns[k, a]] += values[k, a]."""
    for k in range(values.shape[0]):
        for a in range(values.shape[1]):
            out[k, columns[k, a]] += values[k, a]


@jit
def _centre(J: FloatArray, columns: IntArray, share: FloatArray, width: int, out: FloatArray) -> None:
    """out[k] = J[k] at its columns, which begin at width, minus the mean of the J[l] at theirs by the shares.

    Rows before width stay, other rows become zero.
    """
    n, B = share.shape
    shared = J.shape[0] == 1
    mean = np.zeros((out.shape[1], B))
    for l in range(n):
        w = share[l]
        for a in range(columns.shape[1]):
            x = J[0 if shared else l, a]
            m = mean[columns[l, a]]
            for j in range(B):
                m[j] += w[j] * x[j]
    for k in range(n):
        for u in range(width, out.shape[1]):
            m = mean[u]
            o = out[k, u]
            for j in range(B):
                o[j] = -m[j]
        for a in range(columns.shape[1]):
            x = J[0 if shared else k, a]
            o = out[k, columns[k, a]]
            for j in range(B):
                o[j] += x[j]


@jit
def _add_variance(
    J: FloatArray, columns: IntArray, share: FloatArray, total: FloatArray, width: int, out: FloatArray
) -> None:
    """Add sum_j total_j Var_l(J_l), the variance by the shares, to out (q, q) at the columns, which begin at width."""
    n, B = share.shape
    q = columns.shape[1]
    shared = J.shape[0] == 1
    mean = np.zeros((columns.max() + 1 - width, B))
    gram = np.empty((q, q))
    w = np.empty(B)
    for l in range(n):
        own = J[0 if shared else l]
        for a in range(q):
            x = own[a]
            m = mean[columns[l, a] - width]
            s = share[l]
            for j in range(B):
                m[j] += s[j] * x[j]
        for j in range(B):
            w[j] = total[j] * share[l, j]
        gram[:] = 0.0
        weighted_gram(w, own, 1.0, 0, gram)
        for a in range(q):
            for b in range(q):
                out[columns[l, a], columns[l, b]] += gram[a, b]
    weighted_gram(total, mean, -1.0, width, out)

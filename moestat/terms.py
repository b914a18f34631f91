"""A gate and an expert joined: the E-step on tiles of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.linalg import block_diag

from moestat.buffers import Buffers
from moestat.charts import Chart
from moestat.component import Expert, Gate
from moestat.coordinates import Coordinates
from moestat.data import Block
from moestat.kernels import rows
from moestat.params import Layout
from moestat.typing import FloatArray, IntArray


class Tile(NamedTuple):
    """One block after the E-step; arrays (K, B) unless stated, overwritten by the next tile.

    H logits, E log densities, PI gate weights, R row weight times responsibilities,
    D row weight times (responsibility - gate weight), row (B,) log densities of the mixture. When rows
    are assigned whole to their likeliest expert, R and D follow the assignment and ``classification`` is
    sum weight * max_k log(pi_k f_k), a tile's share of the classification log-likelihood. ``residual`` (B,) is there
    in least squares, see `moestat.squares`.
    """

    block: Block
    H: FloatArray
    E: FloatArray
    PI: FloatArray
    R: FloatArray
    D: FloatArray
    row: FloatArray
    loglik: float
    buffers: Buffers
    classification: float | None = None
    residual: FloatArray | None = None


@dataclass(frozen=True)
class Terms:
    """A gate and an expert with their parameters' places in the flat vector ``theta = (gate, expert)``."""

    gate: Gate
    expert: Expert
    layout: Layout
    gate_columns: IntArray
    expert_columns: IntArray
    n_gate: int

    @classmethod
    def of(cls, gate: Gate, expert: Expert, layout: Layout, coordinates: Coordinates | None = None) -> Self:
        """Bind components to the layout of a whole model, whose entries are ``gate`` and ``expert``.

        ``coordinates`` are those of the rows; raw when left out.
        """
        expert = expert if coordinates is None else expert.placed(coordinates)
        gate_layout, expert_layout = layout.part("gate"), layout.part("expert")
        return cls(
            gate=gate.bind(gate_layout),
            expert=expert.bind(expert_layout),
            layout=layout,
            gate_columns=gate.columns(gate_layout),
            expert_columns=expert.columns(expert_layout) + gate_layout.size,
            n_gate=gate_layout.size,
        )

    @property
    def n_experts(self) -> int:
        return int(self.expert_columns.shape[0])

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def idle_gate(self) -> bool:
        """Whether the gate's weight is one whatever its parameters: there is one expert, and the weights sum to one."""
        return self.n_experts == 1 and self.gate.normalised and self.gate.sums_to_one

    @property
    def smooth(self) -> bool:
        """Whether the likelihood has derivatives everywhere."""
        return self.gate.smooth and self.expert.smooth

    @property
    def pinned(self) -> IntArray:
        """Flat positions that the canonical form holds at a constant."""
        gate = np.arange(self.n_gate) if self.idle_gate else self.gate.pinned(self.gate_layout)
        return np.concatenate([gate, self.expert.pinned(self.expert_layout) + self.n_gate])

    def constraints(self, theta: FloatArray) -> FloatArray:
        """Gradients (r, P), at a canonical theta, of what the canonical form holds constant."""
        n = self.n_gate
        gate = np.eye(n) if self.idle_gate else self.gate.constraints(self.gate_layout, theta[:n])
        return block_diag(gate, self.expert.constraints(self.expert_layout, theta[n:]))

    def canonical(self, theta: FloatArray) -> FloatArray:
        """The representative (P,) among parameters with equal densities, experts in their order."""
        n = self.n_gate
        gate = np.zeros(n) if self.idle_gate else self.gate.canonical(self.gate_layout, theta[:n])
        return np.concatenate([gate, self.expert.canonical(self.expert_layout, theta[n:])])

    @property
    def gate_layout(self) -> Layout:
        """Layout of the gate's parameters."""
        return self.layout.part("gate")

    @property
    def expert_layout(self) -> Layout:
        """Layout of the experts' parameters."""
        return self.layout.part("expert")

    @property
    def chart(self) -> Chart:
        """The gate's chart, among all parameters."""
        return self.gate.chart(self.gate_layout).embedded(self.size)

    def invariances(self, theta: FloatArray) -> FloatArray:
        """Declared directions (r, P) that leave the density unchanged at theta."""
        n = self.n_gate
        gate = np.eye(n) if self.idle_gate else self.gate.invariances(self.gate_layout, theta[:n])[0]
        expert, _ = self.expert.invariances(self.expert_layout, theta[n:])
        directions = np.zeros((len(gate) + len(expert), self.size))
        directions[: len(gate), :n], directions[len(gate) :, n:] = gate, expert
        return directions

    def invariance_names(self, theta: FloatArray) -> tuple[str, ...]:
        """The same directions in words; a gate with nothing to share out has none."""
        n = self.n_gate
        gate = () if self.idle_gate else self.gate.invariances(self.gate_layout, theta[:n])[1]
        _, expert = self.expert.invariances(self.expert_layout, theta[n:])
        return (*gate, *expert)

    def by_mass(self, theta: FloatArray, mass: FloatArray) -> FloatArray:
        """Parameters of the same density with experts by decreasing mass, as far as they may be relabelled."""
        order = self.gate.order(mass, self.expert.kinds(self.n_experts))
        if np.array_equal(order, np.arange(self.n_experts)):
            return theta
        gate = self.gate.permute(self.gate_layout, theta[: self.n_gate], order)
        return np.concatenate([gate, self.expert.permute(self.expert_layout, theta[self.n_gate :], order)])

    def tiles(
        self, theta: FloatArray, blocks: Iterable[Block], buffers: Buffers | None = None, hard: bool = False
    ) -> Iterator[Tile]:
        """E-step on block after block; ``hard`` gives every row whole to its likeliest expert."""
        self.gate.check_density()
        gate, expert, K = self.gate, self.expert, self.n_experts
        local_gate, local_expert = theta[self.gate_columns], theta[self.expert_columns]
        buffers = Buffers() if buffers is None else buffers
        B = -1
        for block in blocks:
            if block.weight.size != B:
                B = block.weight.size
                H, E, PI, R, D = buffers.get("rows", 5, K, B)
                row, scratch = buffers.get("row", B), buffers.get("scratch", 3, B)
            gate.value(local_gate, block, H)
            expert.value(local_expert, block, E)
            loglik = rows.combine(H, E, block.weight, gate.normalised, PI, R, D, row, scratch)
            classification = rows.harden(PI, block.weight, row, R, D) if hard else None
            yield Tile(block, H, E, PI, R, D, row, loglik, buffers, classification)

    def total(self, local_gate: FloatArray, block: Block, E: FloatArray, buffers: Buffers) -> float:
        """Log-likelihood of one block, whose experts' log densities (K, B) are known."""
        H, PI, R, D = buffers.get("total_rows", 4, *E.shape)
        scratch = buffers.get("total_scratch", 4, block.weight.size)
        self.gate.value(local_gate, block, H)
        weight, normalised = block.weight, self.gate.normalised
        return float(rows.combine(H, E, weight, normalised, PI, R, D, scratch[3], scratch[:3]))

    def gate_weights(self, theta: FloatArray, block: Block) -> FloatArray:
        """Gate weights pi (K, B) without a look at the response."""
        K, B = self.n_experts, block.weight.size
        H, E, PI, R, D = np.zeros((5, K, B))
        self.gate.value(theta[self.gate_columns], block, H)
        if not self.gate.sums_to_one:
            return np.exp(H)
        rows.combine(H, E, block.weight, True, PI, R, D, np.empty(B), np.empty((3, B)))
        return PI

    def scatter(self, columns: IntArray, values: FloatArray, out: FloatArray) -> None:
        """Add local vectors (K, q) at their places in a flat vector."""
        np.add.at(out, columns, values)

    def scatter_matrix(self, columns: IntArray, values: FloatArray, out: FloatArray) -> None:
        """Add local matrices (K, q, q) at their places in a flat matrix."""
        np.add.at(out, (columns[:, :, None], columns[:, None, :]), values)

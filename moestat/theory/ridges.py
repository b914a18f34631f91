"""Ridges that are known beforehand: numbers of experts with which a gate leaves the density constant along a curve.

Where every true expert is fitted by a pair whose logits part by one function of the covariates, h_k + s and h_k - s
with s the same for all pairs, every unnormalised weight gets the factor 2 cosh(s), which cancels in a softmax. It takes
twice as many experts as are true; `moestat.theory.flat_directions` finds such curves from densities instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from moestat.component import Gate
from moestat.gates.gaussian import ConditionalGaussian
from moestat.gates.hierarchical import Hierarchical
from moestat.gates.masked import Masked
from moestat.gates.quadratic import Quadratic
from moestat.gates.softmax import Softmax
from moestat.gates.temperature import Temperature
from moestat.gates.topk import TopK

PAIR = "every true atom split into a pair with gate slopes b + d and b - d"


@dataclass(frozen=True)
class Ridge:
    """How the density stays, and why there is no way round it.

    Parameters
    ----------
    how, why : str
    note : str
        What would avoid it.
    """

    how: str
    why: str
    note: str


def ridge_of(gate: Gate, n_experts: int | None, n_true: int | None) -> Ridge | None:
    """The ridge on which every best fit lies, if the numbers of experts make one certain."""
    if n_experts is None or n_true is None or n_experts <= n_true:
        return None
    if n_true == 1 and gate.name != "constant" and shares_out(gate):
        return Ridge(
            "all fitted experts are the true one, and weights that add up to one may be any",
            "with one true expert the gate has no say",
            "The experts' parameters are determined, those of the gate are not.",
        )
    if isinstance(gate, Hierarchical):
        return _of_groups(gate, n_experts, n_true)
    how = splitting(gate, n_experts)
    if how is None or n_experts < 2 * n_true:
        return None
    return Ridge(
        how,
        f"{n_experts} experts are at least twice {n_true}, so the density is constant along a ridge",
        f"A rate needs fewer than {2 * n_true} experts. See ms.theory.flat_directions.",
    )


def shares_out(gate: Gate) -> bool:
    """Whether its weights add up to one and are all that the likelihood knows of it."""
    return gate.normalised and gate.sums_to_one


def splitting(gate: Gate, n_experts: int) -> str | None:
    """How a pair for every true expert leaves the density alone; ``None`` of gates where none is known to."""
    if isinstance(gate, Temperature):
        return splitting(gate.inner, n_experts)
    if isinstance(gate, TopK):
        return _of_topk(gate, n_experts)
    if isinstance(gate, Masked | Hierarchical) or gate.name == "constant" or not gate.known_features:
        return None  # a mask moves with the split logits
    if isinstance(gate, Quadratic | ConditionalGaussian):
        return "every true atom split into a pair with logits q(x) + d(x) and q(x) - d(x): cosh(d(x)) cancels"
    if isinstance(gate, Softmax) and gate.transform not in (None, "identity"):
        return f"{PAIR}: the factor cosh(d'M(x)) cancels, M the transform"
    return f"{PAIR}: the factor cosh(d'x) cancels"


def _of_topk(gate: TopK, n_experts: int) -> str | None:
    inner, active = splitting(gate.inner, n_experts), gate.active(n_experts)
    if inner is None or active >= n_experts:
        return inner
    if active > 1:
        return None
    return (
        f"{PAIR}: the larger score of every pair grows by |d'x|, so that the same expert is the first on every row "
        "and has all the weight"
    )


def largest_cell(gate: Gate, n_experts: int | None, n_true: int | None) -> int | None:
    """How many fitted atoms can share a true one, off a ridge: in a hierarchy those of one group at most."""
    if n_experts is None or n_true is None:
        return None
    largest = n_experts - n_true + 1
    if not isinstance(gate, Hierarchical):
        return largest
    return min(largest, max(2, *(size - size // 2 if how else size for size, how in _groups(gate, n_experts))))


def _groups(gate: Hierarchical, n_experts: int) -> list[tuple[int, str | None]]:
    """Size of every group, and how pairs leave it alone."""
    sizes = gate.sizes(n_experts)
    inner = gate.inner if isinstance(gate.inner, tuple) else (gate.inner,) * len(sizes)
    return [(size, splitting(own, size) if size > 1 else None) for own, size in zip(inner, sizes, strict=True)]


def _of_groups(gate: Hierarchical, n_experts: int, n_true: int) -> Ridge | None:
    """Group by group: certain where no way to share out the true experts leaves each group less than twice its own."""
    groups = _groups(gate, n_experts)
    needed = sum(size // 2 + 1 if how else 1 for size, how in groups)
    if n_true >= needed or n_true < len(groups):
        return None
    return Ridge(
        f"within a group, {next(how for _, how in groups if how)}",
        f"with groups of {', '.join(str(size) for size, _ in groups)} experts for {n_true} true ones some group has at "
        "least twice as many as are true in it, so the density is constant along a ridge within that group",
        f"A rate needs at least {needed} true experts for groups of these sizes. See ms.theory.flat_directions.",
    )

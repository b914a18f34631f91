"""Which exponents a loss has: one entry per gate and one per expert, and nothing per pair of them.

The loss of an over-covered atom raises each coordinate's error to a power, which is a number, a multiple of the order
rbar(m) of the polynomial system for m atoms in the cell, or r, a number that is the user's to choose. Its entry says so
for every field of the gate's record, and the expert's for its own fields: once for gates that leave its slopes alone,
once for gates whose slopes interact with them,

    d2 F / (d beta_1 d b) = d F / d a        for F = exp(beta_1' x) f(y | a' x + b, nu).

A gate or an expert that is not listed may carry an attribute ``loss_entry`` with an entry of its own, or be added to
`GATE_LOSSES` or `EXPERT_LOSSES` by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from moestat.activations import ACTIVATIONS
from moestat.errors import InputError
from moestat.experts import Expert
from moestat.gates import Activation, Gate, TopK
from moestat.gates.temperature import Temperature
from moestat.theory.powers import FREE, HALF, SQUARE, SYSTEM, Power
from moestat.typing import FloatArray

#: Rows (J,) of the truth, and the exponent of a field there in place of its own: a regime that single atoms are in.
Special = Callable[[Mapping[str, FloatArray]], "tuple[str, FloatArray, Power] | None"]


@dataclass(frozen=True)
class GateLoss:
    """What a loss needs to know of a gate.

    Parameters
    ----------
    published : mapping
        From fields of the gate's record to exponents in over-covered cells.
    sharp : mapping
        The same where moestat expects errors to be smaller than published bounds say; published ones elsewhere.
    shifts : tuple of str
        Fields that may be shifted by a common vector without changing a weight.
    couples : bool
        Whether its slopes interact with those of experts, so that these take their exponents ``coupled``.
    slopes : str, optional
        The field that does; merged atoms of experts are corrected by it.
    by_density : bool
        Whether masses are defined by the density up to a factor, and t0 is free; of a joint law they add up to one.
    free : bool
        All exponents are r, of exact cells as well.
    active : int, optional
        How many cells the loss sums: the maximum over all choices of so many.
    special : callable, optional
        From the truth's coordinates to (coordinate, which true atoms, exponent there), or to None.
    source : str
    """

    published: Mapping[str, Power]
    sharp: Mapping[str, Power] = field(default_factory=dict)
    shifts: tuple[str, ...] = ()
    couples: bool = False
    slopes: str | None = None
    by_density: bool = True
    free: bool = False
    active: int | None = None
    special: Special | None = None
    source: str = ""


@dataclass(frozen=True)
class ExpertLoss:
    """What a loss needs to know of an expert.

    Parameters
    ----------
    alone : mapping
        From fields to exponents in over-covered cells, beside a gate that does not interact with them.
    coupled, sharp : mapping
        The same beside a gate that does, as published and as moestat expects; ``alone`` elsewhere.
    heat : tuple of str
        Location, and the variance into which a merged atom takes the locations' spread.
    along : str, optional
        The slopes into which a merged atom takes the covariance of the gate's slopes with the location.
    collapse : callable, optional
        Whether with these true coordinates every exponent is r, beside a gate that interacts.
    source : str
    """

    alone: Mapping[str, Power]
    coupled: Mapping[str, Power] = field(default_factory=dict)
    sharp: Mapping[str, Power] = field(default_factory=dict)
    heat: tuple[str, str] | None = None
    along: str | None = None
    collapse: Callable[[Mapping[str, FloatArray]], bool] | None = None
    source: str = ""


# --------------------------------------------------------------------------------------- gates
def _softmax(gate: Any) -> GateLoss:
    if gate.transform not in (None, "identity"):
        return _transformed(gate)
    return GateLoss(
        {"slopes": SYSTEM},
        sharp={"slopes": SQUARE},
        shifts=("slopes",),
        couples=True,
        slopes="slopes",
        source="arXiv 2305.03288; exponents by its public program and arXiv 2505.10860, eq. 6",
    )


def _transformed(gate: Any) -> GateLoss:
    """Slopes on M(x) do not interact with experts' slopes on x, where M is nowhere linear."""
    activation = None if callable(gate.transform) else ACTIVATIONS[gate.transform]
    if activation is None or activation.homogeneous:
        shown = "a function" if activation is None else repr(gate.transform)
        raise _unknown("gate", f"softmax(transform={shown}), which may be linear where the covariates are")
    source = "modified gate of arXiv 2310.14188; its loss is recalled, not verified"
    if not activation.bounded:
        source = "derived: no interaction, as under the modified gate of arXiv 2310.14188, whose transform is bounded"
    return GateLoss({"slopes": SQUARE}, shifts=("slopes",), source=source)


def _laplace(gate: Any) -> GateLoss:
    return GateLoss({"centres": SQUARE}, source="arXiv 2402.03226, losses D1 and D2")


def _constant(gate: Any) -> GateLoss:
    return GateLoss({}, source="shared experts of arXiv 2505.10860, eq. 6")


def _temperature(gate: Temperature) -> GateLoss:
    """Homogeneous logits lie on a ray with the temperature; then all exponents are r, whatever r."""
    inner = gate_loss(gate.inner)
    if gate.tau is not None:
        return inner
    if gate.depends_on is not None:
        raise _unknown("gate", f"{gate.name}(depends_on={gate.depends_on!r})")
    free = isinstance(gate.inner, Gate) and _is_homogeneous(gate.inner)
    return replace(
        inner,
        published={**inner.published, "temperature": FREE if free else SQUARE},
        free=free,
        source="arXiv 2401.13875, loss D_(1,r), recalled, not verified",
    )


def _is_homogeneous(gate: Gate) -> bool:
    from moestat.component import Dims

    return gate.dilation(gate.layout(Dims(2, 1))) is not None


def _activation(gate: Activation) -> GateLoss:
    if gate.activation in ("identity", "relu"):  # a ray, as of a temperature
        shifts = ("slopes",) if gate.activation == "identity" else ()
        return GateLoss(
            {"slopes": FREE, "temperature": FREE},
            shifts=shifts,
            couples=True,
            slopes="slopes",
            free=gate.tau is None,
            source="arXiv 2401.13875, loss D_(1,r), recalled, not verified",
        )
    return GateLoss(
        {"slopes": SQUARE, "temperature": SQUARE},
        source="arXiv 2401.13875; exponents of over-covered cells are recalled, not verified",
    )


def _topk(gate: TopK) -> GateLoss:
    return replace(
        gate_loss(gate.inner),
        active=gate.n_active or 2,
        source="arXiv 2309.13850, maximum over subsets of cells; recalled, not verified",
    )


def _gaussian(gate: Any) -> GateLoss:
    if gate.normalised:
        raise _unknown("gate", "gaussian(likelihood='conditional')")
    return GateLoss(
        {"centres": SYSTEM, "covariances": HALF},
        by_density=False,
        special=_centred,
        source="arXiv 2305.07572, by its public program; types I and II atom by atom",
    )


def _centred(truth: Mapping[str, FloatArray]) -> tuple[str, FloatArray, Power] | None:
    """Type II: where a centre is at zero, the experts' slopes interact with centre and intercept.

    Zero is that of the coordinates which are compared: standard units have another.
    """
    centres = truth.get("gate.centres")
    if centres is None or "expert.slopes" not in truth:
        return None
    return "expert.slopes", (centres == 0).all(axis=1), HALF


#: Entries of gates, by name; an entry, or a function that makes one of the gate with its settings.
GATE_LOSSES: dict[str, GateLoss | Callable[[Any], GateLoss]] = {
    "softmax": _softmax,
    "laplace": _laplace,
    "constant": _constant,
    "temperature": _temperature,
    "activation": _activation,
    "topk": _topk,
    "gaussian": _gaussian,
}


# --------------------------------------------------------------------------------------- experts
def _normal(expert: Any) -> ExpertLoss:
    if expert.form == "polynomial":
        raise _unknown("expert", "gaussian(form='polynomial')")
    if expert.form != "linear":  # strongly identifiable means leave nothing but squares
        return ExpertLoss(
            {}, source="strongly identifiable experts of arXiv 2505.10860, loss D1: every exponent is two"
        )
    spread = "variances" if expert.variance == "own" else "variance"
    return ExpertLoss(
        alone={"slopes": SQUARE, "intercepts": SYSTEM, spread: HALF},
        coupled={"slopes": HALF},
        sharp={"slopes": SQUARE},
        heat=("intercepts", spread),
        along="slopes",
        source="arXiv 2305.03288, 2402.03226 and 2505.10860",
    )


def _some_constant_expert(truth: Mapping[str, FloatArray]) -> bool:
    """Regime 2: an expert whose slopes all vanish."""
    slopes = truth["expert.slopes"]
    return bool((slopes == 0).all(axis=1).any())


#: Entries of experts, by name.
EXPERT_LOSSES: dict[str, ExpertLoss | Callable[[Any], ExpertLoss]] = {
    "gaussian": _normal,
    "multinomial": ExpertLoss(
        alone={"slopes": SQUARE, "intercepts": SQUARE},
        collapse=_some_constant_expert,
        source="arXiv 2310.14188, losses D1 and D_(2,r); recalled, not verified",
    ),
}


# --------------------------------------------------------------------------------------- look-up
def gate_loss(gate: Gate) -> GateLoss:
    """The entry of a gate: its own, or that of its name."""
    found = _found(gate, GATE_LOSSES)
    if found is None:
        raise _unknown("gate", gate.name)
    return found  # type: ignore[no-any-return]


def expert_loss(expert: Expert) -> ExpertLoss:
    """The entry of an expert: its own, or that of its name; of several families, if they have one in common."""
    families = getattr(expert, "families", None)
    if families is not None:
        entries = [expert_loss(one) for one in dict.fromkeys(families)]
        if len({one.source for one in entries}) == 1:
            return entries[0]
        raise _unknown("expert", "several families")
    found = _found(expert, EXPERT_LOSSES)
    if found is None:
        raise _unknown("expert", expert.name)
    return found  # type: ignore[no-any-return]


def _found(component: Any, registry: Mapping[str, Any]) -> Any:
    entry = getattr(component, "loss_entry", None) or registry.get(component.name)
    return entry if entry is None or isinstance(entry, GateLoss | ExpertLoss) else entry(component)


def _unknown(part: str, name: str) -> InputError:
    kind = "GateLoss" if part == "gate" else "ExpertLoss"
    registry = "GATE_LOSSES" if part == "gate" else "EXPERT_LOSSES"
    return InputError(
        f"no Voronoi loss is known for the {part} {name!r}. Give the {part} an attribute loss_entry = {kind}(...), or "
        f"add one to moestat.theory.{registry}; measure_distance and the distances of densities need none."
    )


def exponents(
    power: Mapping[str, Power], truth: int, largest: int, r: float, special: tuple[str, FloatArray, Power] | None
) -> dict[str, FloatArray]:
    """Exponents (largest, J) by coordinate: of cells of 1, ..., largest atoms round each of J true ones."""
    found = {}
    for name, own in power.items():
        table = np.tile([[float(own.at(m, r))] for m in range(1, largest + 1)], (1, truth))
        if special is not None and special[0] == name:
            other = [float(special[2].at(m, r)) for m in range(1, largest + 1)]
            table[:, special[1]] = np.array(other)[:, None]
        found[name] = table
    return found

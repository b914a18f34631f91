"""Mixing measures: what a mixture of experts is, up to the labels of its experts.

    G = sum_k exp(beta_0k) delta_(theta_k)

with one atom theta_k per expert, all its parameters but the intercept of the gate, which is the logarithm of its mass.
Parameters that experts share, such as a temperature, are part of every atom; masses of a gate with a temperature tau
are exp(beta_0k / tau). A temperature that is held is no coordinate: where logits are homogeneous in their parameters,
as those of a softmax, it divides them all. The masses are defined up to a factor, and under a softmax gate the slopes
up to a common vector, as neither changes a weight. A Gaussian gate of (x, y) has weights that sum to one.

Under a hierarchy the atoms are groups, and each has a measure of its own: that of its experts given the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from moestat.component import Dims
from moestat.coordinates import Affine, Coordinates
from moestat.data import Schema
from moestat.errors import InputError
from moestat.experts import Expert
from moestat.gates import Activation, Constant, Gate, Hierarchical, Temperature
from moestat.model import MixtureOfExperts, MoEParams
from moestat.params import Layout
from moestat.theory.moments import Moments, as_moments
from moestat.typing import FloatArray

#: Fields of a gate that are logarithms of masses.
MASSES = ("intercepts", "log_weights")

#: Fields that are variances; a loss may compare their square roots.
VARIANCES = ("variances", "variance")


@dataclass(frozen=True)
class Coordinate:
    """A field of the record of every atom: its name, such as ``expert.slopes``, and its columns among the atoms'."""

    name: str
    columns: slice

    @property
    def field(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, eq=False, repr=False)
class MixingMeasure:
    """A mixing measure; made by `mixing_measure`.

    Attributes
    ----------
    log_masses : ndarray (K,)
        Natural logarithms of the masses.
    atoms : ndarray (K, D)
        One row per atom, in the units of ``units``; variances, never standard deviations. NaN where an expert of
        another family has no such parameter.
    coordinates : tuple of Coordinate
        What the columns are.
    gate, expert : Gate and Expert
        What the weights and the densities of this level are; ``expert`` is None where the atoms are groups.
    inner : tuple of MixingMeasure
        The measures within the groups of a hierarchy, one per atom; otherwise empty.
    moments : Moments, optional
        Of the population, carried by a true measure.
    units : Coordinates, optional
        The units of the atoms where they are not the user's.
    origin : tuple, optional
        The model and the parameters that the measure was made of.
    n_features : int
        Number of the gate's covariates.
    """

    log_masses: FloatArray
    atoms: FloatArray
    coordinates: tuple[Coordinate, ...]
    gate: Gate
    expert: Expert | None = None
    inner: tuple[MixingMeasure, ...] = ()
    moments: Moments | None = None
    units: Coordinates | None = None
    origin: tuple[MixtureOfExperts, MoEParams] | None = None
    n_features: int = 0

    @property
    def size(self) -> int:
        """Number of atoms."""
        return self.log_masses.size

    @property
    def masses(self) -> FloatArray:
        """Masses (K,) divided by their sum."""
        return np.asarray(np.exp(self.log_masses - logsumexp(self.log_masses)))

    def __getitem__(self, name: str) -> FloatArray:
        """One coordinate of all atoms (K, size), by a name such as ``gate.slopes``."""
        for coordinate in self.coordinates:
            if coordinate.name == name:
                return self.atoms[:, coordinate.columns]
        raise InputError(f"no coordinate is called {name!r}; the atoms have {[c.name for c in self.coordinates]}.")

    def standardised(self, moments: Moments | str | Any = None) -> MixingMeasure:
        """The same measure in standard units of the covariates: with the moments given, or with its own.

        Raises
        ------
        InputError
            When there are no moments, or when the measure has no parameters behind it, as a merged one.
        """
        chosen = self.moments if moments is None else as_moments(moments)
        if chosen is None:
            raise InputError(
                "the measure carries no moments of the covariates to standardise by. Make it by mixing_measure(model, "
                "params, moments='uniform'), with moments='normal', Moments(mean=..., sd=...) or rows of covariates; "
                "or compare raw coordinates, with coordinates='raw'."
            )
        if self.origin is None:
            raise InputError("a measure of merged or moved atoms keeps its units: standardise first, then merge.")
        model, params = self.origin
        units = chosen.coordinates(model.gate, model.expert, model.schema_of(params))
        return replace(_measured(model, params, units), moments=self.moments)

    def __repr__(self) -> str:
        lines = [f"MixingMeasure, {self.size} atoms, {self.gate.name} gate" + (", standardised" if self.units else "")]
        for k, (mass, atom) in enumerate(zip(self.masses, self.atoms, strict=True), start=1):
            cells = (f"{c.name} {_short(atom[c.columns])}" for c in self.coordinates)
            lines.append(f"  {k}: mass {mass:.4g}  " + "  ".join(cells))
            if self.inner:
                lines += [f"     {line}" for line in repr(self.inner[k - 1]).splitlines()[1:]]
        return "\n".join(lines)


def mixing_measure(model: Any, params: Any = None, *, moments: Any = None) -> MixingMeasure:
    """The mixing measure of a model with parameters.

    Parameters
    ----------
    model : MixtureOfExperts or Results
        A fit stands for its model and its estimates.
    params : MoEParams, optional
        From ``model.params(gate=..., expert=...)``; left out for a fit.
    moments : {"uniform", "normal"}, Moments or array-like (n, d), optional
        Moments of the covariates in the population, by which losses standardise: those of a law on (0, 1) or of a
        standard normal one, as in `moestat.datasets.simulate`, or of many rows. Only those of a truth are read.

    Returns
    -------
    MixingMeasure
        In the user's units.

    Raises
    ------
    InputError
        When there are no parameters, or when a gate stands round a hierarchy, whose groups it mixes.
    """
    if params is None and hasattr(model, "params") and isinstance(getattr(model, "model", None), MixtureOfExperts):
        model, params = model.model, model.params
    if not isinstance(model, MixtureOfExperts):
        raise InputError(f"model must be a MixtureOfExperts or the Results of a fit; got {type(model).__name__}.")
    if params is None:
        raise InputError("params are needed: make them by model.params(gate=..., expert=...), or pass a fit.")
    return replace(_measured(model, params, None), moments=as_moments(moments))


def _measured(model: MixtureOfExperts, params: MoEParams, units: Coordinates | None) -> MixingMeasure:
    schema = model.schema_of(params)
    layout = model.layout(schema)
    theta = model.to_theta(params, schema, units or _raw(schema))
    size = layout.part("gate").size
    experts = _expert_fields(layout.part("expert"), theta[size:], model.n_experts)
    found = _level(model.gate, layout.part("gate"), theta[:size], experts, model.expert)
    return replace(_with_covariates(found, len(schema.gate_features)), units=units, origin=(model, params))


def _with_covariates(measure: MixingMeasure, n: int) -> MixingMeasure:
    return replace(measure, n_features=n, inner=tuple(_with_covariates(one, n) for one in measure.inner))


def _raw(schema: Schema) -> Coordinates:
    sizes = (len(schema.features), len(schema.gate_features), len(schema.responses))
    X, Z, y = (Affine.identity(size) for size in sizes)
    return Coordinates(X, Z, y)


def _level(
    gate: Gate, layout: Layout, theta: FloatArray, experts: Mapping[str, FloatArray], expert: Expert
) -> MixingMeasure:
    """The measure of a gate over experts, or over groups whose measures are made in the same way."""
    if isinstance(gate, Hierarchical):
        return _tree(gate, layout, theta, experts, expert)
    if any(isinstance(one, Hierarchical) for one in _chain(gate)):
        raise InputError(
            f"the {gate.name} gate stands round a hierarchy, and its logits belong to no group. Put it inside, as in "
            f"Hierarchical(outer={type(gate).__name__}(...))."
        )
    K = len(next(iter(experts.values()))) if experts else len(gate.columns(layout))
    fields = _fields(layout, theta, K)
    return _assembled(_without_held(gate), expert, _log_masses(gate, fields, K), _divided(gate, fields), experts)


def _tree(
    gate: Hierarchical, layout: Layout, theta: FloatArray, experts: Mapping[str, FloatArray], expert: Expert
) -> MixingMeasure:
    outer, groups = gate.levels(layout)
    inner = tuple(
        _level(
            one.gate, one.layout, theta[one.place], {name: rows[one.experts] for name, rows in experts.items()}, expert
        )
        for one in groups
    )
    fields = _fields(outer.layout, theta[outer.place], len(groups))
    logs = _log_masses(outer.gate, fields, len(groups))
    top = _assembled(_without_held(outer.gate), None, logs, _divided(outer.gate, fields), {})
    return replace(top, inner=inner)


def _assembled(
    gate: Gate,
    expert: Expert | None,
    log_masses: FloatArray,
    gates: Mapping[str, FloatArray],
    experts: Mapping[str, FloatArray],
) -> MixingMeasure:
    named = {f"gate.{name}": rows for name, rows in gates.items() if name not in MASSES}
    named |= {f"expert.{name}": rows for name, rows in experts.items()}
    ends = np.cumsum([0, *(rows.shape[1] for rows in named.values())])
    coordinates = tuple(
        Coordinate(name, slice(int(a), int(b))) for name, a, b in zip(named, ends, ends[1:], strict=False)
    )
    atoms = np.hstack([np.zeros((log_masses.size, 0)), *named.values()])
    return MixingMeasure(log_masses, atoms, coordinates, gate, expert)


# --------------------------------------------------------------------------------------- fields
def _fields(layout: Layout, theta: FloatArray, n: int) -> dict[str, FloatArray]:
    """Every field of a gate as rows (n, size), what is shared repeated; the records of inner gates have no level."""
    found = {}
    for path, slot, start in layout.leaves():
        value = slot.record(theta[start : start + slot.size])
        own = slot.axes[:1] == ("expert",)
        rows = value.reshape(n, -1) if own else np.tile(value.reshape(1, -1), (n, 1))
        found[path.rpartition(".")[2]] = rows
    return found


def _expert_fields(layout: Layout, theta: FloatArray, n: int) -> dict[str, FloatArray]:
    """The same of the experts; those of several families have a record each, and NaN for what only others have."""
    if not any(path.split(".")[0].isdigit() for path, _, _ in layout.leaves()):
        return _fields(layout, theta, n)
    found: dict[str, FloatArray] = {}
    for path, slot, start in layout.leaves():
        member, _, field = path.rpartition(".")
        value = slot.record(theta[start : start + slot.size]).ravel()
        rows = found.setdefault(field, np.full((n, value.size), np.nan))
        if rows.shape[1] != value.size:
            raise InputError(f"families of experts whose {field} differ in size have no common atoms.")
        rows[int(member.split(".")[0])] = value
    return found


def _chain(gate: Any) -> Iterator[Any]:
    """A gate, the gate inside it, and so on."""
    while isinstance(gate, Gate):
        yield gate
        gate = getattr(gate, "inner", None)


def _log_masses(gate: Gate, fields: dict[str, FloatArray], n: int) -> FloatArray:
    given = getattr(gate, "weights", None) if isinstance(gate, Constant) else None
    if given is not None:
        return np.asarray(np.log(given))
    if "log_weights" in fields:
        logs = fields["log_weights"][:, 0]
        return np.asarray(logs - logsumexp(logs))
    if "intercepts" not in fields:
        return np.zeros(n)
    logs = fields["intercepts"][:, 0].copy()
    for one in _chain(gate):
        if isinstance(one, Temperature | Activation):
            logs = logs / (fields["temperature"][:, 0] if one.tau is None else one.tau)
    return np.asarray(logs)


def _is_division(gate: Gate) -> bool:
    """Whether this level of a gate does nothing but divide parameters: a held temperature of homogeneous logits."""
    if not isinstance(gate, Temperature) or gate.tau is None or not isinstance(gate.inner, Gate):
        return False
    dilation = gate.inner.dilation(gate.inner.layout(Dims(2, 1)))
    return dilation is not None and bool(dilation.scaled.all())


def _divided(gate: Gate, fields: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Fields of a gate in logits, once held temperatures have divided these."""
    held = [one.tau for one in _chain(gate) if _is_division(one)]
    return {name: rows / float(np.prod(held)) for name, rows in fields.items()} if held else dict(fields)


def _without_held(gate: Any) -> Any:
    """The same gate of parameters that held temperatures have divided already."""
    inner = getattr(gate, "inner", None)
    if not isinstance(inner, Gate):
        return gate
    own = _without_held(inner)
    if _is_division(gate):
        return own
    return gate if own is inner else replace(gate, inner=own)


def _short(values: FloatArray) -> str:
    """Numbers as a reader wants them: one alone, several in brackets."""
    numbers = [f"{value:.4g}" for value in values]
    return numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers)}]"

"""Starting points near a true parameter, as simulation studies use them, with a stated noise law."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from moestat.errors import InputError
from moestat.experts import Mixed
from moestat.model import MixtureOfExperts, MoEParams
from moestat.params import Layout
from moestat.typing import FloatArray


@dataclass(frozen=True)
class NearTruth:
    """Law of a start near the truth.

    Every fitted expert copies a true one, chosen at random with every true expert chosen at least once; under a
    hierarchical gate one of its own group. Normal noise of standard deviation ``sd * n ** -exponent`` is added to each
    parameter in the user's units, to the logarithm of positive ones.

    Parameters
    ----------
    sd : float or mapping
        Standard deviation at n = 1: one number, or numbers by dotted field name or by the first parts of it, such as
        ``{"gate": 0.005, "gate.outer": 0.01, "expert": 0.05, "expert.variances": 0.0}``. The longest name counts, and
        what is not named gets none.
    exponent : float
        How fast the noise shrinks with the number of rows.
    split_mass : bool
        Let copies of one true expert share its mass: log(copies) is taken off their gate intercepts. The
        published programs do not.

    Notes
    -----
    A fit from such starts measures a local optimum near the truth. It is a protocol to reproduce published
    studies with, not an estimator.

    References
    ----------
    Nguyen, Nguyen and Ho (2023), Demystifying softmax gating function in Gaussian mixture of experts,
    arXiv 2305.03288.
    """

    sd: float | Mapping[str, float] = 0.005
    exponent: float = 0.083
    split_mass: bool = False

    def __post_init__(self) -> None:
        sizes = self.sd.values() if isinstance(self.sd, Mapping) else (self.sd,)
        if not all(np.isfinite(size) and size >= 0 for size in sizes):
            raise InputError(f"sd must be standard deviations of at least 0; got {self.sd!r}.")
        if not np.isfinite(self.exponent):
            raise InputError(f"exponent must be a finite number; got {self.exponent!r}.")

    def draw(
        self,
        model: MixtureOfExperts,
        truth: MoEParams,
        n_rows: float,
        rng: np.random.Generator,
        true_model: MixtureOfExperts | None = None,
    ) -> MoEParams:
        """One starting point for a model with at least as many experts as the truth.

        Parameters
        ----------
        model : MixtureOfExperts
            The model to be fitted.
        truth : MoEParams
            True parameters, of the same expert and gate.
        n_rows : float
            Number of rows of the data.
        rng : numpy.random.Generator
        true_model : MixtureOfExperts, optional
            The model of the truth, where its gate has other settings: a hierarchical gate with other groups.

        Returns
        -------
        MoEParams
            For ``moestat.fit(..., start=...)``.
        """
        if isinstance(model.expert, Mixed):
            raise InputError("starts near a truth need experts of one family; this model has a tuple of families.")
        if true_model is None:
            true_model = MixtureOfExperts(gate=model.gate, expert=model.expert, n_experts=_n_experts(truth))
        if true_model.n_experts > model.n_experts:
            raise InputError(
                f"the truth has {true_model.n_experts} experts, more than the {model.n_experts} of the model."
            )
        schema = true_model.schema_of(truth)
        old, new = true_model.layout(schema), model.layout(schema)
        own, larger, theta = old.part("gate"), new.part("gate"), old.pack(truth)
        copied = model.gate.copies(own, larger, rng)
        gate = model.gate.enlarge(own, larger, theta[: own.size], copied, float(self.split_mass))
        expert = old.part("expert").enlarge(theta[own.size :], new.part("expert"), copied)
        theta = np.concatenate([gate, expert])
        theta += self._noise(new, n_rows) * rng.standard_normal(theta.size)
        drawn: MoEParams = new.unpack(theta)
        return drawn

    def _noise(self, layout: Layout, n_rows: float) -> FloatArray:
        if not isinstance(self.sd, Mapping):
            return np.full(layout.size, self.sd * n_rows**-self.exponent)
        out = np.zeros(layout.size)
        known = {name for path, _, _ in layout.leaves() for name in _beginnings(path)}
        unknown = sorted(set(self.sd) - known)
        if unknown:
            raise InputError(f"sd names the unknown fields {unknown}; known are {sorted(known)}.")
        for path, slot, start in layout.leaves():
            named = [self.sd[name] for name in _beginnings(path) if name in self.sd]
            out[start : start + slot.size] = named[-1] if named else 0.0
        return np.asarray(out * n_rows**-self.exponent)


def _beginnings(path: str) -> list[str]:
    """``gate.outer.slopes``: gate, gate.outer, gate.outer.slopes."""
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _n_experts(truth: MoEParams) -> int:
    if not isinstance(truth, MoEParams):
        raise InputError(f"the truth must be parameters made by model.params(...); got {type(truth).__name__}.")
    fields = dataclasses.fields(truth.expert)
    own = next(f.name for f in fields if f.metadata.get("axes", ())[:1] == ("expert",))
    return len(getattr(truth.expert, own))

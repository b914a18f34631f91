"""Means and standard deviations of the population, in whose units atoms are compared.

exp(beta_0) is the weight of an expert where the covariates are zero, and beta_1 has the unit of 1 / x. So a loss
changes with the origin and the units of the covariates. Those of the population are the same at every sample size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from moestat.component import Expert, Gate
from moestat.coordinates import Affine, Coordinates
from moestat.data import Schema
from moestat.errors import InputError
from moestat.typing import ArrayLike, FloatArray


@dataclass(frozen=True, eq=False)
class Moments:
    """Population moments of the covariates, and of the response if that is to be standardised as well.

    Parameters
    ----------
    mean, sd : array-like (d,) or float
        Of the experts' covariates, in the user's units; a number stands for all of them.
    gate_mean, gate_sd : array-like (e,) or float, optional
        Of the gate's covariates; those of the experts when left out.
    response_mean, response_sd : array-like (m,) or float
        Of the response; 0 and 1 leave it as it is.
    """

    mean: ArrayLike = 0.0
    sd: ArrayLike = 1.0
    gate_mean: ArrayLike | None = None
    gate_sd: ArrayLike | None = None
    response_mean: ArrayLike = 0.0
    response_sd: ArrayLike = 1.0

    def __post_init__(self) -> None:
        for name in ("mean", "gate_mean", "response_mean"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value).all():
                raise InputError(f"{name} must be finite; got {value!r}. Give moments of the population, not of gaps.")
        for name in ("sd", "gate_sd", "response_sd"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value).all() and (np.asarray(value) > 0).all()):
                raise InputError(
                    f"{name} must be finite and larger than zero; got {value!r}. A covariate that does not vary has no "
                    "unit of its own: give it 1."
                )

    @staticmethod
    def of(X: ArrayLike, Z: ArrayLike | None = None, y: ArrayLike | None = None) -> Moments:
        """Moments of rows, which should be so many that they stand for the population: X (n, d), Z (n, e), y (n,)."""
        mean, sd = _columns(X)
        gate = (None, None) if Z is None else _columns(Z)
        response = (0.0, 1.0) if y is None else _columns(y)
        return Moments(mean, sd, *gate, *response)

    def coordinates(self, gate: Gate, expert: Expert, schema: Schema) -> Coordinates:
        """Standard units, as far as these components can follow them: a distance in the gate stays as it is."""
        d, e, m = len(schema.features), len(schema.gate_features), len(schema.responses)
        gate_mean = self.mean if self.gate_mean is None else self.gate_mean
        gate_sd = self.sd if self.gate_sd is None else self.gate_sd
        X = _affine("mean", self.mean, self.sd, d)
        Z = _affine("gate_mean", gate_mean, gate_sd, e)
        y = _affine("response_mean", self.response_mean, self.response_sd, m)
        y = y if expert.scales_response else Affine.identity(m)
        return Coordinates(
            expert.coordinates(X), gate.coordinates(Z), y if expert.shifts_response else y.without_location()
        )


#: Laws that are spoken of by name, as in `moestat.datasets.simulate`.
LAWS = {"uniform": Moments(0.5, sqrt(1 / 12)), "normal": Moments(0.0, 1.0)}


def as_moments(value: Any) -> Moments | None:
    """Moments as they are given, by the name of a law, or as rows."""
    if value is None or isinstance(value, Moments):
        return value
    if isinstance(value, str):
        if value not in LAWS:
            raise InputError(f"moments must be one of {sorted(LAWS)}, a Moments or rows of covariates; got {value!r}.")
        return LAWS[value]
    return Moments.of(value)


def _columns(rows: ArrayLike) -> tuple[FloatArray, FloatArray]:
    array = np.asarray(rows, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    return array.mean(axis=0), array.std(axis=0)


def _affine(name: str, mean: ArrayLike, sd: ArrayLike, size: int) -> Affine:
    try:
        return Affine(*(np.broadcast_to(np.asarray(x, dtype=np.float64), (size,)).copy() for x in (mean, sd)))
    except ValueError:
        raise InputError(
            f"{name} and its standard deviation must be numbers or have {size} entries, one per column; got "
            f"{np.shape(mean)} and {np.shape(sd)}."
        ) from None

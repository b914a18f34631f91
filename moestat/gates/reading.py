"""Parameters on the ray of a temperature, read in three ways.

Where all logits can be multiplied by their parameters, (c beta, c tau) have the same weights for every c > 0: what is
determined is a point modulo that ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moestat.component import Gate
from moestat.errors import InputError
from moestat.params import Layout
from moestat.typing import FloatArray


@dataclass(frozen=True)
class Reading:
    """Parameters of a gate with an estimated temperature, read in three ways.

    Parameters
    ----------
    raw : record
        As they are; their place on the ray is arbitrary.
    ratio : record
        The point of the ray with tau = 1: slopes and intercepts are beta / tau.
    unit : record
        The point of the ray where the inner parameters and tau have Euclidean length one together.
    """

    raw: Any
    ratio: Any
    unit: Any


def read(gate: Gate, layout: Layout, theta: FloatArray) -> Reading:
    """Readings of unconstrained parameters theta (P,) of a gate with this layout.

    Raises
    ------
    InputError
        Where there is no ray: the temperature is held, or identified, or there is none.
    """
    ray = gate.ray(layout)
    if ray is None:
        raise InputError(
            "a reading needs an estimated temperature and logits that are homogeneous in the gate's other parameters, "
            f"so that only their ratio is identified; the gate is {gate!r}. See params.gate instead."
        )
    at = int(np.flatnonzero(ray.shift)[0])
    length = float(np.sqrt(theta[ray.scaled] @ theta[ray.scaled] + np.exp(2.0 * theta[at])))
    moves = (0.0, -theta[at], -np.log(length))
    return Reading(*(layout.unpack(ray.apply(theta, t)) for t in moves))

"""Rows close to both sides of the switches of a gate, where an expert's weight becomes exactly zero.

Between two rows a switch may move without a change of any of their densities. Rows that lie next to it see every move.
"""

from __future__ import annotations

import numpy as np

from moestat.model import MixtureOfExperts, MoEParams
from moestat.typing import BoolArray, FloatArray

#: Halvings of the way between two rows with different active experts.
HALVINGS = 40

#: Switches looked for, at most.
MOST = 60


def beside_switches(
    model: MixtureOfExperts, params: MoEParams, covariates: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Covariates on both sides of a switch between random pairs of rows that have different active experts.

    Parameters
    ----------
    model : MixtureOfExperts
    params : MoEParams
    covariates : ndarray (n, d)
        Those of the gate.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (2 m, d)
        None where no expert is ever switched off.
    """

    def active(rows: FloatArray) -> BoolArray:
        return np.asarray(model.gate_weights(params, rows) > 0.0)

    here, other = active(covariates), rng.permutation(len(covariates))
    pairs = np.flatnonzero((here != here[other]).any(axis=1))[:MOST]
    near, far, sides = covariates[pairs], covariates[other[pairs]], here[pairs]
    for _ in range(HALVINGS if pairs.size else 0):
        middle = 0.5 * (near + far)
        same = (active(middle) == sides).all(axis=1)[:, None]
        near, far = np.where(same, middle, near), np.where(same, far, middle)
    return np.vstack([near, far])

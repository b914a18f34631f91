"""Switching surfaces: where rows exchange one expert for another, and how near the rows come to them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.data import BlockSource
from moestat.errors import InputError
from moestat.gates import Softmax, Threshold, TopK
from moestat.terms import Terms
from moestat.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd


def switching_surfaces(terms: Terms, theta: FloatArray, gate: Any, source: BlockSource) -> pd.DataFrame:
    """One row for each pair of experts that some rows of the data lie between.

    Parameters
    ----------
    terms : Terms
    theta : ndarray (P,)
        Estimates in working coordinates.
    gate : record
        The gate's estimates in the user's units.
    source : BlockSource
        The rows of the fit.

    Returns
    -------
    DataFrame
    """
    import pandas as pd

    if terms.gate.continuous or not terms.gate.tells_ties:
        raise InputError(
            f"the {terms.gate.name} gate has no switching surfaces to tell: they belong to gates that leave experts "
            "out at a jump, such as topk."
        )
    Z, margin, on, off = _nearest(terms, theta, source)
    plane = _planes(terms, gate)
    names = source.schema.gate_features
    table = {}
    for i, j in combinations(range(terms.n_experts), 2):
        between = (np.minimum(on, off) == i) & (np.maximum(on, off) == j)
        if not between.any():
            continue
        coefficients = None if plane is None else plane[i] - plane[j]
        length = 0.0 if coefficients is None else float(np.linalg.norm(coefficients[1:]))
        away = margin[between]
        entry = {}
        if coefficients is not None and length > 0:
            unit = coefficients / length
            entry = dict(zip(("const", *names), unit, strict=True))
            away = np.abs(unit[0] + Z[between] @ unit[1:])
        first, second = (away[on[between] == k].min(initial=np.inf) for k in (i, j))
        table[f"{i + 1} | {j + 1}"] = entry | {"nearest_first": first, "nearest_second": second}
    out = pd.DataFrame.from_dict(table, orient="index")
    out.index.name = "experts"
    return out


def _nearest(terms: Terms, theta: FloatArray, source: BlockSource) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Of all rows: gate covariates in the user's units (n, d), margin, and the two experts of the closest tie."""
    parts = []
    for block in source.blocks():
        keep = block.weight > 0
        found = terms.gate.closest(theta[terms.gate_columns], block)
        Z = source.coordinates.Z.restore(block.Z[1:].T)
        parts.append([Z[keep], *(each[keep] for each in found)])
    Z, margin, on, off = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Z, margin, on, off


def _planes(terms: Terms, gate: Any) -> FloatArray | None:
    """What is ranked (K, 1 + d), intercepts first, where it is linear in the user's covariates."""
    own = terms.gate
    if isinstance(own, Threshold) and own.leaves_one(terms.n_experts):
        own = own.leader
    if not (isinstance(own, TopK) and isinstance(own.inner, Softmax) and own.inner.transform is None):
        return None
    level = np.zeros(terms.n_experts) if own.rank_on == "score" else np.asarray(gate.intercepts)
    return np.column_stack([level, gate.slopes])

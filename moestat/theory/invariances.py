"""What moves all atoms of a measure alike, and changes no weight: read off the gate itself.

Beside the factor of the masses that is a common translation of some coordinates, such as the slopes of a softmax gate.
"""

from __future__ import annotations

import numpy as np

from moestat.component import Dims
from moestat.theory.measure import MASSES, MixingMeasure
from moestat.typing import IntArray


def translated_columns(measure: MixingMeasure) -> IntArray:
    """Columns (p,) of the atoms that may each be shifted by a number of their own, common to all atoms."""
    layout = measure.gate.layout(Dims(measure.size, measure.n_features))
    directions, _ = measure.gate.invariances(layout, np.zeros(layout.size))
    columns = {c.field: c.columns.start for c in measure.coordinates if c.name.startswith("gate.")}
    found = []
    for path, slot, start in layout.leaves():
        field = path.rpartition(".")[2]
        if field in MASSES or slot.axes[:1] != ("expert",):
            continue
        places = np.arange(start, start + slot.size).reshape(measure.size, -1)
        for u, together in enumerate(places.T):
            shift = np.isin(np.arange(layout.size), together).astype(np.float64)
            if (np.abs(directions - shift).max(axis=1, initial=0.0) == 0.0).any():
                found.append(columns[field] + u)
    return np.array(found, dtype=np.int64)

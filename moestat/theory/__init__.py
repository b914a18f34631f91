"""What the theory of mixtures of experts says: losses, distances and rates, computed.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moestat.theory.rbar import rbar  # at once: imported later, the module would take the place of its function

if TYPE_CHECKING:
    from moestat.theory.cells import Cells, align, voronoi_cells
    from moestat.theory.density import Distance, hellinger, kullback_leibler, total_variation
    from moestat.theory.entries import EXPERT_LOSSES, GATE_LOSSES, ExpertLoss, GateLoss
    from moestat.theory.identifiability import FlatDirection, flat_directions
    from moestat.theory.identities import interactions
    from moestat.theory.losses import voronoi_loss
    from moestat.theory.measure import MixingMeasure, mixing_measure
    from moestat.theory.merging import merge
    from moestat.theory.moments import Moments
    from moestat.theory.polynomial import gaussian_system, softmax_system
    from moestat.theory.powers import Power
    from moestat.theory.predict import predicted_rate
    from moestat.theory.summands import LossParts
    from moestat.theory.table import rates_table
    from moestat.theory.transport import measure_distance

_NAMES: dict[str, str] = {
    "Cells": "cells",
    "Distance": "density",
    "EXPERT_LOSSES": "entries",
    "ExpertLoss": "entries",
    "FlatDirection": "identifiability",
    "GATE_LOSSES": "entries",
    "GateLoss": "entries",
    "LossParts": "summands",
    "MixingMeasure": "measure",
    "Moments": "moments",
    "Power": "powers",
    "align": "cells",
    "flat_directions": "identifiability",
    "gaussian_system": "polynomial",
    "hellinger": "density",
    "interactions": "identities",
    "kullback_leibler": "density",
    "measure_distance": "transport",
    "merge": "merging",
    "mixing_measure": "measure",
    "predicted_rate": "predict",
    "rates_table": "table",
    "softmax_system": "polynomial",
    "total_variation": "density",
    "voronoi_cells": "cells",
    "voronoi_loss": "losses",
}

__all__ = [
    "EXPERT_LOSSES",
    "GATE_LOSSES",
    "Cells",
    "Distance",
    "ExpertLoss",
    "FlatDirection",
    "GateLoss",
    "LossParts",
    "MixingMeasure",
    "Moments",
    "Power",
    "align",
    "flat_directions",
    "gaussian_system",
    "hellinger",
    "interactions",
    "kullback_leibler",
    "measure_distance",
    "merge",
    "mixing_measure",
    "predicted_rate",
    "rates_table",
    "rbar",
    "softmax_system",
    "total_variation",
    "voronoi_cells",
    "voronoi_loss",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"moestat.theory.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'moestat.theory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))

"""Starting values: pure functions of the weighted distinct rows and a random generator."""

from moestat.starts.families import CATEGORICAL_FAMILIES, FAMILIES
from moestat.starts.near import NearTruth
from moestat.starts.points import GIVEN, SKETCH_ROWS, Start, StartLaw, start_from
from moestat.starts.regression import RegressionStarts
from moestat.starts.reseed import lost_experts, reseed

__all__ = [
    "CATEGORICAL_FAMILIES",
    "FAMILIES",
    "GIVEN",
    "SKETCH_ROWS",
    "NearTruth",
    "RegressionStarts",
    "Start",
    "StartLaw",
    "lost_experts",
    "reseed",
    "start_from",
]
